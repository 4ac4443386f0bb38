"""Import, inspect and clean files of examples. A file is written whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from twofold.curation.questions import save
from twofold.errors import ConfigError, DataError, TooFewExamples, TwofoldError
from twofold.examples import importing
from twofold.examples.loading import MAX_MIB, ExampleRow, read_rows, require_kind
from twofold.examples.quality.cleaning import clean, portrait
from twofold.examples.quality.inspect import inspect
from twofold.examples.spelling import json_answers
from twofold.files import writing
from twofold.files.reading import MIB, parsed, raise_first, read_bytes, records_of, spelled
from twofold.hashing import digest_bytes
from twofold.plugins.protocols import Progress, quiet
from twofold.reports.data_card import render
from twofold.types import Document, Example, Json, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """The documents, labels and skipped checks of an inspection of examples."""

    documents: tuple[Document, ...] = ()
    """The documents of the index, against which sources and answers are checked."""
    declared: tuple[str, ...] = ()
    """The labels that an answer may be; empty for any."""
    skip: tuple[str, ...] = ()
    """Parts of `findings.PARTS` that are not checked."""


class LeftOutRow(TypedDict):
    """A record that could not be used."""

    file: str | None
    line: int | None
    message: str
    cure: str


class ImportReport(TypedDict):
    """A file of examples that was imported."""

    into: str
    imported: int
    """Number of new or overwritten records."""
    already: int
    """Number of records that the file contained before."""
    total: int
    """Number of records in the file now."""
    shapes: dict[str, int]
    """Shape → number of records that had it."""
    idle: list[str]
    """Columns that were not read."""
    lists: int
    """Number of records whose answer is one JSON list, right as a whole."""
    several: int
    """Number of records with several JSON answers, each right alone."""
    left_out: list[LeftOutRow]


class CleaningReport(TypedDict):
    """Files of examples that were cleaned."""

    into: str
    removed_file: str
    """The log of changes."""
    card: str
    """The data card."""
    before: int
    after: int
    done: dict[str, int]
    """Action → number of records."""
    codes: dict[str, int]
    """Code of the finding → number of records that were changed for it."""
    left: list[Json]
    """The findings that need a person's judgement, as `types.Problem`."""


def import_file(
    source: Path, into: Path, *, columns: Mapping[str, str] | None = None, replace: bool = False, lenient: bool = False
) -> ImportReport:
    """Bring the records of a file, in any known shape, into a project's file; importing twice changes nothing.

    Args:
        source: JSON Lines, JSON, CSV (gzipped too) or Parquet.
        into: A ``.jsonl`` file; a missing one is made.
        columns: Twofold's field → the file's column.
        replace: Imported records take the place of existing ones of the same id.
        lenient: Leave out records that cannot be used, instead of refusing the file; they are returned.

    Raises:
        BadRecord: a record cannot be used; the message names file, line and cure.
        ConfigError: a mapping names no field or no column.
        UnreadableFile: one of the files cannot be read.
    """
    if "".join(into.suffixes[-1:]).lower() != ".jsonl":
        raise ConfigError(f"{into} is not a .jsonl file", cure="Import into a .jsonl file.")
    require_kind(source.name)
    data = read_bytes(source, limit=MAX_MIB * MIB, name=source.name)
    new, bad, shapes, idle = importing.converted(
        records_of(data, name=source.name), source.name, source=digest_bytes("file", data), columns=columns
    )
    if bad and not lenient:
        more = f" (and {len(bad) - 1} more; --lenient leaves them out)" if len(bad) > 1 else ""
        # the first fault in its own class, so that its code and its cure stay; the count says that there are more
        raise type(bad[0])(bad[0].message + more, cure=bad[0].cure, file=str(source), line=bad[0].line)
    if not new and not bad:
        raise TooFewExamples("the file contains no record", file=source, cure="Import a file that contains records.")
    if not new:
        raise TooFewExamples(
            "the file contains no usable record",
            file=source,
            cure="Look at the file's first lines and map its columns with --map.",
        )
    existing = _existing(into) if into.exists() else []
    out, came = importing.joined(existing, new, str(into), over=replace)
    # a file that gains nothing is not written anew
    if came:
        save(out, into)
    kinds = Counter(json_answers(value["answers"]) for value in new)
    left: list[LeftOutRow] = []
    for error in bad:
        left.append({"file": error.file, "line": error.line, "message": error.message, "cure": error.cure})
    return {
        "into": str(into),
        "imported": came,
        "already": len(new) - came,
        "total": len(out),
        "shapes": shapes,
        "idle": idle,
        "lists": kinds["one list"],
        "several": kinds["several"],
        "left_out": left,
    }


def _existing(path: Path) -> list[Json]:
    data = read_bytes(path, limit=MAX_MIB * MIB, name=str(path))
    out = []
    for record in records_of(data, name=str(path)):
        if isinstance(record.value, TwofoldError):
            raise record.value
        out.append(record.value)
    return out


