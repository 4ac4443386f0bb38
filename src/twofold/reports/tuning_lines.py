"""Forgetting of tuned weights, the share of the change that was kept, and methods compared, as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twofold.forgetting.suite import outcome
from twofold.verdict.record import counted, estimate_text, number_text
from twofold.verdict.wording import metric_title

GROUPS = (("general", "general ability"), ("refusal", "refusing and abstaining"))
"""Groups of the forgetting suite → what they are called in reports."""


def tuned_lines(training: Mapping[str, Any] | None) -> list[str]:
    """Rows that were cut, the gate's two lines and what merging back did; nothing where there is nothing to say."""
    gate, merged = (training.get("gate"), training.get("merge_back")) if training else (None, None)
    lines = _cut_lines(training or {})
    if not gate:
        return lines
    for group, what in GROUPS:
        line = gate[group]
        says = {"passed": "passes", "open": "is open in", "failed": "FAILS"}[outcome(line)]
        on = f"{counted(line['drop']['n'], 'item')}, allowed {number_text(line['limit'])}"
        if "sees" in line:
            on += f"; a drop of {number_text(line['sees'])} would have failed it"
        lines.append(f"{says} the forgetting gate: drop of {what} {estimate_text(line['drop'])} ({on})")
    if merged:
        lines.append(
            f"merging back: {100 * merged['coefficient']:g} % of what training changed is used; {merged['because']}"
        )
    return lines


def _cut_lines(training: Mapping[str, Any]) -> list[str]:
    effects = {
        # An answer without its end token teaches the model never to stop.
        "answers": "lost their end, and with it the token that ends an answer",
        "prompts": "lost the beginning of their last message",
    }
    lines: list[str] = []
    for what, effect in effects.items():
        if training.get(f"cut_{what}"):
            lines.append(
                f"warning: {training[f'cut_{what}']} of {training['rows']} training {what} did not fit into "
                f"max_length = {training['max_length']} and {effect}; raise [tuning.trainer.options].max_length"
            )
    return lines


def methods_lines(arm: str, methods: Sequence[Mapping[str, Any]]) -> list[str]:
    """The methods compared for one arm as a table, a line for each; nothing where there was one."""
    if not methods:
        return []
    metric = methods[0]["metric"]
    score = f"dev {metric_title(metric)}"
    table = [[f"methods of {arm}", score, "ability lost", "gate", "share", "p50 s", "steps", "minutes", "MB", "trials"]]
    for method in methods:
        pace = (method["latency"] or {}).get("p50")
        drop = method["drop"]
        table.append(
            [
                f"{'*' if method['carried'] else ' '} {method['method']}",
                estimate_text(method["dev"]),
                estimate_text(drop) if drop else "-",
                (method["gate"] or "-").replace("failed", "FAILED"),
                f"{method['coefficient']:g}",
                "-" if pace is None else f"{pace:.2f}",
                _steps(method.get("effort")),
                "-" if method["seconds"] is None else f"{method['seconds'] / 60:.1f}",
                f"{method['bytes'] / 1e6:.1f}",
                str(method["trials"]),
            ]
        )
    sizes = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(str.ljust, row, sizes)).rstrip() for row in table]


def runs_lines(arm: str, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The training runs of one arm, a line for each; nothing where there was one."""
    lines = []
    for row in runs:
        score = f"dev {metric_title(row['metric'])} {estimate_text(row['dev'])}"
        gate = f", gate {row['gate'].replace('failed', 'FAILED')}" if row["gate"] else ""
        lines.append(
            f"{'*' if row['carried'] else ' '} {arm}@{row['run']}: seed {row['seed']}, {score}{gate}, {row['model']}"
        )
    return lines


def _steps(effort: Mapping[str, Any] | None) -> str:
    if not effort:
        return "-"
    return f"{effort['steps']} of {effort['planned']}" + ("" if effort["chance"] else ", unfinished")
