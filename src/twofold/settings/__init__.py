"""The sections of `twofold.toml`, and how the file is read."""
