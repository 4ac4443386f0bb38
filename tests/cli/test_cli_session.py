"""Options, settings and progress."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.cli.main import main
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


def test_a_stage_that_goes_on_after_another_took_its_time_from_its_first_step() -> None:
    now = [0.0]
    stream = io.StringIO()
    lines = PlainLines(stream, lambda: now[0])
    steps = [
        ("train", 0, 4),
        ("train", 2, 4),
        ("score dev", 0, 8),
        ("score dev", 8, 8),
        ("train", 3, 4),
        ("train", 4, 4),
    ]
    for seconds, (stage, done, total) in enumerate(steps):
        now[0] = 60.0 * seconds
        lines(stage, done, total)
    shown = stream.getvalue().splitlines()
    assert shown[-2:] == ["train: 3/4, 1 min 20 s left", "train: 4/4, took 5 min 0 s"]
    assert "score dev: 8/8, took 1 min 0 s" in shown


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


@pytest.mark.parametrize(
    ("words", "message", "cure"),
    [
        (["diagnose", "--arm", "rag", "--arm", "base"], "--arm is given more than once", "as in --arm A,B"),
        (["study", "--limit=5", "--limit", "6", "--plan"], "--limit is given more than once", "Give --limit once."),
        (["sync", "-C", "a", "--project", "b"], "--project is given more than once", "Give --project once."),
    ],
)
def test_an_option_with_one_value_is_not_taken_twice(
    words: list[str], message: str, cure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert cure in shown


def test_switches_and_settings_may_be_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "retrieval.k=5", "--set", "study.resamples=400"]
    assert main(["config", "--quiet", "--quiet", "-C", str(tmp_path), *settings]) == 2
    assert "more than once" not in capsys.readouterr().err
