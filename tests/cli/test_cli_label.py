"""`twofold label` in a real terminal and over a pipe, on the labels that the pages store."""

from __future__ import annotations

import io
import json
import shutil
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pseudo_terminal import CTRL_C, terminal
from twofold.cli.main import main
from twofold.labelling.items import items
from twofold.labelling.labels import LABELS, BlindLabel, LabelLog
from twofold.reports import archive

ASKED = "1-4 store   a-f why   s u n p q ?"
"""The last line of an item: what is typed before it is dropped."""
Labelling = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "p"))


@pytest.fixture
def labelling(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Labelling:
    """Sends keys over a pipe; returns exit code, output and errors."""

    def run(keys: str, *words: str, by: str = "ann") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(keys))
        capsys.readouterr()
        code = main(["label", "-C", str(project), "--by", by, *words])
        return code, *capsys.readouterr()

    return run


def stored(project: Path) -> list[BlindLabel]:
    return LabelLog(project / LABELS).all()


def test_a_person_labels_with_single_keys_and_goes_on_where_they_stopped(project: Path) -> None:
    words = ("label", "-C", str(project), "--by", "ann")
    with terminal(*words, columns=80) as screen:
        shown = screen.until(ASKED)
        assert max(map(len, shown.splitlines())) <= 80
        assert not {"base", "rag"} & set(shown.replace("\r\n", " ").split()), "nobody is told whose answers these are"
        screen.type("\x1b[Aax")
        screen.until("x is no key here")
        screen.type("n")
        screen.until("note: ")
        screen.type("says too muX\x7fch\r2")
        screen.until("stored: Answer 2 is better, says something false")
        screen.until(ASKED)
        screen.type("3")
        screen.until("stored: Both")
        screen.until(ASKED)
        screen.type("u")
        screen.until("undone")
        screen.until(ASKED)
        screen.type("p")
        screen.until("On parking")
        screen.type(CTRL_C)
        assert screen.ended() == 130
    (label,) = stored(project)
    assert (label.choice, label.reasons, label.note, label.by) == ("second", ("false",), "says too much", "ann")
    with terminal(*words, "--kind", "mark", columns=80) as screen:
        screen.until("s u n p q ?")
        screen.type("1")
        screen.until("stored: Right")
        screen.until("s u n p q ?")
        # A key that is held down comes again and again, and labels nothing more.
        for _ in range(8):
            screen.type("1")
        screen.type("?")
        screen.until("Letters before it say why")
        screen.process.send_signal(signal.SIGKILL)
        screen.process.wait()
    assert [label.kind for label in stored(project)] == ["pair", "mark"]


def test_a_script_sends_keys_and_reads_records_without_arms(labelling: Labelling, project: Path) -> None:
    code, out, _ = labelling("ab1\ns\n n two words \n4\nu\nq1", "--json")
    assert code == 0
    records = [json.loads(line) for line in out.splitlines()]
    assert all("rag" not in line and '"base"' not in line for line in out.splitlines())
    first, label, second, third, noted, fourth, undone, again, end = records
    assert (first["labelled"], first["choices"]["4"]) == (0, "neither")
    assert (label["choice"], label["reasons"], label["item"]) == ("first", ["false", "incomplete"], first["item"])
    assert noted["item"] == third["item"] == again["item"] == undone_item(undone, third)
    assert len({first["item"], second["item"], third["item"], fourth["item"]}) == 4
    assert (end["people"], end["unknown"]) == (["ann"], "only ann has labelled")
    assert [(one.choice, one.reasons) for one in stored(project)] == [("first", ("false", "incomplete"))]
    notes = [json.loads(line).get("note") for line in (project / LABELS).read_text(encoding="utf-8").splitlines()]
    assert notes == ["", "two words", None]


def undone_item(undone: dict[str, str], item: dict[str, str]) -> str:
    assert undone["undone"].startswith("label_")
    return item["item"]


