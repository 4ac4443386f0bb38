"""The filter that all printed text passes before it reaches a terminal.

Titles, ids, file names, texts and answers are written by others. A terminal obeys control characters in them (it can be
made to fill the clipboard, rename its window, hide or overwrite lines), and a reader cannot see bidirectional
overrides, tag characters and zero-width fillers. None of these is ever printed.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import typer

from twofold.text.masking import masked_text

if TYPE_CHECKING:
    from rich.console import Console

_DRIVING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2028\u2029\u202a-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
"""Controls of C0 and C1 but tab and line feed; overrides and isolates of writing direction; characters that show
nothing; halves of surrogate pairs. Joiners and direction marks stay: scripts need them, and they hide nothing."""


def printable(text: str) -> str:
    """The text without characters that drive a terminal or hide what is written."""
    return _DRIVING.sub("", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`printable` without line breaks, for text by others that stands in a line of a list."""
    return " ".join(printable(text).split())


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text that may hold what others wrote, on stdout or stderr."""
    typer.echo(printable(text), err=err, nl=nl)


def say_json(value: Any) -> None:
    """Print a value as JSON on stdout, nothing lost: what `printable` takes out is spelt as an escape of JSON."""
    typer.echo(_DRIVING.sub(_spelt, json.dumps(value, ensure_ascii=False, indent=2)))


def json_line(value: Any) -> None:
    """As `say_json`, on one line, and at once: for a program that reads records as they come."""
    typer.echo(_DRIVING.sub(_spelt, json.dumps(value, ensure_ascii=False)))
    sys.stdout.flush()


def _spelt(match: re.Match[str]) -> str:
    return json.dumps(match.group())[1:-1]


def console() -> Console:
    """A rich console on stdout, as wide as the terminal (elsewhere so wide that no line is broken)."""
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Screen(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                # Rich's own controls (cursor, colours) pass; text is filtered, whoever wrote it.
                yield segment if segment.control else segment._replace(text=printable(segment.text))

    # A pipe has no width: 80 columns would break lines that a program reads.
    width = None if sys.stdout.isatty() else 400
    return Screen(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


class _Plain(logging.Formatter):
    """Addresses without logins: libraries log those that they open."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(masked_text(super().format(record)))


def plain_logs(*, verbose: bool, quiet: bool) -> None:
    """Have what the library logs pass the border too: warnings, with `verbose` all of it, with `quiet` errors alone."""
    # Without `--verbose` nothing configures logging, and Python prints warnings through this handler.
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Plain())
        logging.lastResort.setLevel(logging.ERROR if quiet else logging.WARNING)
    if verbose:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO)
        logging.getLogger("twofold").setLevel(logging.DEBUG)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setFormatter(_Plain("%(levelname)s %(name)s: %(message)s"))
