"""The monitor of the decision: does the verdict that answers still hold (`verdict.validity`)?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from twofold.monitoring.record import AlarmCause, CauseName, Observation, Proposal, Reading, State
from twofold.types import Json
from twofold.verdict.record import counted
from twofold.verdict.validity import Validity

SIGNAL = "verdict.holds"
"""The one signal of this monitor."""
CAUSE: CauseName = "verdict expired"
"""What the alarm means, among `record.CauseName`."""
_STATES: dict[str, State] = {"holds": "ok", "expired": "alarm", "unknown": "unwatched"}


class VerdictMonitor:
    """Watches the verdict that answers; compares, so that its alarm needs no test and has no false-alarm rate.

    Args:
        validity: Tells the validity of the verdict that answers at a moment; None where there is no study.
    """

    name = "verdict"

    def __init__(self, validity: Callable[[datetime], Validity | None]) -> None:
        self._validity = validity

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        """See `Monitor.look`; nothing is remembered, for the record of the study says how it was."""
        finding = self._validity(moment)
        at = moment.astimezone(UTC).isoformat(timespec="seconds")
        if finding is None:
            return Observation(readings=(_reading(at, "unwatched", "there is no study yet", {}),), state={})
        reasons = finding["reasons"] or finding["unknown"]
        why = f"the verdict of {finding['study']} stands within its region"
        if finding["reasons"]:
            why = f"the verdict of {finding['study']} no longer holds because {_listed(finding)}"
        elif reasons:
            why = f"not everything could be compared: {_listed(finding)}"
        detail: Json = {"study": finding["study"], "reasons": list(reasons), "notes": finding["notes"]}
        detail["dimensions"] = sorted({reason["dimension"] for reason in reasons})
        return Observation(readings=(_reading(at, _STATES[finding["state"]], why, detail),), state=before or {})


def _listed(finding: Validity) -> str:
    return "; ".join(reason["why"] for reason in finding["reasons"] or finding["unknown"])


def _reading(at: str, state: State, why: str, detail: Json) -> Reading:
    # 1 while it holds: a comparison has neither an interval nor a threshold.
    value = {"ok": 1.0, "alarm": 0.0}.get(state)
    return {
        "signal": SIGNAL,
        "at": at,
        "state": state,
        "value": value,
        "low": None,
        "high": None,
        "baseline": 1.0,
        "n": 1,
        "statistic": None,
        "threshold": None,
        "why": why,
        "detail": detail,
    }


def causes(readings: Sequence[Reading]) -> list[AlarmCause]:
    """The cause of an alarm of this monitor; none where there is no alarm."""
    named: list[AlarmCause] = []
    for reading in readings:
        if reading["signal"] == SIGNAL and reading["state"] == "alarm":
            evidence = [str(reason["why"]) for reason in reading["detail"]["reasons"]]
            named.append({"cause": CAUSE, "signals": [SIGNAL], "evidence": evidence, "detail": reading["detail"]})
    return named


def proposal(cause: AlarmCause) -> Proposal:
    """What to do about it: measure again, after what a person may have to put right first."""
    dimensions = cause["detail"]["dimensions"]
    number = len(cause["evidence"])
    return {
        "action": "re-study",
        "command": "twofold study",
        "why": f"the verdict no longer holds ({', '.join(dimensions)}; {counted(number, 'reason')})",
        "cause": CAUSE,
        "evidence": cause["evidence"],
    }
