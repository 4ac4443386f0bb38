"""Properties of every score, on real references: what is written otherwise is the same, what is changed is not."""

from __future__ import annotations

import functools
import gzip
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_sets import folder, whole_sets
from twofold.errors import ScorerBroken
from twofold.metrics import changes
from twofold.metrics.formal import language
from twofold.metrics.text import label
from twofold.plugins import loading, protocols
from twofold.study.scorer_check import self_test
from twofold.types import Answer, Example, Message

SAMPLES = [
    "agxqa",
    *(f"samples/{name}" for name in ("advising_sql", "mtrag", "mts_dialog", "snips_json", "truthfulqa")),
]
WHOLE = ["agvaluate", "banking77", "bipia", "chunking_eval", "clapnq", "clinc150", "covidqa", "dstc11", "e2e_nlg",
         "lifecycle", "medquad", "poisonedrag", "pubmedqa", "qmsum", "seedbench", "xquad"]  # fmt: skip
MADE = [
    "3.14", "-5 °C", "0.5 ° C", "7 + 8", "a < b", "x = 2 * y", "12500 kg", "café", "cafe\u0301", "between -3 and 4.5",
    "1/2",
    "192.168.4.11", "v2.10",
    "C++", "$5.00", "18 %", "2-3 days", "8 August 2023", "vitamin A", "SELECT a FROM t WHERE n < 48 ;",
    "print(rows[0] + 12)", "if n > 3:\n    go(1)\nstop(2)", "पानी 12", "الماء 7", "מים 3", "水深 12 米",
    '{"items": [{"name": "bolt", "price": 1}, {"name": "nut", "price": 2}], "note": null, "tags": [], "n": 3}',
]  # fmt: skip
"""References of the kinds that the sets lack."""


@functools.lru_cache
def references(name: str) -> tuple[str, ...]:
    if name == "made":
        return tuple(MADE)
    kinds = ("examples", "questions", "contexts")
    path = next(one for kind in kinds for one in folder(name).glob(f"{kind}.jsonl*"))
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:  # type: ignore[operator]
        rows = [json.loads(line) for line in lines]
    fields = [
        (*row.get("answers", ()), *row.get("outputs", ()), row.get("output", ""), *row.get("answers_at", {}).values())
        for row in rows
    ]
    return tuple(sorted({str(one) for field in fields for one in field if one} - {""}))


@functools.lru_cache
def short(name: str) -> tuple[str, ...]:
    """References that nine metrics score in some ms; where there are few, the shortest."""
    shown = sorted(references(name), key=len)
    return tuple(shown[: max(50, sum(len(one) <= 800 for one in shown))])


@functools.lru_cache
def metric(name: str) -> protocols.Metric:
    return loading.make("metrics", name, {})


def score(name: str, text: str, reference: str) -> float | None:
    example = Example(id="e", messages=(Message(role="user", content="q"),), references=(reference,))
    return metric(name).score(example, Answer(text=text))


SEEN = {"a digit changed", "a decimal point left out", "a sign changed", "an operator changed", "negated",
        "another letter by its mark", "fields of two items exchanged", "another type"}  # fmt: skip
BLIND = {
    "exact_match": set(),
    "token_f1": set(),
    "answer_f1": set(),
    "contains": set(),
    "accuracy": set(),
    "field_f1": set(),
    "squad_exact": SEEN - {"a digit changed", "negated"},
    "squad_f1": SEEN - {"a digit changed", "negated"},
    "rouge_l": SEEN - {"a digit changed", "negated"},
}
"""Which changes a metric need not see: those of published scripts are blind by their definition."""


@pytest.mark.parametrize("data", ["made", *SAMPLES, *whole_sets(*WHOLE)])
@given(st.data())
@settings(max_examples=50, deadline=None)
def test_a_changed_answer_scores_less_and_the_same_one_written_otherwise_as_much(
    data: str, draw: st.DataObject
) -> None:
    reference = draw.draw(st.sampled_from(short(data)))
    for name, blind in BLIND.items():
        same = score(name, reference, reference)
        if same is None:
            continue
        assert same == 1
        if name == "accuracy" and language(reference):
            continue
        for change, text in changes.wrong(reference):
            if change not in blind:
                assert score(name, text, reference) < 1, (name, change, text)  # type: ignore[operator]
        if name.startswith(("squad", "rouge")):
            continue
        for change, text in changes.right(reference):
            assert score(name, text, reference) == 1, (name, change, text)


