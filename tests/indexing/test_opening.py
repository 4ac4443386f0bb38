"""Seconds that a sync notes for a passage: without those in which the embedder loads its model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from twofold.plugins import loading
from twofold.store import embedding_time
from twofold.testing import projects
from twofold.testing.hashing_embedder import HashingEmbedder


class Lazy(HashingEmbedder):
    """Loads its model at the first text, and takes half a second for it."""

    ready = False
    texts: ClassVar[list[str]] = []

    def embed(self, texts: Sequence[str], *, progress: Any = None) -> Any:
        self.texts.extend(texts)
        if not self.ready:
            self.ready = True
            time.sleep(0.5)
        return super().embed(texts, progress=progress)


def test_opening_the_model_counts_as_no_passages_time(tmp_path: Path) -> None:
    with (
        loading.registered("embedders", "hashing", Lazy),
        projects.make_project(tmp_path / "p", questions=10) as project,
    ):
        Lazy.texts.clear()
        chunks = project.sync()["chunks"]
        assert chunks > 1
        assert len(Lazy.texts) == len(set(Lazy.texts)), "no passage is embedded twice"
        seconds = embedding_time.seconds_per_chunk(project.catalogue.notes)
    assert seconds is not None
    assert seconds < 0.5 / chunks
