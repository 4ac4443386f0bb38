"""Answers labelled blind by people: the log of labels, what is labelled, and how far labels agree."""
