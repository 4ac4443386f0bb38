"""Routes that answer: chat completions, completions and responses, whole or as a stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response  # noqa: TID253
from fastapi.responses import StreamingResponse  # noqa: TID253
from starlette.types import Receive, Scope, Send  # noqa: TID253

from twofold.assembly.answer_checks import violation
from twofold.errors import BadRequest, GenerationError, TooLong
from twofold.serving import conversation, faults, replies
from twofold.serving.arm import ServedArm
from twofold.serving.bodies import ChatBody, ChatMessage, CompletionBody, ResponseBody
from twofold.serving.dispatch import Overrides, Ticket
from twofold.serving.entrance import JsonReply, Visit, Visits
from twofold.serving.exchange import Exchange, request_id
from twofold.serving.replies import Envelope, Reply
from twofold.serving.streams import ChatStream, CompletionStream, ResponseStream, Stream, event
from twofold.serving.strict_json import StrictRoute
from twofold.types import Answer, Example, IndexState, Json

router = APIRouter(route_class=StrictRoute, tags=["answers"])
_TOO_LONG, _SCHEMA = "generation.too-long", "generation.schema"


class Choices:
    """The choices of one request, on their way.

    Args:
        visit: The request.
        arm: The arm that it asks.
        where: Conditions on the metadata of documents that may be found.
        count: Number of choices.
        form: The parameter that names the form of the answers, for errors.

    Raises:
        BadFilter: a condition cannot be read.
        BadRequest: there are conditions, and the arm reads no documents; or there are more choices than its queue has
            places, so that no waiting would help.
    """

    def __init__(
        self, visit: Visit, arm: ServedArm, where: Sequence[str], *, count: int, form: str = "response_format"
    ) -> None:
        self._arm = arm
        if count > visit.queue:
            raise conversation.bad(
                f"the request asks for {count} answers, and at most {visit.queue} are written at once",
                "n",
                cure="Ask for fewer answers in one request, or raise [serving].queue in twofold.toml.",
            )
        self._visit = visit
        self._form = form
        self._charge = visit.charge
        self._charged: set[int] = set()
        self._filter = arm.narrowed(visit.caller.filter, where)
        self._tickets: list[Ticket] = []

    def add(self, example: Example, overrides: Overrides) -> None:
        """Hand a question to the dispatcher.

        Raises:
            QueueFull: too many requests wait; the choices that were added are stopped.
            Closing: the server is stopping.
        """
        try:
            ticket = self._arm.submit(example, filter=self._filter, overrides=overrides)
        # A request is answered as a whole: the choices before would be written for nobody.
        except BaseException:
            self.cancel()
            raise
        self._tickets.append(ticket)

    def cancel(self) -> None:
        """Free what the answers hold; does nothing to one that has ended."""
        for number, ticket in enumerate(self._tickets):
            ticket.cancel()
            # Who leaves before the end has used what was read and written until then.
            self._settle(number, ticket.spent)

    async def whole(self, request: Request) -> list[Reply]:
        """All choices, answered; when the caller leaves, the answers are stopped.

        Raises:
            TooLong: the conversation exceeds the model's context.
            BadRequest: the runtime cannot write by the schema.
            GenerationError: an answer failed.
        """
        answering = asyncio.gather(*(_last(ticket) for ticket in self._tickets))
        # Nothing else watches: the framework tells a route that sends nothing yet nothing of a caller who has left.
        leaving = asyncio.ensure_future(_left(request))
        try:
            either: set[asyncio.Future[Any]] = {answering, leaving}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            # Both may be done: then the answers count, for they are paid for.
            if not answering.done():
                answering.cancel()
                with suppress(asyncio.CancelledError):
                    await answering  # else asyncio logs that nobody did
                raise BadRequest("the caller left before the answer was complete")
            answers = await answering
            return [await self._reply(number, answer) for number, answer in enumerate(answers)]
        finally:
            leaving.cancel()
            self.cancel()

    async def pieces(self) -> AsyncIterator[tuple[int, str | Reply]]:
        """Pieces of all choices as they come, each with its choice's number, and each choice's reply at its end.

        Raises:
            TooLong, BadRequest, GenerationError: as `whole`.
        """
        # One queue: the events of several choices interleave as they come, and the reader waits in one place.
        arriving: asyncio.Queue[tuple[int, str | Answer | BaseException]] = asyncio.Queue()

        async def follow(number: int, ticket: Ticket) -> None:
            try:
                async for piece in ticket.apieces():
                    await arriving.put((number, piece))
            except Exception as error:  # raised again by the reader below
                await arriving.put((number, error))

        tasks = [asyncio.ensure_future(follow(number, ticket)) for number, ticket in enumerate(self._tickets)]
        unfinished = len(tasks)
        try:
            while unfinished:
                number, piece = await arriving.get()
                if isinstance(piece, BaseException):
                    raise piece
                if isinstance(piece, Answer):
                    unfinished -= 1
                    yield number, await self._reply(number, piece)
                else:
                    yield number, piece
        finally:
            self.cancel()
            for task in tasks:
                task.cancel()

    async def stream(self, form: Stream) -> Response:
        """The choices as a stream of events; an error before the first one is a reply of its own."""
        pieces = self.pieces()
        first = await anext(pieces)

        async def events() -> AsyncIterator[str]:
            try:
                for text in _events(form, *first):
                    yield text
                async for piece in pieces:
                    for text in _events(form, *piece):
                        yield text
                for text in form.end():
                    yield text
            except Exception as error:
                # The status is sent: clients take an event with the key `error` for what it is.
                yield event(faults.of_error(error)[1])

        return Events(events(), ended=self.cancel)

    def _settle(self, number: int, tokens: int) -> None:
        # An answer that ends is settled by `_reply`, then again by `cancel`, which always follows.
        if number not in self._charged:
            self._charged.add(number)
            self._charge(tokens)

    async def _reply(self, number: int, answer: Answer) -> Reply:
        # First: also an answer that failed, or that cannot be described, has cost its tokens.
        self._settle(number, self._tickets[number].spent)
        if answer.failure is not None:
            self._show(number, answer, self._arm.origin)
            if answer.failure.code == _TOO_LONG:
                raise TooLong(answer.failure.message)
            if answer.failure.code == _SCHEMA and self._tickets[number].overrides.schema:
                cure = "Write it without patterns that look around, and with fewer optional properties."
                raise conversation.bad(answer.failure.message, self._form, cure=cure)
            raise GenerationError(f"no answer ({answer.failure.code}): {answer.failure.message}")
        ticket = self._tickets[number]
        await self._require_form(number, answer)
        reply = await asyncio.to_thread(self._arm.reply, answer, ticket.example)
        if ticket.overrides.logprobs is not None:
            reply = replace(reply, chances=ticket.chances)
        self._show(number, answer, reply.origin, index=reply.index)
        return reply

    def _show(
        self, number: int, answer: Answer, origin: Json, *, index: IndexState | None = None, withheld: str = ""
    ) -> None:
        self._visit.witness(
            Exchange(
                request=self._visit.request,
                number=number,
                caller=self._visit.caller,
                origin=origin,
                example=self._tickets[number].example,
                answer=answer,
                withheld=withheld,
                making=replace(self._tickets[number].making, index=index),
            )
        )

    async def _require_form(self, number: int, answer: Answer) -> None:
        """Refuse an answer that is not of the form that its caller requested.

        One that its limit or a stop string ended, or that says that the documents do not tell, says so itself.
        """
        schema, stop = self._tickets[number].overrides.schema, self._tickets[number].overrides.stop
        if not schema or answer.cut or answer.abstained or any(stop):
            return
        # In a thread: a long answer takes a while, in which others are answered.
        fault = await asyncio.to_thread(violation, answer.text, schema)
        if fault:
            self._show(number, answer, self._arm.origin, withheld=fault)
            cure = "Write the schema without the keyword that was not held to, or ask again with another seed."
            raise conversation.bad(f"an answer did not satisfy the schema: {fault}", self._form, cure=cure)


class Events(StreamingResponse):
    """A stream of events that says when it has ended, also where the caller left."""

    def __init__(self, events: AsyncIterator[str], *, ended: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        # Not left to the iterator: one that nobody reads any more ends when it is collected.
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _last(ticket: Ticket) -> Answer:
    async for piece in ticket.apieces():
        if isinstance(piece, Answer):
            return piece
    raise GenerationError("the answer was stopped")


async def _left(request: Request) -> None:
    """Return when the caller has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _events(form: Stream, number: int, piece: str | Reply) -> Sequence[str]:
    return form.piece(number, piece) if isinstance(piece, str) else form.last(number, piece)


