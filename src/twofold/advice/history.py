"""The advices of a project, stored as they were given, and compared with the verdicts that came later.

They are records, not caches: one line each in ``advice/advices.jsonl``, only ever appended. They hold counts and
choices, and no text of a document or question.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypedDict

from twofold.advice.opinion import FORMAT, AdviceRecord
from twofold.advice.weights import ARMS
from twofold.errors import StoreError, refused
from twofold.files import writing
from twofold.hashing import canonical_json
from twofold.stats import intervals
from twofold.verdict.record import EstimateRecord, StudyRecord

FILE = "advice/advices.jsonl"
"""Relative to the project."""
UNMEASURED = "first not measured"
"""Result of an advice whose first way the study did not measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advices:
    """The advices stored in one project."""

    directory: Path
    """The project."""

    @property
    def path(self) -> Path:
        """The file that they stand in; it may be missing."""
        return self.directory / FILE

    def read(self) -> tuple[list[AdviceRecord], list[int]]:
        """All advices, oldest first, and the lines that cannot be read: a killed writer may leave half a line.

        Raises:
            StoreError: the file cannot be read, or was written by a newer Twofold.
        """
        if not self.path.exists():
            return [], []
        try:
            lines = self.path.read_bytes().split(b"\n")
        except OSError as error:
            raise StoreError(
                f"the stored advices cannot be read: {error.strerror or error}",
                file=self.path,
                cure="Look at the file and its rights.",
            ) from error
        advices: list[AdviceRecord] = []
        damaged = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            advice = _advice(line)
            if advice is None:
                damaged.append(number)
            elif advice["format"] > FORMAT:
                raise StoreError(
                    "an advice was written by a newer Twofold", file=self.path, line=number, cure="Upgrade Twofold."
                )
            else:
                advices.append(advice)
        return advices, damaged

    def store(self, advice: AdviceRecord) -> bool:
        """Append an advice, on the disk before this returns; False where the same one is stored already.

        Raises:
            StoreError: the disk refuses.
        """
        if any(stored["id"] == advice["id"] for stored in self.read()[0]):
            return False
        try:
            # Only its owner, like everything else of a project that is no source.
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writing.append(self.path, canonical_json(advice).encode(), mode=0o600)
        except OSError as error:
            failure = refused(f"the advice cannot be stored: {error.strerror or error}", error, file=self.path)
            failure.cure = "Make room and the folder writable, or give --no-store."
            raise failure from error
        return True


def _advice(line: bytes) -> AdviceRecord | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    whole = (
        isinstance(value, dict)
        and isinstance(value.get("format"), int)
        and AdviceRecord.__required_keys__ <= set(value)
    )
    return value if whole else None


class ComparisonRow(TypedDict):
    """One advice beside one later study."""

    advice: str
    """Id of the advice."""
    at: str
    """Time of the advice."""
    first: str
    """The way that it put first."""
    compared: str
    """The best of its ways that the study measured; empty where it measured none."""
    study: str
    created: str
    """Time of the study."""
    outcome: str
    """Of the verdict."""
    arm: str
    """Chosen by the verdict; empty where it chose none."""
    result: str
    """``hit``, ``miss``, ``undecided`` (the study did not choose), ``first not measured`` (the way advised is no arm of
    it, so that nothing is said of the advice) or ``not compared`` (it measured fewer than two ways, or none that the
    advice left open)."""


class TrackRecord(TypedDict):
    """How the advices of a project fared."""

    advices: int
    """Stored."""
    waiting: int
    """Of these, without any later study that compares."""
    unmeasured: int
    """Of these, with later studies none of which measured the way advised."""
    rows: list[ComparisonRow]
    """Every advice beside every later study, oldest first."""
    hit: int
    miss: int
    undecided: int
    """Counts over advices, each by the latest later study that chose, else by the latest that compared."""
    right: EstimateRecord | None
    """Share of hits among hits and misses, its groups the studies; None where no study chose."""
    damaged: list[int]
    """Lines of the file that cannot be read."""


def track_record(
    advices: Sequence[AdviceRecord], studies: Sequence[StudyRecord], *, damaged: Sequence[int] = ()
) -> TrackRecord:
    """Compare advices with the studies that came after them; a study that opened the reserve only confirms another.

    Args:
        advices: As stored.
        studies: Of the same project.
        damaged: Lines of advices that cannot be read.
    """
    later = [study for study in studies if not study["policy"]["final"]]
    rows: list[ComparisonRow] = []
    settled: list[ComparisonRow] = []
    waiting = unmeasured = 0
    for advice in advices:
        given_at = _moment(advice["at"])
        mine = [_compared(advice, study) for study in later if _moment(study["created"]) > given_at]
        rows += mine
        compared = [row for row in mine if row["result"] not in ("not compared", UNMEASURED)]
        # A later look at the same question knows more: the latest study that chose decides.
        chosen = [row for row in compared if row["result"] != "undecided"] or compared
        settled += chosen[-1:]
        without = any(row["result"] == UNMEASURED for row in mine)
        unmeasured += not compared and without
        waiting += not compared and not without
    counts = Counter(row["result"] for row in settled)
    decided = [row for row in settled if row["result"] != "undecided"]
    return {
        "advices": len(advices),
        "waiting": waiting,
        "unmeasured": unmeasured,
        "rows": rows,
        "hit": counts["hit"],
        "miss": counts["miss"],
        "undecided": counts["undecided"],
        "right": _share(decided),
        "damaged": list(damaged),
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _compared(advice: AdviceRecord, study: StudyRecord) -> ComparisonRow:
    arms = {name for name, arm in study["arms"].items() if not arm["diagnostic"]}
    measured = {way for way, arm in ARMS.items() if arm in arms}
    left = [row["way"] for row in advice["ranking"] if not row["excluded"] and row["way"] in measured]
    verdict = study["verdict"]
    # An advice that put nothing first said nothing, and one arm alone wins without a contest.
    if not advice["first"] or not left or len(measured) < 2:
        result = "not compared"
    elif left[0] != advice["first"]:
        result = UNMEASURED
    elif verdict["outcome"] != "choose":
        result = "undecided"
    else:
        result = "hit" if verdict["arm"] == ARMS[left[0]] else "miss"
    return {
        "advice": advice["id"],
        "at": advice["at"],
        "first": advice["first"],
        "compared": left[0] if left else "",
        "study": study["study"],
        "created": study["created"],
        "outcome": verdict["outcome"],
        "arm": verdict["arm"],
        "result": result,
    }


def _share(decided: Sequence[ComparisonRow]) -> EstimateRecord | None:
    if not decided:
        return None
    # Advices that one study judges stand or fall together.
    numbers: dict[str, int] = {}
    groups = [numbers.setdefault(row["study"], len(numbers)) for row in decided]
    share = intervals.estimate([float(row["result"] == "hit") for row in decided], groups)
    return {"mean": share.mean, "low": share.low, "high": share.high, "n": share.n, "failed": share.failed}
