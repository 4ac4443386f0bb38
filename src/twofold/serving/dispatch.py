"""Live requests of one system: searched for together where they wait together, answered in its running batch.

A request goes the way of `System.answer`, in its own steps: `System.prepare` in a searching thread, the prompt into the
generator's batch, `System.read` where the answer is fetched. What goes wrong with one request is raised to its own
asker.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from twofold.answering.system import Prepared, System
from twofold.errors import BadRequest, Closing, DeadlinePassed, GenerationError, QueueFull
from twofold.host.tracing import following, trace_parent
from twofold.plugins.live import DetailedCompletion, LiveBatch, TellsChances, TokenChance
from twofold.plugins.protocols import Batches
from twofold.serving.batches import opened
from twofold.serving.exchange import Making, Milestones
from twofold.text.wrapping import Unwrapped
from twofold.types import Answer, Completion, Example, Filter

_TOGETHER = 16
"""Most requests searched for in one call."""
_LETTERS = 4
"""Letters of a token, on average."""
_SHORTEST = 1.0
"""Least seconds after which an asker is sent for again."""


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What one request wants otherwise than the study measured; None, and empty: as measured."""

    max_tokens: int | None = None
    """Upper limit of the answer."""
    temperature: float | None = None
    """0: the most likely token, always."""
    seed: int | None = None
    """Seed of sampling."""
    stop: tuple[str, ...] = ()
    """Strings that end the answer."""
    schema: str = ""
    """JSON schema, as JSON text, that the answer satisfies."""
    logprobs: int | None = None
    """Tell how likely the tokens were, with so many alternatives of each."""

    def numbered(self, number: int) -> Overrides:
        """Those of one of several choices: each has a seed of its own."""
        # Sampled without a seed, all choices would have the configured seed: the same answer each time.
        seed = 0 if self.seed is None and number and self.temperature else self.seed
        # Within the 64 bits that an engine takes, after the largest the smallest.
        return self if seed is None else replace(self, seed=(seed + number + 2**63) % 2**64 - 2**63)


