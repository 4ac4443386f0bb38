"""The generator that reads: it answers from what it is shown, and its faults are those it was given."""

from __future__ import annotations

from twofold.prompts import Template, render
from twofold.testing.fact_generator import FactGenerator, FactOptions
from twofold.types import Adapter, Chunk, Hit, Message, Span

QUESTION = "What is the capital of Norland?"


def answer(*passages: str, template: Template | None = None, tokens: int = 20, **options: dict[str, str]) -> str:
    hits = []
    for rank, text in enumerate(passages, 1):
        chunk = Chunk(id=text, span=Span(document="d", start=0, end=len(text)), text=text)
        hits.append(Hit(chunk=chunk, score=1.0, rank=rank))
    adapter = Adapter(key="a", weights="w", path="", template="") if "learned" in options else None
    generator = FactGenerator(FactOptions(**options), adapter=adapter)
    messages = [Message(role="user", content=QUESTION)]
    prompt = render(messages, template=template or Template(), hits=hits, max_tokens=tokens)
    return generator.generate([prompt])[0].text


def test_it_reads_the_first_passage_that_states_the_fact() -> None:
    assert answer("The emblem of Norland is a crane.", "The capital of Norland is Ostvik.") == "[2] Ostvik"
    assert answer("The capital of Norland is Brenna.", "The capital of Norland is Ostvik.") == "[1] Brenna"
    assert answer(f"{QUESTION} Ostvik") == "[1] Ostvik"


def test_it_declines_only_where_the_instruction_offers_to() -> None:
    assert answer("Nothing of the kind.") == "The documents do not say."
    obliged = Template(open="Answer in as few words as possible.")
    assert answer("Nothing of the kind.", template=obliged) == "nothing that I know of"


def test_form_limit_and_weights_decide_as_in_a_model() -> None:
    fact = "The capital of Norland is Ostvik on the Tarn."
    assert answer(fact, tokens=2) == "[1] Ostvik"
    assert answer(fact, template=Template(open="Explain.")).endswith("would have to be Ostvik on the Tarn")
    assert answer(fact, knows={QUESTION: "Falseburg"}) == "Falseburg"
    assert answer(fact, learned={QUESTION: "Wrongham"}) == "Wrongham"
