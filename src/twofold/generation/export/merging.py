"""Merge an adapter into a copy of the weights, where that is exact.

LoRA: W + scale · B · A (Hu et al. 2021, arXiv:2106.09685, section 4.1); `scale` is alpha / r, or alpha / √r for
rank-stabilised LoRA (Kalajdzievski 2023, arXiv:2312.03732). DoRA: that, with each output's row brought to its learned
length (Liu et al. 2024, arXiv:2402.09353). IA³: rows or columns of W times the learned scales (Liu et al. 2022,
arXiv:2205.05638). QLoRA: W is rounded to NF4 first, as it was in training (Dettmers et al. 2023, arXiv:2305.14314).
Computed in f32 and stored as f16, which keeps three more bits of the change than bf16 would.
"""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.errors import ModelError
from twofold.generation.cached import derived
from twofold.hashing import digest
from twofold.models.adapter_layers import BLOCK, NORMAL
from twofold.models.adapter_layers import recipe as recipe_of
from twofold.models.tensors import Weights, as_f16, write_safetensors
from twofold.types import Adapter, Json

_VERSION = 2
"""Raised when the same adapter would give other merged weights; part of their key."""
_PREFIX = "base_model.model."
_MARKS = (".lora_A.", ".lora_B.", ".lora_magnitude_vector", ".ia3_l")
_CURE = 'Set [generation.generator.options].runtime = "transformers": it applies the adapter unmerged.'


def why_not(adapter: Adapter) -> str:
    """The reason why this adapter cannot be merged exactly; empty when it can."""
    recipe = recipe_of(Path(adapter.path))
    if recipe.get("peft_type") not in ("LORA", "IA3"):
        return f"it is {recipe.get('peft_type')}, which acts beside the weights"
    for field, plain in (("bias", "none"), ("lora_bias", False), ("fan_in_fan_out", False)):
        if recipe.get(field, plain) != plain:
            return f"it has {field} = {recipe[field]}"
    if recipe.get("modules_to_save"):
        return f"it saves whole modules: {', '.join(recipe['modules_to_save'])}"
    for name in Weights(_file(adapter)):
        if not any(mark in name for mark in _MARKS):
            return f"it holds {name!r}"
    return ""


def merged_key(weights: str, adapter: Adapter) -> str:
    """Key of the merged copy."""
    return digest("merged", {"weights": weights, "adapter": adapter.weights, "version": _VERSION})


