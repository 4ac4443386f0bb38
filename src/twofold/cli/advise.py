"""`twofold advise`: what will probably win, before anything is spent on it."""

from __future__ import annotations

import shlex
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
    from twofold.advice.opinion import AdviceRecord, StepRow
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
        _require_read("--template", weights=weights is not None, no_store=not store)
    elif show_weights:
        _require_read("--show-weights", answers=answers is not None, no_store=not store)
    elif record:
        _require_read("--record", answers=answers is not None, weights=weights is not None, no_store=not store)
    if template is not None:
        _write_template(run, template, answers)
        return
    table = _table(weights)
    # Before minutes of probes or reading are spent: a slip in the file needs none of them.
    stated = _read(answers)
    if show_weights:
        from twofold.advice.weights import to_toml

        run.result(table.to_json(), to_toml(table).rstrip("\n"))
        return
    with _project(run) as project:
        if record:
            _show_record(run, project)
            return
        forecast = _probed(run, project, (minutes, tuning_minutes)) if probe else None
        advice = _advice(run, project, stated, table=table, store=store)
    from twofold.advice.probes import wording as probes
    from twofold.advice.wording import lines

    text = lines(_placed(advice, run.directory))
    if forecast is None:
        run.result(advice, "\n".join(text))
        return
    run.result({**advice, "forecast": forecast}, "\n".join([*probes.lines(forecast), "", *text]))


def _placed(advice: AdviceRecord, folder: Path) -> AdviceRecord:
    """The advice with commands for where the user is: they name the project's folder as the user did."""
    where = "" if folder == Path() else f" -C {shlex.quote(str(folder))}"
    steps: list[StepRow] = [{**step, "command": step["command"] + where} for step in advice["steps"]]
    return {**advice, "steps": steps}


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


def _require_read(mode: str, **options: bool) -> None:
    """Refuse options that `mode`, which prints something and stops, does not read."""
    named = [_option(name) for name, is_set in options.items() if is_set]
    if named:
        verb = "means" if len(named) == 1 else "mean"
        raise ConfigError(
            f"{' and '.join(named)} {verb} nothing beside {mode}",
            cure=f"Leave {' and '.join(named)} out, or {mode}.",
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


def _advice(
    run: Run, project: Project | None, stated: UserAnswers | None, *, table: WeightTable, store: bool
) -> AdviceRecord:
    from twofold.advice import opinion

    if project is None:
        if stated is None and not sys.stdin.isatty():
            raise ConfigError(
                "there is nothing to advise on: no project here, no answers, and no terminal to ask at",
                cure="Name a project with -C, or answers with --answers FILE; --template FILE writes a blank file.",
            )
        run.note("note: there is no project here: the answers alone count, and the advice is not stored")
        return opinion.advise(_answers(stated, ()), table=table, at=_now(), project="")
    with run.progress() as progress:
        facts = project.advice.facts(progress=progress)
    answers = _answers(stated, facts)
    return project.advice.advise(answers, at=_now(), table=table, store=store)


def _read(file: Path | None) -> UserAnswers | None:
    from twofold.advice import answers_file

    return None if file is None else answers_file.read(file)


def _answers(stated: UserAnswers | None, facts: Sequence[ProjectFact]) -> UserAnswers:
    from twofold.advice.questionnaire import UNANSWERED
    from twofold.cli.advise_questions import ask_all

    if stated is not None:
        return stated
    return ask_all(facts) if sys.stdin.isatty() else UNANSWERED


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
