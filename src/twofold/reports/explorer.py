"""The question explorer's data: where arms disagree, with each distinct passage held once. Pure.

Character offsets are those of the documents throughout; a passage's marks are cut into segments, so that quotes of
several arms may overlap and each still covers exactly the characters it names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

from twofold.diagnosis.causes import CAUSES
from twofold.diagnosis.record import DiagnosisRecord
from twofold.reports.why_wrong import drilled
from twofold.text import sanitise
from twofold.types import Json
from twofold.verdict.evidence import RIGHT, is_wrong
from twofold.verdict.record import AnswerRow, ArmAnswer, StudyRecord

OPEN_WITHOUT_SCRIPT = 25
"""So many questions carry their passages in the page itself, for readers without JavaScript."""
BUDGET = 2_000_000
"""Characters of questions, answers and passages shown at most; the rest is in ``answers.jsonl.gz``."""


def disagreement(row: AnswerRow, metric: str, arms: Sequence[str]) -> float:
    """How far the arms' scores lie apart: largest minus smallest; a failure beside an answer counts 0.5 at least."""
    scores = [row["arms"][name]["scores"].get(metric) for name in arms if name in row["arms"]]
    known = [score for score in scores if score is not None]
    spread = max(known) - min(known) if known else 0.0
    failed = any(row["arms"][name]["failure"] for name in arms if name in row["arms"])
    # An arm that failed where another answered is worth reading, though its score is missing.
    return max(spread, 0.5) if failed and known else spread


def state(answer: ArmAnswer, metric: str, *, right: float | None = RIGHT) -> str:
    """``right``, ``wrong``, ``failed``, or ``unscored`` where the metric does not apply.

    Where no score says that an answer is right (`right` is None), one above 0 is ``scored``.
    """
    if answer["failure"]:
        return "failed"
    score = answer["scores"].get(metric)
    if score is None:
        return "unscored"
    if is_wrong(score, right):
        return "wrong"
    return "scored" if right is None else "right"


def segments(length: int, quotes: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, list[str]]]:
    """The marked parts of a text of `length` characters: (start, end, arms that quote it), in order.

    Ranges are clipped to the text; empty ones are dropped.
    """
    ranges = [(max(0, start), min(length, end), arm) for start, end, arm in quotes]
    ranges = [one for one in ranges if one[0] < one[1]]
    # Between two edges the arms that quote are the same throughout.
    edges = sorted({start for start, _, _ in ranges} | {end for _, end, _ in ranges})
    out: list[tuple[int, int, list[str]]] = []
    for start, end in pairwise(edges):
        arms = list(dict.fromkeys(arm for low, high, arm in ranges if low <= start and end <= high))
        if not arms:
            continue
        # Neighbours that the same arms quote are one mark.
        if out and out[-1][1] == start and out[-1][2] == arms:
            out[-1] = (out[-1][0], end, arms)
        else:
            out.append((start, end, arms))
    return out


def explore(record: StudyRecord, rows: Sequence[AnswerRow], diagnosis: DiagnosisRecord | None = None) -> Json:
    """The explorer of a page: ``questions`` (for the template), ``data`` (for the script), ``left_out``."""
    drills = _drills(diagnosis)
    metric = record["metric"]
    names = list(record["arms"])
    chosen = [name for name in names if not record["arms"][name]["diagnostic"]]
    place = {row["id"]: number for number, row in enumerate(rows)}
    # Where arms disagree most comes first: that is what a reader looks for, and what the budget must hold.
    ordered = sorted(rows, key=lambda row: (-disagreement(row, metric, chosen), place[row["id"]]))
    table: dict[tuple[str, int, int, str], int] = {}
    passages: list[list[Any]] = []
    questions: list[Json] = []
    links: list[list[Json]] = []
    spent = 0
    for number, row in enumerate(ordered):
        spent += len(row["question"]) + sum(len(a["text"]) + len(a["raw"]) for a in row["arms"].values())
        seen = _passages(row, names)
        for entry in seen:
            hit = entry.pop("hit")
            key = (hit["document"], hit["start"], hit["end"], hit["text"])
            # Arms and questions share passages: each is written into the page once.
            if key not in table:
                table[key] = len(passages)
                passages.append(
                    [hit["document"], hit["title"], hit["start"], hit["end"], hit["text"], hit.get("place", "")]
                )
                spent += len(hit["text"])
            entry["passage"] = table[key]
        # At least one question, however long.
        if spent > BUDGET and questions:
            break
        links.append(seen)
        question = _question(row, record, number, seen=seen, passages=passages, place=place[row["id"]])
        questions.append(_with_causes(question, drills))
    causes = set(chain.from_iterable(question["causes"] for question in questions))
    disagree = 0
    for question in questions:
        disagree += len({arm["state"] for arm in question["arms"] if not arm["diagnostic"]}) > 1
    return {
        "questions": questions,
        "data": {"passages": passages, "questions": links},
        "left_out": len(rows) - len(questions),
        # Known ones in their order; those that earlier versions guessed behind them.
        "causes": [*(cause for cause in CAUSES if cause in causes), *sorted(causes - set(CAUSES))],
        "disagree": disagree,
    }


