"""The running batches of a server: one for all arms with the same weights, loaded at first use, so many at once.

Of those that nobody uses the one used longest ago is closed for the next. Where all are in use, requests are taken in
the order in which they came: those for other weights wait until one batch has ended its answers.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import ClassVar

from twofold.errors import Closing, EndpointUnreachable, GenerationError
from twofold.generation.live.threads import Threads
from twofold.plugins.live import LiveBatch, Receive
from twofold.plugins.protocols import Batches, Generator, Progress
from twofold.serving.degradation import Breaker
from twofold.types import Completion, Json, Prompt


def opened(generator: Generator) -> LiveBatch:
    """A running batch of a generator; one that cannot take several requests at once gets them one by one.

    Raises:
        GenerationError: it does not start.
    """
    if isinstance(generator, Batches):
        return generator.live()
    return Threads(lambda prompt, *_sampling: generator.stream(prompt), workers=1)


@dataclass(kw_only=True, eq=False)
class _Weights:
    """A generator with its batch, if that is loaded."""

    generator: Generator
    sharers: int = 0
    """Arms that answer with it."""
    batch: LiveBatch | None = None
    opening: bool = False
    fault: Exception | None = None
    """Why it did not start."""
    requests: int = 0
    """Under way."""
    used: int = 0
    """Grows with each use, over all weights."""
    breaker: Breaker = field(default_factory=lambda: Breaker("the engine"))

    @property
    def loaded(self) -> bool:
        return self.batch is not None or self.opening


class RunningBatches:
    """The batches of one server; a context manager, which closes them.

    Args:
        most: So many are loaded at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._weights: list[_Weights] = []
        self._turns: list[object] = []
        self._uses = itertools.count(1)
        self._closed = False

    def __enter__(self) -> RunningBatches:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def share(self, generator: Generator) -> SharedBatch:
        """The batch of a generator's weights, not loaded yet unless another shares it.

        The generator belongs to the batches from now on, which close it; of several with one key the first is used.
        """
        # Made of weights and settings: arms with one key write the same words, and one copy in memory is enough.
        key = generator.key
        with self._changed:
            same = next((one for one in self._weights if one.generator.key == key), None)
            weights = same or _Weights(generator=generator)
            if same is None:
                self._weights.append(weights)
            weights.sharers += 1
        if weights.generator is not generator:
            generator.close()
        return SharedBatch(self, weights)

    def close(self) -> None:
        """End all batches; whatever still runs gets a `GenerationError`."""
        with self._changed:
            self._closed = True
            every, self._weights = self._weights, []
            self._changed.notify_all()
            # A batch that is still starting would be left behind, with its process.
            self._changed.wait_for(lambda: not any(one.opening for one in every))
        for weights in every:
            _end(weights.batch, weights.generator)

    # ------------------------------------------------------------ for shared batches

    def take(self, weights: _Weights) -> LiveBatch:
        """The batch for one more request, loaded where it is not; `leave` is called when the request has ended.

        Raises:
            GenerationError: it does not start.
            Closing: the batches were closed.
        """
        turn = object()
        former: LiveBatch | None = None
        with self._changed:
            self._turns.append(turn)
            try:
                # In turn: arms whose weights are loaded would else keep those of a rare arm out for ever.
                self._changed.wait_for(lambda: self._closed or (self._turns[0] is turn and self._room(weights)))
            finally:
                self._turns.remove(turn)
                self._changed.notify_all()
            if self._closed:
                raise Closing("the server is stopping")
            # Before it is loaded: what is wanted is never the idle one that is ended.
            weights.requests += 1
            weights.used = next(self._uses)
            if weights.loaded:
                return self._opened_by_another(weights)
            weights.opening = True
            if sum(one.loaded for one in self._weights) > self._most:
                # The longest unused. `_room` has seen one; nothing takes it meanwhile, for the lock is held since.
                idle = min(self._idle(), key=lambda weights: weights.used)
                former, idle.batch = idle.batch, None
        batch: LiveBatch | None = None
        fault: Exception | None = None
        try:
            _end(former)  # before the next is loaded: never one more than there is room for
            # Without the lock: it takes seconds, in which other weights' requests go on.
            batch = opened(weights.generator)
        except Exception as error:  # for those that wait for the same weights
            fault = error
            raise
        finally:
            with self._changed:
                weights.batch, weights.fault, weights.opening = batch, fault, False
                # Its asker never gets a batch to leave.
                weights.requests -= batch is None
                self._changed.notify_all()
        return batch

    def leave(self, weights: _Weights) -> None:
        """A request has ended."""
        with self._changed:
            weights.requests -= 1
            self._changed.notify_all()
            ending = self._unneeded(weights)
        if ending:
            # Not here: this may be a thread of the batch, which its end waits for.
            threading.Thread(target=_end, args=ending, name="twofold-end").start()

    def drop(self, weights: _Weights) -> None:
        """An arm does not answer with these weights any more; without any they are freed after the last request."""
        with self._changed:
            weights.sharers -= 1
            ending = self._unneeded(weights)
        if ending:
            _end(*ending)

    def _unneeded(self, weights: _Weights) -> tuple[LiveBatch | None, Generator] | None:
        """What is to be ended, if nobody needs these weights any more; the lock is held."""
        if weights.sharers or weights.requests or weights not in self._weights:
            return None
        self._weights.remove(weights)
        self._changed.notify_all()
        return weights.batch, weights.generator

    def _opened_by_another(self, weights: _Weights) -> LiveBatch:
        """The batch, once it is loaded; the lock is held."""
        self._changed.wait_for(lambda: not weights.opening)
        if weights.batch is None:
            weights.requests -= 1
            # Each waiter its own error: one exception raised in several threads would gather all their traces.
            raise GenerationError(f"the model did not start: {weights.fault}")
        return weights.batch

    def _room(self, weights: _Weights) -> bool:
        return weights.loaded or sum(one.loaded for one in self._weights) < self._most or bool(self._idle())

    def _idle(self) -> list[_Weights]:
        return [one for one in self._weights if one.batch is not None and not one.requests]


