"""What is done in one place only: read from the source, so that a second place is found before it differs."""

from __future__ import annotations

import ast
from pathlib import Path

import parsed

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "twofold"
MODULES = sorted(SOURCE.rglob("*.py"))
MOVES = {"os.replace", "os.rename", "os.renames", "os.fsync", "shutil.move", "os.fdatasync"}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def moved(source: str) -> list[int]:
    """Lines that sync a file or put one in another's place: ``path.replace(other)`` has one argument, a text's two."""
    return [
        call.lineno
        for call, name in parsed.calls(source)
        if name in MOVES
        or (isinstance(call.func, ast.Attribute) and call.func.attr in ("replace", "rename") and _one_argument(call))
    ]


def _one_argument(call: ast.Call) -> bool:
    return len(call.args) == 1 and not call.keywords


@parsed.each(MODULES, name_of)
def test_files_are_put_in_place_by_one_module(path: Path) -> None:
    if name_of(path) == "files/writing.py":
        assert moved(parsed.text(path))
        return
    assert moved(parsed.text(path)) == [], "use twofold.files.writing, which syncs what it renames"


@parsed.each(MODULES, name_of)
def test_answers_are_made_and_committed_by_one_loop(path: Path) -> None:
    here = [
        call.lineno for call, name in parsed.calls(parsed.text(path)) if name.endswith(("answers.put", "store.put"))
    ]
    assert len(here) == (name_of(path) == "answering/cached.py"), f"use cached.committed: lines {here}"


@parsed.each(MODULES, name_of)
def test_seconds_are_summed_up_to_a_p95_by_one_module(path: Path) -> None:
    if name_of(path) in ("host/timing.py", "stats/intervals.py"):
        return
    source = parsed.text(path)
    here = [
        call.lineno
        for call, name in parsed.calls(source)
        if name.endswith("np.quantile") and "0.95" in ast.unparse(call)
    ]
    assert here == [], "use timing.Clock: two figures called p95 must compare"


DIGESTS = {"examples/questions.py": 1}
"""How often `example_digest` is called in a module: `Questions` does it, for as many examples as there are."""


@parsed.each(MODULES, name_of)
def test_digests_of_examples_are_worked_out_by_one_class(path: Path) -> None:
    here = [call.lineno for call, name in parsed.calls(parsed.text(path)) if name.endswith("example_digest")]
    assert len(here) == DIGESTS.get(name_of(path), 0), f"use examples.questions.Questions: lines {here}"


def test_a_second_writer_would_be_found() -> None:
    assert moved("import os\nos.replace(a, b)\ndraft.rename(path)\ndraft.replace(path)\nos.fsync(1)\n") == [2, 3, 4, 5]
    assert moved("text.replace('a', 'b')\nreplace(record, a=1)\nmoment.replace(tzinfo=UTC)\n") == []


STARTS = {
    *(f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output", "Popen", "getoutput")),
    *(f"os.{name}" for name in ("fork", "popen", "system", "posix_spawn", "spawnv", "spawnl", "execv")),
    "multiprocessing.Process",
}
WITHOUT_WATCH = {
    "host/children.py": "the way itself",
    "host/capabilities.py": "sysctl of macOS, which ends at once",
    "host/confined.py": "the child has the kernel end it with its parent (`host.confined_child`)",
    "corpus/sandbox.py": "the worker watches its input (`corpus.worker`)",
    "generation/live/child.py": "the worker watches its input (`generation.live.worker`)",
    "deployment/installer.py": "runs where no Twofold is; Python, pip and ssh-keygen end by themselves",
    "corpus/sources/git.py": "git ends when nobody reads what it writes",
}
"""Modules that start a process by themselves, each with the reason why it ends with its parent all the same."""


def test_processes_are_started_by_children_alone() -> None:
    """Whatever ends a command ends what it has started: `twofold.host.children` sees to it."""
    starters = set()
    for path in MODULES:
        names = {name for _, name in parsed.calls(parsed.text(path))}
        if names & STARTS:
            starters.add(name_of(path))
    assert starters == set(WITHOUT_WATCH)
