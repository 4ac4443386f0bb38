"""Does a choice rest on how short the answers are? A doubt where it may. Pure.

A tuned model answers in two words where another one writes a sentence. `answer_f1` takes a reference that is said in a
sentence for right, but of two wrong answers it gives the shorter one more; other metrics of words count every word
beside the reference. So where the chosen arm's answers are half as long as those of an arm it was shown better than, or
shorter, the gain is looked at again without what length can change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twofold.settings.sections import StudySection
from twofold.stats import intervals
from twofold.verdict.evidence import VerdictFacts
from twofold.verdict.record import estimate_text
from twofold.verdict.wording import metric_title

SHORT = 0.5
"""An arm answers briefly beside another where its median answer has at most this share of the other's characters."""
COUNTS_FORM = frozenset(("exact_match", "token_f1", "squad_exact", "squad_f1", "rouge_l"))
"""Metrics by which a right answer in a sentence scores less than the same in a word."""


def doubts(
    columns: Mapping[str, Any],
    groups: Any,
    *,
    arm: str,
    simpler: Sequence[str],
    metric: str,
    section: StudySection,
    facts: VerdictFacts,
) -> list[str]:
    """Doubts about the choice of `arm` by its answers' length; empty where length changes nothing, or it is not less.

    Args:
        columns: Arm → scores, a failed answer as 0, NaN where a race did not ask for it, shape (questions,).
        groups: Group of each question, same shape.
        arm: That was chosen; empty for none.
        simpler: Acceptable arms that are simpler.
        metric: Name of the deciding metric.
        section: Level, resamples, seed.
        facts: Have the length of the answers.
    """
    mine = facts.letters.get(arm, 0.0)
    # An arm whose answers all failed or abstained has no length (0), and is not brief for that.
    long = [name for name in simpler if mine and mine <= SHORT * facts.letters.get(name, 0.0)]
    graded = any(((column > 0) & (column < 1)).any() for column in columns.values())
    # Scores that are 0 or 1, from a metric that takes a sentence for right, do not follow the length of an answer.
    if not long or not (graded or metric in COUNTS_FORM):
        return []
    lengths = ", ".join(f"{name} {facts.letters[name]:.0f}" for name in long)
    start = f"{arm} answers briefly ({mine:.0f} characters; {lengths}; medians)"
    title = metric_title(metric)
    if metric in COUNTS_FORM:
        return [
            f"{start}, and {title} counts every word beside the reference: compare by answer_f1 before you believe it"
        ]
    # (questions, arms): wholly right or not, which length cannot change.
    scores = np.stack([columns[name] for name in (arm, *long)], axis=1)
    whole = np.where(np.isnan(scores), np.nan, scores >= 1 - 1e-9)  # NaN: a race did not ask the arm
    gaps = intervals.contrasts(
        whole,
        groups,
        {name: np.eye(len(long) + 1)[0] - np.eye(len(long) + 1)[place] for place, name in enumerate(long, 1)},
        level=section.level,
        resamples=section.resamples,
        seed=section.seed,
        joint=False,  # each alone, as the differences that decide
    )
    # The choice rests on every one of these gaps, so one that may be nothing is doubt enough.
    least = min(gaps, key=lambda name: gaps[name].low)
    if gaps[least].low > 0:
        return []
    gap: Any = {key: getattr(gaps[least], key) for key in ("mean", "low", "high")}
    return [
        f"{start}: of answers that are wholly right alone {arm} - {least} is {estimate_text(gap)}, so the gain may "
        "come from wrong answers, of which a short one shares more with the reference"
    ]
