"""Skips a file of tests where a package is missing, without importing it: every process collects every file."""

from __future__ import annotations

import importlib.util

import pytest


def needs(*packages: str, reason: str = "") -> None:
    """Skip the file that calls this where one of the packages is not installed."""
    missing = next((name for name in packages if importlib.util.find_spec(name) is None), None)
    if missing is not None:
        pytest.skip(reason or f"{missing} is not installed", allow_module_level=True)
