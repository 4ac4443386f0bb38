"""Configuration files of a sentence encoder, for every embedder that runs one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from twofold.errors import ModelError
from twofold.types import Json

Pooling = Literal["mean", "cls"]
"""The state that becomes a text's vector: the mean of its tokens' states, or the first token's."""
_CURE = "Use a sentence encoder that pools by mean or first token, such as all-minilm-l6-v2."


def read_pooling(directory: Path) -> Pooling:
    """The way that a sentence encoder combines its token states into one vector; the mean where no file says.

    Raises:
        ModelError: the pooling is neither mean nor first token.
    """
    path = directory / "1_Pooling" / "config.json"
    config = read_config(path) if path.is_file() else {"pooling_mode_mean_tokens": True}
    modes = [name for name, on in config.items() if name.startswith("pooling_mode_") and on]
    names: dict[str, Pooling] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(modes) != 1 or modes[0] not in names:
        raise ModelError(f"unsupported pooling {modes}; expected mean or first-token", file=path, cure=_CURE)
    return names[modes[0]]


def read_config(path: Path) -> Json:
    """Read one of the encoder's JSON files.

    Raises:
        ModelError: the file is missing or damaged.
    """
    try:
        config: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the model configuration cannot be read: {error}", file=path, cure=_CURE) from error
    return config
