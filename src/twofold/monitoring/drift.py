"""Whether people ask what the study asked: the questions of the traffic beside the study's test questions.

Once a day at most, the distinct questions since the last test are compared with the reference by the two-sample test
of `stats.two_samples` on the embedder's vectors. Every test has new questions and its own level, of which a month's
sum is this signal's share of the false alarms, so that looking daily adds no others.

Live questions are rarely a sample of the test questions even where nothing moved. So the first questions decide what
the later ones are compared with: the study's questions where the test cannot tell both apart, else the traffic of
the first days. The latter is said in the reading, once learned, and alarms no more.

An alarm also needs a difference that matters (`APART`): of thousands of questions the test would show any.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.monitoring.readings import percent, reading, unwatched_look
from twofold.monitoring.record import Observation, Reading
from twofold.monitoring.served import Watched
from twofold.monitoring.traffic_rows import Rows, new_rows, thinned
from twofold.stats.two_samples import Compared, compared
from twofold.traffic.record import TrafficRow
from twofold.types import Json

SIGNAL = "questions.drift"
APART = 0.60
"""Probability of telling a question's sample below which no difference alarms. Set on clinc150: halves of one set of
questions reach .58 in 60 trials, a third of questions of another domain .60, a half .70. banking77, dstc11, agxqa,
medquad and snips, on which it was not set: .55 to .58, .60 to .65, .70 to .75 (`docs/notebook.md`)."""
LEAST, MOST = 50, 300
"""Distinct questions of a test: fewer wait for the next day; more are thinned, which holds the cost of a look."""
_FIRST, _DAYS = 200, 3
"""Questions, and days, after which the reference of the first days is complete: one day is no week."""
_TEST = 30
"""Fewest test questions that are a reference: with fewer hardly any difference could be shown."""
_UNLIKE = 0.01
"""Level of the one test that decides whether the traffic resembles the study's questions."""
_KEPT = 32
"""Dimensions of the vectors of first days that are remembered: directions at random (Johnson & Lindenstrauss 1984), so
that no question can be read out of them."""
PERMUTATIONS = 1999

Vectors = npt.NDArray[np.float64]


