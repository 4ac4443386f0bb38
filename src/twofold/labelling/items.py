"""What a person labels blind: items made of a study's stored answers.

Everybody gets the items in one order, so that several people label the same ones first. Which answer of a pair stands
first is drawn anew for each person and item, by a digest with a secret of the project: neither page nor terminal shows
an arm, or anything from which one could be worked out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from twofold.hashing import digest
from twofold.labelling.labels import BlindLabel, Kind, LabelledAnswer, item_of
from twofold.verdict.record import AnswerRow, ArmAnswer, HitRow, StudyRecord


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
    """Of the project: without it anybody could work out arm and order from what is shown."""

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

    def identity(self, by: str) -> tuple[str, ...]:
        """The same as `BlindLabel.item` of a label of this item."""
        return item_of(self.study, self.row["id"], self.kind, answers=self.shown(by))

    @property
    def passages(self) -> list[HitRow]:
        """What any arm was given to read, each passage once."""
        passages: dict[tuple[str, int, int], HitRow] = {}
        for answer in self.row["arms"].values():
            for hit in answer["hits"]:
                # Of all arms together: who was given what would tell the arms apart.
                passages.setdefault((hit["document"], hit["start"], hit["end"]), hit)
        return list(passages.values())


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
    known = {label.item for label in labels if label.by == by}
    return {item.name for item in every if item.identity(by) in known}


def of_study(labels: Sequence[BlindLabel], study: str, kind: Kind) -> list[BlindLabel]:
    """The labels of one kind on one study's answers."""
    return [label for label in labels if (label.study, label.kind) == (study, kind)]


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
