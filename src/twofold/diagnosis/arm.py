"""The diagnosis of one arm: cases of its wrong answers, their procedures, the ledger, and the levers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twofold.diagnosis.case import Case
from twofold.diagnosis.changes import Change, Trial
from twofold.diagnosis.ledger import diagnosed_row, ledger, sampled
from twofold.diagnosis.levers import LEVERS, TokenPrices, changes_for, levers
from twofold.diagnosis.procedure import at_most, examined
from twofold.diagnosis.record import ArmDiagnosis
from twofold.diagnosis.rerunning import Reruns
from twofold.plugins.protocols import Progress, quiet
from twofold.types import Example
from twofold.verdict.record import counted

FEW = 10
"""Wrong answers below which a ledger says little: of ten, a cause that is never seen can still be one of four."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmPlan:
    """What the diagnosis of one arm would run, before anything is run."""

    arm: str
    answers: int
    """Answers that have a score or failed."""
    wrong: int
    """Wrong ones among them."""
    diagnosed: int
    """Wrong answers that would be diagnosed."""
    reruns: int
    """Re-runs at most; those in the store are free."""
    levers: int
    """Further re-runs for the next best fix."""


@dataclass(frozen=True, kw_only=True)
class ArmCases:
    """The answers of one arm, made ready for their diagnosis."""

    arm: str
    """Its name."""
    system: str
    """Key of the system that the study measured."""
    cases: Sequence[Case]
    """All its answers that have a score or failed, in the study's order."""
    unscored: int
    """Answers that the metric does not judge."""
    limit: int = 0
    """Most wrong answers to diagnose; 0: all."""
    seed: int = 0
    """Of the sample, and of resampling."""
    fixes: bool = True
    """Measure levers as well."""

    @property
    def wrong(self) -> dict[str, Case]:
        """Place → wrong answer."""
        return {str(place): case for place, case in enumerate(self.cases) if not case.right}

    @property
    def sample(self) -> dict[str, Case]:
        """The wrong answers that are diagnosed."""
        wrong = self.wrong
        groups = {name: case.example.group for name, case in wrong.items()}
        return {name: wrong[name] for name in sampled(groups, self.limit, seed=self.seed)}

    @property
    def lever_places(self) -> list[int]:
        """Places of the answers that the levers stand on: all, or with a limit those of as large a part of all groups.

        Groups without a wrong answer are drawn like the others: a gain over groups that have one would be too high.
        """
        count = len(self.wrong)
        if not self.limit or count <= self.limit:
            return list(range(len(self.cases)))
        groups = sorted({case.example.group for case in self.cases})
        random.Random(self.seed).shuffle(groups)
        # Of a single group no interval can be told.
        chosen = set(groups[: max(2, round(len(groups) * self.limit / count))])
        return [place for place, case in enumerate(self.cases) if case.example.group in chosen]

    @property
    def lever_items(self) -> dict[str, dict[int, tuple[Example, Change]]]:
        """Lever → place of an answer → its example and change; of `lever_places` only."""
        if not self.fixes:
            return {}
        items: dict[str, dict[int, tuple[Example, Change]]] = {}
        for lever in LEVERS:
            mine = items.setdefault(lever.name, {})
            for place in self.lever_places:
                case = self.cases[place]
                change = changes_for(lever.name, case)
                if change is not None:
                    mine[place] = (case.example, change)
        return items

    def plan(self) -> ArmPlan:
        """What would be run."""
        sample = self.sample
        return ArmPlan(
            arm=self.arm,
            answers=len(self.cases),
            wrong=len(self.wrong),
            diagnosed=len(sample),
            reruns=sum(at_most(case) for case in sample.values()),
            levers=sum(map(len, self.lever_items.values())),
        )


def diagnose_arm(
    subject: ArmCases,
    reruns: Reruns,
    *,
    level: float,
    price: TokenPrices | None = None,
    progress: Progress = quiet,
) -> ArmDiagnosis:
    """Find the cause of every sampled wrong answer, and what would be gained by mending.

    Args:
        subject: The arm's answers.
        reruns: Asks changed systems.
        level: Of all intervals.
        price: Prices of tokens; None: unknown.
        progress: Called with answers decided, and with re-runs for levers.
    """
    sample = subject.sample
    examination = reruns.examine({name: examined(case) for name, case in sample.items()}, sample, progress=progress)
    rows = []
    for name, case in sample.items():
        rows.append(diagnosed_row(case, examination.causes[name], examination.trials.get(name, [])))
    trials: dict[str, Mapping[int, Trial]] = {}
    for lever, items in subject.lever_items.items():
        ran = reruns.run(list(items.values()), progress=_named(progress, lever))
        trials[lever] = dict(zip(items, ran, strict=True))
    failed = sum(1 for row in rows for trial in row["trials"] if trial["failure"])
    failed += sum(1 for mine in trials.values() for trial in mine.values() if trial.failure)
    where = {place: number for number, place in enumerate(subject.lever_places)}
    cases = [subject.cases[place] for place in where]
    for lever, mine in trials.items():
        trials[lever] = {where[place]: trial for place, trial in mine.items()}
    return {
        "arm": subject.arm,
        "system": subject.system,
        "answers": len(subject.cases),
        "wrong": len(subject.wrong),
        "diagnosed": len(rows),
        "unscored": subject.unscored,
        "reruns": reruns.count + reruns.cached,
        "failed": failed,
        "ledger": ledger(rows, level=level),
        "rows": rows,
        "levers": levers(cases, trials, level=level, seed=subject.seed, price=price) if cases else [],
    }


def _named(progress: Progress, lever: str) -> Progress:
    return lambda _stage, done, total: progress(f"re-run: {lever}", done, total)


def remarks(diagnosis: ArmDiagnosis) -> list[str]:
    """What to beware of in an arm's ledger, each with its cure."""
    arm, count = diagnosis["arm"], diagnosis["diagnosed"]
    lines = []
    if 0 < count < FEW:
        lines.append(
            f"{arm}: {counted(count, 'wrong answer')} cannot tell frequent causes from rare ones: read each, or "
            "add test questions"
        )
    if diagnosis["wrong"] > count:
        rest = diagnosis["wrong"] - count
        lines.append(f"{arm}: {rest} of {diagnosis['wrong']} wrong answers were not diagnosed: raise --limit")
    if diagnosis["unscored"]:
        lines.append(
            f"{arm}: {counted(diagnosis['unscored'], 'answer')} the metric cannot judge: choose a metric that scores "
            "these examples, or give them references"
        )
    if diagnosis["failed"]:
        lines.append(
            f"{arm}: {counted(diagnosis['failed'], 're-run')} failed and decided nothing: run `twofold diagnose` again"
        )
    return lines
