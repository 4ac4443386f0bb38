"""The lever "twice the data": what the newest learning curve of an arm predicts, or why nothing is known of it."""

from __future__ import annotations

from pathlib import Path

from twofold.advice.probes import forecasts
from twofold.advice.probes.measuring import Decider
from twofold.advice.probes.record import TuningCurve
from twofold.config import Config
from twofold.diagnosis.levers import TokenPrices
from twofold.diagnosis.record import LeverRow
from twofold.errors import StoreError
from twofold.examples.splitting import Splits
from twofold.types import Arm
from twofold.verdict.record import counted, estimate_text

LEVER = "twice the data"
_PROBE = "`twofold advise --probe` trains three times on parts of the examples, and predicts it"


def curve_of(directory: Path, config: Config, splits: Splits, *, arm: Arm) -> tuple[TuningCurve | None, str]:
    """The newest learning curve of an arm on the train split of now; else None, and why there is none, with the cure.

    Both are empty for an arm that learns from no example: more of them change none of its answers.

    Args:
        directory: The project.
        config: In force.
        splits: The project's examples.
        arm: The arm.
    """
    if not arm.tuning:
        return None, ""
    try:
        stored = forecasts.stored(directory / forecasts.FOLDER)
    except StoreError as error:
        return None, f"{error.message}: {error.cure}"
    key = Decider.of(config, splits).key
    curves = [f["tuning"] for f in stored if f["metric_key"] == key and f["tuning"]]
    # A short training of another arm has other rows: with passages, or without.
    mine = [curve for curve in curves if curve["arm"] == arm.name]
    if not mine:
        others = dict.fromkeys(curve["arm"] for curve in curves)
        if others:
            arms = f'--set \'study.arms=["base", "{arm.name}"]\''
            return None, f"measured of {', '.join(others)} only: `twofold advise --probe {arms}` trains this arm"
        return None, f"not measured: {_PROBE}"
    if mine[-1]["rows"] != len(splits.train):
        before = f"measured when there were {mine[-1]['rows']} train examples, and there are {len(splits.train)} now"
        return None, f"{before}: {_PROBE}"
    return mine[-1], ""


def sentence(curve: TuningCurve) -> str:
    """What the curve predicts, in words."""
    sizes = ", ".join(str(point["rows"]) for point in curve["points"])
    return (
        f"{estimate_text(curve['twice'])} is predicted of twice the {counted(curve['rows'], 'train example')}, from "
        f"short trainings on {sizes} scored on {counted(curve['dev'], 'dev question')}"
    )


def lever(curve: TuningCurve, *, price: TokenPrices | None) -> LeverRow:
    """The curve as a lever among those that re-runs measure.

    Args:
        curve: Of the arm.
        price: Of tokens; None: unknown. More examples add no token to an answer.
    """
    twice = curve["twice"]
    return {
        "lever": LEVER,
        "action": f"Add {counted(curve['rows'], 'training example')} and train again: {sentence(curve)}.",
        "gain": {"mean": twice["mean"], "low": twice["low"], "high": twice["high"]},
        "answers": 0,
        "harmed": 0,
        "tokens": 0.0,
        "price": 0.0 if price else None,
        "currency": price.currency if price else "",
        "effort": f"{counted(curve['rows'], 'example')} to be labelled or made, and a training",
    }
