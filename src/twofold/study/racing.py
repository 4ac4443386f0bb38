"""A race: the arms answer shard by shard, and the study stops when the bets of `stats.betting` crown one of them.

Whole groups are asked in an order that a hash fixes before any answer. Every arm still in the race answers a shard
before anything is looked at. An arm that the leader is shown better than is asked no more: a deferral, no elimination,
for should another arm lead, the missing shards are answered then. Answers are cached by system key, so a race that was
killed finds what is there, takes the same looks and goes on.

The race spends half of α. Where it crowns nobody by the last planned shard, one test of all questions has the other
half (`RaceEvidence.test`). Looks inside the race are free; outside it counts as one (`study.looks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

import numpy as np

from twofold.answering.system import System
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.costs.prices import Prices
from twofold.errors import ConfigError
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.host.meter import Meter
from twofold.plugins import specs
from twofold.plugins.protocols import Generator, Progress
from twofold.stats.betting import Race, Standing, settled
from twofold.study import latency, looks, priced, repeats
from twofold.study.admission import Admitted
from twofold.study.compose import uncited
from twofold.study.judging import Corpus
from twofold.study.measure import (
    MeasuredArm,
    answer_missing,
    answering_step,
    load,
    measured_arm,
    named,
    ready,
    require_answers,
    score,
)
from twofold.study.race_looks import UNSCORED, by_complexity, contenders, grouped, look_row
from twofold.study.shards import groups_of, shards
from twofold.study.this_look import identity, look_of
from twofold.types import Arm, Example, Json
from twofold.verdict.evidence import RaceEvidence
from twofold.verdict.racing import evidence_of, sentences
from twofold.verdict.record import BillItem, RaceLook, RaceRecord

Stop = Literal["crown", "end"]
"""Why a race stopped: an arm was crowned, or its shards were at an end without a crown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raced:
    """A race that has stopped."""

    measured: list[MeasuredArm]
    """Its arms, in the order of the study, scored by the deciding metric."""
    places: tuple[int, ...]
    """Places of the questions that some arm was asked, among those planned."""
    blocks: tuple[tuple[int, ...], ...]
    """Places of the questions of each shard that was asked, among those that some arm was asked."""
    look: int
    """The how-manieth look it was taken to be when it began, which set its level."""
    evidence: RaceEvidence
    """What it has shown; `covers` marks all of these questions, whether they count or not."""
    record: RaceRecord
    """Its looks."""

    def facts(self, counts: Any) -> RaceEvidence:
        """What it has shown, for the questions that count; `counts` marks them, shape (questions,)."""
        covers = {name: marks[counts] for name, marks in self.evidence.covers.items()}
        return replace(self.evidence, covers=covers)


def prepared(checked: Admitted, config: Config, *, schema: bool) -> Admitted:
    """The study as a race: without diagnostic arms, which decide nothing and would be asked every question.

    Raises:
        ConfigError: fewer than two arms may be chosen, the reserve is to be opened, or the deciding metric has no
            score for one question, which is what a race bets on.
    """
    specs.decider(config.study)
    repeats.refuse_race(config, checked.diagnostics)
    if checked.hypothesis is not None:
        raise ConfigError(
            "the reserve is opened for one test of two arms, and cannot be raced for",
            cure="Leave --race or --final out.",
        )
    if len(contenders(checked.arms, config.study, uncited=uncited(config, schema=schema))) < 2:
        raise ConfigError(
            f"a race needs two arms that may be chosen, of {', '.join(arm.name for arm in checked.arms)}",
            cure="Name further arms in [study].arms, relax the constraints of [study], or leave --race out.",
        )
    left_out = f"arms that a verdict cannot choose are not asked in a race: {_names(checked.diagnostics)}"
    more = (left_out,) if checked.diagnostics else ()
    return replace(checked, diagnostics=(), left_out=(*checked.left_out, *more))


def held_to_schemas(workspace: Workspace, arms: Sequence[Arm]) -> bool:
    """Are the answers of all arms JSON of a configured schema, whichever their model?"""
    return all(workspace.of(arm).models.schema for arm in arms)


