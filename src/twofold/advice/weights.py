"""The weights behind the advice: a table in TOML, to be read, shown and changed. Pure but for one read of the table."""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from twofold.advice.lines import line_in, line_of
from twofold.advice.questionnaire import INQUIRIES
from twofold.errors import ConfigError

WAYS = ("base", "prompt", "classifier", "whole", "rag", "ft", "ft+rag")
"""The ways of building it, the simplest first: of two with equal scores the simpler is preferred. ``classifier`` is a
linear model on the words, ``whole`` puts all documents into the prompt; the others are arms of a study."""
ARMS: Mapping[str, str] = {
    "classifier": "linear",
    "base": "base",
    "prompt": "prompt",
    "whole": "whole",
    "rag": "rag",
    "ft": "ft",
    "ft+rag": "ft+rag",
}
"""Way → the arm by which a study measures it, the simplest first."""
NAMES: Mapping[str, str] = {
    "base": "base: the model as it is",
    "prompt": "prompt: examples in the prompt",
    "classifier": "classifier: a linear model will do",
    "whole": "whole: all documents in the prompt",
    "rag": "rag: retrieval",
    "ft": "ft: fine-tuning",
    "ft+rag": "ft+rag: fine-tuning and retrieval",
}
"""Way → words."""
MEASURED: Mapping[str, tuple[str, ...]] = {
    "model": ("small", "medium", "large"),
    "citing": ("untaught", "usual"),
    "vocabulary": ("known", "foreign"),
    "unanswerable": ("some", "none"),
    "quoted": ("documents", "partly", "elsewhere"),
    "classes": ("ample", "thin"),
    "linear": ("strong", "weak"),
    "closedbook": ("lacks", "answers"),
    "retrieval": ("gains", "little"),
    "tuning": ("gains", "little"),
}
"""Criterion that is measured and never asked → its levels."""
FOLLOWS = frozenset({"citing"})
"""Of these the criteria that follow from others (`ranking.situation`), and are never open by themselves."""
FILE = "weights.toml"
MOST_POINTS = 5.0
"""Largest number of points, either way: no opinion outweighs all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPoints:
    """The points of one level of a criterion."""

    because: str
    """Why, in words."""
    points: Mapping[str, float]
    """Way → points; a way that is not named has 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionWeight:
    """One criterion: its weight and the points of its levels."""

    weight: float
    """Factor of all its points; not negative."""
    levels: Mapping[str, LevelPoints]
    """Level → points."""

    def points(self, level: str, way: str) -> float:
        """The points of a way, without the weight; 0 for a level that nothing is known of."""
        return self.levels[level].points.get(way, 0.0) if level in self.levels else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightTable:
    """All criteria."""

    criteria: Mapping[str, CriterionWeight]
    """Name → criterion."""

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Criterion → its weight, and level → way → points, for keys and records."""
        table: dict[str, dict[str, Any]] = {}
        for name, criterion in self.criteria.items():
            points = {level: dict(entry.points) for level, entry in criterion.levels.items()}
            table[name] = {"weight": criterion.weight, "points": points}
        return table


def levels_of(criterion: str) -> tuple[str, ...]:
    """The levels that a criterion may have, asked or measured."""
    return INQUIRIES[criterion].values if criterion in INQUIRIES else MEASURED[criterion]


def shipped_text() -> str:
    """The shipped table as it is written, with its comments."""
    return (resources.files("twofold.advice") / FILE).read_text(encoding="utf-8")


@cache
def shipped() -> WeightTable:
    """The shipped table."""
    return parse(shipped_text(), file=FILE, below=WeightTable(criteria={}))


def to_toml(table: WeightTable) -> str:
    """A table as a file that `parse` reads back."""
    lines = [
        "# Weights of `twofold advise`: a way's score is the sum of weight × points over all known criteria.",
        f"# Points go from {-MOST_POINTS:g} to {MOST_POINTS:g}; a way that is not named has 0. Keep what you change.",
    ]
    for name, criterion in table.criteria.items():
        lines += ["", f"[{name}]", f"weight = {criterion.weight:g}"]
        for level, entry in criterion.levels.items():
            points = ", ".join(f"{json.dumps(way)} = {number:g}" for way, number in entry.points.items())
            lines += [f"[{name}.{level}]", f"because = {json.dumps(entry.because, ensure_ascii=False)}"]
            lines.append(f"points = {{ {points} }}" if points else "points = {}")
    return "\n".join(lines) + "\n"


def parse(text: str, *, file: str, below: WeightTable | None = None) -> WeightTable:
    """A table of weights; what it does not name is as in `below`, the shipped table by default.

    Args:
        text: TOML.
        file: Name of its file in errors.
        below: The table that it is laid over.

    Raises:
        ConfigError: it is no TOML, or names a criterion, level or way that there is not, or a number out of range;
            with file, line and the nearest name.
    """
    below = shipped() if below is None else below
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of which one is that it is no TOML
        raise ConfigError(
            f"invalid TOML: {error}", file=file, line=line_in(error), cure="Correct the named line."
        ) from error
    criteria = dict(below.criteria)
    for name, values in table.items():
        place = _Place(file=file, text=text, path=(name,))
        place.require(name, (*INQUIRIES, *MEASURED), "criterion")
        criteria[name] = _criterion(name, values, place, criteria.get(name))
    return WeightTable(criteria=criteria)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A key of the file, for errors."""

    file: str
    text: str
    path: tuple[str, ...]

    def at(self, key: str) -> _Place:
        return _Place(file=self.file, text=self.text, path=(*self.path, key))

    def error(self, message: str, cure: str) -> ConfigError:
        return ConfigError(
            f"{'.'.join(self.path)}: {message}", file=self.file, line=line_of(self.text, self.path), cure=cure
        )

    def require(self, name: str, known: Sequence[str], what: str) -> None:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            meant = f"Did you mean {near[0]}? " if near else ""
            raise self.error(f"there is no {what} {name!r}", f"{meant}Name one of {', '.join(known)}.")


