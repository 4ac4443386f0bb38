"""Exports are loaded back by their own readers and continue fifty prompts as the trained model does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from installed import needs
from twofold.errors import ModelError
from twofold.generation.export import gguf as gguf_file
from twofold.generation.export import gguf_adapter
from twofold.generation.export.exporting import FORMS, Tuned, why_not
from twofold.models.tensors import Weights, write_safetensors
from twofold.plugins import loading
from twofold.types import Adapter, Message, Prompt

gguf = pytest.importorskip("gguf")
needs("peft")

PROMPTS = [Prompt(messages=(Message(role="user", content=f"Tell me about number {n}."),)) for n in range(50)]


@pytest.fixture(scope="module")
def tiny(terse: Path) -> Path:
    """The model of this file, whose every export writes and reads the whole vocabulary."""
    return terse


@pytest.fixture(scope="module")
def adapter(tiny: Path, random_adapter: Callable[..., Adapter], tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    return random_adapter(tiny, tmp_path_factory.mktemp("tuned"), seed=3, use_rslora=True)


def test_every_form_loads_back_and_answers_alike(tiny: Path, adapter: Adapter, tmp_path: Path, own_cache: Path) -> None:
    options = {"model": f"path:{tiny}", "runtime": "transformers"}
    generator = loading.make("generators", "local", options, adapter=adapter)
    seen = []
    (tmp_path / "out" / "peft").mkdir(parents=True)
    (tmp_path / "out" / "peft" / "old").write_text("from an earlier export")
    told = generator.export(
        tmp_path / "out", forms=FORMS, prompts=PROMPTS, progress=lambda stage, done, total: seen.append((stage, done))
    )
    assert [row["format"] for row in told] == list(FORMS)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(FORMS), "no half-made directory is left"
    assert not (tmp_path / "out" / "peft" / "old").exists()
    for row in told:
        parity = row["parity"]
        assert (parity["prompts"], parity["new_tokens"]) == (50, 12)
        assert parity["moved"] > 1.0, "the adapter does something"
        exact = row["format"] == "peft"
        assert parity["logits"] < (1e-3 if exact else 0.02 * parity["moved"])
        assert parity["greedy"] >= (50 if exact else 47)
    assert ("check gguf", 50) in seen
    assert "gguf_file=" in told[2]["parity"]["reader"]
    fields = gguf.GGUFReader(tmp_path / "out" / "gguf" / "model-f16.gguf").fields
    template = (tiny / "chat_template.jinja").read_text()
    assert fields["tokenizer.chat_template"].contents() == template
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    assert (tmp_path / "out" / "safetensors" / "chat_template.jinja").read_text() == template


@pytest.mark.slow
def test_the_template_of_the_options_goes_with_the_export(
    tiny: Path, adapter: Adapter, tmp_path: Path, own_cache: Path
) -> None:
    template = "{% for m in messages %}<|im_start|>{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
    options = {"model": f"path:{tiny}", "runtime": "transformers", "chat_template": template}
    generator = loading.make("generators", "local", options, adapter=adapter)
    generator.export(tmp_path / "out", forms=["safetensors", "gguf"], prompts=PROMPTS[:2])
    fields = gguf.GGUFReader(tmp_path / "out" / "gguf" / "model-f16.gguf").fields
    assert fields["tokenizer.chat_template"].contents() == template
    assert (tmp_path / "out" / "safetensors" / "chat_template.jinja").read_text() == template


SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
PRE = {
    "smollm": [{"type": "Digits", "individual_digits": True}, BYTES],
    "qwen2": [{"type": "Split", "pattern": {"Regex": SPLIT}}, {**BYTES, "use_regex": False}],
    "llama-bpe": [
        {"type": "Split", "pattern": {"Regex": SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")}},
        {**BYTES, "use_regex": False},
    ],
    "": [{"type": "Split", "pattern": {"Regex": r"\p{L}+"}}, {**BYTES, "use_regex": False}],
}


@pytest.fixture
def resplit(tiny: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes a copy of the tiny model whose tokenizer splits text in the way of this name."""

    def make(name: str) -> Path:
        model = tmp_path / "model"
        shutil.copytree(tiny, model)
        settings = json.loads((model / "tokenizer.json").read_text())
        settings["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": PRE[name]}
        (model / "tokenizer.json").write_text(json.dumps(settings))
        return model

    return make


def test_a_model_whose_files_have_changed_is_looked_at_anew(tiny: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny, tmp_path / "model"))
    assert gguf_file.why_not(model) == ""
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "architectures": ["Another"]}))
    assert gguf_file.why_not(model) == "its architecture is Another"


@pytest.mark.parametrize("name", PRE)
def test_the_way_a_tokenizer_splits_text_has_the_name_that_llama_cpp_gives_it(
    resplit: Callable[[str], Path], adapter: Adapter, name: str
) -> None:
    assert gguf_file.pre_tokenizer({"pre_tokenizer": {"type": "Sequence", "pretokenizers": PRE[name]}}) == name
    assert gguf_file.pre_tokenizer({"pre_tokenizer": BYTES}) == "gpt-2"
    reason = why_not(Tuned(model=resplit(name), weights="w", adapter=adapter), "gguf")
    assert ("pre-tokenizer" in reason) == (name == "")


