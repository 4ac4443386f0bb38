"""`twofold show`: a finished study's verdict and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.cli.session import Run
from twofold.cli.terminal import one_line

if TYPE_CHECKING:
    from twofold.judge.record import JudgementRecord
    from twofold.verdict.record import StudyRecord
    from twofold.verdict.validity import Validity


def show(
    run: Run,
    *,
    study: Annotated[
        str, typer.Argument(metavar="[STUDY]", help="Name or number of the study; the latest by default.")
    ] = "",
) -> None:
    """Print a study's verdict, arms and effects from its record, and why the verdict no longer holds if it does not.

    With --json ``validity`` has the region in which the verdict stands, whether it holds or not.
    """
    from twofold.errors import StudyError, TwofoldError
    from twofold.reports import archive, decisive

    with run.project() as project:
        record = archive.find_record(project.records, study)
        rollback = None
        try:
            rollback = decisive.rolled_back(project.records)
        # The record is whole: only which study decides what answers is not known.
        except StudyError as error:
            run.note(f"warning: {one_line(str(error))}; {error.cure}")
        # `improve` takes back the verdict of each study whose step did not win, unasked.
        if rollback and record["study"] != rollback["study"]:
            reason = f": {one_line(rollback['why'])}" if rollback["why"] else ""
            run.note(f"note: study {rollback['study']} decides what answers, after a rollback{reason}")
        judgement = None
        try:
            judgement = archive.read_judgement(project.records / record["study"])
        # The record is whole: only what a judge was worth is not known.
        except StudyError as error:
            run.note(f"warning: {one_line(str(error))}; {error.cure}")
        validity = None
        try:
            validity = project.validity(record["study"])
        # The record is whole: only whether its verdict still holds is not known.
        except TwofoldError as error:
            run.note(f"warning: whether the verdict still holds is not known: {one_line(str(error))}; {error.cure}")
        value = automation(record, project.directory)
        value |= {"judgement": judgement} if judgement else {}
        value |= {"validity": validity} if validity else {}
        run.result(value, standing(validity) + outcome(record, project.directory, judgement))


def standing(validity: Validity | None) -> str:
    """Whether the verdict still holds, before the summary; empty while it does."""
    from twofold.verdict.validity import lines

    return "".join(f"{line}\n" for line in lines(validity)) + "\n" if validity and lines(validity) else ""


def report_of(record: StudyRecord, directory: Path) -> Path:
    """The path of the study's report."""
    return directory / "studies" / record["study"] / "report.html"


def outcome(record: StudyRecord, directory: Path, judgement: JudgementRecord | None = None) -> str:
    """The summary for people, and where the report is."""
    from twofold.reports.judged_lines import judge_lines
    from twofold.reports.study_page import render_summary

    judged = "".join(f"\n{line}" for line in ("", *judge_lines(judgement))) if judgement else ""
    return f"{render_summary(record).rstrip()}{judged}\n\nreport: {report_of(record, directory)}"


def automation(record: StudyRecord, directory: Path) -> dict[str, Any]:
    """The stable JSON of ``study --yes --json`` and ``show --json``."""
    return {
        "verdict": record["verdict"],
        "effects": record["effects"],
        # The rest of the record (bill, warnings, answers) stands in study.json; these keys are promised to scripts.
        "arms": {name: arm["metrics"] for name, arm in record["arms"].items()},
        "seconds": record["seconds"],
        "peak_mib": record["peak_mib"],
        "study": record["study"],
        "report": str(report_of(record, directory)),
        **({"forecast": record["forecast"]} if "forecast" in record else {}),
        **({"linear": record["linear"]} if "linear" in record else {}),
        **({"race": record["race"]} if "race" in record else {}),
        **({"reproof": record["reproof"]} if "reproof" in record else {}),
    }
