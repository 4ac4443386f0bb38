"""Common shapes become the project's own, with where each record came from."""

from __future__ import annotations

import io
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from twofold.cli.main import main
from twofold.curation.files import import_file
from twofold.errors import BadRecord, ConfigError, DataError
from twofold.examples.checking import check
from twofold.examples.loading import load_examples
from twofold.files.parquet import rows_of

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "messages": (
        "messages",
        {"messages": [{"role": "user", "content": "How deep?"}, {"role": "assistant", "content": "12 m"}]},
    ),
    "sharegpt": (
        "sharegpt",
        {"conversations": [{"from": "human", "value": "How deep?"}, {"from": "gpt", "value": "12 m"}]},
    ),
    "alpaca": ("alpaca", {"instruction": "How deep?", "input": "", "output": "12 m"}),
    "prompt": ("prompt-completion", {"prompt": "How deep?", "completion": " 12 m"}),
    "qa": ("question-answer", {"question": "How deep?", "answer": "12 m", "id": "q1"}),
    "squad": ("question-answer", {"question": "How deep?", "answers": {"text": ["12 m"], "answer_start": [4]}}),
}


ASKED = {"role": "user", "content": "How deep?"}
SAID = {"role": "assistant", "content": "12 m"}
SYSTEM = {"role": "system", "content": "Be short."}
CONVERSATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "TRL prompt-completion": ("prompt-completion", {"prompt": [SYSTEM, ASKED], "completion": [SAID]}),
    "TRL prompt-completion in cells": (
        "prompt-completion",
        {"prompt": json.dumps([SYSTEM, ASKED]), "completion": json.dumps([SAID])},
    ),
    "text after turns": ("prompt-completion", {"prompt": [SYSTEM, ASKED], "completion": " 12 m"}),
    "one turn that is no list": ("prompt-completion", {"prompt": [SYSTEM, ASKED], "completion": SAID}),
    "TRL preference": ("preference", {"prompt": [SYSTEM, ASKED], "chosen": [SAID], "rejected": [ASKED]}),
    "TRL preference, implicit prompt": ("preference", {"chosen": [SYSTEM, ASKED, SAID], "rejected": [SYSTEM, ASKED]}),
    "preference that repeats its prompt": ("preference", {"prompt": [SYSTEM, ASKED], "chosen": [SYSTEM, ASKED, SAID]}),
    "preference as text": ("preference", {"system": "Be short.", "prompt": "How deep?", "chosen": "12 m"}),
    "preference of turns and one": (
        "preference",
        {"conversations": [SYSTEM, ASKED], "chosen": {"from": "gpt", "value": "12 m"}, "rejected": SAID},
    ),
    "preference of an instruction": (
        "preference",
        {"system": "Be short.", "instruction": "How deep?", "input": "", "chosen": "12 m", "rejected": "x"},
    ),
    "Anthropic": ("messages", {"system": "Be short.", "messages": [ASKED, SAID]}),
    "OpenAI parts": (
        "messages",
        {"messages": [SYSTEM, {"role": "user", "content": [{"type": "text", "text": "How deep?"}]}, SAID]},
    ),
    "OpenAI developer": ("messages", {"messages": [{"role": "developer", "content": "Be short."}, ASKED, SAID]}),
    "ShareGPT with a system column": (
        "sharegpt",
        {
            "system": "Be short.",
            "conversations": [{"from": "human", "value": "How deep?"}, {"from": "gpt", "value": "12 m"}],
        },
    ),
    "Alpaca with a system column": ("alpaca", {"system": "Be short.", "instruction": "How deep?", "output": "12 m"}),
    "OpenOrca": ("question-answer", {"system_prompt": "Be short.", "question": "How deep?", "response": "12 m"}),
    "OpenAI preference": (
        "preference",
        {
            "input": {"messages": [SYSTEM, ASKED], "tools": []},
            "preferred_output": [SAID],
            "non_preferred_output": [{**SAID, "content": "deep"}],
        },
    ),
    "Cohere": (
        "messages",
        {
            "messages": [
                {"role": "System", "content": "Be short."},
                {"role": "User", "content": "How deep?"},
                {"role": "Chatbot", "content": "12 m"},
            ]
        },
    ),
    "OpenAI with a weight for each answer": (
        "messages",
        {"messages": [SYSTEM, ASKED, {**SAID, "weight": 1, "tool_calls": None, "refusal": None}]},
    ),
    "messages in the field input": ("question-answer", {"input": [SYSTEM, ASKED], "output": "12 m"}),
    "reasoning before the answer": (
        "messages",
        {"messages": [SYSTEM, ASKED, {**SAID, "content": "<think>\nA well. 11? 12.\n</think>\n\n12 m"}]},
    ),
    "columns of other shapes that are null": (
        "question-answer",
        {"messages": None, "prompt": None, "system_prompt": "Be short.", "question": "How deep?", "answer": "12 m"},
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_keeps_its_turns_and_the_answer_is_the_text_of_the_last(tmp_path: Path, name: str) -> None:
    shape, row = CONVERSATIONS[name]
    done = import_file(write(tmp_path / "given.jsonl", row), tmp_path / "examples.jsonl")
    assert done["shapes"] == {shape: 1}
    (example,), problems = load_examples(["examples.jsonl"], tmp_path)
    turns = [(message.role, message.content) for message in example.messages]
    assert (turns, problems) == ([("system", "Be short."), ("user", "How deep?")], [])
    assert example.references == ("12 m",)


def test_messages_in_the_field_input_are_read_as_they_stand(tmp_path: Path) -> None:
    write(tmp_path / "examples.jsonl", {"input": [SYSTEM, ASKED], "output": "12 m"})
    (example,), _ = load_examples(["examples.jsonl"], tmp_path)
    assert [message.content for message in example.messages] == ["Be short.", "How deep?"]


def test_a_number_among_the_choices_is_an_answer(tmp_path: Path) -> None:
    row = {"question": "How many?", "choices": ["1", "2"], "answer": 2}
    import_file(write(tmp_path / "given.jsonl", row), tmp_path / "examples.jsonl")
    (example,), _ = load_examples(["examples.jsonl"], tmp_path)
    assert example.references == ("2",)


def test_turns_before_the_question_are_the_history(tmp_path: Path) -> None:
    rows = [
        {"instruction": "And now?", "output": "13 m", "history": [["How deep?", "12 m"]]},
        {"prompt": [ASKED, SAID, {"role": "user", "content": "And now?"}], "completion": [{**SAID, "content": "13 m"}]},
        {"prompt": [ASKED], "completion": [SAID, {"role": "user", "content": "And now?"}, {**SAID, "content": "13 m"}]},
    ]
    import_file(write(tmp_path / "given.jsonl", *rows), tmp_path / "examples.jsonl")
    made, _ = load_examples(["examples.jsonl"], tmp_path)
    for example in made:
        assert [message.content for message in example.messages] == ["How deep?", "12 m", "And now?"]
        assert example.references == ("13 m",)


VALUES: dict[str, tuple[str, tuple[str, ...]]] = {
    "an object": (
        '{"input": "q", "output": {"text": "pay", "due": null, "n": 1.50}}',
        ('{"due":null,"n":1.5,"text":"pay"}',),
    ),
    "a list is one answer": ('{"input": "q", "output": [1, [2], "x"]}', ('[1,[2],"x"]',)),
    "an empty list": ('{"input": "q", "output": []}', ("[]",)),
    "an empty object": ('{"input": "q", "output": {}}', ("{}",)),
    "an object with SQuAD's text alone": ('{"question": "q", "answers": {"text": ["a"]}}', ('{"text":["a"]}',)),
    "SQuAD": ('{"question": "q", "answers": {"text": ["a", "b"], "answer_start": [1, 2]}}', ("a", "b")),
    "SQuAD as its script has it": ('{"question": "q", "answers": [{"text": "a", "answer_start": 1}]}', ("a",)),
    "a list of objects is one answer": ('{"question": "q", "answer": [{"a": 1}, {"a": 2}]}', ('[{"a":1},{"a":2}]',)),
    "a matrix is one answer": ('{"question": "q", "answer": [[1, 2], [3, 4]]}', ("[[1,2],[3,4]]",)),
    "objects as several answers": ('{"question": "q", "answers": [{"a": 1}, {"a": 2}]}', ('{"a":1}', '{"a":2}')),
    "words as several answers": ('{"question": "q", "answer": ["a", "b"]}', ("a", "b")),
    "a list within answers": ('{"question": "q", "answers": [["a", "b"]]}', ('["a","b"]',)),
    "true": ('{"question": "q", "answers": true}', ("true",)),
    "false and zero": ('{"question": "q", "answers": [false, 0]}', ("false", "0")),
    "numbers as written": ('{"question": "q", "answer": [29.00, 0.00001, 1e22, 3]}', ("29.00", "0.00001", "1e22", "3")),
    "one of them missing": ('{"question": "q", "answers": [NaN, "1999", null, " "]}', ("1999",)),
    "NaN in an object": ('{"input": "q", "output": {"a": NaN}}', ('{"a":null}',)),
    "JSON text stays as written": ('{"question": "q", "answers": "{\\"b\\": 1,  \\"a\\": 2}"}', ('{"b": 1,  "a": 2}',)),
    "text that is a list of numbers": ('{"question": "q", "answers": "[1, 2]"}', ("[1, 2]",)),
    "the word nan": ('{"question": "q", "answers": "nan"}', ("nan",)),
    "an object as input": ('{"input": {"x": 1}, "output": "q"}', ("q",)),
    "reasoning": ('{"question": "q", "answer": "<think>a? b!</think> a"}', ("a",)),
    "an answer that is nothing but such a mark": (
        '{"question": "q", "answer": "<think>a</think>"}',
        ("<think>a</think>",),
    ),
    "both fields": ('{"question": "q", "answer": "a", "answers": ["b"]}', ("b", "a")),
}


@pytest.mark.parametrize("name", VALUES)
def test_an_answer_is_the_same_text_imported_and_read_as_it_stands(tmp_path: Path, name: str) -> None:
    line, expected = VALUES[name]
    (tmp_path / "given.jsonl").write_text(line + "\n", encoding="utf-8")
    import_file(tmp_path / "given.jsonl", tmp_path / "examples.jsonl")
    (imported,), _ = load_examples(["examples.jsonl"], tmp_path)
    (read,), _ = load_examples(["given.jsonl"], tmp_path)
    assert imported.references == read.references == expected
    assert imported.messages == read.messages


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "answers": {"text": [], "answer_start": []}},
        {"question": "q", "answers": [], "answerable": False},
    ],
)
def test_a_question_without_an_answer_in_its_text_is_one_to_decline(tmp_path: Path, row: Any) -> None:
    import_file(write(tmp_path / "given.jsonl", row), tmp_path / "examples.jsonl")
    for name in ("given.jsonl", "examples.jsonl"):
        (example,), _ = load_examples([name], tmp_path)
        assert (example.references, example.answerable) == ((), False)


