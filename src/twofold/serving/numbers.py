"""Numbers of a server that are looked at when somebody collects them, not counted as they happen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from twofold.costs.endpoint_states import summed
from twofold.errors import PartDown, TwofoldError
from twofold.plugins.live import KnowsEndpoints
from twofold.plugins.results import EndpointState
from twofold.project.watching import Watching
from twofold.serving.arms import ServedArms
from twofold.serving.served import Served
from twofold.types import IndexState, IndexVersion


@dataclass(frozen=True, kw_only=True)
class Number:
    """One value of a gauge."""

    name: str
    """As Prometheus shows it: ``twofold_`` and what it counts, with its unit."""
    help: str
    """What it counts, a sentence; the same for all values of a name."""
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    """Names and values; the same names for all values of a name. Never what a caller wrote."""


Numbers = Callable[[], Iterator[Number]]
"""Tells numbers of now; may wait for the index. What it raises leaves its numbers out and is counted."""


def log_numbers(logs: Mapping[str, Callable[[], str]]) -> Iterator[Number]:
    """Which of the server's files cannot be written.

    Args:
        logs: Name → why it cannot; empty where it can.
    """
    for name, failure in logs.items():
        yield Number(
            name="twofold_log_failing",
            help="1: a file of the server cannot be written.",
            value=float(bool(failure())),
            labels={"log": name},
        )


def traffic_numbers(lost: float) -> Iterator[Number]:
    """How many answers the traffic log lacks."""
    yield Number(name="twofold_traffic_lost", help="Answers that are not in the traffic log.", value=lost)


def watch_numbers(watching: Watching, *, clock: Callable[[], float] = time.time) -> Iterator[Number]:
    """What the newest look at the project saw; nothing before the first.

    Args:
        watching: Of the project.
        clock: Seconds since 1970.
    """
    if not watching.looked:
        return
    with watching.records(readonly=True) as records:
        report = records.last()
    if report is None:
        return
    looked = datetime.fromisoformat(report["at"]).timestamp()
    yield Number(
        name="twofold_watch_age_seconds",
        help="Seconds since the project was looked at.",
        value=max(0.0, clock() - looked),
    )
    yield Number(
        name="twofold_watch_failed",
        help="1: the newest look at the project could not look at anything.",
        value=float(report["state"] == "failed"),
    )
    for reading in report["readings"]:
        yield Number(
            name="twofold_watch_alarm",
            help="1: the signal alarmed at the newest look.",
            value=float(reading["state"] == "alarm"),
            labels={"signal": reading["signal"]},
        )


_ENDPOINT = {
    "answered": ("twofold_endpoint_answered", "Requests that an endpoint answered."),
    "refused": ("twofold_endpoint_refused", "Requests that an endpoint refused for its load."),
    "failed": ("twofold_endpoint_failed", "Requests that an endpoint broke off or answered by an error."),
    "lost": ("twofold_endpoint_lost", "Requests of which nobody knows whether an endpoint computed them."),
    "wasted_tokens": ("twofold_endpoint_wasted_tokens", "Tokens of answers of an endpoint that could not be used."),
    "under_way": ("twofold_endpoint_running", "Requests that an endpoint works at."),
    "at_once": ("twofold_endpoint_limit", "Requests that an endpoint is sent at the same time at most, as of now."),
    "seconds": ("twofold_endpoint_seconds", "Seconds of an answer of an endpoint, a moving average."),
}
"""Field of an `EndpointState` → name and help of its number."""


def endpoint_numbers(arms: Served[ServedArms]) -> Iterator[Number]:
    """What the endpoints did that write the served arms' answers; nothing of models of this machine.

    Args:
        arms: The arms that answer now.
    """
    rows: dict[str, list[EndpointState]] = {}
    with arms.using() as served:
        # arms of one model share its generator
        generators = {id(arm.system.generator): arm.system.generator for arm in served}
        for generator in generators.values():
            if isinstance(generator, KnowsEndpoints):
                model = str(generator.description.get("model", ""))
                rows[model] = summed(rows.get(model, ()), generator.endpoints())
    for model, states in rows.items():
        for state in states:
            labels = {"model": model, "endpoint": state["address"]}
            yield Number(
                name="twofold_endpoint_up",
                help="1: an endpoint gets requests; 0: it is left out.",
                value=float(state["state"] == "up"),
                labels=labels,
            )
            values: Mapping[str, object] = {**state}
            for key, (name, about) in _ENDPOINT.items():
                yield Number(name=name, help=about, value=float(str(values[key])), labels=labels)


class IndexNumbers:
    """Numbers of the served arms and of the index that they read.

    Args:
        arms: The arms that answer now.
        versions: The readable versions of the index, oldest first; asked once for each new version.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        arms: Served[ServedArms],
        versions: Callable[[], list[IndexVersion]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._arms, self._versions, self._clock = arms, versions, clock
        self._lock = threading.Lock()
        self._changed: tuple[int, float | None] = (-1, None)

    def __call__(self) -> Iterator[Number]:
        """The numbers; without those of the index while it is down."""
        state: IndexState | None = None
        with self._arms.using() as arms:
            for arm in arms:
                yield Number(
                    name="twofold_queue_length",
                    help="Requests of an arm that wait or run.",
                    value=arm.waiting(),
                    labels={"arm": arm.name},
                )
                for breaker in arm.down():
                    yield Number(
                        name="twofold_part_down",
                        help="1: an arm answers nothing, for this part of it is down.",
                        value=1,
                        labels={"arm": arm.name, "part": breaker.part},
                    )
                try:
                    state = state or arm.index()
                except PartDown:
                    continue
        if state is not None:
            yield from self._of_index(state)

    def _of_index(self, state: IndexState) -> Iterator[Number]:
        yield Number(name="twofold_index_version", help="Version of the index.", value=state.version)
        yield Number(name="twofold_index_documents", help="Documents in the index.", value=state.documents)
        yield Number(name="twofold_index_chunks", help="Chunks in the index.", value=state.chunks)
        changed = self._changed_at(state.version)
        if changed is not None:
            # Another machine's clock may be ahead of this one's.
            age = max(0.0, self._clock() - changed)
            yield Number(name="twofold_index_age_seconds", help="Seconds since the index changed.", value=age)

    def _changed_at(self, version: int) -> float | None:
        """When a version was made, in seconds since 1970; None where the index does not keep it."""
        with self._lock:
            # A list of all versions is read from many files: not every few seconds.
            if self._changed[0] != version:
                try:
                    at = next((one.at for one in reversed(self._versions()) if one.version == version), "")
                except TwofoldError:  # an index without versions, or one that is down: asked again next time
                    return None
                moment = datetime.fromisoformat(at) if at else None
                if moment is not None and moment.tzinfo is None:
                    moment = moment.astimezone(UTC)
                self._changed = version, moment.timestamp() if moment else None
            return self._changed[1]