class Dispatcher:
    """Answers live requests of one system, many at once.

    Args:
        system: What answers. The caller closes it, after the dispatcher.
        batch: The running batch of its generator, which the dispatcher closes; None opens one.
        queue: Most requests at once, those under way included.
        grace: Seconds that answers under way have to end in when the dispatcher is closed.

    Raises:
        GenerationError: the generator does not start.
    """

    def __init__(self, system: System, *, batch: LiveBatch | None = None, queue: int = 64, grace: float = 30.0) -> None:
        self.system = system
        """What answers."""
        self._queue, self._grace = queue, grace
        # A generator that takes no batches has one temperature and seed for all its requests.
        self._samples = isinstance(system.generator, Batches)
        self._batch = batch or opened(system.generator)
        self._changed = threading.Condition()
        self._waiting: list[Ticket] = []
        self._open: set[Ticket] = set()
        self._closing = self._stopped = False
        self._seconds = 0.0
        # one thread: no retriever need be safe to call from several, and those that wait are searched for together
        self._searcher = threading.Thread(target=self._search, daemon=True, name="twofold-search")
        self._searcher.start()

    def submit(
        self,
        example: Example,
        *,
        filter: Filter | None = None,
        overrides: Overrides = Overrides(),
        deadline: float | None = None,
    ) -> Ticket:
        """Take a request; returns at once.

        Args:
            example: The question; see `answering.system.question`.
            filter: Filter on the chunks that may be seen.
            overrides: What the request wants otherwise.
            deadline: Seconds that the request may take, from now.

        Raises:
            QueueFull: so many requests are under way that no more is taken.
            Closing: the dispatcher was closed.
            BadRequest: the generator cannot do what the request wants.
            AccessDenied: access control is enabled, and `filter` has no principal, or one who may not ask this arm.
        """
        self._require(overrides)
        # Refused here, before it takes a place: whoever may not ask must not fill the queue.
        self.system.granted(filter)
        ticket = Ticket(self, self._varied(overrides), example, filter=filter, overrides=overrides, seconds=deadline)
        with self._changed:
            # Under the lock: between a look and the place taken another request could fill the queue.
            if self._closing:
                raise Closing("the server is stopping")
            if len(self._open) >= self._queue:
                full = QueueFull(f"{len(self._open)} requests are under way")
                # Little's law: of n requests that take so many seconds each, one ends every n-th part of them
                full.retry_after = max(_SHORTEST, self._seconds / len(self._open))
                raise full
            self._open.add(ticket)
            self._waiting.append(ticket)
            self._changed.notify()
        return ticket

    def close(self) -> None:
        """Take no more requests, let those under way end within the grace, and end the rest with `Closing`."""
        with self._changed:
            self._closing = True
            self._changed.wait_for(lambda: not self._open, timeout=self._grace)
            self._stopped = True
            # A copy: `receive` takes each ticket out of the set.
            left = list(self._open)
            self._changed.notify_all()
        for ticket in left:
            ticket.receive(Closing(f"the server stopped before the answer was complete ({self._grace:g} s of grace)"))
            ticket.cancel()
        self._batch.close()
        self._searcher.join()

    @property
    def waiting(self) -> int:
        """Requests that wait or run."""
        return len(self._open)

    def leave(self, ticket: Ticket, *, seconds: float | None = None) -> None:
        """Free a ticket's place; called by the ticket.

        Args:
            ticket: Whose request has ended or was cancelled.
            seconds: How long it took, of one that ended.
        """
        with self._changed:
            # Both the end and `cancel` come here, in either order: the second must not count the time again.
            if ticket in self._open:
                self._open.discard(ticket)
                self._waiting = [one for one in self._waiting if one is not ticket]
                if seconds is not None:  # the last ones count most
                    self._seconds = seconds if not self._seconds else 0.8 * self._seconds + 0.2 * seconds
                self._changed.notify_all()

    def _require(self, overrides: Overrides) -> None:
        if overrides.schema and not self.system.generator.follows_schema:
            raise _unsupported("response_format", "cannot hold its answers to a JSON schema")
        for name, value in (("temperature", overrides.temperature), ("seed", overrides.seed)):
            if value is not None and not self._samples:
                raise _unsupported(name, f"has no {name} of a single request")
        if overrides.logprobs is not None:
            generator = self.system.generator
            most = generator.most_alternatives if isinstance(generator, TellsChances) else None
            # An endpoint may speak the protocol and still have no such numbers.
            if most is None:
                raise _unsupported("logprobs", "does not tell how likely its tokens were")
            if overrides.logprobs > most:
                raise _unsupported("top_logprobs", f"tells {most or 'no'} alternatives of a token")

    def _varied(self, overrides: Overrides) -> System:
        """The system with another schema or limit where the request has one: so both halves of an answer see it."""
        system = self.system
        if overrides.schema:
            system = replace(system, schema=overrides.schema)
        return system if overrides.max_tokens is None else replace(system, max_tokens=overrides.max_tokens)

    def _search(self) -> None:
        while True:
            with self._changed:
                # `_stopped`, not `_closing`: what waits is still searched for within the grace.
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                if self._stopped:
                    return
                taken, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            for group in _alike(taken):
                self._prepare(group)

    def _prepare(self, tickets: Sequence[Ticket]) -> None:
        """Search for tickets with one filter in one call, and let their prompts join the batch."""
        first = tickets[0]
        for ticket in tickets:
            ticket.mark("searching")
        try:
            # Of several that are searched for in one call, no trace is the call's.
            with following(first.trace if len(tickets) == 1 else ""):
                prepared = first.system.prepare([one.example for one in tickets], filter=first.filter)
        # Also a panic of a library's native code, which is no `Exception`: it would end the thread in which all search.
        except BaseException as error:
            # The fault may be of one of them: each alone, so that it reaches only its own asker.
            if len(tickets) == 1:
                first.receive(error if isinstance(error, Exception) else RuntimeError(str(error)))
                return
            for ticket in tickets:
                self._prepare([ticket])
            return
        for ticket, half in zip(tickets, prepared, strict=True):
            try:
                self._begin(ticket, half)
            except Exception as error:  # reaches its asker alone; without this thread nobody would be answered
                ticket.receive(error)

    def _begin(self, ticket: Ticket, prepared: Prepared) -> None:
        overrides = ticket.overrides
        if ticket.cancelled:  # while it was searched for
            return
        ticket.prepared(prepared)
        if prepared.prompt is None:
            ticket.receive(None)
            return
        # Beside the template's own stops, which the measured answers had too.
        prompt = replace(prepared.prompt, stop=(*prepared.prompt.stop, *overrides.stop))
        with following(ticket.trace):
            leave = self._batch.submit(
                prompt,
                ticket.receive,
                temperature=overrides.temperature,
                seed=overrides.seed,
                logprobs=overrides.logprobs,
            )
        ticket.begun(leave)


