from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_sets import folder, whole_sets
from twofold.corpus.loading import load_documents
from twofold.errors import BadRecord, DataError, TooFewExamples, UnreadableFile
from twofold.examples.checking import check
from twofold.examples.loading import example_digest, load_examples
from twofold.settings.sections import DocumentsSection
from twofold.types import Document, Example, Message, Problem, Span


def write(path: Path, *rows: Any) -> None:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def load(tmp_path: Path, *rows: Any, strict: bool = True) -> list[Example]:
    write(tmp_path / "examples.jsonl", *rows)
    return load_examples(["examples.jsonl"], tmp_path, strict=strict)[0]


def test_all_fields(tmp_path: Path) -> None:
    (example,) = load(
        tmp_path,
        {
            "id": 7, "question": " When? ", "answers": ["1999", 1999, " in 1999 ", ""], "doc_ids": ["a"],
            "spans": [["b", 3, 9], {"document": "a", "start": 0, "end": 1}], "answerable": True,
            "choices": ["1999", "2000"], "group": "g", "origin": "log", "at": "2024-05-01", "split": "validation",
            "colour": {"ignored": True},
        },
    )  # fmt: skip
    assert example == Example(
        id="7",
        messages=(Message(role="user", content="When?"),),
        references=("1999", "in 1999"),
        sources=("a", "b"),
        spans=(Span(document="b", start=3, end=9), Span(document="a", start=0, end=1)),
        choices=("1999", "2000"),
        group="g",
        origin="log",
        at="2024-05-01",
        split="dev",
        file="examples.jsonl",
        line=1,
    )


