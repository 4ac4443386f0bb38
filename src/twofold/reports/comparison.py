"""Two studies compared: what may be compared, by which arm and metric, and the outcome as a record. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from twofold.errors import StudyError
from twofold.hashing import plain
from twofold.reports.differences import Difference, differences
from twofold.reports.side_by_side import ComparedAnswer, SideBySide, Standing, Statistic, side_by_side
from twofold.types import Estimate, Json
from twofold.verdict.record import AnswerRow, StudyRecord, counted
from twofold.verdict.sameness import differing, repeated

Stored = tuple[StudyRecord, Sequence[AnswerRow]]
"""A study: its record and its answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyComparison:
    """Two studies, compared by one arm; the other arms that both measured stand beside it."""

    studies: tuple[str, str]
    """Their names."""
    result: SideBySide
    """The compared arm, question by question."""
    because: str
    """Why this arm: a clause, such as ``which study 0001-x chose``."""
    same: bool
    """Did one and the same system answer in both (by its key), and score the same on every question?"""
    arms: dict[str, SideBySide]
    """Every arm of that name in both studies, the compared one apart."""
    unchanged: frozenset[str]
    """Those of them that are one and the same system in both, likewise."""
    early: tuple[str, ...]
    """Names of the studies that were races and left out questions of the compared arm (`stopped_early`)."""
    differs: list[Difference]
    """What differs between the studies beside their answers."""
    repeated: bool
    """Are both the same byte for byte but for clocks, dates and counters (`sameness.repeated`)?"""

    @property
    def other_references(self) -> int:
        """Compared questions whose right answers are not the same in both studies."""
        return sum(answer.other_references for answer in self.result.answers)

    def to_json(self, margin: float | None = None) -> Json:
        """The whole comparison; with what a margin says of it where there is one."""
        result = self.result
        body: Json = {
            "studies": list(self.studies),
            "arms": list(result.arms),
            "same": self.same,
            "metric": result.metric,
            "level": result.level,
            "kind": result.kind,
            "means": [_estimate(mean) for mean in result.means],
            "difference": _estimate(result.difference),
            "questions": {"compared": len(result.answers), "only": list(result.only), "changes": result.counts()},
            "other_references": self.other_references,
            "worse": [_row(answer, result.arms) for answer in result.of("worse")],
            "better": [_row(answer, result.arms) for answer in result.of("better")],
            "other_arms": {name: _estimate(other.difference) for name, other in self.arms.items()},
            "stopped_early": list(self.early),
            "repeated": self.repeated,
            "differs": [asdict(difference) for difference in self.differs],
        }
        if margin is not None:
            body["fail_if_worse"] = {"margin": margin, "outcome": self.standing(margin)}
        return plain(body)  # type: ignore[no-any-return]

    def standing(self, margin: float) -> Standing:
        """See `SideBySide.standing`; a system is never worse than itself."""
        return "not worse" if self.same else self.result.standing(margin)


def compare(
    first: Stored,
    second: Stored,
    *,
    arm: str = "",
    metric: str = "",
    statistic: Callable[[tuple[str, str], str], Statistic | None] = lambda _arms, _metric: None,
) -> StudyComparison:
    """Compare two studies.

    Args:
        first: The earlier one, or the one to compare with.
        second: The other.
        arm: Name of the arm in both, or ``FIRST,SECOND`` where its names differ; empty: the arm that the first study
            chose, else the second's, else the best of those that both measured.
        metric: Name of a metric that both measured; empty: the one that decided both.
        statistic: Returns what is compared of two arms in a metric, where it is no mean of scores.

    Raises:
        StudyError: the studies cannot be compared: they have no metric, arm or question in common, or
            the metric is not the same in both.
    """
    records = first[0], second[0]
    names = records[0]["study"], records[1]["study"]
    metric = _metric(records, metric)
    if refusal := incomparable(records, metric):
        raise refusal
    arms, because = _arms(records, arm, metric)

    fault = measures_fault(records[1], metric)

    def beside(arms: tuple[str, str]) -> SideBySide:
        chosen = statistic(arms, metric)
        return side_by_side(first, second, arms, metric=metric, lower_is_better=fault, statistic=chosen)

    result = beside(arms)
    if not result.answers:
        raise StudyError(
            f"{names[0]} and {names[1]} have no question in common ({counted(result.only[0], 'question')} and "
            f"{result.only[1]}, known by their words)",
            cure="Compare studies of the same questions: run the later study on the examples of the earlier one.",
        )
    if result.difference is None:
        further = [name for name in metrics_of(records[0]) if name in metrics_of(records[1]) and name != metric]
        raise StudyError(
            f"no question of {names[0]} and {names[1]} has a score in {metric!r} in both",
            cure="Name a metric with a score for each question by --metric; one computed from all answers has none. "
            f"Both measured besides: {', '.join(further) or 'no other'}.",
        )
    shared = [name for name in records[0]["arms"] if name in records[1]["arms"] and (name, name) != arms]
    others = {name: beside((name, name)) for name in shared}
    return StudyComparison(
        studies=names,
        result=result,
        because=because,
        same=_same(records, result),
        arms=others,
        unchanged=frozenset(name for name, other in others.items() if _same(records, other)),
        early=stopped_early(records, arms),
        differs=differences(*records, arms),
        repeated=not differing(repeated(*first), repeated(*second)),
    )


