"""Select examples for a budget, by difficulty that a child process measures and by the embedder's vectors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from twofold.assembly.searching import Search
from twofold.curation import selection
from twofold.curation.selection import By
from twofold.errors import TooFewExamples
from twofold.hashing import digest
from twofold.models import hub
from twofold.plugins import loading
from twofold.plugins.jobs import DifficultyJob
from twofold.plugins.protocols import Progress, quiet
from twofold.plugins.traits import GeneratorSettings
from twofold.tuning.training_data import closed_rows
from twofold.types import Example, Json

_MEASURE = "difficulty"
"""Name of the trainer that measures difficulty: it is a plugin, since it loads the base model with torch."""


@dataclass(frozen=True, kw_only=True)
class Selected:
    """The selected examples."""

    examples: tuple[Example, ...]
    """In order of choice: the first n are the choice for a budget of n (except `both`, whose pool grows with it)."""
    left_out: tuple[Json, ...]
    """``id`` and ``why`` of every example left out."""
    difficulty: dict[str, float]
    """Example id → difficulty, where difficulty was measured."""


def select(
    search: Search,
    examples: Sequence[Example],
    budget: int,
    *,
    by: By = "both",
    seed: int = 0,
    progress: Progress = quiet,
) -> Selected:
    """Choose `budget` examples.

    Raises:
        TooFewExamples: there is no example to choose from.
        TrainingError: difficulty could not be measured.
        MissingExtra: measuring difficulty needs torch, which is not installed.
    """
    # an example with neither answer nor abstention teaches nothing
    usable = [e for e in examples if e.references or not e.answerable]
    if not usable:
        raise TooFewExamples("there is no training example to choose from")
    hard = difficulty(search, usable, progress=progress) if by in {"both", "difficulty"} else {}
    texts = []
    for e in usable:
        texts.append("\n".join(m.content for m in e.messages if m.role == "user"))
    vectors = search.embedder.embed(texts, progress=progress) if by in {"both", "diversity"} else None
    order, too_hard = selection.choose(
        budget,
        by=by,
        vectors=vectors,
        difficulty=[hard[e.id] for e in usable] if hard else None,
        keys=[e.id for e in usable],
        seed=seed,
    )
    chosen = set(order)
    beyond = set(too_hard)
    left = []
    for number, example in enumerate(usable):
        if number not in chosen:
            left.append(
                {
                    "id": example.id,
                    "why": "the question does not help the model" if number in beyond else "beyond the budget",
                }
            )
    return Selected(examples=tuple(usable[n] for n in order), left_out=tuple(left), difficulty=hard)


def difficulty(search: Search, examples: Sequence[Example], *, progress: Progress = quiet) -> dict[str, float]:
    """Example id → instruction-following difficulty for the configured generator's base model.

    The difficulties are an artifact, so that a second choice from the same examples measures nothing.
    """
    part = search.config.generation.generator
    model = GeneratorSettings.of(loading.options("generators", part.name, part.options)).base
    measure = loading.make("trainers", _MEASURE, {})
    rows = closed_rows(examples, search.config.template)
    made_of = {
        # without the examples' ids, so that renamed examples are not measured again
        "rows": [replace(row, example="") for row in rows],
        "weights": hub.weights_digest(hub.locate(model)),
        "version": measure.version,
    }
    key = digest("difficulty", made_of)
    path = search.artifacts.find(key)
    if path is None:
        job = DifficultyJob(rows=rows, model=model)
        report = measure.train(job, search.artifacts.working(key), progress=progress)
        path = search.artifacts.finish(key, {"kind": "difficulty", "model": model, "report": report})
    lines = (path / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    scores = [json.loads(line) for line in lines]
    # loss of the answer after the question over its loss alone; the floor guards an answer that the model is sure of
    return {e.id: one["asked"] / max(one["alone"], 1e-6) for e, one in zip(examples, scores, strict=True)}
