"""What a person labels blind: items made of a study's stored answers, and how labels agree with its metric.

Everybody gets the items in one order, so that several people label the same ones first. Which answer of a pair stands
first is drawn anew for each person and item, by a digest with a secret of the project: the page tells the browser no
arm, and nothing from which one could be worked out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from twofold.hashing import digest
from twofold.serving.labels import BlindLabel, Kind, LabelledAnswer
from twofold.stats import intervals
from twofold.types import Estimate
from twofold.verdict.evidence import RIGHT, is_wrong
from twofold.verdict.record import AnswerRow, ArmAnswer, StudyRecord

_DECIDED = frozenset(["first", "second", "right", "wrong"])
"""Choices that say more than that somebody does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindItem:
    """One thing to label."""

    kind: Kind
    """``pair`` or ``mark``."""
    study: str
    """Name of the study."""
    row: AnswerRow
    """The question, with everybody's answers."""
    arms: tuple[str, ...]
    """Whose answers are shown: two, or one."""
    secret: str
    """Of the project: without it anybody could work out arm and order from what the page shows."""

    @property
    def name(self) -> str:
        """Names it in an address without naming an arm."""
        of = [self.secret, self.kind, self.study, self.row["id"], sorted(self.arms)]
        return digest("item", of).partition(":")[2][:16]

    def shown(self, by: str) -> tuple[LabelledAnswer, ...]:
        """The answers in the order in which this person sees them."""
        # By item and person, not by chance: the same person sees the same order again after a reload or an undo.
        turned = int(digest("order", [self.secret, self.name, by])[-1], 16) % 2
        arms = self.arms[::-1] if turned else self.arms
        return tuple(LabelledAnswer(arm=arm, text=self.row["arms"][arm]["text"]) for arm in arms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Labels of one kind beside what the study's metric says of the same answers."""

    kind: Kind
    """Of the labels."""
    counts: Mapping[str, Mapping[str, int]]
    """The metric's word → the person's → number of labels."""
    share: Estimate | None
    """Share of labels that say what the metric says, where both decide; None without any."""
    people: Estimate | None
    """Share of items on which two people say the same, of those that several labelled; None without any."""


def items(record: StudyRecord, rows: Sequence[AnswerRow], kind: Kind, *, secret: str) -> list[BlindItem]:
    """The items of a study, in the order in which people get them.

    Of a pair both answers came and differ in words; diagnostic arms are in none, for nobody would be served by them.

    Args:
        record: Of the study.
        rows: Its stored answers.
        kind: ``pair``: one item a question; ``mark``: one for each answer.
        secret: Of the project; see `LabelLog.secret`.
    """
    arms = [name for name, arm in record["arms"].items() if not arm["diagnostic"]]
    every: list[BlindItem] = []
    for row in rows:
        answered = [name for name in arms if name in row["arms"] and not row["arms"][name]["failure"]]
        groups = _pairs(row, answered) if kind == "pair" else [(name,) for name in answered]
        every += [BlindItem(kind=kind, study=record["study"], row=row, arms=group, secret=secret) for group in groups]
    # By a digest: neighbours in the file of examples, often of one group, come apart.
    return sorted(every, key=lambda item: item.name)


def following(
    every: Sequence[BlindItem], labels: Sequence[BlindLabel], *, by: str, after: str = ""
) -> BlindItem | None:
    """The next item that this person has not labelled; None when all are.

    Args:
        every: As `items` gives them.
        labels: All in force.
        by: The person.
        after: Name of the item that is passed over: the search begins behind it, and comes back to it last.
    """
    done = labelled(every, labels, by=by)
    names = [item.name for item in every]
    start = names.index(after) + 1 if after in names else 0
    return next((item for item in (*every[start:], *every[:start]) if item.name not in done), None)


def labelled(every: Sequence[BlindItem], labels: Sequence[BlindLabel], *, by: str) -> set[str]:
    """Names of the items that this person has labelled."""
    known = set()
    for label in labels:
        if label.by == by:
            known.add((label.kind, label.study, label.example, frozenset(answer.arm for answer in label.answers)))
    return {item.name for item in every if (item.kind, item.study, item.row["id"], frozenset(item.arms)) in known}


def of_study(labels: Sequence[BlindLabel], study: str, kind: Kind) -> list[BlindLabel]:
    """The labels of one kind on one study's answers."""
    return [label for label in labels if (label.study, label.kind) == (study, kind)]


def agreement(record: StudyRecord, rows: Sequence[AnswerRow], labels: Sequence[BlindLabel], *, kind: Kind) -> Agreement:
    """How labels agree with the deciding metric, and people with each other.

    Args:
        record: Of the study.
        rows: Its stored answers.
        labels: All in force; those of other studies and kinds are passed over.
        kind: Of the labels.
    """
    by_id = {row["id"]: row for row in rows}
    metric, least = record["metric"], record.get("right_from", RIGHT)
    counts: dict[str, Counter[str]] = {}
    same: list[tuple[str, float]] = []
    people: dict[tuple[str, ...], list[BlindLabel]] = {}
    for label in of_study(labels, record["study"], kind):
        row = by_id.get(label.example)
        # The study's files may have been replaced since.
        if row is None or any(answer.arm not in row["arms"] for answer in label.answers):
            continue
        measured = _measured(label, row, metric, least)
        counts.setdefault(measured, Counter())[label.choice] += 1
        if measured in _DECIDED and label.choice in _DECIDED:
            same.append((row["group"], float(measured == label.choice)))
        people.setdefault(label.item, []).append(label)
    return Agreement(kind=kind, counts=counts, share=_share(same), people=_share(_between(people, by_id)))


def _pairs(row: AnswerRow, answered: Sequence[str]) -> list[tuple[str, ...]]:
    different = [
        pair for pair in combinations(answered, 2) if _text(row["arms"][pair[0]]) != _text(row["arms"][pair[1]])
    ]
    if not different:
        return []
    # One pair a question, any of them: which one says nothing of the arms.
    return [different[int(digest("pair", row["id"])[-4:], 16) % len(different)]]


def _text(answer: ArmAnswer) -> str:
    return " ".join(answer["text"].split())


def _measured(label: BlindLabel, row: AnswerRow, metric: str, least: float | None) -> str:
    """What the metric says of the item, in the words of people; ``unscored`` where it says nothing."""
    scores = [row["arms"][answer.arm]["scores"].get(metric) for answer in label.answers]
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        return "unscored"
    if label.kind == "mark":
        return "wrong" if is_wrong(known[0], least) else "right"
    return "same" if known[0] == known[1] else "first" if known[0] > known[1] else "second"


def _between(
    people: Mapping[tuple[str, ...], Sequence[BlindLabel]], by_id: Mapping[str, AnswerRow]
) -> list[tuple[str, float]]:
    """Group of the question and 1 or 0, for each two people who labelled one item."""
    same: list[tuple[str, float]] = []
    for labels in people.values():
        for mine, theirs in combinations(labels, 2):
            # Of a pair the two may have seen the answers in different order.
            alike = mine.choice == theirs.choice if mine.kind == "mark" else _word(mine) == _word(theirs)
            same.append((by_id[mine.example]["group"], float(alike)))
    return same


def _word(label: BlindLabel) -> str:
    return label.preferred or label.choice


def _share(same: Sequence[tuple[str, float]]) -> Estimate | None:
    if not same:
        return None
    numbers: dict[str, int] = {}
    # By group of questions, as the study's own intervals: labels of one group are not independent.
    groups = [numbers.setdefault(group, len(numbers)) for group, _ in same]
    return intervals.estimate([value for _, value in same], groups)
