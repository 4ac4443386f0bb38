"""`twofold advise`: what will probably win, before anything is spent on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.session import Run
from twofold.errors import ConfigError

if TYPE_CHECKING:
    from twofold.advice.opinion import AdviceRecord
    from twofold.advice.probes.record import ForecastRecord
    from twofold.advice.questionnaire import UserAnswers
    from twofold.advice.ranking import ProjectFact
    from twofold.advice.weights import WeightTable
    from twofold.project import Project


def advise(
    run: Run,
    *,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", metavar="FILE", help="Read the answers from a TOML or JSON file; nothing is asked."),
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(
            "--template",
            metavar="FILE",
            help="Write a file of all questions to fill in, and stop; the latest answers are in it.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="FILE", help="Weigh by this TOML file, laid over the weights shipped."),
    ] = None,
    show_weights: Annotated[
        bool, typer.Option("--show-weights", help="Print the weights in force as TOML, and stop.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Compare the stored advices with the verdicts of later studies, and stop.")
    ] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="First forecast retrieval and tuning from short probes of the train and dev questions."
        ),
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", metavar="MINUTES", min=0.05, help="With --probe: time for answering; by default 3."),
    ] = None,
    tuning_minutes: Annotated[
        float | None,
        typer.Option(
            "--tuning-minutes",
            metavar="MINUTES",
            min=0.0,
            help="With --probe: time for short trainings; by default 4, 0 for none.",
        ),
    ] = None,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Store the advice with the project, for --record.")
    ] = True,
) -> None:
    """Say what will probably win, and why: base, prompt, rag, ft, ft+rag, a linear classifier, or whole documents.

    Answers come from a file, or are asked at a terminal; what the project shows is read from it. Outside a project the
    answers alone count. The advice is an opinion until a study measures.
    """
    _require_single(template=template is not None, show_weights=show_weights, record=record, probe=probe)
    if not probe:
        _require_probe(minutes=minutes, tuning_minutes=tuning_minutes)
    if template is not None:
        _write_template(run, template, answers)
        return
    table = _table(weights)
    if show_weights:
        from twofold.advice.weights import to_toml

        run.result(table.to_json(), to_toml(table).rstrip("\n"))
        return
    with _project(run) as project:
        if record:
            _show_record(run, project)
            return
        forecast = _probed(run, project, (minutes, tuning_minutes)) if probe else None
        advice = _advice(run, project, answers, table=table, store=store)
    from twofold.advice.probes import wording as probes
    from twofold.advice.wording import lines

    if forecast is None:
        run.result(advice, "\n".join(lines(advice)))
        return
    run.result({**advice, "forecast": forecast}, "\n".join([*probes.lines(forecast), "", *lines(advice)]))


def _require_single(**options: bool) -> None:
    named = [_option(name) for name, is_set in options.items() if is_set]
    if len(named) > 1:
        raise ConfigError(f"{' and '.join(named)} do different things", cure=f"Give one of them: {' or '.join(named)}.")


def _require_probe(**minutes: float | None) -> None:
    """Refuse minutes that nothing would spend."""
    named = [_option(name) for name, value in minutes.items() if value is not None]
    if named:
        verb = "is" if len(named) == 1 else "are"
        raise ConfigError(
            f"{' and '.join(named)} {verb} given without --probe, and only probes take time",
            cure=f"Add --probe, or leave {' and '.join(named)} out.",
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _write_template(run: Run, path: Path, file: Path | None) -> None:
    """Write the questions with the answers of a file, else with those of the project's latest advice, else blank."""
    from twofold.advice import answers_file
    from twofold.advice.questionnaire import UNANSWERED, UserAnswers

    answers, of = UNANSWERED, ""
    if file is not None:
        answers, of = answers_file.read(file), f" with the answers of {file}"
    else:
        with _project(run) as project:
            advices = project.advice.stored.read()[0] if project else []
        if advices and advices[-1]["answers"]:
            answers = UserAnswers.of_record(advices[-1]["answers"])
            of = f" with the answers of the latest advice ({advices[-1]['at'][:10]})"
    answers_file.save_template(path, answers)
    text = f"wrote {path}{of}: fill it in, then `twofold advise --answers {path}`"
    run.result({"file": str(path), "answers": dict(answers.levels)}, text)


def _table(path: Path | None) -> WeightTable:
    from twofold.advice.weights import parse, shipped
    from twofold.files.reading import MIB, decode, read_bytes

    if path is None:
        return shipped()
    return parse(decode(read_bytes(path, limit=MIB), name=path.as_posix()), file=path.as_posix())


@contextmanager
def _project(run: Run) -> Iterator[Project | None]:
    """The project; None where the command runs outside one and none was named."""
    from twofold.config import FILE

    if run.directory == Path() and not (run.directory / FILE).is_file():
        yield None
        return
    with run.project() as project:
        yield project


def _show_record(run: Run, project: Project | None) -> None:
    from twofold.advice.wording import track_lines
    from twofold.errors import ProjectMissing

    if project is None:
        raise ProjectMissing("advices are stored with a project, and there is no twofold.toml here")
    track = project.advice.track_record()
    run.result(track, "\n".join(track_lines(track)))


def _probed(run: Run, project: Project | None, minutes: tuple[float | None, float | None]) -> ForecastRecord:
    """The forecast of the probes, with so many minutes for answers and for short trainings; None: by default."""
    from twofold.errors import ProjectMissing
    from twofold.project.probing import MINUTES, TUNING_MINUTES

    if project is None:
        raise ProjectMissing("--probe asks a project's own questions, and there is no twofold.toml here")
    answering = MINUTES if minutes[0] is None else minutes[0]
    tuning = TUNING_MINUTES if minutes[1] is None else minutes[1]
    with run.progress() as progress:
        return project.probing.run(minutes=answering, tuning_minutes=tuning, at=_now(), progress=progress)


def _advice(run: Run, project: Project | None, file: Path | None, *, table: WeightTable, store: bool) -> AdviceRecord:
    from twofold.advice import opinion

    if project is None:
        if file is None and not sys.stdin.isatty():
            raise ConfigError(
                "there is nothing to advise on: no project here, no answers, and no terminal to ask at",
                cure="Name a project with -C, or answers with --answers FILE; --template FILE writes a blank file.",
            )
        run.note("note: there is no project here: the answers alone count, and the advice is not stored")
        return opinion.advise(_answers(file, ()), table=table, at=_now(), project="")
    with run.progress() as progress:
        facts = project.advice.facts(progress=progress)
    answers = _answers(file, facts)
    return project.advice.advise(answers, at=_now(), table=table, store=store)


def _answers(file: Path | None, facts: Sequence[ProjectFact]) -> UserAnswers:
    from twofold.advice import answers_file
    from twofold.advice.questionnaire import UNANSWERED
    from twofold.cli.advise_questions import ask_all

    if file is not None:
        return answers_file.read(file)
    return ask_all(facts) if sys.stdin.isatty() else UNANSWERED


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
