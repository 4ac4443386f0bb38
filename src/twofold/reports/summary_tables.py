"""Tables of a study's summary as lines of text: columns that are aligned, and what became of the tuned arms. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twofold.reports.tuning_lines import methods_lines, tuned_lines
from twofold.verdict.effort import effort_table


def aligned(table: Sequence[Sequence[str]], first: int) -> list[str]:
    """A line for each row, in columns; the first column is at least `first` characters wide."""
    sizes = [max(map(len, column)) for column in zip(*table, strict=True)]
    sizes[0] = max(sizes[0], first)
    table = [[("  " + row[0] if index == 0 else row[0]), *row[1:]] for index, row in enumerate(table)]
    return ["  ".join(map(str.ljust, row, sizes)) for row in table]


def training_lines(arms: Mapping[str, Any], runs: Sequence[Sequence[str]], width: int) -> list[str]:
    """Effort, tuned weights, compared methods and runs of the tuned arms, each block with an empty line after it."""
    lines: list[str] = []
    efforts = effort_table(arms)
    if efforts:
        indented = [efforts[0], *(["  " + row[0], *row[1:]] for row in efforts[1:])]
        lines += ["effort of the tuned arms:", *aligned(indented, width), ""]
    tuned: list[str] = []
    for name, arm in arms.items():
        tuned += [f"  {name}: {line}" for line in tuned_lines(arm["training"])]
    if tuned:
        lines += ["tuned weights:", *tuned, ""]
    for name, arm in arms.items():
        compared = methods_lines(name, arm["training"].get("methods", ()) if arm["training"] else ())
        lines += [*compared, ""] if compared else []
    indented = [[f"  {row[0]}" if number else row[0], *row[1:]] for number, row in enumerate(runs)]
    lines += ["training runs:", *aligned(indented, width), ""] if runs else []
    return lines
