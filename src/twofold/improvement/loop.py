"""Improve a project round by round: causes on train and dev → a step → a study that proves it → kept or undone.

A step is chosen by answers to train and dev questions alone. It is proven by a study: the new arm's answers to the
test questions against those of the arm that answered before, paired, at the level of this look (`study.looks`). Only a
step whose whole interval lies above 0, and that gains at least ``[study].margin``, is kept; every other is undone.
A round is stored before it begins, and everything that it makes has a key, so a stopped run goes on where it was.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from twofold.curation import questions as making
from twofold.curation.templates import as_record
from twofold.errors import (
    ConfigError,
    DatabaseUnreachable,
    DiskFull,
    EndpointUnreachable,
    ProjectLocked,
    SourceUnreachable,
    StudyError,
    TooFewExamples,
    TwofoldError,
)
from twofold.files.toml_values import merged
from twofold.improvement import gaps, histories, measured, pricing, proposals, settings, spending, trials
from twofold.improvement.proposals import Cause
from twofold.improvement.record import History, Improvement, RoundRecord, Step, makes_questions, step_record
from twofold.lifecycle.comparison import Scored, compared, improves, scores_of
from twofold.plugins.protocols import Progress, quiet
from twofold.project import Project
from twofold.reports import archive, decisive
from twofold.settings import loading as config_loading
from twofold.store.model_registry import user
from twofold.study import more_data
from twofold.types import Arm, Example, Json
from twofold.verdict.record import AnswerRow, StudyRecord, counted, estimate_text

Agreement = Literal["yes", "no", "stop"]
"""Take the step, leave it and propose the next one, or end the run."""
LOCK = "improvement.lock"
"""File in `Project.derived`: the lock of the one run that may write the history."""
_OF_THE_MOMENT = (ProjectLocked, DiskFull, DatabaseUnreachable, EndpointUnreachable, SourceUnreachable)
"""Faults that say nothing of a step: its round stays open, and the next run finishes it."""
Diagnosing = Callable[..., Sequence[Cause]]
"""Finds the causes of wrong answers, called as ``(project, study, arm, questions=…, progress=…)``: of the arm as the
study of that name measured it, to questions of train and dev."""
BY_YOU = "stopped by you"
"""Why a run ended whose step was answered with ``stop``."""
NO_STEP, NO_CAUSE = "no step is left that a program can take", "no wrong answer has a cause to mend"
"""Why a run ended that no limit and nobody stopped."""


class _BudgetSpentError(Exception):
    """The minutes of a run ended within work that has no forecast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRules:
    """When a run ends, whatever is still to gain."""

    minutes: float | None = None
    """Work of all rounds of the run; a step that is forecast to take more than what is left is not taken."""
    cost: float | None = None
    """Money of all rounds, in the currency of the configured prices."""
    rounds: int = 5
    """Rounds of this run. Each one whose study is run is a look at the test questions."""
    diagnosed: int = 120
    """Train-side questions that are answered and diagnosed, drawn evenly; see `questions_of`."""


@dataclass(kw_only=True)
class _Present:
    """What answers now, and must be beaten."""

    project: Project
    record: StudyRecord
    arm: Arm


