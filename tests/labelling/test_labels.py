"""Labels: an append-only file in which undoing and labelling again are further lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import BadRequest, Conflict, DiskFull, NotServed, StoreError
from twofold.labelling.labels import BlindLabel, LabelledAnswer, LabelLog

PAIR = (LabelledAnswer(arm="rag", text="4 euros"), LabelledAnswer(arm="base", text="I do not know"))


@pytest.fixture
def log(tmp_path: Path) -> LabelLog:
    return LabelLog(tmp_path / "serving" / "labels.jsonl")


def pair(log: LabelLog, choice: str = "first", **changed: Any) -> BlindLabel:
    words: dict[str, Any] = {"by": "ann", "question": "What does parking cost?", "about": ("0001-p", "parking-1")}
    return log.add("pair", changed.pop("answers", PAIR), choice, **{**words, **changed})


def test_a_label_says_what_was_shown_by_whom_and_when(tmp_path: Path) -> None:
    path = tmp_path / "serving" / "labels.jsonl"
    now = datetime(2026, 11, 30, 3, 0, tzinfo=UTC)
    label = pair(LabelLog(path, now=lambda: now), "second", reasons=["incomplete"], note="  says nothing ")
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {
        "id": label.id,
        "at": "2026-11-30T03:00:00+00:00",
        "by": "ann",
        "kind": "pair",
        "question": "What does parking cost?",
        "answers": [{"arm": "rag", "text": "4 euros"}, {"arm": "base", "text": "I do not know"}],
        "choice": "second",
        "reasons": ["incomplete"],
        "note": "says nothing",
        "study": "0001-p",
        "example": "parking-1",
    }
    assert label.preferred == "base"
    assert LabelLog(path).all() == [label]
    assert path.stat().st_mode & 0o077 == 0


def test_the_last_word_of_each_person_counts_whatever_the_order_shown(log: LabelLog) -> None:
    pair(log, "first")
    mine = pair(log, "first", answers=PAIR[::-1])
    theirs = pair(log, "same", by="ben")
    assert log.all() == [mine, theirs]
    assert mine.preferred == "base"


def test_undoing_adds_a_line_and_is_for_ones_own(log: LabelLog, tmp_path: Path) -> None:
    label = pair(log)
    with pytest.raises(Conflict):
        log.undo(label.id, by="ben")
    assert log.undo(label.id, by="ann") == label
    assert log.all() == []
    assert len((tmp_path / "serving" / "labels.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    with pytest.raises(NotServed):
        log.undo(label.id, by="ann")


def test_undoing_the_second_thought_brings_the_first_back(log: LabelLog) -> None:
    first = pair(log, "first")
    log.undo(pair(log, "second").id, by="ann")
    assert log.all() == [first]


def test_half_a_line_of_a_killed_writer_is_no_label_and_harms_none(log: LabelLog, tmp_path: Path) -> None:
    before = pair(log)
    path = tmp_path / "serving" / "labels.jsonl"
    with path.open("ab") as file:
        file.write(b'{"id": "label_1", "by": "ann", "cho')
    after = pair(log, by="ben")
    assert log.all() == [before, after]


@pytest.mark.parametrize(
    "edit",
    [
        {"by": 5},
        {"by": ["ann"]},
        {"by": "  "},
        {"id": ["label_1"]},
        {"choice": "excellent"},
        {"choice": ["first"]},
        {"choice": "right"},
        {"kind": "poem"},
        {"answers": []},
        {"answers": [{"arm": "rag", "text": "4 euros"}]},
        {"answers": [{"arm": "rag", "text": None}, {"arm": "base", "text": "no"}]},
        {"example": ["parking-1"]},
        {"reasons": [5]},
        {"note": None},
    ],
    ids=str,
)
def test_a_line_that_no_page_writes_is_no_label_and_harms_none(
    log: LabelLog, tmp_path: Path, edit: dict[str, Any]
) -> None:
    before = pair(log)
    path = tmp_path / "serving" / "labels.jsonl"
    edited = {**json.loads(path.read_text(encoding="utf-8")), "id": "label_1", "by": "zoe", **edit}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(edited) + "\n" + "[" * 100_000 + "\n")
    after = pair(log, by="ben")
    assert log.all() == [before, after]


def test_labels_of_answers_that_a_study_has_no_more_are_removed_and_no_others(log: LabelLog, tmp_path: Path) -> None:
    shows = pair(log)
    log.undo(pair(log, by="ben").id, by="ben")
    others = [pair(log, about=about) for about in (("0001-p", "canteen-1"), ("0002-p", "parking-1"), ("", ""))]
    path = tmp_path / "serving" / "labels.jsonl"
    with path.open("ab") as file:
        file.write(b'{"id": "label_1", "answers": [{"arm": "rag", "text": "4 eu')
    # Both labels of the question, the one that was undone too, and half a line.
    assert log.drop({"0001-p": {"canteen-1"}}) == 3
    assert log.all() == others
    assert shows.id not in path.read_text(encoding="utf-8")
    assert log.drop({"0001-p": {"canteen-1"}}) == 0


@pytest.mark.parametrize(
    ("kind", "answers", "choice", "changed", "param"),
    [
        ("pair", PAIR, "right", {}, "choice"),
        ("mark", PAIR[:1], "first", {}, "choice"),
        ("mark", PAIR, "right", {}, "answers"),
        ("pair", PAIR[:1], "first", {}, "answers"),
        ("poem", PAIR, "first", {}, "kind"),
        ("pair", PAIR, "first", {"by": "  "}, "by"),
        ("pair", PAIR, "first", {"reasons": ["mood"]}, "reasons"),
    ],
)
def test_what_is_no_label_is_refused(
    log: LabelLog, kind: Any, answers: Any, choice: str, changed: dict[str, Any], *, param: str
) -> None:
    words = {"by": "ann", "question": "?", **changed}
    with pytest.raises(BadRequest) as caught:
        log.add(kind, answers, choice, **words)
    assert caught.value.param == param
    assert log.all() == []


def test_a_full_disk_is_told_and_forgotten_with_the_next_label(log: LabelLog, monkeypatch: pytest.MonkeyPatch) -> None:
    from twofold.files import writing

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "append", full)
        with pytest.raises((DiskFull, StoreError)):
            pair(log)
    assert "No space" in log.failure
    pair(log)
    assert log.failure == ""


def test_times_are_those_of_the_clock(tmp_path: Path) -> None:
    ticks = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(3))
    log = LabelLog(tmp_path / "labels.jsonl", now=lambda: next(ticks))
    assert [pair(log).at[11:13], pair(log, by="ben").at[11:13]] == ["00", "01"]