def run(
    workspace: Workspace,
    checked: Admitted,
    splits: Splits,
    *,
    rows: Sequence[looks.Look],
    prices: Prices,
    bill: list[BillItem],
    progress: Progress,
) -> tuple[Raced, Admitted]:
    """Run a race to its end, or go on with one that was stopped; returns it, and the study of the questions it asked.

    Args:
        workspace: The project's parts.
        checked: The study; see `prepared`.
        splits: Its examples.
        rows: The ledger of looks, which sets its level.
        prices: The table of prices, for what it saves.
        bill: Gets a step for each arm.
        progress: Shows the work.

    Raises:
        GenerationError: every answer of every arm failed.
        TwofoldError: whatever stops an arm as a whole.
    """
    models, level = workspace.models, workspace.config.study.level
    checked = prepared(checked, workspace.config, schema=held_to_schemas(workspace, checked.arms))

    def begun(systems: Mapping[str, str]) -> tuple[int, float]:
        name = identity(models, checked, systems, examples=checked.test, race=True)
        # The latest, whose answers are those in the store.
        again = next((row for row in reversed(rows) if (row.kind, row.identity) == ("study", name)), None)
        kinds = looks.kinds_against(promoted=any(models.chosen(arm) for arm in checked.arms))
        number = again.look if again else 1 + looks.earlier(rows, looks.asked_digests(checked.test), kinds=kinds)
        return number, looks.level_of(number, level)

    def of(raced: Raced) -> Admitted:
        test = Questions(checked.test[place] for place in raced.places)
        return replace(checked, test=test, judged=Questions(checked.judged[place] for place in raced.places))

    raced = _race(workspace, checked, splits, look=begun, prices=prices, bill=bill, progress=progress)
    by_arm = {item.arm.name: item for item in raced.measured}
    look = look_of(models, by_arm, of(raced), dev=splits.dev, rows=rows, name="", planned=checked.test)
    # The same race has other answers now: it is another look, and has to go on at that look's level.
    if look.look != raced.look:
        again = (look.look, looks.level_of(look.look, level))
        raced = _race(workspace, checked, splits, look=lambda _: again, prices=prices, bill=bill, progress=progress)
    return raced, of(raced)


def _race(
    workspace: Workspace,
    checked: Admitted,
    splits: Splits,
    *,
    look: Callable[[Mapping[str, str]], tuple[int, float]],
    prices: Prices,
    bill: list[BillItem],
    progress: Progress,
) -> Raced:
    """The race; `look` tells from arm → system key which look this is, and its level: α is fixed before any answer."""
    loaded = _Loaded()
    runners = []
    # All are trained before the first shard: the guarantee is over questions, not over settings.
    for arm in by_complexity(checked.arms):
        system, training = ready(
            workspace.of(arm).arms, arm, splits, spent_on=workspace.spent, bill=bill, progress=progress
        )
        system.close()
        runners.append(_Runner(workspace.of(arm), splits, loaded, system=system, training=training, progress=progress))
    number, level = look({runner.arm.name: runner.key for runner in runners})
    track = _Track(workspace, checked, runners, level=level)
    try:
        while not track.stopped:
            track.step()
            # How much memory a model takes is known once it has answered.
            loaded.together = len(latency.batches_of([runner.measured(()) for runner in runners])) == 1
        return track.finished(number, prices, bill)
    finally:
        loaded.clear()


class _Loaded:
    """Generators that are loaded: arms of one model share it, and all stay where there is room for all."""

    def __init__(self) -> None:
        self.together = False
        """Do all models of the race fit into memory?"""
        self._generators: dict[str, Generator] = {}

    def share(self, system: System) -> tuple[System, bool]:
        """The system with its generator, and whether that answers for the first time."""
        key = system.generator.key
        fresh = key not in self._generators
        if fresh:
            if not self.together:
                self.clear()
            self._generators[key] = system.generator
        else:
            system.close()
        return replace(system, generator=self._generators[key]), fresh

    def clear(self) -> None:
        """Free the memory of all."""
        while self._generators:
            self._generators.popitem()[1].close()


