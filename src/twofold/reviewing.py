"""What `twofold check` says of a project's documents and examples, before a minute is spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from twofold import access, dataset, schemas
from twofold.config import Config
from twofold.corpus.loading import load_documents
from twofold.dataset import Leaks, Splits
from twofold.errors import LeakFound, TooFewExamples, TwofoldError
from twofold.metrics import changes
from twofold.plugins import Embedder
from twofold.reading import as_problem
from twofold.types import Document, Example, Problem

_EMBEDDED = 5000
"""Most questions whose meaning is compared."""


def review(config: Config, root: Path, embedder: Callable[[], Embedder] | None) -> list[Problem]:
    """Everything that is wrong; errors stop a study, warnings do not.

    Args:
        config: The configuration in force.
        root: The project's directory.
        embedder: Makes the embedder, where it is at hand: paraphrases of test questions are told by it.
    """
    problems: list[Problem] = []
    documents: list[Document] = []
    if config.documents.paths:
        documents, found = load_documents(config.documents, root, strict=False)
        problems += found
    examples, found = dataset.load_examples(config.examples.paths, root, strict=False)
    if documents and not examples and len(found) == 1:  # retrieval needs no questions
        found = [replace(found[0], severity="warning")]
    problems += found
    problems += dataset.check(documents, examples, max_tokens=config.generation.max_tokens)
    problems += access.problems(documents, config.access.rules, enabled=config.access.enabled)
    problems += schemas.problems(config.generation.json_schema, root)
    if not examples:
        return problems
    problems += changes.of_study(config.study.metric.name, config.study.metric.options, examples)
    try:
        splits = dataset.split(examples, config.examples, documents=dataset.same_documents(documents))
    except (TooFewExamples, LeakFound) as error:
        return [*problems, as_problem(error)]
    if any(config.arm(name).tuning for name in config.study.arms):
        problems += [
            as_problem(TooFewExamples(f"the {name} split is empty, and tuning needs it"))
            for name, part in (("train", splits.train), ("dev", splits.dev))
            if not part
        ]
    return [*problems, *_leaks(config, splits, examples, embedder)]


def _leaks(
    config: Config, splits: Splits, examples: Sequence[Example], embedder: Callable[[], Embedder] | None
) -> list[Problem]:
    section = config.examples
    learned, asked = (*splits.train, *splits.dev), (*splits.test, *splits.reserve)
    leaks = dataset.leaks(learned, asked, near=section.near == "drop")
    problems = []
    if leaks.pairs:
        error = dataset.leak_error(leaks.pairs[0], leaks, examples)
        problems.append(as_problem(error, "error" if section.on_leak == "error" else "warning"))
    return problems + ([] if embedder is None else _paraphrases(learned, asked, leaks, embedder))


def _paraphrases(
    learned: Sequence[Example], asked: Sequence[Example], known: Leaks, embedder: Callable[[], Embedder]
) -> list[Problem]:
    """Training questions that mean what a test question asks."""
    if not learned or not asked or len(learned) + len(asked) > _EMBEDDED:
        return []
    try:
        vectors = [embedder().embed([e.question for e in part]) for part in (learned, asked)]
    except TwofoldError:
        return []
    found = dataset.paraphrases(learned, asked, (vectors[0], vectors[1]), known=known)
    return [dataset.paraphrase_problem(found)] if found else []