class SharedBatch:
    """A `LiveBatch` of weights that other arms may use too, made by `RunningBatches.share`."""

    def __init__(self, batches: RunningBatches, weights: _Weights) -> None:
        self._batches, self._weights = batches, weights

    @property
    def generator(self) -> Generator:
        """The generator with these weights, for its key and what it can do."""
        return self._weights.generator

    @property
    def breaker(self) -> Breaker:
        """Is the engine down?"""
        return self._weights.breaker

    @property
    def loaded(self) -> bool:
        """Are the weights in memory, or at an endpoint that was asked?"""
        return self._weights.loaded

    def load(self) -> None:
        """Load the weights now, not at the first request.

        Raises:
            GenerationError: the engine does not start.
        """
        self._batches.take(self._weights)
        self._batches.leave(self._weights)

    def submit(
        self,
        prompt: Prompt,
        receive: Receive,
        *,
        temperature: float | None = None,
        seed: int | None = None,
        logprobs: int | None = None,
    ) -> Callable[[], None]:
        """See `LiveBatch.submit`. Waits where the weights have to be loaded.

        Raises:
            PartDown: the engine is down.
        """
        breaker = self.breaker
        # Before `take`: what is down must not push out weights that work.
        breaker.require()
        try:
            batch = self._batches.take(self._weights)
        except BaseException:  # no request is under way that would end the trial of what was down
            breaker.left()
            raise
        # The end and `cancel` may come from two threads; the place is freed once.
        once = threading.Lock()

        def left() -> None:
            if once.acquire(blocking=False):
                breaker.left()
                self._batches.leave(self._weights)

        def passed(item: str | Completion | Exception) -> None:
            if isinstance(item, EndpointUnreachable):
                item = breaker.failed(item.code, item.message)
            elif breaker.since and not isinstance(item, Exception):
                # At the first piece, not at the end: others are let in again at once.
                breaker.worked()
            try:
                receive(item)
            finally:
                if not isinstance(item, str):
                    left()

        try:
            cancel = batch.submit(prompt, passed, temperature=temperature, seed=seed, logprobs=logprobs)
        except BaseException:  # `passed` is never called: the place would be taken for ever
            left()
            raise

        def cancelled() -> None:
            cancel()
            left()

        return cancelled

    def close(self) -> None:
        """Share no longer."""
        self._batches.drop(self._weights)


class JoinedGenerator:
    """A generator whose completions are written in the running batch, beside those of live requests.

    For the stages of a search that ask a model: alone they would hold the interpreter for a whole completion.

    Args:
        batch: Of the generator.
    """

    version: ClassVar[int] = 1

    def __init__(self, batch: SharedBatch) -> None:
        self._batch = batch

    @property
    def key(self) -> str:
        """The generator's."""
        return self._batch.generator.key

    @property
    def description(self) -> Json:
        """The generator's."""
        return self._batch.generator.description

    @property
    def follows_schema(self) -> bool:
        """Can the generator?"""
        return self._batch.generator.follows_schema

    def generate(self, prompts: Sequence[Prompt], *, progress: Progress | None = None) -> list[Completion]:
        """One completion per prompt, in order.

        Raises:
            GenerationError: the engine as a whole cannot work.
        """
        arrived: _Numbered = queue.SimpleQueue()
        leave: list[Callable[[], None]] = []
        completions: dict[int, Completion] = {}
        try:
            for number, prompt in enumerate(prompts):
                # All before the first is waited for, so that they are written side by side.
                leave.append(self._batch.submit(prompt, partial(_numbered, arrived, number)))
            while len(completions) < len(prompts):
                number, item = arrived.get()
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, Completion):
                    completions[number] = item
                    if progress is not None:
                        progress("generate", len(completions), len(prompts))
        finally:
            for cancel in leave:
                cancel()
        return [completions[number] for number in range(len(prompts))]

    def stream(self, prompt: Prompt) -> Iterator[str | Completion]:
        """Pieces of the completion as they come, then the completion, which may be a failure.

        Raises:
            GenerationError: the engine as a whole cannot work.
        """
        arrived: queue.SimpleQueue[str | Completion | Exception] = queue.SimpleQueue()
        cancel = self._batch.submit(prompt, arrived.put)
        try:
            while True:
                item = arrived.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, Completion):
                    return
        finally:
            cancel()

    def close(self) -> None:
        """Share the batch no longer."""
        self._batch.close()


_Numbered = queue.SimpleQueue[tuple[int, str | Completion | Exception]]


def _numbered(arrived: _Numbered, number: int, item: str | Completion | Exception) -> None:
    arrived.put((number, item))


def _end(batch: LiveBatch | None, generator: Generator | None = None) -> None:
    if batch is not None:
        batch.close()
    if generator is not None:
        generator.close()
