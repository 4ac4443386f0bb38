"""A rehearsal of some seconds with the real parts, for a machine on which a model has never worked: its first pace.

Answers are made by the configured generator and steps by the configured trainer in its child process, on a fixed small
job. What they take is kept (see `pace`), so that it is paid once a machine, model and set of options. Beside other work
on the same cores the processor's time counts instead of the clock's, the figures are kept as such, and measured anew
once the machine is idle.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twofold import prompts
from twofold.answering.system import question
from twofold.errors import GenerationError
from twofold.host import capabilities, pace
from twofold.plugins import loading as plugin_loading
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import Embedder, Generator, Progress, quiet
from twofold.plugins.traits import TrainerSettings
from twofold.settings.sections import Part
from twofold.training import reckoning
from twofold.training.options import FitOptions
from twofold.types import Answer, Arm, DevItem, Json, Message, Pair, Prompt

T = TypeVar("T")

STAGE = "measuring this machine"
"""Followed by what is measured."""
_NEW = 16
"""Tokens that each answer may have."""
_BATCH = 4
"""Training rows of a step."""
_ITEMS = 10
"""Dev items of the evaluation: of two, most of the time is what one batch takes whatever its size."""
_SHAPES = {"plain": (24, 0, 0), "shots": (12, 3, 0), "passages": (16, 0, 4)}
"""Prompt shape → prompts of the batch, sentences that all share, sentences of each."""
_SINGLE = 4
"""Questions asked one at a time, of each shape of prompt."""
_COMPUTES = 0.1
"""Least share of the clock's time that work computes for on a busy machine; below it, it waits for something else."""
_TEXT = (
    "Plot {n} was irrigated every {n} days. Sandy soil holds little water, so that a crop on it shows stress sooner "
    "than one on loam or clay; the extension office advises to check the top {n} cm by hand, to water in the early "
    "morning, and to mulch between the rows with straw or leaves. Beans and maize on plot {n} need water at flowering."
)
# An arm that sends prompts of each shape (see `pace.shape`).
_ARMS = {"plain": Arm(name="base"), "shots": Arm(name="prompt", shots=1), "passages": Arm(name="rag", retrieval=True)}
# A short run whatever the project's options are, without caps, probes or other objectives.
_TRAINED = {"epochs": 1.0, "batch": _BATCH, "evaluations": 1, "dev_items": _ITEMS, "minutes": 0.0, "euros": 0.0}
_PLAIN = {"probe": False, "replay": 0.0, "objective": "supervised"}


def answers(part: Part, *, progress: Progress = quiet) -> Json:
    """Measure a generator that runs here: loading, answers in batches and one at a time, of each shape of prompt.

    Returns:
        ``dtype``, ``loading_seconds``, and of the prompts with passages ``prompt_tokens_per_second``,
        ``completion_tokens_per_second`` and ``seconds``.

    Raises:
        GenerationError: a prompt was not answered.
        TwofoldError: the generator cannot work, for example because its model is not pulled.
    """
    generator: Generator = plugin_loading.make("generators", part.name, part.options)
    subject = pace.answering(generator.description)
    stage = f"{STAGE}: answers"
    total = 1 + len(_SHAPES)
    report = {"dtype": generator.description.get("dtype", "")}
    progress(stage, 0, total)
    try:
        busy = capabilities.crowded()
        # Its first answer: models are loaded when they are first asked.
        report["loading_seconds"] = _generated(generator, [_prompt("plain", 1000)], busy=busy, cores=1)[1]
        pace.keep(subject, {"load": report["loading_seconds"]}, kind="busy" if busy else "brief")
        progress(stage, 1, total)
        for done, (name, (count, _, _)) in enumerate(_SHAPES.items(), 2):
            busy = busy or capabilities.crowded()
            batch, seconds = _generated(generator, [_prompt(name, n) for n in range(count)], busy=busy)
            paces = pace.of_answers(_ARMS[name], batch, seconds, max_tokens=_NEW, single=False)
            report |= {
                "prompt_tokens_per_second": sum(one.usage.prompt_tokens for one in batch) / seconds,
                "completion_tokens_per_second": sum(one.usage.completion_tokens for one in batch) / seconds,
                "seconds": seconds,
            }
            spent = 0.0
            alone = list[Answer]()
            for n in range(count, count + _SINGLE):
                single, seconds = _generated(generator, [_prompt(name, n)], busy=busy)
                alone += single
                spent += seconds
            paces |= pace.of_answers(_ARMS[name], alone, spent, max_tokens=_NEW, single=True)
            # How much a model writes of its limit is nothing that made-up questions can tell.
            paces = {kind: value for kind, value in paces.items() if not kind.startswith("written")}
            pace.keep(subject, paces, kind="busy" if busy else "brief")
            progress(stage, done, total)
    finally:
        generator.close()
    return report


