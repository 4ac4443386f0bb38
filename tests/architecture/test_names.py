"""Names that carry neither type nor role are refused where they are bound, comprehensions apart.

``found``, ``made`` and the like say that something happened, not what it gave: a reader who lands on the line has to
look for the assignment. The same words are fine within a longer name (``found_hits``, ``unasked``).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import parsed
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "twofold"
MODULES = sorted(SOURCE.rglob("*.py"))
REFUSED = {"told", "held", "made", "kept", "gone", "asked", "one", "own", "wanted", "said", "given", "found"}
"""Refused alone, with or without a leading underscore."""

ALLOWED = {
    ("study/looks.py", "Look.asked"): "a key of the ledger on disk",
    ("store/model_record.py", "ModelFacts.made"): "a key of the catalogue",
    ("store/weighing.py", "WordChoice.asked"): "a key of the catalogue",
    ("store/weighing.py", "SettledWords.asked"): "a key of the catalogue",
}
"""(module, dotted scope and name) → why it cannot have another name."""


SHARED = {"Options", "Subject"}
"""Class names that several modules may use, each for its own plugin or suite."""


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def bound(node: ast.AST) -> Iterator[str]:
    """Names that this node binds: assigned, a parameter, an alias, a function, a class, an attribute, a capture."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield node.asname or ""
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield node.name
    elif isinstance(node, ast.ClassDef):
        yield node.name.lower()
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        yield node.name or ""
    elif isinstance(node, ast.MatchMapping):
        yield node.rest or ""


def refused(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every refused name that is bound outside a comprehension."""
    if not any(name.lstrip("_") in REFUSED for node in parsed.nodes(source) for name in bound(node)):
        return iter(())  # so in nearly every module: scopes are worked out where there is something to report
    loops = [n.target for n in parsed.nodes(source) if isinstance(n, ast.comprehension)]
    inside = {id(name) for target in loops for name in ast.walk(target)}

    def walk(node: ast.AST, scope: str) -> Iterator[tuple[int, str]]:
        if id(node) in inside:
            return
        for name in bound(node):
            if name.lstrip("_") in REFUSED:
                yield getattr(node, "lineno", 0), f"{scope}{name}"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            scope = f"{scope}{node.name}."
        for child in ast.iter_child_nodes(node):
            yield from walk(child, scope)

    return walk(parsed.module(source), "")


@parsed.each(MODULES, name_of)
def test_names_say_what_they_name(path: Path) -> None:
    module = name_of(path)
    faults = [f"line {line}: {name}" for line, name in refused(parsed.text(path)) if (module, name) not in ALLOWED]
    assert not faults, "name the thing, not what happened to it:\n" + "\n".join(faults)


def test_a_public_class_name_means_one_thing() -> None:
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        for node in parsed.nodes(parsed.text(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in SHARED:
                homes.setdefault(node.name, []).append(name_of(path))
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


@pytest.mark.parametrize(("module", "name"), ALLOWED, ids=str)
def test_what_is_allowed_is_still_there(module: str, name: str) -> None:
    assert name in {name for _, name in refused(parsed.text(SOURCE / module))}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("found = 1", ["found"]),
        ("for one in x: pass", ["one"]),
        ("for a, (one, *own) in x: pass", ["one", "own"]),
        (
            "def f(told, /, made=0, *asked, held: int, **kept): pass",
            ["f.told", "f.made", "f.asked", "f.held", "f.kept"],
        ),
        ("async def said(): pass", ["said"]),
        ("class _Given: pass", ["_given"]),
        ("class _given:\n    wanted: int", ["_given", "_given.wanted"]),
        ("with f() as _held: pass", ["_held"]),
        ("try: pass\nexcept E as found: pass", ["found"]),
        ("if (found := f()): pass", ["found"]),
        ("g = [found for x in y if (found := f(x))]", ["found"]),
        ("self.told = 1", ["told"]),
        ("import a as made, b", ["made"]),
        ("f = lambda found: found", ["found"]),
        ("match x:\n    case [gone, *own]: pass\n    case {'a': 1, **kept}: pass", ["gone", "own", "kept"]),
        ("a = [one for one in x for own in one] + sorted({found for found in y})", []),
        ("found_hits = unasked = f(found=1)[one].made", []),
    ],
)
def test_every_binding_counts_but_a_comprehensions(source: str, names: list[str]) -> None:
    assert sorted(name for _, name in refused(source)) == sorted(names)
