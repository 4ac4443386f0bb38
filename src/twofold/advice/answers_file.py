"""Files of answers to the questionnaire, TOML or JSON: a blank one to fill in, and reading one back strictly."""

from __future__ import annotations

import difflib
import json
import textwrap
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twofold.advice.lines import line_in, line_of
from twofold.advice.questionnaire import INQUIRIES, QUESTIONNAIRE, UNANSWERED, Inquiry, UserAnswers
from twofold.errors import ConfigError
from twofold.files import writing
from twofold.files.reading import MIB, decode, kind, parsed, read_bytes

UNKNOWN = ("", "unknown")
"""Values that leave a question open."""
_WIDTH = 100
_SHOWN = 80
"""Letters of a wrong value that a message repeats."""


def read(path: Path) -> UserAnswers:
    """The answers in a file; its ending tells whether it is JSON (``.json``) or TOML.

    Raises:
        UnreadableFile, FileTooLarge: the file is missing or no text.
        ConfigError: it is no TOML or JSON, names a question that there is not, or an answer that the question does not
            have; with file, line and the nearest choice.
    """
    text = decode(read_bytes(path, limit=MIB), name=path.as_posix())
    try:
        values = parsed(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        form = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise ConfigError(
            f"invalid {form}: {error}",
            file=path,
            line=line_in(error),
            cure="Correct the named line; `twofold advise --template FILE` writes a blank file.",
        ) from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"answers are an object of questions and answers, not {kind(values)}",
            file=path,
            cure='Write {"change": "weekly"} and so on.',
        )
    levels = {}
    for name, value in values.items():
        line = line_of(text, [name])
        if name not in INQUIRIES:
            raise _error(path, line, f"there is no question {repr(name)[:_SHOWN]}", name, tuple(INQUIRIES))
        level = _level(INQUIRIES[name], value, path, line)
        if level:
            levels[name] = level
    return UserAnswers(levels=levels)


def _level(inquiry: Inquiry, value: Any, path: Path, line: int | None) -> str:
    """The level that a value names; empty for one that leaves the question open."""
    if value is None or value in UNKNOWN:
        return ""
    if not isinstance(value, str) or value not in inquiry.values:
        message = f"{inquiry.name} = {repr(value)[:_SHOWN]} is none of the question's answers"
        raise _error(path, line, message, str(value), inquiry.values)
    return value


def _error(path: Path, line: int | None, message: str, name: str, known: Sequence[str]) -> ConfigError:
    near = difflib.get_close_matches(name.casefold(), known, 1)
    meant = f"Did you mean {near[0]}? " if near else ""
    return ConfigError(message, file=path, line=line, cure=f"{meant}Write one of {', '.join(known)}.")


def save_template(path: Path, answers: UserAnswers = UNANSWERED) -> None:
    """Write a file of all questions with these answers, to be filled in.

    Raises:
        ConfigError: there is a file of that name, which may hold somebody's answers.
        StoreError: the file cannot be written there.
    """
    if path.exists():
        raise ConfigError(
            "the file exists already, and is not overwritten", file=path, cure="Name another file, or move it away."
        )
    writing.save(path, template(answers, as_json=path.suffix.lower() == ".json"))


def template(answers: UserAnswers = UNANSWERED, *, as_json: bool = False) -> str:
    """All questions with these answers, as TOML with the choices in comments, or as JSON without."""
    if as_json:
        blank = {inquiry.name: answers.levels.get(inquiry.name, "") for inquiry in QUESTIONNAIRE}
        return json.dumps(blank, indent=2) + "\n"
    lines = ['# Answers for `twofold advise --answers FILE`. "" means unknown, which is an answer, too.']
    for inquiry in QUESTIONNAIRE:
        lines += ["", *_comment(inquiry.text, "# ", "# ")]
        for level in inquiry.levels:
            lines += _comment(f"{level.value}: {level.meaning}", "#   ", "#     ")
        lines.append(f'{inquiry.name} = "{answers.levels.get(inquiry.name, "")}"')
    return "\n".join(lines) + "\n"


def _comment(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=rest)
