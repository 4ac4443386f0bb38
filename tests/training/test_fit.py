"""The loop: exact where it is clever, resumable, and loud when nothing is learned."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from twofold.errors import DiskFull, NothingToLearn, TrainingError
from twofold.host import children
from twofold.plugins import loading
from twofold.plugins.jobs import TrainerJob
from twofold.reports.tuning_lines import tuned_lines
from twofold.training.encoding import Encoder
from twofold.training.options import KINDS, LoraOptions
from twofold.training.packing import TrainingRow, pack
from twofold.training.trainers import LoraTrainer
from twofold.training.worker import checkpoints

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

OPTIONS = LoraOptions(
    rank=8,
    alpha=64,
    epochs=6,
    batch=4,
    learning_rate=5e-2,
    evaluations=2,
    dtype="f32",
    checkpoint_seconds=0,
    patience=9,
)


def quiet(_stage: str, _done: int, _total: int) -> None:
    pass


def trained_weights(directory: Path) -> dict[str, Any]:
    return load_file(directory / "adapter_model.safetensors")


def awake(tiny: Path, **changes: Any) -> Any:
    """A network whose adapter does something."""
    from twofold.training.worker.methods import adapted

    network = adapted(tiny, OPTIONS.model_copy(update=changes), Encoder(tiny), seed=1)
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return network


def rows_on_one_passage() -> list[TrainingRow]:
    passage = list(range(100, 190))
    return [TrainingRow(ids=(*passage, 5, 6 + n, 7, 8 + n, 9, 2), start=93) for n in range(3)]


def test_reading_a_shared_passage_once_gives_the_same_loss_and_gradients(tiny: Path) -> None:
    from twofold.training.worker.network import loss_of

    network, rows = awake(tiny), rows_on_one_passage()
    apart = sum(loss_of(network, [pack([row])]) for row in rows)
    apart.backward()
    alone = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    together = loss_of(network, [pack(rows)])
    together.backward()
    assert together.item() == pytest.approx(apart.item(), rel=1e-5)
    assert len(pack(rows).ids) < sum(len(row.ids) for row in rows) / 2
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            scale = float(alone[name].abs().max())
            assert torch.allclose(parameter.grad, alone[name], rtol=1e-3, atol=1e-3 * scale), name


def test_the_loss_is_that_of_the_completion_tokens_only(tiny: Path) -> None:
    from twofold.training.worker.network import loss_of

    network, row = awake(tiny), rows_on_one_passage()[0]
    ids = torch.tensor([row.ids])
    with torch.no_grad():
        logits = network(input_ids=ids).logits[0].float()
        expected = torch.nn.functional.cross_entropy(logits[row.start - 1 : -1], ids[0, row.start :], reduction="sum")
        assert float(loss_of(network, [pack([row])])) == pytest.approx(float(expected), rel=1e-5)


def test_the_fused_layer_is_pefts_layer(tiny: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    network = awake(tiny)
    ids = torch.arange(50, 90)[None]
    with torch.no_grad():
        mine = network(input_ids=ids).logits
        folder = tiny.parent / "adapter"
        network.save_pretrained(folder)
        plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32), folder)
        assert torch.allclose(plain(input_ids=ids).logits, mine, atol=1e-4)


def test_padding_changes_nothing(tiny: Path) -> None:
    from twofold.training.worker.network import loss_of

    network = awake(tiny)
    short, long = TrainingRow(ids=(7, 8, 9, 10, 2), start=3), TrainingRow(ids=tuple(range(20, 60)), start=30)
    with torch.no_grad():
        apart = float(loss_of(network, [pack([short])]) + loss_of(network, [pack([long])]))
        assert float(loss_of(network, [pack([short]), pack([long])])) == pytest.approx(apart, rel=1e-5)


def test_a_run_learns_and_reports(job: TrainerJob, tmp_path: Path) -> None:
    from twofold.training.worker.loop import fit

    report = fit(job, OPTIONS, tmp_path, progress=quiet)
    assert report["loss"][-1][1] < 0.9 * report["loss"][0][1]
    assert report["steps"] == 18
    assert len(report["dev"]) == 2
    assert report["tokens"] >= report["tokens_read"] > 0
    assert (tmp_path / "adapter_config.json").is_file()


@pytest.mark.usefixtures("started_children")
def test_files_of_the_working_directory_are_no_modules(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own ``random.py`` beside the project must not become the child's `random`."""
    for name in ("random", "tty", "twofold"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    monkeypatch.chdir(tmp_path)
    assert LoraTrainer(OPTIONS).train(job, tmp_path / "made")["steps"] > 0


def test_an_interrupted_run_ends_with_the_very_same_weights(job: TrainerJob, tmp_path: Path) -> None:
    from twofold.training.worker.loop import fit

    class Stop(Exception):
        pass

    def stop_at_seven(stage: str, done: int, _total: int) -> None:
        if stage == "train" and done == 7:
            raise Stop

    fit(job, OPTIONS, tmp_path / "whole", progress=quiet) if (tmp_path / "whole").mkdir() is None else None
    (tmp_path / "cut").mkdir()
    with pytest.raises(Stop):
        fit(job, OPTIONS, tmp_path / "cut", progress=stop_at_seven)
    resumed: list[int] = []
    fit(job, OPTIONS, tmp_path / "cut", progress=lambda s, d, t: resumed.append(d) if s == "train" else None)
    assert resumed[:2] == [6, 7]
    whole, cut = trained_weights(tmp_path / "whole"), trained_weights(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_a_loss_that_does_not_move_is_no_chance(job: TrainerJob, tmp_path: Path) -> None:
    from twofold.training.worker.loop import fit

    report = fit(job, OPTIONS.model_copy(update={"learning_rate": 1e-9}), tmp_path, progress=quiet)
    assert report["effort"]["stopped"] == "plan"
    assert not report["effort"]["moved"]
    assert not report["effort"]["chance"]


def test_a_long_run_that_learned_early_moved_and_a_flat_one_did_not() -> None:
    from twofold.training.schedule import moved

    assert moved([11.6 - 0.2 * min(step, 20) for step in range(2000)])
    assert moved([3.0 - 0.001 * step for step in range(100)])
    assert not moved([7.0 + 0.3 * (step % 2) for step in range(2000)])
    assert not moved([3.0 + 0.001 * step for step in range(100)])
    assert not moved([])
    assert not moved([1.0]), "one step shows nothing"
    assert moved([2.0, 1.5])
    assert not moved([2.0, 2.1, 2.05])


@contextlib.contextmanager
def in_this_process(_module: str, arguments: Sequence[str], **_: Any) -> Iterator[Any]:
    """Stands for `children.running`: the child's work is done here, and what it wrote and its status come back."""
    from twofold.training.worker.main import main

    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = main(Path(arguments[-1]))
    yield SimpleNamespace(stdout=out.getvalue().splitlines(), wait=lambda: status)


def test_a_row_without_completion_is_an_error_naming_the_example(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That such an error comes out of a real child is tested with the embedder's."""
    monkeypatch.setattr(children, "running", in_this_process)
    rows = (job.rows[0][0].__class__(messages=job.rows[0][0].messages, completion=" ", example="bad"),)
    with pytest.raises(NothingToLearn, match="bad"):
        LoraTrainer(OPTIONS).train(job.model_copy(update={"rows": (rows,)}), tmp_path)


def test_a_full_disk_is_told_though_it_takes_no_line_of_it(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twofold.training.worker import loop

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(children, "running", in_this_process)
    monkeypatch.setattr(loop, "fit", full)
    monkeypatch.setattr("sys.stderr", SimpleNamespace(write=full, flush=lambda: None))
    with pytest.raises(DiskFull, match="training cannot write its files") as caught:
        LoraTrainer(OPTIONS).train(job, tmp_path)
    assert "Free disk space" in caught.value.cure


RATES = {"lora": 5e-2, "qlora": 5e-2, "full": 1e-2, "adapter": 5e-2, "prompt": 0.3, "prefix": 0.3, "ia3": 0.1}


SPREAD = {"processes": 2, "shard": True, "threads": 2}
KILLED = [pytest.param(m, {}, marks=[pytest.mark.slow] * (m != "lora"), id=m) for m in KINDS]
KILLED += [pytest.param(m, SPREAD, marks=pytest.mark.slow, id=f"{m}-spread") for m in ("lora", "full")]


@pytest.mark.parametrize(("method", "more"), KILLED)
def test_a_killed_child_is_an_error_and_the_rerun_ends_with_the_same_weights(
    method: str, more: dict[str, object], job: TrainerJob, tmp_path: Path
) -> None:
    from twofold.training.worker.loop import fit

    cut, steps = tmp_path / "cut", []
    changes = {"epochs": 20, "batch": 4, "dtype": "f32", "checkpoint_seconds": 0, "patience": 9, "evaluations": 2}
    trainer = loading.make("trainers", method, {**changes, **more, "learning_rate": RATES[method]})

    def watch(stage: str, done: int, _total: int) -> None:
        if stage == "train" and done == 5:
            kill_child()

    def kill_child() -> None:
        for pid in (p for p in os.listdir("/proc") if p.isdigit()):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/2") == str(cut / "train.log"):
                    os.kill(int(pid), signal.SIGKILL)

    with pytest.raises(TrainingError, match="killed"):
        trainer.train(job, cut, progress=watch)
    assert any((cut / name).is_file() for name in (checkpoints.NAME, checkpoints.EARLIER))
    report = trainer.train(job, cut, progress=lambda s, d, t: steps.append(d) if s == "train" else None)
    assert steps[0] >= 4
    assert report["stopped"] in {"patience", "plan"}
    assert not (cut / checkpoints.NAME).exists()
    if more:
        trainer.train(job, tmp_path / "whole", progress=quiet)
    else:  # what a child does, without its start
        (tmp_path / "whole").mkdir()
        fit(job, trainer.options, tmp_path / "whole", progress=quiet)
    name = "model/model.safetensors" if method == "full" else "adapter_model.safetensors"
    one, other = load_file(cut / name), load_file(tmp_path / "whole" / name)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_run_killed_after_patience_ended_it_takes_no_further_step(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twofold.training.worker import loop, scoring

    # Nothing improves: patience ends the run at its second evaluation.
    monkeypatch.setattr(scoring, "task_scores", lambda *_, **__: [0.5])
    monkeypatch.setattr(scoring, "mean_loss", lambda *_, **__: 1.0)
    options = OPTIONS.model_copy(update={"evaluations": 6, "patience": 1})
    finish = loop._finish
    stops: list[str] = []

    def killed(run: object, *_: object, stopped: str, **__: object) -> None:
        stops.append(stopped)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_finish", killed)
    with pytest.raises(KeyboardInterrupt):
        loop.fit(job, options, tmp_path, progress=quiet)
    monkeypatch.setattr(loop, "_finish", finish)
    steps: list[int] = []
    report = loop.fit(job, options, tmp_path, progress=lambda s, d, t: steps.append(d) if s == "train" else None)
    assert stops == [report["stopped"]] == ["patience"]
    assert steps == [report["steps"]], "the state of before is shown, and no step is taken"


def test_money_is_a_limit_of_time_and_needs_its_price() -> None:
    bought = {"euros": 0.5, "euros_an_hour": 2.0}
    assert LoraOptions(**bought).limit == 15.0
    assert LoraOptions(**bought, minutes=10).limit == 10.0
    assert LoraOptions(minutes=20).limit == 20.0
    assert LoraOptions().limit == 0.0
    with pytest.raises(ValidationError, match="euros_an_hour"):
        LoraOptions(euros=1.0)


def test_long_rows_are_cut_and_counted_but_always_teach_something(tiny: Path) -> None:
    from twofold.training.encoding import Encoder
    from twofold.types import Message, Pair

    encoder = Encoder(tiny)
    for words, said in ((2, 3), (500, 3), (2, 500), (500, 500)):
        pair = Pair(messages=(Message(role="user", content="word " * words),), completion="said " * said)
        row = encoder.row(pair, 64)
        assert len(row.ids) <= 64
        assert row.start < len(row.ids)
        assert (row.prompt_cut, row.answer_cut) == (words == 500, said == 500)
    assert 24 < row.start <= 48, "at least a quarter of the row is completion"


def test_the_report_counts_the_rows_that_were_cut(job: TrainerJob, tmp_path: Path) -> None:
    from twofold.training.worker.loop import fit

    longest = replace(job.rows[0][0], completion="said " * 200)
    asked = job.rows[0][1].messages
    long = replace(job.rows[0][1], messages=(*asked[:-1], replace(asked[-1], content="word " * 300 + "?")))
    cut = job.model_copy(update={"rows": ((longest, long, *job.rows[0][2:]),)})
    options = OPTIONS.model_copy(update={"epochs": 1, "max_length": 160})
    report = fit(cut, options, tmp_path, progress=quiet)
    assert (report["rows"], report["cut_answers"], report["cut_prompts"]) == (12, 1, 1)
    assert report["max_length"] == 160
    answers, prompts = tuned_lines(report)
    assert answers.startswith("warning: 1 of 12 training answers did not fit into max_length = 160 and lost their end")
    assert prompts.startswith("warning: 1 of 12 training prompts did not fit")


def test_too_little_time_shortens_the_plan_so_that_the_learning_rate_still_decays(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slow_machine import SlowMachine

    from twofold.training.schedule import affordable
    from twofold.training.worker.loop import fit

    assert affordable(4, 100, each=2.0, left=40.0) == 4 + 20
    assert affordable(4, 10, each=2.0, left=40.0) == 10
    assert affordable(4, 100, each=2.0, left=-2.0) == 4
    SlowMachine(1e-4).install(monkeypatch.setattr)
    long = OPTIONS.model_copy(update={"epochs": 1000, "minutes": 0.15})
    report = fit(job, long, tmp_path, progress=quiet)
    assert report["stopped"] in {"minutes", "patience"}
    assert report["effort"]["planned"] > report["effort"]["steps"] > 0


@pytest.mark.parametrize(("seconds_a_token", "minutes"), [(4e-4, 0.1), (3e-3, 0.2), (0.05, 2.0)])
def test_a_limit_holds_on_a_slow_machine_evaluations_included(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds_a_token: float, minutes: float
) -> None:
    """Evaluations included, to a tenth: also where a micro-batch takes seconds."""
    from slow_machine import SlowMachine

    from twofold.training.worker.loop import fit

    machine = SlowMachine(seconds_a_token)
    machine.install(monkeypatch.setattr)
    options = OPTIONS.model_copy(update={"epochs": 1000, "minutes": minutes, "memory_gib": 2.0})
    report = fit(job, options, tmp_path, progress=quiet)
    assert machine.now < 66 * minutes
    effort = report["effort"]
    assert effort["stopped"] == "minutes"
    assert not effort["chance"]
    assert effort["minutes_needed"] > minutes
    assert report["evaluation_seconds"] <= 0.15 * 60 * minutes


def test_evaluations_follow_from_the_room_for_them() -> None:
    from twofold.training.schedule import evaluations_within, marks

    assert evaluations_within(1000, each=1, most=4, items=40) == (4, 40)
    assert evaluations_within(80, each=1, most=4, items=40) == (4, 20)
    assert evaluations_within(20, each=1, most=4, items=40) == (2, 10)
    assert evaluations_within(5, each=1, most=4, items=40) == (1, 5)
    assert evaluations_within(0.5, each=1, most=4, items=40) == (1, 0)
    assert evaluations_within(100, each=1, most=4, items=0) == (4, 0)
    assert marks(60, 4) == {15, 30, 45, 60}
    assert marks(2, 4) == {1, 2}


def test_patience_can_end_a_run_at_the_defaults() -> None:
    defaults = LoraOptions()
    assert defaults.patience < defaults.evaluations - 1


def test_an_earlier_checkpoint_must_be_ahead_by_more_than_chance() -> None:
    from twofold.training.worker.scoring import keeps_up

    assert keeps_up([0.5, 0.4], [])
    assert keeps_up([1.0, 0.0, 0.5, 0.5], [0.0, 1.0, 0.5, 0.7])
    assert not keeps_up([0.1, 0.2, 0.1, 0.2], [0.6, 0.7, 0.5, 0.8])


def test_what_was_not_finished_was_not_given_its_chance() -> None:
    from twofold.training.schedule import effort

    falling = [3.0 - 0.1 * n for n in range(20)]
    given = {"planned": 20, "epochs": 2.0, "dev": [(10, 0.2), (20, 0.4)], "seconds": 60.0, "needed": 60.0, "limit": 0.0}
    whole = effort(losses=falling, stopped="plan", **given)
    assert (whole["chance"], whole["rising"], whole["dev_first"], whole["dev_best"]) == (True, True, 0.2, 0.4)
    assert effort(losses=falling[:18], stopped="minutes", **given)["chance"]
    assert not effort(losses=falling[:17], stopped="minutes", **given)["chance"]
    assert effort(losses=falling[:17], stopped="patience", **given)["chance"]
    assert not effort(losses=[3.0] * 20, stopped="plan", **given)["chance"]


def test_attention_by_matrix_products_is_about_as_exact_as_the_kernel(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It replaces torch's kernel in bf16: scores are rounded once more, which this model's sharp attention shows most.

    On the embedded model both are equally far from f32 (4.7 and 4.6 % of the gradient; see docs/notebook.md).
    """
    from twofold.training.worker import network

    packs, calls, plain = [pack(rows_on_one_passage())], [0], torch.softmax

    def counted(*given: Any, **more: Any) -> Any:
        calls[0] += 1
        return plain(*given, **more)

    def gradients(dtype: str, longest: int) -> tuple[Any, int]:
        monkeypatch.setattr(network, "_KEPT_SCORES", longest)
        model, before = awake(tiny, dtype=dtype), calls[0]
        network.token_losses(model, packs).sum().backward()
        grads = [p.grad.float().flatten() for p in model.parameters() if p.grad is not None]
        return torch.cat(grads), calls[0] - before

    monkeypatch.setattr(torch, "softmax", counted)
    exact, none = gradients("f32", 1024)
    products, some = gradients("bf16", 1024)
    kernel, never = gradients("bf16", 0)
    assert (none, never) == (0, 0)
    assert some > 0
    assert 0 < (products - exact).norm() < 3 * (kernel - exact).norm()


def test_a_resumed_run_keeps_to_the_limit_of_the_whole(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it spent before it was interrupted counts, though the usual pause between checkpoints is a minute."""
    from slow_machine import SlowMachine

    from twofold.training.worker.loop import fit

    machine = SlowMachine(1e-3)
    machine.install(monkeypatch.setattr)
    options = OPTIONS.model_copy(update={"epochs": 1000, "minutes": 0.2, "checkpoint_seconds": 60.0})

    def cut(stage: str, _done: int, _total: int) -> None:
        if stage == "train" and machine.now > 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(job, options, tmp_path, progress=cut)
    again = machine.now
    report = fit(job, options, tmp_path, progress=quiet)
    assert machine.now - again < 0.2 * 66 - 3, "the seconds before the interruption are not given twice"
    assert report["seconds"] == pytest.approx(report["effort"]["minutes"] * 60, abs=1.0)
