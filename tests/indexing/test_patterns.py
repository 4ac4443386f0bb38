"""Patterns that begin outside the project find their files; links still lead nowhere that was not named."""

from __future__ import annotations

from pathlib import Path

import pytest
from sync_project import by_file, sync


@pytest.mark.parametrize("written", ["{outside}/*.txt", "{outside}/**/*.txt", "../shelf/*.txt", "{outside}/[a-c]*.txt"])
def test_a_pattern_outside_the_project_finds_its_files(tmp_path: Path, written: str) -> None:
    project, outside, secret = (tmp_path / name for name in ("project", "shelf", "secret"))
    for folder in (project, outside, secret):
        folder.mkdir()
    (outside / "a.txt").write_text("Drip irrigation saves water.", encoding="utf-8")
    (secret / "s.txt").write_text("The password is swordfish.", encoding="utf-8")
    (outside / "b.txt").symlink_to(secret / "s.txt")
    entry = written.format(outside=outside)
    (project / "twofold.toml").write_text(
        f'[project]\nname = "p"\n[documents]\npaths = ["{entry}"]\n[retrieval.embedder]\nname = "hashing"\n'
    )
    statuses = by_file(sync(project))
    assert {Path(name).name: status for name, status in statuses.items()} == {"a.txt": "added", "b.txt": "skipped"}


def test_a_pattern_within_the_project_still_leads_out_of_nothing(tmp_path: Path) -> None:
    project, secret = tmp_path / "project", tmp_path / "secret"
    (project / "docs").mkdir(parents=True)
    secret.mkdir()
    (secret / "s.txt").write_text("The password is swordfish.", encoding="utf-8")
    (project / "docs" / "here.txt").write_text("Drip irrigation saves water.", encoding="utf-8")
    (project / "docs" / "link").symlink_to(secret)
    (project / "twofold.toml").write_text(
        '[project]\nname = "p"\n[documents]\npaths = ["docs/**/*"]\n[retrieval.embedder]\nname = "hashing"\n'
    )
    statuses = by_file(sync(project))
    assert statuses["docs/here.txt"] == "added"
    assert set(statuses.values()) == {"added", "skipped"}
