"""Options, settings and progress."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.cli.progress import EVERY, PlainLines, duration, showing
from twofold.cli.session import parse_settings, place
from twofold.errors import ConfigError


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("retrieval.k=5", {"retrieval": {"k": 5}}),
        ("study.margin=0.5", {"study": {"margin": 0.5}}),
        ("study.must_cite=true", {"study": {"must_cite": True}}),
        ('study.arms=["base", "rag"]', {"study": {"arms": ["base", "rag"]}}),
        ("study.metric=exact_match", {"study": {"metric": "exact_match"}}),
        ("generation.generator.name=echo", {"generation": {"generator": {"name": "echo"}}}),
        ('prompt.closed="Say = yes"', {"prompt": {"closed": "Say = yes"}}),
        ("examples.paths=[]", {"examples": {"paths": []}}),
        ("project.name=a name with spaces", {"project": {"name": "a name with spaces"}}),
    ],
)
def test_a_setting_is_read_as_toml_or_as_a_word(setting: str, expected: dict[str, Any]) -> None:
    assert parse_settings([setting]) == expected


@pytest.mark.parametrize("setting", ["retrieval.k", "=5", 'a.b="open', "a.b=[1,", "a.b="])
def test_a_bad_setting_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_settings([setting])


def test_a_table_written_as_json_is_refused_with_the_way_to_write_it() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_settings(['generation.schema={"type": "array"}'])
    shown = refused.value.cure.split("'")[1]
    assert parse_settings([shown]) == {"generation": {"schema": {"type": "object", "required": ["answer"]}}}
    assert "generation.schema=answer.json" in refused.value.cure


def test_settings_add_up_and_do_not_collide() -> None:
    assert parse_settings(["a.b=1", "a.c=2", "a.b=3"]) == {"a": {"b": 3, "c": 2}}
    with pytest.raises(ConfigError, match="value, not a section"):
        parse_settings(["a=1", "a.b=2"])


@given(st.lists(st.text("abc", min_size=1), min_size=1, max_size=4), st.integers())
def test_place_puts_the_value_where_it_was_told(path: list[str], value: int) -> None:
    nested: dict[str, Any] = {}
    place(nested, path, value)
    here: Any = nested
    for part in path:
        here = here[part]
    assert here == value


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_are_few_and_tell_the_time_left() -> None:
    clock, stream = Clock(), io.StringIO()
    lines = PlainLines(stream, clock)
    for done in range(101):
        lines("answer rag", done, 100)
        clock.now += 0.2
    lines("score", 3, 0)
    lines("score", 4, 0)
    lines.finish()
    said = stream.getvalue().splitlines()
    assert said[0] == "answer rag: 0/100"
    assert said[1] == "answer rag: 25/100, 15 s left"
    assert said[-3] == "answer rag: 100/100, took 20 s"
    assert said[-2:] == ["score: 3", "score: 4"]
    assert len(said) <= 2 + 20.2 / EVERY + 3


def test_nothing_is_said_twice_and_nothing_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    with showing(stream=stream) as progress:
        progress("a", 1, 1)
        progress("a", 1, 1)
    assert stream.getvalue() == "a: 1/1\n"
    with showing(quiet=True) as progress:
        progress("a", 1, 1)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_live_display() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with showing(stream=stream) as progress:
        progress("embed documents", 1, 3)
        progress("embed documents", 3, 3)
        progress("answer base", 0, 0)
    assert "embed documents" in stream.getvalue()
    assert "3/3" in stream.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_stage_that_begins_again_has_a_time_of_its_own() -> None:
    now = [0.0]
    stream = io.StringIO()
    lines = PlainLines(stream, lambda: now[0])
    for spent in (60.0, 20.0):
        lines("general ability", 0, 100)
        now[0] += spent
        lines("general ability", 100, 100)
    said = [line for line in stream.getvalue().splitlines() if "took" in line]
    assert said == ["general ability: 100/100, took 1 min 0 s", "general ability: 100/100, took 20 s"]
