"""Three short trainings on nested subsets of the train split, each scored on the dev split.

They are trainings as a study's are: the same rows, options and child process, on fewer examples, without the forgetting
gate and without general rows mixed in. Their weights are not kept: what they score is, so that a second probe trains
nothing, and one that was killed goes on from the last checkpoint.
"""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from twofold.advice.probes import curve
from twofold.advice.probes.record import CurvePoint, TuningCurve
from twofold.assembly import rehearsal
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.errors import TwofoldError
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.hashing import digest, plain
from twofold.host import capabilities, pace
from twofold.plugins import loading, specs
from twofold.plugins.protocols import Progress
from twofold.settings.sections import Part
from twofold.stats import intervals
from twofold.store.artifacts import Artifacts
from twofold.training import reckoning
from twofold.training.options import FitOptions
from twofold.types import Arm, Json

LEAST = 16
"""Train examples of the largest subset at least: a quarter of them is half a step of 8 rows."""
_BESIDE = 1.3
"""Seconds of a training over those of its steps: its evaluations may take a quarter, and it starts a process."""
_MEASURED = "short training"
"""Name under which the catalogue keeps what a short training scored."""
_SIZE = "curve size"
"""Name under which it keeps how many examples the largest subset has."""


def tuned_arm(config: Config) -> Arm | None:
    """The study's arm whose trainings are shortest: closed-book, where there is one; None where no arm is tuned.

    Where answers must cite, it is one that reads passages, if there is: the constraint rules the others out.
    """
    arms = [config.arm(name) for name in config.study.arms]
    # Only the project's own model is probed.
    tuned = [arm for arm in arms if arm.tuning and not arm.model]
    if config.study.must_cite:
        # What can be chosen comes first: a curve of an arm that is ruled out would settle nothing.
        tuned = [arm for arm in tuned if arm.retrieval] or tuned
    # Rows with passages have six times the tokens.
    return min(tuned, key=lambda arm: arm.tuning != "closed-book", default=None)


