"""The training loop, one for all methods and objectives (heavy leaf; runs in the child process).

What makes it fast on a CPU: passages shared by several rows are read once (`packing`), logits are computed at
completion positions only (the vocabulary projection is a fifth of a small model's work), LoRA layers neither cast nor
copy (`methods`), and micro-batches are bucketed by length. Memory is bounded by the micro-batch, whose size follows
from `memory_gib`. Batch order and rows are functions of (seed, epoch): the step number recovers both on resume.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from twofold.errors import NothingToLearn, TrainingError
from twofold.files import writing
from twofold.host.memory import peak_mib
from twofold.models import adapter_layers, hub
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import Progress
from twofold.training.encoding import Encoder
from twofold.training.options import MEMORY, FitOptions
from twofold.training.packing import BRANCHES, Pack, TrainingRow, micro_batches, variants_of
from twofold.training.schedule import TRAINED, effort, followed, marks, pace, schedule
from twofold.training.worker import checkpoints, curves, devices, evaluation, limits, methods, objectives, scoring
from twofold.training.worker.distributed import Crew
from twofold.training.worker.memory import per_token_bytes, room_bytes, token_budget, weights_bytes
from twofold.training.worker.network import Masters, plain_of, token_losses, why_apart
from twofold.training.worker.state import OutOfTime, State, TrainingRun, bundles_of
from twofold.types import Json, Pair

_POINTS = 40
"""Points of the loss curve."""
_PROBED = (1 / 3, 1.0, 3.0)
"""Times the learning rate, where it is probed."""
_PROBE_STEPS = 10
_PROBE_SHARE = 0.2
"""Part of the limit that probing may take; beyond it the configured learning rate is taken."""


def fit(job: TrainerJob, options: FitOptions, directory: Path, *, progress: Progress) -> Json:
    """Train the job's adapter and leave it in `directory` with ``training.json``; resumes from a checkpoint there.

    Raises:
        NothingToLearn: a row has no completion token, or lacks what the objective needs.
        TrainingError: the loss is not a number before anything was learned, memory ran out twice, or the disk is full.
    """
    import torch

    began = time.perf_counter()
    crew = Crew()
    if options.threads or crew.size > 1:
        torch.set_num_threads(max(1, (options.threads or torch.get_num_threads()) // crew.beside))
    source = hub.locate(job.model)
    encoder = Encoder(source, chat_template=options.chat_template)
    network = methods.adapted(source, options, encoder, seed=job.seed)
    # Spread before masters are made, which take each process's part of the weights as it is then.
    if options.shard:
        # A run that was begun on several processes may go on in one.
        if crew.size > 1:
            crew.spread(adapter_layers.layers_of(plain_of(network)), device=methods.device())
        network.to(methods.device())
    run = _prepared(job, options, directory, encoder=encoder, network=network, crew=crew, progress=progress)
    run.began = began
    limits.settle_micro_batches(run)
    # DPO's reference is the untrained model: asked before a probe or a checkpoint changes the weights.
    if options.objective == "preference":
        run.references = _references(run)
    chosen = _probe(run) if options.probe else None
    _restore(run)
    run.masters.publish()
    limits.settle_evaluations(run)
    log = curves.Log(directory, step=run.state.step, on=crew.first)
    tick = time.perf_counter()
    run.setup_cpu = time.process_time()
    stopped = _loop(run, log)
    run.state.seconds = run.spent()
    used = time.process_time() - run.setup_cpu
    run.cpu_share = used / (time.perf_counter() - tick) / torch.get_num_threads()
    # All processes take part in gathering; only the first one writes.
    last = run.masters.whole(run.masters.live) if crew.spreads else None
    report = _finish(run, source, last, stopped=stopped, probe=chosen) if crew.first else {}
    crew.close()
    return report


def _prepared(
    job: TrainerJob,
    options: FitOptions,
    directory: Path,
    *,
    encoder: Encoder,
    network: Any,
    crew: Crew,
    progress: Progress,
) -> TrainingRun:
    plain = plain_of(network)
    virtual = adapter_layers.virtual(plain_of(network))
    pairs = [_with_replay(rows, job, options, variant=n) for n, rows in enumerate(job.rows)]
    if not pairs or not pairs[0]:
        raise NothingToLearn("there are no training rows")

    def encode(pair: Pair) -> tuple[TrainingRow, ...]:
        return tuple(objectives.rows_of(pair, encoder, options, virtual=virtual))

    encoded = [list(map(encode, rows)) for rows in pairs]
    longest = max(len(row.ids) for row in chain.from_iterable(chain.from_iterable(encoded)))
    why = why_apart(network, longest) if options.share_prefixes else "configured"
    notes = [f"shared passages are read once per row: {why}"] if why not in ("", "configured") else []
    variants = encoded
    if options.objective == "supervised" and not why:
        flat = []
        for rows in encoded:
            flat.append([group[0] for group in rows])
        # Two groups a step at least: a step of one passage's rows is no random batch.
        variants = variants_of(flat, most=min(BRANCHES, options.batch // 2), seed=job.seed)
    sizes: list[list[int]] = []
    for groups in variants:
        # A comparison of completions counts as one question, however many rows it takes.
        sizes.append(list(map(len, groups)) if options.objective == "supervised" else [1] * len(groups))
    masters = Masters(network, options)
    learned = sum(p.numel() for p in masters.live.values())
    notes += _economies(plain, options, learned=learned, longest=longest)

    def placed(pair: Pair) -> TrainingRow:
        return scoring.placed(pair, encoder, options, virtual=virtual)

    return TrainingRun(
        job=job,
        options=options,
        directory=directory,
        encoder=encoder,
        network=network,
        masters=masters,
        crew=crew,
        variants=variants,
        plan=schedule(sizes, options, seed=job.seed),
        shared=not why,
        dev=scoring.dev_rows(job, encoder, options, virtual=virtual),
        general=[placed(one) for one in followed(job.general)],
        facts=[(placed(one), placed(replace(one, completion=one.rejected))) for one in job.facts],
        progress=progress if crew.first else lambda *_: None,
        began=time.perf_counter(),
        state=State(budget=token_budget(plain, options, learned=learned), notes=notes),
    )


def _with_replay(rows: Sequence[Pair], job: TrainerJob, options: FitOptions, *, variant: int) -> list[Pair]:
    """The rows with a share of the replay set among them, another one for each variant.

    The share is of what is learned (characters of completions): general answers are long beside a label or a name.
    """
    if not options.replay:
        return list(rows)
    if not job.replay or options.objective != "supervised":
        raise NothingToLearn(
            "there are no rows to replay" if not job.replay else "only the supervised objective replays rows",
            cure="Set [tuning.trainer.options].replay = 0.",
        )
    room = options.replay * sum(len(row.completion) for row in rows)
    pool = list(job.replay)
    random.Random(f"{job.seed}/{variant}").shuffle(pool)
    mixed = list(rows)
    for row in itertools.cycle(pool):
        mixed.append(row)
        room -= max(1, len(row.completion))
        if room <= 0:
            return mixed
    return mixed


def _economies(plain: Any, options: FitOptions, *, learned: int, longest: int) -> list[str]:
    """Switch on what saves memory or time; returns what to tell of it."""
    notes = []
    room = room_bytes(options) - weights_bytes(plain, learned)
    tight = room / per_token_bytes(plain.config, options) < longest
    if options.checkpointing == "on" or (options.checkpointing == "auto" and tight):
        if options.method == "prefix" or not getattr(plain, "supports_gradient_checkpointing", False):
            notes.append("activations are kept: this method or model cannot compute them again")
        else:
            # The reentrant kind needs an input with a gradient, which frozen word vectors do not give.
            plain.gradient_checkpointing_enable({"use_reentrant": False})
            notes.append("activations are computed again in the backward pass, to save memory")
    if options.compile:
        for layer in adapter_layers.layers_of(plain):
            layer.compile(dynamic=True)  # lengths differ in every micro-batch
    return notes


def _loop(run: TrainingRun, log: curves.Log) -> str:
    """Steps until the end of the plan, of patience or of the limit; returns which."""
    state, options, plan, crew = run.state, run.options, run.plan, run.crew
    saved = time.perf_counter()
    limited = False
    state.planned = state.planned or len(plan)
    # A tenth of the limit at most is forgotten by a kill, so that a rerun keeps to it.
    every = min(options.checkpoint_seconds, 6 * options.limit) if options.limit else options.checkpoint_seconds
    run.network.train()
    # What forgetting is measured from: taken before the first step, once, also where a run is resumed at step 0.
    if state.step == 0 and crew.measures and not state.general_loss and not state.known_facts:
        tick = time.perf_counter()
        log.tell(step=0, **evaluation.other_things(run))
        state.evaluation_seconds += time.perf_counter() - tick
    state.setup_seconds = state.setup_seconds or run.spent() - state.evaluation_seconds
    run.progress("train", state.step, state.planned)
    while state.step < state.planned and state.since_best < options.patience and not limited:
        epoch, members = plan[state.step]
        bundles = bundles_of(run, epoch % len(run.variants), members)
        variant = run.variants[epoch % len(run.variants)]
        rows = list(chain.from_iterable(variant[member] for member in members))
        tick = time.perf_counter()
        factor = pace(state.step, state.planned, options.warmup)
        try:
            loss = take_step(run, bundles, factor=factor)
        except OutOfTime:
            # Half a step is not taken: its gradient would be of another batch size.
            run.masters.drop()
            break
        if not math.isfinite(loss):
            return _broken(run, rows)
        read, learned = sum(len(one.ids) for one in chain.from_iterable(bundles)), sum(len(row.ids) - 1 for row in rows)
        state.count(loss, read=read, learned=learned, seconds=time.perf_counter() - tick)
        state.seconds = run.spent()
        # Clocks differ between processes: all follow the first one's, or some would wait for others for ever.
        limited, state.planned = crew.shared(limits.limits(run))
        log.tell(step=state.step, epoch=epoch, loss=loss, rate=run.masters.rate * factor, seconds=state.seconds)
        run.progress("train", state.step, state.planned)
        due = crew.shared(time.perf_counter() - saved > every)
        marked = state.step in marks(state.planned, state.evaluations)
        if limited or (marked and limits.affords_evaluation(run)):
            if crew.measures:
                evaluation.evaluate(run, log)
            vars(state).update(crew.shared(vars(state)))
            due = True  # an evaluation is dear, and may have found the best weights so far
        if due and crew.measures:
            state.seconds = run.spent()
            _checkpoint(run)
        saved = time.perf_counter() if due else saved
    # A run that was killed after its last checkpoint finds this in its state.
    if state.since_best >= options.patience:
        return "patience"
    if state.step and crew.measures and state.step not in [step for step, _ in state.dev]:
        evaluation.evaluate(run, log)
    return "plan" if state.step == len(plan) else options.limited_by


def take_step(run: TrainingRun, bundles: Sequence[Sequence[Pack]], *, factor: float) -> float:
    """Forward, backward and update over one step; returns its mean loss. Tries again once with half the micro-batch.

    Raises:
        TrainingError: memory ran out both times.
    """
    try:
        return _step(run, bundles, factor=factor)
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        run.masters.drop()
        devices.free()
        first = run.state.budget
        # With several processes the others wait within the step that failed here: it cannot be taken again.
        if run.state.halved or run.crew.size > 1:
            raise TrainingError(f"out of memory with micro-batches of {first} tokens", cure=MEMORY) from error
    run.state.budget = max(1, first // 2)
    run.state.halved = True
    run.state.notes.append(
        f"memory ran out at step {run.state.step + 1}: micro-batches were halved from {first} tokens"
    )
    return take_step(run, bundles, factor=factor)


def _out_of_memory(error: BaseException) -> bool:
    # On a CPU torch raises a plain RuntimeError, told by its words.
    message = str(error)
    return isinstance(error, MemoryError) or "out of memory" in message or "can't allocate memory" in message


def _step(run: TrainingRun, bundles: Sequence[Sequence[Pack]], *, factor: float) -> float:
    options, masters = run.options, run.masters
    packs = list(chain.from_iterable(bundles))
    # Rows that are compared with each other must be in one micro-batch.
    whole = options.objective == "supervised" or run.shared
    parts = micro_batches(packs, run.state.budget) if whole else [list(bundle) for bundle in bundles]
    count = objectives.count_of(packs, options, pairs=len(bundles))
    spent = 0.0
    mine = run.crew.share(parts)
    for turn in range(math.ceil(len(parts) / run.crew.size)):
        part, weight = mine[turn] if turn < len(mine) else ([], 0.0)
        tokens = sum(len(one.ids) for one in part)
        # Before every micro-batch: a step may take minutes on a slow machine, and a cap is a cap.
        if options.limit and run.crew.shared(run.left() <= max(TRAINED * run.forward, run.trained) * tokens):
            raise OutOfTime
        if not part:  # the others have one micro-batch more: this process only hears of the limit
            break
        tick = time.perf_counter()
        loss = weight * objectives.loss_of_packs(token_losses(run.network, part), part, options)
        # By the count of the whole step, so that the gradient is the same however the step is cut.
        (loss / count).backward()
        masters.collect()
        spent += float(loss.detach())
        run.trained = (time.perf_counter() - tick) / tokens
    spent = run.crew.summed(masters, spent, device=run.network.device)
    # A loss that is not a number must not reach the masters, from which the best weights may still be saved.
    if math.isfinite(spent):
        masters.update(factor)
    return spent / count


def _broken(run: TrainingRun, rows: Sequence[TrainingRow]) -> str:
    """Stop at a loss that is not a number: with the best so far, or where there is none with an error."""
    names = ", ".join(dict.fromkeys(row.example for row in rows if row.example))
    where = f"the loss is not a number at step {run.state.step + 1} (examples {names[:300]})"
    run.masters.drop()
    if not run.state.best_step:
        raise TrainingError(
            where,
            cure="Lower [tuning.trainer.options].learning_rate, and look at these examples.",
            file=run.directory,
        )
    run.state.notes.append(f"{where}; the best before it was kept")
    return "nan"


def _references(run: TrainingRun) -> list[list[float]]:
    """DPO's reference: by how much the untrained model likes each chosen completion more (difference of log-odds)."""
    import torch

    references: list[list[float]] = []
    with torch.no_grad():
        for variant, groups in enumerate(run.variants):
            margins = []
            for member in range(len(groups)):
                (packs,) = bundles_of(run, variant, [member])
                # Without a reference there is no step to take; nor is there after the limit.
                if run.crew.shared(run.remaining() <= run.forward * sum(len(one.ids) for one in packs)):
                    return []
                losses = token_losses(run.network, packs)
                ((part, _),) = objectives.units(objectives.row_sums(losses, packs), packs)
                margins.append(float(part[1] - part[0]))
            references.append(margins)
    return references


