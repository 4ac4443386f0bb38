"""What a rerun must repeat: everything but clocks, dates and counters of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from twofold.reports.archive import read_answers
from twofold.testing.projects import make_project
from twofold.verdict import sameness


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A record and its answers."""
    settings: Any = {"study": {"arms": ["base", "rag"], "resamples": 200}}
    with make_project(tmp_path_factory.mktemp("same") / "p", questions=30, settings=settings) as project:
        record = project.study()
        return record, read_answers(project.records / record["study"])


def copied(stored: tuple[Any, Any]) -> tuple[Any, Any]:
    record, rows = stored
    return json.loads(json.dumps(record)), json.loads(json.dumps(rows))


def test_another_clock_date_or_number_is_no_difference(stored: tuple[Any, Any]) -> None:
    record, rows = copied(stored)
    record["study"], record["created"], record["seconds"] = "0009-p", "2031-01-01", 99.0
    record["retrieval"]["index"]["version"] = 41
    record["bill"][0]["cached"] = 7
    arm = record["arms"]["rag"]
    arm["latency"], arm["seconds"], arm["peak_mib"] = None, 1e6, 3.0
    arm["description"]["retrieval"]["index_version"] = 41
    record["verdict"]["flips"].append({"condition": "if p95 latency may be at most 3 s", "outcome": "x", "arm": ""})
    assert sameness.differing(sameness.repeated(*stored), sameness.repeated(record, rows)) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("record.verdict.sentence", "Choose base."),
        ("record.arms.rag.metrics.answer_f1.mean", 0.123),
        ("record.arms.rag.description.retrieval.retriever.version", 99),
        ("record.retrieval.index.content", "content:0"),
        ("record.config.tuning.trainer.options.minutes", 4.5),
        ("answers.3.arms.rag.text", "another text"),
        ("answers.3.arms.rag.hits.0.start", 5),
        ("answers.0.arms.base.scores.answer_f1", 0.5),
    ],
)
def test_every_other_change_is_named_by_its_place(stored: tuple[Any, Any], place: str, value: Any) -> None:
    record, rows = copied(stored)
    whole: Any = {"record": record, "answers": rows}
    *way, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    target = whole
    for part in way:
        target = target[part]
    target[last] = value
    assert sameness.differing(sameness.repeated(*stored), sameness.repeated(record, rows)) == [place]


def test_a_missing_answer_is_named(stored: tuple[Any, Any], tmp_path: Path) -> None:
    record, rows = copied(stored)
    assert sameness.differing(sameness.repeated(*stored), sameness.repeated(record, rows[:-1])) == ["answers"]
