"""The JSON schema of ``[generation].schema``: read, checked, and refused where a generator cannot write by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twofold.errors import ConfigError, GenerationError
from twofold.plugins import Generator
from twofold.types import Json

_WHERE = "[generation].schema"


def schema_text(given: str | Json, root: Path) -> str:
    """The configured schema as JSON text; empty where none is configured.

    Args:
        given: Path of a JSON file, relative to `root`, or the schema itself.
        root: The project's directory.

    Raises:
        ConfigError: the file cannot be read or is not JSON, or the schema is not a valid JSON schema.
    """
    if not given:
        return ""
    import jsonschema

    file = root / given if isinstance(given, str) else None
    schema = given if file is None else _read(file)
    if not isinstance(schema, dict):
        raise ConfigError(
            f"{_WHERE} must be a JSON object, not {type(schema).__name__}",
            file=file,
            cure='Write an object such as {"type": "object", "properties": {…}} into the file.',
        )
    try:
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        place = f" (at {error.json_path})" if error.path else ""
        raise ConfigError(
            f"{_WHERE} is not a valid JSON schema{place}: {error.message}",
            file=file,
            cure="Correct the schema in that file." if file else f"Correct {_WHERE} in twofold.toml.",
        ) from error
    return json.dumps(schema, ensure_ascii=False)  # the order of properties is the order in which they are written


def require_support(schema: str, generator: Generator) -> None:
    """Refuse a generator that cannot hold its completions to the schema.

    Raises:
        GenerationError: it cannot.
    """
    if schema and not generator.follows_schema:
        said = generator.description
        raise GenerationError(
            f"{_WHERE} is set, and the generator {said.get('name')!r} on the runtime {said.get('runtime')!r} "
            f"cannot hold its answers to a JSON schema ({said.get('because', 'not supported')})",
            cure='Set [generation.generator.options].runtime = "openvino", use an endpoint that can, or remove '
            f"{_WHERE}.",
        )


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"the file of {_WHERE} cannot be read: {error.strerror}",
            file=file,
            cure=f"Put the JSON schema there, or correct the path in {_WHERE} (it is relative to the project).",
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"the file of {_WHERE} is not JSON: {error}", file=file, cure="Correct the JSON in that file."
        ) from error