def test_the_input_of_a_preference_stands_under_its_instruction(tmp_path: Path) -> None:
    row = {"instruction": "Sum up.", "input": "A long text.", "chosen": "Text.", "rejected": "No."}
    import_file(write(tmp_path / "given.jsonl", row), tmp_path / "examples.jsonl")
    (example,), _ = load_examples(["examples.jsonl"], tmp_path)
    assert (example.question, example.references) == ("Sum up.\n\nA long text.", ("Text.",))


def test_an_alpaca_row_keeps_its_object_and_its_context(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Shift it.", "input": {"y": 1.5, "x": 1}, "output": {"x": 2}},
        {"instruction": "Sum up.", "context": "A long text.", "response": "Text."},
    ]
    import_file(write(tmp_path / "given.jsonl", *rows), tmp_path / "examples.jsonl")
    made, _ = load_examples(["examples.jsonl"], tmp_path)
    assert [(e.question, e.references) for e in made] == [
        ('Shift it.\n\n{"x":1,"y":1.5}', ('{"x":2}',)),
        ("Sum up.\n\nA long text.", ("Text.",)),
    ]


REFUSED: list[tuple[Any, str]] = [
    ({"question": "q", "answer": None}, "the record has no answer"),
    ('{"question": "q", "answer": NaN}', "the record has no answer"),
    ('{"question": "q", "answer": 1e999}', "infinite"),
    ('{"question": "q", "answer": "a", "answer": "b"}', "'answer' stands twice"),
    ({"question": "q", "answers": ["", None]}, "the record has no answer"),
    ({"prompt": "q"}, "the record has no answer"),
    ({"prompt": [ASKED], "completion": []}, "the record has no answer"),
    ({"prompt": [ASKED], "completion": [{**SAID, "content": ""}]}, "message 2 (assistant) is empty"),
    ({"prompt": "q", "completion": "x", "label": False}, '"label" is false'),
    ({"instruction": "q", "output": "x", "kto_tag": False}, '"kto_tag" is false'),
    ({"prompt": "q", "completion": "x", "label": 0}, '"label" is 0'),
    ({"chosen": "Human: q Assistant: a", "rejected": "x"}, '"chosen" is no list of messages'),
    ({"messages": [ASKED, SAID, ASKED, {**SAID, "weight": 0}]}, 'message 4 (assistant) has "weight" 0'),
    ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "x", "weight": 0}]}, '"weight" 0'),
    ({"messages": [ASKED, {**SAID, "train": False}]}, 'message 2 (assistant) has "train" false'),
    ({"question": "q", "choices": ["sand", "clay"], "answer": 1}, "the answer 1 is the place of a choice"),
    ({"messages": [ASKED, {**SAID, "content": "", "function_call": {"name": "depth"}}]}, "a call of a tool"),
    ('{"question": "q", "answer": "\\udc00"}', "surrogate"),
    ({"messages": [ASKED, SAID, SYSTEM]}, "message 3 is a system message"),
    ({"messages": [SAID, ASKED, SAID]}, "no user has spoken"),
    ({"messages": [ASKED, ASKED, SAID]}, "both the user's"),
    ({"messages": [ASKED, SAID, ASKED]}, "does not end with a question and its answer"),
    ({"messages": [SYSTEM]}, "does not end with a question and its answer"),
    ({"messages": [ASKED, {**SAID, "content": None, "tool_calls": [{"id": "1"}]}]}, "a call of a tool"),
    ({"messages": [ASKED, {"role": "robot", "content": "x"}]}, "not the role 'robot'"),
    ({"messages": "hello"}, "must be a list"),
    ({"conversations": [{"from": "human", "value": ""}, {"from": "gpt", "value": "x"}]}, "message 1 (user) is empty"),
    ({"conversations": [{"from": "human", "value": "q"}, {"from": "observation", "value": "x"}]}, "a call of a tool"),
    ({"question": "q", "answer": "x", "answerable": "maybe"}, '"answerable" must be'),
    ({"question": "q", "answer": "x", "at": "soon"}, "no ISO date"),
    ({"question": "q", "answer": "x", "id": ["1"]}, '"id" must be a string'),
    ({"instruction": "q", "output": "x", "history": ["y"]}, '"history" must be'),
]


