"""The three bars of a judge's probation: what each sees, what it says, and how many marks would settle it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.judge.probation import AGREEMENT, ORDER, REPEATS, MarkedTrial, bars, quadratic_kappa, sentence, settled
from twofold.judge.record import BarRow


def trials(count: int, *, wrong: float = 0.0, turns: float = 0.0, moods: float = 0.0) -> list[MarkedTrial]:
    """Trials of a judge that errs, follows the order, and changes its mind on these shares of the items."""
    chance = random.Random(7)
    out = []
    for number in range(count):
        truth = chance.choice(["right", "partly", "wrong"])
        others = [word for word in ("right", "partly", "wrong") if word != truth]
        first = chance.choice(others) if chance.random() < wrong else truth
        turned = chance.choice(others) if chance.random() < turns else first
        again = chance.choice(others) if chance.random() < moods else first
        out.append(MarkedTrial(group=f"g{number}", first=first, turned=turned, again=again, people=(truth,)))
    return out


def by_name(rows: list[BarRow]) -> dict[str, BarRow]:
    return {row["name"]: row for row in rows}


def test_a_judge_that_agrees_and_repeats_itself_passes() -> None:
    rows = bars("rubric", trials(60, wrong=0.1), level=0.95)
    assert [row["passed"] for row in rows] == [True, True, True]
    assert [row["bar"] for row in rows] == [REPEATS, ORDER, AGREEMENT]
    assert all(row["needed"] is None for row in rows)
    text = sentence("big", rows, marks="60 marks of 2 people")
    assert "the judge big passed its probation on 60 marks of 2 people" in text
    assert text.count("[") == 3, "every figure has its interval"


@pytest.mark.parametrize(("fault", "bar"), [("moods", "repeats"), ("turns", "order"), ("wrong", "agreement")])
def test_each_fault_fails_its_own_bar(fault: str, bar: str) -> None:
    rows = by_name(bars("rubric", trials(60, **{fault: 0.7}), level=0.95))
    assert [name for name, row in rows.items() if not row["passed"]] == [bar]
    text = sentence("big", list(rows.values()), marks="60 marks of 1 person")
    assert text.startswith("the judge big is refused, and no score of it is shown; on 60 marks of 1 person: ")
    assert "whose lower end has to reach" in text


def test_few_marks_do_not_pass_and_the_sentence_says_how_many_would() -> None:
    rows = by_name(bars("rubric", trials(12, wrong=0.15), level=0.95))
    needed = rows["agreement"]["needed"]
    assert not rows["agreement"]["passed"]
    assert needed is not None
    assert 12 < needed < 200
    assert f"about {needed} marked answers would show it" in sentence("big", list(rows.values()), marks="12 marks")
    # With that many of the same kind it does pass, give or take what chance does.
    assert by_name(bars("rubric", trials(2 * needed, wrong=0.15), level=0.95))["agreement"]["passed"]


def test_more_marks_are_no_help_only_where_the_interval_lies_below_the_bar() -> None:
    two = list(bars("rubric", trials(2, turns=1.0), level=0.95))
    assert "so few marks leave open where it would settle" in sentence("big", two, marks="2 marks")
    many = list(bars("rubric", trials(60, turns=1.0), level=0.95))
    assert "more marks alone would not help" in sentence("big", many, marks="60 marks")


def test_unreadable_replies_repeat_nothing() -> None:
    lost = [MarkedTrial(group=str(n), first="", turned="", again="", people=("right",)) for n in range(30)]
    rows = by_name(bars("rubric", lost, level=0.95))
    assert rows["repeats"]["estimate"] is not None
    assert rows["repeats"]["estimate"]["mean"] == 0
    assert rows["agreement"]["estimate"] is None
    assert "no reply of the judge could be read" in sentence("big", list(rows.values()), marks="30 marks")


def test_people_who_say_one_thing_throughout_show_no_agreement() -> None:
    same = [
        MarkedTrial(group=str(n), first="right", turned="right", again="right", people=("right",)) for n in range(40)
    ]
    row = by_name(bars("rubric", same, level=0.95))["agreement"]
    assert (row["estimate"], row["passed"]) == (None, False)
    assert "one and the same mark throughout" in row["detail"]


def test_of_a_pair_the_order_decides_nothing() -> None:
    assert settled("pairwise", "first", "first") == "first"
    assert settled("pairwise", "first", "second") == "same"
    assert settled("pairwise", "", "first") == ""
    assert settled("rubric", "right", "wrong") == "right"


_PAIRS = st.lists(st.tuples(*[st.sampled_from(["right", "partly", "wrong"])] * 2), min_size=1, max_size=40)


@given(_PAIRS)
def test_weighted_kappa_keeps_its_bounds_and_knows_no_sides(pairs: list[tuple[str, str]]) -> None:
    value = quadratic_kappa(pairs)
    turned = quadratic_kappa([(b, a) for a, b in pairs])
    if value is None:
        assert len({word for pair in pairs for word in pair}) == 1
        return
    assert -1 - 1e-9 <= value <= 1 + 1e-9
    assert turned == pytest.approx(value)
    assert (value == pytest.approx(1)) == all(a == b for a, b in pairs)


def test_weighted_kappa_is_that_of_the_books() -> None:
    """Quadratic weights by the table of Cohen (1968): 1 - Σ w o / Σ w e, worked out by hand for six pairs."""
    pairs = [("right", "right"), ("right", "partly"), ("partly", "partly"), ("wrong", "wrong"), ("wrong", "right")]
    pairs.append(("partly", "wrong"))
    # Squared distances seen: 0 + ¼ + 0 + 0 + 1 + ¼ of 6; by chance 2 × 2 × (2·¼·2 + 2·1) / 36 … of the margins 2, 2, 2.
    by_chance = (4 * 0.25 * 4 + 2 * 1 * 4) / 36
    assert quadratic_kappa(pairs) == pytest.approx(1 - (1.5 / 6) / by_chance)


@pytest.mark.slow
@pytest.mark.parametrize(("kappa", "least", "most"), [(0.4, 0.0, 0.06), (0.6, 0.1, 0.35), (0.8, 0.65, 1.0)])
def test_how_often_judges_of_known_agreement_pass_with_fifty_marks(kappa: float, least: float, most: float) -> None:
    """A judge that gives any mark on a share of the answers has a κ of 1 less that share."""
    chance = random.Random(3)
    passed = 0
    for _ in range(200):
        sample = []
        for number in range(50):
            truth, other = chance.choices(["right", "partly", "wrong"], (0.6, 0.2, 0.2), k=2)
            word = other if chance.random() < 1 - kappa else truth
            sample.append(MarkedTrial(group=str(number), first=word, turned=word, again=word, people=(truth,)))
        passed += all(row["passed"] for row in bars("rubric", sample, level=0.95))
    assert least <= passed / 200 <= most
