"""`twofold bench`: measure a part of the project on its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from twofold.cli import where
from twofold.cli.session import Run, command, parse_settings, require_known
from twofold.cli.terminal import console
from twofold.errors import ConfigError

app = typer.Typer(
    help="Measure a part of the project on its own.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)


def retrieval(
    run: Run,
    *,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            "--variant",
            metavar="NAME:KEY=VALUE,…",
            help="A pipeline to compare with the project's own, such as words:retrieval.retriever.name=lexical. "
            "Repeatable.",
        ),
    ] = None,
    ablation: Annotated[
        bool,
        typer.Option("--ablation", help="Switch off each stage of the pipeline in turn and report which stages help."),
    ] = False,
    weigh: Annotated[
        bool,
        typer.Option(
            "--weigh", help="Try weights of the lexical search on train and dev questions and report the best."
        ),
    ] = False,
    synthetic: Annotated[
        int | None,
        typer.Option("--synthetic", metavar="N", min=1, help="Use N questions generated from the documents."),
    ] = None,
    split: Annotated[
        str,
        typer.Option("--split", metavar="SPLIT", help="open (train and dev together), train, dev or test."),
    ] = "open",
    unit: Annotated[
        str, typer.Option("--unit", metavar="UNIT", help="Unit to rank: document or passage.")
    ] = "document",
    on: where.On = "",
) -> None:
    """Measure the quality of retrieval: nDCG@10, recall@10 and MRR with intervals, and milliseconds per query."""
    run = where.placed(run, on)
    require_known("--split", split, SPLITS)
    require_known("--unit", unit, UNITS)
    # Choosing on the test would flatter whatever is chosen.
    if (weigh or ablation) and split == "test":
        flag = "--weigh" if weigh else "--ablation"
        raise ConfigError(
            f"{flag} cannot use the split {split}: a setting chosen on this split cannot be measured on it",
            cure="Omit --split, or name train or dev.",
        )
    variants = dict(parse_variant(text) for text in variant or [])
    with run.project() as project, run.progress() as progress:
        report = project.bench(
            variants,
            ablation=ablation,
            weigh=weigh,
            synthetic=synthetic or 0,
            split=split,
            unit=unit,
            progress=progress,
        )
    for warning in report["warnings"]:
        run.note(f"warning: {warning}")
    if run.json:
        run.result(report)
    else:
        show_bench(report)


SPLITS = ("open", "train", "dev", "test")
"""``open``: train and dev together, on which settings may be chosen."""
UNITS = ("document", "passage")
"""A hit is right when it is of the right document, or holds the right passage."""

command(app, "retrieval")(retrieval)


def parse_variant(text: str) -> tuple[str, dict[str, Any]]:
    """``name:retrieval.k=5,retrieval.retriever.name=dense`` as a name and nested values.

    A comma within brackets or quotes belongs to the value.

    Raises:
        ConfigError: there is no name, or a setting is malformed.
    """
    name, mark, rest = text.partition(":")
    if not mark or not re.fullmatch(r"[\w.+ -]+", name.strip()) or not rest.strip():
        raise ConfigError(
            f"--variant {text!r} is not NAME:KEY=VALUE,…",
            cure="Write a name and settings, such as --variant more:retrieval.k=5.",
        )
    return name.strip(), parse_settings(_split(rest))


def _split(text: str) -> list[str]:
    parts = []
    depth = 0
    quote = ""
    start = 0
    # A value may hold commas (lists, tables, quoted text): only those outside brackets and quotes divide settings.
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        elif sign == "," and not depth:
            parts.append(text[start:place])
            start = place + 1
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def show_bench(report: Mapping[str, Any]) -> None:
    """Print the measurement as tables."""
    from rich.table import Table

    from twofold.reports.word_weight import sentence
    from twofold.verdict.record import counted, true_minus

    screen = console()
    questions, groups = counted(report["questions"], "question"), counted(report["groups"], "group")
    screen.print(f"{questions} ({report['split']}) in {groups}, by {report['unit']}")
    metrics = list(next(iter(report["pipelines"].values()))["metrics"])
    table = _table(Table, "pipeline", *metrics, "p50 ms", "p95 ms", "tokens")
    for name, row in report["pipelines"].items():
        ms = row["ms"]
        paces = [f"{ms['p50']:.1f}", f"{ms['p95']:.1f}"] if ms else ["-", "-"]
        table.add_row(name, *(_text(row["metrics"][m]) for m in metrics), *paces, f"{row['tokens']:.0f}")
    screen.print(table)
    if report["differences"]:
        table = _table(Table, "difference", *metrics)
        names = dict.fromkeys((d["pipeline"], d["against"]) for d in report["differences"])
        for pipeline, against in names:
            estimates = {d["metric"]: d["estimate"] for d in report["differences"] if d["pipeline"] == pipeline}
            table.add_row(true_minus(f"{pipeline} - {against}"), *(_text(estimates[m]) for m in metrics))
        screen.print(table)
    if report.get("words"):
        screen.print(sentence(report["words"]), markup=False)
    if report.get("ablation"):
        show_ablation(report["ablation"], screen, Table)
    if report.get("blend"):
        show_blend(report["blend"], screen, Table)
    if report.get("abstention"):
        show_abstention(report["abstention"], screen)


def show_ablation(ablation: dict[str, Any], screen: Any, table_class: Any) -> None:
    """Print what each stage brings and costs."""
    from twofold.verdict.record import true_minus

    table = _table(
        table_class, "stage", f"{ablation['metric']} with", "without", "difference", "ms", "tokens", "advice"
    )
    for row in ablation["stages"]:
        table.add_row(
            row["stage"],
            _text(row["with"]),
            _text(row["without"]),
            _text(row["difference"]),
            "-" if row["ms"] is None else true_minus(f"{row['ms']:+.1f}"),
            true_minus(f"{row['tokens']:+.0f}"),
            row["advice"],
        )
    screen.print(table)


def show_blend(blend: dict[str, Any], screen: Any, table_class: Any) -> None:
    """Print what each weight of the word leg is worth, and which to take."""
    from twofold.verdict.record import true_minus

    table = _table(table_class, "words' weight", blend["metric"], "gain", "standard error", "believed")
    for row in blend["weights"]:
        numbers = [true_minus(f"{row['gain']:+.3f}"), f"{row['error']:.3f}", true_minus(f"{row['believed']:+.3f}")]
        table.add_row(f"{row['weight']:g}", f"{row['mean']:.3f}", *numbers)
    screen.print(table)
    if blend["synthetic"]:
        screen.print("nothing is chosen on questions made from the documents: they flatter words")
    elif blend["chosen"] == blend["now"]:
        screen.print(f"the weight {blend['now']:g} stays")
    else:
        setting = f"lexical = {blend['chosen']:g}"
        screen.print(f"better than {blend['now']:g}: [retrieval.retriever] options = {{{setting}}}", markup=False)


def show_abstention(abstention: dict[str, Any], screen: Any) -> None:
    """Print when the system would abstain, and how often rightly."""
    if abstention["off"]:
        screen.print(f"abstention is off: {abstention['off']}")
        return
    labels = {
        "answered": "questions answered",
        "wrong": "of these without their answer in the passages",
        "unanswerable_kept": "of the unanswerable answered all the same",
        "area": "mean risk over all coverages",
        "blind": "the same when answering at random",
    }
    screen.print(f"abstention: {abstention['note']}")
    for key, words in labels.items():
        if abstention[key]:
            screen.print(f"  {words}: {_text(abstention[key])}")


def _table(table_class: Any, first: str, *others: str) -> Any:
    table = table_class(first, box=None, pad_edge=False, header_style="bold")
    for name in others:
        table.add_column(name, justify="right")
    return table


def _text(estimate: dict[str, Any]) -> str:
    from twofold.verdict.record import estimate_text, true_minus

    return true_minus(estimate_text(estimate))
