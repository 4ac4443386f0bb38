"""What a project's own logs add to its examples; what is there already is not added again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from twofold.curation.open_questions import NOT_ANSWERED, RATED_DOWN, OpenQuestion, together
from twofold.curation.templates import as_record
from twofold.errors import BadRecord
from twofold.examples.feedback import Mined, preference_record
from twofold.examples.leaks import bare
from twofold.files import writing
from twofold.files.reading import records
from twofold.hashing import digest
from twofold.text.privacy import masked
from twofold.traffic.log import FILE, TrafficLog
from twofold.types import Example, Json, Message

TO_ANSWER = "to_answer.jsonl"
"""File of questions without a good answer, beside the mined examples."""
ASKED_ALREADY = "an example asks this already"


class MinedReport(TypedDict):
    """What was mined."""

    examples: int
    """New ones."""
    preferences: int
    """New ones."""
    to_answer: int
    """Questions that nobody has answered well."""
    answered: int
    """Of the new examples, those that somebody answered in the list of such questions."""
    masked: int
    """Texts that personal data or secrets were taken out of."""
    discarded: dict[str, int]
    """Reason → lines of the logs that were not used."""
    file: str
    preferences_file: str
    discarded_file: str
    to_answer_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningFiles:
    """Where what is mined is written."""

    examples: Path
    """New ones are appended."""
    preferences: Path
    """As `examples`."""

    @property
    def discarded(self) -> Path:
        """Lines that were not used, with their reasons; written anew each time."""
        return self.examples.with_name(f"{self.examples.name.removesuffix('.jsonl')}.discarded.jsonl")

    @property
    def to_answer(self) -> Path:
        """See `TO_ANSWER`; answers that people wrote there are taken up first."""
        return self.examples.with_name(TO_ANSWER)


def grow(
    mined: Mined,
    files: MiningFiles,
    *,
    known: Sequence[Example],
    unanswered: Iterable[OpenQuestion],
    embed: Callable[[Sequence[str]], Any],
) -> MinedReport:
    """Add what is new to the files.

    Args:
        mined: Of feedback.
        files: Where to.
        known: The project's examples.
        unanswered: Questions that the server did not answer; see `in_vain`.
        embed: See `open_questions.together`.

    Raises:
        BadRecord: a file that is to be added to has a line that cannot be read.
        StoreError: a file cannot be written.
    """
    there = {_spoken(example.messages) for example in known}
    there |= {_spoken(_messages(record)) for record in _records(files.examples)}
    answered = [example for example in map(_answered, _records(files.to_answer)) if example]
    discarded = list(mined.discarded)
    fresh: list[Example] = []
    for example in (*mined.examples, *answered):
        if _spoken(example.messages) in there:
            discarded.append({"question": example.question, "at": example.id, "why": ASKED_ALREADY})
        else:
            fresh.append(example)
            there.add(_spoken(example.messages))
    stored = {str(record.get("id")) for record in _records(files.preferences)}
    pairs = [pair for pair in mined.preferences if pair.id not in stored]
    alone = {question for question in there if "\n" not in question}
    questions = together([*_rated_down(mined), *unanswered], embed, known=lambda text: bare(text) in alone)
    _append(files.examples, [as_record(example) for example in fresh])
    _append(files.preferences, [preference_record(pair) for pair in pairs])
    writing.save(files.discarded, _text(discarded))
    # Last: what people answered in it is among the examples by now.
    writing.save(files.to_answer, _text([question.to_json() for question in questions]))
    fresh_ids = {example.id for example in fresh}
    return {
        "examples": len(fresh),
        "preferences": len(pairs),
        "to_answer": len(questions),
        "answered": sum(example.id in fresh_ids for example in answered),
        "masked": mined.masked,
        "discarded": dict(Counter(str(entry["why"]) for entry in discarded).most_common()),
        "file": str(files.examples),
        "preferences_file": str(files.preferences),
        "discarded_file": str(files.discarded),
        "to_answer_file": str(files.to_answer),
    }


def in_vain(root: Path) -> list[OpenQuestion]:
    """Questions of the traffic log to which the server said that the documents do not tell, in order of time.

    Only first questions of conversations: a later one is not understood alone. Without a log, or with one that has no
    texts, there are none.
    """
    if not (root / FILE).is_file():
        return []
    with TrafficLog(root / FILE, readonly=True) as log:
        return [
            OpenQuestion(question=row["question"], why=NOT_ANSWERED, times=1, last=row["at"])
            for row in log.rows()
            if row["abstained"] and row["question"].strip() and not row["turns"]
        ]


def _rated_down(mined: Mined) -> list[OpenQuestion]:
    return [
        OpenQuestion(question=one.question, why=RATED_DOWN, times=1, last=one.at, answer=one.answer)
        for one in mined.disliked
    ]


def _spoken(messages: Iterable[Message]) -> str:
    # Mined questions are masked: what they are compared with is, too.
    return "\n".join(bare(masked(message.content)) for message in messages if message.role != "system")


def _messages(record: Json) -> list[Message]:
    turns = record.get("messages") or [{"role": "user", "content": record.get("question", "")}]
    return [Message(role=turn["role"], content=str(turn["content"])) for turn in turns]


def _answered(record: Json) -> Example | None:
    """The example that somebody made of a line of `TO_ANSWER` by writing an answer, or that there is none."""
    answers = [str(answer).strip() for answer in record.get("answers") or () if str(answer).strip()]
    declines = record.get("answerable") is False
    if not answers and not declines:
        return None
    question = str(record.get("question", ""))
    return Example(
        id=f"log/{digest('log', [question, answers]).partition(':')[2][:12]}",
        messages=(Message(role="user", content=question),),
        references=tuple(answers),
        sources=tuple(map(str, record.get("doc_ids") or ())),
        answerable=not declines,
        origin="log",
        at=str(record.get("last", ""))[:10],
    )


def _records(path: Path) -> list[Json]:
    if not path.is_file():
        return []
    rows = []
    for record in records(path.read_text(encoding="utf-8"), name=path.name):
        if isinstance(record.value, BadRecord):
            raise record.value
        rows.append(record.value)
    return rows


def _append(path: Path, rows: Sequence[Json]) -> None:
    # What is there stays letter for letter: people mend mined examples.
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    writing.save(path, before + ("\n" if before and not before.endswith("\n") else "") + _text(rows))


def _text(rows: Sequence[Json]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
