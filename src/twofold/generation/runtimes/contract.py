"""The protocol of a local generator's runtime: token ids in, token ids out; and the model's tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal, Protocol

from twofold import prompts
from twofold.errors import ModelError
from twofold.models.adapter_layers import chat_template_of
from twofold.models.tokenizers import tokenizer_of
from twofold.plugins.live import DetailedCompletion, TokenChance
from twofold.plugins.protocols import Progress
from twofold.text import sanitise
from twofold.types import Completion, Failure, Json, Message, Usage

_LONG = 20_000
"""Letters of a text that takes some hundredths of a second to tokenise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling settings for the next token."""

    temperature: float = 0.0
    """0: the most likely token, always."""
    seed: int = 0
    """Seed of sampling, where the temperature is above 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt, tokenised."""

    ids: tuple[int, ...]
    """Token ids, special tokens included."""
    max_tokens: int
    """Upper limit of new tokens."""
    stop: tuple[str, ...] = ()
    """Strings that end the completion."""
    schema: str = ""
    """JSON schema, or empty."""
    sampling: Sampling | None = None
    """How tokens are chosen for this prompt; None: as for all others."""
    logprobs: bool = False
    """Tell how likely the tokens are, where the runtime can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One completion, as the runtime made it."""

    ids: tuple[int, ...] = ()
    """New token ids, with the end token if it was reached."""
    logprobs: tuple[float, ...] = ()
    """Logarithm of each id's probability, where that was requested."""
    finish: Literal["stop", "length"] = "stop"
    """Reason for its end."""
    failure: Failure | None = None
    """The failure, where there is no completion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """A prompt and what follows it, tokenised."""

    ids: tuple[int, ...]
    """Token ids of the prompt; at least one."""
    following: tuple[int, ...]
    """Token ids whose probabilities are computed."""


class Runtime(Protocol):
    """A library that runs the weights."""

    def generate(self, requests: Sequence[Request], progress: Progress | None) -> list[Result]:
        """One result per request, in order."""
        ...

    def stream(self, request: Request) -> Iterator[Sequence[int] | Failure]:
        """Yield new token ids as they are generated, each once; a failure ends them where the request is at fault.

        Raises:
            GenerationError: the engine failed.
        """
        ...

    def likelihoods(self, continuations: Sequence[Continuation]) -> list[tuple[float, ...] | Failure]:
        """For each continuation the logarithms of the probabilities of its `following` ids, each after all before it.

        Raises:
            GenerationError: the engine failed.
        """
        ...

    def close(self) -> None:
        """Free the memory."""
        ...


NO_ROOM = Failure(
    code="generation.too-long",
    message="do not fit in the key-value cache; [generation.generator.options].cache_gib sets its size",
)
"""An engine's failure for a request that it has no room for; `with_counts` puts the numbers of tokens before it."""


def with_counts(failure: Failure, request: Request) -> Failure:
    """A failure as askers get it: an engine without room tells no numbers, and which to lower nobody knows without."""
    if failure != NO_ROOM:
        return failure
    counts = f"{len(request.ids)} prompt tokens and {request.max_tokens} new ones"
    return replace(failure, message=f"{counts} {failure.message}")


