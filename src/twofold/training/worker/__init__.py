"""The training child process: loop, steps, checkpoints, evaluations."""
