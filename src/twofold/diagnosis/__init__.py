"""Why an answer is wrong: one cause, found by re-running it with one thing changed, and its cure."""
