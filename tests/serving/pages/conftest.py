"""One browser for all pages, and fresh windows of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import browsing
import pytest
from playwright.sync_api import Browser, sync_playwright
from serving_process import Running, served

from chromium import PROGRAM
from twofold.project import Project

Opened = Callable[..., browsing.Watched]


class Opening:
    """The browser, which goes on from file to file of this directory, and its sessions that no window uses."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._browser: Browser | None = None
        self.sessions: list[browsing.Session] = []

    @property
    def browser(self) -> Browser:
        if self._browser is None:
            driver = self._stack.enter_context(sync_playwright())
            self._browser = driver.chromium.launch(
                executable_path=PROGRAM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
            )
            self._stack.callback(self._browser.close)
        return self._browser

    def close(self) -> None:
        self.sessions.clear()
        self._browser = None
        self._stack.close()


_OPENING = Opening()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """End the browser with the last test of this directory: tests of others start event loops, which it does not bear.

    Between two files it goes on: starting it and a page's process takes two seconds of a processor.
    """
    yield
    if nextitem is None or nextitem.path.parent != Path(__file__).parent:
        _OPENING.close()


@pytest.fixture
def chromium() -> Opening:
    """A real browser."""
    if not PROGRAM:
        pytest.skip("no chromium on this machine: the page is not looked at in a browser")
    return _OPENING


@pytest.fixture
def window(chromium: Opening, server: Running) -> Iterator[Opened]:
    """Opens a window at the shared server; a test that is over has logged no error and called no other host."""
    windows = []
    with ExitStack() as stack:

        def opened(url: str = "", **options: Any) -> browsing.Watched:
            # Two windows of a test are two people.
            session = chromium.sessions.pop() if chromium.sessions else browsing.Session(chromium.browser)
            stack.callback(chromium.sessions.append, session)
            windows.append(stack.enter_context(session.watched(url or server.url, **options)))
            return windows[-1]

        yield opened
        for one in windows:
            assert one.errors == []


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A server of a project that tests of the pages change."""

    server: Running
    directory: Path


@pytest.fixture(scope="session")
def workbench(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The measured project with a second study, a broken file and a broken example, and its server."""
    directory = Path(shutil.copytree(measured, tmp_path_factory.mktemp("workbench") / "p"))
    notes = directory / "notes"
    notes.mkdir()
    (notes / "roof.md").write_text("# The roof\n\nIt leaks.", encoding="utf-8")
    (notes / "broken.docx").write_bytes(b"PK\x03\x04 nothing")
    with (directory / "twofold.toml").open("a", encoding="utf-8") as file:
        file.write('[sources.notes]\nkind = "folder"\npaths = ["notes"]\n')
    with (directory / "data" / "examples.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"question": "A question without an answer"}\n')
    with Project.open(directory) as project:
        project.sync()
    again = Path(shutil.copytree(directory / "studies" / "0001-project", directory / "studies" / "0002-project"))
    record = json.loads((again / "study.json").read_text(encoding="utf-8"))
    (again / "study.json").write_text(json.dumps({**record, "study": again.name}), encoding="utf-8")
    with served(directory, "--arm", "rag", "--unmeasured") as server:
        yield Bench(server=server, directory=directory)