def _drills(diagnosis: DiagnosisRecord | None) -> dict[tuple[str, str], Json]:
    """Question id and arm → the cause of the arm's answer, with its re-runs."""
    drills = {}
    for name, arm in diagnosis["arms"].items() if diagnosis else ():
        for row in arm["rows"]:
            drills[row["id"], name] = drilled(row)
    return drills


def _with_causes(question: Json, drills: Mapping[tuple[str, str], Json]) -> Json:
    """The question with what the diagnosis knows of its answers."""
    arms = []
    for arm in question["arms"]:
        drill = drills.get((question["id"], arm["name"]))
        arms.append({**arm, "cause": drill["cause"] if drill else arm["cause"], "drill": drill})
    return {**question, "arms": arms, "causes": list(dict.fromkeys(arm["cause"] for arm in arms if arm["cause"]))}


def safe_json(value: Any) -> str:
    """JSON that may stand in a script element: no character that could end it or start markup."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # The two separators end a line in scripts, though not in JSON.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _passages(row: AnswerRow, names: Sequence[str]) -> list[Json]:
    """The distinct passages of one question: who saw each at which number, who cited it, and the marks."""
    passages: dict[tuple[str, int, int], Json] = {}
    for name in names:
        answer = row["arms"].get(name)
        if answer is None:
            continue
        for hit in answer["hits"]:
            key = (hit["document"], hit["start"], hit["end"])
            entry = passages.setdefault(
                key,
                {
                    "hit": hit,
                    "gold": hit["gold"],
                    "seen": [],
                    "cited": [],
                    "quotes": [],
                    "marks": [],
                    "flags": sanitise.kinds(hit["text"]),
                },
            )
            entry["seen"].append([name, hit["number"]])
        for citation in answer["citations"]:
            # A citation of what is not among the hits has no passage here in which it could be marked.
            entry = passages.get((citation["document"], citation["start"], citation["end"]), {})
            if not entry:
                continue
            if name not in entry["cited"]:
                entry["cited"].append(name)
            if citation["quote"] is not None:
                start, end = citation["quote"]
                entry["quotes"].append((start - citation["start"], end - citation["start"], name))
    out = []
    for entry in passages.values():
        entry["marks"] = segments(len(entry["hit"]["text"]), entry.pop("quotes"))
        out.append(entry)
    return out


def _question(
    row: AnswerRow, record: StudyRecord, number: int, *, seen: list[Json], passages: list[list[Any]], place: int
) -> Json:
    metric = record["metric"]
    arms = []
    for name in record["arms"]:
        if name in row["arms"]:
            arms.append(_arm(name, row["arms"][name], record, seen=seen, passages=passages))
    inline = []
    if number < OPEN_WITHOUT_SCRIPT:
        inline = [{**entry, **_shown(passages[entry["passage"]], entry["marks"])} for entry in seen]
    return {
        "number": number,
        "place": place,
        "id": row["id"],
        "question": row["question"],
        # The last message is the question itself.
        "turns": row["messages"][:-1],
        "references": row["references"],
        "answerable": row["answerable"],
        "group": row["group"],
        "sources": row["sources"],
        "arms": arms,
        "states": " ".join(a["state"] for a in arms),
        "spread": disagreement(row, metric, [a["name"] for a in arms if not a["diagnostic"]]),
        "passages": inline,
        "has_passages": bool(seen),
    }


def _arm(name: str, answer: ArmAnswer, record: StudyRecord, *, seen: list[Json], passages: list[list[Any]]) -> Json:
    places = {}
    for number, entry in enumerate(seen):
        document, _, start, end, *_ = passages[entry["passage"]]
        places[document, start, end] = number
    citations = [
        {
            "number": c["number"],
            "target": places.get((c["document"], c["start"], c["end"])),
            "quoted": c["quote"] is not None,
            "place": c.get("place", ""),
        }
        for c in answer["citations"]
    ]
    return {
        "name": name,
        "diagnostic": record["arms"][name]["diagnostic"],
        "state": state(answer, record["metric"], right=record.get("right_from", RIGHT)),
        "text": answer["text"],
        # Shown only where parsing took something away.
        "raw": answer["raw"] if answer["raw"].strip() != answer["text"].strip() else "",
        "abstained": answer["abstained"],
        "score": answer["scores"].get(record["metric"]),
        "scores": {key: value for key, value in answer["scores"].items() if value is not None},
        "citations": citations,
        "failure": answer["failure"],
        "cut": answer.get("cut", False),
        "reasons": answer.get("reasons", {}),
        # Studies of before have causes guessed from words.
        "cause": answer.get("cause", ""),
    }


def _shown(passage: list[Any], marks: Sequence[tuple[int, int, list[str]]]) -> Json:
    """A passage with its text in pieces: (text, arms quoting it)."""
    document, title, start, end, text, place = passage
    pieces: list[tuple[str, list[str]]] = []
    at = 0
    for low, high, arms in marks:
        pieces += [(text[at:low], []), (text[low:high], arms)]
        at = high
    pieces.append((text[at:], []))
    shown = [piece for piece in pieces if piece[0]]
    return {"document": document, "title": title, "start": start, "end": end, "place": place, "pieces": shown}
