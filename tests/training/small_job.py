"""A job for a model that trains in seconds."""

from __future__ import annotations

from pathlib import Path

from twofold.plugins.jobs import TrainerJob
from twofold.prompts import Template, pair, render
from twofold.types import DevItem, Example, Message


def example(number: int) -> Example:
    """A question with a short answer."""
    return Example(
        id=f"e{number}",
        messages=(Message(role="user", content=f"What is number {number}?"),),
        references=(f"it is {number % 3}",),
        group=f"g{number}",
    )


def small_job(tiny: Path) -> TrainerJob:
    """Twelve closed-book rows and three dev items."""
    template = Template()
    examples = [example(n) for n in range(15)]
    rows = tuple(pair(render(e.messages, template=template), e.references[0], e) for e in examples[:12])
    dev = tuple(DevItem(prompt=render(e.messages, template=template, max_tokens=4), example=e) for e in examples[12:])
    return TrainerJob(rows=(rows,), dev=dev, metric="token_f1", model=f"path:{tiny}", template=template)
