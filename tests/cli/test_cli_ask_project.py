"""`twofold ask` on a real project: terminal, history, sources, reasons, and another process that writes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest

from forked import Nursery
from small_project import write_documents, write_project
from twofold.asking import read_history
from twofold.cli.main import main
from twofold.errors import BadRecord, IndexEmpty, UnknownName, UnreadableFile
from twofold.project import Project

STUDY = """
[study]
arms = ["base", "rag"]
diagnostics = []
latency_sample = 0
resamples = 400
"""
PARKING, CANTEEN = "Parking costs 4 euros a day. It is free on Sunday.", "The canteen opens at seven."


def documents(**texts: str) -> list[dict[str, str]]:
    return [{"id": name, "title": f"On {name}", "text": text} for name, text in texts.items()]


def write(directory: Path, **texts: str) -> None:
    write_documents(directory, documents(**texts))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    asked = [("parking", "What does parking cost?", "4 euros"), ("canteen", "When does the canteen open?", "seven")]
    known = documents(parking=PARKING, canteen=CANTEEN)
    return write_project(tmp_path / "p", known, asked, copies=15, settings=STUDY)


def said(capsys: pytest.CaptureFixture[str], made: Path, *words: str) -> tuple[str, str]:
    capsys.readouterr()
    assert main(["ask", *words, "-C", str(made)]) == 0
    out, err = capsys.readouterr()
    return out, err


FIXED = "--set=generation.generator.options.mode=fixed"


def fixed(words: str) -> tuple[str, str]:
    return FIXED, f"--set=generation.generator.options.fixed={json.dumps(words)}"


# ---------------------------------------------------------------- what is shown


def test_the_reason_follows_the_studies(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    question = "What does parking cost?"
    out, _ = said(capsys, made, question)
    assert out.startswith("Parking costs 4 euros a day. [1]\n\n[1] On parking (parking)\n    quote: “Parking costs")
    assert "read, not cited:\n    [2] On canteen (canteen)" in out
    assert out.endswith("answered by rag: no study has been run yet; it is used because it reads your documents\n")
    out, _ = said(capsys, made, question, "--arm", "base", *fixed("4 euros"))
    assert out == (
        "4 euros\n(no passage of yours supports this answer: the arm base reads none)\n\n"
        "answered by base: it was named; no study has measured it\n"
    )
    out, _ = said(capsys, made, question, "--arm", "base", *fixed("I don't know."))
    assert """\n(it declined, in the words "I don't know."; the arm base reads no documents)\n""" in out
    with Project.open(made) as project:
        verdict = project.study()["verdict"]
    assert (verdict["outcome"], verdict["arm"]) == ("choose", "rag")
    assert said(capsys, made, question)[0].endswith("answered by rag: it is the verdict of study 1\n")
    other = said(capsys, made, question, "--set=generation.max_tokens=5")[0]
    assert other.startswith("Parking costs 4 euros … (cut at 5 tokens: raise [generation].max_tokens) [1]\n")
    assert other.endswith("it is the verdict of study 1; study 1 did not measure it with these settings\n")
    write(made, parking=PARKING.replace("4", "5"), canteen=CANTEEN)
    out, err = said(capsys, made, question)
    assert "4 euros" in out
    assert "note: 1 file changed since the last sync" in err
    with Project.open(made) as project:
        project.sync()
    out, err = said(capsys, made, question)
    assert "5 euros" in out
    assert "note" not in err
    assert out.endswith("answered by rag: it is the verdict of study 1; documents changed since study 1\n")


def test_an_undecided_study_says_so(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Project.open(made, {"study": {"margin": 0.99}}) as project:
        project.study()
    record = next((made / "studies").glob("*/study.json"))
    told = json.loads(record.read_text(encoding="utf-8"))
    told["verdict"] |= {"outcome": "undecided", "arm": ""}
    record.write_text(json.dumps(told), encoding="utf-8")
    out, _ = said(capsys, made, "What does parking cost?")
    assert out.endswith("answered by rag: study 1 is undecided; it is used because it reads your documents\n")


def test_an_uncited_answer_gets_the_passage_that_holds_it_or_says_that_none_does(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = said(capsys, made, "What does parking cost?", *fixed("4 euros a day"))
    assert out.startswith(
        "4 euros a day\n\n[1] On parking (parking): found by Twofold, the answer cites nothing\n"
        "    quote: “4 euros a day”\n\nread, not cited:\n"
    )
    capsys.readouterr()
    assert main(["ask", "What does parking cost?", *fixed("4 euros a day"), "-C", str(made), "--json", "-q"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["citations"] == []
    assert (told["attached"]["number"], told["attached"]["text"]) == (1, "4 euros a day")
    out, _ = said(capsys, made, "What does parking cost?", *fixed("9 euros a day"))
    assert out.startswith(
        "9 euros a day\n(no source: none of the passages read holds most words and all numbers of this answer; "
        "check it)\n\nread, not cited:\n"
    )
    elsewhere = "How many dogs live behind the bicycle shed?", "--set=prompt.about=0.5"
    out, _ = said(capsys, made, *elsewhere, *fixed("[1] 4 euros a day"))
    assert out.startswith(
        "4 euros a day\n(no source: passage [2] holds the words of this answer, but too few of the question's; "
        "check it)\n\nread, not cited:\n"
    )
    out, _ = said(capsys, made, "What does parking cost?", *fixed("Passages:\n[1] 4 euros a day"))
    assert "\n\n[1] On parking (parking): found by Twofold, the answer cites nothing\n" in out, "copied with its number"
    out, _ = said(capsys, made, "Is parking free?", *fixed("yes"))
    assert out.startswith("yes\n(no passage is cited for this answer)\n")


def test_the_place_of_the_quoted_words_is_named_not_that_of_the_passage_s_beginning(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mail = EmailMessage()
    mail["Subject"] = "Doctor's notes"
    mail.set_content("See the rules attached.")
    mail.add_attachment("A note is due on the fourth day of absence.", filename="rules.txt")
    (made / "data" / "notes.eml").write_bytes(mail.as_bytes())
    paths = '--set=documents.paths=["data/notes.eml"]', "--set=documents.chunker.name=whole"
    question = "On which day of absence is a note due?"
    out, _ = said(capsys, made, question, *paths, *fixed("[1] A note is due on the fourth day"))
    assert "[1] Doctor's notes (data/notes.eml), attachment rules.txt\n    quote: “A note is due" in out
    out, _ = said(capsys, made, question, *paths, *fixed("nothing"))
    assert "read, not cited:\n    [1] Doctor's notes (data/notes.eml), message: “" in out


# ---------------------------------------------------------------- terminal


def test_no_document_drives_the_terminal(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(made, parking="Parking \x1b[8mcosts\x1b]0;x\x07 4 euros.", canteen="\x1b[2J" + CANTEEN)
    out, _ = said(capsys, made, "What does parking cost?")
    assert "costs" in out
    assert not set(out) & {"\x1b", "\x07"}


def test_on_a_terminal_the_words_come_as_they_are_written_and_the_sources_after_them(made: Path) -> None:
    with Project.open(made) as project:
        project.sync()
    ours, theirs = pty.openpty()
    words = ["ask", "What does parking cost?", "-C", str(made), "--set=generation.generator.options.word_seconds=0.1"]
    child = subprocess.Popen(
        [sys.executable, "-m", "twofold", *words], stdout=theirs, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    os.close(theirs)
    reads: list[bytes] = []
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        reads.append(piece)
    os.close(ours)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert len(reads) > 4, reads
    assert reads[0].startswith(b"Parking"), "the marker is not shown before it is checked"
    whole = b"".join(reads).decode().replace("\r\n", "\n")
    assert whole.startswith("Parking costs 4 euros a day. [1]\n\n[1] On parking (parking)\n    quote: “Parking costs")
    assert whole.endswith("it is used because it reads your documents\n")


# ---------------------------------------------------------------- history


def test_a_follow_up_is_searched_with_what_was_said_before(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = [
        {"role": "user", "content": "What does parking cost?"},
        {"role": "assistant", "content": "4 euros a day"},
    ]
    lines, whole = tmp_path / "h.jsonl", tmp_path / "h.json"
    lines.write_text("\n".join(map(json.dumps, turns)) + "\n", encoding="utf-8")
    whole.write_text(json.dumps(turns, indent=1), encoding="utf-8")
    assert read_history(lines) == read_history(whole)
    first = ["ask", "And on Sunday, is it free?", "--set=retrieval.k=1", "-C", str(made), "--json", "-q"]
    assert main([*first, "--history", str(lines)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["hits"][0]["chunk"]["span"]["document"] == "parking"
    with Project.open(made) as project:
        follow, _ = project.ask("And then?", arm="base", history=read_history(lines))
        alone, _ = project.ask("And then?", arm="base")
    assert follow.usage.prompt_tokens > alone.usage.prompt_tokens


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_a_history_is_read_as_chats_write_it(tmp_path: Path, end: str, encoding: str) -> None:
    """Letters of any script, with line ends in a text that are none of JSON Lines."""
    said = ("Wie lange?\u2028Und wo?", "Neun\x85Stunden, 中文 🚢", "And\x0bthen?", "Später")
    turns = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
    path = tmp_path / "h.jsonl"
    rows = [json.dumps(turn, ensure_ascii=False) for turn in turns]
    path.write_bytes(end.join(rows).encode(encoding))
    assert tuple(turn.content for turn in read_history(path)) == said
    path.write_bytes(json.dumps(turns, ensure_ascii=False, indent=2).replace("\n", end).encode(encoding))
    assert tuple(turn.content for turn in read_history(path)) == said


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('{"role": "user", "content": "a"}', 1, "without an answer"),
        (
            '{"role": "user", "content": "a"}\n{"role": "bot", "content": "b"}',
            2,
            "turn 2 .* role 'bot'; roles are",
        ),
        ('{"role": "user"}', 1, "turn 1 .* has no 'content'"),
        ('{"rôle": "user", "content": "a"}', 1, "has no 'role' .its keys: 'rôle', 'content'"),
        ('{"role": "user", "content": ["a"]}', 1, "turn 1 .* has a list as its content"),
        ('{"role": "user", "content": " "}', 1, "turn 1 .* has an empty content"),
        ('\n{"role": "user", "content": "a"}\n{"role": "system", "content": "b"}', 3, "only the first turn"),
        ("{", 1, "not JSON"),
        ('["a"]', None, "turn 1 .* is a text, not an object"),
        ("7", 1, "turn 1 .* is a number, not an object"),
        ("", None, "contains no turn"),
        ("\n \n", None, "contains no turn"),
        ("[]", None, "contains no turn"),
        ("[" * 100_000, 1, "not JSON"),
        ('{"role": "user", "content": "a \\ud83d b"}', 1, "half of a surrogate pair"),
        ('{"role": "user", "role": "assistant", "content": "a"}', 1, "'role' stands twice"),
        ("[{'role': 'user', 'content': 'a'}]", 1, "not JSON"),
    ],
)
def test_a_malformed_history_is_refused_with_its_line(tmp_path: Path, text: str, line: int | None, said: str) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadRecord, match=said) as caught:
        read_history(path)
    assert caught.value.line == line
    with pytest.raises(UnreadableFile) as missing:
        read_history(tmp_path / "none.jsonl")
    assert "Name a plain file" in missing.value.cure


# ---------------------------------------------------------------- another process writes

HOLDER = """
import sys
from pathlib import Path
from twofold.project import Project
with Project.open(Path(sys.argv[1])) as project, project.writing():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def written_to(made: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the writer's lock, as a study does for its whole length."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(made)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    try:
        yield child
    finally:
        child.communicate("", timeout=30)


def files(made: Path) -> dict[str, int]:
    shared = ("-wal", "-shm")
    held = [p for p in (made / ".twofold").rglob("*") if p.is_file() and not p.name.endswith(shared)]
    return {str(path): path.stat().st_mtime_ns for path in held}


def test_while_a_study_writes_ask_answers_from_the_last_index_and_writes_nothing(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Project.open(made) as project:
        project.sync()
    write(made, parking=PARKING.replace("4", "5"), canteen=CANTEEN)
    with written_to(made):
        before = files(made)
        out, err = said(capsys, made, "What does parking cost?")
        assert out.startswith("Parking costs 4 euros a day. [1]\n")
        assert "note: 1 file changed since the last sync" in err
        assert files(made) == before


def test_the_first_question_syncs_and_is_refused_while_another_process_writes(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Project.open(made) as project, pytest.raises(IndexEmpty, match="none is indexed yet"):
        project.ask("What does parking cost?", arm="rag")
    with written_to(made) as child:
        assert main(["ask", "What does parking cost?", "--arm", "rag", "-C", str(made)]) != 0
        assert f"process {child.pid} is writing" in capsys.readouterr().err
        out, _ = said(capsys, made, "What does parking cost?", "--arm", "base", *fixed("4 euros"))
        assert out.startswith("4 euros")
    out, err = said(capsys, made, "What does parking cost?", "--arm", "rag")
    assert "no document is indexed yet" in err
    assert out.startswith("Parking costs 4 euros")


def test_an_adapter_that_is_not_made_is_not_trained(tmp_path: Path, demo_questions: Callable[[int], Path]) -> None:
    Project.create(tmp_path / "p", demo_questions(80)).close()
    settings = {"generation": {"generator": {"name": "echo"}}, "retrieval": {"embedder": {"name": "hashing"}}}
    with Project.open(tmp_path / "p", settings) as project:
        project.sync()
        for arm, other in (("ft", "base"), ("ft+rag", "rag")):
            with pytest.raises(UnknownName, match=f"no model is tuned for the arm {re.escape(arm)}") as caught:
                project.ask("What is mulch?", arm=arm)
            assert caught.value.cure.endswith(f"--arm {other}.")


def test_a_question_takes_no_lock(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, made, "What does parking cost?", "--arm", "base", *fixed("4 euros"))
    assert out.startswith("4 euros")
    assert not (made / ".twofold").exists(), "an arm that reads nothing leaves nothing"
    with Project.open(made) as project:
        project.sync()
    (made / ".twofold" / "lock").unlink()
    said(capsys, made, "What does parking cost?", "--arm", "rag")
    assert not (made / ".twofold" / "lock").exists()


def test_a_system_that_is_kept_answers_many_questions(made: Path) -> None:
    from twofold.answering.system import question

    with Project.open(made) as project:
        project.sync()
        system = project.open_system(arm="rag")
        with written_to(made):
            answers = system.answer([question("What does parking cost?"), question("When does the canteen open?")])
        system.close()
    assert [answer.text for answer in answers] == ["Parking costs 4 euros a day.", "The canteen opens at seven."]


def test_two_questions_at_once_are_both_answered(made: Path, nursery: Nursery) -> None:
    with Project.open(made) as project:
        project.sync()
    slow = "--set=generation.generator.options.stall_seconds=0.5"
    both = [nursery.command("ask", "What does parking cost?", "-C", str(made), "-q", slow) for _ in range(2)]
    for child in both:
        out, err = child.communicate()
        assert child.wait() == 0, err
        assert "4 euros" in out