def learning_curve(
    workspace: Workspace, splits: Splits, arm: Arm, *, minutes: float, progress: Progress
) -> TuningCurve | str:
    """The curve of an arm; or, in words, why there is none.

    Args:
        workspace: Of the project, synced where the arm reads documents.
        splits: Its examples.
        arm: A tuned one.
        minutes: Time for all three trainings, by which their size is chosen.
        progress: Shows them.
    """
    if minutes <= 0:
        return "no time was allowed for it"
    method = workspace.adapters.methods[0]
    if reason := _impossible(workspace.config, method, splits):
        return reason
    directory = workspace.directory / "probes"
    try:
        brief = _brief(workspace, method, directory)
        rows = _affordable(brief, splits, arm, minutes=minutes, progress=progress)
        if isinstance(rows, str):
            return rows
        measured = []
        for number, size in enumerate((rows // 4, rows // 2, rows), 1):
            named = _named(progress, f"short training {number} of 3")
            measured.append(_trained(brief, splits, arm, size=size, progress=named))
        predicted = _curve(workspace.config, arm, splits, measured, trainer=_recipe(brief, arm, splits))
    except TwofoldError as error:
        # A forecast of retrieval is worth having without one of tuning; the reason stands beside it.
        return f"{error.message} ({error.cure})"
    shutil.rmtree(directory, ignore_errors=True)
    return predicted


def _impossible(config: Config, method: Part, splits: Splits) -> str:
    """Why there can be no short training; empty where there can."""
    generator = config.generation.generator
    if not isinstance(loading.options("trainers", method.name, method.options), FitOptions):
        return f"the trainer {method.name!r} trains elsewhere, at a price that no budget of minutes bounds"
    if "base_url" in loading.find("generators", generator.name).Options.model_fields:
        return f"the model of the generator {generator.name!r} is at an endpoint, and its weights are not here"
    if len(splits.train) < LEAST or not splits.dev:
        return (
            f"three nested subsets need {LEAST} train examples and dev examples to score them on; there are "
            f"{len(splits.train)} and {len(splits.dev)}"
        )
    return ""


def _brief(workspace: Workspace, method: Part, directory: Path) -> Workspace:
    """The project's parts with short trainings' settings, and a place of their own for weights."""
    config = workspace.config
    # Nothing beside the task: no gate, no smaller shares, and no general rows, for which the base model would have to
    # answer prompts for longer than the trainings take.
    known = loading.find("trainers", method.name).Options.model_fields
    options = {**method.options, **({"replay": 0.0} if "replay" in known else {})}
    settings: Json = {"gate": "off", "merge_back": (), "methods": (), "use": ""}
    settings["trainer"] = Part(name=method.name, options=options)
    return Workspace.open(
        workspace.directory,
        config.model_copy(update={"tuning": config.tuning.model_copy(update=settings)}),
        catalogue=workspace.catalogue,
        # Apart from the project's artifacts: they are no tuned models that anybody would list or promote.
        artifacts=Artifacts(directory),
        embedder=workspace.search.embedder if config.documents.paths or config.sources else None,
    )


def _affordable(brief: Workspace, splits: Splits, arm: Arm, *, minutes: float, progress: Progress) -> int | str:
    """How many examples the largest subset has: all, or half, a quarter … as the minutes allow; else why none."""
    recipe = digest("curve", {"recipe": _recipe(brief, arm, splits), "minutes": minutes})
    # Chosen once: this machine's pace changes, and a probe that goes on after a kill must go on with the same subsets.
    stored = brief.catalogue.measures.get(recipe, _SIZE)
    if stored:
        return int(stored["rows"])
    method = brief.adapters.methods[0]
    options = loading.options("trainers", method.name, method.options)
    assert isinstance(options, FitOptions)
    model = specs.base_model(brief.config, method)
    subject = reckoning.subject(model, options)
    # The pace of a machine that was busy then would refuse what takes a fifth of that time now.
    if "token" not in pace.paces(subject) or ("token" in pace.of_busy(subject) and not capabilities.crowded()):
        rehearsal.training(method, model, progress=progress)
    second = pace.paces(subject).get("token", 0.0) * _BESIDE
    rows = len(splits.train)
    needed = 0.0
    while rows >= LEAST:
        job = brief.adapters.job(arm, _part(splits, rows, seed=brief.config.tuning.seed))
        # The halves and quarters read three quarters more.
        needed = 1.75 * reckoning.reckon(job, options).tokens * second / 60
        if needed <= minutes:
            brief.catalogue.measures.put(recipe, _SIZE, {"rows": rows})
            return rows
        rows //= 2
    return (
        f"three trainings on {2 * rows} examples and fewer take about {needed:.1f} minutes, and {minutes:g} are "
        f"allowed (`--tuning-minutes {math.ceil(needed)}` allows them)"
    )


def _trained(brief: Workspace, splits: Splits, arm: Arm, *, size: int, progress: Progress) -> Json:
    """What a short training on `size` examples scored on dev: scores, groups, steps and seconds."""
    part = _part(splits, size, seed=brief.config.tuning.seed)
    recipe = digest("short training", {"recipe": _recipe(brief, arm, splits), "train": sorted(part.train.digests)})
    stored = brief.catalogue.measures.get(recipe, _MEASURED)
    if stored is None:
        # One run, however many a study takes: the curve is about numbers of examples.
        _, report = brief.adapters.adapter(arm.of_run(1), part, progress=progress)
        dev = report["dev_score"]
        stored = {
            "rows": size,
            "scores": dev["scores"],
            "groups": dev["groups"],
            "steps": report["steps"],
            "seconds": report["seconds"],
            "epochs": report["epochs"],
        }
        brief.catalogue.measures.put(recipe, _MEASURED, stored)
    return stored


def _recipe(brief: Workspace, arm: Arm, splits: Splits) -> str:
    """Name of all that decides the trainings beside the subset: trainer, base, wording, dev questions, passages."""
    config, method = brief.config, brief.adapters.methods[0]
    made_of = {
        "arm": [arm.tuning, arm.retrieval],
        "trainer": specs.of_part("trainers", method),
        "model": brief.models.base(method),
        "template": config.template.digest,
        "max_tokens": config.generation.max_tokens,
        "tuning": config.tuning.model_dump(mode="json"),
        "metric": specs.of_part("metrics", specs.decider(config.study)),
        "train": sorted(splits.train.digests),
        "dev": sorted(splits.dev.digests),
        "retrieval": brief.search.spec() if arm.retrieval else None,
    }
    return digest("recipe", made_of)


def _part(splits: Splits, size: int, *, seed: int) -> Splits:
    """The splits with the first `size` train examples in an order drawn by seed: smaller parts lie within larger."""
    order = sorted(zip(splits.train.digests, splits.train, strict=True), key=lambda pair: pair[0])
    random.Random(seed).shuffle(order)
    return replace(splits, train=Questions(example for _, example in order[:size]))


def _curve(config: Config, arm: Arm, splits: Splits, measured: Sequence[Json], *, trainer: str) -> TuningCurve:
    """The points with intervals, and what they say of all examples and of twice as many."""
    level, groups = config.study.level, measured[-1]["groups"]
    matrix = np.array([point["scores"] for point in measured], dtype=float).T  # (dev questions, subsets)
    sizes = [int(point["rows"]) for point in measured]
    points: list[CurvePoint] = []
    for column, point in enumerate(measured):
        points.append(
            {
                "rows": sizes[column],
                "score": plain(intervals.estimate(matrix[:, column], groups, level=level)),
                "steps": int(point["steps"]),
                "seconds": float(point["seconds"]),
            }
        )
    rows = len(splits.train)
    return {
        "arm": arm.name,
        "rows": rows,
        "dev": len(matrix),
        "epochs": float(measured[-1]["epochs"]),
        "points": points,
        "whole": plain(curve.predicted(matrix, sizes, groups, at=rows, level=level)),
        "twice": plain(curve.predicted(matrix, sizes, groups, at=2 * rows, over=rows, level=level)),
        "form": curve.FORM,
        "trainer": trainer,
    }


def _named(progress: Progress, stage: str) -> Progress:
    return lambda inner, done, total: progress(f"{stage}: {inner}".rstrip(": "), done, total)
