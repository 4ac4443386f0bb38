"""The monitors of a project: traffic, questions, fingerprints, sources, documents, prices, and the search."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from twofold.errors import TwofoldError
from twofold.monitoring import probing
from twofold.monitoring.costs import PriceWatch, price_of_answers, prices
from twofold.monitoring.documents import MeasuredDocuments
from twofold.monitoring.drift import QuestionDrift
from twofold.monitoring.fingerprints import Fingerprints
from twofold.monitoring.record import Monitor
from twofold.monitoring.served import Watched
from twofold.monitoring.staleness import Staleness
from twofold.monitoring.stored_vectors import StoredVectors
from twofold.monitoring.traffic_rows import MOST, Rows
from twofold.monitoring.traffic_signals import SIGNALS, TrafficSignal, TrafficSignals

DAYS = 30
"""Days in which all signals together may raise one false alarm."""
TESTED = len(SIGNALS) + 5
"""Signals that may raise one, each with the same share: those of the traffic with the price of an answer, the drift of
questions, and the three of the search (`monitoring.probing`). Those that compare a digest or a file raise none."""
RUN_LENGTH = float(TESTED * DAYS * MOST)
"""Answers after which one signal of the traffic raises its first false alarm at the earliest, in expectation: at
10,000 answers a day, of which no more are tested, all signals together one in 30 days."""
DRIFT_LEVEL = 1 / (TESTED * DAYS)
"""Of the test of questions of one day."""


def monitors(watched: Watched, rows: Rows | None) -> tuple[Monitor, ...]:
    """The monitors of a project.

    Args:
        watched: The project.
        rows: Reads the traffic log; None where it is off.
    """
    return (
        Fingerprints(watched),
        StoredVectors(watched),
        Staleness(watched, rows),
        MeasuredDocuments(watched),
        QuestionDrift(watched, rows, level=DRIFT_LEVEL),
        TrafficSignals(watched, rows, run_length=RUN_LENGTH, further=partial(_priced, watched)),
        PriceWatch(watched),
        *probing.monitors(watched, run_length=RUN_LENGTH),
    )


def _priced(watched: Watched, moment: datetime) -> tuple[TrafficSignal, ...]:
    """The price of an answer, where tokens have prices; a table that is wrong is the reading of `PriceWatch`."""
    try:
        signal = price_of_answers(watched.measured(), prices(watched, today=moment))
    except TwofoldError:
        return ()
    return (signal,) if signal else ()