def test_every_change_is_tried_on_some_reference() -> None:
    assert {change for one in MADE for change, _ in changes.wrong(one)} == SEEN
    assert {change for one in MADE for change, _ in changes.right(one)} == set(changes._RIGHT)


def examples(*references: str, times: int = 1) -> list[Example]:
    return [
        Example(
            id=f"e{number}",
            messages=(Message(role="user", content=f"question {number}"),),
            references=(reference,),
            file="data/examples.jsonl",
            line=number + 1,
        )
        for number, reference in enumerate(references * times)
    ]


@pytest.mark.parametrize("pair", [("Refund", "refund"), ("open ticket", "open_ticket")])
def test_labels_that_score_alike_are_an_error_of_check_and_of_the_self_test(pair: tuple[str, str]) -> None:
    subjects = examples(*pair, "other", times=9)
    found = changes.problems(metric("accuracy"), "accuracy", subjects)
    assert [(one.code, one.severity) for one in found] == [("data.labels-alike", "error")]
    assert f"{pair[0]!r} and {pair[1]!r}" in found[0].message
    with pytest.raises(ScorerBroken, match="score alike under accuracy"):
        self_test(metric("accuracy"), subjects, name="accuracy")


@pytest.mark.parametrize(
    "labels", [("C", "C++", "C#"), ("+1", "-1", "0"), ("A-", "A+", "A"), ("< 18", "> 18", "18"), ("कि", "का", "की")]
)
def test_labels_that_differ_in_a_sign_an_operator_or_a_mark_are_different(labels: tuple[str, ...]) -> None:
    subjects = examples(*labels, times=9)
    assert changes.pairs(metric("accuracy"), "accuracy", subjects) == []
    assert self_test(metric("accuracy"), subjects)["gold"] == 1
    assert len({label(one) for one in labels}) == len(labels)


def test_check_says_what_the_metric_of_a_study_cannot_tell_apart() -> None:
    subjects = examples("3.14 m", "314 m", "the -5 mark", "some other words")
    found = changes.problems(metric("squad_f1"), "squad_f1", subjects)
    assert found[0].message == "these two of your answers score alike under squad_f1: '3.14 m' and '314 m'"
    assert {one.severity for one in found} == {"warning"}
    assert any("a sign changed; so in 3 of your answers" in one.message for one in found)
    assert changes.problems(metric("answer_f1"), "answer_f1", subjects) == []


def test_the_cure_of_a_blind_metric_is_another_metric() -> None:
    cures = {one.cure for one in changes.problems(metric("squad_f1"), "squad_f1", examples("the -5 mark"))}
    assert cures == {"Choose a [study].metric that sees it, such as exact_match or token_f1."}
    # Never the metric that is blind itself, here under the name of another.
    cures = {one.cure for one in changes.problems(metric("squad_f1"), "exact_match", examples("the -5 mark"))}
    assert cures == {"Choose a [study].metric that sees it, such as token_f1 or answer_f1."}


def test_a_shorter_reference_makes_no_metric_blind() -> None:
    subjects = [replace(one, references=(*one.references, "27")) for one in examples("27 days", "27 months")]
    assert changes.problems(metric("answer_f1"), "answer_f1", subjects) == []


def test_the_same_answer_in_two_forms_is_no_finding() -> None:
    subjects = examples("The Rhine.", "the rhine", "well-being", "wellbeing", "7,000", "7000")
    assert changes.problems(metric("token_f1"), "token_f1", subjects) == []


@pytest.mark.parametrize("data", [*SAMPLES, *whole_sets(*WHOLE)])
def test_real_answers_are_told_apart_by_what_decides(data: str) -> None:
    shown = references(data)
    most = 80_000 // (1 + sum(map(len, shown)) // len(shown))  # long answers differ in much: fewer of them show it
    subjects = examples(*shown[: min(2000, most)])
    for name in ("answer_f1", "accuracy"):
        assert [one.message for one in changes.problems(metric(name), name, subjects)] == []