@pytest.mark.parametrize(("row", "told"), REFUSED)
def test_a_row_that_gives_no_example_is_refused_with_its_line(tmp_path: Path, row: Any, told: str) -> None:
    line = row if isinstance(row, str) else json.dumps(row)
    (tmp_path / "given.jsonl").write_text(f'{{"question": "a?", "answer": "x"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(BadRecord) as caught:
        import_file(tmp_path / "given.jsonl", tmp_path / "examples.jsonl")
    assert told in caught.value.message
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "given.jsonl"), 2)
    assert not (tmp_path / "examples.jsonl").exists()


def test_a_file_under_the_other_ending_is_one_error_that_names_the_right_one(tmp_path: Path) -> None:
    rows = [{"question": "a?", "answer": "x"}, {"question": "b?", "answer": "y"}]
    for name, text, told, right in [
        ("lines.json", "".join(json.dumps(row) + "\n" for row in rows), "this is JSON Lines", ".jsonl"),
        ("list.jsonl", json.dumps(rows, indent=1), "this is a JSON list", ".json"),
        ("single.jsonl", json.dumps(rows[0], indent=1), "one JSON object over several lines", ".json"),
    ]:
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(BadRecord, match=told) as caught:
            import_file(tmp_path / name, tmp_path / "examples.jsonl")
        assert caught.value.cure == f"Name the file {right}."
        assert "more" not in caught.value.message
        _, problems = load_examples([name], tmp_path, strict=False)
        assert told in problems[0].message


