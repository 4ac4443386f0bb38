"""A measured project and a server of it, shared by the tests that change neither."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import serving_process
from serving_process import Running, served

import stand_in_trainer
from forked import Forked, Nursery
from postgres_server import postgres, schema  # noqa: F401 - fixtures
from small_project import write_project
from twofold.project import Project

STORED = Path(__file__).parents[1] / "samples" / "stored_project_2.tar.xz"


@pytest.fixture(scope="session", autouse=True)
def forked_servers(nursery: Nursery) -> Iterator[None]:
    """Servers start with their imports behind them, which take longer than most tests of one; but for `server`."""

    def start(words: Sequence[str]) -> Forked:
        # Some serve all tests of the session; they end with their fixtures.
        return nursery.command(*words, seconds=3600)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving_process, "start", start)
        yield


@pytest.fixture
def project_copy(measured: Path, tmp_path: Path) -> Path:
    """The measured project, to be changed."""
    return Path(shutil.copytree(measured, tmp_path / "p"))


@pytest.fixture
def stored_project(tmp_path: Path) -> Path:
    """A project with a measured tuned model, the champion, whose study is undecided; to be changed."""
    with tarfile.open(STORED) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / STORED.name.partition(".")[0]


@pytest.fixture(scope="session")
def tuned_once(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> tuple[Path, str, str]:
    """A stored project, its measured model, the champion, and another tuned since; not to be changed."""
    place = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TRAINED", str(place / "trained"))
        with tarfile.open(STORED) as archive:
            archive.extractall(place, filter="data")
        directory = place / STORED.name.partition(".")[0]
        other = {"tuning": {"trainer": {"options": {"mark": "b"}}}}
        with stand_in_trainer.known():
            with Project.open(directory) as project:
                first = project.models.registry.find("champion")["id"]
            with Project.open(directory, other) as project:
                return directory, first, project.tune(arm="ft+rag").id


@pytest.fixture
def tuned(tuned_once: tuple[Path, str, str], tmp_path: Path) -> tuple[Path, str, str]:
    """The project with two tuned models and their ids, to be changed."""
    directory, first, second = tuned_once
    return Path(shutil.copytree(directory, tmp_path / directory.name)), first, second


@pytest.fixture(scope="session")
def server(measured: Path, run_folder: Path) -> Iterator[Running]:
    """A server of the measured project, started as users start it by the first process of a run that needs one."""
    with ExitStack() as stack:
        # Until it has started and no longer: every later server of the session would be started so.
        with pytest.MonkeyPatch.context() as patch:
            with suppress(FileExistsError):
                # A new interpreter takes 2.5 s of a processor, and each process of a run has a server of its own.
                (run_folder / "started-as-users-do").touch(exist_ok=False)
                patch.setattr(serving_process, "start", serving_process.started)
            running = stack.enter_context(served(measured))
        yield running


@pytest.fixture(scope="session")
def closed(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A project under access control: `secret` is for ann, `open` for all of the staff; not to be changed."""
    documents = [
        {"id": "secret", "title": "Pay", "text": "Ann is paid 900 coins a week.", "readers": ["ann"]},
        {"id": "open", "title": "Tea", "text": "Tea is served at four.", "readers": ["staff"]},
    ]
    settings = '[access]\nenabled = true\nstudy_groups = ["staff"]\n'
    directory = tmp_path_factory.mktemp("closed") / "p"
    write_project(directory, documents, [("open", "When is tea served?", "four")], copies=12, settings=settings)
    with Project.open(directory) as project:
        project.sync()
    return directory
