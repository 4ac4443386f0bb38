"""Why an answer is wrong: one cause of a short fixed list, each with its cure."""
