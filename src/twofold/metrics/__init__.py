"""Example and answer → score."""
