"""The local generator: a model in this process, on the runtime that suits the machine.

Prompts are rendered with the model's own chat template and tokenised in this module, so that every runtime, and
training, sees the same token ids. Weights are loaded at the first prompt: key and description cost nothing.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from twofold.errors import ConfigError, GenerationError, MissingExtra, ModelError, WrongWeights, install
from twofold.generation.export import gguf, merging
from twofold.generation.runtimes.contract import (
    Continuation,
    Pieces,
    Request,
    Result,
    Runtime,
    Sampling,
    Tokens,
)
from twofold.hashing import digest
from twofold.host import capabilities
from twofold.models import hub
from twofold.models.adapter_layers import WEIGHTS
from twofold.plugins.live import LiveBatch
from twofold.plugins.protocols import Options, Progress, quiet
from twofold.plugins.results import ExportedForm
from twofold.store.published import MANIFEST
from twofold.types import Adapter, Completion, Failure, Json, Prompt

if TYPE_CHECKING:
    from twofold.generation.runtimes import openvino

_log = logging.getLogger(__name__)


class LocalOptions(Options):
    """Options of the generator ``local``."""

    model: str = "smollm2-135m-instruct"
    """Name or source string; see `twofold models list`."""
    chat_template: str = ""
    """Jinja chat template, for a model without one; the trainer needs the same."""
    runtime: Literal["auto", "openvino", "transformers"] = "auto"
    """``auto``: OpenVINO where it is installed, can run the model, and there is no GPU; else transformers."""
    dtype: Literal["auto", "bf16", "f32"] = "auto"
    """Arithmetic: ``auto`` (the runtime's fastest on this machine), ``bf16`` or ``f32``, which is exact."""
    batch_tokens: int = Field(default=512, ge=64)
    """Tokens of one step, over all prompts; Ctrl-C waits for the end of a step."""
    cache_gib: float = Field(default=1.0, gt=0, le=1024)
    """Key-value cache of the OpenVINO runtime, GiB (whole numbers)."""
    threads: int = Field(default=0, ge=0)
    """0: all cores."""
    prefix_cache: bool = True
    """Reuse the computation for beginnings that prompts share (OpenVINO)."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Strings that end an answer, for a model that was not tuned to end it itself; empty: those of a model that
    Twofold knows by name. Such a model's answers are counted as ended, not as cut."""
    temperature: float = Field(default=0.0, ge=0, le=10)
    """0: greedy, the same answer every time."""
    seed: int = 0
    """Seed of sampling, where the temperature is above 0."""
    parity: bool = True
    """Compare a merged adapter with the unmerged one once, where torch and peft are installed."""


class LocalGenerator:
    """Generates in this process; see `protocols.Generator`.

    Args:
        options: See `LocalOptions`.
        adapter: The result of tuning: merged into a copy of the weights where that is exact, else applied unmerged by
            transformers; a fully tuned model replaces the base.

    Raises:
        ModelNotPulled, UnknownName: the model is not in the cache, or unknown.
        WrongWeights: the adapter was trained on other weights than the model's.
        MissingExtra: no runtime is installed.
    """

    version: ClassVar[int] = 1
    Options = LocalOptions

    def __init__(self, options: LocalOptions, *, adapter: Adapter | None = None) -> None:
        self.options = options
        self._adapter = adapter
        self._model = hub.locate(options.model)
        self._weights = hub.weights_digest(self._model)
        self._stop = options.stop or hub.resolve(options.model).stop
        if adapter is not None:
            _require_base(adapter, self._weights, options.model)
        self._runtime_name, self._because = _choose(options, self._model, adapter)
        self._dtype = capabilities.resolve(options.dtype, "openvino" if self._runtime_name == "openvino" else "auto")
        self._tokens: Tokens | None = None
        self._runtime: Runtime | None = None
        self._parity: Json | None = None
        self._closed = False
        self._lock = threading.RLock()

    @property
    def key(self) -> str:
        """Digest of weights, adapter, runtime with its version, dtype, sampling and batching."""
        o = self.options
        made_of = {
            "weights": self._weights,
            "adapter": self._adapter.weights if self._adapter else "",
            "runtime": self._runtime_name,
            "package": _package_version(self._runtime_name),
            "dtype": self._dtype,
            # greedy answers do not depend on the seed, so it must not change their key
            "sampling": [o.temperature, o.seed if o.temperature > 0 else 0],
            "batching": [o.batch_tokens, o.prefix_cache],
            "version": self.version,
        }
        # only where it is set, so that keys made before there was the option stay
        if o.chat_template:
            made_of["chat_template"] = o.chat_template
        if self._stop:
            made_of["stop"] = sorted(self._stop)
        return digest("generator", made_of)

    @property
    def description(self) -> Json:
        """Model, runtime, dtype, adapter and sampling; once used with an adapter, how well merging kept its answers."""
        fields: Json = {
            "name": "local",
            "model": self.options.model,
            "weights": self._weights,
            "runtime": self._runtime_name,
            "package": _package_version(self._runtime_name),
            "because": self._because,
            "dtype": self._dtype,
            "adapter": self._adapter.key if self._adapter else "",
            "temperature": self.options.temperature,
            "seed": self.options.seed,
        }
        if self._stop:
            fields["stop"] = list(self._stop)
        if self._parity is not None:
            fields["parity"] = self._parity
        return fields

    @property
    def follows_schema(self) -> bool:
        """True on OpenVINO."""
        return self._runtime_name == "openvino"

    @property
    def byte_equal(self) -> bool:
        """True for OpenVINO in f32; a product in bf16 depends on how many rows are computed together (decision 19)."""
        return self._runtime_name == "openvino" and self._dtype == "f32"

    @property
    def most_alternatives(self) -> int | None:
        """0 on OpenVINO, which tells the probability of the token that it chose, and no other."""
        return 0 if self._runtime_name == "openvino" else None

    def generate(self, prompts: Sequence[Prompt], *, progress: Progress | None = None) -> list[Completion]:
        """One completion per prompt, in order; a prompt beyond the context is a `Failure`.

        Raises:
            GenerationError: the runtime failed as a whole.
        """
        if not prompts:
            return []
        with self._lock:
            runtime, tokens = self._ready()
            begun = time.monotonic()
            prepared = [self._request(tokens, prompt) for prompt in prompts]
            requests = [request for request in prepared if isinstance(request, Request)]
            results = iter(runtime.generate(requests, progress) if requests else [])
            # One batch: each completion is charged its share of the time, and a prompt that never ran none of it.
            share = (time.monotonic() - begun) / max(1, len(requests))
        if progress is not None:
            progress("generate", len(prompts), len(prompts))
        completions: list[Completion] = []
        for item in prepared:
            if isinstance(item, Failure):
                completions.append(Completion(text="", failure=item))
            else:
                completions.append(tokens.completion(item, next(results), share))
        return completions

    def stream(self, prompt: Prompt) -> Iterator[str | Completion]:
        """Pieces of the completion as they come, then the completion; a prompt beyond the context is a `Failure`.

        Raises:
            GenerationError: the runtime failed as a whole.
        """
        return self._streamed(prompt, None, None, None)

    def _streamed(
        self, prompt: Prompt, temperature: float | None, seed: int | None, _logprobs: int | None
    ) -> Iterator[str | Completion]:
        """The stream of a prompt with its own sampling; a completion with a failure where the prompt is at fault."""
        # held until the stream ends: a runtime serves one call at a time
        with self._lock:
            runtime, tokens = self._ready()
            begun = time.monotonic()
            request = self._request(tokens, prompt)
            if isinstance(request, Failure):
                yield Completion(text="", failure=request)
                return
            o = self.options
            sampling = Sampling(
                temperature=o.temperature if temperature is None else temperature, seed=o.seed if seed is None else seed
            )
            request = replace(request, sampling=sampling)
            text = Pieces(tokens, request.stop)
            first: float | None = None
            for new in runtime.stream(request):
                # By the ids: a piece of text may wait for the other bytes of its letter.
                first = time.monotonic() - begun if first is None else first
                if isinstance(new, Failure):
                    yield tokens.completion(request, Result(failure=new), time.monotonic() - begun)
                    return
                if piece := text.add(new):
                    yield piece
                if text.ended:
                    break
            if piece := text.rest():
                yield piece
            # the last token that the limit allows may be the end token
            ended = len(text.ids) < request.max_tokens or text.ids[-1] in tokens.ends
            result = Result(ids=tuple(text.ids), finish="stop" if ended else "length")
            yield replace(tokens.completion(request, result, time.monotonic() - begun), first=first)

    def live(self) -> LiveBatch:
        """A running batch: OpenVINO's, which requests join at any step; with transformers one stream at a time.

        Raises:
            GenerationError: the generator is closed, or the runtime does not start.
        """
        from twofold.generation.live.process import Process
        from twofold.generation.live.threads import Threads

        with self._lock:
            tokens = self._tokenizer()
            if self._runtime_name == "transformers":
                return Threads(self._streamed, workers=1)
            # made here where it is missing; the child process loads it
            graph, settings = self._graph()
        sampling = Sampling(temperature=self.options.temperature, seed=self.options.seed)
        start = {"directory": str(graph), "settings": asdict(settings), "ends": sorted(tokens.ends), **asdict(sampling)}
        return Process(start, tokens=tokens, requested=lambda prompt: self._request(tokens, prompt), sampling=sampling)

    def export(
        self, target: Path, *, forms: Sequence[str], prompts: Sequence[Prompt], progress: Progress | None = None
    ) -> list[ExportedForm]:
        """Write the tuned model for other programs and check each form against it; see `exporting.export`.

        Raises:
            ModelError: there is no adapter, a form cannot represent it, or the files do not behave like it.
        """
        from twofold.generation.export import exporting

        if self._adapter is None:
            raise ModelError(f"{self.options.model} is not tuned: there is nothing to export")
        tokens = Tokens(self._model, chat_template=self.options.chat_template)
        tuned = exporting.Tuned(
            model=self._model, weights=self._weights, adapter=self._adapter, chat_template=tokens.template
        )
        ids = [tokens.encode(tokens.text(prompt.messages)) for prompt in prompts]
        # the forms are compared over `NEW` further tokens, which must fit into the context
        room = [one for one in ids if len(one) + exporting.NEW <= tokens.context]
        return exporting.export(tuned, target, forms=forms, prompts=room, progress=progress or quiet)

    def close(self) -> None:
        """Free the memory; the generator is unusable afterwards."""
        with self._lock:
            self._closed = True
            if self._runtime is not None:
                self._runtime.close()
            self._runtime = self._tokens = None

    def likelihoods(self, answers: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...] | Failure]:
        """Log-probability of every token of each answer after its prompt; beyond the context a `Failure`.

        Raises:
            GenerationError: the runtime failed as a whole.
        """
        if not answers:
            return []
        with self._lock:
            runtime, tokens = self._ready()
            prepared: list[Continuation | Failure] = []
            for prompt, text in answers:
                following = tokens.encode(text)
                request = self._request(tokens, replace(prompt, max_tokens=max(1, len(following))))
                if isinstance(request, Failure):
                    prepared.append(request)
                else:
                    prepared.append(Continuation(ids=request.ids, following=following))
            results = iter(runtime.likelihoods([one for one in prepared if isinstance(one, Continuation)]))
        return [one if isinstance(one, Failure) else next(results) for one in prepared]

    def _request(self, tokens: Tokens, prompt: Prompt) -> Request | Failure:
        try:
            ids = tokens.encode(tokens.text(prompt.messages))
        except ConfigError as error:
            return Failure(code="generation.template", message=error.message)
        if len(ids) + prompt.max_tokens > tokens.context:
            message = (
                f"{len(ids)} prompt tokens and {prompt.max_tokens} new ones exceed the context of {tokens.context}"
            )
            return Failure(code="generation.too-long", message=message)
        return Request(ids=ids, max_tokens=prompt.max_tokens, stop=(*prompt.stop, *self._stop), schema=prompt.schema)

    def _ready(self) -> tuple[Runtime, Tokens]:
        tokens = self._tokenizer()
        if self._runtime is None:
            self._runtime = self._start(tokens)
        return self._runtime, tokens

    def _tokenizer(self) -> Tokens:
        if self._closed:
            raise GenerationError("this generator is closed", cure="Create a new generator.")
        if self._tokens is None:
            self._tokens = Tokens(self._model, chat_template=self.options.chat_template)
        return self._tokens

    def _start(self, tokens: Tokens) -> Runtime:
        o = self.options
        sampling = Sampling(temperature=o.temperature, seed=o.seed)
        if self._runtime_name == "transformers":
            from twofold.generation.runtimes.transformers import TransformersRuntime

            return TransformersRuntime(
                self._model,
                tokens,
                sampling=sampling,
                dtype=self._dtype,
                batch_tokens=o.batch_tokens,
                threads=o.threads,
                adapter=self._adapter.path if self._adapter else "",
            )
        from twofold.generation.runtimes import openvino

        graph, settings = self._graph()
        runtime = openvino.OpenVinoRuntime(graph, settings, ends=tokens.ends, sampling=sampling)
        self._compare(runtime, tokens)
        return runtime

    def _graph(self) -> tuple[Path, openvino.Settings]:
        """The directory of the OpenVINO graph, converted now if it is not in the cache, and how it is run."""
        from twofold.generation.runtimes import openvino

        model, weights = self._merged()
        o = self.options
        settings = openvino.Settings(
            dtype=self._dtype,
            cache_gib=o.cache_gib,
            batch_tokens=o.batch_tokens,
            threads=o.threads,
            prefix_cache=o.prefix_cache,
        )
        return openvino.graph(model, weights), settings

    def _merged(self) -> tuple[Path, str]:
        """The directory of the weights with the adapter merged into them, and their digest."""
        adapter, whole = self._adapter, _whole(self._adapter)
        # a fully tuned model: its weights are run, and nothing is merged
        if adapter is not None and whole is not None:
            return whole, adapter.weights
        if adapter is None:
            return self._model, self._weights
        merged = merging.merged(self._model, self._weights, adapter)
        return merged, merging.merged_key(self._weights, adapter)

    def _compare(self, runtime: Runtime, tokens: Tokens) -> None:
        """Compare a merged adapter with the unmerged one, once."""
        from twofold.generation.export import parity

        adapter, o = self._adapter, self.options
        # sampled answers differ by chance: only greedy ones can be compared
        if adapter is None or _whole(adapter) is not None or not o.parity or o.temperature > 0:
            return
        self._parity = parity.check(
            (self._model, self._merged()[0]),
            adapter,
            tokens,
            key=self.key,
            generate=lambda requests: runtime.generate(requests, None),
        )


