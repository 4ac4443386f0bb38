"""The loop that improves: causes of wrong answers → a step → a study that proves it → kept or undone."""
