"""Merge a LoRA adapter into a copy of the weights: W + scale · B · A (Hu et al. 2021, arXiv:2106.09685, section 4.1).

Computed in f32 and stored as f16, which keeps three more bits of the change than bf16 would. `scale` is alpha / r, or
alpha / √r for rank-stabilised LoRA (Kalajdzievski 2023, arXiv:2312.03732).
"""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.errors import ModelError
from twofold.generation.cached import derived
from twofold.generation.weights import Weights, as_f16, write_safetensors
from twofold.identity import digest
from twofold.types import Adapter, Json

_VERSION = 1
_PREFIX = "base_model.model."
_CURE = 'Set [generation.generator.options].runtime = "transformers": it applies the adapter unmerged.'


def why_not(adapter: Adapter) -> str:
    """Why this adapter cannot be merged exactly; empty when it can."""
    recipe = _recipe(adapter)
    if recipe.get("peft_type") != "LORA":
        return f"it is {recipe.get('peft_type')}, not LORA"
    for field, plain in (("use_dora", False), ("bias", "none"), ("lora_bias", False), ("fan_in_fan_out", False)):
        if recipe.get(field, plain) != plain:
            return f"it has {field} = {recipe[field]}"
    if recipe.get("modules_to_save"):
        return f"it saves whole modules: {', '.join(recipe['modules_to_save'])}"
    odd = [name for name in Weights(_file(adapter)) if ".lora_A." not in name and ".lora_B." not in name]
    return f"it holds {odd[0]!r}" if odd else ""


def merged_key(weights: str, adapter: Adapter) -> str:
    """Name of the merged copy."""
    return digest("merged", {"weights": weights, "adapter": adapter.weights, "version": _VERSION})


def merged(model: Path, weights: str, adapter: Adapter) -> Path:
    """Directory of the merged copy in the cache, made now if it is missing.

    Args:
        model: Directory of the base weights.
        weights: Their digest.
        adapter: LoRA adapter as PEFT saves it.

    Raises:
        ModelError: the adapter does not fit the model, cannot be merged exactly, or changes nothing though it should.
    """

    def make(work: Path) -> Json:
        return {"weights": weights, "adapter": adapter.key, "tensors": merge(model, adapter, work)}

    return derived("merged", merged_key(weights, adapter), make)


def merge(model: Path, adapter: Adapter, target: Path) -> int:
    """Write the merged copy of `model` to the directory `target`; returns the number of changed tensors."""
    reason = why_not(adapter)
    if reason:
        raise ModelError(f"the adapter {adapter.key} cannot be merged: {reason}", cure=_CURE)
    base, recipe, tuned = Weights(model), _recipe(adapter), Weights(_file(adapter))
    changes = {name.split(".lora_A.")[0] for name in tuned if ".lora_A." in name}
    wanted = {f"{change.removeprefix(_PREFIX)}.weight": change for change in changes}
    strange = sorted(set(wanted) - set(base))
    if strange or not wanted:
        what = f"changes {strange[0]!r}, which the model has not" if strange else "holds no LoRA weights"
        raise ModelError(f"the adapter {adapter.key} {what}", cure="Use the base model it was trained on.")
    if "model.embed_tokens.weight" in wanted:
        raise ModelError(f"the adapter {adapter.key} changes the embedding, which may be tied", cure=_CURE)
    largest = 0.0
    tensors: list[tuple[str, str, NDArray[Any]]] = []
    for name in base:
        if name not in wanted:
            kind, _, values = base.stored(name)
            tensors.append((name, kind, values))
            continue
        change = delta(tuned, wanted[name], recipe)
        if change.shape != base[name].shape:
            raise ModelError(
                f"the adapter {adapter.key} changes {name!r} by {change.shape}, the model has {base[name].shape}",
                cure="Use the base model it was trained on.",
            )
        largest = max(largest, float(np.abs(change).max(initial=0.0)))
        tensors.append((name, "", as_f16(name, base[name] + change)))
    if not math.isfinite(largest):
        raise ModelError(f"the adapter {adapter.key} holds values that are not numbers", cure="Train it again.")
    moved = any(float(np.abs(tuned[name]).max(initial=0.0)) > 0 for name in tuned if ".lora_B." in name)
    if moved and largest == 0.0:
        raise ModelError(f"the adapter {adapter.key} changes nothing, though its weights are not zero")
    for path in model.iterdir():
        if path.is_file() and path.suffix in (".json", ".jinja") and "safetensors" not in path.name:
            shutil.copyfile(path, target / path.name)
    (target / "twofold-model.json").unlink(missing_ok=True)
    write_safetensors(target / "model.safetensors", tensors)
    return len(wanted)


def delta(tuned: Weights, module: str, recipe: Json) -> NDArray[np.float32]:
    """The change of one linear layer, f32 of shape (out, in)."""
    down, up = tuned[f"{module}.lora_A.weight"], tuned[f"{module}.lora_B.weight"]
    name = module.removeprefix(_PREFIX)
    rank = _of(recipe.get("rank_pattern"), name, recipe["r"])
    alpha = _of(recipe.get("alpha_pattern"), name, recipe["lora_alpha"])
    scale = alpha / (math.sqrt(rank) if recipe.get("use_rslora") else rank)
    made: NDArray[np.float32] = np.float32(scale) * (up @ down)
    return made


def _of(patterns: dict[str, float] | None, name: str, otherwise: float) -> float:
    """A layer's own rank or alpha where a pattern names it, as PEFT matches them."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return otherwise


def _recipe(adapter: Adapter) -> Json:
    path = Path(adapter.path) / "adapter_config.json"
    try:
        value: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the adapter's configuration cannot be read: {error}", file=path) from error
    return value


def _file(adapter: Adapter) -> Path:
    return Path(adapter.path) / "adapter_model.safetensors"