def _probe(run: TrainingRun) -> Json:
    """Try three learning rates on the first steps, each from the beginning; sets and returns the choice.

    What was found is kept, so that a resumed run goes on with the same rate.
    """
    path = run.directory / "probe.json"
    if path.is_file():
        outcome = json.loads(path.read_text(encoding="utf-8"))
    else:
        outcome = _tried(run)
        if run.crew.first:
            writing.write(path, json.dumps(outcome))
    outcome = run.crew.shared(outcome)
    if not outcome["tried"]:
        run.state.note("the learning rate was not probed: the limit leaves no time for it")
        return {**outcome, "chosen": run.masters.rate}
    measured = [t for t in outcome["tried"] if math.isfinite(t["loss"])]
    if not measured:
        raise TrainingError(
            f"the loss is not a number at any learning rate down to {run.options.learning_rate * _PROBED[0]:g}",
            cure="Lower [tuning.trainer.options].learning_rate.",
        )
    best = min(measured, key=lambda t: t["loss"] if t["dev_loss"] is None else t["dev_loss"])
    run.masters.rate = best["learning_rate"]
    return {**outcome, "chosen": best["learning_rate"]}


def _tried(run: TrainingRun) -> Json:
    """The losses by learning rate; none of them where the limit leaves no time for all."""
    import torch

    begin = {name: p.detach().clone() for name, p in run.masters.full.items()}
    before = devices.chance()
    tried: list[Json] = []
    steps = run.plan[:_PROBE_STEPS]
    run.network.train()
    limit, began = run.options.limit, run.spent()
    for number, times in enumerate(_PROBED):
        run.masters.rate = run.options.learning_rate * times
        losses: list[float] = []
        try:
            for step, (epoch, members) in enumerate(steps):
                if limit and run.crew.shared(run.spent() - began > _PROBE_SHARE * limit * 60):
                    raise OutOfTime
                factor = pace(step, len(steps), run.options.warmup)
                losses.append(take_step(run, bundles_of(run, epoch % len(run.variants), members), factor=factor))
                run.progress("probe", number * len(steps) + step + 1, len(_PROBED) * len(steps))
            loss = scoring.mean_loss(run.network, [row for _, row in run.dev], budget=run.state.budget)
            tried.append({"learning_rate": run.masters.rate, "loss": losses[-1], "dev_loss": loss})
        except OutOfTime:
            tried = []
            run.masters.drop()
            run.masters.rate = run.options.learning_rate
        with torch.no_grad():
            for name, full in run.masters.full.items():
                full.copy_(begin[name])
        # Each rate begins with the same weights, an optimiser that has seen nothing, and the same dropout.
        run.masters.renew()
        run.masters.publish()
        devices.restore_chance(before)
        if not tried:
            break
    return {"steps": len(steps), "tried": tried}


