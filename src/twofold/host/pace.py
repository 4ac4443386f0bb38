"""The pace of work on this machine: measured whenever work is done, cached by machine and model.

A second project on the same machine plans with what the first one saw. A figure is the median of the most recent
measurements, in seconds a unit of work, so that one busy afternoon does not spoil it. The file is advisory: one that
cannot be read is started anew, and one that cannot be written changes nothing but the next plan.
"""

from __future__ import annotations

import functools
import json
import logging
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from twofold.files import writing
from twofold.files.locking import locked
from twofold.hashing import digest
from twofold.host import capabilities
from twofold.host.cache import cache_root
from twofold.types import Answer, Arm, Json

FILE = "paces.json"
RECENT = 7
"""Number of measurements of a figure that count, the newest ones."""
BATCHED = 3.0
"""Prompt tokens that take as long to read as one completion token to write, batched, by the embedded model."""
ALONE = 20.0
"""The same for one question at a time, where no other prompt shares the cost of writing."""
_FORMAT = 1
"""Raised when the file changes its form: a file of another form is not read."""
_SUBJECTS = 200
"""Subjects of one machine that are stored, the last measured ones."""
Kind = Literal["busy", "brief", "real"]
"""Kind of measurement: seconds of work beside other processes, seconds alone, or real work, which counts most."""
_MARKS: Mapping[Kind, str] = {"busy": "busy: ", "brief": "brief: ", "real": ""}
_LEAST_ANSWERS = 4
"""Fewest answers from which a pace is stored; fewer are too noisy."""
_log = logging.getLogger(__name__)


# ---------------------------------------------------------------- the file


def paces(subject: str) -> dict[str, float]:
    """Seconds a unit of each kind of work on this machine, for `subject`; empty where it was never measured.

    Real work takes precedence over a brief measurement, and that over one beside other processes.
    """
    busy, brief, real = _layers(subject)
    return {kind: statistics.median(values) for kind, values in (busy | brief | real).items() if values}


def of_busy(subject: str) -> set[str]:
    """Kinds of work of `subject` that were measured only while other processes used this machine."""
    busy, brief, real = _layers(subject)
    return set(busy) - set(brief) - set(real)


def _layers(subject: str) -> tuple[dict[str, list[float]], ...]:
    subjects = _read(cache_root() / FILE).get(capabilities.fingerprint(), {})
    return tuple(subjects.get(kept + subject, {}) for kept in _MARKS.values())


def keep(subject: str, measured: Mapping[str, float], *, kind: Kind = "real") -> None:
    """Add measurements of `subject` on this machine; safe while other processes do the same.

    Args:
        subject: The working part: a model with its runtime, a trainer with its options.
        measured: Kind of work → seconds a unit.
        kind: ``real``; ``brief``, a measurement of seconds that counts until real work is measured; ``busy``, a brief
            one beside other processes that counts until it is measured alone.
    """
    subject = _MARKS[kind] + subject
    # nought, infinity and NaN are no pace
    fresh = {name: value for name, value in measured.items() if 0 < value < float("inf")}
    if not fresh:
        return
    path = cache_root() / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock")):
            machines = _read(path)
            subjects = machines.setdefault(capabilities.fingerprint(), {})
            # out and in again: the last measured stands last
            kinds = subjects.pop(subject, {})
            for name, value in fresh.items():
                kinds[name] = [*kinds.get(name, []), value][-RECENT:]
            subjects[subject] = kinds
            for oldest in [*subjects][:-_SUBJECTS]:
                del subjects[oldest]
            # Without indentation: Python writes that itself, which took half the time of the ten writes of a study.
            writing.write(path, json.dumps({"format": _FORMAT, "machines": machines}), shared=True)
    except OSError as error:
        _log.info("the measured pace cannot be kept: %s", error)


