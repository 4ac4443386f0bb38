"""Write a LoRA adapter as one GGUF file, for llama.cpp (``--lora``) and programs built on it, and read it back.

A and B of every layer have the GGUF name of the layer's weight with ``.lora_a`` and ``.lora_b``; the runtime adds
``alpha / rank · B · A``. Where a model's query and key rows are reordered for llama.cpp, so are the rows of B.
Layout: https://github.com/ggml-org/llama.cpp/blob/master/convert_lora_to_gguf.py
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.errors import ModelError
from twofold.generation.export.gguf import ARCHITECTURES, interleaved, renamed
from twofold.models.tensors import Weights
from twofold.types import Json

PREFIX = "base_model.model."


def write_adapter(model: Path, adapter: Path, target: Path) -> None:
    """Write a LoRA adapter as PEFT saves it as f16 GGUF.

    Args:
        model: Directory of the base model (its ``config.json``).
        adapter: Directory with ``adapter_config.json`` and ``adapter_model.safetensors``.
        target: The file to write.

    Raises:
        ModelError: the layers have different scales, which the format cannot express.
    """
    import gguf

    recipe, config = _json(adapter / "adapter_config.json"), _json(model / "config.json")
    if recipe.get("rank_pattern") or recipe.get("alpha_pattern"):
        raise ModelError(
            "a GGUF adapter has one alpha, but this adapter has several",
            cure="Export the merged model: --format gguf or safetensors.",
        )
    rank, alpha = recipe["r"], float(recipe["lora_alpha"])
    architecture = ARCHITECTURES[config["architectures"][0]]
    writer = gguf.GGUFWriter(str(target), architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    # rsLoRA scales by alpha / √r: with alpha · √r the runtime's alpha / r is the same
    writer.add_float32("adapter.lora.alpha", alpha * math.sqrt(rank) if recipe.get("use_rslora") else alpha)
    writer.add_file_type(1)
    tuned = Weights(adapter / "adapter_model.safetensors")
    for name in tuned:
        layer, _, side = name.removesuffix(".weight").removeprefix(PREFIX).rpartition(".lora_")
        values = tuned[name]
        if side == "B" and architecture == "llama":
            values = _ordered(layer, values, config)
        writer.add_tensor(f"{renamed(layer + '.weight')}.lora_{side.lower()}", values.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_adapter(model: Path, file: Path) -> tuple[dict[str, NDArray[np.float32]], float]:
    """The tensors of a GGUF adapter under PEFT's names, f32, and its alpha.

    Raises:
        ModelError: a tensor belongs to no layer of the model.
    """
    import gguf

    config, reader = _json(model / "config.json"), gguf.GGUFReader(str(file))
    llama = ARCHITECTURES[config["architectures"][0]] == "llama"
    names = {renamed(name): name.removesuffix(".weight") for name in Weights(model) if name.startswith("model.layers")}
    tensors: dict[str, NDArray[np.float32]] = {}
    for tensor in reader.tensors:
        weight, _, side = str(tensor.name).rpartition(".lora_")
        if weight not in names:
            raise ModelError(f"the tensor {tensor.name!r} belongs to no layer of the model", file=file)
        layer, values = names[weight], np.asarray(tensor.data, dtype=np.float32)
        if side == "b" and llama:
            values = _ordered(layer, values, config, back=True)
        tensors[f"{PREFIX}{layer}.lora_{side.upper()}.weight"] = values
    field = reader.get_field("adapter.lora.alpha")
    # `data` says which part of a field is its value
    return tensors, float(field.parts[field.data[0]][0])


def _ordered(layer: str, values: NDArray[np.float32], config: Json, *, back: bool = False) -> NDArray[np.float32]:
    heads: int = config["num_attention_heads"]
    if layer.endswith(".self_attn.k_proj"):
        heads = config.get("num_key_value_heads") or heads
    elif not layer.endswith(".self_attn.q_proj"):
        return values
    if not back:
        return interleaved(values, heads)
    pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(values.shape))


def _json(path: Path) -> Json:
    value: Any = json.loads(path.read_text(encoding="utf-8"))
    parsed: Json = value
    return parsed
