"""Page: answers labelled blind, with the keyboard, and what the labels say beside the metric."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request  # noqa: TID253
from fastapi.responses import RedirectResponse  # noqa: TID253

from twofold.errors import NotServed
from twofold.labelling import items as blind
from twofold.labelling.agreement import Agreement, agreement
from twofold.labelling.items import BlindItem
from twofold.labelling.labels import CHOICES, REASONS, WORDS, BlindLabel, Kind
from twofold.serving.entrance import Curates, Served
from twofold.serving.exchange import note
from twofold.serving.identity import Caller
from twofold.serving.pages.forms import form_of, signature
from twofold.serving.pages.layout import page
from twofold.serving.service import Service
from twofold.types import Json
from twofold.verdict.record import estimate_text
from twofold.verdict.wording import metric_title

router = APIRouter(include_in_schema=False)
Words = Annotated[str, Query(max_length=200)]
_LATEST = 100
"""Labels in the table."""


@router.get("/examples/label")
async def label(
    request: Request,
    service: Served,
    caller: Curates,
    *,
    kind: Kind = "pair",
    study: Words = "",
    by: Words = "",
    after: Words = "",
    name: Annotated[str, Query(alias="item", max_length=40)] = "",
) -> Any:
    """The next thing to label; first who labels is asked where no key tells."""
    if not service.studies.names():
        return page(request, "examples/label", caller, **_nothing(kind))
    who = signature(caller, by)
    every, labels = await _items(service, caller, study=study, kind=kind)
    item = next((item for item in every if item.name == name), None)
    # Without a name nobody knows what this person has labelled.
    if item is None and who:
        item = blind.following(every, labels, by=who, after=after)
    record = service.studies.record(study)
    mine = [one for one in blind.of_study(labels, record["study"], kind) if one.by == who]
    context: Json = {**_nothing(kind), "study": record["study"], "who": who, "item": item, "total": len(every)}
    context |= {"done": len(blind.labelled(every, labels, by=who)), "last": mine[-1] if mine else None}
    context |= {"signed": bool(caller.id), "studies": service.studies.names()[::-1]}
    if item is not None:
        context |= {"answers": item.shown(who), "passages": item.passages}
    return page(request, "examples/label", caller, **context)


@router.post("/examples/label")
async def store(request: Request, service: Served, caller: Curates) -> Any:
    """Store a label, and go on to the next item."""
    form = await form_of(request)
    kind: Kind = "mark" if form.text("kind") == "mark" else "pair"
    who, study = signature(caller, form.text("by")), form.text("study")
    every, _ = await _items(service, caller, study=study, kind=kind)
    # Sought anew: whose answers were shown is never read from the form.
    item = next((item for item in every if item.name == form.text("item")), None)
    if item is None:
        raise NotServed("the study has no such item any more", cure="Go on with the next one, at /examples/label.")
    await asyncio.to_thread(
        service.labels.add,
        kind,
        item.shown(who),
        form.text("choice"),
        by=who,
        question=item.row["question"],
        about=(item.study, item.row["id"]),
        reasons=form.texts("reason"),
        note=form.text("note"),
    )
    note(study=study, item=item.name)
    return _onward(kind, study, who, after=item.name)


@router.post("/examples/label/undo")
async def undo(request: Request, service: Served, caller: Curates) -> Any:
    """Take back one's last label, and show its item again."""
    form = await form_of(request)
    who = signature(caller, form.text("by"))
    back = await asyncio.to_thread(service.labels.undo, form.text("label"), by=who)
    note(study=back.study, label=back.id)
    every, _ = await _items(service, caller, study=back.study, kind=back.kind)
    arms = {answer.arm for answer in back.answers}
    item = next((item for item in every if item.row["id"] == back.example and set(item.arms) == arms), None)
    return _onward(back.kind, back.study, who, item=item.name if item else "")


@router.get("/examples/labels")
async def labels(request: Request, service: Served, caller: Curates, *, study: Words = "") -> Any:
    """The labels on a study's answers, and how they agree with its metric and with each other."""
    if not service.studies.names():
        return page(request, "examples/labels", caller, record=None, tab="labels")
    record = service.studies.record(study)
    rows = await asyncio.to_thread(service.studies.answers, record["study"], caller)
    every = [one for one in service.labels.all() if one.study == record["study"]]

    def agreements() -> list[Agreement]:
        kinds: tuple[Kind, ...] = ("pair", "mark")
        return [agreement(record, rows, every, kind=kind) for kind in kinds]

    context: Json = {"record": record, "agreements": await asyncio.to_thread(agreements), "words": WORDS}
    context |= {"latest": every[::-1][:_LATEST], "total": len(every), "reasons": REASONS, "choices": CHOICES}
    context |= {"people": sorted({one.by for one in every}), "studies": service.studies.names()[::-1], "tab": "labels"}
    context |= {"metric": metric_title(record["metric"]), "estimate": lambda value: estimate_text(vars_of(value))}
    return page(request, "examples/labels", caller, **context)


def vars_of(value: Any) -> Json:
    """An estimate as the record that `estimate_text` prints."""
    return {"mean": value.mean, "low": value.low, "high": value.high}


async def _items(
    service: Service, caller: Caller, *, study: str, kind: Kind
) -> tuple[list[BlindItem], list[BlindLabel]]:
    record = service.studies.record(study)
    rows = await asyncio.to_thread(service.studies.answers, record["study"], caller)
    every = await asyncio.to_thread(lambda: blind.items(record, rows, kind, secret=service.labels.secret()))
    return every, service.labels.all()


def _nothing(kind: Kind) -> Json:
    return {"kind": kind, "item": None, "study": "", "who": "", "reasons": REASONS, "tab": kind} | {
        "words": {choice: WORDS[choice] for choice in CHOICES[kind]}
    }


def _onward(kind: str, study: str, who: str, **where: str) -> RedirectResponse:
    return RedirectResponse(f"/examples/label?{urlencode({'kind': kind, 'study': study, 'by': who, **where})}", 303)
