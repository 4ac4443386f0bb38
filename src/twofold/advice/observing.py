"""The facts of an opened project: its data, its index's changes and its model's tokenizer brought together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from twofold.advice.facts import ProjectData, Vocabulary, gathered
from twofold.advice.linear import LinearScore, linear_score
from twofold.advice.ranking import ProjectFact
from twofold.advice.start import is_closed_set
from twofold.config import Config
from twofold.errors import MissingExtra, TwofoldError
from twofold.examples.checking import tokens_about
from twofold.examples.leaks import conversation
from twofold.plugins import loading, specs
from twofold.store.catalogue import Catalogue
from twofold.types import Document, Example, Json

_INSTRUCTIONS = 200
"""Tokens of instructions and of the marks around a conversation, about."""


def observed(
    config: Config,
    catalogue: Catalogue,
    *,
    documents: Sequence[Document],
    examples: Sequence[Example],
    learnable: Callable[[], Sequence[Example]],
) -> tuple[ProjectFact, ...]:
    """The facts of a project; nothing is written, answered or trained.

    Args:
        config: Its configuration.
        catalogue: Its catalogue, which knows what each sync changed.
        documents: Its documents, as far as they are known.
        examples: Its examples.
        learnable: Gives those of the train and dev splits, where they are needed: no model, however small it is, is
            fitted to a test question.
    """
    vocabulary, why = base_vocabulary(config)
    has_labels = is_closed_set(examples, config.study.decides.name)
    # The splits are made only where something is fitted to the examples.
    fitted = learnable() if has_labels else ()
    linear, why_no_linear = _linear(fitted) if has_labels else (None, "")
    changes = catalogue.sync.changes()
    questions = sorted(tokens_about(conversation(example)) for example in examples)
    # Most of them: a single long one must not take the room of all documents.
    question = questions[int(0.95 * (len(questions) - 1))] if questions else 0.0
    return gathered(
        ProjectData(
            documents=documents,
            unsynced=bool(config.sources) and not changes,
            examples=examples,
            learnable=fitted,
            metric=config.study.decides.name,
            changes=[changes[version] for version in sorted(changes)],
            vocabulary=vocabulary,
            why_no_vocabulary=why,
            room=_INSTRUCTIONS + config.generation.max_tokens + round(question),
            linear=linear,
            why_no_linear=why_no_linear,
            must_cite=config.study.must_cite,
            permissions=config.access.enabled or config.study.permissions,
        )
    )


def _linear(examples: Sequence[Example]) -> tuple[LinearScore | None, str]:
    try:
        return linear_score(examples), ""
    except MissingExtra as error:
        return None, error.message


def base_vocabulary(config: Config) -> tuple[Vocabulary | None, str]:
    """The tokenizer of the configured model, or why there is none."""
    from twofold.models import hub

    try:
        part = config.generation.generator
        loading.options("generators", part.name, part.options)  # a bad option is the user's to mend, as everywhere
        model = specs.base_model(config, config.tuning.trainer)
        if not model:
            return None, f"the generator {part.name!r} has no model of its own"
        directory = hub.locate(model)
    except TwofoldError as error:
        return None, error.message
    try:
        return _read(model, directory), ""
    except ModuleNotFoundError:
        return None, "the package tokenizers is not installed"
    except (OSError, ValueError) as error:
        return None, f"the tokenizer of {model} cannot be read: {error}"


def _read(model: str, directory: Path) -> Vocabulary:
    from twofold.models.tokenizers import tokenizer_of

    tokenizer = tokenizer_of(directory)
    settings = json.loads((directory / "config.json").read_text(encoding="utf-8"))

    def pieces(texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    # 2048 where a model does not tell, as the runtimes take it.
    window = int(settings.get("max_position_embeddings") or 2048)
    return Vocabulary(model=model, pieces=pieces, window=window, weights=_weights(settings))


def _weights(settings: Json) -> float:
    """Number of weights of a decoder, from the sizes in its configuration; 0 where it has other names for them."""
    try:
        width, layers, inner = (
            float(settings[key]) for key in ("hidden_size", "num_hidden_layers", "intermediate_size")
        )
        heads, words = float(settings["num_attention_heads"]), float(settings["vocab_size"])
    except (KeyError, TypeError, ValueError):
        return 0.0
    shared = float(settings.get("num_key_value_heads") or heads) / heads
    # Queries and outputs, keys and values, the three matrices of the gated block; then the embeddings.
    layer = 2 * width**2 + 2 * shared * width**2 + 3 * width * inner
    return layers * layer + words * width * (1 if settings.get("tie_word_embeddings") else 2)