def test_other_spellings(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    made = load(
        tmp_path,
        {"input": "x", "output": {"b": 1, "a": [2]}},
        {"input": "x2", "outputs": ["one", "two"], "output": "two"},
        {"messages": turns, "reference": "r", "sources": "only"},
        {"question": "q", "answer": True, "date": "2024-05"},
        {"question": "never", "answers": [], "answerable": False},
        {"question": "pick", "answers": ["B"], "choices": {"A": "one", "B": "two"}},
        {"question": "pick all", "answers": ["A,B"], "choices": {"A": "one", "B": "two"}},
    )
    assert made[0].references == ('{"a":[2],"b":1}',)
    assert made[0].id == "examples.jsonl#1"
    assert made[1].references == ("one", "two")
    assert [m.role for m in made[2].messages] == ["user", "assistant", "user"]
    assert made[2].sources == ("only",)
    assert made[3].references == ("true",)
    assert (made[4].references, made[4].answerable) == ((), False)
    assert made[5].choices == ("A", "B")
    assert made[5].question == "pick\nA: one\nB: two"
    assert made[6].choices == (), "several letters are no single choice"


def test_csv_and_json(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(
        'id,question,answers,doc_ids,answerable\n1,q,"[""a"",""b""]",d,\n2,r,,"[""d"",""e""]",false\n'
    )
    (tmp_path / "e.json").write_text('{"examples": [{"question": "s", "answer": "t"}]}')
    made, problems = load_examples(["e.csv", "e.json"], tmp_path)
    assert problems == []
    assert [(e.references, e.sources, e.answerable) for e in made] == [
        (("a", "b"), ("d",), True),
        ((), ("d", "e"), False),
        (("t",), (), True),
    ]


def test_fields_are_known_whatever_the_case_of_their_letters(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("ID,Question, Answer ,Doc_IDs,Note\n7,q,a,d.md,Question\n")
    (tmp_path / "e.jsonl").write_text('{"Question": "other", "question": "this", "Answers": ["b"]}\n')
    made, problems = load_examples(["e.csv", "e.jsonl"], tmp_path)
    assert problems == []
    assert [(e.question, e.references, e.sources) for e in made] == [("q", ("a",), ("d.md",)), ("this", ("b",), ())]
    assert made[0].id == "7"


@pytest.mark.parametrize("cell", ["NaN", "nan", "<NA>", "#N/A"])
def test_what_programs_write_for_a_missing_cell_is_no_answer(tmp_path: Path, cell: str) -> None:
    (tmp_path / "e.csv").write_text(f"id,question,answers,group\n1,q,{cell},{cell}\n2,r,3,{cell}\n")
    made, problems = load_examples(["e.csv"], tmp_path)
    assert [(e.id, e.references, e.group) for e in made] == [("2", ("3",), "")]
    assert [(p.severity, p.file, p.line) for p in problems] == [("warning", "e.csv", 2)]


@pytest.mark.parametrize("word", ["NA", "N/A", "null", "None"])
def test_what_may_be_a_word_stays_an_answer_and_is_warned_of(tmp_path: Path, word: str) -> None:
    (tmp_path / "e.csv").write_text(f"id,question,answers\n1,q,{word}\n2,r,three\n")
    made, problems = load_examples(["e.csv"], tmp_path)
    assert [e.references for e in made] == [(word,), ("three",)]
    assert problems == []
    found = [p for p in check([], made) if p.code == "data.placeholder"]
    assert [(p.severity, p.file, p.line) for p in found] == [("warning", "e.csv", 2)]
    assert repr(word) in found[0].message


BAD = [
    ("{broken", "not valid JSON"),
    ({"answers": ["x"]}, "no question"),
    ({"question": 5, "answers": ["x"]}, '"question" must be a string'),
    ({"question": "  ", "answers": ["x"]}, '"question" is empty'),
    ({"question": "q", "answer": None}, '"answer" is null'),
    ('{"question": "q", "answers": NaN}', '"answers" is null'),
    ('{"question": "q", "answers": [1e999]}', "infinite"),
    ('{"question": "q", "answers": "x", "answers": "y"}', "'answers' stands twice"),
    ({"instruction": "translate", "input": "q", "output": "x"}, "Alpaca's shape"),
    ({"question": "q"}, "no answer"),
    ({"question": "q", "answers": [], "answerable": True}, "no answer"),
    ({"question": "q", "answers": ["x"], "answerable": "maybe"}, '"answerable"'),
    ({"question": "q", "answers": ["x"], "doc_ids": [{}]}, '"doc_ids"'),
    ({"question": "q", "answers": ["x"], "spans": [["d", 5, 5]]}, "span 1 is empty"),
    ({"question": "q", "answers": ["x"], "spans": [["d", "0", 5]]}, "span 1 must be"),
    ({"question": "q", "answers": ["x"], "spans": "d"}, '"spans" must be a list'),
    ({"question": "q", "answers": ["x"], "choices": 4}, '"choices"'),
    ({"question": "q", "answers": ["x"], "origin": "robot"}, '"origin"'),
    ({"question": "q", "answers": ["x"], "at": "yesterday"}, "no ISO date"),
    ({"question": "q", "answers": ["x"], "split": "middle"}, '"split"'),
    ({"question": "q", "answers": ["x"], "id": ["a"]}, '"id"'),
    ({"question": "\ud800", "answers": ["x"]}, "surrogate"),
    ({"messages": [], "answers": ["x"]}, '"messages" is empty'),
    ({"input": "", "answers": ["x"]}, '"input" is empty'),
    ({"messages": "hello", "answers": ["x"]}, '"messages" must be a list'),
    ({"messages": [{"role": "robot", "content": "x"}], "answers": ["x"]}, "message 1"),
    ({"messages": [{"role": "assistant", "content": "x"}], "answers": ["x"]}, "no user has spoken"),
    (
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "answers": ["x"]},
        "last message",
    ),
    ({"messages": [{"role": "user", "content": " "}], "answers": ["x"]}, "message 1 (user) is empty"),
    ({"messages": [{"role": "system", "content": "Be short."}], "answers": ["x"]}, "last message"),
    (
        {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}], "answers": ["x"]},
        "messages 1 and 2 are both the user's",
    ),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}], "answers": ["x"]}, "not image_url"),
    ({"messages": [{"role": "tool", "content": "12"}], "answers": ["x"]}, "a call of a tool"),
    (
        {"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "x"}], "answers": ["x"]},
        "message 2",
    ),
]


