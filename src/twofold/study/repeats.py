"""The training runs of a study's tuned arms, where it has several: which are measured, and what is recorded of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.errors import ConfigError
from twofold.examples.questions import Questions
from twofold.hashing import plain
from twofold.plugins import loading
from twofold.plugins.protocols import Metric, Pools
from twofold.plugins.traits import MetricTraits
from twofold.settings.sections import StudySection
from twofold.stats import repeats as spreads
from twofold.study.measure import MeasuredArm
from twofold.types import Arm, Estimate, Example
from twofold.verdict import repeats
from twofold.verdict.certificate import Certificate, arms_of, unlike
from twofold.verdict.evidence import VerdictFacts
from twofold.verdict.record import RunsRecord
from twofold.verdict.repeats import Runs

IDLE = "[study].seeds = {} repeats nothing: {}"


def runs_of(workspace: Workspace, arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """The arms of single training runs, ``ft@1`` and so on, by which the tuned arms of a study are measured.

    Raises:
        ConfigError: a single run is named as an arm that may be chosen, or the deciding metric is pooled.
    """
    single = [arm for arm in arms if arm.run]
    if single:
        raise ConfigError(
            f"the arm {single[0].name} is one training run, which a verdict cannot choose",
            cure=f"Name {single[0].name.partition('@')[0]}, and set [study].seeds to measure several runs of it.",
        )
    count = workspace.config.study.seeds
    if count == 1:
        return ()
    tuned = [arm for arm in arms if arm.tuning and not workspace.of(arm).models.chosen(arm.learner)]
    if not tuned:
        return ()
    decides = workspace.config.study.decides
    if MetricTraits.of(loading.find("metrics", decides.name)).pooled:
        raise ConfigError(
            f"[study].seeds = {count} cannot be combined with [study].metric = {decides.name!r}, which is computed "
            "from all answers together",
            cure="Set [study].seeds = 1, or decide by a metric that scores every question.",
        )
    return tuple(arm.of_run(number) for arm in tuned for number in range(1, count + 1))


def idle(config: Config, arms: Sequence[Arm], runs: Sequence[Arm]) -> list[str]:
    """Warnings of arms that are not trained several times though ``[study].seeds`` says so."""
    if config.study.seeds == 1:
        return []
    repeated = {arm.name.partition("@")[0] for arm in runs}
    named = [arm.name for arm in arms if arm.tuning and arm.name not in repeated]
    if named:
        return [IDLE.format(config.study.seeds, f"[tuning].use names the model of {', '.join(named)}")]
    return [] if repeated else [IDLE.format(config.study.seeds, "no arm is tuned")]


def remarks(diagnostics: Sequence[Arm]) -> list[str]:
    """What the chances of a plan leave out where arms are trained several times."""
    if not any(arm.run for arm in diagnostics):
        return []
    return [
        "the chances of a gain to be shown are those of one training run: how much runs differ is not known before the "
        "study, and makes its intervals wider"
    ]


def refuse_race(config: Config, runs: Sequence[Arm]) -> None:
    """Refuse to race with several training runs: a race bets on the scores of one adapter, shard by shard.

    Raises:
        ConfigError: an arm is trained several times.
    """
    if any(arm.run for arm in runs):
        raise ConfigError(
            f"[study].seeds = {config.study.seeds} cannot be raced: a race stops by the questions asked, and how much "
            "training runs differ is not among its bets",
            cure="Leave --race out, or set [study].seeds = 1.",
        )


def joined(measured: Sequence[MeasuredArm]) -> None:
    """Give each tuned arm the single training runs that its adapter was chosen among."""
    by_name = {item.arm.name: item for item in measured}
    for item in measured:
        rows = (item.training or {}).get("runs", ())
        item.runs = [by_name[item.arm.of_run(row["run"]).name] for row in rows]


def facts_of(arms: Mapping[str, MeasuredArm]) -> dict[str, Runs]:
    """Arm → its training runs, of the arms of which several were measured."""
    out = {}
    for name, item in arms.items():
        if item.runs and item.training:
            rows = item.training["runs"]
            out[name] = Runs(
                count=len(rows),
                different=len({run.system for run in item.runs}),
                served=next(row["run"] for row in rows if row["carried"]),
                first_seed=rows[0]["seed"],
                fallen=sum(row["gate"] == "failed" for row in rows),
            )
    return out


def mean_of(
    runs: Sequence[MeasuredArm], name: str, metric: Metric, *, test: Sequence[Example], section: StudySection
) -> Estimate | None:
    """The mean over training runs in a metric, with its interval; None where a run has no score at all.

    Args:
        runs: What was measured of each.
        name: Of the metric.
        metric: The metric itself.
        test: The questions as their answers are judged.
        section: [study], with the level of this look.
    """
    groups = Questions.of(test).groups
    lost = []
    for answers in zip(*(run.answers for run in runs), strict=True):
        lost.append(any(answer.failure is not None for answer in answers))
    if not MetricTraits.of(metric).pooled:
        values = _scores(runs, name)
        if not np.isfinite(values).all(axis=0).any():
            return None
        return repeats.estimate(values, groups, level=section.level, failed=sum(lost))
    there = [place for place, gone in enumerate(lost) if not gone]
    if not there:
        return None
    items = []
    for run in runs:
        items.append([(test[place], run.answers[place]) for place in there])
    return repeats.pooled(
        cast(Pools, metric).pool, items, groups[there], level=section.level, seed=section.seed, failed=sum(lost)
    )


def record_of(item: MeasuredArm, metric: str, counts: npt.ArrayLike, *, level: float) -> RunsRecord:
    """What an arm's training runs scored, and how much these differ.

    Args:
        item: An arm of which several runs were measured.
        metric: Name of the deciding metric.
        counts: Which questions count for the verdict, shape (questions,).
        level: Of the interval of the standard deviation.
    """
    known = facts_of({item.arm.name: item})[item.arm.name]
    means = repeats.means_of(_scores(item.runs, metric)[:, np.asarray(counts, dtype=bool)], failed_as_wrong=True)
    return {
        "names": [run.arm.name for run in item.runs],
        "seeds": [known.first_seed + number for number in range(known.count)],
        "scores": [float(mean) for mean in means],
        "deviation": plain(spreads.spread(means, level=level)),
        "served": known.served,
    }


def runs_unlike(certificate: Certificate, facts: VerdictFacts) -> list[str]:
    """How many training runs there are, how many differ, and which is served: by the keys of their systems."""
    keys = {name: row["key"] for name, row in certificate["systems"].items()}
    lines = []
    for arm in arms_of(certificate["arms"]):
        mine = [keys[name] for name in keys if name.startswith(f"{arm.name}@")]
        known = facts.runs.get(arm.name)
        if (known.count if known else 0) != len(mine):
            lines.append(f"facts.runs: {arm.name} has {len(mine)} measured runs")
        elif known:
            lines += unlike(known.different, len(set(mine)), f"facts.runs.{arm.name}.different")
            lines += unlike(mine[known.served - 1], keys[arm.name], f"facts.runs.{arm.name}.served: its system")
    return lines


def _scores(runs: Sequence[MeasuredArm], metric: str) -> Any:
    """Shape (runs, questions), NaN where there is no score."""
    # numpy reads None as NaN.
    return np.array([run.scores[metric] for run in runs], dtype=float)
