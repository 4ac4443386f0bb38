"""A tiny random Llama with the embedded model's real tokenizer and chat template."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from twofold.jobs import TrainerJob
from twofold.prompts import Template, pair, render
from twofold.store import models
from twofold.types import DevItem, Example, Message

NAME = "smollm2-135m-instruct"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a two-layer model that trains in seconds."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    source = models.pull(NAME)
    target = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    settings = LlamaConfig(
        vocab_size=49152,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    LlamaForCausalLM(settings).save_pretrained(target)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(source / name, target / name)
    return target


def example(number: int) -> Example:
    """A question with a short answer."""
    return Example(
        id=f"e{number}",
        messages=(Message(role="user", content=f"What is number {number}?"),),
        references=(f"it is {number % 3}",),
        group=f"g{number}",
    )


@pytest.fixture
def job(tiny: Path) -> TrainerJob:
    """Twelve closed-book rows and three dev items."""
    template = Template()
    examples = [example(n) for n in range(15)]
    rows = tuple(pair(render(e.messages, template=template), e.references[0], e) for e in examples[:12])
    dev = tuple(DevItem(prompt=render(e.messages, template=template, max_tokens=4), example=e) for e in examples[12:])
    return TrainerJob(rows=(rows,), dev=dev, metric="token_f1", model=f"path:{tiny}", template=template)
