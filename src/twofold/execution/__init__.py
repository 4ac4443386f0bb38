"""Where work runs: in this process, or on a Ray cluster; described as batches, so that the flows need not know."""
