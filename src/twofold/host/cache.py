"""The user's cache directory: models, converted weights, measured paces."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Directory for downloaded and converted models: ``$TWOFOLD_CACHE``, or the platform's user cache."""
    setting = os.environ.get("TWOFOLD_CACHE")
    if setting:
        return Path(setting).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "twofold"
