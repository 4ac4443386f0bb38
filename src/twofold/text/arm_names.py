"""Names of arms: parts such as ``ft+rag``, after the name of a further model and a slash where such a model answers.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable


def model_of(arm: str) -> str:
    """The further model that an arm's name begins with; empty for an arm of the project's own model."""
    return arm.rpartition("/")[0]


def without_model(arm: str) -> str:
    """An arm's name without its model: ``rag`` for ``big/rag``."""
    return arm.rpartition("/")[2]


def of_model(parts: str, model: str) -> str:
    """Name of the arm with these parts of a model; an empty model is the project's own."""
    return f"{model}/{parts}" if model else parts


def without_passages(arm: str) -> str:
    """The arm of the same model whose prompts lack an arm's passages or documents; empty for an arm without any."""
    parts = without_model(arm).split("+")
    left = [part for part in parts if part not in ("rag", "whole")]
    return of_model("+".join(left) or "base", model_of(arm)) if left != parts else ""


def models_of(arms: Iterable[str]) -> list[str]:
    """The models of arms, each once, in the order of the arms; the project's own is the empty name."""
    return list(dict.fromkeys(map(model_of, arms)))
