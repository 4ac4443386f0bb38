"""Python sources as trees, each parsed and walked once a process: hundreds of tests read the same modules."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path


def each(
    paths: Iterable[Path], name_of: Callable[[Path], str]
) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Make a test of a file one of all these files, which names every file that fails and why.

    As a parameter of its own each file costs 2 ms of pytest and of its messages between processes, far more than what
    is checked: six thousand of them are 14 s of a run.
    """

    def of_all(test: Callable[[Path], None]) -> Callable[[], None]:
        def run() -> None:
            faults = []
            for path in paths:
                try:
                    test(path)
                except Exception as fault:
                    faults.append(f"{name_of(path)}: {type(fault).__name__}: {fault}")
            assert not faults, "\n".join(faults)

        # Not `wraps`: pytest would look through it for the path as a fixture.
        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        return run

    return of_all


@cache
def text(path: Path) -> str:
    """The source of a module."""
    return path.read_text(encoding="utf-8")


@cache
def module(source: str) -> ast.Module:
    """The tree of a source, which nobody may change."""
    return ast.parse(source)


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """All that `ast.walk` gives of a source, in its order."""
    return tuple(ast.walk(module(source)))


@cache
def calls(source: str) -> list[tuple[ast.Call, str]]:
    """Every call with the dotted name of what is called."""
    return [(node, dotted(node.func)) for node in nodes(source) if isinstance(node, ast.Call)]


def dotted(node: ast.expr) -> str:
    """What `ast.unparse` gives, at once where it is a name or an attribute of one."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
        return f"{dotted(node.value)}.{node.attr}"
    return ast.unparse(node)
