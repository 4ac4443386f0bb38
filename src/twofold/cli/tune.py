"""`twofold tune`: one arm's adapter trained, or the embedder, without a study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.cli import retrain, where
from twofold.cli.progress import duration
from twofold.cli.session import Run
from twofold.errors import ConfigError
from twofold.files.reading import counted
from twofold.hashing import plain
from twofold.reports.size_lines import size_lines
from twofold.reports.tuning_lines import methods_lines, runs_lines, tuned_lines
from twofold.verdict.effort import cure, shortfall, unfinished

if TYPE_CHECKING:
    from twofold.lifecycle.record import Reembedding
    from twofold.study.plan_record import TuningPlan


def tune(
    run: Run,
    *,
    what: Annotated[str, typer.Option("--what", metavar="WHAT", help="adapter or embedder.")] = "adapter",
    arm: Annotated[
        str, typer.Option("--arm", metavar="ARM", help="ft (closed-book) or ft+rag (open-book).")
    ] = "ft+rag",
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="MINUTES",
            min=0.01,
            help="Time limit of the training itself; dev answers and the forgetting gate come on top.",
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Train nothing: show work and minutes; with --size those of another model on GPUs. With "
            "--what embedder: show the training data. With --if-due: show the triggers.",
        ),
    ] = False,
    size: Annotated[
        str,
        typer.Option(
            "--size",
            metavar="SIZE",
            help="With --plan: the model to plan for, such as Llama-3.1-8B, or the path of a config.json.",
        ),
    ] = "",
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            "--gpu", metavar="GPU", help="With --size: H200, H100, A100, L4 or 4090. Repeatable; default all."
        ),
    ] = None,
    efficiency: Annotated[
        float,
        typer.Option(
            "--efficiency",
            metavar="SHARE",
            min=0,
            max=1,
            help="With --size: share of the GPU's peak that training reaches, as bench/gpu.py measures it.",
        ),
    ] = 0.0,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method", metavar="METHOD", help="Trainer to use. Repeatable: several trainers are compared on dev."
        ),
    ] = None,
    combine: Annotated[
        list[str] | None,
        typer.Option(
            "--combine",
            metavar="MODEL=WEIGHT",
            help="Combine tuned models by weight and measure the result, without training. Repeatable.",
        ),
    ] = None,
    all_documents: Annotated[
        bool,
        typer.Option(
            "--all-documents",
            help="After the verdict: learn from all documents, also those of test questions. No study uses this model.",
        ),
    ] = False,
    champion: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Retrain from the base on all examples, compare with this model (champion), promote if better.",
        ),
    ] = "",
    if_due: Annotated[
        bool, typer.Option("--if-due", help="Like --from champion, but only if a trigger of [retraining] is met.")
    ] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the arm's tuning job at the endpoint.")] = False,
    by: Annotated[
        str, typer.Option("--by", metavar="WHO", help="Name of the person who promotes, for the audit log.")
    ] = "",
    on: where.On = "",
) -> None:
    """Train an arm's adapter or the embedder on the train split, or reuse the existing result.

    An interrupted run resumes. Exit code 1: trained, but the forgetting gate failed it. Exit codes of --from and
    --if-due: 0 promoted, not due or nothing new; 1 trained and not promoted, or, with --plan, due.
    """
    run = where.placed(run, on)
    # Each of these three ends the command: cancelling, retraining, and the embedder are separate jobs.
    if cancel:
        retrain.cancel(run, arm=arm)
        return
    if champion or if_due:
        retrain.retrain(run, champion=champion or "champion", arm=arm, minutes=minutes, if_due=if_due, plan=plan, by=by)
        return
    if what == "embedder":
        _embedder(run, minutes, plan=plan)
        return
    if what != "adapter":
        raise ConfigError(f"unknown value --what {what!r}", cure="Choose --what adapter or --what embedder.")
    # Options win over twofold.toml for this call; None leaves what stands there.
    laid = {"tuning__trainer__options__minutes": minutes, "tuning__methods": method or None}
    if (gpu or efficiency) and not size:
        raise ConfigError("--gpu and --efficiency need --size", cure="Add --size, for example --size Llama-3.1-8B.")
    if size and not plan:
        raise ConfigError(
            "--size needs --plan", cure="Add --plan. To tune that model, set [tuning.trainer.options].model."
        )
    if plan:
        _require_known(size, gpu or ())
        with run.project(**laid) as project, run.progress() as progress:
            if size:
                sized = project.tuning.size_plan(size, arm=arm, gpus=gpu or (), efficiency=efficiency).to_json()
                run.result(plain(sized), "\n".join(size_lines(sized)))
                return
            bill = project.tuning.plan(arm=arm, all_documents=all_documents, measure=True, progress=progress)
        there = f"nothing to train: the adapter of {arm} is there, or [tuning].use names a model"
        run.result(plain(bill.to_json()), "\n".join(ahead(bill) or [there]))
        return
    weights = _weights(combine or [])
    with run.project(**laid) as project, run.progress() as progress:
        # Combining trains nothing, so there is no training to announce.
        if not weights:
            for line in ahead(
                project.tuning.plan(arm=arm, all_documents=all_documents, measure=True, progress=progress)
            ):
                run.note(line)
        done = project.tune(arm=arm, combine=weights, all_documents=all_documents, progress=progress)
        enforced = project.config.tuning.gate == "enforce"
    how = "was there already" if done.cached else f"trained in {duration(done.report['seconds'])}"
    lines = [f"adapter of {arm} {how}: {counted(done.report['steps'], 'step')}, best at {done.report['best_step']}"]
    lines += [*tuned_lines(done.report), *methods_lines(arm, done.report.get("methods", ()))]
    lines += runs_lines(arm, done.report.get("runs", ()))
    lines.append(f"tuned model {done.id}: {done.path}")
    run.result(plain(done.to_json()), "\n".join(lines))
    run.note(short_of(arm, done.report.get("effort")))
    if all_documents:
        run.note(
            f"the model learned from test questions' documents too: ask it by --model {done.id}; no study may use it"
        )
    gate = done.report["gate"]
    if enforced and gate and gate["failed"]:
        raise typer.Exit(1)


def _require_known(size: str, gpus: Sequence[str]) -> None:
    """Refuse a size or GPU that nobody knows before the project is opened and read."""
    from twofold.training import sizing

    if size:
        sizing.shape(size)
    for name in gpus:
        sizing.gpu(name)


def ahead(plan: TuningPlan) -> list[str]:
    """Estimate the time of tuning before it starts; empty if the adapter exists or [tuning].use names a model."""
    training = next((step for step in plan.steps if step["step"].startswith("tune ")), None)
    if training is None or training["cached"] == training["items"]:
        return []
    rest = ", ".join(f"{step['step']} {duration(step['seconds'])}" for step in plan.steps if step is not training)
    return [
        f"training: about {duration(training['seconds'])} ({training['detail']})",
        f"beside it: {rest}; in all about {duration(60 * plan.minutes)} ({plan.rates})",
        *(f"warning: {warning}" for warning in plan.warnings),
    ]


def short_of(arm: str, effort: dict[str, Any] | None) -> str:
    """A warning about a model that was not given its chance; empty where it was, or nothing is known."""
    if effort is None or not unfinished(effort):
        return ""
    needed = effort.get("minutes_needed")
    again = cure(arm, effort)
    if effort["stopped"] == "minutes" and needed:
        # A fifth more than the estimate, for a run that is a little slower than this one.
        cap = f"--minutes {math.ceil(1.2 * needed)}"
        again = f"Run again with {cap}, or without a cap: {arm} is then trained anew, from its first step."
    return f"warning: {shortfall(arm, effort)}: this model was not given its chance. {again}"


def _weights(pairs: list[str]) -> dict[str, float]:
    try:
        parts = [pair.rpartition("=") for pair in pairs]
        return {name: float(weight) for name, _, weight in parts}
    except ValueError as error:
        raise ConfigError(
            f"invalid weight: {error}", cure="Write MODEL=WEIGHT, for example champion=0.5; see `twofold models list`."
        ) from error


def _embedder(run: Run, minutes: float | None, *, plan: bool) -> None:
    with run.project(tuning__embedder__options__minutes=minutes) as project, run.progress() as progress:
        if plan:
            forecast = project.tuning.embedder_plan(progress=progress)
            text = (
                f"{counted(forecast['pairs'], 'question-passage pair')}; "
                f"{counted(forecast['dev_questions'], 'dev question')} in {counted(forecast['pool'], 'passage')}"
            )
            here = "; tuned already" if forecast["cached"] else ""
            run.result(plain(forecast), f"{text}{here}\nafterwards {_price(forecast['reembed'])}")
            return
        tuned = project.tuning.embedder(progress=progress)
    report = tuned.report
    how = "was there already" if tuned.cached else f"tuned in {duration(report['seconds'])}"
    lines = [
        f"embedder {how}: {counted(report['steps'], 'step')}, best at {report['best_step']}",
        f"nDCG@10 on dev: {report['tuned']:.3f} (stock {report['stock']:.3f}), "
        f"{counted(report['dev_questions'], 'question')}",
    ]
    if report["best_step"]:
        variant = f"tuned:retrieval.embedder.options.model={tuned.setting}"
        lines += [
            f"to compare on new questions: twofold bench retrieval --split test --variant {variant}",
            f'to use it: model = "{tuned.setting}" in [retrieval.embedder.options], then twofold sync --rebuild',
            _price(tuned.reembed),
        ]
    else:
        lines.append("no checkpoint beat the stock model on dev: keep the stock model")
    run.result(plain(tuned.to_json()), "\n".join(lines))


def _price(again: Reembedding) -> str:
    return f"embedding {counted(again['chunks'], 'chunk')} again takes about {duration(again['seconds'])}"
