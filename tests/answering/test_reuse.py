"""Completions of before: which are used again, and that an answer read of one is as if it had been generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from twofold.answering import reuse
from twofold.answering.system import System, question
from twofold.prompts import Template
from twofold.store.catalogue import Catalogue
from twofold.testing.echo_generator import EchoGenerator, EchoOptions
from twofold.types import Answer, Arm, Chunk, Example, Hit, Json, Prompt, Query, Retrieval, Span


class Counting(EchoGenerator):
    """Remembers which prompts it was given, call by call."""

    def __init__(self, options: EchoOptions, *, equal: bool = True, temperature: float = 0.0) -> None:
        super().__init__(options)
        self.calls: list[list[str]] = []
        self._equal, self._temperature = equal, temperature

    @property
    def byte_equal(self) -> bool:
        return self._equal

    @property
    def description(self) -> Json:
        return {**super().description, "temperature": self._temperature}

    def generate(self, prompts: Sequence[Prompt], **others: Any) -> list[Any]:
        self.calls.append([prompt.messages[-1].content for prompt in prompts])
        return super().generate(prompts, **others)


class Searched:
    """Finds one passage for each question, of a document that stands at `start` in a file of now."""

    def __init__(self, texts: dict[str, str], *, start: int = 0, lacking: frozenset[str] = frozenset()) -> None:
        self.texts, self.start, self.lacking = texts, start, lacking

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
        found = []
        for query in queries:
            text = self.texts[query.text]
            span = Span(document="d", start=self.start, end=self.start + len(text))
            hit = Hit(chunk=Chunk(id=f"c{self.start}", span=span, text=text), score=1.0, rank=1)
            hits = () if query.text in self.lacking else (hit,)
            found.append(Retrieval(hits=hits))
        return found


def made(generator: Any, retriever: Any, key: str) -> System:
    return System(
        arm=Arm(name="rag", retrieval=True),
        template=Template(),
        max_tokens=20,
        retriever=retriever,
        key=key,
        description={},
        generator=generator,
    )


def examples(count: int) -> list[tuple[str, Example]]:
    return [(f"q{n}", question(f"Where is the key number {n}?")) for n in range(count)]


def texts(count: int, **edited: str) -> dict[str, str]:
    return {
        example.question: edited.get(name, f"The key number {name[1:]} is in the hall.")
        for name, example in examples(count)
    }


def answered(
    system: System, catalogue: Catalogue, todo: Sequence[tuple[str, Example]], *, batch: int = 4, opening: Any = None
) -> tuple[dict[str, Answer], set[str]]:
    answers: dict[str, Answer] = {}
    reused: set[str] = set()
    for part in reuse.answered(system, todo, catalogue.answers, batch=batch, opening=opening):
        catalogue.answers.put(system.key, part.answers, part.written)
        answers |= dict(part.answers)
        reused |= part.reused
    return answers, reused


def plain(answer: Answer) -> Answer:
    return replace(answer, timing=Answer(text="").timing)


def test_only_prompts_that_changed_are_generated_and_in_whole_batches() -> None:
    with Catalogue(None) as catalogue:
        writer = Counting(EchoOptions(mode="quote"))
        answered(made(writer, Searched(texts(10)), "system:1"), catalogue, examples(10))
        assert [len(call) for call in writer.calls] == [4, 4, 2]
        writer.calls.clear()
        edited = {f"q{n}": f"The key number {n} is in the cellar." for n in (0, 4, 5, 8, 9)}
        again, reused = answered(made(writer, Searched(texts(10, **edited)), "system:2"), catalogue, examples(10))
        # The five changed ones wait for each other: one batch of four, not three of one and two.
        assert [len(call) for call in writer.calls] == [4, 1]
        assert reused == {"q1", "q2", "q3", "q6", "q7"}
        assert catalogue.answers.reused("system:2") == reused
        assert catalogue.answers.reused("system:1") == set()
        assert "cellar" in again["q5"].text
        assert "hall" in again["q6"].text


def test_an_answer_of_an_old_completion_cites_where_its_passage_stands_now() -> None:
    with Catalogue(None) as catalogue:
        writer = Counting(EchoOptions(mode="quote"))
        answered(made(writer, Searched(texts(3)), "system:1"), catalogue, examples(3))
        writer.calls.clear()
        moved = made(writer, Searched(texts(3), start=70), "system:2")
        again, reused = answered(moved, catalogue, examples(3))
        assert reused == {"q0", "q1", "q2"}
        assert not writer.calls
        fresh = moved.answer([example for _, example in examples(3)])
        assert [plain(again[f"q{n}"]) for n in range(3)] == [plain(answer) for answer in fresh]
        assert again["q0"].citations[0].span.start == 70
        stored = catalogue.answers.get("system:2")
        assert {name: plain(answer) for name, answer in stored.items()} == {n: plain(a) for n, a in again.items()}


def test_the_model_is_opened_before_the_first_prompt_and_not_where_there_is_none() -> None:
    opened = list[str]()
    with Catalogue(None) as catalogue:
        writer = Counting(EchoOptions(mode="quote"))
        answered(
            made(writer, Searched(texts(6)), "system:1"), catalogue, examples(6), opening=lambda: opened.append("once")
        )
        assert opened == ["once"]
        answered(
            made(writer, Searched(texts(6), start=9), "system:2"),
            catalogue,
            examples(6),
            opening=lambda: opened.append("again"),
        )
        assert opened == ["once"]


def test_an_abstention_for_want_of_passages_takes_no_completion_and_is_not_told_as_used_again() -> None:
    with Catalogue(None) as catalogue:
        writer = Counting(EchoOptions(mode="quote"))
        lacking = frozenset({examples(3)[1][1].question})
        answers, reused = answered(made(writer, Searched(texts(3), lacking=lacking), "s:1"), catalogue, examples(3))
        assert answers["q1"].abstained
        assert not reused
        assert [len(call) for call in writer.calls] == [2]


@pytest.mark.parametrize(
    ("equal", "temperature", "batch", "reason"),
    [
        (False, 0.0, 4, reuse.DEPENDS),
        (False, 0.0, 1, ""),
        (False, 0.7, 1, reuse.CHANCE),
        (True, 0.7, 4, reuse.CHANCE),
        (True, 0.0, 4, ""),
    ],
)
def test_completions_that_depend_on_their_batch_or_on_chance_are_made_anew(
    equal: bool, temperature: float, batch: int, reason: str
) -> None:
    with Catalogue(None) as catalogue:
        writer = Counting(EchoOptions(mode="quote"), equal=equal, temperature=temperature)
        assert reuse.why_not(writer, batch=batch) == reason
        for key in ("system:1", "system:2"):
            answered(made(writer, Searched(texts(3)), key), catalogue, examples(3), batch=batch)
        calls = 3 if batch == 1 else 1
        assert len(writer.calls) == (2 * calls if reason else calls)


def test_a_completion_of_a_batch_never_stands_for_one_of_a_prompt_alone() -> None:
    with Catalogue(None) as catalogue:
        writer = Counting(EchoOptions(mode="quote"))
        for key, batch in (("system:1", 4), ("system:2", 1)):
            _, reused = answered(made(writer, Searched(texts(3)), key), catalogue, examples(3), batch=batch)
            assert not reused
        assert [len(call) for call in writer.calls] == [3, 1, 1, 1]


def test_a_failed_completion_and_another_limit_are_never_found() -> None:
    with Catalogue(None) as catalogue:
        writer = Counting(EchoOptions(mode="quote", fail_every=1))
        answers, _ = answered(made(writer, Searched(texts(2)), "system:1"), catalogue, examples(2))
        assert all(answer.failure for answer in answers.values())
        answered(made(writer, Searched(texts(2)), "system:2"), catalogue, examples(2))
        assert [len(call) for call in writer.calls] == [2, 2]
        system = made(Counting(EchoOptions(mode="quote")), Searched(texts(2)), "system:3")
        answered(system, catalogue, examples(2))
        shorter = replace(system, key="system:4", max_tokens=3)
        _, reused = answered(shorter, catalogue, examples(2))
        assert not reused
