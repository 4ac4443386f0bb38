"""Everything that runs in the training child process."""