SLIPS: dict[str, tuple[str, str, str]] = {
    "a comma after the object": ("a.jsonl", '{"question": "a?", "answer": "x"},\n', "comma"),
    "a comma before the end": ("a.json", '[{"question": "a?", "answer": "x"},\n]', "comma"),
    "two objects on a line": ("a.jsonl", '{"question": "a?", "answer": "x"} {"question": "b?"}\n', "a line of its own"),
    "Python's quotes": ("a.jsonl", "{'question': 'a?', 'answer': 'x'}\n", "Python"),
    "Python's None": ("a.jsonl", '{"answer": "x", "question": None}\n', "Python"),
    "a comment": ("a.json", '[\n// mine\n{"question": "a?", "answer": "x"}]', "comment"),
    "objects of several lines": (
        "a.json",
        '{\n"question": "a?"\n}\n{\n"question": "b?"\n}\n',
        "on one line in a .jsonl",
    ),
    "the same as lines": ("a.jsonl", '{\n"question": "a?"\n}\n{\n"question": "b?"\n}\n', "on one line in a .jsonl"),
    "gzip by another name": ("a.jsonl", "\x1f\x8b\x08", "Rename the file to end in .gz."),
    "a table of another program": ("a.xlsx", "PK\x03\x04", "one of these kinds"),
    "no suffix": ("a", "a?", "one of these kinds"),
    "nothing": ("a.csv", "question,answer\n", "contains records"),
}


