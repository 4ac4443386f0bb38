"""What the files of a sentence encoder say of it, whatever runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from twofold.errors import ModelError
from twofold.types import Json

Pooling = Literal["mean", "cls"]
"""How token states become one vector: their mean, or the first token's."""
_CURE = "Use a sentence encoder that pools by mean or first token, such as all-minilm-l6-v2."


def read_pooling(directory: Path) -> Pooling:
    """How a sentence encoder makes one vector of its token states; mean where it does not say.

    Raises:
        ModelError: its pooling is neither mean nor first token.
    """
    path = directory / "1_Pooling" / "config.json"
    config = read_config(path) if path.is_file() else {"pooling_mode_mean_tokens": True}
    modes = [name for name, on in config.items() if name.startswith("pooling_mode_") and on]
    names: dict[str, Pooling] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(modes) != 1 or modes[0] not in names:
        raise ModelError(f"unsupported pooling {modes}; expected mean or first-token", file=path, cure=_CURE)
    return names[modes[0]]


def read_config(path: Path) -> Json:
    """One of its JSON files.

    Raises:
        ModelError: it is missing or damaged.
    """
    try:
        config: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the model configuration cannot be read: {error}", file=path, cure=_CURE) from error
    return config
