"""Studies are read once, and again when their files change; answers are closed under access control."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twofold.errors import Forbidden, NotServed, StudyError
from twofold.serving.identity import Caller
from twofold.serving.shelf import StudyShelf

ASKS, ADMIN = Caller(scope="ask", filter=None), Caller(scope="admin", filter=None)


def test_a_study_is_read_once_and_again_when_it_changes(project_copy: Path) -> None:
    shelf = StudyShelf(project_copy / "studies", guarded=False)
    first = shelf.record("1")
    assert shelf.record() is first
    assert shelf.answers("1", ASKS) is shelf.answers("", ASKS)
    path = project_copy / "studies" / first["study"] / "study.json"
    path.write_text(json.dumps({**first, "about": "changed since"}), encoding="utf-8")
    assert shelf.record("1")["about"] == "changed since"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(StudyError):
        shelf.record("1")


@pytest.mark.parametrize("name", ["0009", "../data", "study"])
def test_a_study_that_is_not_there_is_named(project_copy: Path, name: str) -> None:
    with pytest.raises(NotServed, match="there is no study"):
        StudyShelf(project_copy / "studies", guarded=False).record(name)
    with pytest.raises(NotServed, match="there is no study yet"):
        StudyShelf(project_copy / "none", guarded=False).record()


def test_answers_are_for_administrators_under_access_control(project_copy: Path) -> None:
    shelf = StudyShelf(project_copy / "studies", guarded=True)
    assert shelf.answers("1", ADMIN)
    with pytest.raises(Forbidden):
        shelf.answers("1", ASKS)
