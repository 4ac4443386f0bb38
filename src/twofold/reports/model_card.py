"""The card of a tuned model: one self-contained Markdown page.

Its front matter is that of model hubs (licence, base model), so that the page is a README there as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from twofold.forgetting import suite
from twofold.plugins.results import ExportedForm
from twofold.store.model_record import AliasMove, ModelRecord, Seen
from twofold.store.model_registry import short
from twofold.types import Json
from twofold.verdict.record import estimate_text
from twofold.verdict.wording import percent

_FACTS = ("steps", "best_step", "epochs", "rows", "tokens", "tokens_per_second", "peak_mib", "seconds", "stopped")
"""Entries of a training report that the card shows."""
_TURN = {"closed-book": "from the question alone", "open-book": "from passages found for the question"}
"""Kind of tuning → how the model was taught to answer."""


class Measurement(TypedDict):
    """One measurement of a model."""

    source: str
    """Where it was measured: ``dev``, a study and arm, or a comparison."""
    metric: str
    estimate: Json
    """``mean``, ``low``, ``high``, ``n`` and ``failed``."""
    level: float | None
    """Level of the interval: a study's look, say; None: not recorded."""


class DescribedModel(ModelRecord):
    """A tuned model with all that is known of it."""

    measured: list[Measurement]
    comparisons: dict[str, Json]
    """Name → the stored record of a comparison (`lifecycle.record.Retrained.to_json`), and ``at``."""
    moves: list[AliasMove]
    """The moves of aliases from or to it."""


def card(record: DescribedModel, exports: Sequence[ExportedForm] = ()) -> str:
    """The page; with `exports`, the forms that the model was written in."""
    base = record["base"]
    licence = base.get("licence") or ""
    # Keys of the front matter that model hubs read.
    front = {
        # American spelling: the hub's key.
        "license": licence.lower() or "unknown",
        "base_model": base["model"],
        "library_name": "peft",
        "tags": "[twofold, fine-tuned]",
    }
    remark = "" if record["here"] else " Its files are gone."
    parts = [
        "---\n" + "\n".join(f"{key}: {value}" for key, value in front.items()) + "\n---",
        f"# {record['id']}",
        f"{base['model']}, tuned by {record['method']} to answer {_TURN.get(record['tuning'], record['tuning'])} "
        f"(arm `{record['arm']}`). Made {record['made']}.{remark}",
        _identity(record, licence),
        "## What it learned from\n\n" + _data(record),
        "## Measured\n\n" + _measured(record),
        "## Forgetting\n\n" + _gate(record.get("gate"), record.get("merge_back") or {}),
        "## How it was trained\n\n" + _training(record),
        "## Where it comes from\n\n" + _lineage(record),
        "## Files\n\n" + _table(("file", "sha256"), [(f"`{n}`", f"`{sha}`") for n, sha in record["files"].items()]),
    ]
    if exports:
        parts.append("## Exports\n\n" + _exports(exports))
    return "\n\n".join(parts) + "\n"


def _identity(record: DescribedModel, licence: str) -> str:
    base = record["base"]
    rows = [
        ("id", f"`{record['id']}`"),
        ("key (what was to be made)", f"`{record['key']}`"),
        ("aliases", ", ".join(record["aliases"]) or "none"),
        ("base", base["model"]),
        ("base source", f"`{base['source']}`" if base.get("source") else "not recorded"),
        ("base revision", f"`{base['revision']}`" if base.get("revision") else "not recorded"),
        ("licence of the base", licence or "not known: ask its author before passing this on"),
        ("prompt template", f"`{record['template']}`"),
        ("seed", "not recorded" if record.get("seed") is None else str(record["seed"])),
        ("size", f"{record['bytes'] / 2**20:.1f} MiB"),
    ]
    return _table(("", ""), rows)


def _data(record: DescribedModel) -> str:
    data = record["data"]
    rows: list[tuple[str, str, str]] = []
    for name in ("train", "dev"):
        if name in data:
            rows.append((name, str(data[name]["examples"]), f"`{data[name]['digest']}`"))
    if "job" in data:
        rows.append(("rows", str(data["rows"]), f"`{data['job']}`"))
    table = _table(("part", "number", "digest"), rows) if rows else f"{data.get('rows', 'unknown')} rows."
    lines = [table]
    if record.get("documents"):
        lines.append(f"Made from {record['documents']} documents.")
    seen = record.get("seen")
    if seen is not None:
        lines.append(_seen(seen))
    return "\n\n".join(lines)


