"""Does an answer rest on the passages that it cites? Each is left out in turn, and the answer's likelihood taken again.

A passage that the answer was taken from makes the answer likelier (leave-one-out attribution, as in ContextCite,
Cohen-Wang et al. 2024). A drop alone says little: any change of the prompt moves the likelihood. So the same answer is
read after prompts that say the same otherwise (passages in another order, a passage twice) and without passages that
nothing cites; a citation holds where its drop is beyond what such changes do. Where a passage that is not cited passes
this test and the cited one does not, the citation points to the wrong passage. Two passages that both hold the answer
stand in for each other, and then neither is shown to be needed: the outcome is unclear, not wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from twofold.answering.system import System
from twofold.errors import GenerationError
from twofold.plugins.protocols import Likelihoods
from twofold.stats.distributions import t_quantile
from twofold.types import Answer, Example, Failure, Filter, Hit, Prompt

CONTROLS = 4
"""Changes without a meaning, at least: with fewer the quantile that a drop must exceed is large."""
LEVEL = 0.95
"""Probability that a further change without a meaning stays below the limit."""
_MOST_TURNS = 3
"""Other orders of the passages; each costs a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CitationTest:
    """What leaving out one cited passage does to the answer, in log-likelihood of the whole answer (nats)."""

    number: int
    """The passage's number, from 1."""
    drop: float
    """By how much less likely the answer is without the passage, beyond the mean of changes without a meaning."""
    low: float
    """Lower end of the drop's interval, one-sided at `LEVEL`, from the spread of changes without a meaning."""
    controls: int
    """Number of those changes."""
    outcome: Literal["holds", "elsewhere", "unclear"]
    """The answer rests on the passage; rests on another one instead; or neither is shown."""
    better: int = 0
    """Of ``elsewhere``: the number of the passage that the answer rests on."""


def citation_tests(
    system: System, example: Example, answer: Answer, *, filter: Filter | None = None
) -> tuple[CitationTest, ...]:
    """Test every cited passage of an answer, by the generator that gave it.

    Args:
        system: What answered.
        example: The question.
        answer: Its answer, with hits and citations; it need not be the system's own.
        filter: Filter of the request.

    Returns:
        A test for each cited passage, by number; none where nothing is cited, or the answer abstains.

    Raises:
        GenerationError: the generator tells no likelihoods, or a prompt does not fit into the context.
    """
    generator = system.generator
    cited = sorted({citation.number for citation in answer.citations if citation.number <= len(answer.hits)})
    if not cited or answer.abstained or answer.failure is not None or not answer.text.strip():
        return ()
    if not isinstance(generator, Likelihoods):
        raise GenerationError(
            "citations cannot be tested: the generator does not tell how likely a given answer is",
            cure='Use the generator "local".',
        )
    shots = system.shown_shots(system.granted(filter))

    def prompt(hits: Sequence[Hit]) -> Prompt:
        return system.prompt(example, hits, shots=shots)

    hits = answer.hits
    numbers = range(1, len(hits) + 1)
    variants = [hits, *(_without(hits, number) for number in numbers), *_same(hits, uncited=len(hits) - len(cited))]
    read = generator.likelihoods([(prompt(variant), answer.text) for variant in variants])
    totals = []
    for reading in read:
        # Every reading is needed: a mean over those that fit would be of shorter prompts only.
        if isinstance(reading, Failure):
            raise GenerationError(
                f"citations cannot be tested: {reading.message}", cure="Show fewer or shorter passages."
            )
        totals.append(math.fsum(reading))
    drops = [totals[0] - total for total in totals[1:]]
    removed, turned = drops[: len(hits)], drops[len(hits) :]
    excess = {number: _excess(number, cited, removed, turned) for number in numbers}
    return tuple(_outcome(number, cited, excess) for number in cited)


@dataclass(frozen=True, slots=True)
class _Excess:
    drop: float
    low: float
    controls: int


def _excess(number: int, cited: Sequence[int], removed: Sequence[float], turned: Sequence[float]) -> _Excess:
    """A passage's drop beyond the changes without a meaning, with its lower end."""
    own_drop = removed[number - 1]
    others = [drop for place, drop in enumerate(removed, 1) if place not in (number, *cited)]
    controls = [*turned, *others]
    mean = math.fsum(controls) / len(controls)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in controls) / (len(controls) - 1))
    # prediction of one further change, not of their mean
    margin = t_quantile(LEVEL, len(controls) - 1) * spread * math.sqrt(1 + 1 / len(controls))
    return _Excess(own_drop - mean, own_drop - mean - margin, len(controls))


def _outcome(number: int, cited: Sequence[int], excess: dict[int, _Excess]) -> CitationTest:
    mine = excess[number]
    needed = {place: one.drop for place, one in excess.items() if place not in cited and one.low > 0}
    best = max(needed, key=lambda place: needed[place], default=0)
    outcome: Literal["holds", "elsewhere", "unclear"] = "holds" if mine.low > 0 else "elsewhere" if best else "unclear"
    return CitationTest(
        number=number,
        drop=mine.drop,
        low=mine.low,
        controls=mine.controls,
        outcome=outcome,
        better=best if outcome == "elsewhere" else 0,
    )


def _without(hits: Sequence[Hit], number: int) -> list[Hit]:
    return [hit for place, hit in enumerate(hits, 1) if place != number]


def _same(hits: Sequence[Hit], *, uncited: int) -> list[list[Hit]]:
    """The passages in other orders; where these and the uncited ones are too few, with some of them twice."""
    turns = [[*hits[start:], *hits[:start]] for start in range(1, min(len(hits), _MOST_TURNS + 1))]
    copies = max(0, CONTROLS - len(turns) - uncited)
    repeated = []
    # one more copy each time: of a single passage two copies in one prompt are still another prompt
    for count in range(1, copies + 1):
        again = [hits[place % len(hits)] for place in range(count)]
        repeated.append([*hits, *again])
    return [*turns, *repeated]
