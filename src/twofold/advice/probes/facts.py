"""A forecast as measured facts for the ranking of the advice. Pure."""

from __future__ import annotations

from twofold.advice.probes.record import ForecastRecord
from twofold.advice.ranking import ProjectFact
from twofold.verdict.record import EstimateRecord, counted, estimate_text
from twofold.verdict.wording import metric_title

_ANSWERED = 0.9
"""Share right without documents (by the lower end of its interval) from which less than .1 is left to gain."""


def probed_facts(forecast: ForecastRecord) -> tuple[ProjectFact, ...]:
    """What a forecast settles, and what it leaves open: a share whose interval lies on both sides has no level."""
    sample = forecast["sample"]
    source = f"probes of {forecast['created'][:10]}, {counted(sample['questions'], 'question')}"
    # A metric without a point from which an answer is right tells no share of right answers.
    facts = [_closed(forecast, source)] if "p" in forecast["probes"] else []
    if difference := forecast["differences"].get("rag - base"):
        facts.append(_retrieval(forecast, difference["score"], source))
    if forecast["tuning"]:
        facts.append(_tuning(forecast, source))
        facts.append(_data(forecast, source))
    for warning in forecast["warnings"]:
        facts.append(ProjectFact(criterion="", level="", text=warning["message"], source=source))
    return tuple(facts)


def outdated(forecast: ForecastRecord) -> ProjectFact:
    """That there is a forecast, and that it is of other systems than a study would measure now."""
    text = "the newest forecast is of another model, prompt, setting or state of the documents: probe again"
    return ProjectFact(criterion="", level="", text=text, source=f"forecast of {forecast['created'][:10]}")


def _closed(forecast: ForecastRecord, source: str) -> ProjectFact:
    share = forecast["probes"]["p"]
    level = "answers" if share["low"] >= _ANSWERED else "lacks" if share["high"] < _ANSWERED else ""
    text = f"the model answers {estimate_text(share, 2)} of the questions right without documents"
    return ProjectFact(criterion="closedbook", level=level, text=text, source=source)


def _retrieval(forecast: ForecastRecord, difference: EstimateRecord, source: str) -> ProjectFact:
    text = f"retrieval is predicted to change {metric_title(forecast['metric'])} by {estimate_text(difference, 2)}"
    level = _level(difference, forecast["margin"])
    return ProjectFact(criterion="retrieval", level=level, text=text, source=source)


def _tuning(forecast: ForecastRecord, source: str) -> ProjectFact:
    curve = forecast["tuning"]
    assert curve is not None
    whole, base = curve["whole"], forecast["arms"]["base"]["score"]
    # Two samples, of train and dev and of dev: no paired interval, so the ends are compared, which is the cautious way.
    change: EstimateRecord = {
        **whole,
        "mean": whole["mean"] - base["mean"],
        "low": whole["low"] - base["high"],
        "high": whole["high"] - base["low"],
    }
    over = f"{estimate_text(change, 2)} over base"
    text = (
        f"{curve['arm']} on {counted(curve['rows'], 'example')} is predicted to reach {estimate_text(whole, 2)}, {over}"
    )
    return ProjectFact(criterion="tuning", level=_level(change, forecast["margin"]), text=text, source=source)


def _data(forecast: ForecastRecord, source: str) -> ProjectFact:
    curve = forecast["tuning"]
    assert curve is not None
    text = f"twice as many training examples are predicted to change the score by {estimate_text(curve['twice'], 2)}"
    return ProjectFact(criterion="", level="", text=text, source=source)


def _level(change: EstimateRecord, margin: float) -> str:
    """``gains`` where a gain is shown, ``little`` where it is shown to be no more than the margin, else open."""
    if change["high"] <= margin:
        return "little"
    return "gains" if change["low"] > 0 else ""