class _Runner:
    """An arm in a race."""

    def __init__(
        self,
        workspace: Workspace,
        splits: Splits,
        loaded: _Loaded,
        *,
        system: System,
        training: Json | None,
        progress: Progress,
    ) -> None:
        self.arm, self.key = system.arm, system.key
        self._description: Json = {**system.description, "generator": system.generator.description}
        self._workspace, self._splits, self._loaded = workspace, splits, loaded
        self._training, self._progress = training, progress
        self._meter, self._fresh, self._price = Meter(), 0, 0.0

    def answer(self, examples: Questions, *, done: int, total: int) -> None:
        """Answer what is missing of these questions; `done` of `total` were answered before."""
        name = self.arm.name
        if not self._missing(examples):
            return
        with Meter() as meter:
            adapter = self._workspace.models.load(self._training["key"]) if self._training else None
            system, fresh = self._loaded.share(
                self._workspace.systems.equipped(self.arm, self._splits, adapter=adapter)
            )
            paid = float(system.generator.description.get("price", 0.0))
            if fresh:
                load(system, self._splits, examples, progress=named(self._progress, f"load {name}"))
            # Opening may show that an endpoint refuses an option: then the key is another, with other answers.
            system = system.as_sent()
            self.key = system.key
            self._workspace.catalogue.systems.put(self.key, system.description)
            todo = self._missing(examples)
            reused = answer_missing(
                self._workspace.catalogue,
                system,
                todo,
                batch=self._workspace.config.generation.batch,
                total=len(examples),
                progress=lambda _, count, __: self._progress(f"answer {name}", done + count, total),
            )
            self._description = {**system.description, "generator": system.generator.description}
            self._price += float(system.generator.description.get("price", 0.0)) - paid
        self._fresh += len(todo) - reused
        self._meter.seconds += meter.seconds
        self._meter.peak_mib = max(self._meter.peak_mib, meter.peak_mib)

    def _missing(self, examples: Questions) -> list[tuple[str, Example]]:
        answered = self._workspace.catalogue.answers.get(self.key)
        # By digest: the same question under two ids is answered once.
        pairs = dict(zip(examples.digests, examples, strict=True))
        return [(name, example) for name, example in pairs.items() if name not in answered]

    def measured(self, digests: Sequence[str]) -> MeasuredArm:
        """What it answered to the questions of these digests."""
        return measured_arm(
            self._workspace.catalogue,
            self.arm,
            digests,
            system=self.key,
            description=self._description,
            training=self._training,
        )

    def step(self, questions: int) -> BillItem:
        """The step of the bill for its answers to so many questions."""
        return answering_step(self.arm, questions, self._fresh, spent=self._meter, price=self._price)


