"""The monitor of the decision: an alarm where the verdict no longer holds, with its reasons, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from twofold.monitoring import validity_watch
from twofold.monitoring.validity_watch import VerdictMonitor
from twofold.verdict.validity import EndReason, Validity, settled

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MODEL: EndReason = {"dimension": "model", "then": "", "now": "", "why": "the model is another"}


def finding(**lists: Any) -> Validity:
    return settled("0003-shop", NOW.isoformat(), **{"reasons": [], "unknown": [], "notes": [], "region": [], **lists})


@pytest.mark.parametrize(
    ("seen", "state", "value"),
    [
        (finding(), "ok", 1.0),
        (finding(reasons=[MODEL]), "alarm", 0.0),
        (finding(unknown=[MODEL]), "unwatched", None),
        (None, "unwatched", None),
    ],
)
def test_each_state_of_the_verdict_is_a_reading(seen: Validity | None, state: str, value: float | None) -> None:
    (reading,) = VerdictMonitor(lambda _: seen).look(None, moment=NOW).readings
    assert (reading["signal"], reading["state"], reading["value"]) == ("verdict.holds", state, value)


def test_an_alarm_has_one_cause_and_the_proposal_to_study_again() -> None:
    monitor = VerdictMonitor(lambda _: finding(reasons=[MODEL]))
    look = monitor.look(None, moment=NOW)
    assert "no longer holds because the model is another" in look.readings[0]["why"]
    (cause,) = validity_watch.causes(look.readings)
    assert (cause["cause"], cause["evidence"]) == ("verdict expired", ["the model is another"])
    proposed = validity_watch.proposal(cause)
    assert (proposed["action"], proposed["command"]) == ("re-study", "twofold study")
    assert "model" in proposed["why"]


def test_a_verdict_that_holds_has_no_cause() -> None:
    assert validity_watch.causes(VerdictMonitor(lambda _: finding()).look(None, moment=NOW).readings) == []