def _seen(seen: Seen) -> str:
    """The documents kept from a model, and so the questions that its measured scores hold for."""
    if seen["everything"]:
        return (
            "It learned from all documents, those of the test questions too: no study may use it, and scores on those "
            "questions hold for known documents only."
        )
    statement = f"Documents that only test questions are about, and that it has not seen: {seen['kept_out']}."
    if seen["unnamed"]:
        statement += f" Test questions that name no document, so that it may have seen theirs: {seen['unnamed']}."
    return statement


def _measured(record: DescribedModel) -> str:
    rows = [(row["source"], row["metric"], estimate(row["estimate"]), level_text(row)) for row in record["measured"]]
    table = (
        _table(("where", "metric", "mean [interval], questions", "level"), rows)
        if rows
        else ("Not measured on held-out questions yet: run `twofold study`.")
    )
    compared = [f"- {row['at'][:10]}: {row['because']}" for row in record["comparisons"].values()]
    return "\n\n".join([table, *(["\n".join(compared)] if compared else [])])


def _gate(gate: Json | None, merged: Json) -> str:
    if gate is None:
        return "Not gated: what tuning made the model forget was not measured."
    outcome = {"passed": "passed", "failed": "FAILED", "open": "is open"}[suite.outcome(gate)]
    lines = [f"The forgetting gate {outcome}."]
    because = gate.get("because")
    if because:
        lines.append("; ".join([because] if isinstance(because, str) else because) + ".")
    rows = []
    for name in ("general", "refusal"):
        if isinstance(gate.get(name), dict) and "drop" in gate[name]:
            rows.append(
                (name, estimate(gate[name]["base"]), estimate(gate[name]["tuned"]), estimate(gate[name]["drop"]))
            )
    if rows:
        lines.append("\n\n" + _table(("ability", "base", "tuned", "drop"), rows))
    if merged.get("coefficient") is not None:
        lines.append(f"\n\nShare of the tuned change that is kept: {merged['coefficient']:g} ({merged['because']}).")
    return " ".join(lines).replace(" \n", "\n")


def _training(record: DescribedModel) -> str:
    report = record["report"]
    trainer = record["trainer"]
    facts = []
    for name in _FACTS:
        if name in report:
            value = report[name]
            facts.append((name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    options = [(f"{trainer['name']}.{key}", f"`{value}`") for key, value in sorted(trainer["options"].items())]
    return _table(("", ""), [*facts, *options])


def _lineage(record: DescribedModel) -> str:
    parent = record["lineage"].get("from")
    lines = [
        f"Retrained in place of `{parent}`, from the base weights: {record['lineage'].get('new', 0)} new examples, "
        f"{record['lineage'].get('gone', 0)} taken out."
        if parent
        else "Trained from the base weights; it follows no earlier model."
    ]
    # Who promoted it and why: an audit needs no access to the catalogue.
    for move in record["moves"]:
        before = f"`{short(move['before'])}`" if move["before"] else "nothing"
        why = f" ({move['why']})" if move["why"] else ""
        lines.append(
            f"- {move['at'][:19]} {move['who']}: {move['action']} `{move['alias']}` from {before} "
            f"to `{short(move['after'])}`{why}"
        )
    return "\n".join([lines[0], "", *lines[1:]]).rstrip()


def _exports(receipts: Sequence[ExportedForm]) -> str:
    rows = []
    for receipt in receipts:
        p = receipt["parity"]
        rows.append(
            (
                receipt["format"],
                f"{p['greedy']} of {p['prompts']}",
                f"{p['logits']:.2g}",
                f"{p['moved']:.3g}",
                p["reader"],
            )
        )
    heads = ("format", "prompts continued alike", "largest logit difference", "tuning moves a logit by", "read by")
    return _table(heads, rows)


def level_text(row: Measurement) -> str:
    """The level of a measurement's interval: ``97 %``."""
    return "not recorded" if row["level"] is None else percent(row["level"])


def estimate(value: Json) -> str:
    """A mean with its interval and number, never without."""
    failed = f", {value['failed']} failed" if value.get("failed") else ""
    return f"{estimate_text(value)}, n = {value['n']}{failed}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(heads), ["---"] * len(heads)]
    for row in rows:
        lines.append([cell.replace("|", "\\|").replace("\n", " ") for cell in row])  # a bar would begin another cell
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