def _envelope(prefix: str, model: str) -> Envelope:
    return Envelope(id=f"{prefix}{request_id()}", created=int(time.time()), model=model)


@router.post("/v1/chat/completions", response_class=JsonReply)
async def chat(request: Request, body: ChatBody, visit: Visits) -> Any:
    """Answer a conversation; `n` choices, whole or as a stream."""
    arm = visit.arms.named(body.model)
    example = conversation.example(body.messages, system_prompt=visit.system_prompt)
    # Checking a schema takes a while, in which others are answered.
    overrides = await asyncio.to_thread(conversation.overrides, body)
    choices = Choices(visit, arm, body.where, count=body.n)
    for number in range(body.n):
        choices.add(example, overrides.numbered(number))
    envelope = _envelope("chatcmpl-", body.model)
    if body.stream:
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return await choices.stream(ChatStream(envelope, usage=usage))
    return JsonReply(replies.chat(envelope, await choices.whole(request)))


@router.post("/v1/completions", response_class=JsonReply)
async def complete(request: Request, body: CompletionBody, visit: Visits) -> Any:
    """Answer each prompt as a question without a conversation."""
    arm = visit.arms.named(body.model)
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    choices = Choices(visit, arm, body.where, count=len(prompts) * body.n)
    # All are read before any is submitted: a bad one refuses the request as a whole.
    examples = []
    for prompt in prompts:
        message = ChatMessage(role="user", content=prompt)
        examples.append(conversation.example([message], system_prompt=False, param="prompt"))
    for example in examples:
        for number in range(body.n):
            choices.add(example, conversation.overrides(body).numbered(number))
    envelope = _envelope("cmpl-", body.model)
    if body.stream:
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return await choices.stream(CompletionStream(envelope, usage=usage))
    return JsonReply(replies.completion(envelope, await choices.whole(request)))


@router.post("/v1/responses", response_class=JsonReply)
async def respond(request: Request, body: ResponseBody, visit: Visits) -> Any:
    """Answer a question or a conversation in the newer form of the OpenAI API."""
    arm = visit.arms.named(body.model)
    messages = [ChatMessage(role="user", content=body.input)] if isinstance(body.input, str) else list(body.input)
    if body.instructions is not None:
        if not visit.system_prompt:
            # Else the error would name `input.0`, which is no message of the caller's.
            raise conversation.system_refused("instructions")
        messages.insert(0, ChatMessage(role="system", content=body.instructions))
    example = conversation.example(messages, system_prompt=visit.system_prompt, param="input")
    choices = Choices(visit, arm, body.where, count=1, form="text.format")
    choices.add(example, await asyncio.to_thread(conversation.response_overrides, body))
    envelope = _envelope("resp_", body.model)
    if body.stream:
        return await choices.stream(ResponseStream(envelope))
    return JsonReply(replies.response(envelope, (await choices.whole(request))[0]))