def test_a_gguf_file_names_the_way_of_its_own_tokenizer(resplit: Callable[[str], Path], tmp_path: Path) -> None:
    """That of another model is written where all forms are."""
    model = resplit("qwen2")
    gguf_file.write_gguf(model, tmp_path / "m.gguf")
    fields = gguf.GGUFReader(tmp_path / "m.gguf").fields
    assert fields["tokenizer.ggml.pre"].contents() == "qwen2"
    own = (model / "chat_template.jinja").read_text()
    assert fields["tokenizer.chat_template"].contents() == own, "as llama.cpp's converter writes it"


def test_a_peft_export_opens_with_peft_alone_and_has_the_same_logits(
    tiny: Path, adapter: Adapter, tmp_path: Path, own_cache: Path
) -> None:
    import torch
    import transformers
    from peft import PeftModel

    from twofold.models.adapter_layers import open_tuned

    options = {"model": f"path:{tiny}", "runtime": "transformers"}
    generator = loading.make("generators", "local", options, adapter=adapter)
    generator.export(tmp_path / "out", forms=["peft"], prompts=PROMPTS[:2])
    network = transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    ids = torch.tensor([[1, 20, 300, 4000, 5]])
    with torch.inference_mode():
        plain = network(input_ids=ids).logits
        opened = PeftModel.from_pretrained(network, tmp_path / "out" / "peft").eval()(input_ids=ids).logits
        trained = open_tuned(tiny, Path(adapter.path), dtype="f32").eval()(input_ids=ids).logits
    torch.testing.assert_close(opened, trained)
    assert float((opened - plain).abs().max()) > 0.1


def test_a_gguf_adapter_says_the_scale_and_comes_back_the_same(tiny: Path, adapter: Adapter, tmp_path: Path) -> None:
    gguf_adapter.write_adapter(tiny, Path(adapter.path), tmp_path / "a.gguf")
    tensors, alpha = gguf_adapter.read_adapter(tiny, tmp_path / "a.gguf")
    assert alpha == pytest.approx(8 * 2), "rank-stabilised: alpha / √4 is alpha · √4 / 4"
    kept = Weights(Path(adapter.path) / "adapter_model.safetensors")
    assert sorted(tensors) == sorted(kept)
    for name in kept:
        np.testing.assert_allclose(tensors[name], kept[name], atol=1e-3)


def test_what_does_not_answer_alike_is_not_exported(
    tiny: Path, adapter: Adapter, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(model: Path, _adapter: Path, target: Path) -> None:
        """Drops the adapter's effect on half of the layers, as a wrong row order or a lost tensor would."""
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "adapter_config.json").write_bytes((Path(adapter.path) / "adapter_config.json").read_bytes())
        own = Weights(Path(adapter.path) / "adapter_model.safetensors")
        keep = ((n, "", own[n] * (0 if "layers.1" in n else 1)) for n in own)
        write_safetensors(broken / "adapter_model.safetensors", keep)
        real(model, broken, target)

    real = gguf_adapter.write_adapter
    monkeypatch.setattr(gguf_adapter, "write_adapter", forgetful)
    generator = loading.make(
        "generators", "local", {"model": f"path:{tiny}", "runtime": "transformers"}, adapter=adapter
    )
    with pytest.raises(ModelError, match="does not answer like the trained model"):
        generator.export(tmp_path / "out", forms=["gguf-adapter"], prompts=PROMPTS[:5])
    assert not list((tmp_path / "out").iterdir())


def test_a_form_that_cannot_hold_it_says_which_can(tiny: Path, adapter: Adapter, tmp_path: Path) -> None:
    folder = tmp_path / "biased"
    folder.mkdir()
    recipe = json.loads((Path(adapter.path) / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**recipe, "bias": "all", "use_dora": True}))
    (folder / "adapter_model.safetensors").write_bytes((Path(adapter.path) / "adapter_model.safetensors").read_bytes())
    tuned = Tuned(model=tiny, weights="w", adapter=replace(adapter, path=str(folder)))
    assert why_not(tuned, "peft") == ""
    assert "bias" in why_not(tuned, "gguf")
    assert "plain LoRA only" in why_not(tuned, "gguf-adapter")
    generator = loading.make(
        "generators", "local", {"model": f"path:{tiny}", "runtime": "transformers"}, adapter=tuned.adapter
    )
    with pytest.raises(ModelError, match="cannot be exported as safetensors") as caught:
        generator.export(tmp_path / "out", forms=["safetensors"], prompts=PROMPTS[:2])
    assert caught.value.cure == "It can be exported as: peft."
    with pytest.raises(ModelError, match="no such format"):
        generator.export(tmp_path / "out", forms=["onnx"], prompts=PROMPTS[:2])