def _checkpoint(run: TrainingRun) -> None:
    checkpoint = {
        "state": vars(run.state),
        "random": devices.chance(),
        "processes": run.crew.size,
        **run.masters.snapshot(),
    }
    if run.crew.first:
        checkpoints.keep(run.directory, checkpoint)
        curves.draw(run.directory, metric=run.job.metric)


def _restore(run: TrainingRun) -> None:
    """Go on from the newest checkpoint that can be read, if there is one."""
    checkpoint, notes = checkpoints.newest(run.directory)
    # Else some would begin anew beside others that go on, and wait for each other for ever.
    if not run.crew.all_equal(checkpoint["state"]["step"] if checkpoint else 0):
        raise TrainingError(
            "the training processes read checkpoints of different steps",
            cure="Put the project on a file system that all machines of the training share.",
            file=run.directory,
        )
    run.state.notes += notes
    if checkpoint is None:
        return
    run.masters.restore(checkpoint)
    devices.restore_chance(checkpoint["random"])
    stored = checkpoint["state"]
    # The machine may be slower now than it was: the smaller micro-batch keeps to the limit.
    budget = min(run.state.budget, stored["budget"])
    vars(run.state).update({**stored, "notes": [*stored["notes"], *notes], "budget": budget})
    run.earlier = run.state.seconds
    before = checkpoint.get("processes", run.crew.size)
    if before != run.crew.size:
        run.state.note(f"went on from step {run.state.step} on {run.crew.size} processes, after {before}")


