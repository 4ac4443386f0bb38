"""What the process that reads files answers where its reader fails: each error with its own code and cure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from twofold.corpus import worker
from twofold.errors import MissingExtra, ModelNotPulled, UnreadableFile
from twofold.plugins import protocols
from twofold.types import Document

REQUEST = {"reader": "failing", "options": {}, "file": "a.scan", "limit": 1 << 20, "memory_mib": 4096}


class Failing:
    """A reader that raises what it is told."""

    version: ClassVar[int] = 1
    Options: ClassVar[type[protocols.Options]] = protocols.Options
    error: ClassVar[Exception] = Exception()

    def __init__(self, options: protocols.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ModelNotPulled("the weights are not here"), "model.not-pulled", "the weights are not here"),
        (MissingExtra("no reader", cure="Install it."), "install.missing-extra", "no reader"),
        (UnreadableFile("not UTF-8"), "data.unreadable", "not UTF-8"),
        (KeyError("pages"), "data.damaged", "KeyError: 'pages'"),
    ],
    ids=["model", "extra", "file", "fault"],
)
def test_an_error_of_a_reader_keeps_its_code_and_its_cure(
    error: Exception, code: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_reader", lambda _: Failing)
    monkeypatch.setattr(Failing, "error", error)
    # The limit is one of a whole process, and this is not the child.
    monkeypatch.setattr(worker, "_limit", lambda *_: None)
    entries: list[Any] = worker._read(REQUEST, b"")
    (problem,) = [entry["problem"] for entry in entries]
    assert problem["code"] == code
    assert words in problem["message"]
    assert problem["cure"]
