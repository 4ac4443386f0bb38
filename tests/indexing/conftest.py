"""A bare project: hashing vectors, echo generator, whatever sources a test declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sync_project import Site, write_project

from twofold.corpus.files import FileReader
from twofold.corpus.sandbox import Worker


@pytest.fixture(scope="module", autouse=True)
def warm_readers() -> Iterator[None]:
    """What reads files goes on from project to project: starting it is tested in `tests/corpus`."""
    idle: list[Worker] = []
    start, end = Worker._start, FileReader.close

    def taken(worker: Worker, name: str) -> None:
        if worker._process is None and idle:
            other = idle.pop()
            worker._process, worker._errors, worker._served = other._process, other._errors, other._served
        start(worker, name)

    def parked(reader: FileReader) -> None:
        worker = reader.worker
        if worker._served and worker._process is not None and worker._process.poll() is None:
            reader.worker = Worker(seconds=worker.seconds, memory_mib=worker.memory_mib, limit=worker.limit)
            idle.append(worker)
        end(reader)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "_start", taken)
        patch.setattr(FileReader, "close", parked)
        yield
    for worker in idle:
        worker.close()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """``make(toml)``: a project directory with an example and no documents but those of `toml`."""

    def made(toml: str = "", *, name: str = "project", documents: str = '"data/documents"') -> Path:
        return write_project(tmp_path / name, toml, documents=documents)

    return made


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server on this machine."""
    made = Site()
    yield made
    made.close()