@dataclass(kw_only=True)
class Improver:
    """Runs rounds on one project.

    Args:
        directory: The project.
        overrides: Nested values laid over its ``twofold.toml``.
        diagnose: Finds causes of wrong answers.
        agree: Asked before a step is taken.
        limits: When to end.
        progress: Shows the work.
        publish: Called with the directory of studies and the history after each round, so that a run that is killed
            has shown what it did until then.
    """

    directory: Path
    diagnose: Diagnosing
    agree: Callable[[Step], Agreement]
    overrides: Json = field(default_factory=dict)
    limits: StopRules = StopRules()
    progress: Progress = quiet
    publish: Callable[[Path, History], object] | None = None
    _proven: Json = field(default_factory=dict, init=False)
    """Values of the steps that this run kept: laid over `overrides`, which would else hide what stands in the file."""

    def run(self) -> Improvement:
        """Take steps until nothing promising is left or a limit is reached.

        Raises:
            StudyError: no arm has a score to improve.
            ProjectLocked: another run improves this project; it would be taken for an interrupted one.
            TwofoldError: whatever stops a study.
        """
        with self._opened() as project:
            lock = project.places.lock(LOCK)
        with lock:
            return self._run()

    def _run(self) -> Improvement:
        started = time.monotonic()
        rounds: list[RoundRecord] = []
        forecast = 0.0  # money
        with self._opened() as project:
            before = spending.metered(project)
            history = histories.read(project.records)
            if unfinished := histories.interrupted(history):
                resumed = pricing.remaining(_step_of(unfinished), self._opened, _values(project, unfinished))
                agreed, stopped = self._choice([resumed], (), minutes=0.0, spent=0.0)
                if agreed is None:
                    why = stopped or "it was not agreed to"
                    because = f"round {unfinished['number']} was interrupted, and comes before any other: {why}"
                    return Improvement(history=history, rounds=(), stopped=because, open_steps=(resumed,))
                rounds.append(self._resumed(history, unfinished, project))
                forecast += resumed.cost or 0.0
        while True:
            with self._opened() as project:
                present = self._present(project, history)
                try:
                    steps, causes, diagnosed = self._steps(present, history, started=started)
                except _BudgetSpentError:
                    stopped = "the budget was spent while answers were diagnosed; the next run goes on there"
                    return Improvement(history=history, rounds=tuple(rounds), stopped=stopped)
                minutes = (time.monotonic() - started) / 60
                # Whichever is more: diagnosis and trials are in no forecast, training at an endpoint in no answer.
                spent = max(forecast, spending.metered(project) - before)
                step, stopped = self._choice(steps, rounds, minutes=minutes, spent=spent)
                if step is None:
                    # Causes may be left whose steps were all tried.
                    ended = stopped or (NO_STEP if causes else NO_CAUSE)
                    return Improvement(history=history, rounds=tuple(rounds), stopped=ended, open_steps=tuple(steps))
                number = gaps.unused_number(self.directory, after=histories.last_number(history))
                begun = _begun(number, step, causes, present, diagnosed=diagnosed)
                histories.put(project.records, history, begun)
                rounds.append(self._finish(history, begun, project))
                forecast += step.cost or 0.0

    def _opened(self, values: Json | None = None, *, derived: Path | None = None) -> Project:
        """The project as it is now, or with the values of a step laid over it, and perhaps an index apart."""
        return Project.open(self.directory, merged(merged(self.overrides, self._proven), values or {}), derived=derived)

    def _as_written(self, values: Json) -> Project:
        """As `_opened`, where the file alone is valid with the values.

        Raises:
            ConfigError: it is not.
        """
        # A step that wins is written into the file: what only --set makes valid would be proven in vain.
        config_loading.load(self.directory, merged(self._proven, values))
        return self._opened(values)

    # ------------------------------------------------------------ what answers now

    def _present(self, project: Project, history: History) -> _Present:
        """The arm that answers now, measured under the configuration in force; a finished study is not run again."""
        if not archive.names(project.records):
            raise StudyError(
                "there is no study yet, and it is a study's verdict that is improved",
                cure="Run `twofold study` first.",
            )
        record = archive.read_record(project.records / decisive.decisive(project.records))
        name = record["verdict"]["arm"] or _best(record)
        if not name:
            raise StudyError(
                "no arm has a score that could be improved",
                cure="Look at the failures of the study, then run it again.",
            )
        arm = project.config.arm(name)
        # Every step ends with a study, which would refuse a table of prices that is wrong.
        project.cost.prices()
        # A study that ran unasked would cost what nobody agreed to, and a look at the test questions.
        if not measured.as_measured(project, record["study"], name, progress=self.progress):
            raise StudyError(
                f"settings, documents or examples have changed since study {record['study']} measured the arm {name}",
                cure="Run `twofold study`, then `twofold improve`.",
            )
        if history["start"] is None:
            history["start"], history["metric"] = record["arms"][name]["metrics"][record["metric"]], record["metric"]
        return _Present(project=project, record=record, arm=arm)

    def _steps(self, present: _Present, history: History, *, started: float) -> tuple[list[Step], Sequence[Cause], int]:
        """Steps that may mend the present arm's wrong answers, priced and ranked; the causes; questions diagnosed.

        Raises:
            _BudgetSpentError: the run's minutes ended in the diagnosis.
        """
        project = present.project
        questions = questions_of(project, present.arm, most=self.limits.diagnosed)

        def watched(stage: str, done: int, total: int) -> None:
            # In no forecast, and as long as some studies. What it answered until now is kept.
            if self.limits.minutes is not None and time.monotonic() - started > 60 * self.limits.minutes:
                raise _BudgetSpentError
            self.progress(stage, done, total)

        causes = self.diagnose(project, present.record["study"], present.arm, questions=questions, progress=watched)
        proposals.require_train_side(causes, project.splits)
        steps = proposals.proposals(
            causes, project.config, present.arm, diagnosed=len(questions), tried=histories.tried(history)
        )
        if causes:
            curve, why = more_data.curve_of(self.directory, project.config, project.splits, arm=present.arm)
            steps += proposals.more_examples(present.arm, more_data.sentence(curve) if curve else why)
        price = partial(pricing.priced, project=project, opened=self._as_written)
        known = [price(step, trial=len(self._trial(project, step.arm, present.arm.name))) for step in steps]
        return proposals.ranked(known), causes, len(questions)

    def _choice(
        self, steps: Sequence[Step], rounds: Sequence[RoundRecord], *, minutes: float, spent: float
    ) -> tuple[Step | None, str]:
        """The first step within the limits that is agreed to; or None and why the run ends, empty if none is left."""
        if len(rounds) >= self.limits.rounds:
            return None, f"{counted(len(rounds), 'round')} done, as many as were allowed"
        beyond = unpriced = 0
        for step in steps:
            if step.for_a_person:
                continue
            if self.limits.minutes is not None and minutes + (step.minutes or 0.0) > self.limits.minutes:
                beyond += 1
                continue
            if self.limits.cost is not None and step.cost is None:
                unpriced += 1
                continue
            if self.limits.cost is not None and spent + (step.cost or 0.0) > self.limits.cost:
                beyond += 1
                continue
            agreement = self.agree(step)
            if agreement == "yes":
                return step, ""
            if agreement == "stop":
                return None, BY_YOU
        if beyond:
            return (
                None,
                f"the budget is spent: by the forecast {counted(beyond, 'step')} would exceed what is left of it",
            )
        if unpriced:
            number = counted(unpriced, "step")
            return None, f"no limit of money can be kept: the cost of {number} is unknown, as a model has no price"
        return None, ""

    # ------------------------------------------------------------ one round

    def _resumed(self, history: History, begun: RoundRecord, project: Project) -> RoundRecord:
        """Finish an interrupted round, unless something else was changed since: that would be proven with the step."""
        started = time.monotonic()
        values = _values(project, begun)
        with self._opened(values) as changed:
            # It was interrupted after its step had won, when the settings had it already.
            written = changed.config == project.config
            study = measured.left_by(project, changed, values, before=begun["before"])
        before, name = begun["before"], begun["before_arm"]
        if not written and not measured.as_measured(project, before, name, progress=self.progress):
            because = (
                f"settings, documents or examples have changed since study {begun['before']}, which it had to beat"
            )
            trials.leave(project, number=begun["number"])
            self._undo(project, begun, study=study, because=because)
            return self._settled(
                history, {**begun, "study": study}, project.records,
                outcome="abandoned", because=because, started=started,
            )  # fmt: skip
        return self._finish(history, {**begun, "resumed": True}, project)

    def _finish(self, history: History, begun: RoundRecord, project: Project) -> RoundRecord:
        """Carry a round out, or the rest of it, and store what became of it."""
        started = time.monotonic()
        step, records = begun["step"], project.records
        values = _values(project, begun)
        # The file of a round that was interrupted is there already: the same questions are asked again.
        ready = not makes_questions(step) or gaps.path(self.directory, begun["number"]).is_file()
        because = "no question could be made on the documents of the gaps"
        try:
            ready = ready or self._gap_examples(project, begun)
        except _OF_THE_MOMENT:
            raise
        except TwofoldError as error:
            because = f"{because}: {error.message} {error.cure}"
        if not ready:
            return self._settled(history, begun, records, outcome="undone", because=because, started=started)
        arm, before = begun["step"]["arm"], begun["before"]
        study = ""
        with self._trying(project, values, number=begun["number"]) as changed:
            try:
                if makes_questions(step):
                    gaps.require_same_questions(project, changed)
                # A round that passed dev before it was interrupted may stand in the settings already: both sides are
                # alike.
                if begun["dev"] is None:
                    on_dev = self._on_dev(project, changed, begun)
                    begun = {**begun, "dev": on_dev["difference"]}
                    if on_dev["difference"]["mean"] <= 0:
                        self._undo(project, begun)
                        return self._settled(
                            history, begun, records,
                            outcome="not better on dev", because=_dev_text(on_dev["difference"]), started=started,
                        )  # fmt: skip
                    histories.put(records, history, begun)
                record = changed.study(progress=self.progress)
                study = record["study"]
                comparison = _proof(changed, before, begun["before_arm"], record, arm)
            except _OF_THE_MOMENT:
                raise
            except TwofoldError as error:
                # Else every later run would stop at the same fault.
                because = f"its study failed: {error.message} {error.cure}"
                self._undo(project, begun, study=study, because=because)
                return self._settled(history, begun, records, outcome="undone", because=because, started=started)
        level = _level(records, before, record)
        begun = {**begun, "study": study, "difference": comparison["difference"], "level": level}
        because, wins = _reason(comparison, record, arm, margin=changed.config.study.margin)
        if _is_earlier(records, study, before):
            because = f"measured before by study {study}, no look was spent: {because}"
        if wins and (refused := self._write(values)):
            because, wins = f"{because}; {refused}", False
        if wins:
            if self.overrides:
                because += "; proven with settings laid over twofold.toml, which the file does not have"
            if trials.cuts(values):
                self._cut_anew(study)
            # The same systems were measured before the study that the step had to beat: theirs is the verdict again.
            if decisive.decisive(records) == before != study:
                decisive.roll_back(records, to=study, who=user(), why=f"{step['name']}: {because}")
            return self._settled(
                history, {**begun, "score": comparison["scores"]["candidate"]}, records,
                outcome="kept", because=because, started=started,
            )  # fmt: skip
        self._undo(project, begun, study=study, because=because)
        return self._settled(
            history, {**begun, "score": comparison["scores"]["champion"]}, records,
            outcome="undone", because=because, started=started,
        )  # fmt: skip

    def _write(self, values: Json) -> str:
        """Write a step that has won into the settings; returns why they cannot take it, empty where they have it."""
        try:
            settings.write(self.directory, values)
        except ConfigError as error:  # the file was edited meanwhile: raised, every later run would stop at it
            return f"the step cannot be written into twofold.toml: {error.message} {error.cure}"
        self._proven = merged(self._proven, values)
        return ""

    def _undo(self, project: Project, begun: RoundRecord, *, study: str = "", because: str = "") -> None:
        """Take back all that a round has left: the verdict of its study, and made questions."""
        records, step = project.records, begun["step"]
        # Only what this round's study decides is taken back: a person may have run another study since.
        if study and decisive.decisive(records) == study != begun["before"]:
            decisive.roll_back(records, to=begun["before"], who=user(), why=f"{step['name']}: {because}")
        gaps.path(self.directory, begun["number"]).unlink(missing_ok=True)

    def _settled(
        self,
        history: History,
        record: RoundRecord,
        records: Path,
        *,
        outcome: Literal["kept", "undone", "not better on dev", "abandoned"],
        because: str,
        started: float,
    ) -> RoundRecord:
        settled: RoundRecord = {
            **record,
            "outcome": outcome,
            "because": because,
            "seconds": record["seconds"] + time.monotonic() - started,
        }
        histories.put(records, history, settled)
        if self.publish is not None:
            self.publish(records, history)
        return settled

    def _gap_examples(self, project: Project, begun: RoundRecord) -> bool:
        """Make training questions on the documents of the failed train-side questions; were any made?"""
        arm = project.config.arm(begun["before_arm"])
        questions = questions_of(project, arm, most=self.limits.diagnosed)
        causes = self.diagnose(project, begun["before"], arm, questions=questions, progress=self.progress)
        wrong = {cause.question for cause in causes if cause.cause in proposals.of_gaps(arm)}
        if not arm.retrieval:
            # Documents that no arm has read yet are in no index, and questions are made on what is.
            project.sync(progress=self.progress)
        documents = gaps.documents(project, [example for example in questions if example.id in wrong])
        if not documents:
            return False
        try:
            examples = gaps.make(project, documents, number=gaps.count(len(wrong)), progress=self.progress)
        except TooFewExamples:
            return False
        if examples:
            making.save(
                [as_record(replace(e, split="train")) for e in examples], gaps.path(self.directory, begun["number"])
            )
        return bool(examples)

    def _trial(self, project: Project, *arms: str) -> list[Example]:
        """The train-side questions that arms are compared on: dev alone where one of them has seen those of train."""
        known = [project.config.arm(name) for name in arms]
        learned = [arm for arm in known if arm.learns]
        return questions_of(project, (learned or known)[0], most=self.limits.diagnosed)

    def _on_dev(self, project: Project, changed: Project, begun: RoundRecord) -> Json:
        """Paired difference on train-side questions; both sides' answers are kept, and made once."""
        names = begun["step"]["arm"], begun["before_arm"]
        questions = self._trial(project, *names)
        scores: list[Scored] = []
        for side, name, label in ((changed, names[0], "with the step"), (project, names[1], "without it")):
            chosen = side.config.arm(name)
            if chosen.retrieval:
                side.sync(progress=self.progress)
            with side.writing():
                parts = side.workspace.of(chosen)
                system, _ = parts.arms.system(chosen, side.splits, progress=self.progress)
                scores.append(
                    scores_of(
                        parts.config,
                        side.catalogue,
                        system,
                        questions=questions,
                        splits=side.splits,
                        progress=self.progress,
                        label=label,
                    )
                )
        return compared(project.config, questions, scores, level=project.config.study.level)

    @contextmanager
    def _trying(self, project: Project, values: Json, *, number: int) -> Iterator[Project]:
        """The project with a step; one that cuts documents anew has an index apart, and the one that answers stays."""
        with ExitStack() as stack:
            apart = None
            if trials.cuts(values) and not trials.in_database(project.config):
                apart = stack.enter_context(trials.place(project, number=number))
            # Closed before the trial's place is left: what it learned is taken from its file.
            yield stack.enter_context(self._opened(values, derived=apart))

    def _cut_anew(self, study: str) -> None:
        """Cut the documents of the index that answers as the step that was kept does, and let its study find them."""
        with self._opened() as project:
            project.sync(progress=self.progress)
            with project.writing():
                project.workspace.search.index.tag(study)