def read_labels(path: Path) -> tuple[str, ...]:
    """The declared labels of a file with one label a line, or of JSON Lines with ``label``.

    Raises:
        DataError: the file declares no label.
    """
    lines = read_bytes(path, limit=MIB, name=str(path)).decode("utf-8").splitlines()
    labels = [_label(line.strip()) for line in lines if line.strip()]
    if not all(labels) or not labels:
        raise DataError(
            "the file declares no labels", file=path, cure='Write one label a line, or {"label": …} objects.'
        )
    return tuple(dict.fromkeys(labels))


def _label(line: str) -> str:
    if not line.startswith("{"):
        return line
    try:
        value = parsed(line)
    except ValueError:
        return ""
    return spelled(next((value[key] for key in ("label", "name", "intent", "output") if key in value), ""))


def look(
    paths: Sequence[str], root: Path, looking: Looking, *, progress: Progress = quiet
) -> tuple[list[ExampleRow], list[Problem]]:
    """The records of files of examples, and all problems found in them.

    Raises:
        UnreadableFile: a file is missing, or Twofold does not read its kind.
        TooFewExamples: there is no usable example.
        MissingExtra: a check needs a package that is not installed; the message says how to do without.
    """
    rows = list(read_rows(paths, root))
    # line 0 is the file itself: a file that cannot be read ends the inspection, a bad record does not
    raise_first([r.outcome for r in rows if r.line == 0 and isinstance(r.outcome, Problem)])
    rows = [r for r in rows if r.line]
    examples = [r.outcome for r in rows if isinstance(r.outcome, Example)]
    if not examples:
        raise_first([r.outcome for r in rows if isinstance(r.outcome, Problem)])
        raise TooFewExamples("there is no usable example", file=", ".join(paths))
    problems = inspect(examples, looking.documents, declared=looking.declared, skip=looking.skip, progress=progress)
    problems += [r.outcome for r in rows if isinstance(r.outcome, Problem)]
    for row in rows:
        if row.outcome is None:
            problems.append(
                Problem(
                    severity="warning",
                    code="data.empty-answer",
                    message="the answer is empty",
                    cure="Give it an answer, or drop it.",
                    file=row.file,
                    line=row.line,
                    action="drop",
                )
            )
    return rows, problems


def clean_files(
    paths: Sequence[str],
    root: Path,
    looking: Looking,
    *,
    into: Path,
    mask: bool = False,
    drop: Sequence[str] = (),
    progress: Progress = quiet,
) -> CleaningReport:
    """Write the cleaned records of `paths` to `into`. The input files are not touched.

    Beside ``NAME.jsonl`` stand ``NAME.removed.jsonl``, with every record removed or changed, and ``NAME.card.html``, a
    card of the examples before and after.

    Args:
        paths: Files of examples, relative to `root`.
        root: Folder of the project.
        looking: Documents, labels and skipped checks of the inspection.
        into: The file to write.
        mask: Mask personal data and secrets.
        drop: Codes of findings whose examples are dropped as well.
        progress: Called at each step.

    Raises:
        ConfigError: `into` is one of the input files.
    """
    if into.suffix.lower() != ".jsonl":
        raise ConfigError(f"{into} is not a .jsonl file", cure="Clean into a .jsonl file.")
    rows, problems = look(paths, root, looking, progress=progress)
    # Resolved: a link to an input file is that file.
    if any((root / row.file).resolve() == into.resolve() for row in rows):
        raise ConfigError(
            f"--into {into} is also an input file", cure="Name another file: input files are never changed."
        )
    known = {p.code for p in problems}
    done = clean(rows, problems, mask=mask, drop=[code for code in drop if code in known])
    stem = into.name.removesuffix(".jsonl")
    removed, card = into.with_name(f"{stem}.removed.jsonl"), into.with_name(f"{stem}.card.html")
    after = [r.outcome for r in done.rows if isinstance(r.outcome, Example)]
    left = inspect(after, looking.documents, declared=looking.declared, skip=looking.skip, progress=progress)
    before = [r.outcome for r in rows if isinstance(r.outcome, Example)]
    portraits = (portrait(before, problems), portrait(after, left))
    # The cleaned file last: where it stands, what was taken out of it stands beside it.
    save([dict(entry) for entry in done.done], removed)
    writing.save(card, render(stem, portraits[0], portraits[1], done=done.done))
    save([r.value for r in done.rows], into)
    counts: dict[str, int] = {}
    for entry in done.done:
        counts[entry["action"]] = counts.get(entry["action"], 0) + 1
    return {
        "into": str(into),
        "removed_file": str(removed),
        "card": str(card),
        "before": len(rows),
        "after": len(done.rows),
        "done": counts,
        "codes": _by_code(done.done),
        "left": [asdict(problem) for problem in left],
    }


def _by_code(done: Sequence[Json]) -> dict[str, int]:
    out: dict[str, int] = {}
    for entry in done:
        out[entry["code"]] = out.get(entry["code"], 0) + 1
    return dict(sorted(out.items()))
