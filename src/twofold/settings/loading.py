"""`twofold.toml`, read strictly. Every value knows its origin; an unknown key is refused with the nearest name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from twofold.config import FILE, Config
from twofold.errors import ConfigError, MissingExtra, ProjectMissing, TwofoldError, UnknownName
from twofold.files.toml_values import merged, oddity
from twofold.plugins.loading import explain
from twofold.plugins.presets import PRESETS
from twofold.plugins.protocols import Options
from twofold.settings.sections import MetricPart, ModelSection, Part, RetrievalSection, SourceSection, ToolSection
from twofold.types import Json

_NAMED = ("models", "sources", "tools")
"""Tables of sections by name."""
_OVERRIDE_CURE = "Correct the value given with --set or another option; `twofold config` prints every key."
_VARIANT_CURE = "Correct the value given with --variant; `twofold config` prints every key."


def load(directory: Path, overrides: Json | None = None) -> Config:
    """Read ``directory/twofold.toml``; `overrides` are nested values laid over it (from the command line).

    Raises:
        ProjectMissing: there is no such file.
        ConfigError: naming file, line (for bad TOML) and key.
    """
    path = directory / FILE
    if not path.is_file():
        raise ProjectMissing(f"there is no {FILE} in {directory}")
    return parsed(path.read_bytes(), path, overrides)


def parsed(content: bytes, path: Path, overrides: Json | None = None) -> Config:
    """What `load` makes of a file with this content; `path` is where it stands or will, for messages.

    Raises:
        ConfigError: naming file, line (for bad TOML) and key.
    """
    try:
        # Line ends as a text file has them: TOML itself refuses those of old Macs.
        values = tomllib.loads(content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"invalid TOML: {error}", file=path, cure="Correct the named line, or restore the file from a copy."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8: {error}", file=path, cure="Save the file as UTF-8.") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets without end
        raise ConfigError(f"the file cannot be read: {str(error)[:100]}", file=path) from error
    if odd := oddity(values):
        raise ConfigError(odd, file=path)
    if odd := oddity(overrides or {}):
        raise ConfigError(f"override: {odd}", cure=_OVERRIDE_CURE)
    try:
        return _rooted(Config.model_validate(merged(values, overrides or {})), path.parent)
    except ValidationError as error:
        # Where the file alone is valid, the overrides are at fault.
        if overrides and not _faulty(values):
            raise ConfigError(
                explain(error, Config, "override"),
                cure=_OVERRIDE_CURE,
            ) from error
        raise ConfigError(explain(error, Config), file=path) from error


def _rooted(config: Config, directory: Path) -> Config:
    """The configuration with the files that options of metrics name as whole paths: a metric knows no project."""
    study = config.study

    def rooted(part: MetricPart) -> MetricPart:
        paths = {
            name: str((directory / value).resolve())
            for name, value in part.options.items()
            if name in _files(part.name) and isinstance(value, str)
        }
        return part.model_copy(update={"options": {**part.options, **paths}}) if paths else part

    # Without options there is no file; plugins are not looked up for the usual configuration.
    if not any(part.options for part in (study.metric, *study.metrics)):
        return config
    changed = {"metric": rooted(study.metric), "metrics": tuple(map(rooted, study.metrics))}
    return config.model_copy(update={"study": study.model_copy(update=changed)})


def _files(metric: str) -> tuple[str, ...]:
    """Names of a metric's options that are files; none of a metric that is unknown, which is refused elsewhere."""
    from twofold.plugins import loading
    from twofold.plugins.traits import MetricTraits

    try:
        return MetricTraits.of(loading.find("metrics", metric)).files
    except (UnknownName, MissingExtra):
        return ()


def _faulty(values: Json) -> bool:
    try:
        Config.model_validate(values)
    except ValidationError:
        return True
    return False


def laid_over(config: Config, values: Json, *, directory: Path | None = None) -> Config:
    """A configuration with nested values laid over it; naming another plugin drops the options of the one before.

    Args:
        config: The configuration.
        values: Nested, as in `twofold.toml`. A further model, source or tool that they name is changed where there is
            one of that name, and the others stay.
        directory: The project's, to which files in options of metrics are relative.

    Raises:
        ConfigError: an unknown key or a bad value.
    """
    if odd := oddity(values):
        raise ConfigError(odd, cure=_VARIANT_CURE)
    try:
        changed = Config.model_validate(_laid(config, values))
    except ValidationError as error:
        # The file is valid: what is laid over it is at fault.
        raise ConfigError(explain(error, Config, "variant"), cure=_VARIANT_CURE) from error
    return _rooted(changed, directory) if directory is not None else changed


