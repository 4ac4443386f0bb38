"""The browser in which tests look at pages."""

from __future__ import annotations

import shutil

# The shell without windows first: it has the same engine, and takes two thirds of the processor's time.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PROGRAM = next((program for program in map(shutil.which, _NAMES) if program), "")
"""Its program, or nothing where there is none."""
