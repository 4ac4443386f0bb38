"""A run against its limit of time or money (heavy leaf): how often it looks at the dev split, and when it stops."""

from __future__ import annotations

import time
from collections.abc import Sequence

from twofold.training.packing import Pack, micro_batches
from twofold.training.schedule import (
    EVALUATION_SHARE,
    FOLLOWED_SHARE,
    TRAINED,
    affordable,
    evaluations_within,
    free_evaluations,
    marks,
)
from twofold.training.worker import devices, scoring
from twofold.training.worker.state import TrainingRun, packs_of

_BITE = 0.05
"""Part of the limit that one micro-batch may take, as the clock is looked at between them."""
_GLANCE = 0.02
"""Part of the limit that measuring the pace of a whole micro-batch may take; else the shortest rows tell it."""
_SETTLING = 4
"""Steps whose pace tells how many fit into the limit; fewer where they take a quarter of it."""


def settle_micro_batches(run: TrainingRun) -> None:
    """Measure the pace of reading where there is a limit, and let no micro-batch take more than a small part of it."""
    if not run.options.limit:
        return
    run.forward = run.crew.shared(_forward_pace(run))
    # The clock is looked at between micro-batches: with large ones a cap of six seconds took fourteen.
    bite = int(_BITE * run.options.limit * 60 / (TRAINED * run.forward))
    run.state.budget = max(1, min(run.state.budget, bite))


def settle_evaluations(run: TrainingRun) -> None:
    """Decide how often and on how many items the dev split is scored, and whether other things are followed at all.

    Without a limit this follows from tokens alone, so that the same job scores the same items on every machine.
    """
    state, options = run.state, run.options
    most_items = min(len(run.dev), options.dev_items)
    if not options.limit:
        trained = run.planned_tokens()
        count, items = free_evaluations(trained, each=run.item_tokens(), most=options.evaluations, items=most_items)
    else:
        room, each = EVALUATION_SHARE * options.limit * 60, run.item_tokens() * run.forward
        count, items = evaluations_within(room, each=each, most=options.evaluations, items=most_items)
    # A resumed run keeps what was settled: scores of other items do not compare with those before.
    state.evaluations, state.items = state.evaluations or count, state.items or items
    if most_items and not state.items and options.limit:
        state.note("the dev split was not scored: the limit leaves no time for it")
    following = run.followed_tokens() * run.forward * (state.evaluations + 1)  # once before the first step
    if options.limit and following > FOLLOWED_SHARE * options.limit * 60:
        run.general, run.facts = [], []
        state.note("the loss on a general set and known facts were not followed: the limit leaves no time")


def _forward_pace(run: TrainingRun) -> float:
    """Seconds to read a token: measured on the shortest rows of the first step, and on a micro-batch if it is quick."""
    epoch, members = run.plan[0]
    packs = packs_of(run, epoch, members)
    seen = _read_pace(run, [min(packs, key=lambda packed: len(packed.ids))])
    whole = micro_batches(packs, run.state.budget)[0]
    quick = run.crew.shared(seen * sum(len(packed.ids) for packed in whole) < _GLANCE * run.options.limit * 60)
    return _read_pace(run, whole) if quick else seen


def _read_pace(run: TrainingRun, part: Sequence[Pack]) -> float:
    devices.wait()
    tick = time.perf_counter()
    scoring.read_once(run.network, part)
    devices.wait()
    return (time.perf_counter() - tick) / sum(len(one.ids) for one in part)


def limits(run: TrainingRun) -> tuple[bool, int]:
    """Is the limit reached, and how many steps are to be made in all?"""
    state, options = run.state, run.options
    if not options.limit:
        return False, state.planned
    # One step tells no pace: it may have compiled. The micro-batches of the second one look at the clock.
    if state.step == 1:
        return False, state.planned
    each = state.step_seconds()
    # Settled once: the learning rate decays over the steps planned, and must not jump.
    if state.step == _SETTLING or (state.step < _SETTLING and run.spent() > options.limit * 15):
        due = sum(1 for mark in marks(state.planned, state.evaluations) if mark > state.step)
        left = run.left() - (due - 1) * state.items * run.item_tokens() * run.forward  # `left` reserves the last one
        return run.left() < each, affordable(state.step, state.planned, each=each, left=left)
    return run.left() < each, state.planned


def affords_evaluation(run: TrainingRun) -> bool:
    """Is there time for an evaluation before the last one, at the pace of the earlier ones?"""
    state = run.state
    if not run.options.limit or not state.dev or state.step == state.planned:
        return True
    # This one and the last one.
    due = 2 * state.items * run.item_tokens() * run.forward
    return run.crew.shared(state.evaluation_seconds + due <= EVALUATION_SHARE * run.options.limit * 60)


def needed(run: TrainingRun) -> float | None:
    """Seconds that the whole plan takes at the pace seen; None where there was none."""
    state = run.state
    whole = run.planned_tokens()
    pace_seen = state.token_seconds() or TRAINED * run.forward
    if not pace_seen:
        return None
    most_items = min(len(run.dev), run.options.dev_items)
    count, items = free_evaluations(whole, each=run.item_tokens(), most=run.options.evaluations, items=most_items)
    count = len(marks(len(run.plan), count))
    following = run.followed_tokens()
    scored = len(state.dev) * state.items * run.item_tokens() + len(state.general_loss) * following
    read = state.evaluation_seconds / scored if scored else run.forward
    again = count * items * run.item_tokens() + (count + 1) * following
    warming = max(0.0, state.first_seconds - state.first_tokens * pace_seen)
    return state.setup_seconds + warming + whole * pace_seen + again * read