class Ticket:
    """One request under way, made by `Dispatcher.submit`; its answer is fetched once, by `pieces` or by `apieces`."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        system: System,
        example: Example,
        *,
        filter: Filter | None,
        overrides: Overrides,
        seconds: float | None,
    ) -> None:
        self.system, self.example, self.filter, self.overrides = system, example, filter, overrides
        self._dispatcher = dispatcher
        self._seconds = seconds
        self._begun = time.monotonic()
        self._begun_at = time.time()
        # By name of a field of `Milestones`, by the monotonic clock.
        self._marks: dict[str, float] = {}
        self.trace = trace_parent()
        """What requests to other servers name as their parent, while this one is answered."""
        # Filled by the batch's thread, emptied by the reader's; a deque's append and popleft need no lock.
        self._items: deque[str | Completion | Exception | None] = deque()
        self._wake: Callable[[], object] | None = None
        self._prepared: tuple[Prepared, Unwrapped] | None = None
        self._leave_batch: Callable[[], None] | None = None
        self.chances: tuple[TokenChance, ...] = ()
        """How likely the tokens of the completion were, where that was requested; there with the answer."""
        self.cancelled = False
        """Nobody waits for the answer any more."""
        self._over = False
        self._pieces = 0
        self._used = 0

    def mark(self, moment: str) -> None:
        """Note that a part ends now, by the name of a field of `Milestones`; the first time counts."""
        self._marks.setdefault(moment, time.monotonic())

    @property
    def making(self) -> Making:
        """How the answer was made, as far as it is; without the index."""
        passed = {name: self._begun_at + at - self._begun for name, at in self._marks.items()}
        return Making(
            prompt=self._prepared[0].prompt if self._prepared else None,
            template=self.system.template.digest,
            k=self.system.k,
            milestones=Milestones(begun=self._begun_at, **passed),
        )

    @property
    def spent(self) -> int:
        """Tokens that it has used so far: those of its answer, as the engine counted them.

        Before the end, and where the engine counts none, roughly: a piece is about a token, and so are four letters of
        a prompt.
        """
        if self._used:
            return self._used
        prompt = self._prepared[0].prompt if self._prepared else None
        if prompt is None:
            return 0
        return sum(len(message.content) for message in prompt.messages) // _LETTERS + self._pieces

    def pieces(self) -> Iterator[str | Answer]:
        """Pieces of the text as they come, and at the end the `Answer`; see `System.stream`. Blocking.

        Who stops reading before the end cancels the request.

        Raises:
            DeadlinePassed: the request took longer than it may.
            Closing: the dispatcher was closed meanwhile.
            GenerationError: the generator failed, or the request was cancelled.
        """
        ready = threading.Event()
        self._listen(ready.set)
        try:
            while not self._over:
                if not ready.wait(self._left()):
                    raise self._late()
                ready.clear()
                yield from self._arrived()
        finally:
            self.cancel()

    async def apieces(self) -> AsyncIterator[str | Answer]:
        """As `pieces`, without blocking the event loop."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(ready.set)

        self._listen(wake)
        try:
            while not self._over:
                try:
                    await asyncio.wait_for(ready.wait(), self._left())
                except TimeoutError:
                    raise self._late() from None
                ready.clear()
                for piece in self._arrived():
                    yield piece
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Free the request's place, in the queue or in the batch; without effect after its end.

        Whoever reads the answer gets a `GenerationError`.
        """
        # Set before the place is freed, so that `_begin`, in another thread, lets no prompt of it join.
        if not self.cancelled:
            self.cancelled = True
            self._items.append(GenerationError("the request was cancelled", cure="Send it again."))
            if self._wake is not None:
                self._wake()
        self._dispatcher.leave(self)
        if self._leave_batch is not None:
            self._leave_batch()

    def prepared(self, prepared: Prepared) -> None:
        """Note what was found; called by the dispatcher before anything of the answer arrives."""
        self.mark("prepared")
        self._prepared = prepared, self.system.shown(prepared)

    def begun(self, leave: Callable[[], None]) -> None:
        """Note how to leave the batch; called by the dispatcher."""
        self._leave_batch = leave
        if self.cancelled:  # meanwhile
            leave()

    def receive(self, item: str | Completion | Exception | None) -> None:
        """Get a piece, the completion (None: no prompt, an abstention), or an error. Called from any thread."""
        # Before the reader wakes: it may ask for the milestones at once.
        self.mark("first" if isinstance(item, str) else "written")
        self._items.append(item)
        if isinstance(item, str):
            self._pieces += 1
        else:
            seconds = None if isinstance(item, Exception) else time.monotonic() - self._begun
            self._dispatcher.leave(self, seconds=seconds)
        if self._wake is not None:
            self._wake()

    def _listen(self, wake: Callable[[], object]) -> None:
        # First the bell, then the look: a piece that comes between the two rings it.
        self._wake = wake
        if self._items:  # what came before
            wake()

    def _arrived(self) -> Iterator[str | Answer]:
        while self._items and not self._over:
            item = self._items.popleft()
            if isinstance(item, Exception):
                self._over = True
                raise item
            assert self._prepared is not None  # nothing of an answer arrives before its prompt is made
            prepared, coming = self._prepared
            if isinstance(item, str):
                text = coming.passed(item)
            else:
                # The end may hold back words: those that could have begun a citation or the reasoning's end.
                text = self.system.template.abstention if item is None else coming.rest()
            if text:
                yield text
            if not isinstance(item, str):
                self._over = True
                self.chances = item.chances if isinstance(item, DetailedCompletion) else ()
                answer = self.system.read(prepared, item)
                self.mark("read")
                self._used = answer.usage.prompt_tokens + answer.usage.completion_tokens
                yield answer

    def _left(self) -> float | None:
        return None if self._seconds is None else max(0.0, self._begun + self._seconds - time.monotonic())

    def _late(self) -> DeadlinePassed:
        return DeadlinePassed(f"the answer was not complete within {self._seconds:g} s")


def _alike(tickets: Sequence[Ticket]) -> list[list[Ticket]]:
    """Tickets that one call can search for: the same filter, schema and limit."""
    groups: list[list[Ticket]] = []
    for ticket in tickets:
        for group in groups:
            first = group[0]
            if (first.filter, first.overrides.schema, first.overrides.max_tokens) == (
                ticket.filter,
                ticket.overrides.schema,
                ticket.overrides.max_tokens,
            ):
                group.append(ticket)
                break
        else:
            groups.append([ticket])
    return groups


def _unsupported(name: str, what: str) -> BadRequest:
    error = BadRequest(f"{name} is not supported: the generator {what}", cure=f"Leave out {name}.")
    error.param = name
    return error
