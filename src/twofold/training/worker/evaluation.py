"""Evaluations of a training run: the dev split, the best weights so far, abilities beside the task (heavy leaf).

Under a limit the clock is looked at before every pass of the network, writing an answer included: what an answer takes
to write is known only once answers are written, and a cap is a cap. An evaluation that the limit cuts does not count.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from twofold.training.schedule import EVALUATION_SHARE, FEWEST
from twofold.training.worker import checkpoints, curves, scoring
from twofold.training.worker.network import plain_of
from twofold.training.worker.state import OutOfTime, TrainingRun
from twofold.types import Json

CUT = "an evaluation was cut by the limit and does not count"


def evaluate(run: TrainingRun, log: curves.Log) -> None:
    """Score the dev split; the best checkpoint so far is kept.

    The later checkpoint is the better one unless an earlier one is ahead by more than a standard error of the paired
    difference: with a dozen items the earlier would else often win by chance.
    """
    state = run.state
    tick = time.perf_counter()
    try:
        with within_limit(run):
            scores = _task_scores(run)
            dev = run.dev[: state.items]
            loss = scoring.mean_loss(run.network, [row for _, row in dev], budget=state.budget)
            followed = other_things(run)
    except OutOfTime:
        run.network.train()  # scoring was cut with dropout switched off
        state.evaluation_seconds += time.perf_counter() - tick
        state.note(CUT)
        return
    # The slowest pace seen counts: the last evaluation is reserved for within the limit.
    if dev and run.options.limit:
        run.forward = max(run.forward, (time.perf_counter() - tick) / (len(dev) * run.item_tokens()))
    mean = sum(scores) / len(scores) if scores else 0.0
    if dev:
        state.dev.append((state.step, mean))
        state.dev_loss.append((state.step, loss or 0.0))
    log.tell(step=state.step, dev=mean if dev else None, dev_loss=loss, **followed)
    # The loss decides between equal scores: a task metric on a dozen items has few values.
    reached = (round(mean, 6), -(loss or 0.0))
    state.since_best = 0 if reached > tuple(state.highest) else state.since_best + 1
    state.highest = max(reached, (state.highest[0], state.highest[1]))
    if dev and scoring.keeps_up(scores, state.best_scores):
        state.best_scores = scores
        state.best_step = state.step
        live = run.masters.whole(run.masters.live)
        if run.crew.first:
            checkpoints.write(run.directory / "best.pt", live)
    state.evaluation_seconds += time.perf_counter() - tick


def other_things(run: TrainingRun) -> Json:
    """Measure abilities beside the task: the loss on a general set, and which facts are still known."""
    state = run.state
    followed_values = {
        "general_loss": scoring.mean_loss(run.network, run.general, budget=state.budget),
        "known_facts": scoring.known(run.network, run.facts, budget=state.budget),
    }
    for name, value in followed_values.items():
        if value is not None:
            getattr(state, name).append((state.step, value))
    return followed_values


def _task_scores(run: TrainingRun) -> list[float]:
    """Scores of the dev items. Under a limit the first evaluation settles how many there is time for, by writing some.

    They are settled once: scores of other items do not compare.
    """
    state, options = run.state, run.options
    settled = not options.limit or bool(state.dev)
    piece = state.items if settled else FEWEST
    room = EVALUATION_SHARE * options.limit * 60 / max(1, state.evaluations)
    began = time.perf_counter()
    scores: list[float] = []
    for begin in range(0, state.items, max(1, piece)):
        end = min(state.items, begin + piece)
        scores += scoring.task_scores(
            run.network,
            run.dev[begin:end],
            run.job,
            encoder=run.encoder,
            options=options,
            budget=state.budget,
            progress=run.progress,
        )
        spent = time.perf_counter() - began
        if not settled and run.crew.follow(spent * (end + piece) / end > room):
            state.items = end
            break
    return scores


@contextmanager
def within_limit(run: TrainingRun) -> Iterator[None]:
    """Raise `OutOfTime` before a pass of the network that begins after the limit."""
    if not run.options.limit:
        yield
        return

    def look(*_: object) -> None:
        if run.crew.follow(run.remaining() <= 0):
            raise OutOfTime

    # The word vectors: every pass of every method goes through them, and they are never compiled or spread.
    hook = plain_of(run.network).get_input_embeddings().register_forward_pre_hook(look)
    try:
        yield
    finally:
        hook.remove()
