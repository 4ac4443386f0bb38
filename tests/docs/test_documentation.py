"""The documentation holds: commands run, reference pages are those of the code, links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from twofold.cli.main import app
from twofold.cli.reference import main as reference
from twofold.store import models

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "AGENTS.md", *sorted((ROOT / "docs").rglob("*.md"))]
DEMO = "<!-- ci: demo -->"
RUN_BY_THE_DEMO = {"scripts/demo", "twofold study --yes", 'twofold ask "how does mulch save water?"'}
"""Commands too long for a test of documentation: CI runs them as `scripts/demo --quick`."""


@dataclass(frozen=True)
class Block:
    page: Path
    commands: tuple[str, ...]
    demo: bool


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"(<!-- ci: demo -->\n)?```console\n(.*?)```", text, re.DOTALL):
        lines = [line[2:].strip() for line in found.group(2).splitlines() if line.startswith("$ ")]
        yield Block(page=page, commands=tuple(lines), demo=bool(found.group(1)))


def every_command() -> list[tuple[str, str]]:
    return [
        (str(page.relative_to(ROOT)), line)
        for page in PAGES
        for block in blocks(page)
        for line in block.commands
        if line.startswith("twofold ")
    ]


@pytest.mark.parametrize(("page", "line"), every_command())
def test_every_command_is_one_that_the_command_line_takes(page: str, line: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    context = command.make_context(
        "twofold", words[:1] if hasattr(command, "commands") else words, resilient_parsing=True
    )
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"{page}: no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, words, parent=context)  # raises on an unknown option or a missing argument


def test_commands_left_to_the_demo_are_known() -> None:
    told = {line for page in PAGES for block in blocks(page) if block.demo for line in block.commands}
    assert told == RUN_BY_THE_DEMO


def test_the_reference_is_that_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference(["--check", "--to", str(ROOT / "docs" / "reference")]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        seen.add(page)
        for target in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve()
            if "://" not in target and path not in seen:
                todo.append(path)
    lost = [str(p.relative_to(ROOT)) for p in PAGES if p not in seen and p.name != "notebook.md"]
    assert not lost


def have_models() -> bool:
    return all(row["pulled"] for row in models.listing())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md"])
def test_the_commands_run_in_order(name: str, tmp_path: Path) -> None:
    """Every command of the page, as a reader types it, in a directory that looks like a clone beside `my-folder`."""
    if not have_models():
        assert not os.environ.get("CI"), "CI pulls the models before the tests"
        pytest.skip("the embedded models are not in the cache: twofold models pull")
    (tmp_path / "src").symlink_to(ROOT / "src")
    shutil.copytree(ROOT / "src" / "twofold" / "demo", tmp_path / "my-folder")
    here = tmp_path
    ran = 0
    for block in blocks(ROOT / name):
        for line in () if block.demo else block.commands:
            words = shlex.split(line)
            if words[0] == "cd":
                here = here / words[1]
                continue
            assert words[0] == "twofold", f"only twofold and cd: {line}"
            done = subprocess.run(
                [sys.executable, "-m", "twofold", *words[1:]],
                cwd=here,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, f"$ {line}\n{done.stdout}\n{done.stderr}"
            assert done.stdout.strip(), f"$ {line} printed nothing"
            ran += 1
    assert ran >= 5
