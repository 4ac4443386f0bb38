"""Queries written by the configured model: requested in one batch, read line by line, checked for relevance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from twofold.errors import ConfigError
from twofold.plugins.protocols import Parts
from twofold.retrieval.analysis import terms
from twofold.types import Message, Prompt, Usage

_BULLET = re.compile(
    r"^\s*(?:[-*•]|\(?\d{1,2}[.):]|(?:question|query|answer|rewritten question)\s*:)\s*", re.IGNORECASE
)
_LONGEST = 400
"""Characters of a line that are used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The model's output for one query."""

    lines: tuple[str, ...]
    """Usable lines, without repeats; empty when no line is usable."""
    why: str
    """The reason where no line is usable; empty otherwise."""
    usage: Usage
    """Tokens spent."""


def written(
    tasks: Sequence[str], parts: Parts, *, most: int, whole: bool = False, max_tokens: int = 96
) -> list[Written]:
    """Send each task to the configured generator, without an adapter.

    Args:
        tasks: Instructions, each with its question in the last line.
        parts: The parts with the generator.
        most: Most lines used of each completion.
        whole: Use the whole text as one line.
        max_tokens: Limit of each completion.

    Raises:
        ConfigError: no generator is configured.
        GenerationError: the engine as a whole cannot work.
    """
    if not tasks:
        return []
    if parts.generator is None:
        raise ConfigError(
            "the rewriter needs a generator, and none is configured",
            cure="Set [generation.generator], or remove the rewriter.",
        )
    prompts = [Prompt(messages=(Message(role="user", content=task),), max_tokens=max_tokens) for task in tasks]
    answers = []
    for task, completion in zip(tasks, parts.generator().generate(prompts), strict=True):
        if completion.failure is not None:
            answers.append(Written(lines=(), why=completion.failure.message, usage=completion.usage))
            continue
        raw_lines = [" ".join(completion.text.split())] if whole else completion.text.splitlines()
        lines = dict.fromkeys(_BULLET.sub("", line).strip(" \"'`*") for line in raw_lines)
        question_terms = set(terms(task.rsplit("\n", 1)[-1]))  # the task's last line is the question
        usable = [line[:_LONGEST] for line in lines if _usable(line, question_terms, free=whole)][:most]
        why = "" if usable else "the model wrote nothing that is about the question"
        answers.append(Written(lines=tuple(usable), why=why, usage=completion.usage))
    return answers


def _usable(line: str, question_terms: set[str], *, free: bool) -> bool:
    """Is a line about the question? It must share a term with it and have another; `free` text needs three terms."""
    line_terms = set(terms(line))
    return len(line_terms) > 2 if free else len(line_terms) > 1 and bool(line_terms & question_terms)
