"""A bare project: hashing vectors, echo generator, whatever sources a test declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sync_project import Site

PLAIN = """
[retrieval.embedder]
name = "hashing"
options = {dimension = 64}

[generation.generator]
name = "echo"
options = {mode = "quote"}
"""


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """``make(toml)``: a project directory with an example and no documents but those of `toml`."""

    def made(toml: str = "", *, name: str = "project", documents: str = '"data/documents"') -> Path:
        directory = tmp_path / name
        (directory / "data").mkdir(parents=True)
        (directory / "data" / "documents").mkdir()
        (directory / "data" / "examples.jsonl").write_text(
            '{"question": "How deep is a well?", "answer": "40 metres"}\n', encoding="utf-8"
        )
        text = f"[documents]\npaths = [{documents}]\n{PLAIN}\n{toml}"
        (directory / "twofold.toml").write_text(text, encoding="utf-8")
        return directory

    return made


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server on this machine."""
    made = Site()
    yield made
    made.close()
