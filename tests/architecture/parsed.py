"""Python sources as trees, each parsed and walked once a process: hundreds of tests read the same modules."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


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
