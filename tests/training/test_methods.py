"""Every method by one loop: exact where it is clever, the same after loading, served, resumable."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import ModelError, NothingToLearn, TrainingError
from twofold.generation.runtimes.contract import Request
from twofold.models import adapter_layers
from twofold.plugins.jobs import TrainerJob
from twofold.training.encoding import Encoder
from twofold.training.options import KINDS, FitOptions
from twofold.training.packing import TrainingRow, pack
from twofold.types import Adapter, Message, Pair

torch = pytest.importorskip("torch")

QUICK: dict[str, Any] = {
    "epochs": 4,
    "batch": 4,
    "evaluations": 2,
    "dtype": "f32",
    "checkpoint_seconds": 0,
    "patience": 9,
}
VARIED = [
    ("lora", {"rank": 8, "alpha": 64, "learning_rate": 5e-2}),
    ("lora", {"rank": 8, "alpha": 8, "rslora": True, "learning_rate": 5e-2}),
    ("lora", {"rank": 8, "alpha": 64, "dora": True, "learning_rate": 5e-2}),
    ("qlora", {"rank": 8, "alpha": 64, "learning_rate": 5e-2}),
    ("full", {"learning_rate": 1e-2}),
    ("adapter", {"width": 16, "learning_rate": 5e-2}),
    ("adapter", {"width": 16, "placement": "houlsby", "learning_rate": 5e-2}),
    ("prompt", {"tokens": 6, "learning_rate": 0.3}),
    ("prefix", {"tokens": 6, "learning_rate": 0.3}),
    ("ia3", {"learning_rate": 0.1}),
]
NAMES = [
    f"{name}-{'-'.join(k for k in more if k in ('rslora', 'dora', 'placement'))}".strip("-") for name, more in VARIED
]
each_method = pytest.mark.parametrize(("method", "more"), VARIED, ids=NAMES)


def quiet(_stage: str, _done: int, _total: int) -> None:
    pass


def options_of(method: str, more: dict[str, Any] | None = None, **changes: Any) -> FitOptions:
    return KINDS[method].model_validate({**QUICK, **(more or {}), **changes})


def awake(tiny: Path, options: FitOptions) -> Any:
    """A network in which everything that is learned does something."""
    from twofold.training.worker.methods import adapted

    network = adapted(tiny, options, Encoder(tiny), seed=1)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return network.eval()


def fronted(network: Any, ids: list[int]) -> Any:
    from twofold.training.worker.network import plain_of

    return torch.tensor([[0] * adapter_layers.virtual(plain_of(network)) + ids])


@each_method
def test_what_is_loaded_again_gives_the_very_same_logits(
    tiny: Path, tmp_path: Path, method: str, more: dict[str, Any]
) -> None:
    from twofold.training.worker.methods import save

    options = options_of(method, more)
    network = awake(tiny, options)
    ids = fronted(network, list(range(50, 90)))
    with torch.no_grad():
        before = network(input_ids=ids).logits
        save(network, tmp_path, source=tiny, options=options)
        again = adapter_layers.open_tuned(tiny, tmp_path, dtype="f32").eval()
        plain = adapter_layers.open_model(tiny, dtype="f32").eval()
        assert torch.allclose(again(input_ids=ids).logits, before, atol=1e-5)
        assert not torch.allclose(plain(input_ids=ids).logits, before, atol=1e-2), "it changes nothing"


@each_method
def test_shared_passages_and_padding_are_exact(tiny: Path, method: str, more: dict[str, Any]) -> None:
    from twofold.training.worker.network import loss_of, plain_of, why_apart

    network = awake(tiny, options_of(method, more))
    front = (0,) * adapter_layers.virtual(plain_of(network))
    passage = tuple(range(100, 190))
    rows = [TrainingRow(ids=(*front, *passage, 5, 6 + n, 7, 8 + n, 9, 2), start=93 + len(front)) for n in range(3)]
    short = TrainingRow(ids=(*front, 7, 8, 9, 10, 2), start=3 + len(front))
    assert why_apart(network, 200) == ""

    def gradients(*parts: list[Any]) -> tuple[float, dict[str, Any]]:
        network.zero_grad()
        losses = [loss_of(network, packs) for packs in parts]
        sum(losses).backward()
        return sum(float(x) for x in losses), {
            n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None
        }

    apart, alone = gradients(*([pack([row])] for row in (*rows, short)))
    together, shared = gradients([pack(rows), pack([short])])
    assert together == pytest.approx(apart, rel=1e-5)
    assert alone.keys() == shared.keys()
    for name, gradient in alone.items():
        assert torch.allclose(shared[name], gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max())), name


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_virtual_tokens_begin_as_the_text_they_stand_for_and_pad_exactly(tiny: Path, method: str) -> None:
    from twofold.training.worker.methods import adapted

    options, encoder = options_of(method, {"tokens": 5, "text": "This is the way to"}), Encoder(tiny)
    network = adapted(tiny, options, encoder, seed=1).eval()
    plain = adapter_layers.open_model(tiny, dtype="f32").eval()
    words = encoder.tokenizer.encode("This is the way to", add_special_tokens=False).ids
    assert len(words) == 5
    short, long = [60, 61, 62], list(range(70, 80))
    with torch.no_grad():
        for ids in (short, long):
            given = network(input_ids=fronted(network, ids)).logits[0, 5:]
            assert torch.allclose(given, plain(input_ids=torch.tensor([[*words, *ids]])).logits[0, 5:], atol=1e-4)
        batch = torch.tensor([[0] * 5 + [2] * 7 + short, [0] * 5 + long])
        mask = torch.tensor([[1] * 5 + [0] * 7 + [1] * 3, [1] * 15])
        made = network.generate(
            input_ids=batch, attention_mask=mask, max_new_tokens=6, do_sample=False, eos_token_id=-1
        )
        for row, ids in zip(made, (short, long), strict=True):
            given = torch.tensor([[*words, *ids]])
            alone = plain.generate(input_ids=given, max_new_tokens=6, do_sample=False, eos_token_id=-1)
            assert row[15:].tolist() == alone[0, 5 + len(ids) :].tolist()


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_peft_alone_reads_our_virtual_tokens(tiny: Path, tmp_path: Path, method: str) -> None:
    from peft import PeftModel

    from twofold.training.worker.methods import save

    options = options_of(method, {"tokens": 5})
    network = awake(tiny, options)
    save(network, tmp_path, source=tiny, options=options)
    theirs = PeftModel.from_pretrained(adapter_layers.open_model(tiny, dtype="f32"), str(tmp_path)).eval()
    ids = list(range(50, 70))
    with torch.no_grad():
        given = theirs(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, 20, dtype=torch.long)).logits
        assert torch.allclose(network(input_ids=fronted(network, ids)).logits[0, 5:], given[0, -20:], atol=1e-4)


RESUMED = [
    pytest.param(*case, id=name, marks=[pytest.mark.slow] if "dora" in name else [])
    for case, name in zip(VARIED[2:], NAMES[2:], strict=True)
]


@pytest.mark.parametrize(("method", "more"), RESUMED)
def test_a_run_learns_and_an_interrupted_one_ends_the_same(
    job: TrainerJob, tmp_path: Path, method: str, more: dict[str, Any]
) -> None:
    from safetensors.torch import load_file

    from twofold.training.worker.loop import fit

    class Stop(Exception):
        pass

    def stop_at_seven(stage: str, done: int, _total: int) -> None:
        if stage == "train" and done == 7:
            raise Stop

    options = options_of(method, more)
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    report = fit(job, options, tmp_path / "whole", progress=quiet)
    assert report["loss"][-1][1] < 0.97 * report["loss"][0][1]
    assert report["method"] == method
    with pytest.raises(Stop):
        fit(job, options, tmp_path / "cut", progress=stop_at_seven)
    assert fit(job, options, tmp_path / "cut", progress=quiet)["steps"] == report["steps"] == 12
    file = "model/model.safetensors" if method == "full" else "adapter_model.safetensors"
    whole, cut = load_file(tmp_path / "whole" / file), load_file(tmp_path / "cut" / file)
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


MERGED = ("lora", "qlora", "ia3")


@pytest.mark.parametrize(
    ("method", "more"), [one for one in VARIED if one[0] in MERGED], ids=[n for n in NAMES if n.startswith(MERGED)]
)
def test_what_is_merged_gives_the_logits_of_the_unmerged(
    tiny: Path, tmp_path: Path, method: str, more: dict[str, Any]
) -> None:
    from twofold.generation.export import merging
    from twofold.training.worker.methods import save

    options = options_of(method, more)
    network = awake(tiny, options)
    for name in ("made", "merged"):
        (tmp_path / name).mkdir()
    save(network, tmp_path / "made", source=tiny, options=options)
    adapter = Adapter(key=f"adapter:{method}", weights=method, path=str(tmp_path / "made"), template="")
    assert merging.why_not(adapter) == ""
    merging.merge(tiny, adapter, tmp_path / "merged")
    ids = torch.tensor([list(range(50, 90))])
    with torch.no_grad():
        mine = adapter_layers.open_model(tmp_path / "merged", dtype="f32")(input_ids=ids).logits
        plain = adapter_layers.open_model(tiny, dtype="f32")(input_ids=ids).logits
        unmerged = network(input_ids=ids).logits
    assert float((mine - unmerged).abs().max()) < 0.02 * float((plain - unmerged).abs().max())


SERVED = [
    pytest.param(method, more, id=name, marks=[pytest.mark.slow] * (method in ("lora", "qlora", "full")))
    for (method, more), name in zip(VARIED[2:], NAMES[2:], strict=True)
]


@pytest.mark.parametrize(("method", "more"), SERVED)
def test_the_local_generator_serves_it_like_the_unmerged_network(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, more: dict[str, Any]
) -> None:
    from twofold.plugins import loading
    from twofold.training.worker.methods import save

    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    options = options_of(method, more)
    network = awake(tiny, options)
    (tmp_path / "made").mkdir()
    save(network, tmp_path / "made", source=tiny, options=options)
    adapter = Adapter(key=f"adapter:{method}", weights=method, path=str(tmp_path / "made"), template="")
    given = {"model": f"path:{tiny}", "dtype": "f32", "parity": False}
    made = loading.make("generators", "local", given, adapter=adapter)
    assert made.description["runtime"] == (
        "transformers" if method in ("adapter", "prompt", "prefix") else "openvino"
    ), made.description
    runtime, tokens = made._ready()
    asked = [tokens.encode(tokens.text([Message(role="user", content=f"Say {n} " * n)])) for n in (1, 9)]
    results = runtime.generate([Request(ids=ids, max_tokens=4) for ids in asked], None)
    for ids, result in zip(asked, results, strict=True):
        given, front = fronted(network, [*ids, *result.ids]), fronted(network, []).shape[1] + len(ids)
        with torch.no_grad():
            logits = network(input_ids=given).logits[0, front - 1 : -1]
        chosen = logits[torch.arange(len(result.ids)), torch.tensor(result.ids)]
        assert float((logits.max(-1).values - chosen).max()) < 0.15
    made.close()


# ---------------------------------------------------------------- objectives


def closed(job: TrainerJob) -> TrainerJob:
    rows = tuple(
        Pair(
            messages=row.messages,
            completion=row.completion,
            example=row.example,
            choices=("it is 0", "it is 1", "it is 2"),
        )
        for row in job.rows[0]
    )
    return job.model_copy(update={"rows": (rows,)})


def test_a_choice_is_learned_by_the_likelihood_of_whole_labels(job: TrainerJob, tiny: Path, tmp_path: Path) -> None:
    from twofold.training.worker import objectives
    from twofold.training.worker.loop import fit
    from twofold.training.worker.network import token_losses

    options = options_of("lora", VARIED[0][1], objective="labels")
    network, encoder = awake(tiny, options), Encoder(tiny)
    pair = closed(job).rows[0][0]
    rows = objectives.rows_of(pair, encoder, options)
    with torch.no_grad():
        logits = []
        for row in rows:
            chances = network(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
            logits.append(sum(chances[i - 1, row.ids[i]] for i in range(row.start, len(row.ids))))
        expected = -torch.stack(logits).log_softmax(0)[0]
        for packs in ([pack(rows)], [pack([row]) for row in rows]):
            loss = objectives.loss_of_packs(token_losses(network, packs), packs, options)
            assert float(loss) == pytest.approx(float(expected), rel=1e-4)
    report = fit(closed(job), options, tmp_path, progress=quiet)
    assert report["loss"][-1][1] < 0.9 * report["loss"][0][1]
    with pytest.raises(NothingToLearn, match="choices"):
        fit(job, options, tmp_path / "not", progress=quiet)


def test_a_preference_is_learned_from_where_the_model_began(job: TrainerJob, tmp_path: Path) -> None:
    from twofold.training.worker.loop import fit

    rows = tuple(
        Pair(messages=r.messages, completion=r.completion, rejected="no idea", example=r.example) for r in job.rows[0]
    )
    liked = job.model_copy(update={"rows": (rows,)})
    options = options_of("lora", VARIED[0][1], objective="preference")
    report = fit(liked, options, tmp_path, progress=quiet)
    assert report["loss"][0][1] == pytest.approx(0.6931, abs=0.02), "at the start both are as likely as before"
    assert report["loss"][-1][1] < 0.5
    apart = options.model_copy(update={"share_prefixes": False})
    (tmp_path / "apart").mkdir()
    assert fit(liked, apart, tmp_path / "apart", progress=quiet)["loss"][-1][1] == pytest.approx(
        report["loss"][-1][1], abs=0.02
    )


def test_known_facts_are_those_whose_right_answer_is_likelier(tiny: Path) -> None:
    from twofold.training.worker.scoring import known, mean_loss

    network = awake(tiny, options_of("full"))
    some = random.Random(0)
    drawn = [[tuple(some.choices(range(9, 90), k=n)) for n in (length, length, 2, 3)] for length in range(3, 19)]
    facts = [(TrainingRow(ids=a + b, start=len(a)), TrainingRow(ids=a + c, start=len(a))) for a, _, b, c in drawn]
    each = [[mean_loss(network, [row], budget=64) or 0 for row in fact] for fact in facts]
    wanted = sum(right < wrong for right, wrong in each) / len(facts)
    assert 0 < wanted < 1
    assert known(network, facts, budget=64) == wanted
    assert known(network, [(wrong, right) for right, wrong in facts], budget=64) == 1 - wanted


def test_replayed_rows_are_mixed_in_and_the_loss_on_other_things_is_followed(job: TrainerJob, tmp_path: Path) -> None:
    from twofold.training.worker.curves import lines_of
    from twofold.training.worker.loop import fit

    other = tuple(
        Pair(messages=(Message(role="user", content=f"Other {n}?"),), completion=f"yes {n}") for n in range(5)
    )
    facts = tuple(replace(one, rejected="perhaps") for one in other[:2])
    whole = job.model_copy(update={"general": other[:2], "facts": facts, "replay": other[2:]})
    report = fit(whole, options_of("lora", VARIED[0][1], replay=0.15, probe=True), tmp_path, progress=quiet)
    assert report["rows"] == 15
    assert [step for step, _ in report["general_loss"]] == [0, 8, 15] or len(report["general_loss"]) == 3
    assert [step for step, _ in report["known_facts"]] == [step for step, _ in report["general_loss"]]
    assert {share for _, share in report["known_facts"]} <= {0, 0.5, 1}
    assert len(report["probe"]["tried"]) == 3
    assert report["learning_rate"] == report["probe"]["chosen"]
    lines = lines_of(tmp_path)
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, report["steps"] + 1))
    assert (tmp_path / "training.svg").read_text().count("<polyline") == 5


# ---------------------------------------------------------------- bad weather


def test_a_truncated_checkpoint_is_told_and_the_one_before_is_used(job: TrainerJob, tmp_path: Path) -> None:
    from twofold.training.worker.loop import fit

    class Stop(Exception):
        pass

    def stop_at_seven(stage: str, done: int, _total: int) -> None:
        if stage == "train" and done == 7:
            raise Stop

    options = options_of("lora", VARIED[0][1])
    with pytest.raises(Stop):
        fit(job, options, tmp_path, progress=stop_at_seven)
    newest = tmp_path / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:999])
    steps: list[int] = []
    with pytest.raises(Stop):
        fit(job, options, tmp_path, progress=lambda s, d, t: (steps.append(d), stop_at_seven(s, d, t)))
    assert steps[:2] == [5, 6]
    for name in ("checkpoint.pt", "checkpoint.earlier.pt"):
        (tmp_path / name).write_bytes(b"PK")
    report = fit(job, options, tmp_path, progress=quiet)
    assert "began again" in report["notes"][-1]
    assert report["steps"] == 12


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(job: TrainerJob, tmp_path: Path) -> None:
    import resource

    from twofold.training.worker.loop import fit

    options = options_of("lora", VARIED[0][1])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(stage: str, done: int, _total: int) -> None:
        if stage == "train" and done == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))

    try:
        with pytest.raises(TrainingError, match="disk") as caught:
            fit(job, options, tmp_path, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "run the command again" in caught.value.cure
    steps: list[int] = []
    fit(job, options, tmp_path, progress=lambda s, d, t: steps.append(d) if s == "train" else None)
    assert steps[:2] == [4, 5]


def test_memory_that_runs_out_halves_the_micro_batch_once(
    job: TrainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twofold.training.worker import loop

    real, asked = loop.token_losses, [0]

    def scarce(times: int) -> Any:
        def losses(network: Any, packs: Any) -> Any:
            asked[0] += 1
            if 5 <= asked[0] < 5 + times:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
            return real(network, packs)

        return losses

    options = options_of("lora", VARIED[0][1])
    monkeypatch.setattr(loop, "token_losses", scarce(1))
    report = loop.fit(job, options, tmp_path, progress=quiet)
    assert "halved" in report["notes"][0]
    assert report["budget"] == 1024
    asked[0] = 0
    monkeypatch.setattr(loop, "token_losses", scarce(2))
    (tmp_path / "twice").mkdir()
    with pytest.raises(TrainingError, match="out of memory") as caught:
        loop.fit(job, options, tmp_path / "twice", progress=quiet)
    assert "memory_gib" in caught.value.cure
    monkeypatch.setattr(loop, "_economies", lambda *_, **__: ["in a report of yesterday micro-batches were halved"])
    asked[0] = 0
    monkeypatch.setattr(loop, "token_losses", scarce(1))
    (tmp_path / "noted").mkdir()
    assert loop.fit(job, options, tmp_path / "noted", progress=quiet)["budget"] == 1024, "a note's words decide nothing"


def test_a_loss_that_is_no_number_says_where_and_keeps_the_best(job: TrainerJob, tmp_path: Path) -> None:
    from twofold.training.worker import loop
    from twofold.training.worker.loop import fit

    options = options_of("lora", VARIED[0][1])

    def broken_after(step: int) -> Any:
        def spoil(stage: str, done: int, _total: int) -> None:
            if stage == "train" and done == step:
                weights.append(1)

        return spoil

    weights: list[int] = []
    real = loop.token_losses
    try:
        loop.token_losses = lambda n, p: real(n, p) * (float("nan") if weights else 1.0)  # type: ignore[assignment]
        with pytest.raises(TrainingError, match=r"step 3 \(examples e\d+"):
            fit(job, options, tmp_path, progress=broken_after(2))
        weights.clear()
        report = fit(job, options, tmp_path, progress=broken_after(8))
    finally:
        loop.token_losses = real
    assert report["stopped"] == "nan"
    assert "step 9" in report["notes"][-1]
    assert (tmp_path / "adapter_model.safetensors").is_file()


def test_a_base_model_without_chat_template_needs_one(tiny: Path, job: TrainerJob, tmp_path: Path) -> None:
    import shutil

    from twofold.training.worker.loop import fit

    bare = tmp_path / "bare"
    shutil.copytree(tiny, bare)
    (bare / "chat_template.jinja").unlink()
    settings = json.loads((bare / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    plain = job.model_copy(update={"model": f"path:{bare}"})
    options = options_of("lora", VARIED[0][1])
    with pytest.raises(TrainingError, match="no chat template") as caught:
        fit(plain, options, tmp_path, progress=quiet)
    assert "chat_template" in caught.value.cure
    given = options.model_copy(
        update={"chat_template": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"}
    )
    assert fit(plain, given, tmp_path, progress=quiet)["steps"] == 12


def test_an_adapter_of_another_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    from twofold.training.worker.methods import save

    options = options_of("adapter", {"width": 4})
    save(awake(tiny, options), tmp_path, source=tiny, options=options)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "BOTTLENECK", "width": 4, "placement": "houlsby"}')
    with pytest.raises(ModelError, match="fit"):
        adapter_layers.open_tuned(tiny, tmp_path, dtype="f32")


@pytest.mark.parametrize(
    ("method", "shards"),
    [
        *(pytest.param(m, (True,), marks=pytest.mark.slow) for m in ("full", "prompt", "prefix", "adapter", "ia3")),
        pytest.param("lora", (False, True), marks=pytest.mark.slow),
    ],
)
def test_two_processes_make_the_steps_of_one(
    job: TrainerJob, tmp_path: Path, method: str, shards: tuple[bool, ...]
) -> None:
    from safetensors.torch import load_file

    from twofold.plugins import loading

    more = next(more for name, more in VARIED if name == method)
    given = {**QUICK, **more, "threads": 2, "probe": True}
    file = f"{adapter_layers.WEIGHTS}/model.safetensors" if method == "full" else "adapter_model.safetensors"
    one = loading.make("trainers", method, given).train(job, tmp_path / "one")
    alone = load_file(tmp_path / "one" / file)
    for shard in shards:
        both = loading.make("trainers", method, {**given, "processes": 2, "shard": shard})
        two = both.train(job, tmp_path / f"two {shard}")
        assert two["processes"] == 2
        assert two["learning_rate"] == one["learning_rate"]
        for (_, left), (_, right) in zip(one["loss"], two["loss"], strict=True):
            assert left == pytest.approx(right, rel=1e-3), f"shard = {shard}"
        assert two["dev"] == one["dev"]
        together = load_file(tmp_path / f"two {shard}" / file)
        assert alone.keys() == together.keys()
        assert max(float((alone[name] - together[name]).abs().max()) for name in alone) < 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("method", KINDS)
def test_the_embedded_model_learns_by_every_method_in_little_memory(
    job: TrainerJob, tmp_path: Path, method: str
) -> None:
    """Few steps from the defaults, in a child process as for a user."""
    from twofold.plugins import loading

    whole = job.model_copy(update={"model": "smollm2-135m-instruct", "dev": job.dev[:2]})
    options = {"epochs": 4, "batch": 6, "evaluations": 1, "memory_gib": 6}
    report = loading.make("trainers", method, options).train(whole, tmp_path / "made")
    assert report["loss"][-1][1] < report["loss"][0][1]
    assert report["peak_mib"] < 6 * 1024
    assert adapter_layers.recipe(tmp_path / "made")["method"] == method
