"""Certificates of a race, and of a study that a pooled metric decides: run again, and what must be noticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import StudyError
from twofold.plugins import loading
from twofold.reports import archive
from twofold.reports.comparison import compare
from twofold.study.comparing import statistics
from twofold.study.replaying import answer_of, example_of
from twofold.study.verifying import Verification, verify
from twofold.testing.projects import make_project
from twofold.verdict.certificate import seal_of

Change = Callable[[Any], Any]
FILES = ("verdict.json", "study.json", "answers.jsonl.gz")
RACE: dict[str, Any] = {
    "study": {
        "arms": ["base", "prompt", "rag"],
        "diagnostics": [],
        "latency_sample": 0,
        "metric": "contains",
        "metrics": ["token_f1", "exact_match"],
        "resamples": 200,
    },
    "generation": {"generator": {"name": "echo", "options": {"mode": "quote", "fail_every": 19}}},
    "retrieval": {"index": {"name": "memory"}},
}
POOLED: dict[str, Any] = {
    "study": {
        "arms": ["base", "prompt"],
        "diagnostics": ["oracle"],
        "latency_sample": 0,
        "metric": "style",
        "metrics": ["token_f1"],
        "resamples": 200,
    },
    "generation": {"generator": {"name": "echo", "options": {"mode": "fixed", "fixed": "Yes.", "fail_every": 5}}},
    "retrieval": {"index": {"name": "memory"}},
}


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A race that was won early, with failed answers."""
    with make_project(tmp_path_factory.mktemp("raced") / "project", questions=160, settings=RACE) as project:
        return project.records / project.study(race=True)["study"]


