"""Conditions on metadata where people give them: with a question, in the configuration, in a program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from small_project import write_project
from twofold.answering.system import question
from twofold.cli.main import main
from twofold.errors import BadFilter, ConfigError
from twofold.project import Project
from twofold.types import Filter, Query

STUDY = """
[study]
arms = ["base", "rag"]
diagnostics = []
latency_sample = 0
resamples = 400
"""
CSV = """id,name,price,added,Weight in kg
1,Kettle,29.50,2031-04-02,1.2
2,Lamp,7,2031-04-03T09:30:00+02:00,0.4
3,Chair,on request,2030-12-31,
4,Rug,"1.234,50",2031-05-01,12
"""
MARKDOWN = '---\ntags: [red, "blue, dark"]\nyears:\n  - 2030\n  - 2031\ndraft: true\n---\nThe pump shines.\n'
TOML = '+++\ntags = ["green", "red"]\n+++\nThe hose shines.\n'


@pytest.fixture
def made(tmp_path: Path) -> Path:
    directory = write_project(
        tmp_path / "p", [{"id": f"d{n}", "text": f"Pipe {n} shines.", "kind": "pipe", "n": n} for n in range(120)],
        [("d1", "What shines?", "Pipe 1")], copies=15, settings=STUDY,
    )  # fmt: skip
    for name, text in (("p.csv", CSV), ("pump.md", MARKDOWN), ("hose.md", TOML)):
        (directory / "data" / "more").mkdir(exist_ok=True)
        (directory / "data" / "more" / name).write_text(text, encoding="utf-8")
    place = directory / "twofold.toml"
    paths = 'paths = ["data/documents.jsonl", "data/more"]'
    place.write_text(
        place.read_text(encoding="utf-8").replace('paths = ["data/documents.jsonl"]', paths), encoding="utf-8"
    )
    return directory


def found(opened: Project, *where: str, k: int = 3) -> list[str]:
    opened.sync()
    answer, _ = opened.where(*where).ask("What shines, has a price, an id and a name?", arm="rag")
    assert len(answer.hits) <= k
    return sorted(hit.chunk.span.document.removeprefix("data/more/") for hit in answer.hits)


@pytest.mark.parametrize(
    ("where", "documents"),
    [
        (["price < 30"], ["p.csv#1", "p.csv#2"]),
        (["price > 1000"], ["p.csv#4"]),
        (["price >= 7", "price < 29.5"], ["p.csv#2"]),
        (["price = 'on request'"], ["p.csv#3"]),
        (["added >= 2031-04-03", "added < 2031-05-01"], ["p.csv#2"]),
        (["added <= 2031-04-03T07:30Z", "Weight in kg exists"], ["p.csv#1", "p.csv#2"]),
        (["name in Lamp, Rug"], ["p.csv#2", "p.csv#4"]),
        (["name exists", "Weight in kg missing"], ["p.csv#3"]),
        (["tags contains red"], ["hose.md", "pump.md"]),
        (["tags = 'blue, dark'"], ["pump.md"]),
        (["tags contains red, green"], ["hose.md"]),
        (["tags exists", "tags != green"], ["pump.md"]),
        (["years > 2030"], ["pump.md"]),
        (["draft = true"], ["pump.md"]),
        (["n >= 117"], ["d117", "d118", "d119"]),
        (["n = 5"], ["d5"]),
    ],
)
def test_every_format_s_fields_are_filtered_by_what_they_are(
    made: Path, where: list[str], documents: list[str]
) -> None:
    with Project.open(made) as opened:
        assert found(opened, *where) == documents


@pytest.mark.parametrize(
    ("where", "documents"),
    [
        ({"tags": ("blue",)}, ["a", "b"]),
        ({"tags": ("red",)}, ["a"]),
        ({"tags": ("red", "dark blue")}, ["a", "c"]),
        ({"tags": ("green",)}, []),
        ({"years": (2031,)}, ["b", "c"]),
        ({"years": ("2031",)}, ["b", "c"]),
        ({"tags": ("blue",), "years": (2031,)}, ["b"]),
        ({"open": (True,)}, ["c"]),
        ({"single": ("x",)}, ["d"]),
    ],
)
@pytest.mark.parametrize("held", [True, False], ids=["in memory", "on disk"])
def test_one_of_a_list_s_members_is_enough(
    tmp_path: Path, where: dict[str, tuple[str, ...]], documents: list[str], *, held: bool
) -> None:
    records = [
        {"id": "a", "text": "first note on pumps", "tags": ["red", "blue"], "years": [2030]},
        {"id": "b", "text": "second note on pumps", "tags": ["blue"], "years": [2030, 2031]},
        {"id": "c", "text": "third note on pumps", "tags": ["dark blue"], "years": [2031], "open": [False, True]},
        {"id": "d", "text": "fourth note on pumps", "tags": [], "single": "x"},
    ]
    directory = write_project(tmp_path / "p", records, [("a", "Which pumps?", "pumps")], copies=15, settings=STUDY)
    index = {"name": "lancedb", "options": {"flat_limit": 1000 if held else 0}}
    with Project.open(directory, {"retrieval": {"index": index}}) as opened:
        opened.sync()
        asked = Query(text="pumps", question="pumps", filter=Filter(where=where))
        hits = opened.workspace.search.retriever.retrieve([asked], 5)[0].hits
        assert sorted(hit.chunk.span.document for hit in hits) == documents


def test_k_passages_come_however_few_documents_a_filter_leaves(made: Path) -> None:
    with Project.open(made, {"retrieval": {"k": 8}}) as opened:
        assert len(found(opened, "n > 100", "kind = pipe", k=8)) == 8
        assert len(found(opened, "n > 114", k=8)) == 5


def test_a_field_that_no_document_has_is_refused_with_the_names_there_are(made: Path) -> None:
    with Project.open(made) as opened:
        with pytest.raises(BadFilter, match="'prize'") as caught:
            found(opened, "prize < 30")
        assert "Did you mean 'price'" in caught.value.cure
        assert "Weight in kg" in caught.value.cure
        with pytest.raises(BadFilter, match="'Price'") as caught:
            found(opened, "Price < 30")
        assert "'price'" in caught.value.cure
        with pytest.raises(BadFilter, match="no value of 'name' is a number, for example 'Kettle'"):
            found(opened, "name < 30")
        with pytest.raises(BadFilter, match="no value of 'added' is a number") as caught:
            found(opened, "added > 5")
        assert "2031-04-02" in caught.value.cure


def test_values_of_another_kind_in_a_column_are_told(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "What is the price?", "--arm", "rag", "--where", "price < 30", "-C", str(made)]) == 0
    assert "1 of 4 values of 'price' is no number" in capsys.readouterr().err
    assert main(["ask", "What is?", "--arm", "rag", "--where", "name=lamp", "-C", str(made), "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["passed_over"] == ["name = \"lamp\": no document has that; did you mean 'Lamp'"]
    assert out["abstained"]


@pytest.mark.parametrize(
    ("words", "told"), [("prize < 3", "prize"), ("price <", "no value"), ("price", "not a condition")]
)
def test_the_command_line_ends_with_2_and_a_cure(
    made: Path, capsys: pytest.CaptureFixture[str], words: str, told: str
) -> None:
    assert main(["ask", "What is the price?", "--arm", "rag", "--where", words, "-C", str(made)]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert "help: " in err


def test_an_arm_without_documents_has_nothing_to_filter(made: Path) -> None:
    with Project.open(made) as opened, pytest.raises(ConfigError, match="reads no documents"):
        opened.where("price < 30").ask("What?", arm="base")


def test_the_configuration_s_conditions_hold_of_every_question_and_study(made: Path) -> None:
    narrow = {"retrieval": {"where": ["n < 2"]}}
    with Project.open(made) as opened:
        opened.sync()
        wide = opened.workspace.search.spec()
    with Project.open(made, narrow) as opened:
        assert found(opened) == ["d0", "d1"]
        assert found(opened, "n > 0") == ["d1"], "a question adds conditions and takes none away"
        assert opened.workspace.search.spec() != wide, "another filter is another system"
        system = opened.workspace.systems.equipped(opened.config.arm("rag"), opened.splits, adapter=None)
        for which in (None, Filter(), Filter(where=["n >= 0"]), Filter(where={"kind": ("pipe",)})):
            (answer,) = system.answer([question("What shines?")], filter=which)
            assert {hit.chunk.span.document for hit in answer.hits} == {"d0", "d1"}, which
        system.close()
    with pytest.raises(ConfigError, match="where"):
        Project.open(made, {"retrieval": {"where": ["n <"]}})
    with Project.open(made, {"retrieval": {"where": ["nn < 2"]}}) as opened:
        assert [one.cure for one in opened.check() if one.code == "config.filter"] == [
            "Did you mean 'n'? Fields: Weight in kg, added, draft, id, kind, n, name, price, tags, years."
        ]
        with pytest.raises(BadFilter, match="'nn'"):
            opened.study()
    with Project.open(made, {"retrieval": {"where": ["price < 9"]}}) as opened:
        assert any("on request" in one.message for one in opened.check() if one.code == "config.filter")


def test_names_and_values_of_documents_that_the_asker_may_not_read_are_not_told(tmp_path: Path) -> None:
    records = [
        {"id": "open", "text": "The canteen opens.", "readers": "everyone", "price": 3, "room": "A"},
        {"id": "shut", "text": "The salary is paid.", "readers": ["group:hr"], "salary": 9021, "price": "secret"},
    ]
    made = write_project(
        tmp_path / "p", records, [("open", "What opens?", "canteen")], copies=15,
        settings=STUDY + "[access]\nenabled = true\n",
    )  # fmt: skip
    with Project.open(made) as opened:
        opened.sync()
        answer, told = opened.where("price < 5").ask("What is paid?", arm="rag", user="ann")
        assert [hit.chunk.span.document for hit in answer.hits] == ["open"]
        assert told["passed_over"] == [], "the other's value is not told"
        with pytest.raises(BadFilter, match="salary") as caught:
            opened.where("salary > 0").ask("What is paid?", arm="rag", user="ann")
        assert caught.value.cure.startswith("Fields: price, room.")
        answer, told = opened.where("salary > 0").ask("What is paid?", arm="rag", user="bob", groups=["hr"])
        assert [hit.chunk.span.document for hit in answer.hits] == ["shut"]
        answer, told = opened.where("price < 5").ask("What is paid?", arm="rag", user="bob", groups=["hr"])
        assert "secret" in told["passed_over"][0]
        answer, _ = opened.where("room missing").ask("What is paid?", arm="rag", user="ann")
        assert not answer.hits, "a condition opens nothing"