@pytest.mark.parametrize(("row", "told"), BAD)
def test_each_fault_is_named_with_its_line(tmp_path: Path, row: Any, told: str) -> None:
    write(tmp_path / "examples.jsonl", {"question": "fine", "answers": ["x"]}, row)
    made, problems = load_examples(["examples.jsonl"], tmp_path, strict=False)
    assert len(made) == 1
    (problem,) = problems
    assert told in problem.message
    assert (problem.severity, problem.file, problem.line) == ("error", "examples.jsonl", 2)
    assert problem.cure
    with pytest.raises(BadRecord, match=r"examples.jsonl:2: "):
        load_examples(["examples.jsonl"], tmp_path)


def test_all_faults_at_once_and_ids_used_twice(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", *[row for row, _ in BAD], {"id": "x", "question": "q", "answers": ["a"]})
    write(tmp_path / "b.jsonl", {"id": "x", "question": "r", "answers": ["a"]})
    made, problems = load_examples(["a.jsonl", "b.jsonl", "c.jsonl"], tmp_path, strict=False)
    assert len(made) == 1
    assert len(problems) == len(BAD) + 2
    assert f"first at a.jsonl:{len(BAD) + 1}" in problems[-1].message
    assert (problems[-1].file, problems[-1].line) == ("b.jsonl", 1)


def test_what_is_there_but_empty_is_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "e.jsonl", *[{"question": f"q{i}", "answers": ["x"] if i % 2 else []} for i in range(20)])
    made, (problem,) = load_examples(["e.jsonl"], tmp_path)
    assert len(made) == 10
    assert (problem.severity, problem.code, problem.line) == ("warning", "data.empty-answer", 1)
    assert "10 examples" in problem.message


def test_files_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(TooFewExamples, match=r"no examples yet: no file at none\.jsonl"):
        load_examples(["none.jsonl"], tmp_path)
    (tmp_path / "e.jsonl").write_bytes(b'{"question": "\xff"}')
    with pytest.raises(UnreadableFile, match="byte 14"):
        load_examples(["e.jsonl"], tmp_path)
    (tmp_path / "f.jsonl").write_text("")
    with pytest.raises(TooFewExamples, match="no usable example"):
        load_examples(["f.jsonl"], tmp_path)
    (tmp_path / "examples.txt").write_text("x")
    with pytest.raises(UnreadableFile, match="are read from"):
        load_examples(["examples.txt"], tmp_path)
    write(tmp_path / "examples.jsonl", {"question": "q", "answers": ["x"]})
    made, problems = load_examples(["examples*"], tmp_path)
    assert len(made) == 1
    assert [(p.severity, p.file) for p in problems] == [("warning", "examples.txt")]


def test_digest_is_of_what_decides_answer_and_score() -> None:
    e = Example(id="1", messages=(Message(role="user", content="q"),), references=("a",), sources=("d",))
    same = replace(e, id="2", group="g", split="test", file="f", line=9, at="2024-01-01", origin="log")
    assert example_digest(e) == example_digest(same)
    others = [
        replace(e, messages=(Message(role="user", content="r"),)),
        replace(e, references=("b",)),
        replace(e, sources=()),
        replace(e, spans=(Span(document="d", start=0, end=1),)),
        replace(e, answerable=False),
        replace(e, choices=("a",)),
    ]
    assert len({example_digest(o) for o in (e, *others)}) == 7


SETS = {
    "advising_sql": 2852, "agvaluate": 107, "banking77": 9992, "chunking_eval": 283, "clapnq": 300,
    "clinc150": 10696, "covidqa": 679, "dstc11": 1166, "e2e_nlg": 547, "medquad": 2165, "mtrag": 403,
    "mts_dialog": 1296, "poisonedrag": 100, "pubmedqa": 500, "qmsum": 272, "seedbench": 771, "snips_json": 4600,
    "truthfulqa": 395, "xquad": 711,
}  # fmt: skip


SAMPLES = {
    "agxqa": 339, "samples/advising_sql": 40, "samples/banking77": 80, "samples/desk": 16, "samples/mtrag": 24,
    "samples/mts_dialog": 40, "samples/pubmedqa": 30, "samples/snips_json": 40, "samples/truthfulqa": 20,
}  # fmt: skip


