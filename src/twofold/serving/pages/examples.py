"""Page: the examples, found, mended, added and taken out."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Annotated, Any, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request  # noqa: TID253
from fastapi.responses import RedirectResponse  # noqa: TID253

from twofold.errors import BadRequest, Conflict, DataError
from twofold.serving.entrance import Curates, Served
from twofold.serving.exchange import note
from twofold.serving.faults import sentence, status_of
from twofold.serving.identity import Caller
from twofold.serving.pages import corrections
from twofold.serving.pages.forms import Form, form_of
from twofold.serving.pages.layout import page
from twofold.serving.service import Service
from twofold.serving.workbook import SPLITS, ExampleFields, WorkbookRow
from twofold.types import Example, Json, Origin

router = APIRouter(include_in_schema=False)
Words = Annotated[str, Query(max_length=1000)]
Sent = Annotated[Form, Depends(form_of)]
_BLANK = ExampleFields(question="", answers=())


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What an address filters by; empty for any."""

    words: Words = ""
    split: Words = ""
    origin: Words = ""
    remarks: Words = ""


@router.get("/examples")
async def examples(
    request: Request,
    service: Served,
    caller: Curates,
    *,
    filters: Annotated[Chosen, Depends()],
    number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1,
    stored: Words = "",
    removed: Words = "",
) -> Any:
    """The list of examples; after a change with what was changed."""
    chosen = asdict(filters)
    listing = await asyncio.to_thread(service.examples.page, caller.filter, chosen=chosen, page=number)
    context: Json = {"listing": listing, "chosen": chosen, "stored": stored, "removed": removed, "tab": "list"}
    context |= {"closed": caller.filter is not None and caller.filter.principal is not None}
    context |= {"splits": [*SPLITS, "left out"], "origins": get_args(Origin)}
    return page(request, "examples", caller, onward=f"/examples?{urlencode(chosen)}&page=", **context)


@router.get("/examples/edit")
async def edit(
    request: Request,
    service: Served,
    caller: Curates,
    *,
    file: Words = "",
    line: Annotated[int, Query(ge=0)] = 0,
    feedback: Words = "",
) -> Any:
    """The form of one example; without a place that of a new one, which `feedback` may fill."""
    row = await asyncio.to_thread(service.examples.row, file, line, caller.filter) if file else None
    mined = await asyncio.to_thread(corrections.example, service, caller, feedback) if feedback else None
    fields = _of_example(mined) if mined else _fields(row)
    return await _form(request, service, caller, row=row, fields=fields, mined=mined)


@router.post("/examples/edit")
async def save(request: Request, service: Served, caller: Curates) -> Any:
    """Store the form; what cannot be stored comes back with the reason, and nothing that was typed is lost."""
    form = await form_of(request)
    file, line = form.text("file"), form.number("line")
    row = await asyncio.to_thread(service.examples.row, file, line, caller.filter) if file else None
    fields, feedback = _read(form), form.text("feedback")
    # Read again: the turns before a question are never taken from the form.
    mined = await asyncio.to_thread(corrections.example, service, caller, feedback) if feedback else None
    try:
        await asyncio.to_thread(service.examples.require_documents, fields.sources, caller.filter)
        if row is None:
            known: Json = {"turns": mined.messages[:-1], "origin": mined.origin} if mined else {}
            place = await asyncio.to_thread(service.examples.add, fields, by=caller.name, **known)
        else:
            mark = form.text("mark")
            await asyncio.to_thread(service.examples.fix, row, fields, mark=mark, by=caller.name)
            place = row.place
    # Not StoreError: a full disk is the server's fault, and is said as one.
    except (BadRequest, Conflict, DataError) as error:
        fault = sentence(error.message, error.cure)
        status = status_of(error)
        return await _form(request, service, caller, row=row, fields=fields, mined=mined, fault=fault, status=status)
    note(example=place)
    # 303, so that a reload stores nothing twice.
    return RedirectResponse(f"/examples?{urlencode({'stored': place})}", 303)


@router.post("/examples/remove")
async def remove(service: Served, caller: Curates, form: Sent) -> Any:
    """Take an example out of its file."""
    row = await asyncio.to_thread(service.examples.row, form.text("file"), form.number("line"), caller.filter)
    await asyncio.to_thread(service.examples.remove, row, mark=form.text("mark"), by=caller.name)
    note(example=row.place)
    return RedirectResponse(f"/examples?{urlencode({'removed': row.place})}", 303)


async def _form(
    request: Request,
    service: Service,
    caller: Caller,
    *,
    row: WorkbookRow | None,
    fields: ExampleFields,
    **how: Any,
) -> Any:
    status = int(how.get("status", 200))
    context: Json = {"fault": how.get("fault", ""), "conflict": status == 409, "tab": "edit"}
    mined: Example | None = how.get("mined")
    example = mined or (row.example if row else None)
    context |= {"row": row, "fields": fields, "splits": SPLITS, "feedback": corrections.name_of(mined) if mined else ""}
    context["turns"] = example.messages[:-1] if example else ()
    context["editable"] = row is None or service.examples.editable(row.file)
    return page(request, "examples/edit", caller, status=status, **context)


def _fields(row: WorkbookRow | None) -> ExampleFields:
    return _BLANK if row is None or row.example is None else _of_example(row.example)


def _of_example(example: Example) -> ExampleFields:
    return ExampleFields(
        question=example.question,
        answers=example.references,
        answerable=example.answerable,
        sources=example.sources,
        group=example.group,
        split=example.split or "",
    )


def _read(form: Form) -> ExampleFields:
    answers = tuple(answer.strip() for answer in form.texts("answer") if answer.strip())
    split = form.text("split")
    return ExampleFields(
        question=form.text("question").strip(),
        answers=answers,
        answerable=not form.text("unanswerable"),
        sources=form.lines("sources"),
        group=form.text("group").strip(),
        split=split if split in SPLITS else "",
    )
