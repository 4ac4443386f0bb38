"""Examples read, mended and added in the project's own files, without losing what others wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from small_project import write_project
from twofold.errors import BadRequest, Conflict, DataError, NotServed, StoreError
from twofold.files import writing
from twofold.project import Project
from twofold.serving.workbook import EDITS, ExampleBook, ExampleFields, WorkbookRow
from twofold.types import Filter

FILE = "data/examples.jsonl"
STAFF = Filter(principal=("everyone", "group:staff", "staff"))
DOCUMENTS = [
    {"id": "parking", "text": "Parking costs 4 euros a day.", "readers": ["group:staff"]},
    {"id": "board", "text": "The board meets at noon.", "readers": ["group:board"]},
]
ASKED = [("parking", "What does parking cost?", "4 euros"), ("board", "When does the board meet?", "noon")]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    directory = write_project(tmp_path / "p", DOCUMENTS, ASKED, copies=8, settings="")
    with Project.open(directory) as project:
        project.sync()
        yield project


def fields(row: WorkbookRow, **changed: object) -> ExampleFields:
    assert row.example is not None
    example = row.example
    plain = ExampleFields(
        question=example.question,
        answers=example.references,
        answerable=example.answerable,
        sources=example.sources,
        group=example.group,
        split=example.split or "",
    )
    return replace(plain, **changed)  # type: ignore[arg-type]


def lines(project: Project) -> list[str]:
    return (project.directory / FILE).read_text(encoding="utf-8").split("\n")


def write_line(project: Project, line: int, text: str) -> None:
    every = lines(project)
    every[line - 1] = text
    (project.directory / FILE).write_text("\n".join(every), encoding="utf-8")


def test_examples_are_listed_by_split_origin_words_and_remarks(project: Project) -> None:
    write_line(project, 3, '{"question": "Nothing more"}')
    write_line(project, 4, '{"question": "What does it cost?", "answers": ["4"], "origin": "log"}')
    book = ExampleBook(project)
    everything = book.page(None, chosen={})
    assert everything.total == 15
    assert everything.fault == ""
    assert everything.counts["remarks"] == 1
    assert sum(everything.counts.values()) == 16
    (broken,) = book.page(None, chosen={"remarks": "1"}).rows
    assert (broken.line, broken.example) == (3, None)
    assert broken.problem is not None
    assert broken.problem.cure
    (log,) = book.page(None, chosen={"origin": "log"}).rows
    assert log.line == 4
    assert book.page(None, chosen={"words": "NOON board"}).total == 7
    tests = book.page(None, chosen={"split": "test"})
    assert tests.total == everything.counts["test"] > 0
    assert {row.split for row in tests.rows} == {"test"}
    last = book.page(None, chosen={}, page=99, size=4)
    assert (last.page, last.pages, len(last.rows)) == (4, 4, 3)


def test_examples_of_closed_documents_are_neither_shown_nor_counted(project: Project) -> None:
    write_line(project, 1, '{"question": "What stands nowhere?", "answers": ["4"]}')
    page = ExampleBook(project).page(STAFF, chosen={})
    assert {row.example.sources for row in page.rows if row.example} == {("parking",)}
    assert sum(page.counts.values()) == page.total == 7
    with pytest.raises(NotServed):
        ExampleBook(project).row(FILE, 2, STAFF)


def test_a_change_replaces_its_line_alone_and_keeps_the_old_one(project: Project) -> None:
    write_line(project, 2, '{"id":"b", "question": "When?", "answers": ["noon"], "doc_ids": ["board"], "mine": 29.00}')
    before = lines(project)
    book = ExampleBook(project)
    row = book.row(FILE, 2, None)
    book.fix(
        row, fields(row, question="When does it meet?", answers=("noon", "at 12"), split="dev"), mark=row.mark, by="ann"
    )
    after = lines(project)
    assert [number for number, pair in enumerate(zip(before, after, strict=True), 1) if pair[0] != pair[1]] == [2]
    assert json.loads(after[1]) == {
        "id": "b",
        "question": "When does it meet?",
        "answers": ["noon", "at 12"],
        "doc_ids": ["board"],
        "mine": 29.0,
        "split": "dev",
    }
    (edit,) = (project.directory / "serving" / "edits.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(edit)["before"] == json.loads(before[1])
    assert json.loads(edit)["by"] == "ann"
    changed = book.row(FILE, 2, None).example
    assert changed is not None
    assert (changed.references, changed.split) == (("noon", "at 12"), "dev")


def test_a_record_that_is_taken_out_leaves_its_line_and_its_words_in_the_log(project: Project) -> None:
    book = ExampleBook(project)
    row, after = book.row(FILE, 2, None), book.row(FILE, 3, None)
    book.remove(row, mark=row.mark, by="ann")
    assert (lines(project)[1], book.row(FILE, 3, None)) == ("", after)
    with pytest.raises(NotServed):
        book.row(FILE, 2, None)
    with pytest.raises(Conflict):
        book.remove(row, mark=row.mark, by="ann")
    (entry,) = [json.loads(line) for line in (project.directory / EDITS).read_text(encoding="utf-8").splitlines()]
    assert (entry["before"]["question"], entry["after"], entry["by"]) == ("When does the board meet? (0)", None, "ann")


def test_a_document_that_is_not_there_and_one_that_is_closed_are_refused_alike(project: Project) -> None:
    book = ExampleBook(project)
    book.require_documents(("parking", "board"), None)
    book.require_documents(("parking",), STAFF)
    refusals = []
    for name in ("board", "bored"):
        with pytest.raises(BadRequest) as refused:
            book.require_documents(("parking", name), STAFF)
        refusals.append(refused.value.message.replace(name, "NAME"))
    assert refusals[0] == refusals[1] == "no document that you may read has the id 'NAME'"


def test_a_line_that_moved_is_found_and_one_that_changed_is_a_conflict(project: Project) -> None:
    book = ExampleBook(project)
    row = book.row(FILE, 2, None)
    text = (project.directory / FILE).read_text(encoding="utf-8")
    (project.directory / FILE).write_text('{"question": "New?", "answers": ["yes"]}\n' + text, encoding="utf-8")
    book.fix(row, fields(row, question="When is the meeting?"), mark=row.mark, by="ann")
    assert json.loads(lines(project)[2])["question"] == "When is the meeting?"
    before = lines(project)
    with pytest.raises(Conflict) as caught:
        book.fix(row, fields(row, question="Mine?"), mark=row.mark, by="ben")
    assert "somebody changed this example" in caught.value.message
    assert lines(project) == before


def test_a_conversation_and_a_number_keep_their_form(project: Project) -> None:
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    record = {
        "messages": [*turns, {"role": "user", "content": "What does it cost?"}],
        "output": 29.5,
        "doc_ids": ["parking"],
    }
    write_line(project, 1, json.dumps(record).replace("29.5", "29.50"))
    book = ExampleBook(project)
    row = book.row(FILE, 1, None)
    book.fix(row, fields(row, question="What does a day cost?"), mark=row.mark, by="ann")
    record["messages"] = [*turns, {"role": "user", "content": "What does a day cost?"}]
    after = json.loads(lines(project)[0])
    assert after["messages"] == record["messages"]
    changed = book.row(FILE, 1, None).example
    assert changed is not None
    assert changed.references == ("29.50",)


def test_a_record_that_cannot_be_used_is_mended(project: Project) -> None:
    write_line(project, 5, '{"question": "Is it free on Sunday?", "note": "from Ann"}')
    book = ExampleBook(project)
    row = book.row(FILE, 5, None)
    book.fix(row, ExampleFields(question="Is it free on Sunday?", answers=("yes",)), mark=row.mark, by="ann")
    assert json.loads(lines(project)[4])["note"] == "from Ann"
    assert book.row(FILE, 5, None).example is not None


def test_what_would_be_no_example_is_refused_and_nothing_is_written(project: Project) -> None:
    book, before = ExampleBook(project), lines(project)
    row = book.row(FILE, 1, None)
    with pytest.raises(BadRequest):
        book.fix(row, fields(row, answers=()), mark=row.mark, by="ann")
    with pytest.raises(BadRequest):
        book.fix(row, fields(row, question=" "), mark=row.mark, by="ann")
    with pytest.raises(BadRequest):
        book.add(ExampleFields(question="What?", answers=()), by="ann")
    assert lines(project) == before
    assert not (project.directory / "serving").exists()


def test_an_added_example_is_on_the_disk_and_among_the_projects(project: Project) -> None:
    before = (project.directory / FILE).read_bytes()
    book = ExampleBook(project)
    name = book.add(
        ExampleFields(question="Who parks?", answers=("staff",), sources=("parking",), split="train"), by="ann"
    )
    assert (project.directory / FILE).read_bytes().startswith(before)
    example = next(one for one in Project.open(project.directory).examples if one.id == name)
    assert (example.question, example.references, example.sources) == ("Who parks?", ("staff",), ("parking",))
    assert (example.split, example.origin, len(example.at)) == ("train", "human", 10)
    unanswerable = book.add(ExampleFields(question="Who swims?", answers=(), answerable=False), by="ann")
    assert book.page(None, chosen={"words": unanswerable}).total == 1


def test_other_kinds_of_files_are_read_and_not_changed(project: Project) -> None:
    directory = project.directory
    settings = (directory / "twofold.toml").read_text(encoding="utf-8").replace("examples.jsonl", "examples.csv")
    (directory / "twofold.toml").write_text(settings, encoding="utf-8")
    (directory / "data" / "examples.csv").write_text("question,answers\nWhat?,This\n", encoding="utf-8")
    with Project.open(directory) as other:
        book = ExampleBook(other)
        page = book.page(None, chosen={})
        assert page.fault  # one example cannot be divided
        (row,) = page.rows
        with pytest.raises(DataError, match=r"\.jsonl"):
            book.fix(row, fields(row, question="Which?"), mark=row.mark, by="ann")
        with pytest.raises(DataError, match=r"\.jsonl"):
            book.add(ExampleFields(question="Who parks?", answers=("staff",)), by="ann")


def test_a_disk_that_refuses_leaves_the_file_as_it_was(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    book, before = ExampleBook(project), lines(project)
    row = book.row(FILE, 1, None)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write", full)
        with pytest.raises(StoreError, match="No space"):
            book.fix(row, fields(row, question="Mine?"), mark=row.mark, by="ann")
    with monkeypatch.context() as patch:
        patch.setattr(writing, "append", full)
        with pytest.raises(StoreError, match="No space"):
            book.fix(row, fields(row, question="Mine?"), mark=row.mark, by="ann")
        with pytest.raises(StoreError, match="No space"):
            book.add(fields(row), by="ann")
    assert lines(project) == before
