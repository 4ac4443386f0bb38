"""What the server's log says of requests that failed."""

from __future__ import annotations

import logging

import pytest

from twofold.errors import ConfigError
from twofold.serving import faults


@pytest.mark.parametrize(("level", "traced"), [(logging.INFO, False), (logging.DEBUG, True)])
def test_an_error_raised_on_purpose_is_a_line_with_its_cure(
    level: int, traced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(level, logger="twofold"):
        status, _, _ = faults.of_error(ConfigError("access control is disabled", cure="Enable it."))
    assert status == 500
    (line,) = caplog.records
    assert line.getMessage() == "a request failed: access control is disabled. Enable it."
    assert bool(line.exc_info) is traced


def test_an_error_without_a_cure_is_a_line_without_an_end_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    _, body, _ = faults.of_error(ConfigError("access control is disabled.", cure=""))
    assert caplog.records[0].getMessage() == "a request failed: access control is disabled."
    assert body["error"]["message"] == "access control is disabled."


def test_an_unexpected_error_always_has_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    faults.of_error(AttributeError("nothing of that name"))
    (line,) = caplog.records
    assert line.exc_info
