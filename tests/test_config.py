"""The sections of `twofold.toml`."""

from __future__ import annotations

import pytest

from twofold.config import Config
from twofold.errors import ConfigError


def test_arms_by_name() -> None:
    settings = Config()
    assert settings.arm("ft+rag").tuning == "open-book"
    assert settings.arm("ft").tuning == "closed-book"
    order = [settings.arm(name).complexity for name in ("base", "prompt", "rag", "ft", "ft+rag")]
    assert order == sorted(set(order))
    with pytest.raises(ConfigError, match="unknown arm"):
        settings.arm("nope")
