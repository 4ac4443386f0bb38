"""Readers from records and rules, who asks, and what a project refuses, through the façade and the command line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from small_project import SETTINGS, write_project
from twofold.answering import access
from twofold.cli.main import main
from twofold.errors import AccessDenied, BadRecord, ConfigError
from twofold.plugins import loading
from twofold.project import Project
from twofold.settings.sections import AccessRule
from twofold.types import Chunk, Document, Example, Filter, Message, Span

HR, PUBLIC, UNKNOWN = "The salary of the director is 90210.", "The canteen opens at seven.", "The merger is on Friday."
STUDY = """
[study]
arms = ["base", "rag"]
diagnostics = ["oracle"]
latency_sample = 0
"""
ON = """
[access]
enabled = true
"""


def project(directory: Path, access: str = ON) -> Path:
    documents = [
        {"id": "hr/pay", "text": HR, "readers": ["group:hr"]},
        {"id": "canteen", "text": PUBLIC, "readers": "everyone"},
        {"id": "board/merger", "text": UNKNOWN},
    ]
    asked = [("hr/pay", "What is the salary of the director?", "90210"), ("canteen", "When does it open?", "seven")]
    return write_project(directory, documents, asked, copies=12, settings=STUDY + access)


def shown(directory: Path, question: str, **who: object) -> set[str]:
    with Project.open(directory) as opened:
        opened.sync()
        answer, _ = opened.ask(question, arm="rag", **who)  # type: ignore[arg-type]
    return {hit.chunk.span.document for hit in answer.hits}


def test_each_sees_what_they_may_read(tmp_path: Path) -> None:
    made = project(tmp_path / "p")
    question = "What is the salary of the director after the merger, and when does the canteen open?"
    assert shown(made, question, user="ann") == {"canteen"}
    assert shown(made, question, user="ann", groups=["hr"]) == {"canteen", "hr/pay"}
    with pytest.raises(AccessDenied, match="names no user or group"):
        shown(made, question)


def test_a_source_that_is_gone_is_not_named_to_who_asks(tmp_path: Path) -> None:
    source = '\n[sources.merger]\nkind = "folder"\npaths = ["board-room"]\nreaders = ["group:board"]\n'
    made = project(tmp_path / "p", ON + source)
    (made / "board-room").mkdir()
    (made / "board-room" / "plan.md").write_text(UNKNOWN)
    with Project.open(made) as opened:
        opened.sync()
        (made / "board-room" / "plan.md").unlink()
        (made / "board-room").rmdir()
        _, told = opened.ask("When does the canteen open?", arm="rag", user="bob")
    assert told["behind"] == "a source cannot be read: the last sync's text of it is used"


def test_a_first_question_does_not_tell_of_documents_that_are_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = Project.sync
    monkeypatch.setattr(Project, "sync", lambda *a, **k: {**synced(*a, **k), "warnings": ["(such as hr/pay)"]})
    made = project(tmp_path / "p", ON + '\n[sources.merger]\nkind = "folder"\npaths = ["board-room"]\n')
    (made / "board-room").mkdir()
    (made / "board-room" / "plan.md").write_text(UNKNOWN)
    asked = ["ask", "When does the canteen open?", "--arm", "rag", "--user", "bob", "-C", str(made)]
    assert main(asked) == 0
    shown = "".join(capsys.readouterr())
    assert "hr/pay" not in shown
    assert "merger" not in shown


def test_a_rule_gives_readers_to_documents_that_name_none_and_changing_it_needs_no_rebuild(tmp_path: Path) -> None:
    made = project(tmp_path / "p")
    assert shown(made, "merger on Friday", user="bob", groups=["board"]) == {"canteen"}
    rule = '[[access.rules]]\ndocuments = "*"\nreaders = ["group:board"]\n'
    (made / "twofold.toml").write_text(SETTINGS + STUDY + ON + rule, encoding="utf-8")
    assert shown(made, "merger on Friday", user="bob", groups=["board"]) == {"canteen", "board/merger"}
    (made / "twofold.toml").write_text(SETTINGS + STUDY + ON + rule.replace("board", "cfo"), encoding="utf-8")
    assert shown(made, "merger on Friday", user="bob", groups=["board"]) == {"canteen"}


def test_naming_who_asks_is_refused_where_nothing_would_follow(tmp_path: Path) -> None:
    made = project(tmp_path / "p", access="")
    with pytest.raises(ConfigError, match="access control is disabled"):
        shown(made, "merger", user="ann")
    assert len(shown(made, "merger salary canteen")) == 3


def test_a_study_runs_as_somebody_and_leaks_nothing(tmp_path: Path) -> None:
    made = project(tmp_path / "p")
    with Project.open(made) as opened, pytest.raises(AccessDenied, match="studies and tuning"):
        opened.study()
    (made / "twofold.toml").write_text(SETTINGS + STUDY + ON + 'study_groups = ["staff"]\n', encoding="utf-8")
    with Project.open(made) as opened:
        record = opened.study()
        keys = {name: arm["key"] for name, arm in record["arms"].items()}
        assert record["arms"]["rag"]["description"]["principal"] == ["everyone", "group:staff", "staff"]
    for path in (made / "studies").rglob("answers.jsonl.gz"):
        for row in map(json.loads, gzip.decompress(path.read_bytes()).splitlines()):
            for name, arm in row["arms"].items():
                assert all(hit["document"] == "canteen" for hit in arm["hits"]), name
                assert "90210" not in json.dumps(arm["text"])
    (made / "twofold.toml").write_text(SETTINGS + STUDY + ON + 'study_groups = ["hr"]\n', encoding="utf-8")
    with Project.open(made) as opened:
        other = {name: arm["key"] for name, arm in opened.study()["arms"].items()}
    assert not set(keys.values()) & set(other.values()), "an answer is never reused for another principal"


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = project(tmp_path / "p")
    ask = ["ask", "What is the salary of the director?", "--arm", "rag", "-C", str(made), "--json", "-q"]
    assert main(ask) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "access"
    assert main([*ask, "--user", "ann"]) == 0
    assert "90210" not in capsys.readouterr().out
    assert main([*ask, "--user", "ann", "--group", "hr"]) == 0
    assert "90210" in capsys.readouterr().out
    main(["check", "-C", str(made), "--json", "-q"])
    assert "data.nobody-may-read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["ann", " group:hr "], ("ann", "group:hr")),
        ("ann, group:hr", ("ann", "group:hr")),
        ('["ann"]', ("ann",)),
        ([], ()),
        (None, None),
        ("", None),
    ],
)
def test_records_say_who_may_read_them(given: object, wanted: tuple[str, ...] | None) -> None:
    row = json.dumps({"id": "d", "text": "x", "readers": given}).encode()
    document = next(loading.make("readers", "jsonl", {}).read(Path("d.jsonl"), row))
    assert document.readers == wanted
    assert "readers" not in document.metadata


@pytest.mark.parametrize("given", [7, {"ann": 1}, [7], [""], "[1"])
def test_readers_that_are_no_names_are_a_bad_record(given: object) -> None:
    row = json.dumps({"id": "d", "text": "x", "readers": given}).encode()
    with pytest.raises(BadRecord, match="readers"):
        list(loading.make("readers", "jsonl", {}).read(Path("d.jsonl"), row))


@pytest.mark.parametrize(("user", "groups"), [("", ()), (" ", ()), ("group:hr", ()), ("everyone", ()), ("ann", ("",))])
def test_a_name_cannot_pose_as_another_kind_of_name(user: str, groups: tuple[str, ...]) -> None:
    with pytest.raises(AccessDenied):
        access.principal(user, groups)


def test_rules_are_tried_in_order_and_a_document_s_own_readers_count_more() -> None:
    rules = [AccessRule(documents="hr/*", readers=("hr",)), AccessRule(documents="*", readers=("staff",))]
    assert access.ruled(Document(id="hr/a", text="x"), rules).readers == ("hr",)
    assert access.ruled(Document(id="b", text="x", source="hr/b.pdf"), rules).readers == ("hr",)
    assert access.ruled(Document(id="b", text="x"), rules).readers == ("staff",)
    assert access.ruled(Document(id="hr/a", text="x", readers=()), rules).readers == ()


def test_an_example_is_read_by_who_may_read_all_its_documents() -> None:
    def chunk(name: str, *readers: str) -> Chunk:
        return Chunk(id=name, span=Span(document=name, start=0, end=1), text="x", readers=readers)

    def example(*sources: str) -> Example:
        return Example(id="e", messages=(Message(role="user", content="?"),), references=("x",), sources=sources)

    ann = Filter(principal=("ann",))
    assert access.readable(example("a"), [chunk("a", "ann")], ann)
    assert not access.readable(example("a", "b"), [chunk("a", "ann"), chunk("b", "bob")], ann)
    assert not access.readable(example("a", "gone"), [chunk("a", "ann")], ann)
    assert not access.readable(example(), [], ann)
    assert access.readable(example(), [], Filter())
