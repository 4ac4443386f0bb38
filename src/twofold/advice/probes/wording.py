"""A forecast in plain lines for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from twofold.advice.probes.record import ForecastRecord, TuningCurve
from twofold.verdict.record import EstimateRecord, counted, estimate_text, number_text, true_minus
from twofold.verdict.wording import metric_title, percent

_SHARES: Mapping[str, str] = {
    "p": "right without documents (p)",
    "R": "a right document is among the hits (R)",
    "U": "right with the right passage given, of those wrong without (U)",
    "D": "wrong with the passages found, of those right without (D)",
}
"""Share → what it is."""


def lines(forecast: ForecastRecord) -> list[str]:
    """The shares, the gain, the predicted scores, the tuning curve and the warnings."""
    sample, title = forecast["sample"], metric_title(forecast["metric"])
    out = [
        f"Probed on {counted(sample['questions'], 'question')} of {' and '.join(sample['splits'])} in "
        f"{counted(sample['groups'], 'independent group')} ({percent(forecast['level'])} intervals):"
    ]
    if sample["failed"]:
        out.append(f"  {counted(sample['failed'], 'question')} left out: an answer failed")
    for name, what in _SHARES.items():
        if name in forecast["probes"]:
            out.append(_row(what, forecast["probes"][name]))
    for key, what in (
        ("gain", "predicted gain of retrieval in right answers: (1 - p) * R * U - p * D"),
        ("counted", "the same gain, as the sample's own answers show it"),
    ):
        estimate = forecast["gain"] if key == "gain" else forecast["counted"]
        if estimate:
            out.append(_row(what, estimate))
    out += ["", f"Predicted {title}, and where the mean of {counted(forecast['test'], 'test question')} should lie:"]
    for name, arm in forecast["arms"].items():
        out.append(f"  {name:<8}{estimate_text(arm['score']):<24}expected {_ends(arm['expected'])}")
    if forecast["tuning"]:
        out += ["", *_curve(forecast["tuning"], title)]
    out += [f"warning: {warning['message']}" for warning in forecast["warnings"]]
    return [true_minus(line) for line in out]


def _curve(curve: TuningCurve, title: str) -> list[str]:
    out = [f"Short trainings of {curve['arm']}, {title} on {counted(curve['dev'], 'dev question')}:"]
    for point in curve["points"]:
        out.append(f"  {point['rows']:>5} examples  {estimate_text(point['score'])}")
    out.append(f"  {curve['rows']:>5} examples  {estimate_text(curve['whole'])}  predicted, all of the train split")
    out.append(_row("gain of twice as many", curve["twice"]))
    return [*out, f"  form: {curve['form']}"]


def _row(what: str, estimate: EstimateRecord) -> str:
    return f"  {what}: {estimate_text(estimate, 2)}"


def _ends(estimate: EstimateRecord) -> str:
    return f"[{number_text(estimate['low'])}, {number_text(estimate['high'])}]"
