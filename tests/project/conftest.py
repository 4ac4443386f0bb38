"""Projects whose records lie in a database, and a trainer that trains nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import stand_in_trainer
from postgres_server import postgres, schema  # noqa: F401 - fixtures
from twofold.plugins import loading


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stand-in's trainings are counted."""
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained"))
    with loading.registered("trainers", "one", stand_in_trainer.StandIn):
        yield
