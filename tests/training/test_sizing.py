"""Memory and time of models that are not here, by their shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import ConfigError
from twofold.training import sizing
from twofold.training.options import FullOptions, LoraOptions, PrefixOptions, QloraOptions

STEPS = sizing.Steps(longest=1024, tokens=16_384, answers=0.1)
BF16: dict[str, Any] = {"dtype": "bf16"}
# As the model cards and files on the hub count them.
PUBLISHED = {
    "SmolLM2-135M": 134_515_008,
    "Llama-3.2-1B": 1_235_814_400,
    "Llama-3.2-3B": 3_212_749_824,
    "Qwen2.5-7B": 7_615_616_512,
    "Llama-3.1-8B": 8_030_261_248,
}


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_a_shape_has_the_published_number_of_weights(name: str, parameters: int) -> None:
    assert sizing.shape(name).parameters == parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Llama-3.2-1B", "Qwen2.5-7B"])
def test_a_shape_is_that_of_transformers_without_a_weight(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

    of = sizing.shape(name)
    kind = Qwen2Config if of.biases else LlamaConfig
    config = kind(
        num_hidden_layers=of.layers,
        hidden_size=of.hidden,
        intermediate_size=of.inner,
        num_attention_heads=of.heads,
        num_key_value_heads=of.kv_heads,
        head_dim=of.head_width,
        vocab_size=of.vocabulary,
        tie_word_embeddings=of.tied,
    )
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    assert of.parameters == sum(p.numel() for p in network.parameters())
    config.save_pretrained(tmp_path)
    assert sizing.shape(str(tmp_path)).parameters == of.parameters


def test_what_is_learned_is_what_peft_adds(tiny: Path) -> None:
    pytest.importorskip("peft")
    from twofold.training.encoding import Encoder
    from twofold.training.worker.methods import adapted

    options = LoraOptions(rank=8, dtype="f32")
    network = adapted(tiny, options, Encoder(tiny), seed=0)
    assert sizing.learned(sizing.shape(str(tiny)), options) == sum(
        p.numel() for p in network.parameters() if p.requires_grad
    )


def test_an_8b_model_fits_where_people_fit_it() -> None:
    of = sizing.shape("llama-3.1-8b")
    room = {name: gpu.memory * sizing.USABLE for name, gpu in sizing.GPUS.items()}
    lora, qlora, full = (
        {name: sizing.memory(of, options, STEPS, room=gib) for name, gib in room.items()}
        for options in (LoraOptions(**BF16), QloraOptions(**BF16), FullOptions(**BF16))
    )
    assert lora["h100"].least < room["h100"]
    assert qlora["l4"].least < room["l4"]
    assert qlora["l4"].weights < lora["l4"].weights / 2
    assert full["h100"].least > room["h100"], "18 bytes a weight, and two of its own"
    for need in (*lora.values(), *qlora.values()):
        parts = (need.weights, need.learned, need.activations, need.logits, need.beside)
        assert need.total == pytest.approx(sum(parts))
        assert min(parts) > 0


def test_less_room_is_met_by_computing_activations_again_and_smaller_micro_batches() -> None:
    of = sizing.shape("llama-3.2-1b")
    roomy, tight = (sizing.memory(of, LoraOptions(**BF16), STEPS, room=gib) for gib in (72.0, 7.0))
    assert (roomy.checkpointing, tight.checkpointing) == (False, True)
    assert roomy.tokens == sizing.MOST
    assert tight.activations < roomy.activations


def test_a_token_costs_two_operations_a_weight_and_pass() -> None:
    of, lora = sizing.shape("llama-3.1-8b"), LoraOptions(rank=1, **BF16)
    blocks = of.layers * of.block
    work = sizing.operations(of, lora, length=0, answers=0)
    assert work == pytest.approx(2 * 2 * blocks, rel=0.01), "forwards, and the gradient of what came in"
    assert sizing.operations(of, FullOptions(**BF16), length=0, answers=0) == 3 * 2 * blocks
    assert sizing.operations(of, lora, length=0, answers=0, again=True) == pytest.approx(3 * 2 * blocks, rel=0.01)


def test_time_has_an_interval_and_a_measured_share_the_error_of_carrying_it() -> None:
    of, gpu = sizing.shape("llama-3.1-8b"), sizing.GPUS["h100"]
    guessed = sizing.seconds(of, gpu, work=1e18, parts=100, stored=15)
    measured = sizing.seconds(of, gpu, work=1e18, parts=100, stored=15, efficiency=0.35)
    assert guessed.low < guessed.likely < guessed.high
    assert guessed.likely == measured.likely == pytest.approx(1e18 / (989e12 * 0.35))
    assert measured.high / measured.likely == measured.likely / measured.low == pytest.approx(1 + sizing.TIME_ERROR)
    reading = sizing.seconds(of, sizing.GPUS["l4"], work=1.0, parts=100, stored=15, efficiency=0.35)
    assert reading.likely == pytest.approx(2 * 100 * 15 * 2**30 / 300e9), "no step is quicker than its weights are read"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "does not describe a causal language model"),
        ("[", "does not describe"),
        ('{"num_attention_heads": 0, "hidden_size": 1}', "does not describe"),
    ],
)
def test_a_file_that_is_no_model_is_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        sizing.shape(str(tmp_path))


def test_the_shape_of_a_model_of_text_and_images_is_that_of_its_text(tmp_path: Path) -> None:
    text = {"num_attention_heads": 4, "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128}
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {**text, "vocab_size": 100}}))
    assert sizing.shape(str(tmp_path)).kv_heads == 4


def test_a_method_without_arithmetic_is_refused() -> None:
    with pytest.raises(ConfigError, match="no plan for another machine with the method prefix"):
        sizing.memory(sizing.shape("llama-3.2-1b"), PrefixOptions(), STEPS, room=80)