def stopped_early(records: tuple[StudyRecord, StudyRecord], arms: tuple[str, str]) -> tuple[str, ...]:
    """Those of two studies that were races and left out questions of the compared arm, because they had shown enough.

    Their answers flatter the arm that won, and intervals of a fixed number of questions do not allow for that.
    """
    names: dict[str, None] = {}
    for record, arm in zip(records, arms, strict=True):
        race = record.get("race")
        if race is not None and race["answers"][arm] < race["planned"]:
            names[record["study"]] = None
    return tuple(names)


def incomparable(records: tuple[StudyRecord, StudyRecord], metric: str) -> StudyError | None:
    """Why scores in a metric that both studies have cannot be compared; None where they can."""
    names = records[0]["study"], records[1]["study"]
    keys = [record.get("metric_keys", {}).get(metric) for record in records]
    # Records of before have no key: then the options that were configured must do.
    if None in keys:
        keys = [_configured(record, metric) for record in records]
    if keys[0] == keys[1]:
        return None
    return StudyError(
        f"the metric {metric!r} is not the same in {names[0]} and {names[1]}: its version or its options differ",
        cure="Run the earlier study again with today's settings: its answers are there, only scores are made again.",
    )


def _same(records: tuple[StudyRecord, StudyRecord], result: SideBySide) -> bool:
    keys = [record["arms"][arm]["key"] for record, arm in zip(records, result.arms, strict=True)]
    # What answers behind an endpoint's name may have been changed without a word, which no key knows.
    return keys[0] == keys[1] and not result.of("better") and not result.of("worse")


def measures_fault(record: StudyRecord, metric: str) -> bool:
    """Is less of a metric better? Then gold answers scored 0 in the study's self-test."""
    # The record knows it, also where the metric's plugin is not installed.
    return any(test["metric"] == metric and test.get("n") and test["gold"] < 0.5 for test in record["self_test"])


def _configured(record: StudyRecord, metric: str) -> str:
    section = record["config"].get("study", {})
    for part in (section.get("metric"), *section.get("metrics", [])):
        if isinstance(part, dict) and part.get("name") == metric:
            return repr(plain(part))
    return metric


def _metric(records: tuple[StudyRecord, StudyRecord], metric: str) -> str:
    measured = [metrics_of(record) for record in records]
    both = [name for name in measured[0] if name in measured[1]]
    names = records[0]["study"], records[1]["study"]
    known = f"Name one that both measured with --metric: {', '.join(both)}." if both else ""
    if metric and metric not in both:
        lacking = [name for name, has in zip(names, measured, strict=True) if metric not in has]
        raise StudyError(
            f"{' and '.join(lacking)} did not measure {metric!r}",
            cure=known or f"Put {metric!r} into [study].metrics and run the study again.",
        )
    if not metric and records[0]["metric"] != records[1]["metric"]:
        raise StudyError(
            f"{names[0]} was decided by {records[0]['metric']!r}, {names[1]} by {records[1]['metric']!r}",
            cure=known or "Run one of them again with the other's metric: its answers are there.",
        )
    return metric or records[0]["metric"]


def metrics_of(record: StudyRecord) -> list[str]:
    """Metrics that some arm of a study was measured in, each once."""
    names: dict[str, None] = {}
    for arm in record["arms"].values():
        names.update(dict.fromkeys(arm["metrics"]))
    return list(names)


def _arms(records: tuple[StudyRecord, StudyRecord], arm: str, metric: str) -> tuple[tuple[str, str], str]:
    """The arm of each study, and why."""
    sides = [name.strip() for name in arm.split(",")] if arm else []
    both = [name for name in records[0]["arms"] if name in records[1]["arms"]]
    if len(sides) > 2 or not all(sides):
        raise StudyError(f"--arm {arm!r} names no pair of arms", cure="Write --arm NAME, or --arm FIRST,SECOND.")
    if sides:
        pair = sides[0], sides[-1]
        for record, name in zip(records, pair, strict=True):
            if name not in record["arms"]:
                raise StudyError(
                    f"{record['study']} measured no arm {name!r}", cure=f"Name one of {', '.join(record['arms'])}."
                )
        return pair, "named by --arm"
    if not both:
        raise StudyError(
            f"{records[0]['study']} ({', '.join(records[0]['arms'])}) and {records[1]['study']} "
            f"({', '.join(records[1]['arms'])}) have no arm in common",
            cure="Name an arm of each with --arm FIRST,SECOND.",
        )
    for record in records:
        if record["verdict"]["arm"] in both:
            name = record["verdict"]["arm"]
            return (name, name), f"which {record['study']} chose"
    # An arm that was shown the answers' passages says nothing of what users get.
    usual = [name for name in both if not records[1]["arms"][name]["diagnostic"]] or both

    def mean(name: str) -> float:
        estimate = records[0]["arms"][name]["metrics"].get(metric)
        return estimate["mean"] if estimate else -1.0

    best = max(usual, key=mean)
    return (best, best), f"the best in {records[0]['study']}, for neither study chose one"


def _estimate(value: Estimate | None) -> Json | None:
    return None if value is None else asdict(value)


def _row(answer: ComparedAnswer, arms: tuple[str, str]) -> Json:
    sides = []
    for row, arm, score in zip((answer.before, answer.after), arms, answer.scores, strict=True):
        stored = row["arms"][arm]
        sides.append({"id": row["id"], "text": stored["text"], "score": score, "failure": stored["failure"]})
    return {
        "question": answer.before["question"],
        "references": answer.after["references"],
        "other_references": answer.other_references,
        "first": sides[0],
        "second": sides[1],
        "difference": answer.difference,
    }
