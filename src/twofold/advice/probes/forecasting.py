"""From what the probes measured to a forecast as a record."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twofold import __version__
from twofold.advice.probes import discriminating
from twofold.advice.probes.gain import ForecastGain, forecast_gain, measurable
from twofold.advice.probes.measuring import Decider, Probed
from twofold.advice.probes.record import (
    FORMAT,
    ArmForecast,
    DifferenceForecast,
    ForecastRecord,
    ForecastWarning,
    TuningCurve,
)
from twofold.config import Config
from twofold.examples.splitting import Splits
from twofold.hashing import plain
from twofold.stats.intervals import estimate, kish
from twofold.types import Estimate
from twofold.verdict.record import EstimateRecord
from twofold.verdict.wording import metric_title

_BASE = "closed-book answers of the sample"
_FORMULA = "(1 - p) * R * U - p * D over the closed-book answers of the sample, turned into the metric"
_COUNTED = "answers of the sample with the passages found"


def forecast(
    config: Config,
    splits: Splits,
    probed: Probed,
    *,
    decider: Decider,
    tuning: TuningCurve | str | None,
    documents: int,
    unread: str,
    minutes: float,
) -> ForecastRecord:
    """The forecast, without its name and time; see `forecasts.store`.

    Args:
        config: In force.
        splits: The examples; of the test split only the number of its groups is used.
        probed: What was measured.
        decider: By which metric.
        tuning: The tuning curve; why there is none, in words; None where no arm is tuned.
        documents: Documents that are searched; 0 for none.
        unread: Why none are, with what to do; empty where some are.
        minutes: Time budget of the sample.
    """
    level = config.study.level
    gain = forecast_gain(probed.rows, right=decider.right, level=level, seed=config.study.seed)
    groups = np.array([row.group for row in probed.rows])
    worth, test = kish(np.bincount(groups)), splits.test
    of_test = kish(np.bincount(test.groups)) if len(test) else 0.0
    recalls = _recalls(probed, groups, level=level)
    raised = discriminating.warnings(
        # A graded score without a point from which it is right says of no answer that nothing is left to mend.
        closed=gain.p if decider.right is not None else None,
        recalls=recalls,
        examples=(*splits.train, *splits.dev),
        k=config.retrieval.k if documents else 0,
        documents=documents,
    )
    if decider.right is None:
        raised.append(
            ForecastWarning(
                code="no-right-answer",
                message=f"{metric_title(decider.name)} does not say from which score an answer is right: no shares of "
                "right answers are forecast, and scores are predicted as the sample has them",
            )
        )
    if unread:
        raised.append(ForecastWarning(code="retrieval-not-probed", message=f"retrieval was not probed: {unread}"))
    if isinstance(tuning, str):
        raised.append(ForecastWarning(code="tuning-not-probed", message=f"tuning was not probed: {tuning}"))
        tuning = None
    shares: dict[str, Estimate | None] = {"R": gain.recall}
    if decider.right is not None:
        shares = {"p": gain.p, "R": gain.recall, "U": gain.use, "D": gain.destruction}
    return {
        "format": FORMAT,
        "key": "",
        "created": "",
        "twofold": __version__,
        "project": config.project.name,
        "metric": decider.name,
        "metric_key": decider.key,
        "right_from": decider.right,
        "level": level,
        "margin": config.study.margin,
        "k": config.retrieval.k if documents else 0,
        "sample": {
            "questions": len(probed.questions),
            "groups": len(np.unique(groups)),
            "worth": worth,
            "pool": probed.pool,
            "splits": list(probed.splits),
            "failed": probed.failed,
            "seconds": probed.seconds,
            "minutes": minutes,
        },
        "test": len(test),
        "probes": {name: _record(share) for name, share in shares.items() if share is not None},
        "gain": _optional(gain.gain),
        "counted": _optional(gain.counted),
        "arms": _arms(gain, probed, tuning, worth=worth, of_test=of_test, dev=splits),
        "differences": _differences(gain, worth=worth, of_test=of_test),
        "tuning": tuning,
        "warnings": raised,
        "legs": {name: _record(recall) for name, recall in recalls.items()},
    }


def _arms(
    gain: ForecastGain, probed: Probed, tuning: TuningCurve | None, *, worth: float, of_test: float, dev: Splits
) -> dict[str, ArmForecast]:
    """Arm → forecast, of those that were probed."""
    known: dict[str, tuple[Estimate, str, str, float]] = {
        "base": (gain.base, _BASE, probed.systems["base"], worth),
    }
    if gain.rag is not None:
        means = _FORMULA if gain.gain is not None else _COUNTED
        known["rag"] = (gain.rag, means, probed.systems["rag"], worth)
    if tuning is not None:
        of_dev = kish(np.bincount(dev.dev.groups))
        known[tuning["arm"]] = (Estimate(**tuning["whole"]), tuning["form"], "", of_dev)
    arms: dict[str, ArmForecast] = {}
    for name, (score, means, system, groups) in known.items():
        expected = measurable(score, worth=groups, study=of_test)
        arms[name] = {
            "score": _record(score),
            "expected": _record(expected),
            "system": system,
            "means": means,
        }
    return arms


def _differences(gain: ForecastGain, *, worth: float, of_test: float) -> dict[str, DifferenceForecast]:
    if gain.difference is None:
        return {}
    expected = measurable(gain.difference, worth=worth, study=of_test, reach=(-1.0, 1.0))
    return {"rag - base": {"score": _record(gain.difference), "expected": _record(expected)}}


def _recalls(probed: Probed, groups: np.ndarray, *, level: float) -> Mapping[str, Estimate]:
    recalls = {}
    for name, hits in probed.hits.items():
        values = np.array([np.nan if hit is None else float(hit) for hit in hits])
        if np.isfinite(values).any():
            recalls[name] = estimate(values, groups, level=level)
    return recalls


def _record(value: Estimate) -> EstimateRecord:
    record: EstimateRecord = plain(value)
    return record


def _optional(value: Estimate | None) -> EstimateRecord | None:
    return None if value is None else _record(value)
