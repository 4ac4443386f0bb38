"""The embedded index, on LanceDB."""
