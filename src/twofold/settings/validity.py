"""The section on how long a verdict holds."""

from __future__ import annotations

from pydantic import Field

from twofold.settings.sections import Section


class ValiditySection(Section):
    """When a verdict stops to hold; see the how-to page on its validity."""

    max_age_days: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)
    """Days after which a verdict no longer holds, whatever has changed; 0: age alone ends none."""
