"""Places of a catalogue: a file, or a schema in a PostgreSQL that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from postgres_server import postgres, schema  # noqa: F401 - fixtures
from twofold.store.shared import Place, SharedPlace


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place of each kind, where nothing is yet."""
    if request.param == "postgres":
        chosen: SharedPlace = request.getfixturevalue("schema")
        return chosen
    return tmp_path / "catalogue.sqlite"
