"""What a plan says that a study could show."""

from __future__ import annotations

import gzip
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twofold.project import Project
from twofold.reports import archive
from twofold.settings.sections import StudySection
from twofold.stats import intervals
from twofold.study.plan import prospect_text
from twofold.verdict.power import Prospect, Simulation, Spreads, prospect, spreads_of

SECTION = StudySection(resamples=300)


def test_more_questions_more_groups_and_even_groups_show_smaller_gains():
    usual = prospect([2] * 60, arms=5, section=SECTION).least
    assert usual is not None
    for sizes in ([2] * 240, [4] * 60):
        more = prospect(sizes, arms=5, section=SECTION).least
        assert more is not None
        assert more < 0.9 * usual
    uneven = prospect([61, *[1] * 59], arms=5, section=SECTION).least
    assert uneven is None or uneven > 1.3 * usual
    fewer = prospect([2] * 60, arms=2, section=SECTION).least
    assert fewer is not None
    assert fewer < usual


def test_no_gain_above_one_is_promised_where_questions_are_few():
    for sizes in ([], [3], [1, 1], [1, 1, 1]):
        seen = prospect(sizes, arms=5, section=SECTION)
        assert seen.least is None
        assert prospect_text(seen) == "no gain up to .20 can be shown with so few"


def test_chances_rise_with_the_gain_and_are_told_in_tenths():
    seen = prospect([1] * 150, arms=3, section=SECTION)
    (_, low), (_, high) = seen.chances
    assert 0 < low < high <= 1
    assert all(least < best for (_, least), best in zip(seen.chances, seen.best, strict=True))
    told = Prospect(chances=((0.1, 0.31), (0.2, 0.94)), best=(0.52, 0.97), least=0.17, measured=True)
    assert prospect_text(told) == (
        "a gain of .10 is shown in 3 to 5 of 10 such studies, a gain of .20 in 9 to 10 of 10 "
        "(by the spreads of an earlier study)"
    )
    assumed = "(assuming that two arms disagree on 15 to 40 % of the questions)"
    assert assumed in prospect_text(replace(told, measured=False))


def test_the_simulated_chance_is_that_of_real_intervals():
    rng = np.random.default_rng(0)
    names, hits = ["a", "b", "c"], 0
    variances = np.full((3, 3), 2 * 0.2**2 / 80) * (1 - np.eye(3))
    spreads = Spreads(variances=variances, covered=np.full((3, 3), 0.1), worst=np.ones((3, 3)), n=80, worth=80)
    wanted = Simulation(spreads, level=0.95, margin=0.02).chosen(2, [0, 0, 0.09])
    for seed in range(200):
        values = np.clip(rng.normal([0.4, 0.4, 0.49], 0.2, (80, 3)), 0, 1)
        found = intervals.contrasts(values, None, intervals.pairs(names), joint=False, resamples=300, seed=seed)
        hits += found["c - a"].low > 0 and found["c - b"].low > 0
    assert hits / 200 == pytest.approx(wanted, abs=0.13)


def test_a_steady_gain_that_whole_losses_unseen_could_undo_is_not_promised():
    rng, shown = np.random.default_rng(3), {}
    for gain in (0.05, 0.09):
        scores = np.array([0.6, 0.6 + gain]) + rng.uniform(-0.02, 0.02, (60, 2))
        found = intervals.contrasts(scores, None, intervals.pairs(["a", "b"]), joint=False, resamples=300)
        spreads = replace(spreads_of(found, ["a", "b"]), variances=np.full((2, 2), 1e-5) * (1 - np.eye(2)))
        spreads = replace(spreads, covered=np.full((2, 2), 0.1))
        assert spreads.worst[1, 0] == 0, "no question was lost"
        shown[gain] = found["b - a"].low > 0
        chance = Simulation(spreads, level=0.95, margin=0.02).chosen(1, [0, gain])
        assert chance > 0.98 if shown[gain] else chance < 0.02
        met = replace(spreads, worst=np.ones((2, 2)))
        assert Simulation(met, level=0.95, margin=0.02).chosen(1, [0, gain]) > 0.98
    assert shown == {0.05: False, 0.09: True}


def test_a_plan_counts_with_the_level_of_the_look_that_will_decide(project: Project) -> None:
    chances, levels = [], []
    settings = project.config.model_dump()
    project.close()
    for margin in (0.02, 0.03, 0.04):
        study = {**settings["study"], "margin": margin, "diagnostics": ()}
        with Project.open(project.directory, {**settings, "study": study}) as opened:
            plan, record = opened.plan(), opened.study()
        assert plan.level == record["decided_at"], "a plan counts with the level at which it will be decided"
        levels.append(plan.level)
        chances.append(plan.prospect.chances)
    assert levels == [0.97, 0.9925, 0.9967]
    assert chances[2][1][1] < chances[1][1][1], "the same spreads at a stricter level"


def test_arms_that_never_differed_are_not_taken_to_be_equal_for_ever():
    found = intervals.contrasts(np.zeros((20, 2)), None, intervals.pairs(["a", "b"]), joint=False)
    assert spreads_of(found, ["a", "b"]).variances[1, 0] > 0.001


def test_planning_takes_less_than_two_seconds():
    start = time.process_time()
    prospect([3] * 400, arms=6, section=SECTION)
    assert time.process_time() - start < 2


def test_a_plan_after_a_study_uses_its_spreads_and_says_so(project: Project) -> None:
    with project:
        first = project.plan()
        record = project.study()
        plan = project.plan()
    assert "assuming that two arms disagree on 15 to 40 % of the questions" in first.shows
    assert "by the spreads of an earlier study" in plan.shows
    assert [gain for gain, _ in plan.prospect.chances] == [0.1, 0.2]
    assert plan.prospect.chances != first.prospect.chances
    assert record["policy"]["groups_worth"] < record["policy"]["groups"]


def test_an_earlier_study_without_answers_tells_no_spread(project: Project) -> None:
    """Its answers are taken out where a document that all of them show is forgotten."""
    with project:
        first = project.plan()
        record = project.study()
        kept = project.records / record["study"] / "answers.jsonl.gz"
        kept.write_bytes(gzip.compress(b""))
        assert "assuming that two arms disagree" in project.plan().shows
        assert first.prospect.chances


def test_failed_answers_of_an_earlier_study_count_as_wrong_in_a_plan_too(
    project: Project,
) -> None:
    with project:
        record = project.study()
        directory = project.records / record["study"]
        rows = archive.read_answers(directory)

        def chances(**changed: Any) -> Any:
            for row in rows[::2]:
                row["arms"]["rag"] |= changed  # type: ignore[typeddict-item]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (directory / "answers.jsonl.gz").write_bytes(gzip.compress(text.encode()))
            return project.plan().prospect.chances

        wrong = chances(failure=None, scores={"token_f1": 0.0, "answer_f1": 0.0})
        assert chances(failure={"code": "x", "message": "y"}, scores={"token_f1": None, "answer_f1": None}) == wrong
