"""Copies of an adapter with another strength, and several adapters in one.

A LoRA adapter changes a weight by alpha / r · B · A (Hu et al. 2021), so an adapter scaled by λ is the same adapter
with λ · alpha: every runtime, merged or not, here or after export, applies that share. A weighted sum of such changes
is an adapter too, whose rank is the sum of their ranks: combining them loses nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twofold.errors import StoreError
from twofold.models.tensors import Weights, write_safetensors
from twofold.types import Json

_RECIPE, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def why_not_scalable(adapter: Path) -> str:
    """The reason why this adapter cannot be scaled; empty when it can."""
    path = adapter / _RECIPE
    if not path.is_file():
        return "it is not an adapter directory of PEFT"
    recipe = _recipe(adapter)
    kind = recipe.get("peft_type")
    if kind != "LORA":
        return f"{kind} does not change the weights by a difference"
    if recipe.get("use_dora"):
        return "DoRA scales whole weights, not a difference"
    if recipe.get("modules_to_save") or recipe.get("bias", "none") != "none":
        return "it holds whole modules or biases beside its differences"
    return ""


def scaled(adapter: Path, coefficient: float, target: Path) -> None:
    """Make `target` a copy of the adapter directory with `coefficient` times the change. Big files are shared.

    Raises:
        StoreError: the adapter cannot be scaled (see `why_not_scalable`), or the disk refuses.
    """
    reason = why_not_scalable(adapter) if coefficient != 1 else ""
    if reason:
        raise StoreError(f"no share of this adapter can be taken: {reason}", file=adapter)
    try:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        # the manifest describes the original
        for path in sorted(p for p in adapter.rglob("*") if p.is_file() and p.name != "manifest.json"):
            place = target / path.relative_to(adapter)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:  # a hard link: the weights of several strengths take the space of one
                os.link(path, place)
            except OSError:
                shutil.copyfile(path, place)
        if coefficient != 1:
            recipe = _recipe(adapter)
            recipe["lora_alpha"] *= coefficient
            recipe["alpha_pattern"] = {k: v * coefficient for k, v in (recipe.get("alpha_pattern") or {}).items()}
            (target / _RECIPE).unlink()  # it is a link: writing through it would change the original, too
            (target / _RECIPE).write_text(json.dumps(recipe, indent=2, sort_keys=True), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the adapter cannot be copied: {error.strerror or error}", file=target) from error


def combined(parts: Sequence[tuple[Path, float]], target: Path) -> None:
    """Make `target` one adapter that changes the weights by the weighted sum of the parts' changes.

    Args:
        parts: LoRA adapter directories of one base model, each with its weight.
        target: Directory, made.

    Raises:
        StoreError: a part is no plain LoRA adapter.
        ModelError: a part's weights cannot be read.
    """
    recipes = []
    stacks: dict[str, tuple[list[Any], list[Any]]] = {}
    for path, weight in parts:
        reason = why_not_scalable(path)
        if reason:
            raise StoreError(f"it cannot be put together with others: {reason}", file=path)
        recipe, tensors = _recipe(path), Weights(path / _WEIGHTS)
        recipes.append(recipe)
        for name in sorted(n for n in tensors if ".lora_A." in n):
            layer = name.split(".lora_A.")[0]
            # A: (rank, inputs), B: (outputs, rank)
            down, up = tensors[name], tensors[name.replace(".lora_A.", ".lora_B.")]
            downs, ups = stacks.setdefault(layer, ([], []))
            downs.append(down)
            # weight and scale go into B, so that parts of different alpha can share the alpha below
            ups.append(up * np.float32(weight * _scale(recipe, layer, len(down))))
    stacked, ranks = {}, {}
    for layer, (downs, ups) in stacks.items():
        stacked[f"{layer}.lora_A.weight"] = np.ascontiguousarray(np.concatenate(downs, axis=0))
        stacked[f"{layer}.lora_B.weight"] = np.ascontiguousarray(np.concatenate(ups, axis=1))
        ranks[layer.removeprefix("base_model.model.")] = sum(len(one) for one in downs)
    # r and alpha here are not used: every layer has a pattern of its own
    whole = {**recipes[0], "r": 1, "lora_alpha": 1.0, "use_rslora": False, "rank_pattern": ranks}
    # alpha = rank in every layer: the scale alpha / rank is 1
    whole["alpha_pattern"] = {layer: float(rank) for layer, rank in ranks.items()}
    whole["target_modules"] = sorted({layer.rpartition(".")[2] for layer in ranks})
    target.mkdir(parents=True, exist_ok=True)
    write_safetensors(target / _WEIGHTS, ((name, "", values) for name, values in stacked.items()))
    (target / _RECIPE).write_text(json.dumps(whole, indent=2, sort_keys=True), encoding="utf-8")


def _scale(recipe: Json, layer: str, rank: int) -> float:
    """The scale of a layer: alpha (that of a pattern which matches the layer) over r, or over √r for rsLoRA."""
    alpha = recipe["lora_alpha"]
    for pattern, value in (recipe.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", layer):
            alpha = value
            break
    return float(alpha) / (rank**0.5 if recipe.get("use_rslora") else rank)


def _recipe(adapter: Path) -> Json:
    path = adapter / _RECIPE
    try:
        recipe: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"the adapter's configuration cannot be read: {error}", file=path) from error
    return recipe