def test_all_is_labelled_and_the_end_says_how_far_people_agree(labelling: Labelling) -> None:
    code, out, _ = labelling("1" * 40, "--kind", "mark")
    assert code == 0
    assert "ann labelled 22 of 22, 22 of them now\n" in out
    assert "people with each other: unknown, for only ann has labelled" in out
    assert "twofold label --kind mark --by NAME" in out
    assert labelling("", "--kind", "mark")[1].startswith("ann labelled 22 of 22, 0 of them now")
    _, out, _ = labelling("12" * 6, "--kind", "mark", "--count", "12", by="ben")
    assert "ben labelled 12 of 22, 12 of them now; 10 are left" in out
    assert "(ann, ben): the same label in .500" in out
    assert "Cohen's κ .000" in out
    code, out, err = labelling("", "--kind", "mark", "--show-agreement", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["beyond_chance"]["statistic"] == "Cohen's κ"


def test_two_people_label_at_once_and_no_line_is_lost(project: Path) -> None:
    directory = project / "studies" / archive.names(project / "studies")[-1]
    record, rows = archive.read_record(directory), archive.read_answers(directory)

    def work(by: str) -> None:
        log = LabelLog(project / LABELS)
        for item in items(record, rows, "mark", secret=log.secret()):
            about = (item.study, item.row["id"])
            log.add("mark", item.shown(by), "right", by=by, question=item.row["question"], about=about)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["ann", "ben"]))
    assert len(stored(project)) == 44


def test_words_of_others_drive_no_terminal(labelling: Labelling, project: Path) -> None:
    path = project / "studies" / archive.names(project / "studies")[-1]
    record, rows = archive.read_record(path), archive.read_answers(path)
    for row in rows:
        row["question"] += "\x1b]0;taken\x07\u202e"
        row["arms"]["rag"]["text"] += "\x1b[2J"
    shutil.rmtree(path)
    archive.write_record(path, record, rows)
    code, out, _ = labelling("1q")
    assert code == 0
    assert not {"\x1b", "\x07", "\u202e"} & set(out)


@pytest.mark.parametrize(
    ("words", "by", "code", "message", "cure"),
    [
        (["--kind", "poem"], "ann", 2, "--kind 'poem' is unknown", "pair, mark"),
        (["--study", "99"], "ann", 3, "there is no study '99'", "Name one of the studies"),
        ([], " ", 2, "--by ' ' is no name", "--by NAME"),
        ([], "a" * 61, 2, "is no name", "60 characters"),
        (["--count", "0"], "ann", 2, "'--count'", "twofold label --help"),
        (["--kind", "mark"], "ann", 2, "line 2 of the input: there is no key '4'", "Send 1 to 3"),
    ],
)
def test_what_cannot_be_labelled_is_named(
    labelling: Labelling, words: list[str], by: str, *, code: int, message: str, cure: str
) -> None:
    ended, _, err = labelling("1\n4\n", *words, by=by)
    assert ended == code
    assert message in err
    assert cure in err


def test_without_a_study_or_without_pairs_it_says_what_to_do(labelling: Labelling, project: Path) -> None:
    path = project / "studies" / archive.names(project / "studies")[-1]
    record, rows = archive.read_record(path), archive.read_answers(path)
    shutil.rmtree(path)
    code, _, err = labelling("1")
    assert (code, "there is no study yet" in err, "Run `twofold study`" in err) == (3, True, True)
    for row in rows:
        row["arms"]["base"]["text"] = row["arms"]["rag"]["text"]
    archive.write_record(path, record, rows)
    code, _, err = labelling("1")
    assert code == 2
    assert "no question of study" in err
    assert "--kind mark" in err


def test_a_full_disk_stops_a_script_and_says_so(labelling: Labelling, monkeypatch: pytest.MonkeyPatch) -> None:
    from twofold.files import writing

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "append", full)
    code, _, err = labelling("1")
    assert code == 3
    assert "No space left" in err
