"""Warnings that the documents or the questions cannot tell the arms apart. Pure.

A study of such questions ends undecided, or says of retrieval what would hold of no larger collection: better to learn
it in minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twofold.advice.probes.record import ForecastWarning
from twofold.types import Estimate, Example
from twofold.verdict.record import counted, number_text

_ANSWERED = 0.9
"""Share of closed-book answers above which nothing is left to mend: a gain of more than .1 cannot be."""
_PERFECT = 0.95
"""Share of found documents above which a retriever is perfect in what follows: it has lost one question in twenty."""
_EASY = 0.8
"""Least share that each leg alone finds where the whole is perfect: no setting of retrieval then makes a difference."""


def warnings(
    *, closed: Estimate | None, recalls: Mapping[str, Estimate], examples: Sequence[Example], k: int, documents: int
) -> list[ForecastWarning]:
    """Every reason why arms may not be told apart, each with the figure that it stands on.

    Args:
        closed: Share of questions that are right without passages; None where the metric says of none that it is.
        recalls: Retriever → share of questions with a right document among its k hits; ``configured`` is the project's.
        examples: Train and dev questions, all of them.
        k: Passages shown; 0 without documents.
        documents: Documents that are searched.
    """
    raised: list[ForecastWarning] = []
    if closed is not None and closed.mean >= _ANSWERED:
        raised.append(
            {
                "code": "base-already-answers",
                "message": f"the model answers {_share(closed)} right without documents or tuning: at most "
                f"{number_text(1 - closed.mean, 2)} is left to gain",
            }
        )
    if k and not recalls:
        raised.append(
            {
                "code": "no-sources",
                "message": "no question of the sample names the documents that hold its answer: recall and the use of "
                "the right passage are unknown, and the gain is counted instead of explained",
            }
        )
    configured = recalls.get("configured")
    single = {name: recall for name, recall in recalls.items() if name != "configured"}
    if configured and configured.mean >= _PERFECT and single and min(r.mean for r in single.values()) >= _EASY:
        others = ", ".join(f"{name} {_share(recall)}" for name, recall in single.items())
        raised.append(
            {
                "code": "every-retriever-perfect",
                "message": f"a right document is among the {counted(k, 'hit')} for {_share(configured)} of the "
                f"questions, and for each leg alone nearly so ({others}): among {counted(documents, 'document')} any "
                "retriever finds them, and the forecast says little about a larger collection",
            }
        )
    if k and all(example.answerable for example in examples):
        raised.append(
            {
                "code": "nothing-unanswerable",
                "message": f"the documents answer every one of {counted(len(examples), 'question')}: whether an arm "
                "declines where they do not cannot be measured; add questions with answerable = false",
            }
        )
    return raised


def _share(estimate: Estimate) -> str:
    mean, low, high = (number_text(value, 2) for value in (estimate.mean, estimate.low, estimate.high))
    return f"{mean} [{low}, {high}]"