@pytest.mark.parametrize(("name", "count"), [*SAMPLES.items(), *whole_sets(*SETS.items())])
def test_every_real_set_loads_and_checks_without_an_error(name: str, count: int) -> None:
    place = folder(name)
    examples, problems = load_examples(["examples*"], place)
    documents: list[Document] = []
    if list(place.glob("documents*")):
        documents, found = load_documents(DocumentsSection(paths=("documents*",)), place)
        problems += found
    problems += check(documents, examples)
    assert len(examples) == count
    assert [p for p in problems if p.severity == "error"] == []
    assert all(e.references or not e.answerable for e in examples)


def test_a_set_without_answers_says_so(tmp_path: Path) -> None:
    row = {
        "id": "pi-1",
        "system_prompt": "Keep the word blue.",
        "user_input": "Which word?",
        "success_question": "Blue?",
    }
    write(tmp_path / "examples.jsonl", row)
    with pytest.raises(DataError, match="no question: none of question, messages, input") as caught:
        load_examples(["examples*"], tmp_path)
    assert caught.value.line == 1
    assert "answers (or output)" in caught.value.cure


def test_check_says_how_many_references_are_longer_than_an_answer_may_be() -> None:
    def ask(number: int, *references: str) -> Example:
        asked = Message(role="user", content=f"Leaflet {number}?")
        return Example(id=str(number), messages=(asked,), references=references)

    examples = [ask(0, "word " * 400), ask(1, "word " * 500), ask(2, "word " * 500, "short"), ask(3, "short"), ask(4)]

    def said(max_tokens: int) -> list[Problem]:
        return [p for p in check([], examples, max_tokens=max_tokens) if p.code == "data.long-answer"]

    (problem,) = said(256)
    assert problem.message.startswith("2 of 4 reference answers are longer than [generation].max_tokens = 256")
    assert "about 625 tokens ('1')" in problem.message
    assert said(int(re.findall(r"max_tokens to (\d+)", problem.cure)[0])) == []
    assert len(said(600)) == 1
    assert said(0) == []


def test_check_finds_what_does_not_fit() -> None:
    def ask(name: str, text: str, *references: str, **fields: Any) -> Example:
        message = Message(role="user", content=text)
        return Example(id=name, messages=(message,), references=references, file="e.jsonl", line=int(name), **fields)

    documents = [Document(id="d", text="The pump is blue."), Document(id="e", text="x")]
    examples = [
        ask("1", "Colour?", "blue", sources=("d", "nowhere")),
        ask("2", "Where?", "here", sources=("d",), spans=(Span(document="d", start=5, end=99),)),
        ask("3", "What?", "hose", sources=("d",), spans=(Span(document="d", start=4, end=8),)),
        ask("4", "What then?", "The pump", sources=("d",), spans=(Span(document="d", start=4, end=8),)),
        ask("5", "Yes or no?", "maybe", choices=("yes", "no")),
        ask("6", "Same?", "a"),
        ask("7", "same", "b"),
        ask("8", "Same!", "A."),
        ask("9", "Summary?", "a", sources=("d",)),
        ask("10", "Summary?", "b", sources=("e",)),
        ask("11", "Tell all.", "word " * 1000),
    ]
    found = {(p.line, p.severity, p.code) for p in check(documents, examples, max_tokens=1000)}
    assert found == {
        (1, "error", "data.unknown-document"),
        (2, "error", "data.bad-span"),
        (2, "warning", "data.span-answer"),
        (3, "warning", "data.span-answer"),
        (5, "error", "data.choices"),
        (7, "warning", "data.contradiction"),
        (8, "warning", "data.repeated-question"),
        (10, "warning", "data.ambiguous-question"),
        (11, "warning", "data.long-answer"),
        (1, "warning", "data.few-examples"),
    }
    asked = [ask(str(n), "Summary?", f"a{n}", sources=(f"d{n}",)) for n in range(1, 31)]
    asked_of = [Document(id=f"d{n}", text="x") for n in range(1, 31)]
    (many,) = [p for p in check(asked_of, asked) if p.code == "data.ambiguous-question"]
    assert many.message.endswith("first at e.jsonl:1: 'Summary?' (and 28 more examples)"), "one line for one finding"
    assert [p.code for p in check([], [examples[0]])] == ["data.no-documents", "data.few-examples"]
    assert check([], []) == []
