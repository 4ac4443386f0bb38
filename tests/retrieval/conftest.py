"""The embedding model: pulled, or from ``$TWOFOLD_EMBEDDER`` (a directory)."""

from __future__ import annotations

import os

import pytest

from twofold.errors import ModelNotPulled
from twofold.models import hub


@pytest.fixture(scope="session")
def encoder() -> str:
    """Name or source string of all-MiniLM-L6-v2."""
    given = os.environ.get("TWOFOLD_EMBEDDER")
    name = f"path:{given}" if given else "all-minilm-l6-v2"
    try:
        hub.locate(name)
    except ModelNotPulled:
        pytest.skip("the model is not in the cache: twofold models pull all-minilm-l6-v2")
    return name
