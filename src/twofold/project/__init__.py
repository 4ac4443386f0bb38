"""A project directory opened: what the command line, a notebook or another program calls."""

from twofold.project.facade import Project

__all__ = ["Project"]