class _Track:
    """The shards of a race: who has answered which, and how the bets stand."""

    def __init__(self, workspace: Workspace, checked: Admitted, runners: Sequence[_Runner], *, level: float) -> None:
        section = workspace.config.study
        self.stopped: Stop | None = None
        self._workspace, self._checked, self._runners, self._level = workspace, checked, runners, level
        self._shards = shards(checked.test, seed=section.seed, batch=workspace.config.generation.batch)
        self._places = groups_of(checked.test, self._shards)
        silent = uncited(workspace.config, schema=held_to_schemas(workspace, checked.arms))
        names = [arm.name for arm in contenders(checked.arms, section, uncited=silent)]
        self._race = Race(
            [len(places) for places in self._places],
            arms=len(runners),
            # The other half is for the test of all questions at the end.
            alpha=(1 - level) / 2,
            contenders=[number for number, runner in enumerate(runners) if runner.arm.name in names],
        )
        # (questions, arms): the deciding score, a failed answer 0; NaN: not asked.
        self._values = np.full((len(checked.test), len(runners)), np.nan)
        self._number = 0  # of shards that were looked at
        self._going: Sequence[int] = range(len(runners))
        self._looks: list[RaceLook] = []
        self._standing = Standing(leader=0, crowned=None, going=())
        documents = workspace.catalogue.documents.digests()
        self._corpus = Corpus(search=workspace.search) if documents else None

    def step(self) -> None:
        """Ask the next shard, look, and let arms catch up that are in the race again; then see whether to stop."""
        self._number += 1
        last = self._number == len(self._shards)
        self._standing = settled(
            self._race, self._going, ask=self._answered, behind=lambda arm: bool(self._missing(arm)), last=last
        )
        self._looks[-1]["crowned"] = self._crowned
        self._going = self._standing.going
        if self._standing.crowned is not None:
            self.stopped = "crown"
        elif last:
            self.stopped = "end"

    def _answered(self, arms: Sequence[int]) -> None:
        for arm in arms:
            self._ask(arm)
        if self._number == 1:
            measured = [self._measured(arm) for arm in arms]
            last = self._workspace.of(measured[-1].arm)
            require_answers(last.config.generation.generator, measured, more=False)
        self._look(arms)

    def _missing(self, arm: int) -> list[int]:
        """Places of the questions up to this shard that an arm was not asked yet, in the order of the test."""
        places = chain.from_iterable(self._shards[: self._number])
        return sorted(place for place in places if np.isnan(self._values[place, arm]))

    def _ask(self, arm: int) -> None:
        places = self._missing(arm)
        done = int(np.isfinite(self._values[:, arm]).sum())
        test, judged = self._checked.test, self._checked.judged
        questions = Questions(test[place] for place in places)
        self._runners[arm].answer(questions, done=done, total=len(test))
        item = self._runners[arm].measured(questions.digests)
        self._score(item, Questions(judged[place] for place in places), names=(self._decides,))
        for place, answer, value in zip(places, item.answers, item.scores[self._decides], strict=True):
            unscored = UNSCORED if answer.failure is None else 0.0
            self._values[place, arm] = unscored if value is None else value

    @property
    def _decides(self) -> str:
        return self._workspace.config.study.metric.name

    def _score(self, item: MeasuredArm, judged: Sequence[Example], *, names: Sequence[str]) -> None:
        metrics = {name: self._checked.metrics[name] for name in names}
        doing: Json = {"corpus": self._corpus, "executor": self._workspace.executor}
        score(self._workspace.catalogue, item, test=judged, metrics=metrics, **doing)

    def _look(self, arms: Sequence[int]) -> None:
        """Take in what these arms have answered, and write the look down."""
        table, sizes = grouped(self._values, self._places)
        self._race.look(table, sizes=sizes)
        names = [runner.arm.name for runner in self._runners]
        self._looks.append(look_row(self._race, names, shard=self._number, answered=arms, questions=self._questions))

    @property
    def _crowned(self) -> str:
        arm = self._standing.crowned
        return "" if arm is None else self._runners[arm].arm.name

    @property
    def _questions(self) -> int:
        return int(np.isfinite(self._values).any(axis=1).sum())

    def _measured(self, arm: int) -> MeasuredArm:
        places = np.flatnonzero(np.isfinite(self._values[:, arm]))
        return self._runners[arm].measured([self._checked.test.digests[place] for place in places])

    def finished(self, look: int, prices: Prices, bill: list[BillItem]) -> Raced:
        """The arms with all their scores, and what the race has shown.

        Args:
            look: The how-manieth look it was taken to be.
            prices: For what it has saved.
            bill: Gets a step for each arm.
        """
        test, judged = self._checked.test, self._checked.judged
        reached = np.isfinite(self._values)  # (questions, arms)
        places = np.flatnonzero(reached.any(axis=1))
        measured: dict[str, MeasuredArm] = {}
        for arm, runner in enumerate(self._runners):
            item = self._measured(arm)
            item.covers = tuple(bool(mark) for mark in reached[places, arm])
            self._score(
                item, [judged[place] for place in np.flatnonzero(reached[:, arm])], names=[*self._checked.metrics]
            )
            bill.append(runner.step(len(item.answers)))
            measured[runner.arm.name] = item
        evidence = evidence_of(
            self._race,
            [*measured],
            covers={name: np.array(item.covers) for name, item in measured.items()},
            level=self._level,
            test=self.stopped == "end",
            crowned=self._crowned,
        )
        numbers = {name: len(item.answers) for name, item in measured.items()}
        record: RaceRecord = {
            "planned": len(test),
            "questions": len(places),
            "shards": len(self._shards),
            "alpha": 1 - self._level,
            "stopped": self.stopped or "end",
            "crowned": self._crowned,
            "answers": numbers,
            "saved": priced.saved(self._workspace, measured, planned=len(test), prices=prices),
            "looks": self._looks,
        }
        reasons, doubts = sentences(record)
        return Raced(
            # In the order of the study, as a plain one has them.
            measured=[measured[arm.name] for arm in self._checked.arms],
            places=tuple(int(place) for place in places),
            # The leader answers every shard, so all its questions are among `places`.
            blocks=tuple(tuple(np.searchsorted(places, block).tolist()) for block in self._shards[: self._number]),
            look=look,
            evidence=replace(evidence, reasons=reasons, doubts=doubts),
            record=record,
        )


def _names(arms: Sequence[Arm]) -> str:
    return ", ".join(arm.name for arm in arms)
