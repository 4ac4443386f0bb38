"""Every command of the pages about examples and tuning runs, in order, with a model that trains in seconds."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from settings_text import laid, written

from twofold.project import Project

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Reader:
    """Somebody who types what a page says, in one project."""

    here: Path
    ids: list[str] = field(default_factory=list)
    """Tuned models that the project has, for the ids on the page."""
    named: dict[str, str] = field(default_factory=dict)

    def types(self, line: str, *, codes: Sequence[int] = (0,)) -> str:
        """Run a command."""
        words = [re.sub(r"\b[0-9a-f]{8}\b", self._known, word) for word in shlex.split(line, comments=True)]
        assert words[0] == "twofold"
        done = subprocess.run(
            [sys.executable, "-m", "twofold", *words[1:]],
            cwd=self.here,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )
        assert done.returncode in codes, f"$ {line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        assert (done.stdout + done.stderr).strip(), f"$ {line} said nothing"
        return done.stdout

    def learns(self, *, seed: int = 0) -> None:
        """One tuned model more."""
        told = self.types(f"twofold tune --arm ft --json --set tuning.seed={seed}")
        self.ids.append(json.loads(told)["id"])

    def _known(self, found: re.Match[str]) -> str:
        if found[0] not in self.named:
            self.named[found[0]] = self.ids[len(self.named) % len(self.ids)]
        return self.named[found[0]]


def commands(page: str) -> list[str]:
    """Those in the page's `sh` and `console` blocks."""
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")
    found = "\n".join(re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL))
    return [line.removeprefix("$ ") for line in found.splitlines() if line.removeprefix("$ ").startswith("twofold ")]


@pytest.fixture
def reader(tiny: Path, tmp_path: Path) -> Reader:
    """With a project of the demo's data and the little model."""
    here = tmp_path / "my-project"
    Project.create(here, ROOT / "src" / "twofold" / "demo").close()
    options = {"epochs": 1, "batch": 8, "evaluations": 1, "dev_items": 2, "learning_rate": 0.02, "replay": 0}
    settings = {
        "generation": {"generator": {"name": "local", "options": {"model": f"path:{tiny}"}}, "max_tokens": 8},
        "retrieval": {"embedder": {"name": "hashing"}},
        "tuning": {"gate": "off", "trainer": {"name": "lora", "options": options}},
    }
    old = tomllib.loads((here / "twofold.toml").read_text(encoding="utf-8"))
    (here / "twofold.toml").write_text("\n".join(written(laid(old, settings))), encoding="utf-8")
    return Reader(here)


def examples(reader: Reader) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [(f"Where is card number {n}?", "card_arrival") for n in range(20)]
    rows += [(f"How do I close account {n}?", "close_account") for n in range(20)]
    with (reader.here / "support.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("Utterance", "Intent"), *rows])
    chats = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in rows]
    pq.write_table(pa.table({"messages": chats}), reader.here / "chats.parquet")
    made = [{"id": str(n), "input": q, "output": a} for n, (q, a) in enumerate(rows)]
    (reader.here / "data" / "new.jsonl").write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    (reader.here / "labels.txt").write_text("card_arrival\nclose_account\n", encoding="utf-8")


def making(reader: Reader) -> None:
    feedback = (
        '{"question": "When should pivots be checked?", "answer": "Weekly.", "rating": "up", "at": "2025-03-01"}\n'
        '{"question": "Whom can I call?", "answer": "Nobody.", "correction": "The office.", "conversation": "c7"}\n'
    )
    (reader.here / "feedback.jsonl").write_text(feedback, encoding="utf-8")
    (reader.here.parent / "other-manuals").mkdir()
    (reader.here.parent / "other-manuals" / "pump.md").write_text("# Pump\n\nCheck the pressure.", encoding="utf-8")


def two_models(reader: Reader) -> None:
    reader.learns(seed=1)
    reader.learns(seed=2)
    reader.types(f"twofold models promote {reader.ids[0]} --why before --by me")


def champion(reader: Reader) -> None:
    two_models(reader)
    lines = [json.dumps({"id": f"n{n}", "question": f"What is {n}?", "answers": [f"{n}"]}) for n in range(60)]
    (reader.here / "data" / "examples-new.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


PAGES: dict[str, Callable[[Reader], None]] = {
    "examples": examples,
    "make-examples": making,
    "tune": lambda _: None,
    "forgetting": two_models,
    "models": two_models,
    "retrain": champion,
}
BY_HAND = {"forgetting", "models"}
"""Pages that CI has no time for; tests/models and tests/forgetting run what they tell in parts."""
ALLOWED = {"examples check": (0, 1), "tune": (0, 1)}
"""Exit code 1 tells of errors found, a gate that failed, something due."""


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_order(reader: Reader, page: str) -> None:
    if page in BY_HAND and os.environ.get("CI"):
        pytest.skip("two minutes each: run by hand before a release")
    PAGES[page](reader)
    ran = 0
    for line in commands(page):
        inside = line.replace(" -C my-project", "")
        codes = next((c for told, c in ALLOWED.items() if inside.startswith(f"twofold {told}")), (0,))
        reader.types(inside, codes=codes)
        ran += 1
    assert ran
