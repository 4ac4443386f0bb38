"""What people say of answers that they saw without knowing whose they are: one append-only file, a line a label.

A line is one of two records in JSON::

    {"id", "at", "by", "kind": "pair" | "mark", "question", "answers": [{"arm", "text"}, …],
     "choice", "reasons", "note", "study", "example"}
    {"id", "at", "by", "undoes": ID}

``answers`` stand in the order in which they were shown: two of a pair, one of a mark. ``choice`` of a pair is
``first``, ``second``, ``same`` or ``neither``, of a mark ``right``, ``partly`` or ``wrong``. A line is on the disk
before its label counts, and none is ever changed: who labels an item again, or undoes, adds a line. Lines are removed
only with the answers of a document that is forgotten (`LabelLog.drop`). Written by the
pages, by Ask (pairs without ``study`` and ``example``) and by ``twofold label``, several at a time, without the
project's lock; read by them, and by whatever compares a judge with people.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

from twofold.errors import BadRequest, Conflict, NotServed, StoreError
from twofold.store.kept_texts import FileLines, FileText, Lines, Text, lines_of, text_of
from twofold.store.shared import SharedPlace
from twofold.types import Json

LABELS = "serving/labels.jsonl"
"""File of the labels in a project."""
SECRET = "blind.key"
"""File beside it, with the secret from which names and orders of blind items are made."""
Kind = Literal["pair", "mark"]
CHOICES: dict[Kind, tuple[str, ...]] = {
    "pair": ("first", "second", "same", "neither"),
    "mark": ("right", "partly", "wrong"),
}
"""What may be said of each kind of item."""
_ANSWERS: dict[Kind, int] = {"pair": 2, "mark": 1}
"""How many answers an item of each kind shows."""
WORDS = {
    "first": "Answer 1 is better",
    "second": "Answer 2 is better",
    "same": "Both are equally good",
    "neither": "Neither is any good",
    "right": "Right",
    "partly": "Partly right",
    "wrong": "Wrong",
}
"""Choices for people."""
REASONS = {
    "false": "says something false",
    "incomplete": "leaves something out",
    "unsupported": "not in the documents",
    "off-topic": "answers another question",
    "form": "wrong form or tone",
    "declined": "should have answered",
}
"""Reasons that a label may name, and their words for people."""
_NOTE = 2000
"""Characters of a note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledAnswer:
    """An answer as it was shown, and whose it was, which was not."""

    arm: str
    """The arm, or the model's name."""
    text: str
    """The answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindLabel:
    """What one person says of one item."""

    id: str
    """Its own."""
    at: str
    """ISO time, UTC."""
    by: str
    """Who says so."""
    kind: Kind
    """``pair``: which of two answers; ``mark``: how good one answer is."""
    question: str
    """The question that was answered."""
    answers: tuple[LabelledAnswer, ...]
    """In the order in which they were shown."""
    choice: str
    """One of `CHOICES`."""
    reasons: tuple[str, ...] = ()
    """Keys of `REASONS`."""
    note: str = ""
    """Free text."""
    study: str = ""
    """The study whose answers they are; empty for answers of a chat."""
    example: str = ""
    """The example's id in that study; empty for answers of a chat."""

    @property
    def item(self) -> tuple[str, ...]:
        """What was labelled: the same for every person, whatever the order shown."""
        return item_of(self.study, self.example or self.question, self.kind, answers=self.answers)

    @property
    def preferred(self) -> str:
        """The arm that a pair's choice prefers; empty for ``same``, ``neither`` and marks."""
        place = {"first": 0, "second": 1}.get(self.choice) if self.kind == "pair" else None
        return "" if place is None else self.answers[place].arm


def item_of(study: str, example: str, kind: Kind, *, answers: Sequence[LabelledAnswer]) -> tuple[str, ...]:
    """What tells one item from every other, whatever the order in which its answers are shown."""
    # With the texts: a study made anew under one name has other answers, which nobody has labelled.
    return (study, example, kind, *sorted(f"{answer.arm}\0{answer.text}" for answer in answers))