@pytest.mark.parametrize("name", SLIPS)
def test_a_file_that_is_not_what_its_name_says_is_refused_with_a_cure_for_that(tmp_path: Path, name: str) -> None:
    file, text, cure = SLIPS[name]
    (tmp_path / file).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError) as caught:
        import_file(tmp_path / file, tmp_path / "examples.jsonl")
    assert cure in caught.value.cure
    assert not (tmp_path / "examples.jsonl").exists()


def test_one_number_out_of_range_in_a_file_of_one_line_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"question": "a?", "answer": 2e500}\n', encoding="utf-8")
    with pytest.raises(BadRecord, match="an infinite number") as caught:
        import_file(tmp_path / "a.jsonl", tmp_path / "examples.jsonl")
    assert caught.value.line == 1


def test_columns_that_no_shape_reads_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"question": "is it so", "passage": "It is so.", "answer": True, "title": "So"}
    given, into = write(tmp_path / "given.jsonl", row), tmp_path / "e.jsonl"
    assert main(["examples", "import", str(given), "--into", str(into)]) == 0
    assert "not read: the columns passage, title" in capsys.readouterr().err
    into.unlink()
    done = import_file(given, into, columns={"context": "passage"})
    assert (done["idle"], json.loads(into.read_text())["question"]) == (["title"], "is it so\n\nIt is so.")


