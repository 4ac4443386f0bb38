"""What stands around an answer: citation markers, reasoning, datamarks, and words that decline."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_sets import folder, whole_sets
from twofold import prompts
from twofold.prompts import Template
from twofold.text.declining import declines
from twofold.types import Answer, Chunk, Completion, Hit, Span

ABSTENTION = Template().abstention
HITS = [
    Hit(chunk=Chunk(id=f"c{n}", span=Span(document=f"d{n}", start=0, end=9), text=text), score=1.0, rank=n)
    for n, text in enumerate(("Sow in late April.", "The pump holds 40 l, x^3 too.", "Mulch keeps the soil cool."), 1)
]


def read(text: str, *, open_book: bool = True, choices: tuple[str, ...] = (), **template: object) -> Answer:
    made = Template(support=0, **template)  # type: ignore[arg-type]
    return prompts.read(Completion(text=text), template=made, hits=HITS if open_book else None, choices=choices)


VALUES = [
    '{"rows": [1, 3]}',
    "[1, 2]",
    "[2]",
    "[[1], [2, 3]]",
    "print(grid[1][2])",
    "tags[1]",
    "grid[1][2]",
    "SELECT tags[2] FROM plots WHERE n = 1",
    "x = [3]",
    "The interval is [1, 2].",
    "between [1, 3]",
    'He wrote "as shown in [1]"',
    "[1, 2] is the interval",
    "[0, 3] holds it",
    "[40, 60]",
    "7 in [2, 3)",
    "2^3 ^ 1",
    "y ∈ [1, 3]",
    "return [2]",
    "position [3]",
    "[1] + [3]",
    "[1]: https://example.org",
    "[^2]",
]


@pytest.mark.parametrize("text", VALUES)
@pytest.mark.parametrize("cite", ["none", "first", "last"])
def test_a_bracketed_value_stays_in_the_answer(text: str, cite: str) -> None:
    answer = read(text, cite=cite)
    assert (answer.text, answer.citations, answer.invalid_citations) == (text, (), 0)


@pytest.mark.parametrize("text", VALUES)
@pytest.mark.parametrize("cite", ["first", "last"])
def test_a_right_answer_is_the_same_text_in_every_arm(text: str, cite: str) -> None:
    template = Template(cite=cite)  # type: ignore[arg-type]
    told = prompts.completion_text(text, template=template, number=2)
    answer = read(told, cite=cite)
    assert answer.text == text == read(text, open_book=False).text
    assert [one.number for one in answer.citations] == [2]


@given(st.text(max_size=60))
def test_a_template_that_cites_nothing_leaves_every_bracket(text: str) -> None:
    marked = f"[1] {text} [2]"
    assert read(marked, cite="none").text == marked.strip()


@pytest.mark.parametrize(
    ("text", "cite", "left", "numbers"),
    [
        ("[1] late April", "first", "late April", [1]),
        ("[1][3] late April", "first", "late April", [1, 3]),
        ("[1, 3] late April", "first", "late April", [1, 3]),
        ("[2]: 40 l", "first", "40 l", [2]),
        ("[2] -5 °C", "first", "-5 °C", [2]),
        ("[2] The bounds are [1, 2]", "first", "The bounds are [1, 2]", [2]),
        ("Sow in late April. [1]", "first", "Sow in late April.", [1]),
        ("Sow in late April [1].", "first", "Sow in late April.", [1]),
        ("late April [1][3]", "last", "late April", [1, 3]),
        ("[1] late April", "last", "late April", [1]),
        ("SELECT a FROM t [2]", "last", "SELECT a FROM t", [2]),
        ("SELECT a FROM t [2]", "first", "SELECT a FROM t [2]", []),
        ("水稻 [1]", "last", "水稻", [1]),
        ("**late April** [1]", "first", "**late April**", [1]),
        ("in *late April* [2].", "last", "in *late April*.", [2]),
        ("a * [1]", "last", "a * [1]", []),
    ],
)
def test_markers_are_taken_at_the_place_the_template_names(text: str, cite: str, left: str, numbers: list[int]) -> None:
    answer = read(text, cite=cite)
    assert (answer.text, [one.number for one in answer.citations]) == (left, numbers)


def test_a_mark_between_words_becomes_a_blank_only_where_passages_were_marked() -> None:
    said = "The^pump^holds 40^l, x^3 and y^2"
    assert read(said, fence="lines").text == said
    assert read(said, fence="datamark", open_book=False).text == said
    assert read(said, fence="datamark").text == "The pump holds 40 l, x^3 and y^2"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>Passage [2] says 40.</think>\n\nlate April", "late April"),
        ("<think>one</think><think>two</think> late April", "late April"),
        ("<THINKING>x</THINKING>late April", "late April"),
        ("Passage [2] says 40.\n</think>\n\nlate April", "late April"),
        ("<think>it never ends [1]", ""),
        ("<think>x</thinking>late April", "late April"),
        ("[THINK]x [1][/THINK]late April", "late April"),
        ("◁think▷x◁/think▷late April", "late April"),
        ("<seed:think>x</seed:think>late April", "late April"),
        ("\u200b<think>x</think>late April", "late April"),
        ("<reason>x</reason>late April", "late April"),
        ("<rationale>x</rationale>late April", "late April"),
        ("<longcat_think>x</longcat_think>late April", "late April"),
        ("<|thinking|>x<|/thinking|>late April", "late April"),
        ("<think/>late April", "late April"),
        ("</think> </think> late April", "late April"),
        ("<|begin_of_box|>late April<|end_of_box|>", "late April"),
        ("<|START_THINKING|>x<|END_THINKING|><|START_RESPONSE|>late April<|END_RESPONSE|>", "late April"),
        ("<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>late April", "late April"),
        ("<|channel|>analysis<|message|>it never ends", ""),
        ("Use the <think> tag, closed by </think>.", "Use the <think> tag, closed by </think>."),
    ],
)
@pytest.mark.parametrize("open_book", [True, False])
def test_reasoning_is_no_part_of_the_answer(text: str, left: str, open_book: bool) -> None:
    answer = read(text, open_book=open_book)
    assert (answer.text, answer.citations, answer.raw) == (left, (), text)


def test_what_declines_after_reasoning_is_an_abstention() -> None:
    assert read(f"<think>I know it: 40.</think>{ABSTENTION}").abstained


def test_a_stream_shows_no_reasoning_without_passages_either() -> None:
    coming = prompts.stream(Template(), None)
    assert [coming.passed(piece) for piece in (" <thi", "nk>a [1]", "</think>", "late ", "April")] == [
        "",
        "",
        "",
        "late",
        " April",
    ]
    assert coming.rest() == ""


DECLINES = [
    "The passages give no information about the price.",
    "The passage does not provide any information about the number of dogs.",
    "The documents do not tell.",
    "None of the passages mention a supplier.",
    "I'm sorry, but the provided context doesn't specify this.",
    "Based on the documents, it is not stated.",
    "There is no mention of a warranty in the text.",
    "The serial number is not given in the passages.",
    "I don’t know.",
    "I cannot find that in the documents.",
    "This question cannot be answered from the passages.",
    "Die Passagen enthalten dazu keine Angaben.",
    "Ich weiß es nicht.",
    "Les passages ne mentionnent pas le prix.",
    "Los documentos no mencionan el precio.",
    "文档中没有提到价格。",
    "There isn't any information on the price in the texts.",
    "Nothing in the passages mentions a price.",
    "The answer is not in the documents.",
    "It isn't possible to tell from the passages.",
    "Insufficient information.",
    "Answer: The documents do not say.",
    "We cannot tell from the text.",
    "Los documentos no lo dicen.",
    "I documenti non indicano il prezzo.",
    "Os textos não mencionam o preço.",
    "De teksten vermelden de prijs niet.",
    "В документах цена не указана, об этом не говорится.",
    "النص لا يذكر السعر",
    "文書には記載がありません。",
    "문서에 언급되어 있지 않습니다.",
]


@pytest.mark.parametrize("text", DECLINES)
def test_declining_in_other_words_is_an_abstention(text: str) -> None:
    answer = read(text)
    assert answer.abstained
    assert answer.text == ABSTENTION


@pytest.mark.parametrize(
    "text",
    [
        "The passage does not mention dogs, but it says that 12 cats live there.",
        "The document does not contain personal data.",
        "There is no evidence that it helps.",
        "There is no information technology department.",
        "It is not known.",
        "No effect.",
        "unknown",
        "We don't know for sure what it will cost next year",
        "I can't say for sure, some found it large and others small.",
        "The documents do so.",
        "The documents do not say, but it is 40 l.",
        "There is no information tax here.",
        "I cannot find fault.",
        "I can't answer calls after six.",
        "The answer is 40, which is not mentioned in passage 2.",
    ],
)
def test_an_answer_that_says_something_is_no_abstention(text: str) -> None:
    assert not read(text).abstained


@pytest.mark.parametrize(
    ("abstention", "text", "abstained"),
    [
        ("No", "None of them", False),
        ("No", "No effect", False),
        ("No", "no.", True),
        ("Not in the text", "Not in the textbook", False),
        ("Not in the text", "NOT IN THE TEXT!", True),
        ("", "I don't know.", False),
    ],
)
def test_the_abstention_is_whole_words(abstention: str, text: str, abstained: bool) -> None:
    assert declines(text, abstention) == abstained


def test_a_choice_is_never_an_abstention() -> None:
    assert not read("I don't know", choices=("Yes", "I don't know")).abstained


SETS = ["advising_sql", "agvaluate", "clapnq", "covidqa", "dstc11", "e2e_nlg", "medquad", "mts_dialog", "qmsum",
        "snips_json", "xquad", "chunking_eval"]  # fmt: skip


@pytest.mark.parametrize("name", ["agxqa", "samples/advising_sql", "samples/snips_json", *whole_sets(*SETS)])
def test_real_answers_are_read_as_they_are_and_decline_nothing(name: str) -> None:
    path = next(folder(name).glob("examples.jsonl*"))
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:  # type: ignore[operator]
        rows = [json.loads(line) for line in lines]
    fields = [(*row.get("answers", ()), *row.get("outputs", ()), row.get("output", "")) for row in rows]
    texts = sorted({str(one) for field in fields for one in field})
    texts = texts[:: 1 + sum(map(len, texts)) // 500_000]
    assert len(texts) > 20
    changed = [one for one in texts if one.strip() and read(f"[2] {one}").text != one.strip()]
    assert changed == []
