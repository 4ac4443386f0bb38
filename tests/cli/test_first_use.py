"""The first commands of a new user, on folders as people have them, through the command line."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.cli.main import main
from twofold.project import Project

FAST = """
[generation.generator]
name = "echo"
[generation.generator.options]
mode = "quote"
[retrieval.embedder]
name = "hashing"
"""
Said = tuple[int, Any, str]
Call = Callable[..., Said]
TEXTS = {
    "hr/leave.md": "# Leave\n\nEmployees have thirty days of leave a year. Parental leave lasts fourteen months.\n",
    "Licence fees 2031.md": "# Licence fees\n\nThe licence fee for the year 2031 is 48 euros a seat and month.\n",
    "README.md": "# Read me\n\nThe office is a large building that stands near the old harbour. It was built by the "
    "Okafor family in 1923, and 240 people work there today. Visitors report to the porter at the northern gate. The "
    "canteen is open from eleven in the morning until three in the afternoon, and it serves guests for 9 euros.\n",
    "parts.csv": "name,price\nBolt,3\nNut,2\n",
    "logo.bin": "xx",
}


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    for name, text in TEXTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command; returns exit code, parsed stdout and stderr."""

    def run(*words: str | Path) -> Said:
        capsys.readouterr()
        code = main([*map(str, words), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return run


def fast(project: Path) -> Path:
    """Put the shipped fakes in place of the models."""
    path = project / "twofold.toml"
    path.write_text(path.read_text(encoding="utf-8") + FAST, encoding="utf-8")
    return project


def ask_about(folder: Path, *records: dict[str, Any]) -> None:
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "examples.jsonl").write_text(lines, encoding="utf-8")


def ids(call: Call, project: Path) -> list[str]:
    return [row["id"] for row in call("index", "documents", "-C", project)[1]["documents"]]


IDS = ["Licence fees 2031.md", "README.md", "hr/leave.md", "parts.csv#row1", "parts.csv#row2"]


@pytest.mark.parametrize("link", [False, True])
def test_a_folder_of_plain_files_can_be_asked_at_once(
    call: Call, handbook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, link: bool
) -> None:
    """Whatever the files are called, copied or left where they are, and from wherever the project is named."""
    project = tmp_path / "p"
    code, told, _ = call("init", project, "--from", handbook, *(["--link"] if link else []))
    assert code == 0
    assert (told["files"], told["documents"], told["questions"]) == (4, 5, 0)
    [left] = told["problems"]
    assert (left["file"], left["message"]) == ("logo.bin", "of a kind that no reader knows")
    assert (project / "data").exists() is not link
    fast(project)
    assert sorted(ids(call, project)) == IDS, "before the first sync"
    code, done, _ = call("sync", "-C", project)
    assert (code, done["added"]) == (0, 5)
    assert sorted(ids(call, project)) == IDS
    code, answer, _ = call("ask", "-C", project, "What is the licence fee for 2031?")
    assert (code, answer["arm"]) == (0, "rag")
    assert answer["citations"][0]["span"]["document"] == "Licence fees 2031.md"
    monkeypatch.chdir(project)
    assert call("sync")[1]["unchanged"] == 5
    if link:
        (handbook / "hr" / "leave.md").write_text("# Leave\n\nForty days.\n", encoding="utf-8")
        assert call("sync")[1]["changed"] == 1


def test_without_questions_what_needs_some_says_how_to_get_them(call: Call, handbook: Path, tmp_path: Path) -> None:
    call("init", tmp_path / "p", "--from", handbook)
    project = fast(tmp_path / "p")
    code, checked, _ = call("check", "-C", project)
    assert (code, checked["errors"], checked["warnings"]) == (0, 0, 1)
    assert "no examples yet" in checked["problems"][0]["message"]
    for words in (["study", "--plan"], ["study", "--yes"], ["tune"]):
        code, told, _ = call(*words, "-C", project)
        assert code == 2
        assert "no examples yet" in told["error"]["message"]
        assert "`twofold examples make`" in told["error"]["cure"]
    code, made, err = call("examples", "make", "-C", project, "--count", "3")
    assert code == 0
    assert made["file"] == str(project / "data" / "examples.jsonl")
    assert "note:" not in err, "they are read"
    assert main(["study", "--plan", "-C", str(project)]) == 0


QUIZ = "question,answer\n" + "".join(f"Who paints mast {n}?,Ines {n}\n" for n in range(30))


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("documents", [False, True])
def test_a_file_of_questions_is_known_by_what_is_inside(
    call: Call, tmp_path: Path, *, documents: bool, link: bool
) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "quiz.csv").write_text(QUIZ, encoding="utf-8")
    if documents:
        (folder / "parts.csv").write_text("text,shelf\nA shackle,3\nA cleat,4\n", encoding="utf-8")
        (folder / "boat.md").write_text("# Boat\n\nThe mast is 12 m tall.\n", encoding="utf-8")
    code, told, _ = call("init", tmp_path / "p", "--from", folder, *(["--link"] if link else []))
    assert (code, told["questions"], told["examples"], told["problems"]) == (0, 30, ["quiz.csv"], [])
    assert told["documents"] == (3 if documents else 0)
    assert call("check", "-C", tmp_path / "p")[1]["errors"] == 0
    if documents:
        assert call("sync", "-C", fast(tmp_path / "p"))[0] == 0
        assert sorted(ids(call, tmp_path / "p")) == ["boat.md", "parts.csv#row1", "parts.csv#row2"]


