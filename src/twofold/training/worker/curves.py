"""The course of a run as it goes on: a line of JSON a step, and a picture of it, drawn anew at every checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from itertools import chain
from pathlib import Path

from twofold.files import writing
from twofold.types import Json

LOG, PLOT = "training.log.jsonl", "training.svg"
_WIDTH, _HEIGHT, _EDGE = 640, 220, 44
_COLOURS = ("#1f6feb", "#bc4c00", "#2da44e", "#8250df")


class Log:
    """Appends to the log of a run; lines after `step`, which a killed run left, are taken out first."""

    def __init__(self, directory: Path, *, step: int, on: bool = True) -> None:
        self._on = on
        self._path = directory / LOG
        if on:
            earlier = [line for line in lines_of(directory) if line.get("step", 0) <= step]
            self._path.write_text("".join(json.dumps(line) + "\n" for line in earlier), encoding="utf-8")

    def tell(self, **values: object) -> None:
        """Append one line; it can be read at once."""
        if self._on:
            with self._path.open("a", encoding="utf-8") as out:
                out.write(json.dumps(values) + "\n")


def lines_of(directory: Path) -> list[Json]:
    """The lines of the log; one that a kill cut short is left out."""
    path = directory / LOG
    entries: list[Json] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def averaged(losses: Sequence[float], points: int) -> list[tuple[int, float]]:
    """The losses of all steps as at most so many points: (last step of a stretch, mean loss of the stretch)."""
    width = max(1, math.ceil(len(losses) / points))
    curve = []
    for start in range(0, len(losses), width):
        stretch = losses[start : start + width]
        curve.append((start + len(stretch), sum(stretch) / len(stretch)))
    return curve


def draw(directory: Path, *, metric: str) -> None:
    """Write the picture: losses above, the dev split's task metric below."""
    lines = lines_of(directory)

    def curve(key: str) -> list[tuple[int, float]]:
        return [(line["step"], line[key]) for line in lines if line.get(key) is not None]

    losses = {
        "training loss": curve("loss"),
        "dev loss": curve("dev_loss"),
        "loss on other things": curve("general_loss"),
    }
    scores = {f"{metric} on dev": curve("dev"), "known facts": curve("known_facts")}
    body = "".join(_panel(series, top=number * _HEIGHT) for number, series in enumerate((losses, scores)))
    writing.write(
        directory / PLOT,
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {2 * _HEIGHT}" font-family="sans-serif" '
        f'font-size="11"><title>Training</title><rect width="100%" height="100%" fill="#fff"/>{body}</svg>\n',
    )


def _panel(series: dict[str, list[tuple[int, float]]], *, top: int) -> str:
    points = list(chain.from_iterable(series.values()))
    if not points:
        return ""
    right = max(1, *(step for step, _ in points))
    low = min(value for _, value in points)
    high = max(value for _, value in points)
    span = (high - low) or 1.0

    def place(step: float, value: float) -> tuple[float, float]:
        x = _EDGE + step / right * (_WIDTH - 2 * _EDGE)
        return x, top + _HEIGHT - _EDGE - (value - low) / span * (_HEIGHT - 2 * _EDGE)

    shapes = [_text(4, place(0, low)[1], f"{low:.3g}"), _text(4, place(0, high)[1], f"{high:.3g}")]
    shapes.append(_text(_WIDTH - _EDGE, top + _HEIGHT - _EDGE / 2, f"step {right}", end=True))
    names = [name for name, curve in series.items() if curve]
    for number, name in enumerate(names):
        colour = _COLOURS[number % len(_COLOURS)]
        shapes.append(_curve([place(*point) for point in series[name]], colour))
        shapes.append(_text(_EDGE + number * 180, top + 16, name, colour=colour))
    return "".join(shapes)


def _curve(points: Sequence[tuple[float, float]], colour: str) -> str:
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    drawn = f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    return drawn + (dots if len(points) <= 24 else "")


def _text(x: float, y: float, text: str, *, colour: str = "#333", end: bool = False) -> str:
    anchor = ' text-anchor="end"' if end else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{anchor}>{escape(text)}</text>'
