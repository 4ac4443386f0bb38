"""Files of answers: a blank one, one filled in, and every mistake named with its line and the nearest choice."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from twofold.advice.answers_file import read, save_template, template
from twofold.advice.questionnaire import QUESTIONNAIRE, UNANSWERED, UserAnswers
from twofold.errors import ConfigError, UnreadableFile

LEVELS = {"task": "lookup", "change": "weekly", "risk": "high"}


@pytest.mark.parametrize("name", ["a.toml", "a.json"])
def test_a_template_is_read_back_as_it_was_filled(tmp_path: Path, name: str) -> None:
    save_template(tmp_path / name)
    assert read(tmp_path / name) == UNANSWERED
    (tmp_path / name).unlink()
    save_template(tmp_path / name, UserAnswers(levels=LEVELS))
    assert read(tmp_path / name).levels == LEVELS


def test_a_template_lists_every_choice_and_never_overwrites(tmp_path: Path) -> None:
    text = template()
    for inquiry in QUESTIONNAIRE:
        assert f'\n{inquiry.name} = ""\n' in text
        assert all(f"#   {value}: " in text for value in inquiry.values)
    path = tmp_path / "a.toml"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="not overwritten"):
        save_template(path)
    assert path.read_text(encoding="utf-8") == "mine"


def test_unknown_is_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"task": "unknown", "change": "", "risk": None, "labels": "tens"}), encoding="utf-8")
    assert read(path).levels == {"labels": "tens"}


@pytest.mark.parametrize(
    ("name", "text", "line", "message", "cure"),
    [
        ("a.toml", '# mine\nchange = "weekly"\nlabls = "tens"', 3, "no question 'labls'", "Did you mean labels?"),
        ("a.toml", '\nchange = "wekly"', 2, "change = 'wekly'", "Did you mean weekly?"),
        ("a.toml", 'change = "Weekly "', 1, "change = 'Weekly '", "Did you mean weekly?"),
        ("a.toml", "labels = 200", 1, "labels = 200", "Write one of none, tens"),
        ("a.toml", 'change = ["weekly"]', 1, "change = ['weekly']", "Did you mean weekly?"),
        ("a.toml", "change = weekly", 1, "invalid TOML", "--template"),
        ("a.json", '{\n "change": "wekly"\n}', 2, "change = 'wekly'", "Did you mean weekly?"),
        ("a.json", '{\n "change": "weekly",\n}', 3, "invalid JSON", "--template"),
        ("a.json", '{"change": "weekly", "change": "daily"}', None, "stands twice", "--template"),
        ("a.json", '["change"]', None, "not a list", "Write"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_nearest_choice(
    tmp_path: Path, name: str, text: str, line: int | None, *, message: str, cure: str
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        read(path)
    assert refusal.value.file == str(path)
    assert refusal.value.line == line
    assert message in refusal.value.message
    assert cure in refusal.value.cure


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=re.escape("none.toml")):
        read(tmp_path / "none.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe\x00change")
    with pytest.raises(UnreadableFile):
        read(tmp_path / "a.toml")
