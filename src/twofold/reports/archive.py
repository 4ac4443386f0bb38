"""Writing and reading the record: ``study.json``, ``answers.jsonl.gz``, ``report.html``, ``verdict.json``."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import cast

from twofold.diagnosis.record import FILE, ArmDiagnosis, DiagnosisRecord
from twofold.diagnosis.record import FORMAT as DIAGNOSIS_FORMAT
from twofold.errors import StudyError
from twofold.files import writing
from twofold.hashing import canonical_json, plain
from twofold.judge import record as judge_record
from twofold.judge.record import JudgementRecord
from twofold.reports import study_page
from twofold.store.erasure import shows
from twofold.types import Json
from twofold.verdict.certificate import FILE as CERTIFICATE
from twofold.verdict.certificate import REMOVED, Certificate
from twofold.verdict.record import FORMAT, AnswerRow, StudyRecord, counted

# Brackets without end are no JSON that can be read (RecursionError).
_DAMAGED = (OSError, ValueError, TypeError, RecursionError)


def next_name(records: Path, project: str, *, used: Collection[str] = ()) -> str:
    """The next study's directory name, for example ``0002-agxqa``; `used`: names whose directory may be gone."""
    names = [*(path.name for path in records.glob("[0-9]*")), *used]
    # Numbers of deleted studies are not given again: looks and tags of the index name them.
    taken = [int(name.split("-")[0]) for name in names if name.split("-")[0].isdigit()]
    slug = re.sub(r"[^a-z0-9]+", "-", project.casefold()).strip("-") or "study"
    return f"{max(taken, default=0) + 1:04d}-{slug[:40]}"


def names(records: Path) -> list[str]:
    """Names of the finished studies in a project's directory of records, oldest first."""
    return sorted(path.parent.name for path in records.glob("[0-9]*/study.json")) if records.is_dir() else []


def systems(records: Path) -> Iterator[Mapping[str, Json]]:
    """Key → description of the systems that each finished study measured; a record is read again when it changes."""
    for name in names(records):
        # An old record that is damaged, or is being removed, vouches for nothing, and stops nobody.
        with suppress(StudyError, OSError):
            seen = (records / name / "study.json").stat()
            yield _systems(records / name, (seen.st_mtime_ns, seen.st_size, seen.st_ino))


@lru_cache(maxsize=1000)
def _systems(directory: Path, _state: tuple[int, int, int]) -> Mapping[str, Json]:
    """Of one study, for each state of its file: a project asks with every question that it answers."""
    arms = read_record(directory).get("arms", {})
    return {arm["key"]: arm["description"] for arm in arms.values()}


def find_record(records: Path, study: str = "") -> StudyRecord:
    """The record of a study: by name, by number, or the latest.

    Raises:
        StudyError: there is none of that name.
    """
    return read_record(records / named(names(records), study))


def write_record(
    directory: Path, record: StudyRecord, rows: Sequence[AnswerRow], *, certificate: Certificate | None = None
) -> None:
    """Write ``study.json``, ``answers.jsonl.gz``, ``report.html`` and ``verdict.json`` into `directory`, or nothing."""
    # Written beside and renamed: a directory of that name is a whole study or none.
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial.mkdir(mode=0o700)
    # mtime=0: the same answers give the same bytes.
    with (partial / "answers.jsonl.gz").open("wb") as stream, gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as pack:
        for row in rows:
            pack.write((canonical_json(row) + "\n").encode())
    (partial / "report.html").write_text(study_page.render(record, rows), encoding="utf-8")
    (partial / "study.json").write_text(json.dumps(plain(record), indent=1, ensure_ascii=False), encoding="utf-8")
    if certificate is not None:
        text = json.dumps(plain(certificate), indent=1, ensure_ascii=False)
        (partial / CERTIFICATE).write_text(text, encoding="utf-8")
    # On the disk before the rename: a record that is there is whole, also after the power failed.
    for path in partial.iterdir():
        writing.sync(path)
        path.chmod(0o600)  # answers may show documents that not everybody may read
    writing.put(partial, directory)


