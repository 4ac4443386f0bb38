"""What a study needs before it can begin: the same refusals for its plan and for its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twofold import plugins, specs
from twofold.build import Builder
from twofold.dataset import Splits
from twofold.errors import StudyError, TooFewExamples
from twofold.identity import digest
from twofold.plugins import Metric
from twofold.types import Arm, Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A study that can begin."""

    arms: tuple[Arm, ...]
    diagnostics: tuple[Arm, ...]
    metrics: Mapping[str, tuple[Metric, str]]
    """Name → the metric, and its key: of its name, version and options."""
    test: tuple[Example, ...]
    """The questions: those of the test split, or of the reserve."""


def admitted(builder: Builder, splits: Splits, *, final: bool = False) -> Admitted:
    """Check what is asked for, before anything is spent.

    Raises:
        StudyError: no arm, one named twice, a diagnostic without retrieval, an arm that needs weights which an
            endpoint keeps, an empty reserve split that was asked for, or a model that learned from all documents.
        TooFewExamples: an arm is to be tuned or shows examples, and the train or dev split is empty.
        UnknownName: a metric of [study], or an arm, that nobody defined.
        ConfigError: an option that a metric does not have, or a bad value of one.
    """
    config = builder.config
    arms = tuple(config.arm(name) for name in config.study.arms)
    diagnostics = tuple(arm for arm in map(config.arm, config.study.diagnostics) if arm not in arms)
    if any(not arm.retrieval for arm in diagnostics) or len({arm.name for arm in arms}) < len(arms) or not arms:
        raise StudyError("[study].arms must name at least one arm, each once", cure="Correct [study].arms.")
    metrics = {}
    for part in config.study.scored:
        plugins.options("metrics", part.name, part.options, where=f"study: options of {part.name}")
        metric = plugins.make("metrics", part.name, part.options)
        metrics[part.name] = (metric, digest("metric", specs.of_part("metrics", part)))
    if final and not splits.reserve:
        raise StudyError("there is no reserve split to open", cure="Set [examples].reserve above 0 before any study.")
    test = splits.reserve if final else splits.test
    if not test:
        raise TooFewExamples("the test split is empty: there is no question to measure with")
    _require_shots(splits, arms)
    _require_kept_out(builder)
    _require_tunable(builder, splits, (*arms, *diagnostics))
    return Admitted(arms=arms, diagnostics=diagnostics, metrics=metrics, test=test)


def _require_tunable(builder: Builder, splits: Splits, arms: tuple[Arm, ...]) -> None:
    """Refuse arms that are to be tuned and cannot be."""
    tuned = [arm for arm in arms if arm.tuning and not builder.chosen(arm)]
    if not tuned:
        return
    part = builder.config.generation.generator
    local = [method.name for method in builder.methods if not is_endpoint("trainers", method.name)]
    if is_endpoint("generators", part.name) and local:
        names = ", ".join(arm.name for arm in tuned)
        others = ",".join(arm.name for arm in arms if not arm.tuning) or "base,prompt"
        model = str(part.options.get("model", part.name))
        raise StudyError(
            f"the trainer {local[0]!r} needs weights for {names}, and {model!r} is a model at an endpoint",
            cure=f'Run the other arms with --arms {others}, or tune at the endpoint: [tuning.trainer] name = "openai".',
        )
    for name, examples in (("train", splits.train), ("dev", splits.dev)):
        if not examples:
            raise splits.lack(name, "tuning needs examples")


def _require_shots(splits: Splits, arms: Sequence[Arm]) -> None:
    """Refuse arms that show examples where there is none to show: each would be the arm without, under another name."""
    for arm in arms:
        if arm.shots and not splits.train:
            raise splits.lack("train", f"the arm {arm.name} shows {arm.shots} examples, which it takes from those")


def _require_kept_out(builder: Builder) -> None:
    """Refuse a model that has read the documents of the test."""
    named = builder.config.tuning.use
    if named and (builder.registry.find(named).get("seen") or {}).get("everything"):
        raise StudyError(
            f"the model {named!r} learned from all documents, those of the test questions too: a study of it would say "
            "nothing about new documents",
            cure="Remove [tuning].use, or name a model that was tuned without --all-documents.",
        )


def is_endpoint(kind: plugins.Kind, name: str) -> bool:
    """Does this plugin work over HTTP at an address of its options?"""
    return "base_url" in plugins.find(kind, name).Options.model_fields
