"""Abstention from evidence: calibrated, thresholded for a stated risk, off without unanswerable questions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.answering import sufficiency
from twofold.errors import TooFewExamples
from twofold.project import Project
from twofold.settings.loading import laid_over
from twofold.types import Chunk, Example, Hit, Message, Query, Retrieval, Span


def made(count: int, *, seed: int = 0) -> tuple[list[Query], list[Retrieval], list[Example]]:
    """Questions of which a third are unanswerable; these have lower scores and fewer of their words in the passage."""
    chance = np.random.default_rng(seed)
    queries, found, examples = [], [], []
    for number in range(count):
        known = number % 3 > 0
        score = float(chance.normal(0.6 if known else 0.4, 0.1))
        text = f"alpha{number} beta{number} gamma{number}"
        held = text if chance.random() < (0.8 if known else 0.2) else "nothing at all"
        chunk = Chunk(id=f"c{number}", span=Span(document=f"d{number}", start=0, end=9), text=held)
        queries.append(Query(text=text))
        found.append(Retrieval(hits=(Hit(chunk=chunk, score=score, rank=1),)))
        examples.append(
            Example(
                id=f"e{number}",
                messages=(Message(role="user", content=text),),
                references=("a",) if known else (),
                sources=(f"d{number}",) if known else (),
                answerable=known,
                group=f"g{number // 2}",
            )
        )
    return queries, found, examples


def cases(count: int, *, seed: int = 0) -> list[sufficiency.Case]:
    return list(zip(*made(count, seed=seed), strict=True))


@pytest.mark.parametrize("train", [300, 0])
def test_the_stated_risk_holds_on_new_questions(train: int) -> None:
    learnt = sufficiency.calibrate(cases(300), train=cases(train, seed=2), risk=0.1)
    assert learnt.holds
    assert learnt.reached <= learnt.bound <= 0.1
    assert (learnt.n, learnt.fitted) == ((300, 300) if train else (150, 150))
    queries, found, examples = made(3000, seed=1)
    answered = [learnt.probability(q, f) >= learnt.threshold for q, f in zip(queries, found, strict=True)]
    wrong = sum(a and not e.answerable for a, e in zip(answered, examples, strict=True)) / sum(answered)
    assert wrong < 0.1
    assert sum(answered) / 3000 > 0.3


def drawn(
    groups: int, chance: np.random.Generator, *, alike: float, skill: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels and groups of one to four questions each, answered alike with the given probability."""
    sizes = chance.integers(1, 5, groups)
    number = np.repeat(np.arange(groups), sizes)
    own, shared = chance.random(len(number)) < 0.6, (chance.random(groups) < 0.6)[number]
    labels = np.where(chance.random(groups)[number] < alike, shared, own).astype(float)
    return 1 / (1 + np.exp(-(skill * (labels - 0.5) + chance.normal(0, 1, len(number))))), labels, number


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("groups", [20, 60, 200])
def test_in_at_least_19_of_20_draws_the_stated_risk_is_not_exceeded(groups: int, alike: float) -> None:
    chance = np.random.default_rng(groups)
    truth = drawn(40_000, chance, alike=alike, skill=2)
    draws, broken, claimed = 300, 0, 0
    for _ in range(draws):
        fit, held = drawn(60, chance, alike=alike, skill=2), drawn(groups, chance, alike=alike, skill=2)
        found = sufficiency.tested(fit[:2], held[:2], held[2], risk=0.2, level=0.95)
        risk = 1 - truth[1][truth[0] >= found.threshold].mean()
        claimed += found.holds
        broken += found.holds and risk > 0.2
    assert broken / draws <= 0.05 + 2 * (0.05 * 0.95 / draws) ** 0.5
    assert claimed > 0.9 * draws if groups == 200 else True


def test_too_few_unanswerable_questions_are_refused() -> None:
    with pytest.raises(TooFewExamples, match="6 unanswerable"):
        sufficiency.calibrate(cases(18), risk=0.1)


