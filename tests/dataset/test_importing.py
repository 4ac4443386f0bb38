"""Common shapes become the project's own, with where each record came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from twofold.cli.main import main
from twofold.curating import import_file
from twofold.dataset import load_examples
from twofold.errors import BadRecord, ConfigError

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
    with pytest.raises(BadRecord, match="held with other content"):
        import_file(given, into)
    assert into.read_bytes() == before
    import_file(given, into, replace=True)
    assert [json.loads(line)["answers"] for line in into.read_text().splitlines()] == [["z"], ["y"]]


def test_bad_input_names_file_line_and_cure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "given.jsonl"
    given.write_text('{"question": "a?", "answer": "x"}\n{"question": "b?"\n', encoding="utf-8")
    assert main(["examples", "import", str(given), "--into", str(tmp_path / "e.jsonl"), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)["error"]
    assert (told["file"], told["line"], told["code"]) == (str(given), 2, "data.bad-record")
    assert not (tmp_path / "e.jsonl").exists()
    assert import_file(given, tmp_path / "e.jsonl", lenient=True)["left_out"][0]["line"] == 2
    write(given, {"words": "a?", "tag": "x"})
    with pytest.raises(BadRecord, match="shape is not known") as caught:
        import_file(given, tmp_path / "e.jsonl")
    assert "--map" in caught.value.cure
    with pytest.raises(ConfigError, match="no column 'utterance'") as wrong:
        import_file(given, tmp_path / "e.jsonl", columns={"question": "utterance", "answers": "tag"}, lenient=True)
    assert "words" in wrong.value.cure
    with pytest.raises(ConfigError, match="names no field"):
        import_file(given, tmp_path / "e.jsonl", columns={"frage": "words"})
