"""Modules that are imported when a test first uses them.

Every process of a run imports every file of tests, but runs few of them: of 9 s of imports in each, 3 were of four
packages that a dozen files use.
"""

from __future__ import annotations

import importlib
from typing import Any


class Lazily:
    """Stands for a module; in annotations the name of one is never looked up."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