def _finish(run: TrainingRun, source: Path, last: dict[str, Any] | None, *, stopped: str, probe: Json | None) -> Json:
    """Save the best weights and the report; `last`: the whole last weights, where they are spread over processes."""
    state, directory = run.state, run.directory
    best = checkpoints.read(directory / "best.pt") if state.best_step else None
    if best is None and state.best_step:
        state.notes.append("the best checkpoint is damaged: the last weights were kept")
    network = run.network
    masters = run.masters
    chosen = best or last
    # Weights that are spread cannot be saved as PEFT's files: a plain network takes the whole ones.
    if last is not None:
        network = methods.adapted(source, run.options, run.encoder, seed=run.job.seed)
        masters = Masters(network, run.options)
    if chosen is not None:
        masters.publish(chosen)
    methods.save(network, directory, source=source, options=run.options)
    rows = list(chain.from_iterable(run.variants[0]))
    epochs = state.step / max(1, sum(1 for epoch, _ in run.plan if epoch == 0))
    report = {
        "method": run.options.method,
        "objective": run.options.objective,
        "rows": len(rows),
        "completion_tokens": sum(len(row.ids) - row.start for row in rows),
        "cut_prompts": sum(1 for row in rows if row.prompt_cut),
        "cut_answers": sum(1 for row in rows if row.answer_cut),
        "max_length": run.options.max_length,
        "shared_prefixes": run.shared,
        "epochs": epochs,
        "steps": state.step,
        "best_step": state.best_step,
        "learning_rate": run.masters.rate,
        "seconds": state.seconds,
        "setup_seconds": state.setup_seconds,
        "training_seconds": state.training_seconds,
        "fastest": state.fastest,
        "setup_cpu": run.setup_cpu,
        "cpu_share": run.cpu_share,
        "evaluation_seconds": state.evaluation_seconds,
        "evaluations": len(state.dev),
        "dev_items": state.items,
        "dtype": run.options.dtype,
        "effort": effort(
            planned=len(run.plan),
            losses=state.losses,
            epochs=epochs,
            stopped=stopped,
            dev=state.dev,
            seconds=run.spent(),
            needed=limits.needed(run),
            limit=run.options.limit,
        ),
        "euros": round(state.seconds / 3600 * run.options.euros_an_hour, 4),
        "tokens": state.row_tokens,
        "tokens_read": state.tokens,
        "tokens_per_second": state.row_tokens / max(1e-9, state.training_seconds),
        "peak_mib": peak_mib(),
        "peak_gpu_mib": devices.peak_mib(),
        "budget": state.budget,
        "processes": run.crew.size,
        "stopped": stopped,
        "loss": curves.averaged(state.losses, _POINTS),
        "dev": state.dev,
        "dev_loss": state.dev_loss,
        "general_loss": state.general_loss,
        "known_facts": state.known_facts,
        "probe": probe,
        "notes": state.notes,
        "trainable": sum(p.numel() for p in run.masters.live.values()),
    }
    curves.draw(directory, metric=run.job.metric)
    writing.write(directory / "training.json", json.dumps(report, indent=1))
    return report