def write_diagnosis(directory: Path, diagnosis: DiagnosisRecord) -> DiagnosisRecord:
    """Write ``diagnosis.json`` beside a study's record, and its report anew; ``study.json`` and the answers stay.

    Arms that were diagnosed before stay in it, unless they are diagnosed again.

    Returns:
        The diagnosis with all its arms.
    """
    earlier = _earlier(directory)
    if earlier is not None:
        # Remarks begin with the name of their arm, and stay with it.
        staying = [f"{name}: " for name in earlier["arms"] if name not in diagnosis["arms"]]
        notes = [note for note in earlier["notes"] if note.startswith(tuple(staying))]
        arms = {**earlier["arms"], **diagnosis["arms"]}
        diagnosis = {**diagnosis, "arms": arms, "notes": [*notes, *diagnosis["notes"]]}
    record, rows = read_record(directory), read_answers(directory)
    text = json.dumps(plain(diagnosis), indent=1, ensure_ascii=False)
    writing.write(directory / FILE, text.encode(), mode=0o600)
    page = study_page.render(record, rows, diagnosis, judgement=earlier_judgement(directory))
    writing.write(directory / "report.html", page.encode(), mode=0o600)
    return diagnosis


def write_judgement(directory: Path, judgement: JudgementRecord) -> None:
    """Write ``judgement.json`` beside a study's record, in the place of an earlier one, and its report anew."""
    record, rows = read_record(directory), read_answers(directory)
    text = json.dumps(plain(judgement), indent=1, ensure_ascii=False)
    writing.write(directory / judge_record.FILE, text.encode(), mode=0o600)
    page = study_page.render(record, rows, _earlier(directory), judgement=judgement)
    writing.write(directory / "report.html", page.encode(), mode=0o600)


def read_judgement(directory: Path) -> JudgementRecord | None:
    """Read ``judgement.json`` back; None where no judge was tried.

    Raises:
        StudyError: it is damaged, or of a newer format.
    """
    path = directory / judge_record.FILE
    if not path.is_file():
        return None
    stored = _stored(path, "judgement", newest=judge_record.FORMAT, cure="Run `twofold judge` again.")
    return cast("JudgementRecord", stored)


def earlier_judgement(directory: Path) -> JudgementRecord | None:
    """The judgement that is there; None also for a damaged one, which the next takes the place of."""
    try:
        return read_judgement(directory)
    except StudyError:
        return None


def _earlier(directory: Path) -> DiagnosisRecord | None:
    """The diagnosis that is there; a damaged one is replaced, as its error advises."""
    try:
        _parsed(directory / FILE)
    except _DAMAGED:
        return None
    return read_diagnosis(directory)


def read_diagnosis(directory: Path) -> DiagnosisRecord | None:
    """Read ``diagnosis.json`` back; None where the study was not diagnosed.

    Raises:
        StudyError: it is damaged, or of a newer format.
    """
    path = directory / FILE
    if not path.is_file():
        return None
    diagnosis = _stored(path, "diagnosis", newest=DIAGNOSIS_FORMAT, cure="Run `twofold diagnose` again.")
    return cast("DiagnosisRecord", diagnosis)


def _redacted(
    directory: Path, document: str, chunks: Collection[str], *, ids: Collection[str], quotes: Callable[[str], bool]
) -> DiagnosisRecord | None:
    """The diagnosis without answers that show a document; its counts stay."""
    diagnosis = read_diagnosis(directory)
    if diagnosis is None:
        return None
    arms: dict[str, ArmDiagnosis] = {}
    for name, arm in diagnosis["arms"].items():
        rows = [row for row in arm["rows"] if row["id"] in ids and not shows(row, document, chunks, quotes=quotes)]
        arms[name] = {**arm, "rows": rows}
    return {**diagnosis, "arms": arms}


def redact(
    directory: Path, document: str, chunks: Collection[str], *, quotes: Callable[[str], bool] = lambda _: False
) -> int:
    """Take every answer that shows, cites or quotes a document out of a record, and write its report anew.

    The verdict and all figures stay as they were; ``study.json`` says how many answers are not kept any more.

    Returns:
        How many answers were taken out.
    """
    rows = read_answers(directory) if (directory / "answers.jsonl.gz").is_file() else []
    remaining = [row for row in rows if not shows(row, document, chunks, quotes=quotes)]
    ids = {row["id"] for row in remaining}
    diagnosis = _redacted(directory, document, chunks, ids=ids, quotes=quotes)
    # A re-run can have shown the document where no answer of the study did: the report quotes re-runs, too.
    reruns_show = diagnosis is not None and diagnosis != read_diagnosis(directory)
    if len(remaining) == len(rows) and not reruns_show:
        return 0
    record = read_record(directory)
    if len(remaining) < len(rows):
        removed = counted(len(rows) - len(remaining), "answer")
        record["warnings"] = [*record["warnings"], f"{REMOVED}{removed}, for a document is forgotten"]
    # A judgement quotes nothing: its counts and figures stay.
    page = study_page.render(record, remaining, diagnosis, judgement=earlier_judgement(directory))
    texts = {"report.html": page.encode()}
    if len(remaining) < len(rows):
        texts["study.json"] = json.dumps(plain(record), indent=1, ensure_ascii=False).encode()
    # What shows the document last: a removal that was interrupted finds it still there, and is done again.
    if reruns_show:
        texts[FILE] = json.dumps(diagnosis, indent=1, ensure_ascii=False).encode()
    if len(remaining) < len(rows):
        lines = "".join(canonical_json(row) + "\n" for row in remaining)
        texts["answers.jsonl.gz"] = gzip.compress(lines.encode(), mtime=0)
    for name, text in texts.items():
        writing.write(directory / name, text, mode=0o600)
    return len(rows) - len(remaining)


