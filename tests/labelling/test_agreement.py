"""Items that are labelled blind, and what labels say beside a study's metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twofold.labelling import items as blind
from twofold.labelling.agreement import agreement
from twofold.labelling.items import BlindItem
from twofold.labelling.labels import SECRET, BlindLabel, Kind, LabelLog
from twofold.reports import archive
from twofold.verdict.evidence import RIGHT, is_wrong
from twofold.verdict.record import AnswerRow, StudyRecord

Study = tuple[StudyRecord, list[AnswerRow]]


@pytest.fixture(scope="module")
def study(measured: Path) -> Study:
    directory = measured / "studies" / archive.names(measured / "studies")[-1]
    return archive.read_record(directory), archive.read_answers(directory)


@pytest.fixture
def log(tmp_path: Path) -> LabelLog:
    return LabelLog(tmp_path / "labels.jsonl")


def give(log: LabelLog, item: BlindItem, choice: str, by: str = "ann") -> BlindLabel:
    about = (item.study, item.row["id"])
    return log.add(item.kind, item.shown(by), choice, by=by, question=item.row["question"], about=about)


def test_a_pair_is_two_different_answers_and_its_name_tells_no_arm(study: Study) -> None:
    every = blind.items(*study, "pair", secret="s")
    assert every
    for item in every:
        first, second = item.shown("ann")
        assert first.text.split() != second.text.split()
        assert not any(arm in item.name for arm in study[0]["arms"])
    assert len({item.name for item in every}) == len(every)


def test_nobody_without_the_secret_works_out_whose_answers_they_are(study: Study, tmp_path: Path) -> None:
    """Who reads this program knows studies, examples and arms, and could try them all."""
    shown = []
    for folder in ("a", "b"):
        secret = LabelLog(tmp_path / folder / "labels.jsonl").secret()
        assert secret == LabelLog(tmp_path / folder / "labels.jsonl").secret(), "the order outlives the process"
        assert (tmp_path / folder / SECRET).stat().st_mode & 0o077 == 0
        shown.append({item.name: item for item in blind.items(*study, "mark", secret=secret)})
    assert not shown[0].keys() & shown[1].keys()
    by_example = [{item.row["id"]: item.shown("ann") for item in items.values()} for items in shown]
    assert by_example[0].keys() == by_example[1].keys()


def test_marks_are_of_every_answer_that_came(study: Study) -> None:
    record, rows = study
    failed: Any = {**rows[0]["arms"]["rag"], "failure": {"code": "x", "message": "no"}}
    broken: Any = {**rows[0], "arms": {**rows[0]["arms"], "rag": failed}}
    every = blind.items(record, [broken, *rows[1:]], "mark", secret="s")
    assert len(every) == 2 * len(rows) - 1


def test_which_answer_stands_first_is_by_chance_for_each_person_and_item(study: Study) -> None:
    record, rows = study
    many = [{**rows[0], "id": f"q{number}"} for number in range(400)]
    every = blind.items(record, many, "pair", secret="s")  # type: ignore[arg-type]
    first = [item.shown("ann")[0].arm == "rag" for item in every]
    assert 160 < sum(first) < 240
    other = [item.shown("ben")[0].arm == "rag" for item in every]
    assert 130 < sum(a == b for a, b in zip(first, other, strict=True)) < 270
    assert first == [item.shown("ann")[0].arm == "rag" for item in every]


def test_everybody_goes_through_one_order_and_comes_back_to_what_was_passed_over(study: Study, log: LabelLog) -> None:
    every = blind.items(*study, "pair", secret="s")
    first = blind.following(every, log.all(), by="ann")
    assert first == every[0]
    passed = blind.following(every, log.all(), by="ann", after=every[0].name)
    assert passed == every[1]
    for item in every[1:]:
        give(log, item, "same")
    assert blind.following(every, log.all(), by="ann", after=every[1].name) == every[0]
    undone = give(log, every[0], "first")
    assert blind.following(every, log.all(), by="ann") is None
    assert blind.following(every, log.all(), by="ben") == every[0]
    log.undo(undone.id, by="ann")
    assert blind.following(every, log.all(), by="ann") == every[0]


@pytest.mark.parametrize("kind", ["pair", "mark"])
def test_agreement_counts_where_both_decide(study: Study, log: LabelLog, kind: Kind) -> None:
    record, rows = study
    every = blind.items(record, rows, kind, secret="s")
    metric = record["metric"]
    for item in every[:6]:
        scores = [item.row["arms"][answer.arm]["scores"][metric] for answer in item.shown("ann")]
        assert None not in scores
        if kind == "mark":
            give(log, item, "wrong" if is_wrong(scores[0] or 0, record.get("right_from", RIGHT)) else "right")
        else:
            give(log, item, "first" if (scores[0] or 0) > (scores[1] or 0) else "second")
    give(log, every[6], "same" if kind == "pair" else "partly")
    agreed = agreement(record, rows, log.all(), kind=kind)
    assert agreed.share is not None
    assert (agreed.share.mean, agreed.share.n) == (1.0, 6)
    assert agreed.share.low < 1.0
    assert sum(sum(row.values()) for row in agreed.counts.values()) == 7
    assert agreed.people is None


def test_two_people_agree_on_a_pair_whatever_the_order_in_which_each_saw_it(study: Study, log: LabelLog) -> None:
    record, rows = study
    every = blind.items(record, rows, "pair", secret="s")
    turned = next(item for item in every if item.shown("ann") != item.shown("ben"))
    for item in [item for item in every if item != turned][:3]:
        for by in ("ann", "ben"):
            give(log, item, "first" if item.shown(by)[0].arm == "rag" else "second", by=by)
    give(log, turned, "first")
    give(log, turned, "first", by="ben")  # another answer than ann's first
    people = agreement(record, rows, log.all(), kind="pair").people
    assert people is not None
    assert (people.mean, people.n) == (0.75, 4)


def test_labels_of_other_studies_and_of_forgotten_questions_are_passed_over(study: Study, log: LabelLog) -> None:
    record, rows = study
    (item, *_) = blind.items(record, rows, "mark", secret="s")
    log.add("mark", item.shown("ann"), "right", by="ann", question="?", about=("0000-other", item.row["id"]))
    log.add("mark", item.shown("ann"), "right", by="ann", question="?", about=(item.study, "gone"))
    agreed = agreement(record, rows, log.all(), kind="mark")
    assert (dict(agreed.counts), agreed.share) == ({}, None)


def test_by_one_person_alone_agreement_is_unknown_and_by_two_it_has_a_kappa(study: Study, log: LabelLog) -> None:
    record, rows = study
    every = blind.items(record, rows, "mark", secret="s")
    for number, item in enumerate(every[:12]):
        give(log, item, "wrong" if number % 2 else "right")
    alone = agreement(record, rows, log.all(), kind="mark").between
    assert (alone.people, alone.beyond_chance, alone.unknown) == (("ann",), None, "only ann has labelled")
    give(log, every[13], "right", by="ben")
    assert agreement(record, rows, log.all(), kind="mark").between.unknown == "no item was labelled by two people"
    for number, item in enumerate(every[:12]):
        give(log, item, "wrong" if number % 2 or number == 0 else "right", by="ben")
    both = agreement(record, rows, log.all(), kind="mark").between
    assert both.statistic == "Cohen's κ"
    assert both.beyond_chance is not None
    assert both.beyond_chance.mean == pytest.approx(5 / 6)
    assert both.beyond_chance.low < 0.8 < both.beyond_chance.high
    for item in every[:12]:
        give(log, item, "partly", by="eve")
    three = agreement(record, rows, log.all(), kind="mark").between
    assert (three.statistic, three.people) == ("Krippendorff's α", ("ann", "ben", "eve"))
    assert three.beyond_chance is not None
    assert three.beyond_chance.mean < 0.2


def test_labels_of_answers_that_are_not_stored_any_more_count_for_nothing(study: Study, log: LabelLog) -> None:
    """A study of the same name may have been made anew: its answers are others, and nobody has labelled them."""
    record, rows = study
    (item, *_) = blind.items(record, rows, "mark", secret="s")
    give(log, item, "right")
    arms = {name: {**answer, "text": answer["text"] + " or so"} for name, answer in item.row["arms"].items()}
    anew: list[Any] = [{**row, "arms": arms} if row["id"] == item.row["id"] else row for row in rows]
    every = blind.items(record, anew, "mark", secret="s")
    assert blind.labelled(every, log.all(), by="ann") == set()
    assert not agreement(record, anew, log.all(), kind="mark").counts