def questions_of(project: Project, arm: Arm, *, most: int) -> list[Example]:
    """The questions of train and dev that a step may be chosen by, at most so many, drawn evenly.

    Dev alone for an arm that learns from train, or shows questions of it: it answers those it has seen better.
    """
    splits = project.splits
    examples = list(splits.dev if arm.learns else (*splits.dev, *splits.train))
    stride = max(1.0, len(examples) / most)
    return [examples[int(place * stride)] for place in range(min(most, len(examples)))]


def _best(record: StudyRecord) -> str:
    """The arm with the highest mean score where the verdict chose none; empty where none has a score."""
    metric = record["metric"]
    scored = {}
    for name, arm in record["arms"].items():
        if not arm["diagnostic"] and metric in arm["metrics"]:
            scored[name] = arm["metrics"][metric]["mean"]
    return max(scored, key=lambda name: scored[name], default="")


def _is_earlier(records: Path, study: str, before: str) -> bool:
    """Was the study of a step there before the one that it had to beat? An identical study is not run again."""
    names = archive.names(records)
    return study in names and before in names and names.index(study) < names.index(before)


def _level(records: Path, before: str, record: StudyRecord) -> float:
    """Level of the comparison: that of the later look of the two, which is the stricter one."""
    return max(record["level"], archive.read_record(records / before)["level"])