def test_a_label_of_a_hugging_face_data_set_is_its_name(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    told = {
        "info": {"features": {"text": {"_type": "Value"}, "label": {"_type": "ClassLabel", "names": ["no", "yes"]}}}
    }
    table = pyarrow.table({"text": ["a", "b", "c", "d"], "label": [1, 0, -1, None]})
    parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(told)}), tmp_path / "a.parquet")
    done = import_file(tmp_path / "a.parquet", tmp_path / "e.jsonl", lenient=True)
    made = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert [row["answers"] for row in made] == [["yes"], ["no"]]
    assert [one["line"] for one in done["left_out"]] == [3, 4]


def test_a_map_of_a_parquet_file_is_an_object(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    kind = pyarrow.map_(pyarrow.string(), pyarrow.int64())
    table = pyarrow.table({"input": ["a"], "output": pyarrow.array([[("x", 1), ("y", None)]], kind)})
    parquet.write_table(table, tmp_path / "a.parquet")
    import_file(tmp_path / "a.parquet", tmp_path / "e.jsonl")
    assert json.loads((tmp_path / "e.jsonl").read_text())["answers"] == ['{"x":1,"y":null}']


def test_an_id_used_twice_names_both_lines_and_loses_no_row(tmp_path: Path) -> None:
    rows = [{"id": 0, "question": "a?", "answer": "x"}, {"id": 7, "question": "b?", "answer": "y"}]
    into = tmp_path / "examples.jsonl"
    write(tmp_path / "given.jsonl", *rows, {"id": 7, "question": "c?", "answer": "z"})
    for over in (False, True):
        with pytest.raises(BadRecord, match=r"'7' is used twice, first in given\.jsonl:2") as caught:
            import_file(tmp_path / "given.jsonl", into, replace=over)
        assert caught.value.line == 3
    done = import_file(tmp_path / "given.jsonl", into, lenient=True)
    assert (done["total"], done["left_out"][0]["line"]) == (2, 3)
    assert [json.loads(line)["id"] for line in into.read_text().splitlines()] == ["0", "7"]
    write(tmp_path / "given.jsonl", *rows, rows[1])
    assert import_file(tmp_path / "given.jsonl", into)["total"] == 2, "the same record twice is one"


def test_parquet_keeps_integers_dates_and_single_precision_as_they_were(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    day = datetime(2025, 1, 31)
    columns = {
        "label": pyarrow.array([3.0, float("nan"), 5.0]),
        "share": pyarrow.array([1.0, 0.5, None]),
        "single": pyarrow.array([0.1, 2.0, 3.0], pyarrow.float32()),
        "several": pyarrow.array([[1.0, float("nan")], [2.0], []]),
        "day": pyarrow.array([day, day, None]),
        "time": pyarrow.array([day, day.replace(hour=7), None]),
        "raw": pyarrow.array([b"caf\xc3\xa9", b"\xff", None]),
        "number": pyarrow.array([Decimal("29.00"), None, None]),
    }
    expected = {
        "label": ["3", None, "5"],
        "share": ["1.0", "0.5", None],
        "single": ["0.1", "2.0", "3.0"],
        "several": ["1", "2", None],
        "day": ["2025-01-31", "2025-01-31", None],
        "time": ["2025-01-31 00:00:00", "2025-01-31 07:00:00", None],
        "raw": ["café", None, None],
        "number": ["29.00", None, None],
    }
    for name, column in columns.items():
        table = pyarrow.table({"question": ["a?", "b?", "c?"], "answer": column})
        parquet.write_table(table, tmp_path / f"{name}.parquet")
        into = tmp_path / f"{name}.jsonl"
        done = import_file(tmp_path / f"{name}.parquet", into, lenient=True)
        kept = {json.loads(line)["question"]: json.loads(line)["answers"][0] for line in into.read_text().splitlines()}
        assert [kept.get(question) for question in ("a?", "b?", "c?")] == expected[name], name
        assert len(done["left_out"]) == expected[name].count(None)


def test_byte_order_mark_and_windows_line_ends_are_no_part_of_a_record(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        b'\xef\xbb\xbf{"question": "a?", "answer": "x"}\r\n\r\n{"question": "b?", "answer": "y"}\r\n'
    )
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbfquestion,answer\r\nc?,z\r\n")
    for name in ("a.jsonl", "b.csv"):
        import_file(tmp_path / name, tmp_path / "examples.jsonl")
    made, _ = load_examples(["examples.jsonl"], tmp_path)
    assert [(e.question, e.references) for e in made] == [("a?", ("x",)), ("b?", ("y",)), ("c?", ("z",))]


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_found_and_its_origin_kept(tmp_path: Path, name: str) -> None:
    shape, row = SHAPES[name]
    into = tmp_path / "examples.jsonl"
    done = import_file(write(tmp_path / "given.jsonl", row), into)
    assert done["shapes"] == {shape: 1}
    kept = json.loads(into.read_text())
    assert kept["from"].items() >= {"file": "given.jsonl", "line": 1, "shape": shape}.items()
    assert kept["from"]["sha256"].startswith("file:")
    (example,), problems = load_examples(["examples.jsonl"], tmp_path)
    assert (example.question, example.references, problems) == ("How deep?", ("12 m",), [])


def test_parquet_reads_far_dates_and_leaves_times_with_a_zone_as_they_are() -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    noon, far = datetime(2025, 1, 31), datetime(9999, 12, 31)
    columns = {
        "far": pyarrow.array([noon, far], pyarrow.timestamp("us")),
        "coarse": pyarrow.array([noon, far], pyarrow.timestamp("ms")),
        "zoned": pyarrow.array([noon, noon], pyarrow.timestamp("us", tz="America/New_York")),
    }
    expected = {
        "far": ["2025-01-31", "9999-12-31"],
        "coarse": ["2025-01-31", "9999-12-31"],
        "zoned": ["2025-01-30 19:00:00-05:00"] * 2,
    }
    data = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), data)
    rows = list(rows_of(data.getvalue()))
    assert {name: [row[name] for row in rows] for name in columns} == expected


