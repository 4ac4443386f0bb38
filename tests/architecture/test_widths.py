"""How much a class offers and a function is handed: a house is lived in where both are few."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import parsed
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "twofold"
MODULES = sorted(SOURCE.rglob("*.py"))
MOST_METHODS = 20
MOST_COLLABORATORS = 3
LEAST_PARTS = 3
"""A function that uses fewer parts of the workspace is given these parts."""
COLLABORATORS = {
    *("Workspace", "Models", "Search", "Systems", "Adapters", "Arms"),  # the workspace and its parts
    *("Project", "Material", "Versions", "TunedModels", "Eraser"),
    *("Catalogue", "Artifacts", "Registry", "Forgotten"),  # stores
    *("Embedder", "Chunker", "Index", "Retriever", "Generator", "Trainer", "System", "Renderer"),  # workers
}
"""Types of objects that work, in contrast to values: configuration, records, functions."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def classes(path: Path) -> Iterator[ast.ClassDef]:
    return (node for node in parsed.nodes(parsed.text(path)) if isinstance(node, ast.ClassDef))


def public_methods(node: ast.ClassDef) -> set[str]:
    """Names, so that a property and its setter count once."""
    return {part.name for part in node.body if isinstance(part, Function) and not part.name.startswith("_")}


def parameters(node: Function) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def collaborators(node: Function) -> list[str]:
    """Parameters whose type is that of a collaborator, or of one that may be missing."""
    types = {arg.arg: ast.unparse(arg.annotation) if arg.annotation else "" for arg in parameters(node)}
    return [name for name, annotated in types.items() if annotated.removesuffix(" | None") in COLLABORATORS]


def too_narrow(node: Function) -> list[str]:
    """Parameters that get the workspace, which the function neither hands on nor uses `LEAST_PARTS` of."""
    faults = []
    for arg in parameters(node):
        if arg.annotation is None or ast.unparse(arg.annotation) != "Workspace":
            continue
        parts = {
            part.attr
            for part in ast.walk(node)
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == arg.arg
        }
        opened = [id(part.value) for part in ast.walk(node) if isinstance(part, ast.Attribute)]
        handed_on = any(
            isinstance(part, ast.Name) and part.id == arg.arg and id(part) not in opened for part in ast.walk(node)
        )
        # `of` gives the parts by which the model of an arm answers, and with them any.
        if len(parts) < LEAST_PARTS and not handed_on and "of" not in parts:
            faults.append(f"line {node.lineno}: {node.name} uses {', '.join(sorted(parts)) or 'none'} of the workspace")
    return faults


@parsed.each(MODULES, name_of)
def test_widths(path: Path) -> None:
    """Methods of classes, collaborators of functions, and who may be given the whole workspace."""
    faults = []
    for node in classes(path):
        count = len(public_methods(node))
        if count > MOST_METHODS:
            faults.append(f"{node.name} has {count} public methods; at most {MOST_METHODS}")
    for function in parsed.nodes(parsed.text(path)):
        if isinstance(function, Function):
            used = collaborators(function)
            if len(used) > MOST_COLLABORATORS:
                faults.append(f"line {function.lineno}: {function.name} takes {', '.join(used)}")
            faults += too_narrow(function)
    assert not faults, "\n".join(faults)


def test_the_collaborators_exist() -> None:
    """A name that is renamed would be counted by nobody."""
    defined = {node.name for path in MODULES for node in classes(path)}
    assert defined >= COLLABORATORS


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("def f(workspace: Workspace) -> None: workspace.search.index", True),
        ("def f(workspace: Workspace) -> None: g(workspace)", False),
        ("def f(workspace: Workspace) -> None: workspace.search, workspace.models, workspace.catalogue", False),
        ("def f(search: Search) -> None: search.index", False),
    ],
)
def test_who_uses_one_part_is_not_given_the_workspace(text: str, refused: bool) -> None:
    [function] = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    assert bool(too_narrow(function)) is refused
