"""One browser for all pages, and fresh windows of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import browsing
import pytest
from playwright.sync_api import Browser, sync_playwright
from serving_process import Running, served

from twofold.project import Project

Opened = Callable[..., browsing.Watched]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real browser; it ends with the file, since tests of others start event loops, which it does not suffer."""
    if not browsing.PROGRAM:
        pytest.skip("no chromium on this machine: the page is not looked at in a browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=browsing.PROGRAM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def window(chromium: Browser, server: Running) -> Iterator[Opened]:
    """Opens a window at the shared server; a test that is over has logged no error and called no other host."""
    windows = []
    with ExitStack() as stack:

        def opened(url: str = "", **options: object) -> browsing.Watched:
            enter = partial(browsing.watched, chromium, url or server.url)
            windows.append(stack.enter_context(enter(**options)))  # type: ignore[arg-type]
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