def _values(project: Project, begun: RoundRecord) -> Json:
    """The values that a round lays over the settings, with the path of its made questions."""
    step = begun["step"]
    made_of = gaps.values_of(project.config, begun["number"]) if makes_questions(step) else {}
    return merged(step["values"], made_of)


def _step_of(record: RoundRecord) -> Step:
    """The step of an interrupted round."""
    step = record["step"]
    why = f"finishes round {record['number']}, which was interrupted"
    return Step(
        name=step["name"],
        why=why,
        values=step["values"],
        arm=step["arm"],
        share=step["share"],
        questions=(),
        gaps=makes_questions(step),
        minutes=step["minutes"],
        cost=step["cost"],
    )


def _begun(number: int, step: Step, causes: Sequence[Cause], present: _Present, *, diagnosed: int) -> RoundRecord:
    return {
        "number": number,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "step": step_record(step),
        "ledger": dict(Counter(cause.cause for cause in causes).most_common()),
        "diagnosed": diagnosed,
        "before": present.record["study"],
        "before_arm": present.arm.name,
        "study": "",
        "dev": None,
        "difference": None,
        "level": None,
        "score": None,
        "outcome": "begun",
        "because": "",
        "seconds": 0.0,
    }


def _proof(changed: Project, before: str, before_arm: str, record: StudyRecord, arm: str) -> Json:
    """The new arm's answers to the test questions against those of the arm before, at the level of this look.

    Raises:
        StudyError: the two studies asked no question in common.
    """
    records = changed.records
    mine = archive.read_answers(records / record["study"])
    # A race did not ask every arm every question.
    asked_before = [row for row in archive.read_answers(records / before) if before_arm in row["arms"]]
    theirs = {(row["id"], row["question"]): row for row in asked_before}
    pairs = [(row, theirs[row["id"], row["question"]]) for row in mine if (row["id"], row["question"]) in theirs]
    by_id = {example.id: example for example in (*changed.splits.test, *changed.splits.reserve)}
    pairs = [pair for pair in pairs if pair[0]["id"] in by_id]
    if not pairs:
        raise StudyError(
            f"the studies {before} and {record['study']} asked no question in common",
            cure="Run `twofold improve` again: examples were changed while a round ran.",
        )
    metric = record["metric"]
    sides = [_column([new for new, _ in pairs], arm, metric), _column([old for _, old in pairs], before_arm, metric)]
    questions = [by_id[row["id"]] for row, _ in pairs]
    return compared(changed.config, questions, sides, level=_level(records, before, record))


