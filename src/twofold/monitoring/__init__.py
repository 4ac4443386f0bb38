"""Watching a project after its study: signals, alarms, their causes, and what to do."""
