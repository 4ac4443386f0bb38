"""How far labels agree with a study's metric, and people with each other.

A share of equal words says little where one word is said nearly always. Cohen's κ of two people, and Krippendorff's α
of more, take out what chance alone would give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from twofold.labelling.items import of_study
from twofold.labelling.labels import BlindLabel, Kind
from twofold.stats import agreement as beyond_chance
from twofold.stats import intervals
from twofold.types import Estimate
from twofold.verdict.evidence import RIGHT, is_wrong
from twofold.verdict.record import AnswerRow, StudyRecord

_DECIDED = frozenset(["first", "second", "right", "wrong"])
"""Choices that say more than that somebody does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BetweenPeople:
    """How far those agree who labelled the same items."""

    people: tuple[str, ...]
    """All who labelled, by name."""
    share: Estimate | None = None
    """Share of equal words, of each two people on an item; None where no item was labelled by two."""
    statistic: str = ""
    """``Cohen's κ`` of two people, ``Krippendorff's α`` of more; empty where no item was labelled by two."""
    beyond_chance: Estimate | None = None
    """Its value, over items; None also where all say one and the same throughout."""

    @property
    def unknown(self) -> str:
        """Why there is no figure, as a clause; empty where there is one."""
        if len(self.people) < 2:
            return f"only {self.people[0]} has labelled" if self.people else "nobody has labelled"
        if self.share is None:
            return "no item was labelled by two people"
        return "" if self.beyond_chance else "all gave one and the same label throughout, which chance would give too"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Labels of one kind beside what the study's metric says of the same answers."""

    kind: Kind
    """Of the labels."""
    counts: Mapping[str, Mapping[str, int]]
    """The metric's word → the person's → number of labels."""
    share: Estimate | None
    """Share of labels that say what the metric says, where both decide; None without any."""
    kappa: Estimate | None
    """Cohen's κ of these labels and the metric; None without any, and where it does not exist."""
    between: BetweenPeople
    """People with each other."""

    @property
    def people(self) -> Estimate | None:
        """Share of items on which two people say the same, of those that several labelled; None without any."""
        return self.between.share


def agreement(record: StudyRecord, rows: Sequence[AnswerRow], labels: Sequence[BlindLabel], *, kind: Kind) -> Agreement:
    """How labels agree with the deciding metric, and people with each other.

    Args:
        record: Of the study.
        rows: Its stored answers.
        labels: All in force; those of other studies and kinds, and of answers that are not stored, are passed over.
        kind: Of the labels.
    """
    by_id = {row["id"]: row for row in rows}
    metric, least = record["metric"], record.get("right_from", RIGHT)
    counts: dict[str, Counter[str]] = {}
    decided: list[tuple[str, str]] = []
    groups: list[str] = []
    items: dict[tuple[str, ...], list[BlindLabel]] = {}
    for label in of_study(labels, record["study"], kind):
        row = by_id.get(label.example)
        # The study's files may have been replaced since: the labels are then of other answers.
        if row is None or not _stored(label, row):
            continue
        measured = _measured(label, row, metric, least)
        counts.setdefault(measured, Counter())[label.choice] += 1
        if measured in _DECIDED and label.choice in _DECIDED:
            decided.append((_word(label, measured), _word(label, label.choice)))
            groups.append(row["group"])
        items.setdefault(label.item, []).append(label)
    equal = [float(first == second) for first, second in decided]
    return Agreement(
        kind=kind,
        counts=counts,
        share=_share(equal, groups),
        kappa=beyond_chance.with_interval(beyond_chance.cohen_kappa, decided, groups),
        between=_between(items, {name: row["group"] for name, row in by_id.items()}),
    )


def _stored(label: BlindLabel, row: AnswerRow) -> bool:
    arms = row["arms"]
    return all(answer.arm in arms and arms[answer.arm]["text"] == answer.text for answer in label.answers)


def _measured(label: BlindLabel, row: AnswerRow, metric: str, least: float | None) -> str:
    """What the metric says of the item, in the words of people; ``unscored`` where it says nothing."""
    scores = [row["arms"][answer.arm]["scores"].get(metric) for answer in label.answers]
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        return "unscored"
    if label.kind == "mark":
        return "wrong" if is_wrong(known[0], least) else "right"
    return "same" if known[0] == known[1] else "first" if known[0] > known[1] else "second"


def _between(items: Mapping[tuple[str, ...], Sequence[BlindLabel]], groups: Mapping[str, str]) -> BetweenPeople:
    """Over all items, each with one label of each of its people."""
    people = sorted({label.by for labels in items.values() for label in labels})
    shared: list[tuple[str, ...]] = []
    groups_of_shared: list[str] = []
    equal: list[float] = []
    groups_of_equal: list[str] = []
    for labels in items.values():
        if len(labels) < 2:
            continue
        # By name: κ asks what each of the two tends to say.
        words = tuple(_word(label, label.choice) for label in sorted(labels, key=lambda label: label.by))
        group = groups[labels[0].example]
        shared.append(words)
        groups_of_shared.append(group)
        for first, second in combinations(words, 2):
            equal.append(float(first == second))
            groups_of_equal.append(group)
    if not shared:
        return BetweenPeople(people=tuple(people))
    two = len(people) == 2
    statistic = beyond_chance.cohen_kappa if two else beyond_chance.krippendorff_alpha
    return BetweenPeople(
        people=tuple(people),
        share=_share(equal, groups_of_equal),
        statistic="Cohen's κ" if two else "Krippendorff's α",
        beyond_chance=beyond_chance.with_interval(statistic, shared, groups_of_shared),
    )


def _word(label: BlindLabel, choice: str) -> str:
    """A choice so that it means the same for every person: of a pair everybody may have seen another order."""
    if label.kind == "mark" or choice not in ("first", "second"):
        return choice
    # Not the arm's name: of three arms two at a time, chance is right in half of the pairs and not in a third.
    shown = [answer.arm for answer in label.answers]
    first = shown[0 if choice == "first" else 1]
    return "first" if first == min(shown) else "second"


def _share(equal: Sequence[float], groups: Sequence[str]) -> Estimate | None:
    if not equal:
        return None
    # By group of questions, as the study's own intervals: labels of one group are not independent.
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return intervals.estimate(equal, [numbers[group] for group in groups])
