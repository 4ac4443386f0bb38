"""The diagnosis with the real small model: a limit that is planted too low is found on the demo's questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twofold.models import hub
from twofold.project import Project
from twofold.reports import archive
from twofold.study.diagnosing import Scope
from twofold.testing.projects import make_project

LOW = 8
"""Tokens: a quarter of the free limit, so that the diagnosis raises it to where it was."""


@pytest.mark.slow
def test_a_limit_that_is_too_low_is_found_where_the_answer_was_right_without_it(tmp_path: Path) -> None:
    if not all(row["pulled"] for row in hub.listing() if not row["optional"]):
        pytest.skip("the embedded models are not in the cache: twofold models pull")
    local = {"generator": {"name": "local", "options": {}}, "batch": 16}
    settings = {
        "study": {"arms": ["rag"], "diagnostics": [], "latency_sample": 0},
        "generation": {**local, "max_tokens": 4 * LOW},
        "retrieval": {"embedder": {"name": "minilm", "options": {}}},
    }
    with make_project(tmp_path / "p", questions=120, settings=settings) as project:
        free = project.study()
        overrides = project.overrides
    right = set()
    for row in archive.read_answers(tmp_path / "p" / "studies" / free["study"]):
        if (row["arms"]["rag"]["scores"][free["metric"]] or 0) >= 0.5:
            right.add(row["id"])
    # Only the questions that the arm answers right: all that goes wrong now is planted.
    path = next((tmp_path / "p" / "data").glob("examples*"))
    examples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    chosen = [json.dumps(example) for example in examples if example["id"] in right]
    path.write_text("\n".join(chosen) + "\n", encoding="utf-8")
    overrides["generation"]["max_tokens"] = LOW
    overrides.setdefault("examples", {}).update({"train": 0, "dev": 0, "test": 1})
    with Project.open(tmp_path / "p", overrides) as project:
        project.study()
        diagnosis = project.diagnosis.run(Scope(arms=("rag",), fixes=False))["arms"]["rag"]
    causes = [row["cause"] for row in diagnosis["rows"]]
    print(f"{len(right)} right at {4 * LOW} tokens, {len(causes)} of them wrong at {LOW}: {causes}")
    # Few: in 32 tokens the model answers two of 46 questions right, with sentences that 8 tokens cut.
    assert causes, "the limit made no answer wrong"
    assert causes.count("cut") >= 0.95 * len(causes)
