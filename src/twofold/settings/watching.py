"""The section ``[watch]`` of `twofold.toml`: how often a project is looked at, and who hears of alarms."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from twofold.settings.sections import Section

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SHORTEST, LONGEST = 10, 400 * 86400
"""Seconds between two looks: a look takes seconds by itself, and readings are stored for 400 days."""
_LOCAL = ("localhost", "127.0.0.1", "::1")
"""Mail servers of this machine."""


def seconds_of(text: str) -> float:
    """Seconds of an interval such as ``90s``, ``15m``, ``6h`` or ``1d``.

    Raises:
        ValueError: it is none, or shorter than `SHORTEST` or longer than `LONGEST` seconds.
    """
    number, unit = text[:-1], text[-1:]
    # Decimals of other scripts are numbers to Python, and a typing mistake here.
    if unit not in _UNITS or not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise ValueError(f"{text!r} is no interval: write a number and a unit, such as 90s, 15m, 6h or 1d")
    seconds = int(number) * _UNITS[unit]
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError(f"{text!r} is outside of what is possible: write an interval from {SHORTEST}s to 400d")
    return float(seconds)


def _interval(text: str) -> str:
    if text:
        seconds_of(text)
    return text


class WebhookSection(Section):
    """Where alerts are posted, in the format of Standard Webhooks (https://www.standardwebhooks.com)."""

    url: str = Field(pattern=r"^https?://[^\s/?#]+(/\S*)?$")
    """Address of your own; redirects are not followed."""
    secret_env: str = ""
    """Environment variable with the secret that signs them, as it is or ``whsec_`` and base64; empty: no signature."""
    timeout: float = Field(default=10.0, gt=0, le=120)
    """Seconds that a delivery may take in all."""


class EmailSection(Section):
    """Server and addresses of alerts by e-mail."""

    host: str = Field(min_length=1, pattern=r"^\S+$")
    port: int = Field(default=587, ge=1, le=65535)
    sender: str = Field(pattern=r"^[^\s@,;]+@[^\s@,;]+$")
    """Address from which they come."""
    to: tuple[Annotated[str, Field(pattern=r"^[^\s@,;]+@[^\s@,;]+$")], ...] = Field(min_length=1)
    """Addresses to which they go."""
    user: str = ""
    """Login at the server; empty: none."""
    password_env: str = ""
    """Environment variable with its password."""
    starttls: bool = True
    """Encrypt the connection by STARTTLS; without it no login is sent, unless the server is on this machine."""
    timeout: float = Field(default=20.0, gt=0, le=120)
    """Seconds that a delivery may take in all."""

    @model_validator(mode="after")
    def _refuse_a_login_in_the_clear(self) -> EmailSection:
        if self.user and not self.starttls and self.host not in _LOCAL:
            raise ValueError(
                f"the login of {self.user!r} would go to {self.host!r} unencrypted: set starttls = true, or omit user"
            )
        return self


class WatchSection(Section):
    """Watching a project after its study, `twofold watch`."""

    every: Annotated[str, AfterValidator(_interval)] = ""
    """Look while `twofold serve` runs, so often: ``15m``, ``6h``, ``1d``; empty: not."""
    webhook: WebhookSection | None = None
    """Where alerts are posted; see `WebhookSection`."""
    email: EmailSection | None = None
    """To whom alerts are sent by e-mail; see `EmailSection`."""
