"""A place apart for a step that cuts documents anew: the index that answers meanwhile stays as it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from twofold.config import Config
from twofold.improvement import histories
from twofold.indexing.erasure import TRIAL
from twofold.plugins import loading
from twofold.plugins.protocols import Discards
from twofold.project import Project
from twofold.project.places import CATALOGUE
from twofold.store.catalogue import Catalogue
from twofold.types import Json


def cuts(values: Json) -> bool:
    """Do these values of a step change how documents are cut?"""
    return "documents" in values


def in_database(config: Config) -> bool:
    """Is the index kept in a database? It has one name there, so that no second one can lie beside it."""
    return isinstance(loading.find("indexes", config.retrieval.index.name), Discards)


@contextmanager
def place(project: Project, *, number: int) -> Iterator[Path]:
    """A folder with a copy of the project's catalogue that knows no document yet; what it learns is taken over.

    It stays where the block is interrupted, and the next run goes on in it; of any other round it is removed.

    Args:
        project: The project as it is.
        number: Of the round.
    """
    folder = project.directory / TRIAL
    mark = folder / f"round-{number}"
    if not mark.is_file():
        _prepare(project, folder, mark)
    yield folder
    leave(project, number=number)


def leave(project: Project, *, number: int) -> None:
    """Take over what a round's place has learned, and remove the place; nothing where the round has none."""
    folder = project.directory / TRIAL
    mark = folder / f"round-{number}"
    if mark.is_file():
        project.catalogue.take(folder / CATALOGUE)
        _remove(folder, [mark])


def leftover(project: Project) -> Path | None:
    """A trial's place that no interrupted round goes on in: its run was killed after the round had ended.

    The caller holds the lock of improvement: a run that makes the place, or leaves it, needs it as well.

    Raises:
        StudyError: the history of improvement cannot be read.
    """
    folder = project.directory / TRIAL
    if not folder.is_dir():
        return None
    unfinished = histories.interrupted(histories.read(project.records))
    needed = unfinished is not None and (folder / f"round-{unfinished['number']}").is_file()
    return None if needed else folder


def discard(project: Project, folder: Path) -> None:
    """Remove a `leftover`; what it has learned is taken over where it is whole."""
    marks = [*folder.glob("round-*")]
    if marks:
        project.catalogue.take(folder / CATALOGUE)
    _remove(folder, marks)


def _remove(folder: Path, marks: Sequence[Path]) -> None:
    # First: after a kill within the removal nobody takes what is left for a whole place, and its catalogue for whole.
    for mark in marks:
        mark.unlink()
    shutil.rmtree(folder)


def _prepare(project: Project, folder: Path, mark: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    project.catalogue.copy_to(folder / CATALOGUE)
    with Catalogue(folder / CATALOGUE) as copy:
        copy.sync.clear()
    sources = project.derived / "sources"
    if sources.is_dir():
        # Mirrors of git repositories and pages of the web: they are not fetched a second time.
        shutil.copytree(sources, folder / "sources", symlinks=True)
    # Last: a folder without it is not whole.
    mark.touch()
