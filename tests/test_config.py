"""The sections of `twofold.toml`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from twofold.config import Config, CostsSection
from twofold.errors import ConfigError


def test_arms_by_name() -> None:
    settings = Config()
    assert settings.arm("ft+rag").tuning == "open-book"
    assert settings.arm("ft").tuning == "closed-book"
    order = [settings.arm(name).complexity for name in ("base", "prompt", "rag", "ft", "ft+rag")]
    assert order == sorted(set(order))
    with pytest.raises(ConfigError, match="unknown arm"):
        settings.arm("nope")


@pytest.mark.parametrize("name", ["volume", "months", "utilisation", "updates", "hours_month"])
@pytest.mark.parametrize("value", [1e300, -1.0, float("nan"), float("inf")])
def test_no_use_makes_a_cost_infinite(name: str, value: float) -> None:
    with pytest.raises(ValidationError):
        CostsSection.model_validate({name: value})
    if name in ("volume", "months", "utilisation"):  # what costs are divided by
        with pytest.raises(ValidationError):
            CostsSection.model_validate({name: 1e-320})