def as_lines(count: int, *, of: str = "mast") -> str:
    return "".join(
        json.dumps({"question": f"How tall is {of} {n}?", "answers": [f"{n} m"]}) + "\n" for n in range(count)
    )


LABELS = "text,label\n" + "".join(f"Ticket {n} of the {k} counter,{k}\n" for n in range(20) for k in ("red", "blue"))


QUESTIONS_SHEET = [["Question", "Answer"], ["Who heads radiology?", "Ruth"], ["Where is it?", "In hall 2"]]


@pytest.mark.parametrize("link", [False, True])
def test_a_file_whose_records_were_imported_as_examples_is_no_document(
    call: Call, tmp_path: Path, *, link: bool
) -> None:
    """Else every test question would find its own answer."""
    folder, flag = tmp_path / "desk", ["--link"] if link else []
    folder.mkdir()
    (folder / "tickets.csv").write_text(LABELS, encoding="utf-8")
    (folder / "hours.csv").write_text("text,label\nThe red counter opens at nine,hours\n", encoding="utf-8")
    code, told, _ = call("init", tmp_path / "before", "--from", folder, *flag)
    assert (code, told["documents"], told["questions"]) == (0, 41, 0)
    cure = next(p["cure"] for p in told["problems"] if p["file"] == "tickets.csv")
    assert "twofold examples import" in cure
    assert "choose another directory" in cure
    assert call("examples", "import", folder / "tickets.csv", "--into", folder / "examples.jsonl")[0] == 0
    code, told, _ = call("init", tmp_path / "p", "--from", folder, *flag)
    assert (code, told["documents"], told["questions"]) == (0, 1, 40), "rows that are no examples stay documents"
    [left] = [p for p in told["problems"] if p["file"] == "tickets.csv"]
    assert "the questions and answers of examples.jsonl" in left["message"]
    assert ids(call, tmp_path / "p") == ["hours.csv#row1"]
    assert call("sync", "-C", fast(tmp_path / "p"))[1]["added"] == 1


def test_a_file_of_fields_in_another_language_is_imported_as_init_says_and_is_no_document(
    call: Call, tmp_path: Path
) -> None:
    folder = tmp_path / "amt"
    folder.mkdir()
    rows = "".join(f"Wo steht Schalter {n}?,Halle {n}\n" for n in range(30))
    (folder / "examples.csv").write_text("Frage,Antwort\n" + rows, encoding="utf-8")
    code, told, _ = call("init", tmp_path / "p", "--from", folder)
    command = told["error"]["cure"].partition("`")[2].partition("`")[0]
    assert (code, told["error"]["code"]) == (2, "data.too-few")
    assert "(Frage, Antwort) for Q and A" in told["error"]["cure"]
    (folder / "examples.csv").rename(folder / "raw.csv")
    words = shlex.split(command.replace("=Q", "=Frage").replace("=A", "=Antwort"))[1:]
    assert call(*words)[0] == 0
    told = call("init", tmp_path / "p", "--from", folder)[1]
    assert (told["documents"], told["questions"]) == (0, 30), "else every test question would find its own answer"


