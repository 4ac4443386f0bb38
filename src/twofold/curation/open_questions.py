"""Questions that people asked and nobody has a good answer to: alike ones together, the most frequent first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twofold.examples.leaks import bare
from twofold.types import Json

ALIKE = 0.75
"""Cosine of two questions' vectors from which they are listed as one. With the embedder ``minilm``, of 1,500 requests
each: of pairs listed as one 85 % have one intent of banking77's 77, 96 % of clinc150's 151; at .8 there are a third
fewer pairs, 91 and 98 %."""
_SHOWN = 5
"""Further wordings listed with a question."""
NOT_ANSWERED, RATED_DOWN = "not answered", "rated down"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """A question that waits for its answer."""

    question: str
    """As it was asked last."""
    why: str
    """``not answered`` or ``rated down``."""
    times: int
    """How often it was asked, in any of its wordings."""
    last: str
    """ISO time at which it was asked last; may be empty."""
    wordings: tuple[str, ...] = ()
    """Some of its other wordings."""
    answer: str = ""
    """The answer that people rated down."""

    def to_json(self) -> Json:
        """The line of a file to be completed: who writes ``answers`` into it makes an example of it."""
        record: Json = {"question": self.question, "answers": [], "why": self.why, "times": self.times}
        rest = {"last": self.last, "wordings": list(self.wordings), "rejected": self.answer}
        return {**record, **{key: value for key, value in rest.items() if value}}


def together(
    questions: Sequence[OpenQuestion], embed: Callable[[Sequence[str]], Any], *, known: Callable[[str], bool]
) -> list[OpenQuestion]:
    """One of all alike questions, the most frequent first; a question with an example is left out with all like it.

    Args:
        questions: In order of time, each asked once.
        embed: Texts → vectors of length 1, shape (texts, dimension).
        known: Does an example ask this already?
    """
    same: dict[str, list[OpenQuestion]] = {}
    for question in questions:
        same.setdefault(bare(question.question), []).append(question)
    wordings = list(same.values())
    if not wordings:
        return []
    vectors = np.asarray(embed([every[-1].question for every in wordings]), dtype=np.float32)
    # the most frequent wording leads, and takes in what is like it
    order = sorted(range(len(wordings)), key=lambda number: len(wordings[number]), reverse=True)
    leaders: list[int] = []
    groups: list[list[int]] = []
    for number in order:
        # shape (leaders,)
        cosines = vectors[leaders] @ vectors[number] if leaders else np.zeros(0, dtype=np.float32)
        if len(cosines) and cosines.max() >= ALIKE:
            groups[int(cosines.argmax())].append(number)
        else:
            leaders.append(number)
            groups.append([number])
    result: list[OpenQuestion] = []
    for group in groups:
        members = [wordings[number] for number in group]
        latest = [every[-1].question for every in members]
        if not any(map(known, latest)):
            result.append(_of(members))
    return sorted(result, key=lambda question: -question.times)


def _of(wordings: Sequence[Sequence[OpenQuestion]]) -> OpenQuestion:
    leading, *others = (every[-1] for every in wordings)
    rated = next((every[-1] for every in wordings if every[-1].answer), None)
    return OpenQuestion(
        question=leading.question,
        why=rated.why if rated else leading.why,
        times=sum(map(len, wordings)),
        last=max(every[-1].last for every in wordings),
        wordings=tuple(other.question for other in others[:_SHOWN]),
        answer=rated.answer if rated else "",
    )
