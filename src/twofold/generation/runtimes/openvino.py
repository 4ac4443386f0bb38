"""OpenVINO GenAI: continuous batching, prefix cache and JSON schemas on CPUs.

The weights are written once as GGUF, which OpenVINO converts to its own graph; the graph is cached, so that starting
takes a second. Prompts are passed as token ids, and the pipeline's chat template is never used. The prefix cache leaks
across adapters (decision 2), so every adapter has a separate merged copy of the weights, and a separate pipeline.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from twofold.errors import GenerationError, ModelError
from twofold.generation.cached import derived
from twofold.generation.export.gguf import write_gguf, write_tokenizer
from twofold.generation.runtimes.contract import NO_ROOM, Continuation, Request, Result, Sampling
from twofold.generation.runtimes.sequels import EndedSequences
from twofold.hashing import digest, digest_file
from twofold.host import capabilities, telemetry
from twofold.host.signal_stack import usual_signal_stack
from twofold.plugins.protocols import Progress
from twofold.types import Failure, Json

_CONVERTER = 1
"""Raised when the same weights would become another graph."""
_TOKENIZER = "tokenizer.gguf"
_POLL = 4
"""Steps between two looks at the clock for a report of progress."""
_BEGINNING = 1024
"""Tokens that all prompts of a call must begin with for the first to be answered before the rest: prompts that join the
batch together find nothing of each other in the prefix cache, and each would read the same documents for itself."""
_SCHEMAS = 1000
"""Schemas of which is remembered whether they are usable."""
_SECONDS = 0.25
"""Least time between two reports of progress."""
SHAPES = 64
"""Numbers of tokens in a step whose compiled kernels stay. OpenVINO would keep 5,000 of each kind, at half a megabyte a
number (docs/notebook.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the OpenVINO pipeline."""

    dtype: Literal["bf16", "f32"]
    """Arithmetic."""
    cache_gib: float
    """Key-value cache, GiB."""
    batch_tokens: int
    """Tokens in one step, over all prompts."""
    threads: int
    """0: all cores."""
    prefix_cache: bool
    """Keep the keys and values of prompt beginnings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """A request in the pipeline."""

    handle: Any
    ids: list[int]
    """Its sequence so far: the prompt, and what was read of the answer."""
    prompt: int
    """Tokens of the prompt."""
    goes_on: frozenset[int]
    """The ended sequences that its prompt begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _TokenizerFile:
    """A file is that with the same content: merged copies of a base model have each their own, all alike."""

    digest: str
    path: Path = field(compare=False)


def _tokenizer_in(directory: Path) -> Any:
    """The compiled tokenizer of a graph's directory; it is shared, and nothing is set on it."""
    path = directory / _TOKENIZER
    return _tokenizer(_TokenizerFile(digest=digest_file("tokenizer", path), path=path))


# Compiling one takes two seconds, a small model's pipeline a tenth of one.
@lru_cache(maxsize=1)
def _tokenizer(file: _TokenizerFile) -> Any:
    return telemetry.imported("openvino_genai").Tokenizer(str(file.path))


def package_version() -> str:
    """Version of the runtime, part of every key."""
    import importlib.metadata

    return importlib.metadata.version("openvino-genai")


def graph(model: Path, weights: str) -> Path:
    """Directory of the OpenVINO graph of a model; converted now if it is not in the cache.

    Args:
        model: Directory with safetensors.
        weights: Digest of the weights.

    Raises:
        ModelError: the architecture cannot be converted.
    """
    key = digest("openvino", {"weights": weights, "package": package_version(), "converter": _CONVERTER})

    def make(work: Path) -> Json:
        openvino_genai = telemetry.imported("openvino_genai")
        file = work / "model.gguf"
        write_gguf(model, file, chat_template="")
        write_tokenizer(model, work / _TOKENIZER)
        scheduler = openvino_genai.SchedulerConfig()
        # the pipeline is opened only to write the graph: the smallest cache will do
        scheduler.cache_size = 1
        # the graph is written in full: in which arithmetic it is run is settled when it is opened
        properties = {"enable_save_ov_model": True, "INFERENCE_PRECISION_HINT": "f32"}
        try:
            with usual_signal_stack():
                # with a tokenizer given, it does not compile another one out of the weights' file
                openvino_genai.ContinuousBatchingPipeline(
                    str(file), _tokenizer_in(work), scheduler, "CPU", **properties
                )
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO cannot load {model.name}: {_short(error)}",
                cure='Set [generation.generator.options].runtime = "transformers".',
            ) from error
        # the graph contains the weights: the GGUF would only take the same space again
        file.unlink()
        return {"weights": weights, "package": package_version()}

    return derived("openvino", key, make)


