"""`twofold examples import | check | clean | card`."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.cli.check import line
from twofold.cli.session import Run, require_known, unread
from twofold.errors import ConfigError, UnreadableFile
from twofold.files.paths import fixed_part, looked_in
from twofold.files.reading import counted

if TYPE_CHECKING:
    from twofold.curation.files import Looking
    from twofold.types import Problem

_LISTED = 40
"""Findings of one code that are printed; ``--json`` lists all."""
_FILES = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE]...", help="Files of examples; by default those of the project."),
]
_LABELS = Annotated[
    Path | None,
    typer.Option("--labels", metavar="FILE", help='File of the allowed labels: one per line, or {"label": …} objects.'),
]
_SKIP = Annotated[
    list[str] | None,
    typer.Option(
        "--skip",
        metavar="PART",
        help="Skip: copies, private, encoding, answers, length, language, noise, balance, documents. Repeatable.",
    ),
]


def import_(
    run: Run,
    *,
    source: Annotated[Path, typer.Argument(metavar="FILE", help=".jsonl, .json, .csv (.gz too) or .parquet.")],
    into: Annotated[
        Path, typer.Option("--into", metavar="FILE", help="The .jsonl file to import into; created if absent.")
    ],
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="Read a field from this column. Repeatable."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite existing records that have the same id.")
    ] = False,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Skip unusable records instead of refusing the file.")
    ] = False,
) -> None:
    """Import examples in a common shape: messages, ShareGPT, Alpaca, prompt and completion, question and answer.

    The columns decide the shape. Each record keeps the file, line, shape and digest of its origin. Importing a
    file twice changes nothing.
    """
    from twofold.config import FILE
    from twofold.curation.files import import_file

    mapping: dict[str, str] = {}
    # FIELD=COLUMN: a column may hold further equal signs, a field cannot.
    for entry in columns or []:
        field, mark, column = entry.partition("=")
        if not mark or not column:
            raise ConfigError(
                f"--map {entry!r} is not FIELD=COLUMN", cure="Write FIELD=COLUMN, such as --map question=Utterance."
            )
        mapping[field.strip()] = column.strip()
    done = import_file(source, into, columns=mapping, replace=replace, lenient=lenient)
    shapes = ", ".join(f"{count} {shape}" for shape, count in done["shapes"].items())
    already = f", {done['already']} there already" if done["already"] else ""
    lines = [f"{counted(done['imported'], 'example')} imported into {into} ({shapes}){already}"]
    for row in done["left_out"]:
        run.note(f"left out: {row['file']}:{row['line']}: {row['message']}")
    if done["lists"]:
        run.note(
            f"in {counted(done['lists'], 'record')} the answer is one JSON list of objects, right as a whole (several "
            'answers, each right alone, go into "answers")'
        )
    if done["several"]:
        run.note(
            f"in {counted(done['several'], 'record')} there are several JSON answers, each right alone (one list "
            'that is right as a whole goes into "output")'
        )
    if done["idle"]:
        run.note(f"not read: the columns {', '.join(done['idle'])} (--map FIELD=COLUMN reads one, such as context)")
    run.result(done, "\n".join(lines))
    # Importing works without a project; in one it says whether the file will be read.
    if (run.directory / FILE).is_file():
        with run.project() as project:
            run.note(unread(project, into))


def check(run: Run, *, files: _FILES = None, labels: _LABELS = None, skip: _SKIP = None) -> None:
    """Find faults of examples that would harm training: copies, leaks, secrets, damage, doubtful labels, and more.

    Each finding has its place, code and action. Exit code 1: errors.
    """
    from twofold.curation.files import look

    paths, root, looking = _scope(run, files, labels, skip)
    with run.progress() as progress:
        rows, problems = look(paths, root, looking, progress=progress)
    errors = sum(1 for problem in problems if problem.severity == "error")
    warnings = len(problems) - errors
    counts = dict(sorted(Counter(problem.code for problem in problems).items()))
    value = {
        "examples": len(rows),
        "errors": errors,
        "warnings": warnings,
        "codes": counts,
        "skipped": list(looking.skip),
        "findings": [dataclasses.asdict(problem) for problem in problems],
    }
    summary = f"{counted(len(rows), 'example')}: {counted(errors, 'error')}, {counted(warnings, 'warning')}"
    run.result(value, _findings_text(problems, summary))
    if errors:
        raise typer.Exit(1)


def clean(
    run: Run,
    *,
    files: _FILES = None,
    into: Annotated[Path, typer.Option("--into", metavar="FILE", help="The .jsonl file to write.")],
    mask: Annotated[bool, typer.Option("--mask", help="Mask personal data and secrets.")] = False,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop", metavar="CODE", help="Also drop examples with this finding, such as data.label-noise. Repeatable."
        ),
    ] = None,
    labels: _LABELS = None,
    skip: _SKIP = None,
) -> None:
    """Write a clean copy: copies dropped, damage repaired, answers merged, private data masked on request.

    The command also writes a log of changes (.removed.jsonl) and a data card (.card.html). The input is not changed;
    examples that need your judgement are kept and listed.
    """
    from twofold.curation.files import clean_files

    paths, root, looking = _scope(run, files, labels, skip)
    with run.progress() as progress:
        done = clean_files(paths, root, looking, into=into, mask=mask, drop=drop or (), progress=progress)
    actions = ", ".join(f"{count} {what}" for what, count in sorted(done["done"].items())) or "nothing to do"
    lines = [f"{counted(done['before'], 'example')} → {done['after']} in {into} ({actions})"]
    lines += [f"{count:>6} {code}" for code, count in done["codes"].items()]
    lines += [f"what was done: {done['removed_file']}", f"card: {done['card']}"]
    if done["left"]:
        lines.append(f"{counted(len(done['left']), 'finding')} left to look at: `twofold examples check {into}`")
    run.result(done, "\n".join(lines))


def card(
    run: Run,
    *,
    files: _FILES = None,
    after: Annotated[
        Path | None, typer.Option("--after", metavar="FILE", help="A cleaned set to compare with.")
    ] = None,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The HTML file to write.")] = Path("card.html"),
    skip: _SKIP = None,
) -> None:
    """Draw a data card: findings, lengths, splits, classes, languages; one page that needs no network."""
    from twofold.curation.files import look
    from twofold.examples.quality.cleaning import portrait
    from twofold.files import writing
    from twofold.reports.data_card import render
    from twofold.types import Example

    paths, root, looking = _scope(run, files, None, skip)
    portraits: list[dict[str, Any]] = []
    with run.progress() as progress:
        for names, at in ((paths, root), *([([str(after)], Path())] if after else [])):
            rows, problems = look(names, at, looking, progress=progress)
            portraits.append(portrait([r.outcome for r in rows if isinstance(r.outcome, Example)], problems))
    writing.save(to, render(Path(paths[0]).name, portraits[0], portraits[1] if after else None))
    run.result({"card": str(to), "before": portraits[0], "after": portraits[1] if after else None}, f"card: {to}")


def _scope(
    run: Run, files: list[Path] | None, labels: Path | None, skip: list[str] | None
) -> tuple[list[str], Path, Looking]:
    """Paths, where they start, and what they are held against: the project's own where no file is named."""
    from twofold.curation.files import Looking, read_labels
    from twofold.examples.quality.inspect import PARTS

    # A misspelt part would otherwise be checked in silence.
    for part in skip or []:
        require_known("--skip", part, PARTS)
    declared = read_labels(labels) if labels else ()
    # Files named on the command line need no project, and start from the current directory.
    if files:
        for file in files:
            if fixed_part(str(file)) == str(file) and not file.exists():
                raise UnreadableFile(
                    "there is no such file", file=file, cure=f"{looked_in(str(file), Path())} Correct the path."
                )
        return [str(f) for f in files], Path(), Looking(declared=declared, skip=tuple(skip or ()))
    with run.project() as project:
        # Reading documents can take minutes: skipped with the part that needs them.
        documents = tuple(project.documents) if "documents" not in (skip or ()) else ()
        looking = Looking(documents=documents, declared=declared, skip=tuple(skip or ()))
        return list(project.config.examples.paths), project.directory, looking


def _findings_text(problems: list[Problem], summary: str) -> str:
    """The findings, errors first, at most so many of each code, and the counts."""
    shown: Counter[str] = Counter()
    lines = []
    # "error" sorts before "warning".
    for problem in sorted(problems, key=lambda p: p.severity):
        shown[problem.code] += 1
        if shown[problem.code] <= _LISTED:
            lines.append(f"{line(problem)} [{problem.code}{f', {problem.action}' if problem.action else ''}]")
    lines += [f"and {n - _LISTED} more {code} (--json lists all)" for code, n in shown.items() if n > _LISTED]
    return "\n".join([*lines, *(f"{n:>6} {code}" for code, n in sorted(shown.items())), summary])
