"""One spelling of English: British, as most of the text was. Names of other libraries, formats and keys stay theirs.

Looked at are pages (their code apart), docstrings, comments, messages, and the names that the source defines. Run as
a program (``python tests/architecture/test_spelling.py``) it mends pages, docstrings and comments, and lists the names.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import parsed
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "twofold"
PAGES = [
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name != "notebook.md"),
    ROOT / "README.md",
    ROOT / "AGENTS.md",
]
"""The notebook keeps its past entries as they were written."""
MODULES = sorted(SOURCE.rglob("*.py"))

ISE = (
    *("capital", "dequant", "emphas", "general", "initial", "material", "maxim", "memor", "minim", "normal", "optim"),
    *("organ", "parametr", "priorit", "quant", "recogn", "regular", "reparametr", "serial", "special", "stabil"),
    *("standard", "student", "summar", "token", "util", "visual", "vector"),
)
"""Stems of verbs in -ise."""
OTHER = {
    "analyze": "analyse", "analyzed": "analysed", "analyzes": "analyses", "analyzing": "analysing",
    "behavior": "behaviour", "behaviors": "behaviours", "canceled": "cancelled", "canceling": "cancelling",
    "catalog": "catalogue", "catalogs": "catalogues", "center": "centre", "centered": "centred", "centers": "centres",
    "color": "colour", "colored": "coloured", "colors": "colours", "favor": "favour", "favorable": "favourable",
    "gray": "grey", "honor": "honour", "honored": "honoured", "honoring": "honouring", "judgment": "judgement",
    "judgments": "judgements", "labeled": "labelled", "labeling": "labelling", "labor": "labour", "modeled": "modelled",
    "modeling": "modelling", "neighbor": "neighbour", "neighboring": "neighbouring", "neighbors": "neighbours",
    "unfavorable": "unfavourable", "unlabeled": "unlabelled",
}  # fmt: skip
"""American → British."""
NAMED_SO = re.compile(r"(?:pre)?tokenizers?|normalizers?|vectorizers?|quantizers?|serializers?|organizers?")
"""Things that bear these names in the formats and libraries that Twofold reads: ``tokenizer.json``, ``ORGANIZER``."""
WRITTEN_SO = {"center", "color", "MATERIALIZED", "ANALYZE"}
"""Words of HTML, CSS and SQL that stand in texts for them."""

_ISE = re.compile(rf"((?:un|re)?(?:{'|'.join(ISE)}))iz(e|ed|es|er|ers|ing|able|ation|ations)", re.IGNORECASE)
_WORD = re.compile(r"(?<![\w.])[^\W\d_]+(?![\w(]|\.\w)")
"""Dotted names and calls are code wherever they stand."""
_CODE = re.compile(r"```.*?```|``.*?``|`[^`]*`|\]\([^)]*\)|https?://\S+", re.DOTALL)
"""Code, links and addresses, in pages and docstrings."""


@cache
def british(word: str) -> str:
    """The word in British spelling, its first capital kept."""
    if NAMED_SO.fullmatch(word.lower()):
        return word
    if match := _ISE.fullmatch(word):
        return f"{match[1]}is{match[2]}"
    other = OTHER.get(word.lower(), word)
    return other if other == word or word.islower() else other.capitalize()


def prose(text: str) -> Iterator[tuple[int, int]]:
    """Ranges of a text that are no code."""
    start = 0
    for code in _CODE.finditer(text):
        yield start, code.start()
        start = code.end()
    yield start, len(text)


def mended(text: str) -> str:
    """A text with its prose in British spelling."""
    pieces: list[str] = []
    last = 0
    for start, end in prose(text):
        pieces += [text[last:start], _WORD.sub(lambda match: british(match[0]), text[start:end])]
        last = end
    return "".join(pieces)


def american(text: str) -> set[str]:
    """Words in the prose of a text that are spelled in the American way."""
    words = {word for start, end in prose(text) for word in _WORD.findall(text[start:end])}
    return {word for word in words if british(word) != word}


def remarks(source: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Docstrings, texts under fields, and comments: where each begins (line from 1, column), and its source."""
    fresh = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and fresh and token.string[:3] == '"""'):
            yield token.start, token.string
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            fresh = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def messages(source: str) -> Iterator[str]:
    """Texts of more than one word: messages, help, pages."""
    for node in parsed.nodes(source):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value


def defined(source: str) -> Iterator[str]:
    """Names of the functions, classes, parameters and variables that a module makes."""
    for node in parsed.nodes(source):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


@cache
def words_of(name: str) -> list[str]:
    """The words of an identifier, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


@parsed.each(PAGES, lambda page: page.name)
def test_a_page_is_in_british_spelling(page: Path) -> None:
    assert american(page.read_text(encoding="utf-8")) == set()


@parsed.each(MODULES, lambda path: path.relative_to(SOURCE).as_posix())
def test_a_module_is_in_british_spelling(path: Path) -> None:
    source = parsed.text(path)
    assert {word for _, text in remarks(source) for word in american(text)} == set()
    assert {word for text in messages(source) for word in american(text)} <= WRITTEN_SO
    assert {name for name in defined(source) if any(british(word) != word for word in words_of(name))} == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The behavior of Neighbors", {"behavior", "Neighbors"}),
        ("It is normalized; `normalize` is a name, the tokenizer a thing.", {"normalized"}),
        ("Behaviour, analysed and labelled, a size and a prize", set()),
    ],
)
def test_american_words_are_seen_outside_code(text: str, words: set[str]) -> None:
    assert american(text) == words


def test_mending_leaves_code_alone() -> None:
    assert mended("Colors of `color`, recognized") == "Colours of `color`, recognised"
    assert mended("As ``Organization`` in pytest.mark.parametrize(x) says") == (
        "As ``Organization`` in pytest.mark.parametrize(x) says"
    )


def _mend() -> None:
    for page in PAGES:
        if "reference" not in page.parts:
            page.write_text(mended(page.read_text(encoding="utf-8")), encoding="utf-8")
    for path in MODULES:
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines(keepends=True)
        for (line, column), text in reversed(list(remarks(source))):
            before = "".join(lines[: line - 1]) + lines[line - 1][:column]
            after = "".join(lines)[len(before) + len(text) :]
            lines = (before + mended(text) + after).splitlines(keepends=True)
        path.write_text("".join(lines), encoding="utf-8")
        for name in {name for name in defined(source) if any(british(word) != word for word in words_of(name))}:
            print(path.relative_to(ROOT), name)


if __name__ == "__main__":
    _mend()