class OpenVinoRuntime:
    """Runs a graph; see `contract.Runtime`.

    Raises:
        GenerationError: the pipeline cannot start (most likely for lack of memory).
    """

    def __init__(self, directory: Path, settings: Settings, *, ends: frozenset[int], sampling: Sampling) -> None:
        self._genai = telemetry.imported("openvino_genai")
        self._directory, self._settings = directory, settings
        self._ends, self._sampling = ends, sampling
        self._numbers = itertools.count()
        self._ended = EndedSequences()
        self._running: dict[int, _Running] = {}  # by the identity of the handle
        self._schemas: dict[str, str] = {}
        self._trial: Any = None
        self._reading: Any = None
        self._pipeline: Any = self._open()

    def _open(self, *, prefix_cache: bool | None = None) -> Any:
        settings = self._settings
        scheduler = self._genai.SchedulerConfig()
        # OpenVINO takes whole GiB
        scheduler.cache_size = max(1, round(settings.cache_gib))
        scheduler.max_num_batched_tokens = settings.batch_tokens
        scheduler.enable_prefix_caching = settings.prefix_cache if prefix_cache is None else prefix_cache
        # a long prompt is read in parts, between the steps of other requests
        scheduler.dynamic_split_fuse = True
        properties: Json = {"INFERENCE_PRECISION_HINT": settings.dtype, "CPU_RUNTIME_CACHE_CAPACITY": SHAPES}
        # f32 must be exact throughout: the cache would be compressed by default
        if settings.dtype == "f32":
            properties["KV_CACHE_PRECISION"] = "f32"
        if settings.threads:
            # With AMX, one thread ends the process by SIGFPE (`telemetry`). Two of them took half the processor time of
            # one without AMX, so that even those of workers that share their cores lose nothing.
            amx = settings.dtype == "bf16" and "amx_bf16" in capabilities.processor().instructions
            properties["INFERENCE_NUM_THREADS"] = max(settings.threads, 2 if amx else 1)
            # OpenVINO binds threads to the first cores, and so do other processes of it that have as few.
            properties["ENABLE_CPU_PINNING"] = False
        try:
            with usual_signal_stack():
                return self._genai.ContinuousBatchingPipeline(
                    str(self._directory), _tokenizer_in(self._directory), scheduler, "CPU", **properties
                )
        except RuntimeError as error:
            raise GenerationError(
                f"OpenVINO cannot start: {_short(error)}",
                cure=f"Delete {self._directory}, a cache, or lower [generation.generator.options].cache_gib.",
            ) from error

    def generate(self, requests: Sequence[Request], progress: Progress | None) -> list[Result]:
        """Run all requests at once; the scheduler batches them token by token.

        Raises:
            GenerationError: the engine failed.
        """
        results: list[Result | None] = [None] * len(requests)
        handles: dict[int, Any] = {}
        try:
            alike = self._begins_alike(requests)
            for place, request in enumerate(requests):
                handle = self.begin(request)
                if isinstance(handle, Failure):
                    results[place] = Result(failure=handle)
                else:
                    handles[place] = handle
                # The first to its end, and not the shared text alone: sequences that share the block in which a
                # finished one ended write over each other (OpenVINO GenAI 2026, docs/notebook.md).
                while place == 0 and alike and self._pipeline.has_non_finished_requests():
                    self.step()
            last_report = time.monotonic()
            for step in itertools.count():
                if not self._pipeline.has_non_finished_requests():
                    break
                self.step()
                if progress is not None and step % _POLL == 0 and time.monotonic() - last_report > _SECONDS:
                    last_report = time.monotonic()
                    running = self._genai.GenerationStatus.RUNNING
                    done = sum(1 for handle in handles.values() if handle.get_status() != running)
                    progress("generate", len(requests) - len(handles) + done, len(requests))
        # after Ctrl-C, too: what still runs would go on within the next call
        except BaseException:
            self._cancel(handles.values())
            raise
        for place, handle in handles.items():
            result = self._read(handle)
            self._end(handle, result.ids)
            results[place] = result
        return [result or Result(failure=Failure(code="generation.lost", message="no result")) for result in results]

    def _begins_alike(self, requests: Sequence[Request]) -> bool:
        """Do all prompts begin with the same, long text, which the prefix cache can keep?"""
        if not self._settings.prefix_cache or len(requests) < 2:
            return False
        # Of all sequences between the first and the last in their order, both share the beginning.
        first, last = min(request.ids for request in requests), max(request.ids for request in requests)
        return len(first) >= _BEGINNING and first[:_BEGINNING] == last[:_BEGINNING]

    def stream(self, request: Request) -> Iterator[Sequence[int] | Failure]:
        """Yield token ids as they are generated, or a failure where the request is at fault.

        Raises:
            GenerationError: the engine failed.
        """
        handle = self.begin(request)
        if isinstance(handle, Failure):
            yield handle
            return
        try:
            result = None
            while result is None and self._pipeline.has_non_finished_requests():
                self.step()
                ids, _, result = self.progress(handle)
                if ids:
                    yield ids
            # Without this a request that found no room would be an empty answer.
            if result is not None and result.failure is not None:
                yield result.failure
        finally:
            self._cancel([handle])

    def _cancel(self, handles: Iterable[Any]) -> None:
        """Cancel running requests and step until the pipeline has dropped them."""
        running = [h for h in handles if h.get_status() == self._genai.GenerationStatus.RUNNING]
        for handle in running:
            handle.cancel()
            self._end(handle)
        with contextlib.suppress(RuntimeError):
            while running and self._pipeline.has_non_finished_requests():
                self._pipeline.step()

    def likelihoods(self, continuations: Sequence[Continuation]) -> list[tuple[float, ...] | Failure]:
        """One continuation after the other: each is read as a prompt, whose probabilities the engine echoes.

        The pipeline that generates gives way to one that reads, and comes back with the next request, its prefix cache
        empty.

        Raises:
            GenerationError: the engine failed.
        """
        # Of what stands in the prefix cache no probability is told, and a model's own answer stands there.
        if self._reading is None:
            # The graph's weights are in memory once: 840 MiB less than both pipelines take with the default model.
            if self._pipeline is not None and not self._pipeline.has_non_finished_requests():
                self._pipeline = None
            self._reading = self._open(prefix_cache=False)
        pipeline = self._reading
        out: list[tuple[float, ...] | Failure] = []
        for each in continuations:
            config = self._genai.GenerationConfig()
            config.apply_chat_template = False
            config.max_new_tokens = 1
            config.echo = True
            config.logprobs = 1
            try:
                handle = pipeline.add_request(next(self._numbers), self._tensor((*each.ids, *each.following)), config)
                while pipeline.has_non_finished_requests():
                    pipeline.step()
            except RuntimeError as error:
                self._reading = None  # the failed pipeline would refuse all further requests
                raise GenerationError(f"OpenVINO failed while reading: {_short(error)}") from error
            if handle.get_status() == self._genai.GenerationStatus.IGNORED:
                tokens = len(each.ids) + len(each.following)
                out.append(replace(NO_ROOM, message=f"{tokens} tokens {NO_ROOM.message}"))
                continue
            # (prompt, following, one new token)
            logprobs = handle.read_all()[0].generated_log_probs
            out.append(tuple(logprobs[len(each.ids) : len(each.ids) + len(each.following)]))
        return out

    def _tensor(self, ids: Sequence[int]) -> Any:
        import numpy as np

        return telemetry.imported("openvino").Tensor(np.array([ids], dtype=np.int64))

    def close(self) -> None:
        """Drop the pipelines."""
        self._pipeline = self._trial = self._reading = None

    def _fault_of(self, schema: str) -> str:
        """The problem with a schema, or empty. A schema is tried once, alone: a bad one would end its whole batch."""
        if len(self._schemas) > _SCHEMAS:  # live requests may bring ever new ones
            self._schemas.clear()
        if schema not in self._schemas:
            self._schemas[schema] = self._try(schema)
        return self._schemas[schema]

    def _try(self, schema: str) -> str:
        if fault := schema_fault(schema):
            return fault
        config = self._genai.GenerationConfig()
        config.max_new_tokens = 1
        config.structured_output_config = self._genai.StructuredOutputConfig(json_schema=schema)
        # any token will do: the question is only whether the schema compiles
        first = self._tensor([min(self._ends, default=0)])
        # taken out for the trial: it is put back only where it did not fail
        pipeline, self._trial = self._trial or self._open(), None
        try:
            # Named: OpenVINO drops a request whose handle nobody has, and nothing would be compiled.
            _handle = pipeline.add_request(next(self._numbers), first, config)
            while pipeline.has_non_finished_requests():
                pipeline.step()
        except RuntimeError as error:
            return _short(error)  # the failed pipeline would refuse all further requests
        if self._schemas:  # a study has one schema, and needs no second pipeline for the next
            self._trial = pipeline
        return ""

    def begin(self, request: Request, *, tried: bool = False) -> Any:
        """Let a request join the batch; returns its handle, or a `Failure` where the request is at fault.

        Args:
            request: The prompt.
            tried: Its schema is known to be usable.
        """
        if self._pipeline is None:
            # Given up for reading, which is over: it was one call.
            self._reading = None
            self._pipeline = self._open()
        config = self._genai.GenerationConfig()
        config.max_new_tokens = request.max_tokens
        # `contract.Tokens` has rendered and tokenised the prompt, as in training
        config.apply_chat_template = False
        config.stop_token_ids = set(self._ends)
        # any of them, as all are in `stop_token_ids`
        config.set_eos_token_id(min(self._ends, default=0))
        # Of a string that ends with a blank OpenVINO keeps the beginning, and drops the token that has the blank: those
        # are looked for by who reads the ids.
        if stop := {mark for mark in request.stop if not mark[-1:].isspace()}:
            config.stop_strings = stop
            # `contract.cut` removes the string, the same way for every runtime
            config.include_stop_str_in_output = True
        sampling = request.sampling or self._sampling
        if sampling.temperature > 0:
            config.do_sample = True
            config.temperature = sampling.temperature
            config.rng_seed = sampling.seed % 2**64  # an unsigned number of 64 bits
        config.logprobs = int(request.logprobs)
        if request.schema:
            fault = "" if tried else self._fault_of(request.schema)
            if fault:
                return Failure(code="generation.schema", message=f"the JSON schema is not usable: {fault}")
            config.structured_output_config = self._genai.StructuredOutputConfig(json_schema=request.schema)
        goes_on = self._ended.within(request.ids) if self._settings.prefix_cache else frozenset[int]()
        self._wait_for_others(goes_on)
        try:
            handle = self._pipeline.add_request(next(self._numbers), self._tensor(request.ids), config)
        except RuntimeError as error:
            return Failure(code="generation.refused", message=f"OpenVINO refused the prompt: {_short(error)}")
        ids = list(request.ids)
        self._running[id(handle)] = _Running(handle=handle, ids=ids, prompt=len(ids), goes_on=goes_on)
        return handle

    def _wait_for_others(self, goes_on: frozenset[int]) -> None:
        """Step until requests that go on from the same ended sequence have their first token.

        Such requests would be given one and the same block of the prefix cache, the one in which that sequence ended,
        and write over each other: with OpenVINO GenAI 2026.4.1 two people who asked the same, and went on at the same
        moment, could get each other's answers (docs/notebook.md). With its first token each has a block of its own.
        """
        for other in [each for each in self._running.values() if each.goes_on & goes_on]:
            running = self._genai.GenerationStatus.RUNNING
            while (
                len(other.ids) == other.prompt and not other.handle.can_read() and other.handle.get_status() == running
            ):
                self.step()

    def _end(self, handle: Any, ids: Sequence[int] = ()) -> None:
        """Remember where a request ended; `ids` are those of its answer that `progress` has not read."""
        running = self._running.pop(id(handle), None)
        if running is not None and self._settings.prefix_cache:
            self._ended.add([*running.ids, *ids])

    def step(self) -> None:
        """Compute one token more for every request of the batch, or the next part of the prompts.

        Raises:
            GenerationError: the engine failed; all requests of the batch are lost, and new ones may begin.
        """
        try:
            self._pipeline.step()
        except RuntimeError as error:
            self._pipeline = self._open()  # the failed pipeline would refuse all further requests
            self._running.clear()
            raise GenerationError(f"OpenVINO failed while generating: {_short(error)}") from error

    def progress(self, handle: Any) -> tuple[tuple[int, ...], tuple[float, ...], Result | None]:
        """The new token ids of a request since the last call, their log-probabilities, its end (without ids) or None.

        The log-probabilities are 0 where they were not requested.
        """
        ended = handle.get_status() != self._genai.GenerationStatus.RUNNING
        if handle.get_status() == self._genai.GenerationStatus.IGNORED:
            self._end(handle)
            return (), (), self._read(handle)
        ids: list[int] = []
        logprobs: list[float] = []
        length = False
        while handle.can_read():
            for output in handle.read().values():
                ids += output.generated_ids
                logprobs += output.generated_log_probs
                length = output.finish_reason == self._genai.GenerationFinishReason.LENGTH
        if (running := self._running.get(id(handle))) is not None:
            running.ids.extend(ids)
        if ended:
            self._end(handle)
        return tuple(ids), tuple(logprobs), Result(finish="length" if length else "stop") if ended else None

    def cancel(self, handle: Any) -> None:
        """Take a request out of the batch, at the next step."""
        handle.cancel()
        self._end(handle)

    def _read(self, handle: Any) -> Result:
        if handle.get_status() == self._genai.GenerationStatus.IGNORED:
            return Result(failure=NO_ROOM)
        outputs = handle.read_all()
        if not outputs:
            return Result(failure=Failure(code="generation.lost", message="OpenVINO returned nothing"))
        length = outputs[0].finish_reason == self._genai.GenerationFinishReason.LENGTH
        return Result(ids=tuple(outputs[0].generated_ids), finish="length" if length else "stop")


def schema_fault(schema: str) -> str:
    """What is wrong with a schema by the rules of JSON Schema alone; empty for a valid one."""
    import jsonschema

    try:
        value = json.loads(schema)
        jsonschema.validators.validator_for(value).check_schema(value)
    except jsonschema.SchemaError as error:
        return error.message
    except ValueError as error:
        return f"not JSON: {error}"
    return ""


# The clock and the path of a source file, from the machine on which OpenVINO was built.
_PLACE = re.compile(r"\A\[[0-9:]+\] \S+?:[0-9]+: ")


def _short(error: Exception) -> str:
    lines = [_PLACE.sub("", line.strip()) for line in str(error).splitlines() if line.strip()]
    # before its reason OpenVINO names the check and the place in its sources
    specific = [line for line in lines if not line.startswith(("Check '", "Exception from"))]
    return (specific or lines or [type(error).__name__])[-1][:300]