def test_a_folder_of_which_nothing_can_be_read_is_cured_by_its_first_fault(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a.txt").write_bytes("Die Größe beträgt zwölf Meter.".encode("latin-1"))
    error = call("init", tmp_path / "p", "--from", folder)[1]["error"]
    assert "a.txt: byte 6 (0xf6) is not UTF-8" in error["message"]
    assert error["cure"].startswith(
        "Save the file as UTF-8, or name a document's encoding in [documents.encodings]. Or"
    )


def test_a_spreadsheet_of_questions_is_told_since_its_answers_stand_in_a_passage(call: Call, tmp_path: Path) -> None:
    xlsxwriter = pytest.importorskip("xlsxwriter")
    folder = tmp_path / "sheets"
    folder.mkdir()
    for name, rows in (("asked.xlsx", QUESTIONS_SHEET), ("phones.xlsx", [["Name", "Extension"], ["Ruth", "3410"]])):
        with xlsxwriter.Workbook(folder / name) as book:
            sheet = book.add_worksheet()
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    told = call("init", tmp_path / "p", "--from", folder)[1]
    [problem] = told["problems"]
    assert (told["documents"], problem["file"], problem["severity"]) == (2, "asked.xlsx", "warning")
    assert "look like examples (question-answer: Question | Answer), and are read as documents" in problem["message"]
    assert "Save the sheet as examples.csv" in problem["cure"]


def test_a_picture_is_named_as_one_by_sync_and_a_project_without_documents_weighs_no_words(
    call: Call, handbook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (handbook / "scan.png").write_bytes(b"\x89PNG")
    call("init", tmp_path / "p", "--from", handbook)
    assert main(["sync", "-q", "-C", fast(tmp_path / "p")]) == 0
    assert "1 file skipped (scan.png): this is a picture. Set [documents].ocr" in capsys.readouterr().out
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "examples.jsonl").write_text('{"question": "Who?", "answers": ["Me"]}\n', encoding="utf-8")
    call("init", tmp_path / "q", "--from", alone)
    assert call("sync", "-C", fast(tmp_path / "q"))[1]["words"] is None


IN_OTHER_SHAPES = {
    "examples.csv": LABELS,
    "examples.tsv": LABELS.replace(",", "\t"),
    "examples-tickets.jsonl": '{"prompt": "Say A.", "completion": "A"}\n{"prompt": "Say B.", "completion": "B"}\n',
    "examples.json": json.dumps([{"instruction": "Say it", "input": "A", "output": "A"}] * 3),
    "examples.jsonl": '{"conversations": [{"from": "human", "value": "A?"}, {"from": "gpt", "value": "A"}]}\n',
}


@pytest.mark.parametrize("name", IN_OTHER_SHAPES)
def test_examples_in_another_shape_are_told_with_the_command_that_reads_them(
    call: Call, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "my desk"
    folder.mkdir()
    (folder / name).write_text(IN_OTHER_SHAPES[name], encoding="utf-8")
    code, told, _ = call("init", tmp_path / "p", "--from", folder)
    assert code == 2
    cure = told["error"]["cure"]
    given = folder / f"raw{(folder / name).suffix}"
    (folder / name).rename(given)
    assert f"Rename it to {given.name}" in cure
    words = shlex.split(cure.partition("`twofold ")[2].partition("`")[0])
    assert words == ["examples", "import", str(given), "--into", str(folder / "examples.jsonl")]
    assert call(*words)[0] == 0
    code, told, _ = call("init", tmp_path / "p", "--from", folder)
    assert (code, told["examples"], told["documents"]) == (0, ["examples.jsonl"], 0)


def test_the_project_s_own_examples_among_linked_documents_are_no_problem(
    call: Call, handbook: Path, tmp_path: Path
) -> None:
    ask_about(handbook, *({"question": f"Say {n}?", "answer": str(n)} for n in range(40)))
    (handbook / "hr" / "examples.csv").write_text("question,answer\nWho?,Ines\n", encoding="utf-8")
    (handbook / "logo.bin").unlink()
    call("init", tmp_path / "p", "--from", handbook, "--link")
    told = call("check", "-C", fast(tmp_path / "p"))[1]["problems"]
    left = [p["file"] for p in told if p["code"] == "data.left-out"]
    assert left == ["../handbook/hr/examples.csv"], "another file of that name is told"


@pytest.mark.parametrize("link", [False, True])
def test_a_second_file_of_questions_is_left_out_and_stops_nothing(call: Call, tmp_path: Path, *, link: bool) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "boat.md").write_text("# Boat\n\nThe mast is 12 m tall.\n", encoding="utf-8")
    (folder / "examples.jsonl").write_text(as_lines(30), encoding="utf-8")
    (folder / "faq.jsonl").write_text(as_lines(60, of="hut"), encoding="utf-8")
    _, told, _ = call("init", tmp_path / "p", "--from", folder, *(["--link"] if link else []))
    assert (told["questions"], told["documents"], told["examples"]) == (30, 1, ["examples.jsonl"])
    [left] = told["problems"]
    assert left["file"] == "faq.jsonl"
    assert "its 60 records with question and answer are not read" in left["message"]
    assert "name it examples-faq.jsonl" in left["cure"]
    project = fast(tmp_path / "p")
    assert call("check", "-C", project)[0] == 0
    assert call("sync", "-C", project)[0] == 0
    assert call("study", "--plan", "-C", project)[0] == 0
    (folder / "faq.jsonl").rename(folder / "examples-faq.jsonl")
    assert call("init", tmp_path / "both", "--from", folder)[1]["questions"] == 90


@pytest.mark.parametrize("count", [1, 30])
def test_examples_whose_answers_are_all_missing_are_named_with_their_line(
    call: Call, tmp_path: Path, count: int
) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "examples.jsonl").write_text('{"question": "How tall?", "answer": NaN}\n' * count, encoding="utf-8")
    code, told, _ = call("init", tmp_path / "p", "--from", folder)
    assert code == 2
    assert ":0:" not in told["error"]["message"]
    assert "examples.jsonl:1: no answer" in told["error"]["message"]


