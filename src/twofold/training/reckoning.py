"""Forecast a training run before it runs: steps, tokens read, evaluations. Light.

Rows are laid out by the same functions as in training (`packing`), so that passages which several rows share count
once. Where the base model's tokenizer is at hand its tokens are counted, elsewhere characters stand for them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from twofold.errors import TwofoldError
from twofold.forgetting.suite import replay_prompts
from twofold.host import capabilities, pace
from twofold.models import hub
from twofold.plugins.jobs import TrainerJob
from twofold.training.options import FitOptions
from twofold.training.packing import BRANCHES, TrainingRow, pack, variants_of
from twofold.training.schedule import WRITTEN, followed, schedule
from twofold.types import Json, Message, Pair

if TYPE_CHECKING:
    from twofold.training.encoding import Encoder

CHARACTERS = 4.0
"""Characters of ordinary text in a token, where no tokenizer tells (SmolLM2 on the demo's rows: 4.3)."""
BRIEF_STEPS = 3
"""So few steps are a brief measurement: the first ones take longer, so that the fastest counts."""
_TURN = 5
"""Tokens of the chat template around each message."""
_MOST_ROWS = 1500
"""Rows laid out; of more, these stand for all."""
_REPLAYED = 300
"""Characters of an answer of the base model that is replayed: most end near their limit of 96 tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoning:
    """The work of one training run to the end of its plan."""

    steps: int
    tokens: float
    """Tokens read in all steps, shared beginnings once."""
    items: int
    """Dev items of an evaluation at most; see `schedule.free_evaluations` and `schedule.evaluations_within`."""
    item: float
    """Work of scoring one of them, in tokens read."""
    followed: float
    """Work of following other things before the first step and at every evaluation, in tokens read."""
    row_tokens: float
    """Tokens of the same rows, each with its whole prompt, as hosted training counts them."""
    answer_tokens: float
    """Those of them that are learned."""
    longest: int
    """Tokens of the longest row."""


def reckon(job: TrainerJob, options: FitOptions) -> Reckoning:
    """Count the work of training `job` with `options`, if no cap stops it."""
    encoder = encoder_of(job.model, options)
    pairs = list(job.rows[0])
    scale = max(1.0, len(pairs) / _MOST_ROWS)
    pairs = [*pairs[:_MOST_ROWS]]
    if options.replay:
        pairs += _replayed(pairs, options.replay)
    groups = [tuple(_rows(pair, encoder, options)) for pair in pairs]
    supervised = options.objective == "supervised"
    if supervised and options.share_prefixes and groups:
        most = min(BRANCHES, options.batch // 2)  # two groups a step at least, as in `loop`
        groups = variants_of([[group[0] for group in groups]], most=most, seed=job.seed)[0]
    sizes = [len(group) if supervised else 1 for group in groups]
    read = [_read(group, shared=options.share_prefixes) for group in groups]
    steps = schedule([sizes], options, seed=job.seed)
    taken = list(chain.from_iterable(members for _, members in steps))
    rows = list(chain.from_iterable(map(groups.__getitem__, taken)))
    return Reckoning(
        steps=round(len(steps) * scale),
        tokens=scale * sum(map(read.__getitem__, taken)),
        row_tokens=scale * sum(len(row.ids) for row in rows),
        answer_tokens=scale * sum(len(row.ids) - row.start for row in rows),
        longest=max((len(row.ids) for row in rows), default=0),
        items=min(len(job.dev), options.dev_items),
        item=item_units(job, options),
        followed=followed_units(job),
    )


def item_units(job: TrainerJob, options: FitOptions) -> float:
    """Work of scoring a dev item during training, in tokens read: its prompt, for loss and answer, and the answer."""
    scored = job.dev[: options.dev_items]
    read = sum(_characters(item.prompt.messages) for item in scored) / CHARACTERS
    return 2 * read / max(1, len(scored)) + WRITTEN


def followed_units(job: TrainerJob) -> float:
    """Work of following a general set and known facts once, in tokens read."""
    pairs = [*followed(job.general), *job.facts, *job.facts]  # each fact with its right and its wrong answer
    return sum(_characters(pair.messages) + len(pair.completion) for pair in pairs) / CHARACTERS


def keep_pace(job: TrainerJob, options: FitOptions, report: Json, *, seconds: float) -> None:
    """Keep how long a finished training took on this machine, for later plans.

    Args:
        job: What was trained.
        options: How.
        report: ``training.json``.
        seconds: Between the start of the child process and its end; a resumed run's are not all of its work.
    """
    steps, evaluating = float(report["training_seconds"]), float(report["evaluation_seconds"])
    scored = report["evaluations"] * report["dev_items"] * item_units(job, options)
    scored += len(report["general_loss"]) * followed_units(job)
    measured = {"token": steps / max(1, report["tokens_read"])}
    if scored:
        measured["evaluation"] = evaluating / scored
    # A resumed run's seconds are not all of its work, and say nothing of starting.
    if seconds > report["seconds"]:
        measured |= {"setup": seconds - steps - evaluating, "start": seconds - report["seconds"]}
    brief = report["steps"] <= BRIEF_STEPS
    busy = brief and capabilities.crowded()
    # The first steps take longer: of so few the fastest counts.
    if brief:
        measured["token"] = min(report["fastest"], measured["token"] * (report["cpu_share"] if busy else 1.0))
    if busy:
        # By the clock a busy machine's other work is counted too: at most the processor's own time.
        least = {"evaluation": report["cpu_share"]}
        least |= dict.fromkeys(("setup", "start"), report["setup_cpu"] / measured.get("setup", math.inf))
        measured = {kind: value * min(1.0, least.get(kind, 1.0)) for kind, value in measured.items()}
    pace.keep(subject(job.model, options), measured, kind="busy" if busy else "brief" if brief else "real")


def subject(model: str, options: FitOptions) -> str:
    """Under what the pace of training `model` is kept (see `pace.training`)."""
    try:
        weights = hub.weights_digest(hub.locate(model))
    except TwofoldError:
        weights = model
    return pace.training(options.method, options.model_dump(mode="json"), weights)


# ---------------------------------------------------------------- tokens


def encoder_of(model: str, options: FitOptions) -> Encoder | None:
    """The base model's tokenizer; None where the model or the package is not here."""
    from twofold.training.encoding import Encoder

    try:
        return Encoder(hub.locate(model), chat_template=options.chat_template)
    except (TwofoldError, ModuleNotFoundError):
        return None


def prompt_tokens(messages: Sequence[Message], encoder: Encoder | None) -> int:
    """Tokens of a rendered prompt."""
    if encoder is not None:
        return len(encoder.prompt(messages))
    return round(_characters(messages) / CHARACTERS)


def _rows(pair: Pair, encoder: Encoder | None, options: FitOptions) -> list[TrainingRow]:
    """The rows that training makes of a pair: one, or one for each completion that is compared."""
    completions = [pair.completion]
    if options.objective == "preference":
        completions.append(pair.rejected)
    elif options.objective == "labels":
        completions += [choice for choice in pair.choices if choice != pair.completion]
    if encoder is not None and all(text.strip() for text in completions):
        return [encoder.row(Pair(messages=pair.messages, completion=text), options.max_length) for text in completions]
    head = _pieces("".join(f"\n{m.role}\n{m.content}" for m in pair.messages))
    rows = []
    for text in completions:
        tail = [*_pieces(text), 0]
        ids = (*head[: max(1, options.max_length - len(tail))], *tail)
        rows.append(TrainingRow(ids=ids, start=len(ids) - len(tail)))
    return rows


def _pieces(text: str) -> list[int]:
    """Stand-ins for tokens: equal beginnings give equal pieces."""
    size = int(CHARACTERS)
    # Compared within this process only, so it does not matter that a text's hash differs in the next one.
    return [hash(text[start : start + size]) for start in range(0, len(text), size)]


def _read(group: Sequence[TrainingRow], *, shared: bool) -> int:
    packs = [pack(group)] if shared else [pack([row]) for row in group]
    return sum(len(one.ids) for one in packs)


def _replayed(pairs: Sequence[Pair], share: float) -> list[Pair]:
    """General rows as `fit` mixes them in, with answers of the usual length."""
    room = share * sum(len(pair.completion) for pair in pairs)
    replayed: list[Pair] = []
    for text in itertools.cycle(replay_prompts()):
        if room <= 0:
            return replayed
        # 7 characters a word
        replayed.append(Pair(messages=(Message(role="user", content=text),), completion="answer " * (_REPLAYED // 7)))
        room -= _REPLAYED
    return replayed


def _characters(messages: Sequence[Message]) -> float:
    return sum(len(message.content) + _TURN * CHARACTERS for message in messages)