def test_a_dev_split_that_is_too_small_says_that_no_threshold_holds() -> None:
    learnt = sufficiency.calibrate(cases(36), train=cases(300, seed=2), risk=0.05)
    assert not learnt.holds
    assert learnt.bound > 0.05
    assert "no threshold holds" in learnt.note
    assert "36 dev questions" in learnt.note


def test_no_evidence_holds_no_risk() -> None:
    blind = [(q, Retrieval(hits=()), replace(e, sources=())) for q, _, e in cases(200)]
    assert not sufficiency.calibrate(blind, train=blind, risk=0.2).holds


probabilities = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.5, 0.9]), st.booleans()), min_size=1, max_size=30)


@given(probabilities)
def test_the_curve_ends_at_all_questions_and_the_area_lies_within(pairs: list[tuple[float, bool]]) -> None:
    held, labels = np.array([p for p, _ in pairs]), np.array([float(one) for _, one in pairs])
    points = sufficiency.curve(held, labels)
    assert points[-1][1] == 1
    assert points[-1][2] == pytest.approx(1 - labels.mean())
    assert [p[1] for p in points] == sorted(p[1] for p in points)
    assert 0 <= sufficiency.area(held, labels) <= 1
    perfect = sufficiency.area(labels, labels)
    assert perfect <= sufficiency.area(held, labels) + 1e-9
    assert sufficiency.area(np.zeros(len(labels)), labels) == pytest.approx(1 - labels.mean())


def test_a_system_abstains_and_its_key_says_so(project: Project) -> None:
    with Project(project.directory, laid_over(project.config, {"retrieval": {"risk": 0.3}})) as changed:
        changed.sync()
        splits, arm = changed.splits, changed.config.arm("rag")
        calibration, why = changed.workspace.systems.calibration(splits)
        assert calibration is None
        assert "unanswerable" in why
        plain, _ = changed.workspace.arms.system(arm, splits)
        strange = [
            Example(
                id=f"u{n}",
                messages=(Message(role="user", content=f"Who sang opera {n} in Vienna?"),),
                references=(),
                answerable=False,
                group=f"u{n}",
            )
            for n in range(32)
        ]
        more = replace(splits, train=(*splits.train, *strange[22:]), dev=(*splits.dev, *strange[12:22]))
        judged, _ = changed.workspace.arms.system(arm, more)
        assert judged.key != plain.key
        assert judged.calibration is not None
        again, _ = changed.workspace.systems.calibration(more)
        assert again == judged.calibration, "found in the store"
        answers = judged.answer([*strange[:12], *splits.test[:12]])
        assert [step["holds"] for a in answers for step in a.trace if step["step"] == "evidence"] == [
            judged.calibration.holds
        ] * 24
        silent = [answer.abstained for answer in answers]
        assert sum(silent[:12]) > sum(silent[12:])


def test_gc_keeps_the_calibration_in_force_and_removes_what_nothing_uses(project: Project) -> None:
    with Project(project.directory, laid_over(project.config, {"retrieval": {"risk": 0.3}})) as changed:
        changed.sync()
        live = changed.workspace.artifacts
        workspace = changed.workspace
        settings = {name: value for name, value in workspace.search.spec().items() if name != "content"}
        here = {"kind": "sufficiency", "risk": 0.3, "retrieval": settings}
        made = {
            workspace.systems.calibrations.key(workspace.search.learning(changed.splits)): here,
            "sufficiency:" + "0" * 32: {**here, "retrieval": {**settings, "k": 77}},
        }
        for key, manifest in made.items():
            (live.working(key) / "calibration.json").write_text("{}", encoding="utf-8")
            live.finish(key, manifest)
        assert changed.tuning.gc()["removed"] == ["sufficiency:" + "0" * 32]
    with Project(project.directory, laid_over(project.config, {"retrieval": {"risk": 0.4}})) as other:
        assert len(other.tuning.gc()["removed"]) == 1, "another risk has another calibration"