def _column(rows: Sequence[AnswerRow], arm: str, metric: str) -> Scored:
    answers = [row["arms"][arm] for row in rows]
    lost = [bool(answer["failure"]) for answer in answers]
    scores = [None if answer["failure"] else answer["scores"].get(metric) for answer in answers]
    return scores, lost


def _dev_text(difference: Json) -> str:
    """Why a step is not taken to the test questions."""
    return f"{estimate_text(difference)} on {difference['n']} questions of train and dev: no look was spent"


def _reason(comparison: Json, record: StudyRecord, arm: str, *, margin: float) -> tuple[str, bool]:
    """Why a step is kept or undone, and whether it is kept."""
    difference = comparison["difference"]
    shown = f"{comparison['metric']} {estimate_text(difference)} on {difference['n']} test questions"
    if not improves(difference, margin):
        short = "better, but by less than the margin" if difference["low"] > 0 else "not shown to be better"
        return f"{shown}: {'worse' if difference['high'] < 0 else short}", False
    # Nobody reads a caveat before a step is kept: it must hold without the failed answers as well.
    if not improves(comparison["answered"], margin):
        return f"{shown}: better only by answers that failed", False
    objections = record["arms"][arm].get("objections", [])
    if objections:
        return f"{shown}: better, but {objections[0]}", False
    return f"{shown}: better", True
