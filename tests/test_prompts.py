"""Rendering and reading: what is asked, and what is made of what comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold import prompts
from twofold.errors import ConfigError
from twofold.prompts import Template
from twofold.types import Chunk, Completion, Example, Failure, Hit, Message, Span

TEMPLATE = Template()


def hit(number: int, text: str, start: int = 0) -> Hit:
    span = Span(document=f"d{number}", start=start, end=start + len(text))
    return Hit(chunk=Chunk(id=f"c{number}", span=span, text=text), score=1.0, rank=number)


HITS = [hit(1, "Water early in the season.", 40), hit(2, "Nitrogen  is applied\nat 12 lb per acre.", 7)]


def ask(text: str = "How much nitrogen?") -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def test_passages_are_numbered_in_the_order_shown_and_the_abstention_is_told() -> None:
    prompt = prompts.render(ask(), template=TEMPLATE, hits=HITS)
    assert TEMPLATE.abstention in prompt.messages[0].content
    user = prompt.messages[-1].content
    assert user.index("[1] Water") < user.index("[2] Nitrogen is applied\nat 12 lb") < user.index("How much nitrogen?")


def test_without_retrieval_nothing_is_said_of_passages() -> None:
    prompt = prompts.render(ask(), template=TEMPLATE)
    assert [m.content for m in prompt.messages] == [TEMPLATE.closed, "How much nitrogen?"]


def test_earlier_turns_shots_choices_and_a_system_message_are_kept() -> None:
    shot = Example(id="s", messages=ask("shot?"), references=("yes",))
    talk = (Message(role="system", content="Be kind."), Message(role="user", content="a"),
            Message(role="assistant", content="b"), Message(role="user", content="c"))  # fmt: skip
    prompt = prompts.render(talk, template=TEMPLATE, shots=[prompts.Shot(example=shot)], choices=("yes", "no"))
    assert [m.role for m in prompt.messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert "Be kind." in prompt.messages[0].content
    assert "yes; no" in prompt.messages[0].content


def test_a_conversation_must_end_with_the_user() -> None:
    with pytest.raises(ConfigError):
        prompts.render((Message(role="assistant", content="x"),), template=TEMPLATE)


@pytest.mark.parametrize("cite", ["first", "last"])
def test_what_training_writes_reading_reads_back(cite: str) -> None:
    template = Template(cite=cite)  # type: ignore[arg-type]
    text = prompts.completion_text("12 lb per acre", template=template, number=2)
    answer = prompts.read(Completion(text=text), template=template, hits=HITS)
    assert answer.text == "12 lb per acre"
    assert [c.number for c in answer.citations] == [2]
    quote = answer.citations[0].quote
    assert quote is not None
    found = HITS[1].chunk
    assert found.text[quote.start - found.span.start : quote.end - found.span.start] == "12 lb per acre"


def test_a_quote_is_found_across_line_breaks() -> None:
    answer = prompts.read(Completion(text="[2] Nitrogen is applied\nat 12 lb"), template=TEMPLATE, hits=HITS)
    quote = answer.citations[0].quote
    assert quote is not None
    start = quote.start - HITS[1].chunk.span.start
    assert HITS[1].chunk.text[start:].startswith("Nitrogen  is applied\nat")


def test_a_passage_never_shown_is_no_citation_but_is_counted() -> None:
    answer = prompts.read(Completion(text="[7] [1] early water"), template=TEMPLATE, hits=HITS)
    assert [c.number for c in answer.citations] == [1]
    assert answer.invalid_citations == 1
    assert answer.text == "early water"


def test_an_abstention_is_recognised_whatever_its_punctuation() -> None:
    answer = prompts.read(Completion(text="the documents do not say"), template=TEMPLATE, hits=HITS)
    assert answer.abstained
    assert answer.text == TEMPLATE.abstention
    assert not prompts.read(Completion(text="The documents say so."), template=TEMPLATE, hits=HITS).abstained


def test_a_failure_is_no_answer() -> None:
    failure = Failure(code="generation.timeout", message="slow")
    answer = prompts.read(Completion(text="", failure=failure), template=TEMPLATE, hits=HITS)
    assert answer.failure == failure


def test_brackets_stay_text_without_passages() -> None:
    assert prompts.read(Completion(text="a[1] = 2"), template=TEMPLATE, hits=None).text == "a[1] = 2"


@given(st.text(max_size=200))
def test_reading_never_fails_and_cites_only_what_was_shown(text: str) -> None:
    answer = prompts.read(Completion(text=text), template=TEMPLATE, hits=HITS)
    assert {c.span for c in answer.citations} <= {h.chunk.span for h in HITS}
    for citation in answer.citations:
        if citation.quote is not None:
            assert citation.span.start <= citation.quote.start < citation.quote.end <= citation.span.end


def test_another_wording_is_another_template() -> None:
    assert Template().digest == Template().digest
    assert Template(closed="x").digest != Template().digest


@given(
    st.lists(
        st.sampled_from(["Water", " early", " [1]", "[2]", "[1, 2]", " [x]", "[", "7", " ", "\n", "]"]), max_size=9
    ),
    st.integers(1, 4),
)
def test_a_stream_without_markers_joins_to_what_is_read(parts: list[str], size: int) -> None:
    whole = "".join(parts)
    coming = prompts.stream(TEMPLATE, HITS)
    shown = [coming.passed(whole[at : at + size]) for at in range(0, len(whole), size)]
    assert "".join([*shown, coming.rest()]) == prompts.read(Completion(text=whole), template=TEMPLATE, hits=HITS).text


def test_a_stream_shows_words_before_it_ends() -> None:
    coming = prompts.stream(TEMPLATE, HITS)
    pieces = ("<th", "ink>hm</think>[", "1] Wa", "ter", " early", " in", " May [2", "]")
    shown = [coming.passed(piece) for piece in pieces]
    assert "".join(shown) == "Water early in May"
    assert shown[2:6] == ["Wa", "ter", " early", " in"], "only what may be a marker waits"
    assert coming.rest() == " [2]", "a marker stood at the beginning, so this one is text"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("12 lb per acre", (2, "12 lb per acre")),
        ("It is applied at 12 lb per acre.", (2, None)),
        ("According to your documents, the answer to that is 12 lb per acre.", (2, None)),
        ("Based on the provided passages: 12 lb per acre", (2, None)),
        ("According to your documents, 13 lb per acre", None),
        ("13 lb per acre", None),
        ("[1] early in the season", None),
        ("yes", None),
        ("The documents do not say.", None),
    ],
)
def test_the_passage_that_holds_an_uncited_answer_is_found(text: str, wanted: tuple[int, str | None] | None) -> None:
    answer = prompts.read(Completion(text=text), template=TEMPLATE, hits=HITS)
    found = prompts.attached(answer, template=TEMPLATE, question="How much nitrogen?")
    if wanted is None:
        assert found is None
        return
    assert found is not None
    number, quoted = wanted
    chunk = HITS[number - 1].chunk
    assert (found.number, found.span) == (number, chunk.span)
    start = chunk.span.start
    words = found.quote and chunk.text[found.quote.start - start : found.quote.end - start]
    assert words == quoted
    assert answer.citations == (), "the model cited nothing, and metrics see it so"