def _read(path: Path) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Machine → subject → kind → measurements; empty where the file is missing, damaged or of another format."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["format"] != _FORMAT:
            return {}
        machines: dict[str, dict[str, dict[str, list[float]]]] = {}
        for name, subjects in stored["machines"].items():
            machines[str(name)] = {str(subject): _measurements(kinds) for subject, kinds in subjects.items()}
        return machines
    except OSError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        _damaged(path)
        return {}


def _measurements(kinds: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    return {str(kind): list(map(float, values)) for kind, values in kinds.items()}


@functools.cache
def _damaged(path: Path) -> None:
    """Warn once a process; the next measurement writes the file anew."""
    _log.warning("%s cannot be read: what was measured here before is not used, and is measured anew", path)


# ---------------------------------------------------------------- what is measured


def answering(description: Json) -> str:
    """The subject of a generator's description: model, weights, runtime and arithmetic, whatever adapter it has."""
    names = ("name", "model", "base_url", "weights", "runtime", "dtype")
    return " ".join(str(description[name]) for name in names if description.get(name))


def training(trainer: str, options: Json, weights: str) -> str:
    """The subject of a trainer: the options that determine its speed, and the weights that it starts from."""
    deciding = ("dtype", "layers", "dora", "processes", "shard", "threads", "compile", "checkpointing", "objective")
    decisive = {name: options[name] for name in deciding if name in options}
    return f"train {trainer} {digest('trainer', {'options': decisive, 'weights': weights})}"


def embedding(fingerprint: str) -> str:
    """The subject of an embedder."""
    return f"embed {fingerprint}"


def retrieving(pipeline: Json) -> str:
    """The subject of a retrieval pipeline, whatever the index holds."""
    return f"retrieve {digest('pipeline', pipeline)}"


def shape(arm: Arm) -> str:
    """The shape of an arm's prompts: ``passages``, ``shots`` (whose shared beginning is read once) or ``plain``."""
    return "passages" if arm.retrieval else "shots" if arm.shots else "plain"


def batched(prompt_tokens: float, completion_tokens: float) -> float:
    """Units of work of answers made in batches."""
    return prompt_tokens + BATCHED * completion_tokens


def alone(prompt_tokens: float, completion_tokens: float) -> float:
    """Units of work of answers made one at a time."""
    return prompt_tokens + ALONE * completion_tokens


def of_answers(arm: Arm, answers: Sequence[Answer], seconds: float, *, max_tokens: int, single: bool) -> Json:
    """Paces from answers: ``answer SHAPE`` or ``alone SHAPE``, and ``written SHAPE`` (share of `max_tokens`).

    Args:
        arm: The arm that answered.
        answers: Its answers; the result is empty for a few answers, or if one failed.
        seconds: Time for all answers; the time of retrieval is subtracted.
        max_tokens: Token limit of each answer.
        single: Were the answers made one at a time?
    """
    # a failed answer takes another time than a written one
    if len(answers) < _LEAST_ANSWERS or any(answer.failure for answer in answers):
        return {}
    # searching has a pace of its own
    seconds -= sum(answer.timing.retrieval for answer in answers)
    read = sum(answer.usage.prompt_tokens for answer in answers)
    written = sum(answer.usage.completion_tokens for answer in answers)
    units = alone(read, written) if single else batched(read, written)
    tuned = "tuned " if arm.tuning else ""
    figures = {f"{'alone' if single else 'answer'} {shape(arm)}": seconds / units} if units else {}
    # Held to a form an answer has another length than the model's own.
    if arm.schema:
        return figures
    return figures | {f"written {tuned}{shape(arm)}": written / len(answers) / max_tokens}


class Spent:
    """Seconds spent on preparing an arm besides training (see `study.plan.BESIDE`)."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, phase: str) -> Iterator[None]:
        """Charge the time of the block to a phase, without the time of phases inside it."""
        began, before = time.perf_counter(), sum(self.seconds.values())
        try:
            yield
        finally:
            within = sum(self.seconds.values()) - before
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - began - within

    def clear(self) -> None:
        """Begin anew."""
        self.seconds.clear()