def training(part: Part, model: str, *, progress: Progress = quiet) -> Json:
    """Measure a trainer: a few steps and an evaluation in its child process; the trainer keeps their pace itself.

    Args:
        part: Trainer and options.
        model: Base model, where the options name none.
        progress: Told of the start and the end.

    Returns:
        ``dtype``, ``tokens_per_second`` of the rows, ``tokens`` and ``seconds``.

    Raises:
        TwofoldError: the trainer cannot work here.
    """
    known = plugin_loading.find("trainers", part.name).Options.model_fields
    small = {name: value for name, value in (_TRAINED | _PLAIN).items() if name in known}
    usual: Any = plugin_loading.options("trainers", part.name, part.options)
    # Beside other work threads wait for each other at every turn: one thread tells what all would take alone.
    singly = isinstance(usual, FitOptions) and not usual.threads and usual.processes == 1 and capabilities.crowded()
    trainer = plugin_loading.make(
        "trainers", part.name, {**part.options, **small, **({"threads": 1} if singly else {})}
    )
    template = prompts.Template()
    rows = tuple(
        Pair(messages=_prompt("passages", n, sentences=2).messages, completion=f"Every {n} days.", example=f"row-{n}")
        for n in range(reckoning.BRIEF_STEPS * _BATCH)
    )
    dev_prompts = [_prompt("passages", n) for n in range(100, 100 + _ITEMS)]
    dev = tuple(DevItem(prompt=prompt, example=question(f"Plot {n}?")) for n, prompt in enumerate(dev_prompts, 100))
    job = TrainerJob(rows=(rows,), dev=dev, metric="token_f1", model=model, template=template)
    stage = f"{STAGE}: training ({part.name})"
    progress(stage, 0, 1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        report = trainer.train(job, Path(scratch))
    if singly:
        seen = pace.paces(reckoning.subject(model, trainer.options))
        cores = capabilities.cores()
        # One thread's seconds shared among all cores, as if these were free; kept as measured while busy.
        shared: dict[str, float] = {kind: seen[kind] / cores for kind in ("token", "evaluation") if kind in seen}
        pace.keep(reckoning.subject(model, usual), {**seen, **shared}, kind="busy")
        report["tokens_per_second"] *= cores
    progress(stage, 1, 1)
    return {
        "dtype": TrainerSettings.of(trainer.options).dtype,
        **{name: report.get(name, 0.0) for name in ("tokens_per_second", "tokens")},
        "seconds": time.monotonic() - began,
    }


def embedding(embedder: Embedder, *, progress: Progress = quiet) -> Json:
    """Measure an embedder on passages of some sixty words: ``{chunks_per_second, chunks, seconds}``."""
    texts = [_TEXT.format(n=n) for n in range(32)]
    stage = f"{STAGE}: embedding"
    progress(stage, 0, 1)
    busy = capabilities.crowded()
    _, loading = _timed(lambda: embedder.embed(texts[:2]), busy=busy, cores=1)
    _, spent = _timed(lambda: embedder.embed(texts), busy=busy)
    measured = {"load": loading, "chunk": spent / len(texts)}
    pace.keep(pace.embedding(embedder.fingerprint), measured, kind="busy" if busy else "brief")
    progress(stage, 1, 1)
    return {"chunks_per_second": len(texts) / spent, "chunks": len(texts), "seconds": spent}


def _timed(work: Callable[[], T], *, busy: bool, cores: int = 0) -> tuple[T, float]:
    """The result of `work` and its seconds; on a busy machine those that so many cores (0: all) would take if free.

    Work that hardly computes here waits for something else, such as a server: the clock's seconds are its own.
    """
    began = time.perf_counter()
    used = time.process_time()
    output = work()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    computes = used >= _COMPUTES * seconds
    return output, min(seconds, used / (cores or capabilities.cores())) if busy and computes else seconds


def _generated(
    generator: Generator, batch: Sequence[Prompt], *, busy: bool, cores: int = 0
) -> tuple[list[Answer], float]:
    completions, seconds = _timed(lambda: generator.generate(batch), busy=busy, cores=cores)
    fault = next((one.failure for one in completions if one.failure is not None), None)
    if fault is not None:
        raise GenerationError(f"a prompt for measuring the machine was not answered: {fault.message}")
    return [Answer(text=one.text, usage=one.usage, failure=one.failure) for one in completions], seconds


def _prompt(name: str, number: int, *, sentences: int | None = None) -> Prompt:
    _, shared, each = _SHAPES[name]
    each = each if sentences is None else sentences
    places = [*range(shared), *(number + 7 * place for place in range(each))]
    passages = "\n".join(f"[{place}] {_TEXT.format(n=n)}" for place, n in enumerate(places, 1))
    text = f"{passages}\n\nQuestion: How often was plot {number} irrigated?".strip()
    return Prompt(messages=(Message(role="user", content=text),), max_tokens=_NEW)
