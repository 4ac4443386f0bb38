"""Names, versions and options of the parts that a configuration names, as data for the keys of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twofold.config import Config
from twofold.errors import ConfigError
from twofold.plugins import loading, protocols
from twofold.plugins.traits import GeneratorSettings, MetricTraits, TrainerSettings
from twofold.settings.sections import MetricPart, Part, StudySection
from twofold.types import Example, Json

_INNER: dict[str, protocols.Kind] = {
    "search": "retrievers",
    "retriever": "retrievers",
    "rewriters": "rewriters",
    "rerankers": "rerankers",
}
"""Options that name parts → kind of those parts."""
_LONGEST = 80
"""Characters of the longest label: a longer reference is a sentence."""


def of_part(kind: protocols.Kind, part: Part) -> Json:
    """Name, version and options of a part, and the same of the parts that its options name.

    Raises:
        UnknownName, ConfigError: as in `loading.options`.
    """
    options = loading.options(kind, part.name, part.options)
    inner = {}
    for name, kind_of_inner in _INNER.items():
        if name in type(options).model_fields:
            value = getattr(options, name)
            parts = (value,) if isinstance(value, Part) else value
            inner[name] = [of_part(kind_of_inner, inner_part) for inner_part in parts]
    return {
        "name": part.name,
        "version": loading.find(kind, part.name).version,
        "options": options.model_dump(mode="json"),
        **({"inner": inner} if inner else {}),
    }


def informed(part: MetricPart, examples: Sequence[Example]) -> MetricPart:
    """A metric of labels with all labels of the examples; the metric as it is where it has labels or needs none.

    With its labels the metric reads the label that a sentence states. Labels are options like others, and part of the
    metric's key. A metric needs none where most examples have choices, or where most answers differ and so are no
    labels.

    Args:
        part: A metric.
        examples: All examples of the study, whatever their split.
    """
    if not MetricTraits.of(loading.find("metrics", part.name)).takes_labels or part.options.get("labels"):
        return part
    known = [e for e in examples if e.answerable and e.references]
    labels = sorted({e.references[0].strip() for e in known})
    chosen = sum(bool(e.choices) for e in known)
    if 2 * chosen > len(known) or 2 * len(labels) > len(known) or any(len(label) > _LONGEST for label in labels):
        return part
    return part.model_copy(update={"options": {**part.options, "labels": labels}})


def base_model(config: Config, method: Part) -> str:
    """The model that a tuning method starts from: its own or the generator's; empty where neither names one."""
    part = config.generation.generator
    model = TrainerSettings.of(loading.options("trainers", method.name, method.options)).model
    return str(model or GeneratorSettings.of(loading.options("generators", part.name, part.options)).base)


def decider(section: StudySection, *, pooled: bool = False) -> Part:
    """The metric that decides a study, after a check that it is fit to: a mean of scores over the same questions.

    Args:
        section: [study].
        pooled: Let a metric pass that is computed from all answers together, where it can decide so
            (`MetricTraits.decides_pooled`): for callers that need no score of one question.

    Raises:
        UnknownName: there is no metric of that name.
        ConfigError: the metric is pooled (macro-F1 is not a mean of scores of questions), conditional (an arm that
            declines, or cites nothing, would be judged only on the questions that it chose), or measures a fault.
    """
    part = section.decides
    kind = loading.find("metrics", part.name)
    cure = f"Decide by a metric that scores every question ({{}}), and put {part.name} into [study].metrics instead: "
    traits = MetricTraits.of(kind)
    if traits.pooled and not (pooled and traits.decides_pooled):
        raise ConfigError(
            f"[study].metric cannot be {part.name!r}: it is computed from all answers together and has no score for "
            "one question, so arms cannot be compared question by question",
            cure=cure.format("for labels accuracy") + "there its value is reported with its interval.",
        )
    if traits.lower_is_better:
        raise ConfigError(
            f"[study].metric cannot be {part.name!r}: it measures a fault, and its lowest value is the best",
            cure=cure.format("answer_f1, say") + "it is reported with its interval.",
        )
    if traits.conditional:
        raise _conditional(part.name, cure.format("token_f1, say") + "to demand citations, set [study].must_cite.")
    return part


def require_same_questions(name: str, scores: Mapping[str, Sequence[float | None]], failed: Json) -> None:
    """Refuse a deciding metric that turned out to score a question for one arm and not for another.

    Args:
        name: Name of the metric.
        scores: Arm → score of every question.
        failed: Arm → for every question, did the answer fail? A failed answer has no score, which is no fault.

    Raises:
        ConfigError: the metric scores only questions that an arm chose to answer; the message names it.
    """
    answered: dict[int, set[bool]] = {}
    for arm, column in scores.items():
        for place, (score, lost) in enumerate(zip(column, failed[arm], strict=True)):
            # a failed answer is scored by no metric
            if not lost:
                answered.setdefault(place, set()).add(score is not None)
    if any(len(found) > 1 for found in answered.values()):
        raise _conditional(name, "Decide by a metric that scores every question; put this one into [study].metrics.")


def _conditional(name: str, cure: str) -> ConfigError:
    return ConfigError(
        f"[study].metric cannot be {name!r}: it has no score where an arm declines or cites nothing, so every arm "
        "would be judged on other questions, those that it chose to answer",
        cure=cure,
    )


def of_retrieval(config: Config, *, embedder: str, content: str, words: float | None = None) -> Json:
    """Everything that decides the hits of a search: stages, index, embedder, content and k.

    Args:
        config: The configuration in force.
        embedder: The embedder's fingerprint.
        content: Digest of the index's content.
        words: The weight of the word leg that was chosen for the project; None where none was chosen.
    """
    retrieval = config.retrieval
    # a setting without effect is left out, so that keys from before the setting existed stay valid
    return {
        "rewriters": [of_part("rewriters", part) for part in retrieval.rewriters],
        "retriever": of_part("retrievers", retrieval.retriever),
        "rerankers": [of_part("rerankers", part) for part in retrieval.rerankers],
        **({"depth": retrieval.depth} if retrieval.rerankers else {}),
        **({"where": list(retrieval.where)} if retrieval.where else {}),
        "budget": retrieval.budget,
        "pipeline": loading.find("retrievers", "pipeline").version,
        **({"tools": _of_tools(config)} if config.tools else {}),
        "index": of_part("indexes", retrieval.index),
        "embedder": embedder,
        "content": content,
        **({} if words is None else {"words": words}),
        "k": retrieval.k,
    }


def _of_tools(config: Config) -> Json:
    descriptions: Json = {}
    for name, tool in config.tools.items():
        descriptions[name] = {
            **of_part("tools", Part(name=tool.kind, options=tool.options)),
            "description": tool.description,
            "readers": tool.readers,
        }
    return descriptions
