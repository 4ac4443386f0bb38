"""Running batches: completions for many who ask at once; see `plugins.live`."""
