"""Page: the examples, found, mended and added."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Annotated, Any, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request  # noqa: TID253
from fastapi.responses import RedirectResponse  # noqa: TID253

from twofold.errors import BadRequest, Conflict, DataError
from twofold.serving.entrance import Curates, Served
from twofold.serving.faults import sentence, status_of
from twofold.serving.identity import Caller
from twofold.serving.pages.forms import Form, form_of
from twofold.serving.pages.layout import page
from twofold.serving.service import Service
from twofold.serving.workbook import SPLITS, ExampleFields, WorkbookRow
from twofold.types import Json, Origin

router = APIRouter(include_in_schema=False)
Words = Annotated[str, Query(max_length=1000)]
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
) -> Any:
    """The list of examples."""
    chosen = asdict(filters)
    listing = await asyncio.to_thread(service.examples.page, caller.filter, chosen=chosen, page=number)
    context: Json = {"listing": listing, "chosen": chosen, "stored": stored, "tab": "list"}
    context |= {"splits": [*SPLITS, "left out"], "origins": get_args(Origin)}
    return page(request, "examples", caller, onward=f"/examples?{urlencode(chosen)}&page=", **context)


@router.get("/examples/edit")
async def edit(
    request: Request, service: Served, caller: Curates, *, file: Words = "", line: Annotated[int, Query(ge=0)] = 0
) -> Any:
    """The form of one example; without a place that of a new one."""
    row = await asyncio.to_thread(service.examples.row, file, line, caller.filter) if file else None
    return await _form(request, service, caller, row=row, fields=_fields(row))


@router.post("/examples/edit")
async def save(request: Request, service: Served, caller: Curates) -> Any:
    """Store the form; what cannot be stored comes back with the reason, and nothing that was typed is lost."""
    form = await form_of(request)
    file, line = form.text("file"), form.number("line")
    row = await asyncio.to_thread(service.examples.row, file, line, caller.filter) if file else None
    fields = _read(form)
    try:
        if row is None:
            place = await asyncio.to_thread(service.examples.add, fields, by=caller.name)
        else:
            mark = form.text("mark")
            await asyncio.to_thread(service.examples.fix, row, fields, mark=mark, by=caller.name)
            place = row.place
    # Not StoreError: a full disk is the server's fault, and is said as one.
    except (BadRequest, Conflict, DataError) as error:
        fault = sentence(error.message, error.cure)
        status = status_of(error)
        return await _form(request, service, caller, row=row, fields=fields, fault=fault, status=status)
    # 303, so that a reload stores nothing twice.
    return RedirectResponse(f"/examples?{urlencode({'stored': place})}", 303)


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
    context |= {"row": row, "fields": fields, "splits": SPLITS}
    context["editable"] = row is None or service.examples.editable(row.file)
    return page(request, "examples/edit", caller, status=status, **context)


def _fields(row: WorkbookRow | None) -> ExampleFields:
    if row is None or row.example is None:
        return _BLANK
    example = row.example
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
