"""Commands that change index and catalogue, killed at each step: the next sync makes what a rebuild would make."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sync_project import held, sync, write_project

from forked import Nursery
from twofold.project import Project

FORGOTTEN = "data/documents/secret.txt"
_KILLED = """
import importlib, os
module, _, place = {step!r}.partition(":")
owner = importlib.import_module(module)
*path, last = place.split(".")
for part in path:
    owner = getattr(owner, part)
work = getattr(owner, last)
def killed(*given, **more):
    if {after!r}:
        work(*given, **more)
    os._exit(9)
setattr(owner, last, killed)
from twofold.cli.main import main
main({command!r})
"""
STEPS = {
    "restore": [
        "twofold.retrieval.indexes.lancedb.index:LanceIndex.restore",
        "twofold.store.documents:Notes.put",
        "twofold.store.documents:SyncState.put_change",
    ],
    "rebuild": [
        "twofold.store.documents:SyncState.renew",
        "twofold.retrieval.indexes.lancedb.index:LanceIndex.upsert",
        "twofold.store.documents:SyncState.record",
        "twofold.store.documents:SyncState.drop_renewed",
    ],
}


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, dict[str, str]]:
    """A project from which a document was forgotten, and whose others changed then; its version before, its content."""
    directory = write_project(tmp_path_factory.mktemp("changed") / "project")
    documents = directory / "data" / "documents"
    (documents / "secret.txt").write_text("The password is xyzzyplugh.")
    (documents / "a.txt").write_text("Water is wet.")
    sync(directory)
    with Project.open(directory) as project, project.writing():
        project.versions.forget(FORGOTTEN)
    before = held(directory)
    with Project.open(directory) as project:
        version = project.workspace.search.index.state().version
    (documents / "b.txt").write_text("Soil is dry.")
    (documents / "a.txt").write_text("Water is cold.")
    sync(directory)
    wanted = held(directory)
    assert wanted != before
    return directory, version, wanted


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("what", "step"), [(what, step) for what, steps in STEPS.items() for step in steps])
def test_what_was_forgotten_stays_away_and_nothing_else_is_lost(
    changed: tuple[Path, int, dict[str, str]], tmp_path: Path, nursery: Nursery, *, what: str, step: str, after: bool
) -> None:
    old, version, wanted = changed
    directory = Path(shutil.copytree(old, tmp_path / "project", symlinks=True))
    commands = {"restore": ["index", "restore", str(version)], "rebuild": ["sync", "--rebuild"]}
    command = [*commands[what], "-C", str(directory), "-q"]
    done = nursery.run(_KILLED.format(step=step, after=after, command=command))
    assert done.returncode == 9, done.stderr
    with Project.open(directory) as project:
        assert "xyzzyplugh" not in project.ask("What is the password?", arm="rag")[0].text
    sync(directory)
    assert held(directory) == wanted
