"""`twofold examples make`: examples from documents, and examples in other words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from twofold.cli.session import Run, require_known, unread
from twofold.examples.cloze import BLANK
from twofold.files.reading import counted

WHATS = ("questions", "rewordings")
"""Kinds of examples that can be made."""
MAKERS = ("templates", "model")
"""By rules, or by the configured generator."""


def make(
    run: Run,
    *,
    what: Annotated[
        str,
        typer.Option(
            "--what", metavar="WHAT", help="Generate questions (from documents) or rewordings (of train examples)."
        ),
    ] = "questions",
    by: Annotated[
        str,
        typer.Option(
            "--by", metavar="MAKER", help="Generate with templates (rules) or model (the configured generator)."
        ),
    ] = "templates",
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            metavar="N",
            min=1,
            help="Number of questions (default 100), or of rewordings of each example (default 1).",
        ),
    ] = None,
    unanswerable: Annotated[
        float,
        typer.Option(
            "--unanswerable", metavar="SHARE", min=0, max=0.9, help="Share of questions that no document answers."
        ),
    ] = 0.1,
    foreign: Annotated[
        list[str] | None,
        typer.Option("--foreign", metavar="PATH", help="Documents outside the project to ask about. Repeatable."),
    ] = None,
    similar: Annotated[
        float,
        typer.Option(
            "--similar", metavar="COSINE", min=0, max=1, help="Lowest cosine similarity of a rewording to its original."
        ),
    ] = 0.8,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed for drawing passages and rules.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="File to write; by default made-WHAT-MAKER.jsonl in the project."),
    ] = None,
) -> None:
    """Make examples from the documents, or reword the training examples; every example is checked.

    In a project without questions the result becomes its examples. Discarded questions go, with their reason, to
    FILE.discarded.jsonl. An interrupted run resumes.
    """
    require_known("--what", what, WHATS)
    require_known("--by", by, MAKERS)
    from twofold.curation.questions import Recipe, save
    from twofold.curation.templates import as_record

    recipe = Recipe(
        # The default depends on --what, so Typer cannot hold it.
        count=count or (100 if what == "questions" else 1),
        by="model" if by == "model" else "templates",
        unanswerable=unanswerable,
        similar=similar,
        seed=seed,
    )
    with run.project() as project, run.progress() as progress:
        batch = project.curation.make(recipe, what=what, foreign=foreign or (), progress=progress)
        path = out or project.curation.file(f"made-{what}-{by}.jsonl")
        beside = path.with_name(f"{path.name.removesuffix('.jsonl')}.discarded.jsonl")
        save([as_record(example) for example in batch.examples], path)
        save(batch.discarded, beside)
        run.note(unread(project, path))
    # Templates know English questions only; elsewhere they leave a gap in the passage's own sentence.
    gaps = sum(BLANK in example.question for example in batch.examples)
    files = {"file": str(path), "discarded_file": str(beside)}
    report: dict[str, Any] = {**batch.counts, "maker": batch.maker, **files, "gaps": gaps}
    run.result(report, _text(report, recipe.count if what == "questions" else 0))


def _text(report: dict[str, Any], requested: int) -> str:
    first = f"{counted(report['made'], 'example')} by {report['maker']} in {report['file']}"
    if report["unanswerable"]:
        first += f", {report['unanswerable']} of them unanswerable"
    lines = [first]
    if report["made"] < requested:
        lines.append(f"{requested} were wanted: the passages are used up")
    if report["gaps"]:
        lines.append(
            f"{counted(report['gaps'], 'question')} with a gap to fill ({BLANK}): templates ask in English only; "
            "--by model asks in the language of the passage"
        )
    if report["discarded"]:
        lines.append(f"thrown away ({report['discarded_file']}):")
        lines += [f"  {number:>5} {why}" for why, number in report["discarded"].items()]
    return "\n".join(lines)
