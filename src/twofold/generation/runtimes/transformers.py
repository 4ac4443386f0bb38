"""transformers: GPUs, models OpenVINO cannot load, and adapters that cannot be merged into the weights.

Prompts are sorted by length and left-padded in batches under a token budget; attention is PyTorch's SDPA.
"""

from __future__ import annotations

import contextlib
import gc
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from twofold.errors import GenerationError, TwofoldError
from twofold.generation.runtimes.contract import Continuation, Request, Result, Sampling, Tokens, cut
from twofold.models import adapter_layers
from twofold.plugins.protocols import Progress
from twofold.types import Failure

_BATCH = 64
"""Most prompts in a batch, however short."""


class TransformersRuntime:
    """Runs a model directory, with an adapter unmerged; see `contract.Runtime`.

    Args:
        directory: Model directory.
        tokens: The model's tokenizer.
        sampling: How tokens are chosen.
        dtype: Arithmetic.
        batch_tokens: Prompt and new tokens in one batch, padding included.
        threads: 0 for all cores.
        adapter: Directory of an adapter, or empty.
    """

    def __init__(
        self,
        directory: Path,
        tokens: Tokens,
        *,
        sampling: Sampling,
        dtype: Literal["bf16", "f32"],
        batch_tokens: int,
        threads: int = 0,
        adapter: str = "",
    ) -> None:
        import torch
        import transformers

        self._torch, self._transformers = torch, transformers
        self._tokens, self._sampling, self._batch_tokens = tokens, sampling, batch_tokens
        if threads:
            torch.set_num_threads(threads)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        with _quiet(transformers):
            if adapter:
                model = adapter_layers.open_tuned(directory, Path(adapter), dtype=dtype)
            else:
                model = adapter_layers.open_model(directory, dtype=dtype)
        self._model: Any = model.to(self._device).eval()
        # under the wrapper of PEFT: the count is set on the model inside
        self._front = adapter_layers.virtual(model.get_base_model() if hasattr(model, "get_base_model") else model)

    def generate(self, requests: Sequence[Request], progress: Progress | None) -> list[Result]:
        """Length-sorted batches.

        Raises:
            GenerationError: a request has a schema, or the device ran out of memory.
        """
        _refuse_schemas(requests)
        results: list[Result] = [Result(failure=Failure(code="generation.lost", message="no result"))] * len(requests)
        done = 0
        for places in self._batches(requests):
            batch = [requests[place] for place in places]
            try:
                batch_results = self._run(batch)
            except self._torch.OutOfMemoryError as error:
                raise GenerationError(
                    f"out of memory with {len(batch)} prompts of up to {len(batch[-1].ids)} tokens",
                    cure="Lower [generation.generator.options].batch_tokens.",
                ) from error
            for place, result in zip(places, batch_results, strict=True):
                results[place] = result
            done += len(places)
            if progress is not None:
                progress("generate", done, len(requests))
        return results

    def stream(self, request: Request) -> Iterator[Sequence[int] | Failure]:
        """Yield token ids as they are generated, by a thread that stops when the reader does."""
        _refuse_schemas([request])
        coming: queue.Queue[Any] = queue.Queue()
        stopped = threading.Event()

        class _Streamer:
            def __init__(self) -> None:
                self.prompt = True

            def put(self, value: Any) -> None:
                if self.prompt:  # the first call brings the prompt
                    self.prompt = False
                else:
                    coming.put(tuple(value.reshape(-1).tolist()))

            def end(self) -> None:
                pass

        def work() -> None:
            try:
                self._run([request], streamer=_Streamer(), stopped=stopped)
                coming.put(None)
            except Exception as error:  # raised again by the reader, who would wait for ever
                coming.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            while (item := coming.get()) is not None:
                if isinstance(item, TwofoldError):
                    raise item
                if isinstance(item, Exception):
                    raise GenerationError(f"transformers failed: {type(item).__name__}: {item}") from item
                yield item
        finally:
            stopped.set()
            # the next call must not run beside it
            thread.join()

    def likelihoods(self, continuations: Sequence[Continuation]) -> list[tuple[float, ...] | Failure]:
        """One forward pass for each continuation.

        Raises:
            GenerationError: the device ran out of memory.
        """
        torch = self._torch
        out: list[tuple[float, ...] | Failure] = []
        for each in continuations:
            ids = torch.tensor([[*each.ids, *each.following]], device=self._device)
            count = len(each.following)
            try:
                with torch.inference_mode(), _quiet(self._transformers):
                    # (1, count + 1, vocabulary): each position tells the next token, so the last one is of no use
                    logits = self._model(input_ids=ids).logits[:, -(count + 1) : -1]
                    # in f32: in bf16 a small difference between two prompts would be rounding
                    chances = logits.float().log_softmax(-1)
            except torch.OutOfMemoryError as error:
                raise GenerationError(
                    f"out of memory while reading {ids.shape[1]} tokens",
                    cure="Show fewer or shorter passages.",
                ) from error
            following = torch.tensor(each.following, device=self._device)
            out.append(tuple(chances[0].gather(-1, following[:, None])[:, 0].tolist()))
        return out

    def close(self) -> None:
        """Drop the model."""
        self._model = None
        gc.collect()
        if self._device == "cuda":
            self._torch.cuda.empty_cache()

    def _batches(self, requests: Sequence[Request]) -> Iterator[list[int]]:
        """Yield the numbers of requests, similar lengths together, within the token budget; equal stop strings."""
        # stop strings first: a batch has one stopping rule; then by length, for little padding
        order = sorted(range(len(requests)), key=lambda i: (requests[i].stop, len(requests[i].ids)))
        batch: list[int] = []
        for place in order:
            wide = max([len(requests[place].ids), *(len(requests[i].ids) for i in batch)])
            new = max([requests[place].max_tokens, *(requests[i].max_tokens for i in batch)])
            full = (wide + new) * (len(batch) + 1) > self._batch_tokens * 16 or len(batch) >= _BATCH
            if batch and (full or requests[place].stop != requests[batch[0]].stop):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _run(
        self, batch: Sequence[Request], *, streamer: Any = None, stopped: threading.Event | None = None
    ) -> list[Result]:
        torch = self._torch
        wide = max(len(request.ids) for request in batch)
        # an end token: on the left the mask hides it, and on the right `_result` cuts there
        pad = min(self._tokens.ends, default=0)
        front = self._front
        # ids and mask: (batch, front + wide), padded on the left, so that all rows end where generation begins
        ids = torch.tensor([[0] * front + [pad] * (wide - len(r.ids)) + list(r.ids) for r in batch])
        mask = torch.tensor([[1] * front + [0] * (wide - len(r.ids)) + [1] * len(r.ids) for r in batch])
        wide += front
        limit = max(request.max_tokens for request in batch)
        stop = batch[0].stop
        rule = _stopping(self._tokens, stop, wide, stopped)
        arguments: dict[str, Any] = {"do_sample": False}
        # a request with a sampling of its own is streamed, and so alone in its batch
        sampling = batch[0].sampling or self._sampling
        if sampling.temperature > 0:
            # before each batch, so that its answers do not depend on earlier batches
            torch.manual_seed(sampling.seed)
            # top_k and top_p are set, since a model's generation_config may contain others
            arguments = {"do_sample": True, "temperature": sampling.temperature, "top_k": 0, "top_p": 1.0}
        with torch.inference_mode(), _quiet(self._transformers):
            generated = self._model.generate(
                input_ids=ids.to(self._device),
                attention_mask=mask.to(self._device),
                max_new_tokens=limit,
                # likewise: none, whatever generation_config contains
                repetition_penalty=1.0,
                eos_token_id=sorted(self._tokens.ends) or None,
                pad_token_id=pad,
                stopping_criteria=rule,
                streamer=streamer,
                **arguments,
            )
        rows = generated[:, wide:].tolist()
        return [self._result(request, row) for request, row in zip(batch, rows, strict=True)]

    def _result(self, request: Request, row: list[int]) -> Result:
        """Cut a row at its end token, stop string or limit: the batch may have continued for other rows."""
        row = row[: request.max_tokens]
        for place, token in enumerate(row):
            if token in self._tokens.ends:
                return Result(ids=tuple(row[: place + 1]), finish="stop")
        ended = cut(self._tokens.decode(row), request.stop)[1]
        return Result(ids=tuple(row), finish="stop" if ended else "length")


def _refuse_schemas(requests: Sequence[Request]) -> None:
    if any(request.schema for request in requests):
        raise GenerationError(
            "the transformers runtime cannot constrain answers to a JSON schema",
            cure='Set [generation.generator.options].runtime = "openvino", or use an endpoint that can.',
        )


def _stopping(tokens: Tokens, stop: Sequence[str], wide: int, stopped: threading.Event | None) -> Any:
    """Rows end at a stop string; all rows end when the reader of a stream has gone."""
    import torch
    import transformers

    class _Rule(transformers.StoppingCriteria):  # type: ignore[misc]
        def __call__(self, ids: Any, *_: Any, **__: Any) -> Any:
            if stopped is not None and stopped.is_set():
                return torch.ones(ids.shape[0], dtype=torch.bool, device=ids.device)
            ends = [bool(stop) and cut(tokens.decode(row[wide:].tolist()), stop)[1] for row in ids]
            return torch.tensor(ends, dtype=torch.bool, device=ids.device)

    return transformers.StoppingCriteriaList([_Rule()] if stop or stopped is not None else [])


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Silence progress bars and warnings in the block, and restore the caller's settings afterwards."""
    logging = transformers.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
