"""A job for a model that trains in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_job import small_job

from twofold.plugins.jobs import TrainerJob


@pytest.fixture
def job(tiny: Path) -> TrainerJob:
    """Twelve closed-book rows and three dev items."""
    return small_job(tiny)
