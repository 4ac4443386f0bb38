"""The embedded generator, pulled once; and a tiny random model of the same family, for tests that change weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from short_vocabulary import write_tokenizer
from twofold.models import hub
from twofold.types import Adapter


@pytest.fixture(scope="session")
def smollm() -> Path:
    return hub.pull("smollm2-135m-instruct")


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = tmp_path_factory.getbasetemp() / "own-cache"
    monkeypatch.setenv("TWOFOLD_CACHE", str(root))
    return root


@pytest.fixture(scope="session")
def tiny(smollm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer Llama with the real tokenizer; wide enough that greedy texts differ between prompts."""
    directory = tmp_path_factory.mktemp("tiny")
    make_model(directory, words=49152)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(smollm / name, directory / name)
    return directory


@pytest.fixture(scope="session")
def terse(smollm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the first 4,096 tokens of the tokenizer: readers of a GGUF file take seconds for all of them."""
    words, directory = 4096, tmp_path_factory.mktemp("terse")
    make_model(directory, words=words)
    write_tokenizer(smollm, directory, words)
    return directory


def make_model(directory: Path, *, words: int) -> None:
    """Save a random two-layer Llama."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(5)
    config = transformers.LlamaConfig(
        hidden_size=128,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=words,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(directory)


@pytest.fixture(scope="session")
def random_adapter() -> Callable[..., Adapter]:
    """Makes LoRA adapters with random (not zero) weights."""
    return make_adapter


def make_adapter(model: Path, directory: Path, *, seed: int, scale: float = 0.3, **recipe: object) -> Adapter:
    """A LoRA adapter with random (not zero) weights, saved by PEFT."""
    import peft
    import torch
    import transformers

    network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    torch.manual_seed(seed)
    given = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "down_proj"], **recipe}
    tuned = peft.get_peft_model(network, peft.LoraConfig(**given))
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=scale)
    tuned.save_pretrained(directory)
    return Adapter(key=f"adapter:seed{seed}", weights=f"seed{seed}", path=str(directory), template="")
