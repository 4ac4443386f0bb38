"""The section `[traffic]` of `twofold.toml`: what a server keeps of what it was asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from twofold.settings.sections import Section
from twofold.text.patterns import fault

RedactKind = Literal["email", "phone", "bank", "card", "ip", "national id", "secret"]
KINDS: tuple[RedactKind, ...] = ("email", "phone", "bank", "card", "ip", "national id", "secret")
"""Kinds of personal data that are recognised, and secrets."""


class TrafficSection(Section):
    """The traffic log: what a server keeps of questions and answers; see the how-to page on traffic."""

    log: Literal["off", "metadata", "full"] = "off"
    """``metadata``: times, sizes, ids and counts of each answer; ``full``: with the texts, redacted."""
    days: float = Field(default=30.0, gt=0, le=36_500)
    """Days after which a row is deleted."""
    max_mib: float = Field(default=1024.0, ge=1, le=1_048_576)
    """Size of the file in MiB above which the oldest rows are deleted."""
    redact: tuple[RedactKind, ...] = KINDS
    """Kinds of personal data that are replaced by their name before anything is stored."""
    patterns: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9 _-]{0,39}$")], str] = Field(default_factory=dict)
    """Further data to redact: name → regular expression, without repetitions of any number (``*``, ``+``)."""
    salt_env: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    """Environment variable with the secret from which callers' pseudonyms are made; empty: a random one of the log."""

    @field_validator("patterns")
    @classmethod
    def _refuse_slow_patterns(cls, patterns: dict[str, str]) -> dict[str, str]:
        for name, pattern in patterns.items():
            if wrong := fault(pattern):
                raise ValueError(f"the pattern {name!r} ({pattern[:60]}) {wrong}")
        return patterns
