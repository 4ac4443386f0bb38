"""What one look at a project records: readings of signals, causes, and proposals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypedDict

from twofold.types import Json

State = Literal["ok", "alarm", "learning", "unwatched"]
"""``learning``: too little was seen to compare with; ``unwatched``: cannot be watched, `why` says so."""
CauseName = Literal[
    "embedder changed",
    "chunking changed",
    "near duplicates",
    "stale documents",
    "documents removed",
    "source missing",
    "questions moved",
    "slow part",
    "model changed",
    "answers degraded",
    "cost moved",
    "verdict expired",
    "unknown",
]
"""What made signals alarm, as causes are named to people."""


class Reading(TypedDict):
    """One signal at one look."""

    signal: str
    """Name, as ``probes.hit`` or ``questions.drift``; the part before the point is its group."""
    at: str
    """Time of the look, in UTC, ISO 8601."""
    state: State
    value: float | None
    """What was measured now; None where nothing was."""
    low: float | None
    """Interval of `value`, 95 %; None where there is none."""
    high: float | None
    baseline: float | None
    """What it is compared with."""
    n: int
    """Observations of this look."""
    statistic: float | None
    """The sequential statistic; None where the signal is no test but a comparison (a fingerprint)."""
    threshold: float | None
    """At or above it `statistic` alarms."""
    why: str
    """In words, for people: what was compared with what, and why it alarms or is not watched."""
    detail: Json
    """What the cause is told from and a page shows: documents, sources, parts."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a monitor saw."""

    readings: tuple[Reading, ...]
    state: Json
    """What it must remember until the next look; small, JSON."""


class Monitor(Protocol):
    """Watches some signals. Looks only read the project; what a monitor remembers is handed to it."""

    name: str
    """Under which its state is stored."""

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        """Measure now.

        Args:
            before: The state that the look before returned; None at the first look.
            moment: The time now, in UTC. It may lie before that of the last look (a clock was set back).

        Raises:
            TwofoldError: it cannot look; the other monitors do, and the state before stays.
        """
        ...


class AlarmCause(TypedDict):
    """Why signals alarm."""

    cause: CauseName
    signals: list[str]
    """Alarms that it explains."""
    evidence: list[str]
    """Sentences with the numbers."""
    detail: Json


class Proposal(TypedDict):
    """What to do about a cause; nothing is done before a person says so."""

    action: Literal["sync", "re-index", "re-study", "re-tune", "look"]
    command: str
    """The command to type."""
    why: str
    cause: CauseName
    evidence: list[str]


class OpenProposal(Proposal):
    """A proposal until its cause is over, or a person dismisses it."""

    number: int
    """By which a person dismisses it."""
    since: str
    """Time of the look that made it, in UTC, ISO 8601."""


class WatchReport(TypedDict):
    """One look at a project."""

    at: str
    number: int
    """How many looks there were, this one included."""
    state: Literal["ok", "alarm", "failed"]
    """``failed``: no monitor could look. An alarm stands until its signal is seen again and does not alarm."""
    readings: list[Reading]
    new: list[str]
    """Signals that alarm now and did not at the look before."""
    over: list[str]
    """Signals that alarmed at the look before and do not now."""
    causes: list[AlarmCause]
    proposals: list[OpenProposal]
    """Those that are open, of earlier looks too."""
    remarks: list[str]
    """What could not be looked at, and why; jumps of the clock; missed looks."""
