"""The documentation holds: commands run, reference pages are those of the code, links lead somewhere."""

from __future__ import annotations

import json
import os
import pkgutil
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from settings_text import laid, written

from traffic_rows import row
from twofold.cli.commands import app
from twofold.cli.reference import main as reference
from twofold.models import hub
from twofold.project import Project
from twofold.traffic.log import TrafficLog

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "AGENTS.md", *sorted((ROOT / "docs").rglob("*.md"))]
DATELESS = [page for page in PAGES if page.name != "notebook.md"]
"""Pages about what is; the notebook names files as they were called then."""
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
    places = re.findall(r"\]\(([^)#\s]*\.md|)#([^)]+)\)", text)
    assert not [place for name, place in places if place not in anchors(page.parent / name if name else page)]


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as they stand in an address, and of its other targets."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower() for heading in headings]
    named = {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}
    return named | set(re.findall(r'id="([^"]+)"', text))


@pytest.mark.parametrize("page", DATELESS, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_code_that_a_page_names_exist(page: Path) -> None:
    """A page may name a file from the root, from the package, from the tests, or from the folder of its worked case."""
    named = re.findall(
        r"`((?:[\w-]+/)*[\w-]+\.py|(?:src|tests|scripts|bench)/[\w./-]+)(?:::\w+)?`", page.read_text("utf-8")
    )
    beside = (ROOT, ROOT / "src" / "twofold", ROOT / "tests", ROOT / "examples" / page.stem)
    assert not [name for name in named if not any((place / name).exists() for place in beside)]


@pytest.mark.parametrize("page", DATELESS, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_that_a_page_names_exist(page: Path) -> None:
    """``twofold.x.y`` in a page is a module, something in a module, or a group of entry points."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    named = set(re.findall(r"`(twofold(?:\.[A-Za-z_]\w*)+)`", page.read_text("utf-8")))
    missing = []
    for name in sorted(named - {"twofold.toml", *groups}):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            missing.append(name)
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
    return all(row["pulled"] for row in hub.listing() if not row["optional"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md"])
def test_the_commands_run_in_order(name: str, tmp_path: Path) -> None:
    """Every command of the page, as a reader types it, in a directory that looks like a clone beside `my-folder`."""
    if not have_models():
        assert not os.environ.get("CI"), "CI pulls the models before the tests"
        pytest.skip("the embedded models are not in the cache: twofold models pull")
    here = tmp_path / "clone"
    here.mkdir()
    (here / "src").symlink_to(ROOT / "src")
    shutil.copytree(ROOT / "src" / "twofold" / "demo", here / "my-folder")
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
    left = {path.name for path in (tmp_path / "clone").iterdir()} - {"src", "my-folder", "my-project"}
    assert not left, f"the page leaves {left} in the clone"


HOW_TO = (
    "documents",
    "sync",
    "retrieval",
    "measure-retrieval",
    "agents",
    "permissions",
    "hostile-text",
    "advise",
    "forecast",
    "traffic",
)
NOT_RUN = {"twofold tune --what embedder --minutes 10"}
"""Minutes of training: tests/ranking trains an embedder in seconds."""
FAST = {
    "generation": {"generator": {"name": "echo", "options": {"mode": "quote"}}},
    "retrieval": {"embedder": {"name": "hashing"}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOW_TO)
def test_the_commands_of_a_how_to_page_run_with_its_settings(name: str, tmp_path: Path) -> None:
    """Every command of the page in order, in a project that has the page's own `toml` blocks in force."""
    if name == "measure-retrieval" and not have_models():
        assert not os.environ.get("CI"), "CI pulls the models before the tests"
        pytest.skip("the embedded models are not in the cache: twofold models pull")
    page = ROOT / "docs" / "how-to" / f"{name}.md"
    here = how_to_project(name, page.read_text(encoding="utf-8"), tmp_path)
    told = {}
    for line in (line for block in blocks(page) for line in block.commands if line.startswith("twofold ")):
        if line in NOT_RUN:
            continue
        words = [sys.executable, "-m", "twofold", *shlex.split(line)[1:]]
        if "--watch" in words:
            told[line] = watched(words, here)
            continue
        done = subprocess.run(
            words, cwd=here, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300, check=False
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), f"$ {line} printed nothing"
        told[line] = done.stdout
    everything = "\n".join(told.values())
    for words in EXPECTED.get(name, ()):
        assert words in everything, f"{page.name}: nothing printed {words!r}"


EXPECTED = {
    "agents": ("There are 7 plums in stock.",),
    "permissions": ("Friday",),
    "sync": ("1 added", "forgotten: handbook:docs/leave.md"),
    "retrieval": ("near_duplicates", "parent"),
    "hostile-text": ("nitrogen",),
    "traffic": ("2 rows", "exported: 2 rows", "deleted: 0 rows", "1 new example", "1 question that nobody"),
    "forecast": ("predicted gain of retrieval", "tuning was not probed", "forecast of ", "rag \u2212 base"),
    "advise": ("Start with rag: retrieval.", "This is an opinion", "[change.hourly]", '"ranking"', "advice: 0 hit"),
}


def how_to_project(name: str, page: str, place: Path) -> Path:
    """The demo as a project, with what the page takes for granted."""
    here = place / "my-project"
    Project.create(here, ROOT / "src" / "twofold" / "demo").close()
    settings = tomllib.loads((here / "twofold.toml").read_text(encoding="utf-8"))
    for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL):
        settings = laid(settings, tomllib.loads(block))
    if name != "measure-retrieval":
        settings = laid(settings, FAST)
    for folder, file, text in (
        ("manuals", "pump.md", "# Pump\n\nCheck the pressure."),
        ("docs", "leave.md", "# Leave\n\nThirty days a year."),
        ("handbook", "audit.md", "# Audit\n\nThe audit is on Friday."),
        ("goods", "kettle.md", "---\nprice: 25\nadded: 2031-05-01\ntags: [red]\n---\n# Kettle\n\nThe kettle is cheap."),
    ):
        (here / folder).mkdir()
        (here / folder / file).write_text(text, encoding="utf-8")
    folders = {"permissions": "handbook", "retrieval": "goods"}
    if name in folders:
        settings["documents"]["paths"].append(folders[name])
    if name == "traffic":
        served_before(here)
    if name == "agents":
        with sqlite3.connect(here / "data" / "shop.db") as shop:
            shop.execute("CREATE TABLE stock (item TEXT, amount INTEGER)")
            shop.execute("INSERT INTO stock VALUES ('plums', 7)")
        shop.close()
    if name == "sync":
        settings["sources"] = {"handbook": settings["sources"]["handbook"]}  # the others are on example.org
    (here / "twofold.toml").write_text("\n".join(written(settings)), encoding="utf-8")
    if name == "sync":
        with Project.open(here) as project:
            for number in range(9):
                (here / "docs" / "pay.md").write_text(f"# Pay\n\nOn day {number}.", encoding="utf-8")
                project.sync()
            (here / "docs" / "new.md").write_text("# New\n\nSee the canteen.", encoding="utf-8")
    return here


def served_before(here: Path) -> None:
    """What a server of the project has stored."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    with TrafficLog(here / "traffic.sqlite") as log:
        log.append(
            [row(at=now, question="Is there a gym?", abstained=True), row(at=now, question="How deep is a well?")]
        )
    (here / "serving").mkdir()
    feedback = {"question": "Is there a pool?", "answer": "No.", "correction": "Yes, on the roof."}
    (here / "serving" / "feedback.jsonl").write_text(json.dumps(feedback) + "\n", encoding="utf-8")


def watched(words: list[str], here: Path) -> str:
    """What `--watch` prints first; it ends with Ctrl-C, to which a job in the background is deaf unless told."""
    following = subprocess.Popen(
        words,
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    try:
        assert following.stdout is not None
        first = following.stdout.readline()
        following.send_signal(signal.SIGINT)
        _, said = following.communicate(timeout=60)
    finally:
        following.kill()
    assert first.strip(), said
    assert "Traceback" not in said
    return first