class LabelLog:
    """The labels of a project.

    Args:
        place: The log, or its file; made with the first label.
        secret: The text with the secret; by default in a file beside the log's.
        now: The clock.
    """

    def __init__(
        self,
        place: Path | Lines,
        secret: Text | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._lines: Lines = FileLines(place) if isinstance(place, Path) else place
        beside = place.with_name(SECRET) if isinstance(place, Path) else Path(SECRET)
        self._secret: Text = secret or FileText(beside)
        self._now = now
        self._read: tuple[object, list[BlindLabel]] = (None, [])
        self.failure = ""
        """Why the last line could not be written; empty when it was."""

    @property
    def exists(self) -> bool:
        """Was anything ever labelled?"""
        return self._lines.state() is not None

    def all(self) -> list[BlindLabel]:
        """The labels in force, oldest first: the last one of each person on each item, without those undone."""
        state = self._lines.state()
        if state is None:
            return []
        if self._read[0] != state:
            self._read = (state, _in_force(self._lines.read()))
        return list(self._read[1])

    def secret(self) -> str:
        """Random letters of the project, from which names and orders of blind items are made; stored at the first use.

        Raises:
            StoreError: disk or database refuse.
        """
        # In one block: of two first uses both must get the same, or a label would name the wrong answer.
        with self._secret.changing() as write:
            text = self._secret.read()
            if not text:
                text = secrets.token_hex(16)
                write(text)
        return text

    def add(
        self,
        kind: Kind,
        answers: Sequence[LabelledAnswer],
        choice: str,
        *,
        by: str,
        question: str,
        about: tuple[str, str] = ("", ""),
        reasons: Sequence[str] = (),
        note: str = "",
    ) -> BlindLabel:
        """Write a label, and return it once it is on the disk.

        Args:
            kind: Of the item.
            answers: In the order in which they were shown.
            choice: One of `CHOICES`.
            by: Who says so.
            question: What was answered.
            about: Study and example; empty for answers of a chat.
            reasons: Keys of `REASONS`.
            note: Free text.

        Raises:
            BadRequest: no such kind, choice or reason, another number of answers, or nobody who says so.
            StoreError: the disk refuses; nothing of the line is left in the file.
        """
        _require(kind in get_args(Kind), "kind", f"there is no kind {kind[:40]!r}")
        _require(choice in CHOICES[kind], "choice", f"a {kind} has no choice {choice[:40]!r}")
        _require(len(answers) == _ANSWERS[kind], "answers", f"{len(answers)} answers are no {kind}")
        unknown = next((reason for reason in reasons if reason not in REASONS), "")
        _require(not unknown, "reasons", f"there is no reason {unknown[:40]!r}")
        _require(bool(by.strip()), "by", "nobody is named who labels")
        label = BlindLabel(
            id=_id(),
            at=self._now().isoformat(timespec="seconds"),
            by=by.strip()[:100],
            kind=kind,
            question=question,
            answers=tuple(answers),
            choice=choice,
            reasons=tuple(reasons),
            note=note.strip()[:_NOTE],
            study=about[0],
            example=about[1],
        )
        self._append(asdict(label))
        return label

    def undo(self, name: str, *, by: str) -> BlindLabel:
        """Take back a label of one's own; returns the one that was taken back.

        Raises:
            NotServed: there is no such label in force.
            Conflict: somebody else gave it.
            StoreError: the disk refuses.
        """
        label = next((each for each in self.all() if each.id == name), None)
        if label is None:
            raise NotServed("there is no such label", cure="Undo a label that is still in the list.")
        if label.by != by.strip():
            raise Conflict("the label is somebody else's", cure="Undo a label of your own.")
        self._append({"id": _id(), "at": self._now().isoformat(timespec="seconds"), "by": label.by, "undoes": name})
        return label

    def drop(self, stored: Mapping[str, Collection[str]]) -> int:
        """Remove labels of answers that a study does not have any more, for their texts may show what was forgotten.

        Such labels count for nothing. Labels of other studies stay, and those of chats.

        Args:
            stored: Study → ids of the questions whose answers it still has.

        Returns:
            How many lines were removed.

        Raises:
            StoreError: the disk refuses; the file is then as it was.
        """
        return self._lines.remove(lambda line: _is_orphan(line, stored))

    def _append(self, record: Json) -> None:
        try:
            self._lines.append(json.dumps(record, ensure_ascii=False).encode("utf-8", "replace"))
        except StoreError as error:
            self.failure = f"labels cannot be written: {error.message}"
            raise
        self.failure = ""


def labels_of(root: Path, place: SharedPlace | None) -> LabelLog:
    """The labels of a project.

    Args:
        root: Its folder.
        place: The schema that it has instead of files; None for files.
    """
    return LabelLog(lines_of(root, LABELS, place), text_of(root, f"serving/{SECRET}", place))


def _in_force(data: bytes) -> list[BlindLabel]:
    labels: dict[str, BlindLabel] = {}
    for line in data.splitlines():
        record = _record(line)
        if "undoes" in record:
            # The line stays in the file: a log is never rewritten.
            labels.pop(str(record["undoes"]), None)
        elif record:
            label = _label(record)
            if label is not None:
                labels[label.id] = label
    last = {(label.by, label.item): label.id for label in labels.values()}
    return [label for label in labels.values() if last[label.by, label.item] == label.id]


def _record(line: bytes) -> dict[str, Any]:
    # A writer that was killed may have left half a line: it was never acknowledged. Nesting without end is nobody's.
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_orphan(line: bytes, stored: Mapping[str, Collection[str]]) -> bool:
    record = _record(line)
    if not record:
        # Half a line of a killed writer: it counts for nothing, and may show anything.
        return True
    study, example = record.get("study"), record.get("example")
    return isinstance(study, str) and study in stored and example not in stored[study]


def _label(record: Json) -> BlindLabel | None:
    try:
        answers = tuple(LabelledAnswer(**answer) for answer in record["answers"])
        label = BlindLabel(**{**record, "answers": answers, "reasons": tuple(record["reasons"])})
    # A line of another version, or one that somebody edited: the others count.
    except (TypeError, KeyError):
        return None
    return label if _is_whole(label) else None


def _is_whole(label: BlindLabel) -> bool:
    """Could `LabelLog.add` have written the label? What compares labels takes their types and words for granted."""
    texts = [label.id, label.at, label.by, label.kind, label.question, label.choice, label.note, label.study]
    texts += [label.example, *label.reasons]
    texts += chain.from_iterable((answer.arm, answer.text) for answer in label.answers)
    if not all(isinstance(text, str) for text in texts):
        return False
    # An empty name is nobody's; a choice of another kind would be counted as a word that nobody could say.
    return (
        bool(label.by.strip())
        and label.choice in CHOICES.get(label.kind, ())
        and len(label.answers) == _ANSWERS[label.kind]
    )


def _require(holds: bool, param: str, message: str) -> None:
    if not holds:
        error = BadRequest(message, cure="Send a label as docs/how-to/label.md describes it.")
        error.param = param
        raise error


def _id() -> str:
    return f"label_{secrets.token_hex(8)}"
