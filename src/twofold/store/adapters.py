"""Copies of an adapter with another strength.

A LoRA adapter changes a weight by alpha / r · B · A (Hu et al. 2021), so the share λ of the change is the same adapter
with λ · alpha: whoever applies it, merged or not, here or after export, applies that share.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from twofold.errors import StoreError
from twofold.types import Json

_RECIPE = "adapter_config.json"


def why_not_scalable(adapter: Path) -> str:
    """Why no share of this adapter's change can be taken; empty when it can."""
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
        StoreError: it cannot be scaled (see `why_not_scalable`), or the disk refuses.
    """
    reason = why_not_scalable(adapter) if coefficient != 1 else ""
    if reason:
        raise StoreError(f"no share of this adapter can be taken: {reason}", file=adapter)
    try:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path in sorted(p for p in adapter.rglob("*") if p.is_file() and p.name != "manifest.json"):
            place = target / path.relative_to(adapter)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, place)
            except OSError:
                shutil.copyfile(path, place)
        if coefficient != 1:
            recipe = _recipe(adapter)
            recipe["lora_alpha"] *= coefficient
            recipe["alpha_pattern"] = {k: v * coefficient for k, v in (recipe.get("alpha_pattern") or {}).items()}
            (target / _RECIPE).unlink()
            (target / _RECIPE).write_text(json.dumps(recipe, indent=2, sort_keys=True), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the adapter cannot be copied: {error.strerror or error}", file=target) from error


def _recipe(adapter: Path) -> Json:
    path = adapter / _RECIPE
    try:
        made: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"the adapter's configuration cannot be read: {error}", file=path) from error
    return made
