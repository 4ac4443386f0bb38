"""The amounts that a study meters: those of answers that there are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

import pytest

from twofold.costs.metering import QUANTITIES, opened
from twofold.plugins import loading
from twofold.plugins.protocols import Progress
from twofold.reports import archive
from twofold.testing import projects
from twofold.testing.echo_generator import EchoGenerator
from twofold.types import Completion, Prompt

PRICE_OF_AN_HOUR = "item,amount,unit,currency,date,source\nmachine,0.6,hour,EUR,2026-11-30,invented\n"


def test_a_failed_answer_is_in_no_mean_of_tokens_or_seconds(tmp_path):
    settings = {
        "generation": {"generator": {"name": "echo", "options": {"mode": "quote", "fail_every": 4}}},
        "study": {"arms": ["base", "rag"], "resamples": 400, "latency_sample": 0, "diagnostics": []},
    }
    with projects.make_project(tmp_path / "p", questions=60, settings=settings) as project:
        record = project.study()
        rows = archive.read_answers(project.records / record["study"])
        stored = {}
        for name in ("base", "rag"):
            answers = project.catalogue.answers.get(record["arms"][name]["key"], include_failures=True)
            stored[name] = [answer.usage for answer in answers.values() if answer.failure is None]
            # The wall's clock has all that the answers' own timing has, failed ones included, and more.
            answering = project.catalogue.measures.get(record["arms"][name]["key"], "answering")
            inner = sum(answer.timing.retrieval + answer.timing.generation for answer in answers.values())
            assert inner <= answering["inner"] <= answering["seconds"]
            beside = (answering["seconds"] - answering["inner"]) / answering["n"]
            whole = [a.timing.generation for a in answers.values() if a.failure is None]
            mean = opened(record["metered"]).mean(name, "generation_seconds")
            assert mean == pytest.approx(statistics.fmean(whole) + beside)
        warnings = project.cost()["warnings"]
    failed = {name: sum(1 for row in rows if row["arms"][name]["failure"]) for name in ("base", "rag")}
    assert all(0 < count < len(rows) for count in failed.values())
    assert record["metered"]["failed"] == failed
    meter = opened(record["metered"])
    for name, count in failed.items():
        assert len(stored[name]) == len(rows) - count
        read = statistics.fmean(usage.prompt_tokens for usage in stored[name])
        written = statistics.fmean(usage.completion_tokens for usage in stored[name])
        assert meter.mean(name, "prompt_tokens") == pytest.approx(read)
        assert meter.mean(name, "completion_tokens") == pytest.approx(written)
        assert record["arms"][name]["prompt_tokens"] == pytest.approx(read)
        assert record["arms"][name]["completion_tokens"] == pytest.approx(written)
        # Whoever asked got no right answer.
        assert meter.mean(name, "wrong") >= count / len(rows)
    assert len(record["metered"]["means"]) == 2 * len(QUANTITIES)
    [line] = [line for line in warnings if line.startswith(f"rag: {failed['rag']} of {len(rows)} answers failed")]
    assert "are in no mean of tokens and seconds" in line


class Sharing(EchoGenerator):
    """Answers as a local model does: each answer of a batch has an even share of its seconds."""

    def generate(self, prompts: Sequence[Prompt], *, progress: Progress | None = None) -> list[Completion]:
        completions = super().generate(prompts, progress=progress)
        return [replace(completion, seconds=2.0 / len(prompts)) for completion in completions]


def test_a_study_of_one_batch_knows_how_its_costs_vary(tmp_path):
    settings = {
        "generation": {"generator": {"name": "echo", "options": {"mode": "quote"}}},
        "study": {"arms": ["base", "rag"], "resamples": 400, "latency_sample": 0, "diagnostics": []},
    }
    with (
        loading.registered("generators", "echo", Sharing),
        projects.make_project(tmp_path / "p", questions=40, settings=settings) as project,
    ):
        (project.directory / "prices.csv").write_text(PRICE_OF_AN_HOUR, encoding="utf-8")
        meter = opened(project.study()["metered"])
        costs = project.cost()
    for name, quantity in (
        ("base", "generation_seconds"),
        ("rag", "generation_seconds"),
        ("rag", "retrieval_seconds"),
    ):
        seconds = meter.amount(name, quantity)
        assert 0 < seconds.low < seconds.mean < seconds.high < math.inf
    for name in ("base", "rag"):
        assert meter.mean(name, "generation_seconds") > 2.0 / meter.record["questions"]
        cost = costs["arms"][name]["running_per_1000"]
        assert 0 < cost["low"] < cost["mean"] < cost["high"]
    assert not [line for line in costs["warnings"] if "one batch" in line]
