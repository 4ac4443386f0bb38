"""The map of the code, written from the code: a page with every room and who enters it, and its picture."""

from __future__ import annotations

import ast
import textwrap
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import twofold

SOURCE = Path(twofold.__file__).parent
_WIDTH = 1200
"""Of the picture, pixels."""
_MARGIN = 40
"""Left of the boxes, where the number of the layer stands."""
_GAP = 10
_LINE = 14
"""Pixels from one line of small text to the next."""
_LETTER = 6.1
"""Average width in pixels of a letter at 11 px, for breaking lines; a little wide, so that no text leaves its box."""


@dataclass(slots=True)
class Room:
    """A package or module directly under ``twofold``, or a package within one."""

    name: str
    purpose: str = ""
    """First sentence of the docstring."""
    files: int = 0
    entered_by: set[str] = field(default_factory=set)
    """Rooms of the first level that import it."""


def layers() -> list[list[str]]:
    """The layer lines of ``pyproject.toml`` in the working directory, top first, each with its rooms."""
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    for contract in settings["contracts"]:
        if contract["name"] == "imports go down":
            return [line.replace("|", " ").replace(":", " ").split() for line in contract["layers"]]
    raise ValueError("pyproject.toml has no contract 'imports go down'")


def page() -> str:
    """``map.md``: the rooms by layer, with one sentence each and the rooms that enter them."""
    rooms = _rooms()
    text = [
        "# Map of the code",
        "",
        "Imports go down: a room imports rooms of lower lines only, never of higher ones; import-linter holds it. "
        "The two walks through this house are in [architecture](../architecture.md).",
        "",
        "![The rooms of twofold, one line of the picture per layer](map.svg)",
        "",
    ]
    for number, line in zip(range(len(layers()), 0, -1), layers(), strict=True):
        text += [f"## {number}. {', '.join(line)}", "", "| room | what it does | files | entered by |"]
        text += ["| --- | --- | --- | --- |"]
        for name in line:
            text += [_row(rooms[each]) for each in sorted(rooms) if each == name or each.startswith(f"{name}.")]
        text += [""]
    return "\n".join(text).rstrip() + "\n"


def picture() -> str:
    """``map.svg``: one row per layer, one box per room."""
    rooms = _rooms()
    boxes = []
    top = 16.0
    for number, line in zip(range(len(layers()), 0, -1), layers(), strict=True):
        drawn, height = _drawn_line([rooms[name] for name in line], top)
        boxes += [f'<text class="n" x="14" y="{top + 20:.0f}">{number}</text>', *drawn]
        top += height + _GAP
    style = (
        "text{font:11px system-ui,sans-serif;fill:#333}.t{font-weight:600;font-size:13px;fill:#111}"
        ".n{font-size:13px;fill:#888}rect{fill:#f5f7fa;stroke:#b8c4d0}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top + 6:.0f}" role="img">'
        f"<title>The rooms of twofold by layer</title><style>{style}</style>\n"
        f'<rect x="0" y="0" width="{_WIDTH}" height="{top + 6:.0f}" style="fill:#fff;stroke:none"/>\n'
        + "\n".join(boxes)
        + "\n</svg>\n"
    )


def _drawn_line(rooms: Sequence[Room], top: float) -> tuple[list[str], float]:
    """The boxes of one layer and their height in pixels."""
    width = (_WIDTH - _MARGIN - _GAP * len(rooms)) / len(rooms)
    texts = [textwrap.wrap(room.purpose, int((width - 16) / _LETTER))[:5] for room in rooms]
    height = 34 + _LINE * max(len(text) for text in texts) + 4
    drawn = []
    for position, (room, text) in enumerate(zip(rooms, texts, strict=True)):
        left = _MARGIN + position * (width + _GAP)
        drawn.append(f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{height:.0f}" rx="5"/>')
        drawn.append(f'<text class="t" x="{left + 8:.0f}" y="{top + 20:.0f}">{escape(room.name)}</text>')
        for number, part in enumerate(text):
            drawn.append(f'<text x="{left + 8:.0f}" y="{top + 38 + _LINE * number:.0f}">{escape(part)}</text>')
    return drawn, height


def _row(room: Room) -> str:
    entered = ", ".join(sorted(room.entered_by)) or "nobody"
    return f"| `{room.name}` | {room.purpose.replace('|', ' ')} | {room.files} | {entered} |"


def _rooms() -> Mapping[str, Room]:
    """Every room by its dotted name without ``twofold.``."""
    rooms: dict[str, Room] = defaultdict(lambda: Room(""))
    modules = {_dotted(path): path for path in sorted(SOURCE.rglob("*.py"))}
    for name, path in modules.items():
        if not name:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        package = name if path.stem == "__init__" else name.rpartition(".")[0] or name
        # A file counts for its package and for every package around it.
        for room in _with_parents(package):
            rooms[room].name = room
            rooms[room].files += 1
        if package == name:
            rooms[name].purpose = _purpose(ast.get_docstring(tree) or "")
        inside = name.partition(".")[0]
        for imported in _imports(tree, modules):
            target = imported if modules[imported].stem == "__init__" else imported.rpartition(".")[0] or imported
            for room in _with_parents(target):
                # Imports within one room are its own business.
                if room.partition(".")[0] != inside:
                    rooms[room].entered_by.add(inside)
    return dict(rooms)


def _purpose(docstring: str) -> str:
    """The first sentence, on one line, double back-quotes as single ones."""
    first = " ".join(docstring.partition("\n\n")[0].split()).replace("``", "`")
    return first.removesuffix(" Pure.")


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])


def _dotted(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.Module, modules: Mapping[str, Path]) -> Iterator[str]:
    """Modules of ``twofold`` that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "twofold":
            package = node.module.partition(".")[2]
            for alias in node.names:
                inner = f"{package}.{alias.name}".lstrip(".")
                if inner in modules:
                    yield inner
                elif package in modules and package:
                    yield package
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[2] for alias in node.names if alias.name.partition(".")[2] in modules)
