"""Find plugins by name among entry points, check their options, and name a missing package with its cure."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from twofold.errors import ConfigError, MissingExtra, UnknownName, install
from twofold.plugins.protocols import Kind, Options
from twofold.types import (
    Json,
)


@lru_cache(maxsize=64)
def _points(kind: Kind) -> tuple[Any, ...]:
    """Entry points of a kind; finding them reads the metadata of every installed package, 20 ms each time."""
    return tuple(importlib.metadata.entry_points(group=f"twofold.{kind}"))


_REGISTERED: dict[tuple[Kind, str], Any] = {}
"""Plugin classes that this process registered, by kind and name; they come before installed ones."""


@contextmanager
def registered(kind: Kind, name: str, plugin: Any) -> Iterator[None]:
    """Make a plugin class known under a name within a ``with`` block, as if a package had installed it.

    For tests and notebooks; child processes do not see it. The class that the name stood for comes back afterwards.
    """
    previous = _REGISTERED.get((kind, name))
    _REGISTERED[kind, name] = plugin
    try:
        yield
    finally:
        if previous is None:
            del _REGISTERED[kind, name]
        else:
            _REGISTERED[kind, name] = previous


def names(kind: Kind) -> list[str]:
    """Names of all installed and registered plugins of a kind, sorted."""
    installed = {point.name for point in _points(kind)}
    return sorted(installed | {name for of, name in _REGISTERED if of == kind})


def find(kind: Kind, name: str) -> Any:
    """The plugin class of that name.

    Raises:
        UnknownName: there is no plugin of that name; the cure has the nearest names.
        MissingExtra: importing the plugin needs an optional dependency that is not installed.
    """
    if (kind, name) in _REGISTERED:
        return _REGISTERED[kind, name]
    for point in _points(kind):
        if point.name != name:
            continue
        try:
            return point.load()
        except ModuleNotFoundError as error:
            raise _missing(kind, name, error, module=point.module) from error
    known = names(kind)
    holding = sorted((one for one in known if name and name in one), key=len)[:6]
    near = get_close_matches(name, known, 1) or holding
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise UnknownName(f"unknown {kind[:-1]} {name!r}", cure=f"{hint}Installed: {', '.join(known) or 'none'}.")


def options(kind: Kind, name: str, values: Json, *, where: str = "") -> Options:
    """Validate option values against the plugin's own `Options`.

    Raises:
        ConfigError: a value is not valid; the message names its key, and for an unknown key the nearest known one.
    """
    cls = find(kind, name)
    try:
        validated: Options = cls.Options.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error, cls.Options, where or f"{kind[:-1]} {name!r}")) from error
    return validated


def make(kind: Kind, name: str, values: Json, /, **collaborators: Any) -> Any:
    """Find, validate and construct a plugin.

    Raises:
        MissingExtra: the plugin needs an optional dependency that is not installed.
    """
    validated, cls = options(kind, name, values), find(kind, name)
    try:
        return cls(validated, **collaborators)
    except ModuleNotFoundError as error:
        # a plugin may import its package only when it is made
        raise _missing(kind, name, error, module=cls.__module__) from error


def _missing(kind: Kind, name: str, error: ModuleNotFoundError, *, module: str) -> Exception:
    """The error that names the package which the plugin lacks.

    For a plugin of another package no extra of Twofold is named, since none installs that plugin's dependencies.
    """
    package_of_plugin, _, _ = module.partition(".")
    package, _, _ = (error.name or "").partition(".")
    # a missing module of Twofold or of the plugin itself is a fault in the code, which no installation cures
    if package in ("twofold", package_of_plugin) and package:
        return error
    theirs = f"Install the package that has the module {package!r}, as the documentation of {package_of_plugin!r} says."
    return MissingExtra(
        f"the {kind[:-1]} {name!r} needs the package {package!r}, which is not installed",
        cure=install(_EXTRA_OF.get(package, "all")) if package_of_plugin == "twofold" else theirs,
    )


def explain(error: ValidationError, model: type[BaseModel], where: str = "") -> str:
    """A pydantic error as one plain sentence per fault, with the nearest known key for an unknown one."""
    faults = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            known = _fields_at(model, fault["loc"][:-1])
            near = get_close_matches(str(fault["loc"][-1]), known, 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known) or 'none'}"
            faults.append(f"unknown key {key!r}{hint}")
        else:
            faults.append(f"{key}: {fault['msg'][:1].lower()}{fault['msg'][1:]} (got {fault['input']!r})")
    return "; ".join(f"{where}: {fault}" if where else fault for fault in faults)


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    here: Any = model
    for part in path:
        if isinstance(part, int) or not hasattr(here, "model_fields"):  # a place in a list, or a tag of a union
            continue
        inner = here.model_fields.get(part)
        if inner is None:
            return []
        here = _model_in(inner.annotation)
    return [f.alias or name for name, f in here.model_fields.items()] if hasattr(here, "model_fields") else []


def _model_in(annotation: Any) -> Any:
    """The pydantic model of an annotation, by itself or in a list or a union; without one, the annotation."""
    if hasattr(annotation, "model_fields"):
        return annotation
    inner = (_model_in(one) for one in get_args(annotation))
    return next((one for one in inner if hasattr(one, "model_fields")), annotation)


# the module that an import names, not the package: `qdrant_client` and `qdrant-client` differ
_EXTRA_OF = {
    "openvino": "local",
    "openvino_genai": "local",
    "lancedb": "local",
    "tokenizers": "local",
    "gguf": "local",
    "pyarrow": "local",
    "torch": "train",
    "transformers": "train",
    "peft": "train",
    "safetensors": "train",
    "obstore": "scale",
    "protego": "sources",
    "sqlalchemy": "sources",
    "watchfiles": "sources",
    "psycopg": "pgvector",
    "qdrant_client": "qdrant",
    "weaviate": "weaviate",
    "pinecone": "pinecone",
}
