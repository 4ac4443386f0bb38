"""The amounts that a study meters: those of answers that there are."""

from __future__ import annotations

import statistics

import pytest

from twofold.costs.metering import QUANTITIES, opened
from twofold.reports import archive
from twofold.testing import projects


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
