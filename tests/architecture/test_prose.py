"""Texts for users name the thing they speak of, and a class name means one thing."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import parsed
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "twofold"
NAMELESS = ("it ", "what ", "one ", "those ", "they ")
"""A text that begins with such a word leaves its thing to be guessed by whoever sees only this line."""
TEXTS = {"help", "cure", "message", "epilog"}
SINGLE = {"Row", "Run", "State", "Item", "Place", "Point", "Measured"}


def constants(node: ast.expr) -> Iterator[str]:
    """The beginnings that a text may have: of a string, of an f-string, of both sides of a choice."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=[first, *_]):
            yield from constants(first)
        case ast.IfExp(body=body, orelse=otherwise):
            yield from constants(body)
            yield from constants(otherwise)
        case ast.BinOp(left=left):
            yield from constants(left)
        case _:
            pass


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Line and beginning of every help text, every cure, and every message of an error raised with its cure."""
    for node, _ in parsed.calls(source):
        names = {word.arg for word in node.keywords}
        spoken = [word.value for word in node.keywords if word.arg in TEXTS]
        if "cure" in names:
            spoken += node.args[:1]
        for part in spoken:
            for text in constants(part):
                yield part.lineno, text


@pytest.mark.parametrize(
    "text", ['E("it is gone", cure="x")', 'E("a", cure=f"It {b}" if c else "d")', 'o(help="One b.")']
)
def test_a_nameless_text_is_found(text: str) -> None:
    assert [t for _, t in texts(text) if t.lower().startswith(NAMELESS)]


def test_no_error_or_help_text_begins_without_its_thing() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {text[:60]!r}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, text in texts(parsed.text(path))
        if text.lower().startswith(NAMELESS)
    ]
    assert not found, "name the thing: who arrives by search reads only this line\n" + "\n".join(found)


def test_common_class_names_mean_one_thing_each() -> None:
    defined = Counter(
        node.name
        for path in SOURCE.rglob("*.py")
        for node in parsed.nodes(parsed.text(path))
        if isinstance(node, ast.ClassDef) and node.name in SINGLE
    )
    assert not {name: number for name, number in defined.items() if number > 1}