def _choose(options: LocalOptions, model: Path, adapter: Adapter | None) -> tuple[str, str]:
    """The name of the runtime, and the reason for the choice in a few words."""
    if options.runtime != "auto":
        _require(options.runtime)
        return options.runtime, "configured"
    if capabilities.uses_cuda():
        return "transformers", "there is a GPU"
    if not _installed("openvino_genai"):
        _require("transformers")
        return "transformers", "OpenVINO is not installed"
    whole = _whole(adapter)
    # OpenVINO must be able to run the model itself, with the adapter merged into it
    reason = gguf.why_not(whole or model) or (merging.why_not(adapter) if adapter and whole is None else "")
    if reason:
        _log.warning("OpenVINO cannot run this (%s); using transformers, which is slower", reason)
        _require("transformers")
        return "transformers", f"OpenVINO cannot run it: {reason}"
    return "openvino", "fastest here"


def _require_base(adapter: Adapter, weights: str, model: str) -> None:
    """Refuse an adapter of other base weights: it may fit the shapes of these, and then answers nonsense."""
    try:
        manifest: Json = json.loads((Path(adapter.path) / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return  # an adapter that no project made
    base = manifest.get("base") or {}
    if base.get("weights", weights) != weights:
        raise WrongWeights(
            f"the adapter {adapter.key} was trained on {base.get('model')!r} ({base['weights']}), but [generation] has "
            f"{model!r} ({weights})"
        )


def _whole(adapter: Adapter | None) -> Path | None:
    """The directory of a fully tuned model; None for an adapter beside the base."""
    place = Path(adapter.path) / WEIGHTS if adapter is not None else None
    return place if place is not None and place.is_dir() else None


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _require(runtime: str) -> None:
    needed = {"openvino": ("openvino_genai", "local"), "transformers": ("transformers", "train")}[runtime]
    if not _installed(needed[0]):
        raise MissingExtra(
            f"the runtime {runtime!r} needs the package {needed[0]!r}, which is not installed",
            cure=install(needed[1]),
        )


def _package_version(runtime: str) -> str:
    import importlib.metadata

    return importlib.metadata.version({"openvino": "openvino-genai", "transformers": "transformers"}[runtime])
