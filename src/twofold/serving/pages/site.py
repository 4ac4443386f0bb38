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
    watch,
)

PAGES = tuple(
    page.router
    for page in (layout, ask, documents, labels, corrections, examples, login, models, settings, studies, watch)
)
"""The routers."""
router = APIRouter(include_in_schema=False)
"""All of them."""
for page in PAGES:
    router.include_router(page)
