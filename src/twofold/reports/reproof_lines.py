"""The blast radius of edited documents, in words and as a table. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from twofold.types import Json
from twofold.verdict.record import ReproofArm, ReproofRow, StudyRecord, counted

_SHOWN = 6
"""Documents and questions that a line of the summary names; the report and `study.json` have all."""


def reproof_lines(record: StudyRecord) -> list[str]:
    """What became of each arm's answers, with an empty line after it; nothing where no document was edited."""
    radius = record.get("reproof")
    if radius is None:
        return []
    lines = [f"documents edited since {radius['study']}:"]
    for name, arm in radius["arms"].items():
        lines.append(f"  {name}: {asked_again(arm)}; {changes(arm)}")
        if arm.get("anew"):
            lines.append(f"    all answered again: {why_all(arm)}")
        blamed = [f"{document} ({count})" for document, count in responsible(arm["rows"])]
        if blamed:
            lines.append(f"    documents (questions): {_listed(blamed)}")
        for change in ("worse", "better"):
            ids = [row["id"] for row in arm["rows"] if row["change"] == change]
            if ids:
                lines.append(f"    {change}: {_listed(ids)}")
    return [*lines, ""]


def reproof_table(record: StudyRecord) -> list[Json]:
    """A row for each arm, with its questions, for the page; empty where no document was edited."""
    radius = record.get("reproof")
    rows: list[Json] = []
    for name, arm in radius["arms"].items() if radius else ():
        questions = sorted(arm["rows"], key=lambda row: _ORDER.index(row["change"]) if row["change"] in _ORDER else 9)
        rows.append(
            {
                "arm": name,
                "asked": asked_again(arm),
                "changes": changes(arm),
                "why": why_all(arm) if arm.get("anew") else "",
                "documents": responsible(arm["rows"]),
                "questions": questions,
            }
        )
    return rows


_ORDER = ("worse", "better", "other words", "not comparable", "same")
"""Changes in the order in which a page lists their questions."""


def asked_again(arm: ReproofArm) -> str:
    """``96 questions searched for again, 12 shown other passages, 12 answered again``."""
    text = (
        f"{counted(arm['questions'], 'question')} searched for again, {arm['shown']:,} shown other passages, "
        f"{arm['generated']:,} answered again"
    )
    return f"trained again; {text}" if arm.get("retrained") else text


def changes(arm: ReproofArm) -> str:
    """``2 better, 3 worse, 91 same``."""
    return ", ".join(f"{count:,} {change}" for change, count in arm["changes"].items())


def why_all(arm: ReproofArm) -> str:
    """Why no completion was used again, and what to do about it."""
    return f'{arm.get("anew", "")} (a local model is exempt with [generation].batch = 1, or with dtype = "f32")'


def responsible(rows: Sequence[ReproofRow]) -> list[tuple[str, int]]:
    """Documents that changed what was shown, with the number of questions, the most frequent first."""
    return Counter(chain.from_iterable(row["documents"] for row in rows)).most_common()


def _listed(items: Sequence[str]) -> str:
    rest = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