@pytest.fixture(scope="module")
def by_style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that `style` decides, with failed answers and a diagnostic arm."""
    with make_project(tmp_path_factory.mktemp("style") / "project", questions=40, settings=POOLED) as project:
        return project.records / project.study()["study"]


def changed(study: Path, directory: Path, change: Change, *, beside: bool = False) -> Verification:
    """A copy of a certificate with a change, sealed anew, alone or with record and answers beside it."""
    for name in FILES if beside else FILES[:1]:
        shutil.copy(study / name, directory / name)
    stored = json.loads((directory / "verdict.json").read_text(encoding="utf-8"))
    change(stored)
    stored["seal"] = seal_of(stored)
    (directory / "verdict.json").write_text(json.dumps(stored), encoding="utf-8")
    return verify(directory)


def test_a_race_is_run_again_and_verified(raced: Path, tmp_path: Path) -> None:
    found = verify(raced)
    assert (found.faults, found.open) == ((), ())
    assert {"the race, run again from the outcomes", "the order of the race's groups"} <= set(found.agreed)
    certificate = json.loads((raced / "verdict.json").read_text(encoding="utf-8"))
    race = certificate["race"]
    assert race["record"] == archive.read_record(raced)["race"]
    assert race["record"]["questions"] == len(certificate["outcomes"]) < race["record"]["planned"]
    alone = changed(raced, tmp_path, lambda it: it)
    assert alone.faults == ()
    assert any("order of the race's groups is taken as certified" in line for line in alone.open)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it["race"]["record"].update(crowned="prompt"),
        lambda it: it["race"]["record"].update(alpha=0.2),
        lambda it: it["race"]["record"]["answers"].update(base=1),
        lambda it: it["race"]["record"]["looks"][0]["wealth"].update({"rag - base": [9.0, 0.0]}),
        lambda it: it["race"]["record"]["looks"].pop(),
        lambda it: it["race"]["shards"].reverse(),
        lambda it: it["race"]["shards"][0].pop(),
        lambda it: it["facts"]["race"]["differences"].update({"rag - base": [0.5, 0.9]}),
        lambda it: it["facts"]["race"]["p"].update({"rag - base": 1e-9}),
        lambda it: it["facts"]["race"].update(test=True),
        lambda it: it["facts"]["race"].update(crowned="base"),
        lambda it: it["facts"]["race"].update(doubts=[]),
        lambda it: it["facts"]["race"]["covers"]["base"].__setitem__(0, False),
        lambda it: it["outcomes"][0]["scores"].pop("base"),
        lambda it: it["outcomes"][0]["scores"]["rag"].update(
            contains=1 - it["outcomes"][0]["scores"]["rag"]["contains"]
        ),
        lambda it: it.update(race=None),
    ],
)
def test_no_part_of_a_race_can_be_another(raced: Path, tmp_path: Path, change: Change) -> None:
    assert changed(raced, tmp_path, change).faults


def test_an_order_of_groups_that_is_not_the_hashs_is_noticed_beside_the_answers(raced: Path, tmp_path: Path) -> None:
    """Two groups of one shard exchanged: every look is the same, only the order is not that of the hash."""

    def exchanged(certificate: Any) -> None:
        shard = certificate["race"]["shards"][0]
        shard[0], shard[1] = shard[1], shard[0]

    assert any(line.startswith("race.shards") for line in changed(raced, tmp_path, exchanged, beside=True).faults)


def test_a_pooled_statistic_is_worked_out_again_and_said_from_what(by_style: Path, tmp_path: Path) -> None:
    found = verify(by_style)
    assert (found.faults, found.open) == ((), ())
    assert "style, its folds and what each adds, from all answers together" in found.agreed
    alone = changed(by_style, tmp_path, lambda it: it)
    assert alone.faults == ()
    assert "statistics of all answers, from their stored columns" in alone.agreed
    assert any("style is taken from its stored columns" in line for line in alone.open)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it["facts"]["pooled"]["base"]["whole"].update(low=0.0123),
        lambda it: it["facts"]["pooled"]["base"]["whole"].update(failed=99),
        lambda it: it["facts"]["pooled"]["base"]["scores"].__setitem__(0, 0.987),
        lambda it: it["facts"]["pooled"]["base"]["estimate"].update(mean=0.987),
        lambda it: it["facts"].update(pooled={}),
        lambda it: it["estimates"]["base"]["style"].update(mean=0.987),
    ],
)
def test_no_part_of_a_pooled_statistic_can_be_another(by_style: Path, tmp_path: Path, change: Change) -> None:
    assert changed(by_style, tmp_path, change).faults


def test_where_answers_were_forgotten_a_pooled_statistic_is_taken_from_its_columns(
    by_style: Path, tmp_path: Path
) -> None:
    for name in FILES:
        shutil.copy(by_style / name, tmp_path / name)
    shown = [hit["document"] for row in archive.read_answers(tmp_path) for hit in row["arms"]["oracle"]["hits"]]
    assert archive.redact(tmp_path, shown[0], ())
    found = verify(tmp_path)
    assert found.faults == ()
    assert any(line.startswith("style is not worked out again, but for its stored columns") for line in found.open)


def test_statistics_that_agree_with_each_other_must_agree_with_the_answers(by_style: Path, tmp_path: Path) -> None:
    def exchanged(certificate: Any) -> None:
        certificate["facts"]["pooled"]["base"]["estimate"]["high"] = 0.999
        certificate["estimates"]["base"]["style"]["high"] = 0.999

    assert changed(by_style, tmp_path, exchanged, beside=True).faults


def test_a_race_is_compared_by_the_questions_that_both_asked_and_said_to_have_stopped(raced: Path) -> None:
    record, rows = archive.read_record(raced), archive.read_answers(raced)
    # As a later study has it that one arm was asked fewer questions in: some rows lack it.
    later: Any = json.loads(json.dumps(rows))
    for row in later[:5]:
        del row["arms"]["base"]
    comparison = compare((record, rows), (record, later), arm="base")
    assert len(comparison.result.answers) == len(rows) - 5
    assert comparison.result.only == (5, 0)
    assert comparison.early == (record["study"],)
    failed = sum(row["arms"]["base"]["failure"] is not None for row in later[5:])
    assert comparison.result.difference is not None
    assert comparison.result.difference.failed == failed > 0
    assert comparison.to_json()["stopped_early"] == list(comparison.early)


def both(first: Any, second: Any, directory: Path, **options: str) -> Any:
    return compare(first, second, statistic=statistics(first, second, directory=directory), **options)


def test_two_races_are_compared_with_intervals_that_hold_whenever_they_stopped(raced: Path) -> None:
    record, rows = archive.read_record(raced), archive.read_answers(raced)
    later: Any = json.loads(json.dumps(rows))
    for row in later[::2]:
        row["arms"]["rag"] |= {
            "text": "nothing",
            "failure": None,
            "scores": {**row["arms"]["rag"]["scores"], "contains": 0.0},
        }
    result = both((record, rows), (record, later), raced, arm="rag").result
    plain = compare((record, rows), (record, later), arm="rag").result
    assert (result.kind, plain.kind) == ("anytime", "")
    assert [answer.change for answer in result.answers] == [answer.change for answer in plain.answers]
    assert result.difference.mean == pytest.approx(plain.difference.mean)
    assert result.difference.low < result.difference.mean < plain.difference.high < result.difference.high
    assert (plain.standing(0.02), result.standing(0.02)) == ("worse", "cannot tell")
    for mean, fixed in zip(result.means, plain.means, strict=True):
        assert mean.mean == pytest.approx(fixed.mean)
        assert mean.low <= mean.mean <= mean.high
    # Of another order nothing follows: the race before it stopped by other questions.
    shuffled: Any = json.loads(json.dumps(record))
    shuffled["config"]["study"]["seed"] += 1
    assert both((record, rows), (shuffled, later), raced, arm="rag").result.kind == ""


def test_studies_that_a_pooled_metric_decided_are_compared_by_the_statistic_of_the_questions_in_both(
    by_style: Path,
) -> None:
    record, rows = archive.read_record(by_style), archive.read_answers(by_style)
    later: Any = json.loads(json.dumps(rows[3:]))
    for row in later:
        if row["arms"]["base"]["failure"] is None:
            row["arms"]["base"] |= {"text": row["references"][0], "raw": row["references"][0]}
    comparison = both((record, rows), (record, later), by_style, arm="base")
    result, style = comparison.result, loading.make("metrics", "style", {})
    assert result.kind == comparison.to_json()["kind"] == "pooled"
    assert result.only == (3, 0)
    for side, mean in zip((rows[3:], later), result.means, strict=True):
        items = [(example_of(row), answer_of(row, "base")) for row in side if row["arms"]["base"]["failure"] is None]
        assert mean.mean == pytest.approx(style.pool(items))
    assert result.difference.low <= result.difference.mean <= result.difference.high
    assert result.shown == "better", "answers that are the references have their style"
    assert result.counts()["better"] > 0
    assert result.difference.failed > 0
    same = both((record, rows), (record, rows), by_style, arm="base")
    assert (same.same, same.result.difference.mean, same.standing(0.0)) == (True, 0.0, "not worse")


def test_where_the_pooled_metric_is_not_to_be_had_another_is_named(by_style: Path, tmp_path: Path) -> None:
    stored = archive.read_record(by_style), archive.read_answers(by_style)
    with pytest.raises(StudyError, match=r"no question of .* has a score in 'style' in both") as refused:
        both(stored, stored, tmp_path, arm="base")
    assert "Both measured besides: token_f1" in refused.value.cure
    assert compare(stored, stored, arm="base", metric="token_f1").early == ()
