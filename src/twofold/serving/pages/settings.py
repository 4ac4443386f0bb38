"""Page: every setting in force, with where its value comes from; nothing here can be changed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from fastapi import APIRouter, Request  # noqa: TID253

from twofold.errors import TwofoldError
from twofold.hashing import plain
from twofold.project import Project
from twofold.serving.entrance import Administers, Served
from twofold.serving.pages.layout import page
from twofold.settings import loading as config_loading
from twofold.text.masking import masked

router = APIRouter(include_in_schema=False)
_ORIGINS = {"override": "--set"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """A setting as the page shows it."""

    key: str
    """Within its section, dotted."""
    value: str
    """As JSON; a secret is masked."""
    origin: str
    """``default``, ``twofold.toml``, ``--set``, ``preset …``; empty while the file cannot be read."""
    variable: str
    """What is to be said of the environment variable that the value names; may be empty."""
    changed: str
    """The value in the file now, where it differs from the one in force; else empty."""


@router.get("/settings")
def settings(request: Request, service: Served, caller: Administers, *, only: Literal["", "set"] = "") -> Any:
    """The settings, by section; ``only=set`` leaves out those that nobody set."""
    fault = ""
    try:
        sections = by_section(service.project)
    except TwofoldError as error:
        # A file that somebody is editing, or a plugin that is no longer installed, must not hide what is in force.
        fault = f"{error.message}. {error.cure}"
        sections = by_section(service.project, read=False)
    stale = any(row.changed for row in chain.from_iterable(sections.values()))
    if only:
        chosen = {name: _set_by_somebody(rows) for name, rows in sections.items()}
        sections = {name: rows for name, rows in chosen.items() if rows}
    return page(request, "settings", caller, sections=sections, fault=fault, stale=stale, only=only)


def by_section(project: Project, *, read: bool = True) -> dict[str, list[SettingRow]]:
    """Section → its settings, as they are in force.

    Args:
        project: As it was opened.
        read: Read the file, for the origins and for what changed since.

    Raises:
        ConfigError: the file is no longer valid.
        UnknownName: a plugin is not installed.
    """
    stored = config_loading.origins(project.directory, project.overrides) if read else []
    now = {key: (value, origin) for key, value, origin in stored}
    sections: dict[str, list[SettingRow]] = {}
    # What has a fault is left out where the file is not read: the caller has told of the fault.
    for path, value in config_loading.every_value(project.config, None if read else []):
        key = ".".join(path)
        later, origin = now.get(key, (value, ""))
        row = SettingRow(
            key=".".join(path[1:]),
            value=_shown(value, key),
            origin=_ORIGINS.get(origin, origin),
            variable=_variable(key, value),
            changed=_shown(later, key) if plain(later) != plain(value) else "",
        )
        sections.setdefault(path[0], []).append(row)
    return sections


def _set_by_somebody(rows: list[SettingRow]) -> list[SettingRow]:
    return [row for row in rows if row.origin != "default"]


def _shown(value: Any, key: str) -> str:
    return json.dumps(masked(plain(value), key), ensure_ascii=False)


def _variable(key: str, value: Any) -> str:
    if not key.endswith("_env") or not value:
        return ""
    # Is it set, never what it says.
    return "environment: set" if os.environ.get(str(value), "").strip() else "environment: not set"
