"""Page: what people said of answers, as the examples that can be made of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request  # noqa: TID253

from twofold.errors import NotServed, TooFewExamples, UnreadableFile
from twofold.examples.feedback import Mined
from twofold.examples.leaks import bare
from twofold.serving.entrance import Curates, Served
from twofold.serving.identity import Caller
from twofold.serving.pages.layout import page
from twofold.serving.service import FEEDBACK, Service
from twofold.types import Example, Json

router = APIRouter(include_in_schema=False)
_LOG = "log/"
"""What mined examples begin their ids with, before the id of the line of feedback."""
_LATEST = 200
"""Rows of the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionRow:
    """An example that feedback would make."""

    example: Example
    name: str
    """Id of the line of feedback."""
    place: str
    """Of an example that asks the same already; empty without one."""


@router.get("/examples/feedback")
async def feedback(request: Request, service: Served, caller: Curates) -> Any:
    """Corrected and approved answers, the latest first, with the examples that they would make."""
    context: Json = {"tab": "feedback", "log": FEEDBACK, "shown": service.studies.shows_answers(caller), "rows": []}
    context |= {"total": 0, "unused": []}
    if context["shown"]:
        mined = await asyncio.to_thread(_mined, service)
        known = await asyncio.to_thread(service.examples.questions, caller.filter)
        rows = [_row(example, known) for example in mined.examples[::-1]]
        # First what is still to be done.
        rows.sort(key=lambda row: bool(row.place))
        context |= {"rows": rows[:_LATEST], "total": len(rows), "unused": list(mined.counts["discarded"].items())}
    return page(request, "examples/feedback", caller, **context)


def example(service: Service, caller: Caller, name: str) -> Example:
    """The example that a line of feedback would make.

    Raises:
        NotServed: there is none, or the caller may not see it.
    """
    mined = _mined(service) if service.studies.shows_answers(caller) else Mined()
    found_example = next((one for one in mined.examples if one.id == f"{_LOG}{name}"), None)
    if found_example is None:
        raise NotServed("no example can be made of this feedback any more", cure="Go back to the list of corrections.")
    return found_example


def name_of(mined: Example) -> str:
    """Id of the line of feedback that made an example."""
    return mined.id.removeprefix(_LOG)


def _mined(service: Service) -> Mined:
    try:
        # As the command does, with its masks: what the page shows is what `examples mine` would write.
        return service.project.curation.mine([FEEDBACK])
    # No log yet, or none with a word that helps.
    except (TooFewExamples, UnreadableFile):
        return Mined()


def _row(mined: Example, known: dict[str, str]) -> CorrectionRow:
    return CorrectionRow(example=mined, name=name_of(mined), place=known.get(bare(mined.question), ""))