class Tokens:
    """A model directory's tokenizer and chat template: the same tokens in training and serving.

    Args:
        directory: Model directory.
        chat_template: A template to use instead of the model's own.

    Raises:
        ModelError: the directory has no tokenizer or no chat template.
    """

    def __init__(self, directory: Path, *, chat_template: str = "") -> None:
        settings, config = _json(directory / "tokenizer_config.json"), _json(directory / "config.json")
        template = chat_template or chat_template_of(directory, settings)
        if not template:
            raise ModelError(
                "the model has no chat template",
                file=directory,
                cure="Set chat_template in [generation.generator.options], put a chat_template.jinja beside the "
                "weights, or choose an instruction-tuned model.",
            )
        self.template = template
        self.specials = {key: _special(settings.get(key)) for key in ("bos_token", "eos_token")}
        self.tokenizer = tokenizer_of(directory)
        added = self.tokenizer.get_added_tokens_decoder().values()
        self.controls = sanitise.control_tokens((one.content, one.special) for one in added)
        self.context = int(config.get("max_position_embeddings") or 2048)
        # models name end tokens in three places, and different ones in each
        ends = [config.get("eos_token_id"), self.tokenizer.token_to_id(self.specials["eos_token"])]
        generation = directory / "generation_config.json"
        if generation.is_file():
            ends.append(_json(generation).get("eos_token_id"))
        listed = chain.from_iterable(entry if isinstance(entry, list) else [entry] for entry in ends)
        self.ends: frozenset[int] = frozenset(end for end in listed if end is not None)

    def text(self, messages: Sequence[Message]) -> str:
        """The prompt as text, up to the beginning of the completion.

        Raises:
            ConfigError: the template refuses these messages.
        """
        return prompts.chat_text(self.template, messages, self.specials, controls=self.controls)

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a prompt text, without added special tokens."""
        if len(text) > _LONG:
            # A megabyte takes seconds, and only the call for many gives the interpreter's lock back meanwhile.
            return tuple(self.tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids)
        return tuple(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids without special tokens."""
        # an end token need not be a special one
        return str(self.tokenizer.decode([i for i in ids if i not in self.ends], skip_special_tokens=True))

    def completion(self, request: Request, result: Result, seconds: float) -> Completion:
        """The completion of a request: its text before the stop string, what it cost, why it ended."""
        usage = Usage(prompt_tokens=len(request.ids), completion_tokens=len(result.ids))
        if result.failure is not None:
            failure = with_counts(result.failure, request)
            return Completion(text="", usage=usage, seconds=seconds, failure=failure)
        text, stopped = cut(self.decode(result.ids), request.stop)
        finish = "stop" if stopped else result.finish
        completion = Completion(text=text, usage=usage, seconds=seconds, finish=finish)
        if not request.logprobs:
            return completion
        # The end token is no part of the text.
        chances = tuple(
            TokenChance(token=self.decode([token]), logprob=logprob)
            for token, logprob in zip(result.ids, result.logprobs, strict=False)
            if token not in self.ends
        )
        return DetailedCompletion.of(completion, chances)


def cut(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The text before the stop string that was complete first during generation, and whether there is one."""
    # by the end: of two that overlap, the one that is complete first stops the model
    places = []
    for mark in stop:
        if mark and (place := text.find(mark)) >= 0:
            places.append((place + len(mark), place))
    return (text[: min(places)[1]], True) if places else (text, False)


class Pieces:
    """Token ids → text pieces: whole characters only, no part of a stop string; joined, they are the whole text.

    Args:
        tokens: The model's tokenizer.
        stop: Strings that end the text.
    """

    def __init__(self, tokens: Tokens, stop: Sequence[str]) -> None:
        self.ids: list[int] = []
        """The ids so far."""
        self.ended = False
        """A stop string is complete: what follows is no part of the text."""
        self._tokens, self._stop = tokens, stop
        self._sent = 0
        # the last letters may be the beginning of a stop string
        self._tail = max((len(mark) for mark in stop), default=1) - 1

    def add(self, new: Sequence[int]) -> str:
        """The piece that is complete with these ids; often empty."""
        self.ids += new
        text, self.ended = cut(self._tokens.decode(self.ids), self._stop)
        # half a character: its other bytes come with the next token
        if not self.ended and text.endswith("\ufffd"):
            return ""
        return self._until(text, len(text) if self.ended else len(text) - self._tail)

    def rest(self) -> str:
        """The piece that was held back, after the last id."""
        text, _ = cut(self._tokens.decode(self.ids), self._stop)
        return self._until(text, len(text))

    def _until(self, text: str, end: int) -> str:
        piece = text[self._sent : end]
        self._sent = max(self._sent, end)
        return piece


def _special(value: object) -> str:
    return str(value.get("content", "")) if isinstance(value, dict) else str(value or "")


def _json(path: Path) -> Json:
    try:
        value: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the model's {path.name} cannot be read: {error}", file=path) from error
    return value
