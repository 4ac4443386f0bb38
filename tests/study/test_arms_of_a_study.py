"""What is wrong with the arms of a study is said for each fault by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import StudyError
from twofold.project import Project


@pytest.mark.parametrize(
    ("study", "message", "cure"),
    [
        ({"arms": []}, "is empty", "such as base and rag"),
        ({"arms": ["base", "rag", "base"]}, "names 'base' twice", "once"),
        ({"arms": ["rag"], "diagnostics": ["base"]}, "the diagnostic arm 'base' retrieves nothing", "oracle"),
    ],
)
def test_each_fault_of_the_arms_has_its_message(
    tmp_path: Path, demo_questions: Callable[[int], Path], study: dict[str, Any], message: str, cure: str
) -> None:
    Project.create(tmp_path / "project", demo_questions(60), forgetting=False).close()
    settings = {
        "study": study,
        "generation": {"generator": {"name": "echo", "options": {}}},
        "retrieval": {"embedder": {"name": "hashing", "options": {}}},
    }
    with Project.open(tmp_path / "project", settings) as project, pytest.raises(StudyError, match=message) as caught:
        project.plan()
    assert cure in caught.value.cure
