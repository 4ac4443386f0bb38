"""The generator of the arm ``linear``: a linear model of labelled examples, and no language model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from twofold.errors import ConfigError, GenerationError, MissingExtra, install
from twofold.examples import classifier
from twofold.examples.quality.labels import labels, why_open
from twofold.examples.questions import Questions
from twofold.files.reading import counted, excerpt
from twofold.hashing import digest
from twofold.plugins.protocols import Embedder, Progress
from twofold.types import Completion, Example, Json, Prompt

_FEWEST = 10
"""Fewest different texts: of fewer nothing can be learned that holds for another one."""


def conversation_of(prompt: Prompt) -> str:
    """What a prompt asks: its conversation without the instruction, which is the same for all."""
    return "\n".join(message.content for message in prompt.messages if message.role != "system")


class LabelWriter:
    """Answers with the label that the model gives to the conversation; see `protocols.Generator`.

    It is fitted at its first answer, and the same examples make the same model.

    Args:
        examples: To learn from, in the order of their split.
        render: An example's prompt, as live requests are rendered.
        embedder: Embeds what is asked.
        abstention: The label of examples without an answer.

    Raises:
        ConfigError: the answers are no labels, or too few.
        MissingExtra: scikit-learn is not installed.
    """

    version: ClassVar[int] = 1

    def __init__(
        self,
        examples: Sequence[Example],
        render: Callable[[Example], Prompt],
        *,
        embedder: Embedder,
        abstention: str,
    ) -> None:
        self._examples = classifier.evenly(examples, classifier.LEARNED)
        self._render = render
        self._embedder = embedder
        self._names = _names(self._examples, abstention)
        try:
            self._library = version("scikit-learn")
        except PackageNotFoundError as error:
            raise MissingExtra(
                "the arm linear needs the package scikit-learn, which is not installed", cure=install("data")
            ) from error
        self._lock = threading.Lock()
        self._model: Any = None

    @property
    def key(self) -> str:
        """Digest of the examples, the embedder and the library's version."""
        examples = list(Questions.of(self._examples).digests)
        made_of = {"name": "linear", "examples": examples, "labels": self._names, "library": self._library}
        return digest("generator", {**made_of, "embedder": self._embedder.fingerprint, "v": self.version})

    @property
    def description(self) -> Json:
        """The kind of model, and what it learned from."""
        return {
            "name": "linear",
            "model": "linear support vector machine on words and embeddings",
            "runtime": f"scikit-learn {self._library}",
            "embedder": self._embedder.fingerprint,
            "examples": len(self._examples),
            "labels": len(set(self._names)),
            "learned": digest("linear", list(Questions.of(self._examples).digests)),
        }

    @property
    def follows_schema(self) -> bool:
        """False: it writes labels and nothing else."""
        return False

    @property
    def byte_equal(self) -> bool:
        """True: one text's label does not depend on others."""
        return True

    def generate(self, prompts: Sequence[Prompt], *, progress: Progress | None = None) -> list[Completion]:
        """One label per prompt, in order; it reads and writes no tokens.

        Raises:
            GenerationError: the training texts have nothing in common to learn from.
        """
        if not prompts:
            return []
        model = self._fitted()
        begun = time.perf_counter()
        names = model.predict([conversation_of(prompt) for prompt in prompts])
        share = (time.perf_counter() - begun) / len(prompts)
        if progress is not None:
            progress("generate", len(prompts), len(prompts))
        return [Completion(text=str(name), seconds=share) for name in names]

    def stream(self, prompt: Prompt) -> Iterator[str | Completion]:
        """The label, then the completion."""
        completion = self.generate([prompt])[0]
        yield completion.text
        # A label is there as soon as the text is read: nothing is written token by token.
        yield replace(completion, first=completion.seconds)

    def close(self) -> None:
        """Free the model's memory."""
        self._model = None

    def _fitted(self) -> Any:
        # Requests of a server come in several threads: it is fitted once.
        with self._lock:
            if self._model is None:
                texts = [conversation_of(self._render(example)) for example in self._examples]
                self._model = classifier.fitted(texts, self._names, embed=self._embedder.embed)
            if self._model is None:
                raise GenerationError(
                    "the arm linear has nothing to learn from: no two training questions have letters in common",
                    cure="Leave linear out of [study].arms.",
                )
            return self._model


def _names(examples: Sequence[Example], abstention: str) -> list[str]:
    """The label of each example."""
    names = labels(examples)
    references = [example.references[0].strip() if example.references else "" for example in examples]
    # A field of JSON may be a closed set as well; to name it is no answer.
    if not names or names != references:
        first = next((e.references[0] for e in examples if e.references), "")
        raise ConfigError(
            f"the arm linear answers with labels, and the answers of {counted(len(examples), 'training example')} are "
            f"no closed set of labels ({why_open(references)}), such as "
            f"{excerpt(first, 60)!r}",
            cure="Leave linear out of [study].arms.",
        )
    if len({example.messages for example in examples}) < _FEWEST:
        raise ConfigError(
            f"the arm linear has too little to learn from: {counted(len(examples), 'training example')} ask fewer than "
            f"{_FEWEST} different things",
            cure="Leave linear out of [study].arms, or add training examples.",
        )
    return [name or abstention for name in names]
