"""The triggers of training again, for people."""

from __future__ import annotations

import pytest

from twofold.cli.retrain import trigger_line
from twofold.lifecycle.record import NO_CHAMPION, Trigger


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"reason": NO_CHAMPION, "value": 0, "limit": 1, "due": True}, "due: there is no champion yet"),
        ({"reason": "new examples", "value": 3, "limit": 50, "due": False}, "not due: 3 new examples (due from 50)"),
        ({"reason": "days old", "value": 91.5, "limit": 90, "due": True}, "due: 91.5 days old (due from 90)"),
        (
            {"reason": "another base", "value": "a1", "limit": "a1", "due": False},
            "not due: the base is the one that the champion was trained with",
        ),
        (
            {"reason": "another template", "value": "b2", "limit": "a1", "due": True},
            "due: the template is not the one that the champion was trained with",
        ),
    ],
)
def test_a_trigger_says_what_is_and_from_what_on_it_is_due(row: Trigger, line: str) -> None:
    assert trigger_line(row) == line
