"""All pages of the server: one router each."""

from __future__ import annotations

from fastapi import APIRouter  # noqa: TID253

from twofold.serving.pages import (
    ask,
    corrections,
    documents,
    examples,
    labels,
    layout,
    login,
    models,
    settings,
    studies,
)

router = APIRouter(include_in_schema=False)
for page in (layout, ask, documents, labels, corrections, examples, login, models, settings, studies):
    router.include_router(page.router)
