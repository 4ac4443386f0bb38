"""The questionnaire of `twofold advise` at a terminal: one question at a time, each may stay open."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence

import typer

from twofold.advice.questionnaire import INQUIRIES, QUESTIONNAIRE, UNANSWERED, Inquiry, UserAnswers
from twofold.advice.ranking import ProjectFact
from twofold.cli.terminal import say
from twofold.files.reading import counted

_BACK, _SKIP = ("b", "back"), ("s", "skip")
_UNKNOWN = ("", "?", "unknown")


def ask_all(facts: Sequence[ProjectFact]) -> UserAnswers:
    """Ask everything that the project does not show; on stderr, so that stdout holds the result alone.

    Ctrl-C and the end of input stop the command, and nothing is stored.

    Args:
        facts: What the project shows.
    """
    shown = {fact.criterion: fact.level for fact in facts if fact.level}
    settled = {fact.criterion for fact in facts if _settles(fact)}
    read = [inquiry.name for inquiry in QUESTIONNAIRE if inquiry.name in settled]
    inquiries = [inquiry for inquiry in QUESTIONNAIRE if inquiry.name not in settled]
    if read:
        say(f"read from the project and not asked: {', '.join(read)}", err=True)
    say(
        f"{counted(len(inquiries), 'question')}; a number or its word answers, Enter leaves the question open (or "
        "keeps the answer marked *, and ? takes that back), b goes back, s skips the rest",
        err=True,
    )
    answers, place = UNANSWERED, 0
    while place < len(inquiries):
        inquiry = inquiries[place]
        say(f"\n{place + 1}/{len(inquiries)} {inquiry.text}", err=True)
        if inquiry.name in shown:
            say(f"   the project shows: {shown[inquiry.name]}", err=True)
        _show(inquiry, answers)
        word = _typed().strip().casefold()
        if word in _SKIP:
            break
        if word in _BACK:
            place = max(0, place - 1)
            continue
        level = "" if word in _UNKNOWN else _level(inquiry, word)
        if level is None:
            near = difflib.get_close_matches(word, inquiry.values, 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            say(f"{word!r} is none of 1 to {len(inquiry.levels)}{meant}", err=True)
            continue
        # What was answered before is shown, so Enter keeps it; `?` takes it back.
        if word or inquiry.name not in answers.levels:
            answers = answers.with_answer(inquiry.name, level)
        place += 1
    return answers


def _typed() -> str:
    """A line from the terminal. Not by `typer.prompt`: it writes blanks to stdout, which holds the result alone."""
    say("> ", err=True, nl=False)
    line = sys.stdin.readline()
    if not line:
        raise typer.Abort
    return line


def _settles(fact: ProjectFact) -> bool:
    """Is there nothing left to ask? A demand may be stricter than what the project shows, a suggestion may be wrong."""
    if not fact.level or fact.tentative or fact.criterion not in INQUIRIES:
        return False
    inquiry = INQUIRIES[fact.criterion]
    return not inquiry.strict or fact.level == inquiry.values[0]


def _show(inquiry: Inquiry, answers: UserAnswers) -> None:
    for position, level in enumerate(inquiry.levels, 1):
        mark = "*" if answers.levels.get(inquiry.name) == level.value else " "
        say(f" {mark}{position}  {level.value}: {level.meaning}", err=True)


def _level(inquiry: Inquiry, word: str) -> str | None:
    if word.isascii() and word.isdigit():
        return inquiry.values[int(word) - 1] if 1 <= int(word) <= len(inquiry.values) else None
    return word if word in inquiry.values else None