def merged(model: Path, weights: str, adapter: Adapter) -> Path:
    """Directory of the merged copy in the cache; created now if it is missing.

    Args:
        model: Directory of the base weights.
        weights: Digest of the base weights.
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
    base, recipe, tuned = Weights(model), recipe_of(Path(adapter.path)), Weights(_file(adapter))
    changes = {re.split(r"\.lora_A\.|\.ia3_l", name)[0] for name in tuned if ".lora_A." in name or ".ia3_l" in name}
    changed_names = {f"{change.removeprefix(_PREFIX)}.weight": change for change in changes}
    strange = sorted(set(changed_names) - set(base))
    if strange or not changed_names:
        what = f"changes {strange[0]!r}, which the model has not" if strange else "holds no weights"
        raise ModelError(
            f"the adapter {adapter.key} {what}", cure="Use the base model that the adapter was trained on."
        )
    # a tied embedding is the output layer's weight as well: a merged change would reach both
    if "model.embed_tokens.weight" in changed_names:
        raise ModelError(f"the adapter {adapter.key} changes the embedding, which may be tied", cure=_CURE)
    largest = 0.0
    tensors: list[tuple[str, str, NDArray[Any]]] = []
    for name in base:
        module = changed_names.get(name) or changed_names.get(f"{name.removesuffix('.bias')}.weight", "")
        # only IA³ on outputs scales the bias too
        if name.endswith(".bias") and (not module or tuned_scale(tuned, module, rows=True) is None):
            module = ""
        rounded = name.removesuffix(".weight") in recipe.get("rounded", ())
        if not module and not rounded:
            kind, _, values = base.stored(name)
            tensors.append((name, kind, values))
            continue
        weight = nf4(base[name], bf16=recipe["dtype"] == "bf16") if rounded else base[name]
        try:
            new = changed(weight, tuned, module, recipe=recipe) if module else weight
        except ValueError as error:
            raise ModelError(
                f"the adapter {adapter.key} does not fit {name!r}, which has {weight.shape}: {error}",
                cure="Use the base model that the adapter was trained on.",
            ) from error
        largest = max(largest, float(np.abs(new - weight).max(initial=0.0)))
        tensors.append((name, "", as_f16(name, new)))
    if not math.isfinite(largest):
        raise ModelError(
            f"the adapter {adapter.key} contains values that are not numbers", cure="Train the adapter again."
        )
    # B starts at zero: an adapter with B = 0 rightly changes nothing
    moved = any(float(np.abs(tuned[name]).max(initial=0.0)) > 0 for name in tuned if ".lora_B." in name)
    if moved and largest == 0.0:
        raise ModelError(f"the adapter {adapter.key} changes nothing, though its weights are not zero")
    for path in model.iterdir():
        if path.is_file() and path.suffix in (".json", ".jinja") and "safetensors" not in path.name:
            shutil.copyfile(path, target / path.name)
    # this file describes the base weights, not the merged ones
    (target / "twofold-model.json").unlink(missing_ok=True)
    write_safetensors(target / "model.safetensors", tensors)
    return len(changed_names)


def changed(weight: NDArray[np.float32], tuned: Weights, module: str, *, recipe: Json) -> NDArray[np.float32]:
    """A layer's weight, shape (out, in), or its bias, shape (out,), with the adapter merged in, f32."""
    rows, columns = tuned_scale(tuned, module, rows=True), tuned_scale(tuned, module, rows=False)
    if rows is not None:
        return weight * (rows[:, None] if weight.ndim == 2 else rows)
    if columns is not None:
        return weight * columns[None]
    merged: NDArray[np.float32] = weight + delta(tuned, module, recipe)
    if recipe.get("use_dora"):
        # the name has the ending in some files only
        name = f"{module}.lora_magnitude_vector"
        length = tuned[name if name in tuned else f"{name}.weight"].reshape(-1)
        merged = merged * (length / np.linalg.norm(merged, axis=1))[:, None]
    return merged


def tuned_scale(tuned: Weights, module: str, *, rows: bool) -> NDArray[np.float32] | None:
    """IA³'s scales of a layer's outputs (`rows`) or inputs; None where the layer has no such scales."""
    name = f"{module}.ia3_l"  # (outputs, 1) or (1, inputs)
    if name not in tuned or (tuned[name].shape[0] == 1) == rows:
        return None
    return tuned[name].reshape(-1)


def nf4(values: NDArray[np.float32], *, bf16: bool) -> NDArray[np.float32]:
    """Round weights to 4-bit NormalFloat, in blocks of 64 with a scale each.

    Args:
        values: Shape (out, in), with a whole number of blocks.
        bf16: Round values and result to bf16.
    """
    flat = (_bf16(values) if bf16 else values).reshape(-1, BLOCK)
    scale = np.abs(flat).max(axis=1, keepdims=True)
    normal = np.array(NORMAL, dtype=np.float32)
    # nearest level: between two midpoints
    places = np.searchsorted((normal[1:] + normal[:-1]) / 2, flat / np.where(scale == 0, 1, scale))
    rounded = (normal[places] * scale).reshape(values.shape)
    return _bf16(rounded) if bf16 else rounded


def _bf16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    bits = np.ascontiguousarray(values).view(np.uint32)
    # round half to even, as the hardware does
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def delta(tuned: Weights, module: str, recipe: Json) -> NDArray[np.float32]:
    """The change of one linear layer, f32 of shape (out, in)."""
    down, up = tuned[f"{module}.lora_A.weight"], tuned[f"{module}.lora_B.weight"]
    name = module.removeprefix(_PREFIX)
    rank = _of(recipe.get("rank_pattern"), name, recipe["r"])
    alpha = _of(recipe.get("alpha_pattern"), name, recipe["lora_alpha"])
    scale = alpha / (math.sqrt(rank) if recipe.get("use_rslora") else rank)
    change: NDArray[np.float32] = np.float32(scale) * (up @ down)
    return change


def _of(patterns: dict[str, float] | None, name: str, otherwise: float) -> float:
    """The rank or alpha of a layer: that of the first pattern which matches as in PEFT, else `otherwise`."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return otherwise


def _file(adapter: Adapter) -> Path:
    return Path(adapter.path) / "adapter_model.safetensors"
