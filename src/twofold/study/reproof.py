"""The blast radius of edited documents: which answers changed since the earlier study, and by which documents.

Nothing here decides. A study after an edit is a whole study: every question is searched for again, what is shown
otherwise is answered again (`answering.reuse`), and the verdict is reached from all answers, as in any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from twofold.errors import StudyError
from twofold.hashing import canonical_json
from twofold.reports.archive import names, read_answers, read_record
from twofold.reports.comparison import measures_fault
from twofold.reports.side_by_side import ComparedAnswer, side_by_side
from twofold.store.answers import Answers
from twofold.store.catalogue import Catalogue
from twofold.study.measure import MeasuredArm
from twofold.types import Json
from twofold.verdict.record import AnswerRow, BillItem, HitRow, ReproofArm, ReproofRecord, ReproofRow, StudyRecord

_EDITED = frozenset({"content", "index_version", "abstention", "words", "without"})
"""Parts of a system's retrieval that documents decide: their texts, and what is chosen or learned on them."""
_LEARNED = frozenset({"adapter", "parity"})
"""Parts of a generator's description that follow from what it was trained on."""


def beside(
    record: StudyRecord,
    records: Path,
    rows: Sequence[AnswerRow],
    *,
    answers: Answers,
    measured: Mapping[str, MeasuredArm],
) -> list[str]:
    """Put what edits changed into the record; returns why not where an earlier study is damaged. See `reproof`."""
    try:
        radius = reproof(records, record, rows, answers=answers, measured=measured)
    except StudyError as error:
        # A study is worth more than a look back at the one before.
        return [f"what edits of the documents changed is not told: {error} ({error.cure})"]
    if radius is not None:
        record["reproof"] = radius
    return []


def reproof(
    records: Path,
    record: StudyRecord,
    rows: Sequence[AnswerRow],
    *,
    answers: Answers,
    measured: Mapping[str, MeasuredArm],
) -> ReproofRecord | None:
    """What became of the answers since the newest study that differs in its documents only; None where there is none.

    Args:
        records: Directory of finished studies.
        record: Of this study, which is not written yet.
        rows: Its answers.
        answers: Knows which were read from completions that were there before.
        measured: The arms.

    Raises:
        StudyError: the earlier study is damaged.
    """
    if record["policy"]["final"] or "race" in record:
        return None
    for name in reversed(names(records)):
        before = read_record(records / name)
        if not _comparable(before, record):
            continue
        arms = [arm for arm in record["arms"] if arm in before["arms"] and _alike(before, record, arm)]
        edited = [arm for arm in arms if before["arms"][arm]["key"] != record["arms"][arm]["key"]]
        if not edited:
            # The newest study of these arms: where it had the same documents, nothing was edited since.
            if arms:
                return None
            continue
        stored = read_answers(records / name)
        return {
            "study": name,
            "arms": {
                arm: _arm((before, stored), (record, rows), arm, answers=answers, item=measured[arm]) for arm in edited
            },
        }
    return None


def remarks(records: Path, catalogue: Catalogue, steps: Sequence[BillItem]) -> list[str]:
    """What a plan cannot know: it searches for nothing, and so does not see which prompts stay as they were.

    Args:
        records: Directory of finished studies.
        catalogue: Knows which answers of the newest study may be used again.
        steps: Of the plan.

    Raises:
        StudyError: the newest study is damaged.
    """
    studies = names(records)
    if not studies:
        return []
    arms = read_record(records / studies[-1])["arms"]
    most = []
    for step in steps:
        kind, _, arm = step["step"].partition(" ")
        missing = kind == "answer" and step["cached"] < step["items"]
        if missing and arm in arms and catalogue.answers.reusable(arms[arm]["key"]):
            most.append(step["step"])
    if not most:
        return []
    return [
        f"{' and '.join(most)}: the time for answering everything, which is the most; an answer whose prompt is the "
        f"same as in {studies[-1]} is not generated again"
    ]


def _comparable(before: StudyRecord, record: StudyRecord) -> bool:
    keys = [side.get("metric_keys", {}).get(record["metric"]) for side in (before, record)]
    return keys[0] == keys[1] and not before["policy"]["final"] and "race" not in before


def _alike(before: StudyRecord, record: StudyRecord, arm: str) -> bool:
    """Was the arm the same but for documents, and what was learned of them?"""
    sides = [_settings(side["arms"][arm]["description"]) for side in (before, record)]
    return canonical_json(sides[0]) == canonical_json(sides[1])


def _settings(description: Json) -> Json:
    parts = dict(description)
    for name, left_out in (("retrieval", _EDITED), ("generator", _LEARNED)):
        if name in parts:
            parts[name] = {key: value for key, value in parts[name].items() if key not in left_out}
    return parts


def _arm(
    before: tuple[StudyRecord, Sequence[AnswerRow]],
    after: tuple[StudyRecord, Sequence[AnswerRow]],
    arm: str,
    *,
    answers: Answers,
    item: MeasuredArm,
) -> ReproofArm:
    record = after[0]
    compared = side_by_side(
        before, after, (arm, arm), metric=record["metric"], lower_is_better=measures_fault(record, record["metric"])
    )
    rows: list[ReproofRow] = []
    shown = 0
    for answer in compared.answers:
        documents = _responsible(answer, arm)
        shown += documents is not None
        if documents is not None or answer.change != "same":
            rows.append({"id": answer.after["id"], "change": answer.change, "documents": documents or []})
    radius: ReproofArm = {
        "questions": len(compared.answers),
        "shown": shown,
        "generated": len(item.answers) - min(len(item.answers), len(answers.reused(item.system))),
        "changes": {change: count for change, count in compared.counts().items() if count},
        "rows": rows,
    }
    if _adapter(before[0], arm) != _adapter(record, arm):
        radius["retrained"] = True
    if item.anew:
        radius["anew"] = item.anew
    return radius


def _adapter(record: StudyRecord, arm: str) -> str:
    return str(record["arms"][arm]["description"]["generator"].get("adapter") or "")


def _responsible(answer: ComparedAnswer, arm: str) -> list[str] | None:
    """The documents by which the prompt is another; None where it has the same passages in the same order."""
    first, second = _shown(answer.before, arm), _shown(answer.after, arm)
    if [text for _, *text in first] == [text for _, *text in second]:
        return None
    # Those that came or left; where none did, those that changed places.
    changed = [passage for passage in (*first, *second) if (passage in first) != (passage in second)]
    if not changed:
        changed = [passage for passage, other in zip(first, second, strict=True) if passage != other]
    return list(dict.fromkeys(document for document, *_ in changed))


def _shown(row: AnswerRow, arm: str) -> list[tuple[str, str, str]]:
    return [_passage(hit) for hit in row["arms"][arm]["hits"]]


def _passage(hit: HitRow) -> tuple[str, str, str]:
    """A passage as the prompt shows it, after its document, which the prompt does not name."""
    return hit["document"], hit["title"], hit["text"]