def read_record(directory: Path) -> StudyRecord:
    """Read ``study.json`` back.

    Raises:
        StudyError: it is missing, damaged, or of a newer format.
    """
    record = _stored(directory / "study.json", "record", newest=FORMAT, cure="Run the study again.")
    return cast("StudyRecord", record)


def _stored(path: Path, what: str, *, newest: int, cure: str) -> Json:
    """A stored record of a format that is known here; `what` names it in errors."""
    try:
        stored = _parsed(path)
    except _DAMAGED as error:
        raise StudyError(f"the study's {what} cannot be read: {error}", file=path, cure=cure) from error
    if stored.get("format", 0) > newest:
        raise StudyError(f"the {what} was written by a newer Twofold", file=path, cure="Upgrade Twofold.")
    return stored


def _parsed(path: Path) -> Json:
    """A stored record as it is.

    Raises:
        OSError: the file cannot be read.
        ValueError, TypeError: it is no JSON object, or its format no number.
    """
    stored = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(stored, dict):
        raise ValueError("it is no JSON object")
    newer = stored.get("format", 0) > DIAGNOSIS_FORMAT
    # A newer one may have another form, and is refused for being newer.
    if path.name == FILE and not newer:
        _require_diagnosis(stored)
    if path.name == judge_record.FILE and stored.get("format", 0) <= judge_record.FORMAT:
        lacking = [key for key in JudgementRecord.__required_keys__ if key not in stored]
        if lacking:
            raise ValueError(f"it has no {min(lacking)}")
    return stored


def _require_diagnosis(stored: Json) -> None:
    """Refuse a diagnosis that lacks something which every version wrote.

    Raises:
        ValueError: it does.
    """
    arms = stored.get("arms")
    if not isinstance(arms, dict):
        raise ValueError("it has no arms")
    if not isinstance(stored.get("notes"), list):
        raise ValueError("it has no notes")
    for name, arm in arms.items():
        lacking = [key for key in ArmDiagnosis.__required_keys__ if not isinstance(arm, dict) or key not in arm]
        if lacking:
            raise ValueError(f"its arm {name} has no {min(lacking)}")


def latest(records: Path) -> StudyRecord | None:
    """Record of the latest study that did not open the reserve; None when there is none."""
    # The reserve confirms a choice that was made on open questions.
    for path in sorted(records.glob("[0-9]*/study.json"), reverse=True):
        record = read_record(path.parent)
        if not record["policy"]["final"]:
            return record
    return None


def read_answers(directory: Path) -> list[AnswerRow]:
    """Read ``answers.jsonl.gz`` back.

    Raises:
        StudyError: it is missing or damaged.
    """
    path = directory / "answers.jsonl.gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise StudyError(
            f"the study's answers cannot be read: {error}", file=path, cure="Run the study again."
        ) from error


def at_path(study: str) -> Path | None:
    """The directory of a study that is given by a path: its directory, or a file in it; None: it is a name."""
    path = Path(study)
    # A name has no separator, and a folder of that name beside it must not take its place.
    if path.suffix == ".json" and path.is_file():
        return path.parent
    return path if path.name != study and path.is_dir() else None


def named(studies: Sequence[str], study: str = "") -> str:
    """The latest study of that name or number; the latest of all without one.

    Raises:
        StudyError: there is none.
    """
    # `7`, `0007` and `0007-name` are one study.
    number = study.lstrip("0")
    matches = [name for name in studies if not study or name == study or name.split("-")[0].lstrip("0") == number]
    if not matches:
        raise StudyError(
            f"there is no study {study!r}" if study else "there is no study yet",
            cure=f"Name one of the studies: {', '.join(studies)}." if studies else "Run `twofold study`.",
        )
    return matches[-1]