def test_csv_and_parquet_with_mapped_columns(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "a.csv").write_text('Utterance,Intent\n"when, please?",time\n', encoding="utf-8")
    parquet.write_table(
        pyarrow.table({"Utterance": ["how deep"], "Intent": ["depth"], "split": ["train"]}), tmp_path / "b.parquet"
    )
    into = tmp_path / "examples.jsonl"
    columns = {"question": "Utterance", "answers": "Intent"}
    assert import_file(tmp_path / "a.csv", into, columns=columns)["imported"] == 1
    assert import_file(tmp_path / "b.parquet", into, columns=columns)["total"] == 2
    made, _ = load_examples(["examples.jsonl"], tmp_path)
    assert [(e.question, e.references) for e in made] == [("when, please?", ("time",)), ("how deep", ("depth",))]
    assert made[1].split == "train"


def test_importing_twice_changes_nothing_and_another_content_is_refused(tmp_path: Path) -> None:
    into, given = tmp_path / "examples.jsonl", tmp_path / "given.jsonl"
    write(given, {"id": "1", "question": "a?", "answer": "x"}, {"id": "2", "question": "b?", "answer": "y"})
    import_file(given, into)
    before = into.read_bytes()
    again = import_file(given, into)
    assert (again["imported"], again["already"], into.read_bytes()) == (0, 2, before)
    write(given, {"id": "1", "question": "a?", "answer": "z"})
    with pytest.raises(BadRecord, match="already exists with different content"):
        import_file(given, into)
    assert into.read_bytes() == before
    import_file(given, into, replace=True)
    assert [json.loads(line)["answers"] for line in into.read_text().splitlines()] == [["z"], ["y"]]


