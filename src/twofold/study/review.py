"""Findings of `twofold check` about a project's documents and examples, before anything is computed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from twofold.answering import access
from twofold.assembly import schemas
from twofold.config import Config
from twofold.corpus import filtering
from twofold.corpus.loading import id_of_another_source, load_documents
from twofold.errors import ConfigError, LeakFound, TooFewExamples, TwofoldError, UnknownName
from twofold.examples import checking, loading, preparing, splitting, twins
from twofold.examples import leaks as leaking
from twofold.examples.leaks import Leaks
from twofold.examples.splitting import Splits
from twofold.files.reading import as_problem
from twofold.metadata.conditions import conditions
from twofold.metrics import changes
from twofold.plugins.protocols import Embedder
from twofold.settings.loading import every_value
from twofold.store.forgotten import RECEIPTS, Forgotten, present
from twofold.study.admission import nothing_to_read, unused_models
from twofold.types import Document, Example, Problem

_EMBEDDED = 5000
"""Most questions whose meaning is compared."""


def review(config: Config, root: Path, embedder: Callable[[], Embedder] | None) -> list[Problem]:
    """List every problem of a project; errors stop a study, warnings do not.

    Args:
        config: The configuration in force.
        root: The project's directory.
        embedder: Makes the embedder, where it is at hand: paraphrases of test questions are told by it.
    """
    # Findings like any other, so that one run of `check` names all that is wrong.
    wrong: list[TwofoldError] = []
    every_value(config, wrong)
    problems = [as_problem(error) for error in wrong]
    documents: list[Document] = []
    if config.documents.paths:
        documents, faults = load_documents(config.documents, root, strict=False, question_paths=config.examples.paths)
        documents = present(documents, root)
        displacing = filter(None, (id_of_another_source(document.id, config.sources) for document in documents))
        problems = [*problems, *faults, *map(as_problem, displacing)]
    elif lacking := nothing_to_read(config, has_documents=bool(config.sources)):
        problems.append(as_problem(lacking))
    examples, faults = loading.load_examples(config.examples.paths, root, strict=False)
    if (documents or config.sources) and not examples and len(faults) == 1:  # retrieval needs no questions
        faults = [replace(faults[0], severity="warning")]
    problems += faults
    problems += checking.check(
        documents,
        examples,
        max_tokens=config.generation.max_tokens,
        abstention=config.prompt.abstention,
        forgotten=Forgotten(root / RECEIPTS).entries(),
    )
    problems += access.problems(documents, config.access.rules, enabled=config.access.enabled)
    if config.retrieval.where and documents and not config.sources:  # those of sources are read by a sync only
        faults = filtering.problems(conditions(config.retrieval.where), [one.metadata for one in documents])
        problems += faults
    problems += schemas.problems(config.generation.json_schema, root)
    for section in config.models.values():
        problems += schemas.problems(section.json_schema, root)
    problems += [as_problem(error, "warning") for error in unused_models(config)]
    if not examples:
        return problems
    with contextlib.suppress(ConfigError, UnknownName):  # one of the findings above
        problems += changes.of_study(config.study.metric.name, config.study.metric.options, examples)
    try:
        same, holders = twins.compared(documents)
        splits = splitting.split(examples, config.examples, documents=same, holders=holders)
    except (TooFewExamples, LeakFound) as error:
        return [*problems, as_problem(error)]
    return [*problems, *_splits(config, splits, examples, embedder)]


_DROPPED = (
    'Nothing need be done: they are left out of training. Give them one "group" to keep all of them on one side, or '
    'set [examples].near = "keep" where only their wording is alike.'
)


def _splits(
    config: Config, splits: Splits, examples: Sequence[Example], embedder: Callable[[], Embedder] | None
) -> list[Problem]:
    """Leaks between the splits, and splits that tuning needs and that are empty once the leaks are dropped."""
    section = config.examples
    problems = []
    leaked, inner = preparing.standing(splits, near=section.near == "drop")
    for leaks, where in ((leaked, preparing.TEST), (inner, preparing.DEV)):
        if leaks.pairs:
            error = leaking.leak_error(leaks.pairs[0], leaks, examples, where=where)
            problem = as_problem(error, "error" if section.on_leak == "error" else "warning")
            problems.append(problem if section.on_leak == "error" else replace(problem, cure=_DROPPED))
    left, _ = preparing.cleared(splits, leaked, inner)
    if any(config.arm(name).tuning for name in config.study.arms):
        needed = (("train", left.train), ("dev", left.dev))
        problems += [as_problem(left.lack(name, "tuning needs examples")) for name, part in needed if not part]
    return [*problems, *_paraphrases(config, splits, leaked, embedder)]


def _paraphrases(
    config: Config, splits: Splits, known: Leaks, embedder: Callable[[], Embedder] | None
) -> list[Problem]:
    """Training questions that mean what a test question asks, or why that was not looked for."""
    learned, held_out = (*splits.train, *splits.dev), (*splits.test, *splits.reserve)
    if not learned or not held_out:
        return []
    # `check` is to take seconds: embedding thousands of questions takes minutes.
    if len(learned) + len(held_out) > _EMBEDDED:
        why = f"{len(learned) + len(held_out)} questions are more than the {_EMBEDDED} that are compared"
        return [
            preparing.not_compared(why, 'Give rewordings of a question one "group", so that they stand on one side.')
        ]
    if embedder is None:
        makes = "Run `twofold sync`, then `twofold check` again."
        cure = makes if config.documents.paths or config.sources else "Look for rewordings yourself."
        why = "there is no index" + (" yet" if cure == makes else "") + ", whose embedder compares them"
        return [preparing.not_compared(why, cure)]
    try:
        learned_vectors = embedder().embed([e.question for e in learned])
        held_out_vectors = embedder().embed([e.question for e in held_out])
    except TwofoldError as error:
        return [preparing.not_compared(f"the embedder failed: {error.message}", error.cure)]
    rewordings = preparing.paraphrases(learned, held_out, (learned_vectors, held_out_vectors), known=known)
    return [preparing.paraphrase_problem(rewordings)] if rewordings else []