def _criterion(name: str, values: Any, place: _Place, below: CriterionWeight | None) -> CriterionWeight:
    if not isinstance(values, dict):
        raise place.error(f"{values!r} is no table", f"Write [{name}] and under it weight = 1.")
    levels = dict(below.levels) if below else {}
    weight = below.weight if below else 1.0
    for key, value in values.items():
        here = place.at(key)
        if key == "weight":
            weight = _number(value, here, 0.0, 100.0)
            continue
        here.require(key, (*levels_of(name), "weight"), "level")
        levels[key] = _level(value, here, levels.get(key))
    return CriterionWeight(weight=weight, levels=levels)


def _level(values: Any, place: _Place, below: LevelPoints | None) -> LevelPoints:
    if not isinstance(values, dict):
        raise place.error(f"{values!r} is no table", "Write points = { rag = 1 } below the level's name.")
    because = below.because if below else ""
    points = dict(below.points) if below else {}
    for key, value in values.items():
        here = place.at(key)
        here.require(key, ("because", "points"), "key")
        if key == "because":
            if not isinstance(value, str):
                raise here.error(f"{value!r} is no text", 'Write because = "a sentence".')
            because = value
            continue
        if not isinstance(value, dict):
            raise here.error(f"{value!r} is no table", 'Write points = { rag = 1, "ft+rag" = 0.5 }.')
        for way, number in value.items():
            here.at(way).require(way, WAYS, "way")
            points[way] = _number(number, here.at(way), -MOST_POINTS, MOST_POINTS)
    return LevelPoints(because=because, points=points)


def _number(value: Any, place: _Place, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise place.error(f"{value!r} is no number", f"Write a number from {low:g} to {high:g}.")
    if not low <= value <= high:
        raise place.error(f"{value!r} is out of range", f"Write a number from {low:g} to {high:g}.")
    return float(value)