def _laid(section: BaseModel, values: Json) -> Json:
    fields = list(type(section).model_fields.items())
    if isinstance(section, ModelSection):  # what it does not state it inherits, also from what is laid over
        fields = [(name, field) for name, field in fields if name in section.model_fields_set]
    out: Json = {field.alias or name: getattr(section, name) for name, field in fields}
    if isinstance(section, RetrievalSection) and "preset" in values:  # another preset brings its own stages
        out = {name: value for name, value in out.items() if name not in PRESETS["naive"]}
    for key, value in values.items():
        current = out.get(key)
        if isinstance(current, Part) and isinstance(value, dict):
            same = value.get("name", current.name) == current.name
            options = merged(current.options, value.get("options", {})) if same else value.get("options", {})
            out[key] = {**value, "name": value.get("name", current.name), "options": options}
        elif key in _NAMED and isinstance(section, Config) and isinstance(value, dict):
            known: Json = out[key]
            out[key] = {**known, **{name: _laid_on(known.get(name), part) for name, part in value.items()}}
        else:
            out[key] = _laid_on(current, value)
    return out


def _laid_on(current: Any, value: Any) -> Any:
    """A value laid over a section, key by key; over anything else as a whole."""
    return _laid(current, value) if isinstance(current, BaseModel) and isinstance(value, dict) else value


def origins(directory: Path, overrides: Json | None = None) -> list[tuple[str, Any, str]]:
    """Every value as ``(dotted key, value, origin)``; the origin is ``default``, ``twofold.toml`` or ``override``.

    Options of plugins are shown with the plugin's own defaults.
    """
    config = load(directory, overrides)
    file_values = tomllib.loads((directory / FILE).read_text(encoding="utf-8"))

    def origin(path: tuple[str, ...]) -> str:
        for name, tree in (("override", overrides or {}), (FILE, file_values)):
            here: Any = tree
            for part in path:
                here = here.get(part) if isinstance(here, dict) else None
                if here is None:
                    break
            else:
                return name
        if path[0] == "retrieval" and path[1] in PRESETS["naive"] and config.retrieval.preset != "naive":
            return f"preset {config.retrieval.preset}"
        return "default"

    return [(".".join(path), value, origin(path)) for path, value in every_value(config)]


def every_value(config: Config, faults: list[TwofoldError] | None = None) -> list[tuple[tuple[str, ...], Any]]:
    """Every value of a configuration by its path, options of plugins with the plugin's own defaults.

    Args:
        config: The configuration.
        faults: Gets what would be raised, each fault of a key; without it the first is raised.

    Raises:
        ConfigError: a plugin has no such option, or not with that value.
        UnknownName: there is no such plugin.
    """
    from twofold.plugins import loading

    rows: list[tuple[tuple[str, ...], Any]] = []

    def walk(path: tuple[str, ...], value: Any) -> None:
        if isinstance(value, SourceSection | ToolSection):
            for key in ("kind", "description", *(("metadata",) if path[0] == "sources" else ()), "readers"):
                walk((*path, key), getattr(value, key))
            kind: Any = path[0]
            for key, option in loading.options(kind, value.kind, value.options, where=".".join(path)):
                walk((*path, key), option)
        elif path in (("sources",), ("tools",), ("models",)):
            for key, source in value.items():
                walk((*path, key), source)
        elif isinstance(value, MetricPart):
            loading.options("metrics", value.name, value.options, where=".".join(path))
            rows.append((path, value.model_dump(mode="json")))
        elif isinstance(value, Part):
            walk((*path, "name"), value.name)
            kinds = {"retrieval.index": "indexes", "tuning.embedder": "trainers"}
            kind = kinds.get(".".join(path), path[-1] + "s")
            chosen: Options = loading.options(kind, value.name, value.options, where=".".join(path))
            for key, option in chosen.model_dump().items():
                walk((*path, "options", key), option)
        elif path in (("retrieval", "rewriters"), ("retrieval", "rerankers")):
            where, kind = ".".join(path), path[-1]
            named = [(p.name, loading.options(kind, p.name, p.options, where=where).model_dump()) for p in value]
            rows.append((path, [{"name": name, "options": chosen} for name, chosen in named]))
        elif path == ("study", "metrics"):
            for metric in value:
                loading.options("metrics", metric.name, metric.options, where=f"study.metrics: {metric.name}")
            rows.append((path, value))
        elif isinstance(value, BaseModel):
            for key, field in type(value).model_fields.items():
                # What a further model does not state it has from [generation].
                if isinstance(value, ModelSection) and key not in value.model_fields_set:
                    continue
                try:
                    walk((*path, field.alias or key), getattr(value, key))
                except (ConfigError, UnknownName) as fault:
                    if faults is None:
                        raise
                    faults.append(fault)
        else:
            rows.append((path, value))

    walk((), config)
    return rows
