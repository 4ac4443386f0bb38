"""What a study needs before it can begin: the same refusals for its plan and for its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from twofold import plugins, specs
from twofold.build import Builder
from twofold.dataset import Splits
from twofold.errors import StudyError, TooFewExamples
from twofold.identity import digest
from twofold.plugins import Metric
from twofold.study import looks
from twofold.study.archive import latest
from twofold.study.confirming import Hypothesis, hypothesis, unseen
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
    hypothesis: Hypothesis | None = None
    """What an opening of the reserve tests; None for an ordinary study."""


def admitted(builder: Builder, splits: Splits, records: Path, *, final: bool = False) -> Admitted:
    """Check what is asked for, before anything is spent.

    Args:
        builder: Of the project.
        splits: Its examples.
        records: Directory of finished studies, with the ledger of looks.
        final: Open the reserve: only the two arms of the hypothesis answer, and only questions that no study used.

    Raises:
        StudyError: no arm, one named twice, a diagnostic without retrieval, an arm that needs weights which an
            endpoint keeps; or the reserve is to be opened and must not be (see `confirming`).
        TooFewExamples: an arm is to be tuned, and the train or dev split is empty.
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
    test, stated = splits.test, None
    if final:
        rows = [row for row in looks.read(records) if row.kind != "final" or _finished(records, row)]
        test = unseen(splits.reserve, rows)
        stated = hypothesis(latest(records), config)
        arms, diagnostics = tuple(map(config.arm, (stated.rival, stated.arm))), ()
    if not test:
        raise TooFewExamples("the test split is empty: there is no question to measure with")
    _require_tunable(builder, splits, (*arms, *diagnostics))
    return Admitted(arms=arms, diagnostics=diagnostics, metrics=metrics, test=test, hypothesis=stated)


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
            raise TooFewExamples(f"tuning needs examples in the {name} split, and there is none")


def _finished(records: Path, row: looks.Look) -> bool:
    """Is this opening of the reserve over? One that was killed, or had failed answers, may be run to its end."""
    return not row.failed and (records / row.name / "study.json").is_file()


def is_endpoint(kind: plugins.Kind, name: str) -> bool:
    """Does this plugin work over HTTP at an address of its options?"""
    return "base_url" in plugins.find(kind, name).Options.model_fields
