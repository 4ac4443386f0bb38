"""A citation stands when the passage it names holds the answer; else it goes, or names the passage that does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold import prompts
from twofold.plugins import loading
from twofold.prompts import Template
from twofold.text import grounding
from twofold.types import Answer, Chunk, Completion, Example, Hit, Message, Span

PASSAGES = (
    "Apply 12.5 lb of nitrogen per acre before planting maize.",
    "Check the pump and the pressure gauge after 1,200 hours.",
    "Rainfall in May refills the soil profile; apply no nitrogen then.",
)
HITS = tuple(
    Hit(chunk=Chunk(id=f"c{n}", span=Span(document=f"d{n}", start=0, end=len(text)), text=text), score=1.0, rank=n)
    for n, text in enumerate(PASSAGES, 1)
)


def read(raw: str, question: str = "", **template: float) -> Answer:
    return prompts.read(Completion(text=raw), template=Template(**template), hits=HITS, question=question)  # type: ignore[arg-type]


def cited(answer: Answer) -> tuple[list[int], int, int]:
    return [c.number for c in answer.citations], answer.unsupported_citations, answer.repointed_citations


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("[1] 12.5 lb per acre", ([1], 0, 0)),
        ("[2] 12.5 lb per acre", ([1], 0, 1)),
        ("[1] 13 lb of nitrogen per acre", ([], 1, 0)),
        ("[2] 1200 hours", ([2], 0, 0)),
        ("[2] 120 hours", ([], 1, 0)),
        ("[1] by plane", ([], 1, 0)),
        ("[1][3] nitrogen", ([1, 3], 0, 0)),
        ("[1][2] 12.5 lb before planting", ([1], 1, 0)),
        ("[1][3] 12.5 lb of nitrogen; rainfall refills the soil profile in May", ([1, 3], 0, 0)),
        ("[2][3] 12.5 lb before planting maize", ([1], 1, 1)),
        ("[1] yes", ([1], 0, 0)),
        ("[9] pump", ([], 0, 0)),
    ],
)
def test_citations_are_checked(raw: str, wanted: tuple[list[int], int, int]) -> None:
    assert cited(read(raw)) == wanted


def test_of_two_passages_that_hold_the_answer_the_one_about_the_question_is_named() -> None:
    asked = "What does rainfall in May do to the soil profile?"
    assert cited(read("[1] apply nitrogen", asked)) == ([3], 0, 1)
    assert cited(read("[1] apply nitrogen")) == ([1], 0, 0)


def test_the_check_can_be_switched_off_and_a_choice_is_not_checked() -> None:
    assert cited(read("[2] by plane", support=0)) == ([2], 0, 0)
    answer = prompts.read(Completion(text="[2] maybe so"), template=Template(), hits=HITS, choices=("maybe so", "no"))
    assert cited(answer) == ([2], 0, 0)


ASKED = "How much nitrogen per acre does maize need before planting?"


@pytest.mark.parametrize(
    ("raw", "asked", "wanted"),
    [
        ("[1] 12.5 lb", ASKED, ([1], 0, 0)),
        ("[2] 12.5 lb", ASKED, ([1], 0, 1)),
        ("[2] after 1,200 hours", ASKED, ([], 1, 0)),
        ("[2] the pressure gauge", "What to check after 1,200 hours?", ([2], 0, 0)),
        ("[2] the pressure gauge", "What to check after 900 hours?", ([], 1, 0)),
        ("[1][2] 12.5 lb", ASKED, ([1], 1, 0)),
        (
            "Before planting maize one applies 12.5 lb of nitrogen per acre. [1]",
            "Who applies nitrogen to maize?",
            ([1], 0, 0),
        ),
        (
            "The pump and the pressure gauge are checked after 1,200 hours. [2]",
            "Who inspects pump and gauge?",
            ([2], 0, 0),
        ),
        ("The tractor is checked after 1,200 hours. [2]", "When is the tractor serviced?", ([], 1, 0)),
    ],
)
def test_a_passage_about_something_else_is_no_evidence(
    raw: str, asked: str, wanted: tuple[list[int], int, int]
) -> None:
    assert cited(read(raw, asked, about=0.5)) == wanted


def test_the_trace_tells_what_became_of_a_citation() -> None:
    assert read("[1] 12.5 lb per acre").trace == ()
    assert read("[2] 12.5 lb per acre").trace == ({"step": "citations", "named": [2], "stand": [1], "repointed": 1},)
    assert read("[1] by plane").trace == ({"step": "citations", "named": [1], "stand": [], "repointed": 0},)


def test_scripts_without_blanks_are_compared_by_pairs_of_characters() -> None:
    passage = "水稻在抽穗期需要充足的水分和氮肥。"
    assert grounding.share("充足的水分", [passage]) == 1
    assert grounding.share("干燥的土壤", [passage]) < 0.6
    assert grounding.about("水稻在抽穗期需要什么？", passage) > 0.5
    assert grounding.share("小麦", ["本研究的小麦品种"]) == 1


@given(
    st.lists(st.integers(1, 3), max_size=3, unique=True),
    st.lists(st.sampled_from(" ".join(PASSAGES).split()), max_size=6).map(" ".join),
    st.lists(st.sampled_from(" ".join(PASSAGES).split()), max_size=6).map(" ".join),
    st.sampled_from([0, 0.3, 0.5]),
)
def test_what_stays_is_supported_and_nothing_is_lost(numbers: list[int], text: str, asked: str, topic: float) -> None:
    kept, gone, moved = grounding.verify(numbers, PASSAGES, answer=text, question=asked, least=0.6, topic=topic)
    assert len(kept) + gone == len(numbers)
    assert moved <= len(kept)
    if kept:
        assert grounding.share(text, [PASSAGES[n - 1] for n in kept]) >= 0.6
        assert not topic or all(grounding.about(asked, PASSAGES[n - 1], answer=text) > topic for n in kept)


def test_support_is_measured_where_the_check_is_off() -> None:
    metric = loading.make("metrics", "citation_support", {})
    example = Example(id="e", messages=(Message(role="user", content="?"),), references=("x",))
    assert metric.score(example, read("[2] 12.5 lb per acre", support=0)) == 0
    assert metric.score(example, read("[1] 12.5 lb per acre", support=0)) == 1
    assert metric.score(example, read("[1][7] 12.5 lb per acre", support=0)) == 0.5
    assert metric.score(example, read("[2] 12.5 lb per acre")) == 1
    assert metric.score(example, read("by plane")) is None