@pytest.mark.parametrize(
    "rows", ["Where?,Bergen, Norway\nWhen?,May 5, 1905\n", "Who?,Ann,again\n", "It was where?,Oslo, or near\n"]
)
def test_a_comma_that_is_not_quoted_makes_no_other_question(tmp_path: Path, rows: str) -> None:
    given = tmp_path / "given.csv"
    given.write_text("question,answer\n" + rows, encoding="utf-8")
    with pytest.raises(BadRecord, match="3 cells under a header of 2") as caught:
        import_file(given, tmp_path / "e.jsonl")
    assert caught.value.line == 2
    given.write_text("question,answer\n1,Who?,Ann\n2,Where?,Oslo\n", encoding="utf-8")
    assert import_file(given, tmp_path / "e.jsonl")["imported"] == 2, "R writes no name above the rows' names"


def test_bad_input_names_file_line_and_cure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "given.jsonl"
    given.write_text('{"question": "a?", "answer": "x"}\n{"question": "b?"\n', encoding="utf-8")
    assert main(["examples", "import", str(given), "--into", str(tmp_path / "e.jsonl"), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)["error"]
    assert (told["file"], told["line"], told["code"]) == (str(given), 2, "data.bad-record")
    assert not (tmp_path / "e.jsonl").exists()
    assert import_file(given, tmp_path / "e.jsonl", lenient=True)["left_out"][0]["line"] == 2
    write(given, {"words": "a?", "tag": "x"})
    with pytest.raises(BadRecord, match="shape is unknown") as caught:
        import_file(given, tmp_path / "e.jsonl")
    assert "--map" in caught.value.cure
    with pytest.raises(ConfigError, match="no column 'utterance'") as wrong:
        import_file(given, tmp_path / "e.jsonl", columns={"question": "utterance", "answers": "tag"}, lenient=True)
    assert "words" in wrong.value.cure
    with pytest.raises(ConfigError, match="unknown field"):
        import_file(given, tmp_path / "e.jsonl", columns={"frage": "words"})


def test_json_answers_that_can_be_meant_otherwise_are_told(tmp_path: Path) -> None:
    rows = [
        {"question": "Which two?", "answer": [{"a": 1}, {"a": 2}]},
        {"question": "One of which?", "answers": [{"a": 1}, {"a": 2}]},
    ]
    (tmp_path / "given.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    done = import_file(tmp_path / "given.jsonl", tmp_path / "examples.jsonl")
    assert (done["lists"], done["several"]) == (1, 1)
    examples, _ = load_examples(["examples.jsonl"], tmp_path)
    (found,) = [problem for problem in check([], examples) if problem.code == "data.json-answers"]
    assert "1 example has several JSON answers, and each of them alone is right" in found.message
    assert found.line == 2


def test_columns_are_known_whatever_the_case_of_their_letters(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("ID,Text,Label,Remark\n7,Where is it?,place,none\n", encoding="utf-8")
    report = import_file(tmp_path / "s.csv", tmp_path / "e.jsonl")
    [example] = load_examples(["e.jsonl"], tmp_path)[0]
    assert (example.id, example.question, example.references) == ("7", "Where is it?", ("place",))
    assert report["idle"] == ["Remark"]


@pytest.mark.parametrize(
    ("columns", "question", "answer"),
    [
        ({"question": "answers", "answers": "question"}, "12 m", "How deep?"),
        ({"question": "question", "answers": "question"}, "How deep?", "How deep?"),
    ],
    ids=["swapped", "one column for two fields"],
)
def test_mapped_columns_are_read_as_the_file_has_them(
    tmp_path: Path, columns: dict[str, str], question: str, answer: str
) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps({"question": "How deep?", "answers": "12 m"}))
    import_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", columns=columns)
    record = json.loads((tmp_path / "out.jsonl").read_text())
    assert (record["question"], record["answers"]) == (question, [answer])