def test_of_two_files_of_questions_the_larger_is_taken(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    (folder / "deep").mkdir(parents=True)
    (folder / "quiz.csv").write_text(QUIZ, encoding="utf-8")
    (folder / "deep" / "faq.json").write_text(json.dumps([json.loads(row) for row in as_lines(39).splitlines()]))
    _, told, _ = call("init", tmp_path / "p", "--from", folder)
    assert (told["examples"], told["questions"]) == (["deep/faq.json"], 39)
    [left] = told["problems"]
    assert "name them examples-faq.json and examples-quiz.csv" in left["cure"]


def test_files_named_train_and_test_are_divided_so(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "f" / "data"
    folder.mkdir(parents=True)
    for name, start in (("train-00000-of-00002", 0), ("train-00001-of-00002", 20), ("test", 40)):
        rows = "".join(as_lines(60).splitlines(keepends=True)[start : start + 20])
        (folder / f"{name}.jsonl").write_text(rows, encoding="utf-8")
    _, told, _ = call("init", tmp_path / "p", "--from", tmp_path / "f")
    assert (told["questions"], len(told["examples"])) == (60, 3)
    with Project.open(fast(tmp_path / "p")) as project:
        assert project.config.examples.split_by == "given"
        assert {e.file for e in project.splits.test} == {"data/test.jsonl"}
        assert len(project.splits.test) == 20


NO_DOCUMENTS = {
    "package.json": '{"name": "boat", "version": "1"}',
    "tsconfig.json": '{ // with a comment\n "strict": true, }',
    "numbers.json": "[1, 2]",
    "empty.json": "",
    "log.jsonl": '{"at": 1, "level": "info"}\n' * 3,
    "chat.jsonl": '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n',
}


@pytest.mark.parametrize("link", [False, True])
def test_json_that_is_no_document_is_named_and_stops_nothing(
    call: Call, handbook: Path, tmp_path: Path, *, link: bool
) -> None:
    for name, text in NO_DOCUMENTS.items():
        (handbook / name).write_text(text, encoding="utf-8")
    ask_about(handbook, *({"question": f"Say {n}?", "answer": str(n)} for n in range(40)))
    code, told, _ = call("init", tmp_path / "p", "--from", handbook, *(["--link"] if link else []))
    assert (code, told["documents"]) == (0, 5)
    assert {p["file"] for p in told["problems"]} == {"logo.bin", *NO_DOCUMENTS}
    project = fast(tmp_path / "p")
    if not link:
        for name, text in NO_DOCUMENTS.items():
            (project / "data" / "documents" / name).write_text(text, encoding="utf-8")  # put there later
    assert call("check", "-C", project)[1]["errors"] == 0
    code, synced, _ = call("sync", "-C", project)
    assert (code, synced["failed"]) == (0, 0)
    assert call("study", "--plan", "-C", project)[0] == 0


def test_records_that_were_documents_and_are_none_now_fail_the_sync(call: Call, handbook: Path, tmp_path: Path) -> None:
    (handbook / "rows.jsonl").write_text('{"id": "r", "text": "Water."}\n', encoding="utf-8")
    call("init", tmp_path / "p", "--from", handbook)
    project = fast(tmp_path / "p")
    call("sync", "-C", project)
    (project / "data" / "documents" / "rows.jsonl").write_text('{"id": "r", "body": "Water."}\n', encoding="utf-8")
    assert call("sync", "-C", project)[0] == 1


def test_examples_alone_make_a_project(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    ask_about(folder, *({"question": f"Say {n}?", "answer": str(n)} for n in range(40)))
    code, told, _ = call("init", tmp_path / "p", "--from", folder)
    assert (code, told["documents"], told["questions"]) == (0, 0, 40)
    assert "rag" not in told["arms"]
    project = fast(tmp_path / "p")
    assert call("check", "-C", project)[1]["errors"] == 0
    code, answer, remarks = call("ask", "Say 3?", "--arm", "rag", "-C", project)
    assert (code, answer["abstained"], answer["unsupported"]) == (0, True, "there are no documents to read")
    assert "synced first" not in remarks


@pytest.mark.parametrize("emptied", [False, True], ids=["none named", "a folder of sources that is empty"])
def test_an_arm_that_reads_is_not_measured_where_there_is_nothing_to_read(
    call: Call, tmp_path: Path, emptied: bool
) -> None:
    """It would decline every question: a verdict for any other arm that says nothing about retrieval."""
    folder = tmp_path / "f"
    folder.mkdir()
    ask_about(folder, *({"question": f"Say {n}?", "answer": str(n)} for n in range(40)))
    call("init", tmp_path / "p", "--from", folder)
    project = fast(tmp_path / "p")
    asked = ["-C", project, "--arms", "base,rag,oracle"]
    if emptied:
        (tmp_path / "more").mkdir()
        asked += ["--set", f'sources.more={{kind = "folder", options = {{paths = ["{tmp_path / "more"}"]}}}}']
    tried = [call("study", "--plan", *asked), call("study", "--yes", *asked)]
    for code, told, _ in tried[1:] if emptied else tried:  # what a source holds is known after a sync
        assert (code, told["error"]["code"]) == (2, "config")
        assert "no documents that rag and oracle could read" in told["error"]["message"]
        assert "`twofold study --arms base`" in told["error"]["cure"]
    assert not list((project / "studies").glob("*"))
    code, told, _ = call("check", "-C", project, "--set", 'study.arms=["base", "rag"]')
    assert code == 1
    assert any("no documents that rag could read" in problem["message"] for problem in told["problems"])


def test_an_id_that_only_looks_like_a_known_one_is_told(call: Call, tmp_path: Path) -> None:
    """macOS hands file names on with their accents as letters of their own; keyboards write them within the letter."""
    folder, shown = tmp_path / "f", "Café Möwe.md"
    (folder / "sub").mkdir(parents=True)
    apart = unicodedata.normalize("NFD", shown)
    (folder / "sub" / apart).write_text("# Café\n\nThe café opens at nine in the morning.\n", encoding="utf-8")
    ask_about(folder, *({"question": f"Say {n}?", "answer": str(n), "doc_ids": [f"sub/{shown}"]} for n in range(40)))
    code, told, _ = call("init", tmp_path / "p", "--from", folder)
    [problem] = [one for one in told["problems"] if one["code"] == "data.unknown-document"]
    assert f"{f'sub/{apart}'!r} looks the same, but its accents are coded in another way" in problem["cure"]
    project = fast(tmp_path / "p")
    code, told, _ = call("forget", f"sub/{shown}", "--yes", "-C", project)
    assert code == 2
    call("sync", "-C", project)
    code, told, _ = call("forget", f"sub/{shown}", "--yes", "-C", project)
    assert (code, "looks the same" in told["error"]["cure"]) == (2, True)
    assert call("forget", f"sub/{apart}", "--yes", "-C", project)[0] == 0


def test_tuning_to_read_documents_is_refused_where_there_are_none(
    call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "quiz"
    folder.mkdir()
    ask_about(folder, *({"question": f"What has code {n}?", "answers": [f"item {n}"]} for n in range(30)))
    assert call("init", tmp_path / "p", "--from", folder)[0] == 0
    capsys.readouterr()
    assert main(["tune", "-C", str(tmp_path / "p")]) == 2
    err = capsys.readouterr().err
    assert "no documents that the arm 'ft+rag' could learn to read" in err
    assert "--arm ft" in err


def test_init_says_what_it_found_and_what_to_try_and_it_works(
    handbook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_about(
        handbook,
        *({"question": f"What is word {n} of the list?", "answer": f"word{n}"} for n in range(40)),
    )
    monkeypatch.chdir(tmp_path)
    assert main(["init", "my project", "--from", "handbook"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("made my project: 5 files, 5 documents, 40 questions")
    assert "logo.bin: warning: of a kind that no reader knows" in "\n".join(lines)
    fast(tmp_path / "my project")
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("  twofold ")]
    assert [words[1] for words in commands] == ["index", "ask", "check", "advise", "study"]
    for words in commands:
        assert main(words[1:]) == 0, words


def test_wrong_doc_ids_are_one_error_that_names_the_right_one(call: Call, handbook: Path, tmp_path: Path) -> None:
    ask_about(
        handbook,
        *({"question": f"Q {n}?", "answer": "x", "doc_ids": ["docs/leave"]} for n in range(31)),
        {"question": "Good?", "answer": "x", "doc_ids": ["hr/leave.md"]},
    )
    _, told, _ = call("init", tmp_path / "p", "--from", handbook)
    assert [p["code"] for p in told["problems"]].count("data.unknown-document") == 1
    code, checked, _ = call("check", "-C", tmp_path / "p")
    [problem] = [p for p in checked["problems"] if p["code"] == "data.unknown-document"]
    assert (code, problem["file"], problem["line"]) == (1, "data/examples.jsonl", 1)
    assert "31 examples name documents that are not there: 'docs/leave'" in problem["message"]
    assert "Did you mean 'hr/leave.md'?" in problem["cure"]
    assert "`twofold index documents`" in problem["cure"]


def test_records_beside_plain_files_are_the_documents_and_the_rest_is_named(
    call: Call, handbook: Path, tmp_path: Path
) -> None:
    (handbook / "documents.jsonl").write_text('{"id": "d1", "text": "Water."}\n', encoding="utf-8")
    _, told, _ = call("init", tmp_path / "p", "--from", handbook)
    assert told["documents"] == 1
    assert ids(call, tmp_path / "p") == ["d1"]
    assert "5 other files are not read" in told["problems"][0]["message"]


def test_a_link_that_leads_out_of_the_folder_is_not_copied(call: Call, handbook: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("# Key\n\nxyzzy", encoding="utf-8")
    (handbook / "key.md").symlink_to(tmp_path / "secret.md")
    _, told, _ = call("init", tmp_path / "p", "--from", handbook)
    assert "leads out of the folder" in {p["file"]: p["message"] for p in told["problems"]}["key.md"]
    assert "key.md" not in ids(call, tmp_path / "p")
    assert not (tmp_path / "p" / "data" / "documents" / "key.md").exists()


def test_an_init_that_fails_leaves_nothing_behind(
    call: Call, handbook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(tmp_path.rglob("*"))
    copied: list[object] = []

    def full(source: Path, target: Path) -> None:
        copied.append(target)
        if len(copied) == 3:
            raise OSError(28, "No space left on device", str(target))
        Path(target).write_bytes(Path(source).read_bytes())

    with monkeypatch.context() as broken:
        broken.setattr(shutil, "copyfile", full)
        code, told, _ = call("init", tmp_path / "p", "--from", handbook)
    assert (code, "No space left" in told["error"]["message"]) == (2, True)
    (tmp_path / "empty").mkdir()
    assert call("init", tmp_path / "p", "--from", tmp_path / "empty")[0] == 2
    (tmp_path / "empty").rmdir()
    assert sorted(tmp_path.rglob("*")) == before
    assert call("init", tmp_path / "p", "--from", handbook)[0] == 0


@pytest.mark.parametrize("link", [False, True])
def test_a_folder_below_the_project_is_read(
    call: Call, handbook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, link: bool
) -> None:
    """`twofold init . --from docs`, typed where the folder lies."""
    monkeypatch.chdir(tmp_path)
    code, made, err = call("init", ".", "--from", handbook.name, *(["--link"] if link else []))
    assert (code, made["documents"]) == (0, 5), err
    assert ids(call, fast(tmp_path))[:2] == ["Licence fees 2031.md", "README.md"]
    assert (tmp_path / "data").exists() is not link


def test_a_project_is_made_in_the_folder_itself_or_below_it_without_reading_its_own_copies(
    call: Call, handbook: Path
) -> None:
    code, made, err = call("init", handbook / "below", "--from", handbook)
    assert (code, made["documents"]) == (0, 5), err
    shutil.rmtree(handbook / "below")
    code, made, err = call("init", handbook, "--from", handbook)
    assert (code, made["documents"]) == (0, 5), err
    found = ids(call, fast(handbook))
    assert len(found) == 5
    assert "hr/leave.md" in found


def test_init_keeps_out_of_data_that_is_there_already(call: Call, handbook: Path, tmp_path: Path) -> None:
    (tmp_path / "p" / "data").mkdir(parents=True)
    (tmp_path / "p" / "data" / "mine.txt").write_text("mine")
    code, told, _ = call("init", tmp_path / "p", "--from", handbook)
    assert (code, "already exists" in told["error"]["message"]) == (2, True)
    assert [path.name for path in (tmp_path / "p").rglob("*")] == ["data", "mine.txt"]
    code, told, _ = call("init", handbook / "inside", "--from", handbook, "--link")
    assert (code, "would be inside its own source folder" in told["error"]["message"]) == (2, True)
    assert not (handbook / "inside").exists()


def test_init_says_which_of_its_two_names_is_a_file(call: Call, handbook: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for target in ("notes.txt", "notes.txt/p"):
        code, told, _ = call("init", tmp_path / target, "--from", handbook)
        assert (code, "notes.txt is a file" in told["error"]["message"]) == (2, True)
        assert "does not exist yet" in told["error"]["cure"]
    ask_about(handbook, {"question": "Q?", "answer": "a"})
    code, told, _ = call("init", tmp_path / "p", "--from", handbook / "examples.jsonl")
    assert (code, "--from names a file" in told["error"]["message"]) == (2, True)
    assert f"--from {handbook}" in told["error"]["cure"]
    assert not (tmp_path / "p").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def state(project: Path) -> dict[str, bytes]:
    """Everything that a command could have changed, but for the lock and the index's own files."""
    kept = [p for p in project.rglob("*") if p.is_file() and p.name != "lock" and ".twofold" not in p.parts]
    return {str(p.relative_to(project)): p.read_bytes() for p in kept}


def test_a_command_that_fails_changes_nothing(call: Call, handbook: Path, tmp_path: Path) -> None:
    ask_about(handbook, *({"question": f"Q {n}?", "answer": f"a {n}"} for n in range(40)))
    call("init", tmp_path / "p", "--from", handbook)
    project, where = fast(tmp_path / "p"), ["-C", tmp_path / "p"]
    call("sync", *where)
    (tmp_path / "bad.jsonl").write_text('{"question": "New?", "answer": "x"}\n{"question": \n', encoding="utf-8")
    before, versions = state(project), call("index", "log", "--all", *where)[1]
    for words in (
        ["index", "restore", "99"],
        ["index", "restore", "nosuch"],
        ["forget", "nosuch.md", "--yes"],
        ["sync", "--source", "nosuch"],
        ["sync", "--source", "nosuch", "--rebuild"],
        ["models", "promote", "nosuch"],
        ["models", "rollback"],
        ["examples", "import", tmp_path / "bad.jsonl", "--into", "data/examples.jsonl"],
        ["study", "--yes", "--arms", "ragg"],
    ):
        code, told, _ = call(*words, *where)
        assert (code in {2, 3}, "error" in told) == (True, True), words
    assert state(project) == before
    assert call("index", "log", "--all", *where)[1] == versions
    (project / "data" / "documents" / "new.md").write_text("# Zebra\n\nThe zebra crossing is closed.", encoding="utf-8")
    call("sync", *where)
    _, answer, err = call("ask", *where, "Is the zebra crossing closed?")
    assert answer["hits"][0]["chunk"]["span"]["document"] == "new.md", "the failed restore pinned nothing"
    assert "restored" not in err


def test_a_failed_sync_leaves_a_restored_version_in_use(call: Call, handbook: Path, tmp_path: Path) -> None:
    call("init", tmp_path / "p", "--from", handbook)
    project, where = fast(tmp_path / "p"), ["-C", tmp_path / "p"]
    call("sync", *where)
    first = call("index", "log", *where)[1]["versions"][-1]["version"]
    (project / "data" / "documents" / "new.md").write_text("# Zebra\n\nThe zebra crossing is closed.", encoding="utf-8")
    call("sync", *where)
    assert call("index", "restore", str(first), *where)[0] == 0
    assert call("sync", "--source", "nosuch", *where)[0] == 2
    _, answer, _ = call("ask", *where, "Is the zebra crossing closed?")
    assert "new.md" not in {hit["chunk"]["span"]["document"] for hit in answer["hits"]}


def test_forget_asks_on_a_terminal_and_refuses_elsewhere(
    call: Call, handbook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    call("init", tmp_path / "p", "--from", handbook)
    project, where = fast(tmp_path / "p"), ["-C", str(tmp_path / "p")]
    call("sync", *where)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["forget", "README.md", *where]) == 2
    assert "Add --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    assert main(["forget", "README.md", *where]) == 0
    assert "[y/N]" in capsys.readouterr().err
    assert "README.md" in ids(call, project)
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert main(["forget", "README.md", *where]) == 0
    assert "README.md" not in ids(call, project)
    code, told, _ = call("forget", "leave.md", "--yes", *where)
    assert (code, "Did you mean 'hr/leave.md'?" in told["error"]["cure"]) == (2, True)


def test_examples_about_a_forgotten_document_are_not_taken_for_slips_of_the_pen(
    call: Call, handbook: Path, tmp_path: Path
) -> None:
    lines = [
        {"question": f"Question {n}?", "answer": f"answer {n}", "doc_ids": [("hr/leave.md", "README.md")[n % 2]]}
        for n in range(30)
    ]
    ask_about(handbook, *lines)
    call("init", tmp_path / "p", "--from", handbook)
    where = ["-C", fast(tmp_path / "p")]
    assert call("sync", *where)[0] == 0
    code, told, _ = call("forget", "hr/leave.md", "--yes", *where)
    assert (code, len(told["examples"])) == (0, 15), "half of the questions name it"
    code, told, _ = call("check", *where)
    (problem,) = [one for one in told["problems"] if one["severity"] == "error"]
    assert code == 1
    assert "'hr/leave.md' here" in problem["message"]
    assert "It was forgotten" in problem["cure"]
    code, told, _ = call("study", "--plan", *where)
    assert code == 2
    assert "It was forgotten" in told["error"]["cure"]
    assert "Did you mean" not in problem["cure"] + told["error"]["cure"]


def test_forget_says_when_it_cannot_read_the_examples(call: Call, handbook: Path, tmp_path: Path) -> None:
    ask_about(handbook, {"question": "How long?", "answer": "20 days", "doc_ids": ["hr/leave.md"]})
    call("init", tmp_path / "p", "--from", handbook)
    project = fast(tmp_path / "p")
    assert call("sync", "-C", project)[0] == 0
    (project / "data" / "examples.jsonl").write_text("{broken", encoding="utf-8")
    code, done, _ = call("forget", "hr/leave.md", "--yes", "-C", project)
    assert (code, done["examples"]) == (0, [])
    assert "examples.jsonl" in done["examples_unread"]


def test_forget_shows_that_it_names_only_some_of_the_examples(
    call: Call, handbook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"id": f"q{n}", "question": f"Question {n}?", "answer": str(n), "doc_ids": ["hr/leave.md"]} for n in range(4)
    ]
    ask_about(handbook, *lines)
    call("init", tmp_path / "p", "--from", handbook)
    project = fast(tmp_path / "p")
    call("sync", "-C", project)
    capsys.readouterr()
    assert main(["forget", "hr/leave.md", "--yes", "-C", str(project)]) == 0
    assert "4 examples about it (q0, q1, q2, …)\n" in capsys.readouterr().out


def test_import_into_a_project_says_when_the_file_is_not_read(call: Call, handbook: Path, tmp_path: Path) -> None:
    ask_about(handbook, {"question": "Q?", "answer": "a"})
    call("init", tmp_path / "p", "--from", handbook)
    (tmp_path / "new.csv").write_text("question,answer\nHow deep?,40 metres\n", encoding="utf-8")
    _, done, err = call(
        "examples", "import", tmp_path / "new.csv", "--into", tmp_path / "p/data/more.jsonl", "-C", tmp_path / "p"
    )
    assert (tmp_path / "p" / "data" / "more.jsonl").is_file()
    assert "is not among [examples].paths" in err
    _, done, err = call(
        "examples", "import", tmp_path / "new.csv", "--into", tmp_path / "p/data/examples.jsonl", "-C", tmp_path / "p"
    )
    assert (done["imported"], done["total"]) == (1, 2)
    assert "note:" not in err


def test_wrong_use_is_answered_with_what_to_type(call: Call, handbook: Path, tmp_path: Path) -> None:
    call("init", tmp_path / "p", "--from", handbook)
    where = ["-C", tmp_path / "p"]
    _, told, _ = call("ask", "how", "long", "must", *where)
    assert 'not in quotes: write twofold ask "how long must"' in told["error"]["message"]
    _, told, _ = call("check", "--set", "retrieval.kk=3", *where)
    assert "--set" in told["error"]["cure"]
    assert "in twofold.toml" not in told["error"]["cure"]
    endpoint = ["--set=generation.generator.name=openai", "--set=generation.generator.options.model=m"]
    endpoint += ["--set=generation.generator.options.base_url=http://127.0.0.1:9/v1"]
    endpoint += ["--set=generation.generator.options.retries=0"]
    _, _, err = call("ask", "Why?", "--arm", "base", *where, *endpoint)
    assert "http://127.0.0.1:9/v1" in err
    fast(tmp_path / "p")
    call("sync", *where)
    _, told, _ = call("index", "restore", "99", *where)
    assert "the index has no version 99" in told["error"]["message"]
    assert "`twofold index log --all`" in told["error"]["cure"]


@pytest.mark.parametrize("words", [["--what", "embedder"], ["--from", "champion", "--arm", "ft"]])
def test_tuning_of_any_kind_refuses_examples_with_faults(
    call: Call, handbook: Path, tmp_path: Path, words: list[str]
) -> None:
    """An answer that is none of its choices would be learned as right."""
    words_of = [" ".join(f"{chr(97 + n % 26)}{n}{letter}" for letter in "qrstuv") for n in range(40)]
    shared = {"answer": "b", "choices": ["a", "c"], "doc_ids": ["README.md"]}
    ask_about(handbook, *({"question": f"{text}?", **shared} for text in words_of))
    call("init", tmp_path / "p", "--from", handbook)
    fast(tmp_path / "p")
    code, told, _ = call("tune", *words, "-C", tmp_path / "p", "--set", "examples.split_by=question")
    assert code == 2
    assert "choices" in told["error"]["message"]


def test_init_groups_faults_by_file_and_kind_so_that_every_unreadable_file_is_named(
    call: Call, handbook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(json.dumps({"id": f"r{n}", "body" if n else "text": "no text"}) + "\n" for n in range(71))
    (handbook / "rows.jsonl").write_text(rows, encoding="utf-8")
    (handbook / "broken.docx").write_bytes(b"not a zip")
    assert main(["init", str(tmp_path / "p"), "--from", str(handbook)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "--link" in lines[0]
    shown = [one for one in lines if one.startswith("  ")]
    assert len([one for one in shown if "rows.jsonl" in one]) == 1
    assert any("rows.jsonl" in one and "[70 like this there]" in one for one in shown)
    [broken] = [one for one in shown if "broken.docx" in one]
    assert "warning" in broken, "as check calls it"
    assert any("logo.bin" in one for one in shown)
    _, checked, _ = call("check", "-C", tmp_path / "p")
    assert checked["errors"] >= 70, "a line that stands for twenty counts twenty"
    assert {p["severity"] for p in checked["problems"] if "broken.docx" in p["file"]} == {"warning"}


def test_a_file_of_questions_without_answers_is_told_from_documents(call: Call, handbook: Path, tmp_path: Path) -> None:
    rows = "".join(json.dumps({"question": f"Which room is number {n}?"}) + "\n" for n in range(5))
    (handbook / "faq.jsonl").write_text(rows, encoding="utf-8")
    _, told, _ = call("init", tmp_path / "p", "--from", handbook)
    [problem] = [one for one in told["problems"] if "look like examples" in one["message"]]
    assert problem["file"] == "faq.jsonl"
    assert "name the file examples.jsonl" in problem["cure"]
    assert "answers" in problem["message"]


def test_check_finds_an_option_that_no_plugin_has(call: Call, handbook: Path, tmp_path: Path) -> None:
    call("init", tmp_path / "p", "--from", handbook)
    wrong = "generation.generator.options.price_per_million_input=2"
    code, told, _ = call("check", "-C", tmp_path / "p", "--set", wrong)
    assert code == 1
    assert any("price_per_million_input" in one["message"] and one["severity"] == "error" for one in told["problems"])


def test_a_settings_file_that_is_not_toml_or_not_utf8_is_not_cured_by_a_key(
    call: Call, handbook: Path, tmp_path: Path
) -> None:
    call("init", tmp_path / "p", "--from", handbook)
    path = tmp_path / "p" / "twofold.toml"
    for text, word in ((b"[study\n", "line"), (b'[project]\nname = "\xff"\n', "UTF-8")):
        path.write_bytes(text)
        code, told, _ = call("check", "-C", tmp_path / "p")
        assert code in (2, 3)
        assert word in told["error"]["cure"]
        assert "key" not in told["error"]["cure"]


def test_command_line_paths_of_examples_start_from_the_current_directory(
    call: Call, handbook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("init", tmp_path / "p", "--from", handbook)
    (tmp_path / "new.csv").write_text("question,answer\nHow deep?,40 metres\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    call("examples", "import", "new.csv", "--into", "asked.jsonl", "-C", "p")
    assert (tmp_path / "asked.jsonl").is_file()
    code, told, _ = call("examples", "check", "asked.jsonl", "-C", "p")
    assert (code, told["examples"]) == (0, 1)


def test_ask_says_when_the_documents_are_gone_and_the_last_index_answers(
    call: Call, handbook: Path, tmp_path: Path
) -> None:
    call("init", tmp_path / "p", "--from", handbook)
    project, where = fast(tmp_path / "p"), ["-C", tmp_path / "p"]
    asked = ("ask", *where, "--arm", "rag", "What is the licence fee for 2031?")
    assert call(*asked)[1]["behind"] == ""
    (project / "data").rename(project / "elsewhere")
    code, answer, _ = call(*asked)
    assert (code, bool(answer["hits"])) == (0, True)
    assert "the source 'documents' cannot be read (" in answer["behind"]
    assert "the last sync's text of it is used" in answer["behind"]


def test_init_says_that_the_default_models_do_not_read_the_documents_language(call: Call, tmp_path: Path) -> None:
    german = "Die Mülltonne wird am Dienstag geleert. Wer sie bis dahin nicht an die Straße stellt, wartet länger."
    english = "The bin is emptied on Tuesday, and who has not put it on the street by 6:45 waits for two weeks."
    for name, texts in (("de", (german, german, english)), ("en", (german, english, english))):
        (tmp_path / name).mkdir()
        for number, text in enumerate(texts):
            (tmp_path / name / f"{number}.md").write_text(f"{text} {number}\n", encoding="utf-8")
    (problem,) = call("init", tmp_path / "a", "--from", tmp_path / "de")[1]["problems"]
    assert problem["code"] == "data.language"
    assert problem["message"].startswith("2 of 3 documents are not in English")
    assert call("init", tmp_path / "b", "--from", tmp_path / "en")[1]["problems"] == []


def test_init_tells_that_nothing_holds_readers_off(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "plants"
    folder.mkdir()
    record = {"id": "north", "text": "The fee at the north plant is 21 euros a year.", "readers": ["group:north"]}
    (folder / "docs.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    code, created, _ = call("init", tmp_path / "p", "--from", folder)
    assert (code, [problem["code"] for problem in created["problems"]]) == (0, ["data.readers-unused"])


def test_a_rollback_names_the_outcome_of_a_study_that_chose_nothing(call: Call, handbook: Path, tmp_path: Path) -> None:
    call("init", tmp_path / "p", "--from", handbook)
    for name, outcome in (("0001-p", "undecided"), ("0002-p", "none acceptable")):
        (tmp_path / "p" / "studies" / name).mkdir(parents=True)
        record = {"verdict": {"arm": "", "outcome": outcome}}
        (tmp_path / "p" / "studies" / name / "study.json").write_text(json.dumps(record), encoding="utf-8")
    words = [sys.executable, "-m", "twofold", "rollback", "-C", str(tmp_path / "p")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "study 0001-p decides what answers: an arm by default, as its verdict is undecided\n"
