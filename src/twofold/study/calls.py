"""Model calls of a study beside its arms' answers, and their cost as far as the configuration tells.

Counted at most: rewriters and a planner may ask less. What has no price is told as a number of calls, never left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twofold.config import Config
from twofold.plugins import loading, protocols
from twofold.plugins.traits import GeneratorSettings, RewriterSettings, RewriterTraits
from twofold.retrieval.rewriters.model import ModelOptions
from twofold.settings.sections import Part
from twofold.study.admission import is_endpoint
from twofold.verdict.record import CostRow, counted

_TASK = 40
"""Tokens of the instruction that a rewriter puts before a question."""
_TALK = 250
"""Tokens of a conversation as it is put to the model."""
_WRITTEN = 96
"""Tokens that the model writes of a conversation, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Calls to one model or service, for one step of the plan."""

    step: str
    who: str
    """Continues "calls to …"."""
    number: int
    """At most."""
    amount: float = 0.0
    """Highest price of the calls; 0 where no price is configured."""
    detail: str = ""
    """Of the amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionBatch:
    """Questions that one step of the plan puts to an arm."""

    step: str
    number: int
    tokens: float
    """Of a question alone, on average."""
    talks: float
    """Share of them that go on from earlier turns."""


def in_retrieval(config: Config, questions: QuestionBatch) -> list[Calls]:
    """The calls that finding passages for these questions makes."""
    requests = list[Calls]()
    fan = 1
    for part in config.retrieval.rewriters:
        options = loading.options("rewriters", part.name, part.options)
        if isinstance(options, ModelOptions):
            number = questions.number * fan
            tokens = (_TASK + questions.tokens, float(options.max_tokens))
            requests += by_generator(config, questions.step, f"rewriter {part.name}", number=number, tokens=tokens)
            one_line = RewriterTraits.of(loading.find("rewriters", part.name)).whole
            # Each rewriter multiplies what the stages after it search for.
            fan *= (1 if one_line else options.most) + options.keep
        elif RewriterSettings.of(options).by == "model":
            # Only a question with turns before it is rewritten.
            number = math.ceil(questions.number * questions.talks)
            tokens = (float(_TALK), float(_WRITTEN))
            requests += by_generator(config, questions.step, f"rewriter {part.name}", number=number, tokens=tokens)
        else:
            requests += _elsewhere("rewriters", part, questions.step, questions.number * fan)
    for part in _searches(config.retrieval.retriever):
        if part.name == "agentic":
            requests += _by_agent(config, part, questions.step, number=questions.number * fan)
        else:
            requests += _elsewhere("retrievers", part, questions.step, questions.number * fan)
    # Rerankers see the joined hits of a question once, however many ways it was searched for.
    for part in config.retrieval.rerankers:
        requests += _elsewhere("rerankers", part, questions.step, questions.number)
    return [*requests, *_elsewhere("embedders", config.retrieval.embedder, questions.step, questions.number * fan)]


def in_metrics(config: Config, *, answers: int) -> list[Calls]:
    """The calls of metrics that let a model judge: one an answer."""
    requests: list[Calls] = []
    for part in config.study.scored:
        requests += _elsewhere("metrics", part, "score and decide", answers)
    return requests


def by_generator(config: Config, step: str, who: str, *, number: int, tokens: tuple[float, float]) -> list[Calls]:
    """Calls to the configured generator; none where it answers on this machine.

    Args:
        config: Of the project.
        step: Of the plan.
        who: What asks.
        number: Of calls.
        tokens: Read and written in one, at most.
    """
    part = config.generation.generator
    if not is_endpoint("generators", part.name) or not number:
        return []
    sides = ("prompt", "completion")
    amount = number * sum(price * count for price, count in zip(prices(config), tokens, strict=True)) / 1e6
    spent = [f"{number * count:.0f} {side}" for side, count in zip(sides, tokens, strict=True)]
    detail = f"{who}: at most {counted(number, 'call')}, {' and '.join(spent)} tokens"
    return [Calls(step=step, who=_model(config), number=number, amount=amount, detail=detail)]


def costs(calls: Sequence[Calls]) -> list[CostRow]:
    """Rows of the calls that have a price."""
    return [{"step": one.step, "amount": one.amount, "detail": one.detail} for one in calls if one.amount]


def unpriced(calls: Sequence[Calls]) -> list[str]:
    """Sentences on the calls without a price, one for each model or service."""
    numbers: dict[str, int] = {}
    for entry in calls:
        if not entry.amount and entry.number:
            numbers[entry.who] = numbers.get(entry.who, 0) + entry.number
    lines: list[str] = []
    for who, number in numbers.items():
        lines.append(f"plus at most {counted(number, 'call')} to {who}, repeats of failed ones aside, not priced")
    return lines


def _model(config: Config) -> str:
    part = config.generation.generator
    return str(part.options.get("model") or part.name)


def prices(config: Config) -> tuple[float, float]:
    """Of a million tokens that the configured generator reads, and writes."""
    part = config.generation.generator
    settings = GeneratorSettings.of(loading.options("generators", part.name, part.options))
    return settings.price_per_million_prompt, settings.price_per_million_completion


def _by_agent(config: Config, part: Part, step: str, *, number: int) -> Iterator[Calls]:
    """The loop's calls: its own caps and prices bound them; tools that have a price are among them."""
    options: Any = loading.options("retrievers", part.name, part.options)
    per_call: Mapping[str, float] = options.price_per_call
    plans = options.planner == "model" and is_endpoint("generators", config.generation.generator.name)
    agent_prices = (options.price_per_million_prompt, options.price_per_million_completion)
    # The loop caps tokens, not which kind: at most all of them have the dearer price.
    dearest = max(agent_prices if any(agent_prices) else prices(config))
    read = options.max_tokens * dearest / 1e6 if plans else 0.0
    each = min(options.max_cost, read + options.max_calls * max(per_call.values(), default=0.0))
    if each:
        detail = f"agent: at most {counted(options.max_calls, 'call')} and {each:.2g} for each of {number} questions"
        yield Calls(step=step, who="the agent", number=number * options.max_calls, amount=number * each, detail=detail)
    if plans and not read:
        yield Calls(step=step, who=_model(config), number=number * options.max_calls)


def _elsewhere(kind: protocols.Kind, part: Part, step: str, number: int) -> Iterator[Calls]:
    """Calls of a plugin that works at an address of its options; no option tells their price."""
    if number and is_endpoint(kind, part.name):
        yield Calls(step=step, who=f"{kind[:-1]} {part.name}", number=number)


def _searches(part: Part) -> Iterator[Part]:
    """A retriever, and the one that it searches with."""
    yield part
    inner = part.options.get("search")
    if inner:
        yield from _searches(Part.model_validate(inner))
