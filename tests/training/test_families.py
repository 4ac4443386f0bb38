"""Any causal language model that transformers knows: tiny random ones, with their own tokenizers and chat templates."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from twofold.plugins.jobs import TrainerJob
from twofold.training.encoding import Encoder
from twofold.training.options import KINDS
from twofold.training.packing import TrainingRow, pack

torch = pytest.importorskip("torch")

SMALL = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
FAMILIES: dict[str, tuple[str, dict[str, Any], str]] = {
    "llama": ("Llama", {}, "[INST] {{ m.content }} [/INST]"),
    "mistral": ("Mistral", {"sliding_window": 400}, "[INST]{{ m.content }}[/INST]"),
    "qwen": ("Qwen2", {}, "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"),
    "gemma": (
        "Gemma2",
        {"head_dim": 16, "final_logit_softcapping": 5.0},
        "<start_of_turn>{{ m.content }}<end_of_turn>\n",
    ),
    "phi": ("Phi", {"num_key_value_heads": 2}, "Instruct: {{ m.content }}\nOutput:"),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Directory of a two-layer model of one family, with a byte tokenizer."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    kind, more, turn = FAMILIES[request.param]
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**SMALL, **more})
    getattr(transformers, f"{kind}ForCausalLM")(config).save_pretrained(tmp_path / "model")
    letters = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({letter: n for n, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    (tmp_path / "model" / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    template = "{% for m in messages %}" + turn + "{% endfor %}"
    (tmp_path / "model" / "chat_template.jinja").write_text(template)
    return tmp_path / "model"


@pytest.mark.parametrize("method", KINDS)
def test_any_family_trains_by_any_method(family: Path, job: TrainerJob, tmp_path: Path, method: str) -> None:
    from twofold.models import adapter_layers
    from twofold.training.worker.methods import adapted
    from twofold.training.worker.network import loss_of, plain_of, why_apart

    options = KINDS[method].model_validate({"dtype": "f32"})
    network = adapted(family, options, Encoder(family), seed=1)
    front = (0,) * adapter_layers.virtual(plain_of(network))
    assert why_apart(network, 200) == ""
    rows = [TrainingRow(ids=(*front, *range(20, 110), 5, 6 + n, 7, 8 + n, 2), start=93 + len(front)) for n in range(2)]
    apart = sum(loss_of(network, [pack([row])]) for row in rows)
    logits = [network(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1) for row in rows]
    expected = -sum(
        chances[i - 1, row.ids[i]]
        for chances, row in zip(logits, rows, strict=True)
        for i in range(row.start, len(row.ids))
    )
    assert apart.item() == pytest.approx(expected.item(), rel=1e-4)
    together = loss_of(network, [pack(rows)])
    assert together.item() == pytest.approx(apart.item(), rel=1e-4)
    together.backward()
    learned = [p for p in network.parameters() if p.requires_grad]
    assert learned
    assert any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in learned)


def test_a_family_runs_the_whole_loop(family: Path, job: TrainerJob, tmp_path: Path) -> None:
    from twofold.training.worker.loop import fit

    given = {"dtype": "f32", "epochs": 2, "batch": 4, "evaluations": 1, "learning_rate": 2e-2}
    (tmp_path / "made").mkdir()
    own = job.model_copy(update={"model": f"path:{family}"})
    report = fit(own, KINDS["lora"].model_validate(given), tmp_path / "made", progress=lambda *_: None)
    assert report["loss"][-1][1] < report["loss"][0][1]


def test_rows_beyond_an_attention_window_are_not_shared_and_it_is_told(job: TrainerJob, tmp_path: Path) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    from twofold.models import hub as models

    source = models.pull("smollm2-135m-instruct")
    model = tmp_path / "model"
    MistralForCausalLM(MistralConfig(**{**SMALL, "vocab_size": 49152, "sliding_window": 8})).save_pretrained(model)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(source / name, model / name)
    from twofold.training.worker.loop import fit

    options = KINDS["lora"].model_validate({"dtype": "f32", "epochs": 2, "batch": 6, "evaluations": 1})
    report = fit(job.model_copy(update={"model": f"path:{model}"}), options, tmp_path, progress=lambda *_: None)
    assert not report["shared_prefixes"]
    assert "window" in report["notes"][0]