class QuestionDrift:
    """Compares the questions of the traffic with those of the study, or of the first days.

    Args:
        watched: The project.
        rows: Reads the traffic log; None where it is off.
        level: Of the test of one day.
    """

    name = "questions"

    def __init__(self, watched: Watched, rows: Rows | None, *, level: float) -> None:
        self._watched = watched
        self._rows = rows
        self._level = level

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        """Compare what was asked since the last test; see `Monitor.look`."""
        if self._rows is None:
            why = 'the traffic log is off: set [traffic].log = "full" to compare questions'
            return unwatched_look([SIGNAL], moment, why=why, before=before)
        measured = self._watched.measured()
        state: Json = dict(before or {})
        if state.get("study", measured.study) != measured.study:
            state = {"since": state.get("since", "")}
        state["study"] = measured.study
        fresh = new_rows(self._rows, state, moment=moment)
        questions = _distinct(fresh.rows)
        if fresh.rows and not questions:
            why = 'the traffic log holds no texts: set [traffic].log = "full" to compare questions'
            state["since"] = fresh.since
            return unwatched_look([SIGNAL], moment, why=why, before=state)
        today = moment.date().isoformat()
        if len(questions) < LEAST or state.get("day") == today:
            # Not yet: what is there is read again by the next look, and no text is remembered here.
            return Observation(readings=(self._waiting(state, len(questions), moment),), state=state)
        vectors = self._embedded(questions)
        tested = self._tested(vectors, state, moment)
        state |= {"since": fresh.since, "day": today, "last": {"state": tested["state"], "why": tested["why"]}}
        return Observation(readings=(tested,), state=state)

    def _waiting(self, state: Json, count: int, moment: datetime) -> Reading:
        last = state.get("last")
        waiting = f"{count} new questions; the next test needs {LEAST} and another day"
        if not last:
            return reading(SIGNAL, moment, state="learning", why=waiting, n=count)
        why = f"{last['why']} ({waiting})"
        return reading(SIGNAL, moment, state=last["state"], why=why, n=count, detail={"study": state["study"]})

    def _tested(self, vectors: Vectors, state: Json, moment: datetime) -> Reading:
        """Test, or learn; changes `state`."""
        if "reference" not in state:
            test = self._test_questions()
            first = compared(self._embedded(test), vectors, permutations=PERMUTATIONS) if len(test) >= _TEST else None
            resembles = first is not None and (first.p > _UNLIKE or first.auc < APART)
            state["reference"] = "study" if resembles else "traffic"
            state["apart"] = first.auc if first else None
            if first and resembles:
                return self._read(first, len(vectors), moment, state=state)
        if state["reference"] == "study":
            against = compared(self._embedded(self._test_questions()), vectors, permutations=PERMUTATIONS)
            return self._read(against, len(vectors), moment, state=state)
        known: list[list[float]] = state.setdefault("vectors", [])
        short = _directions(vectors)
        if len(known) < _FIRST or state.get("days", 0) < _DAYS:
            some = short[: max(1, _FIRST // _DAYS)] if len(known) < _FIRST + _FIRST // _DAYS else short[:0]
            state["vectors"] = known + np.round(some, 4).tolist()
            state["days"] = state.get("days", 0) + 1
            why = f"{len(state['vectors'])} questions of {state['days']} days learned as the reference{_unlike(state)}"
            return reading(SIGNAL, moment, state="learning", why=why, n=len(vectors))
        return self._read(
            compared(np.array(known), short, permutations=PERMUTATIONS), len(vectors), moment, state=state
        )

    def _read(self, result: Compared, n: int, moment: datetime, *, state: Json) -> Reading:
        over = result.p <= self._level and result.auc >= APART
        other = "the study's test questions" if state["reference"] == "study" else "those of the first days"
        why = (
            f"questions are told from {other} in {percent(result.auc)} of cases (50 %: not at all; from "
            f"{percent(APART)} on it counts), p = {result.p:.4f}, level {self._level:.4f}{_unlike(state)}"
        )
        return reading(
            SIGNAL,
            moment,
            state="alarm" if over else "ok",
            why=why,
            value=result.auc,
            baseline=0.5,
            n=n,
            statistic=1 - result.p,
            threshold=1 - self._level,
            detail={
                "study": state["study"],
                "reference": state["reference"],
                "p": result.p,
                "discrepancy": result.discrepancy,
            },
        )

    def _test_questions(self) -> list[str]:
        texts = self._watched.questions(self._watched.measured())
        step = max(1, -(-len(texts) // MOST))
        return texts[::step]

    def _embedded(self, texts: Sequence[str]) -> Vectors:
        return np.asarray(self._watched.workspace.search.embedder.embed(list(texts)), dtype=float)


def _distinct(rows: Sequence[TrafficRow]) -> list[str]:
    """Each question once: one that a program repeats is no evidence about what people ask."""
    asked_once: dict[str, TrafficRow] = {}
    for row in rows:
        question = row.get("question", "").strip()
        if question:
            asked_once.setdefault(question, row)
    return [row["question"].strip() for row in thinned(list(asked_once.values()), MOST)]


def _directions(vectors: Vectors) -> Vectors:
    """Vectors in fewer dimensions, the same directions in every process; shape (n, `_KEPT`) or fewer."""
    if vectors.shape[1] <= _KEPT:
        return vectors
    chance = np.random.default_rng(20261201)
    short: Vectors = vectors @ chance.normal(size=(vectors.shape[1], _KEPT)) / np.sqrt(_KEPT)
    return short


def _unlike(state: Any) -> str:
    if state.get("reference") != "traffic" or state.get("apart") is None:
        return ""
    return (
        f"; remark: from the start the traffic did not resemble the study's test questions (told apart in "
        f"{percent(state['apart'])} of cases), so that the study's figures are of other questions than yours"
    )
