"""The section `[audit]` of `twofold.toml`: the log of who was served what, and who changed what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from twofold.settings.sections import Section


class AuditSection(Section):
    """The audit log; see the how-to page on auditing. Read from `twofold.toml` alone, never from ``--set``."""

    enabled: bool = False
    """Log every answer and search that is served, every refusal, and every command that changes something."""
    texts: bool = False
    """Store questions and answers beside the log, too, each under a salted digest that the log names."""
    on_failure: Literal["serve", "refuse"] = "serve"
    """Where the log cannot be written: go on and count what it lacks (``serve``), or refuse requests and commands."""
    key_env: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    """Environment variable with the log's key: without the key nobody can write a log that verifies with it."""
    key_file: str = ""
    """File with the log's key, relative to the project, in place of `key_env`; keep it where the log is not."""

    @model_validator(mode="after")
    def _refuse_two_keys(self) -> AuditSection:
        if self.key_env and self.key_file:
            raise ValueError("[audit] names both key_env and key_file: name the one that has the key")
        return self
