"""The JSON schema of ``[generation].schema``: read, checked, and refused where a generator cannot write by it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from twofold.errors import ConfigError, GenerationError
from twofold.metrics import json_schemas
from twofold.plugins.protocols import Generator
from twofold.types import Json, Problem

log = logging.getLogger(__name__)

_WHERE = "[generation].schema"
"""The setting's name, as messages say it."""
_NOT_ENFORCED = frozenset(
    [
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "multipleOf",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "additionalItems",
        "unevaluatedItems",
        "unevaluatedProperties",
        "$dynamicRef",
    ]
)
"""Keywords that OpenVINO GenAI (XGrammar) does not turn into the grammar by which it writes."""
_DEEPEST = 100
"""Most parts of a reference within a schema."""
_ANNOTATIONS = frozenset(
    [
        "$schema",
        "$id",
        "$anchor",
        "$dynamicAnchor",
        "$comment",
        "$defs",
        "$vocabulary",
        "definitions",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "format",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "id",
    ]
)
"""Keywords that a validator has no check of its own for."""


def schema_text(configured: str | Json, root: Path) -> str:
    """The configured schema as JSON text; empty where none is configured.

    Args:
        configured: Path of a JSON file, relative to `root`, or the schema itself.
        root: The project's directory.

    Raises:
        ConfigError: the file cannot be read or is not JSON, the schema is not a valid JSON schema, or one of its
            references leads nowhere.
    """
    if not configured:
        return ""
    schema, file = _checked(configured, root)
    for doubt in _doubts(schema):
        log.warning("%s: %s", file or "twofold.toml", doubt)
    return json.dumps(schema, ensure_ascii=False)  # the order of properties is the order in which they are written


def problems(configured: str | Json, root: Path) -> list[Problem]:
    """List faults of the configured schema for `twofold check`; empty if none is configured."""
    if not configured:
        return []
    cure = "Check the answers afterwards with the metric json_valid, or write the schema without that keyword."
    try:
        schema, file = _checked(configured, root)
    except ConfigError as error:
        return [_problem("error", error.message, cure=error.cure, file=error.file)]
    return [_problem("warning", doubt, cure=cure, file=file) for doubt in _doubts(schema)]


def _problem(severity: Literal["error", "warning"], message: str, *, cure: str, file: object) -> Problem:
    place = str(file or "twofold.toml")
    return Problem(severity=severity, code="config.schema", message=message, cure=cure, file=place)


def _checked(configured: str | Json, root: Path) -> tuple[Json, Path | None]:
    """The schema, and the file it comes from; raises as `schema_text` does."""
    file = root / configured if isinstance(configured, str) else None
    schema = configured if file is None else _read(file)
    if not isinstance(schema, dict):
        raise ConfigError(
            f"{_WHERE} must be a JSON object, not {type(schema).__name__}",
            file=file,
            cure='Write an object such as {"type": "object", "properties": {…}} into the file.',
        )
    cure = "Correct the schema in that file." if file else f"Correct {_WHERE} in twofold.toml."
    try:
        require_valid(schema, _WHERE, file=file, cure=cure)
    # Of the library, which compiles patterns and goes down the schema by recursion.
    except (OverflowError, RecursionError) as error:
        raise ConfigError(f"{_WHERE} cannot be checked: {error}", file=file, cure=cure) from error
    return schema, file


def require_valid(schema: Json, where: str, *, file: Path | None = None, cure: str) -> None:
    """Refuse what is no JSON schema, or refers to anything but a schema within itself: nothing is ever fetched.

    Args:
        schema: The schema.
        where: Where it stands, for the message.
        file: Its file, if any.
        cure: What to do about an invalid one.

    Raises:
        ConfigError: the schema is not valid, or one of its references leads to no schema.
    """
    import jsonschema

    named = schema.get("$schema", "")
    if not isinstance(named, str):  # which the library looks up before it checks anything
        raise ConfigError(f"{where} is not a valid JSON schema: $schema is no address", file=file, cure=cure)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = f" (at {error.json_path})" if error.path else ""
        raise ConfigError(
            f"{where} is not a valid JSON schema{place}: {error.message}", file=file, cure=cure
        ) from error
    if fault := json_schemas.unusable(schema, kind):
        raise ConfigError(f"{where} cannot be used: {fault}", file=file, cure=cure)
    # The first is enough: the user mends them one by one.
    reference = next(_unwritable(schema), None)
    if reference is None:
        reference = json_schemas.unresolved(schema, kind)
    if reference is not None:
        raise ConfigError(
            f"{where} refers to {reference!r}, where it defines no schema",
            file=file,
            cure='Put the definition under "$defs" of the schema and refer to it as "#/$defs/NAME".',
        )


def _parts(schema: Json) -> Iterator[Json]:
    """The schema and all schemas within it; what stands in enum, const, default or examples is none."""
    from referencing.jsonschema import DRAFT202012, specification_with

    kind = specification_with(str(schema.get("$schema", "")), default=DRAFT202012)
    waiting = [schema]
    # A stack instead of recursion: schemas come from users, and may be nested as deep as they like.
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += kind.subresources_of(part)


def _unwritable(schema: Json) -> Iterator[str]:
    """References that are no pointer into the schema: in writing, anchors and other documents are not looked up."""
    for part in _parts(schema):
        reference = part.get("$ref")
        # Longer than any pointer that people write: resolving takes a step for each of its parts.
        pointer = isinstance(reference, str) and reference.startswith("#/") and reference.count("/") <= _DEEPEST
        if reference is not None and reference != "#" and not pointer:
            yield str(reference)


def _doubts(schema: Json) -> list[str]:
    """Keywords that an answer is not held to, each once."""
    import jsonschema

    known = set(jsonschema.validators.validator_for(schema).VALIDATORS) | _ANNOTATIONS | _NOT_ENFORCED
    keywords = dict.fromkeys(chain.from_iterable(_parts(schema)))
    doubts = []
    for name in keywords:
        if name in _NOT_ENFORCED:
            doubts.append(f"the OpenVINO runtime does not hold answers to the keyword {name!r} of {_WHERE}")
        elif name not in known:
            near = get_close_matches(name, known, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            doubts.append(f"{_WHERE} has the keyword {name!r}, which JSON Schema does not define{meant}")
    if any(len(part.get("allOf", ())) > 1 for part in _parts(schema)):
        doubts.append(f"the OpenVINO runtime does not hold answers to an 'allOf' of several schemas in {_WHERE}")
    return doubts


def require_support(generator: Generator, *, arm: str = "") -> None:
    """Refuse a generator that cannot hold its completions to a schema.

    Args:
        generator: The generator.
        arm: The arm that needs it, as messages name it; empty: ``[generation].schema``, whatever the arm.

    Raises:
        GenerationError: it cannot.
    """
    if not generator.follows_schema:
        description = generator.description
        wish = f"{arm} holds its answers to a schema" if arm else f"{_WHERE} is set"
        raise GenerationError(
            f"{wish}, and the generator {description.get('name')!r} on the runtime "
            f"{description.get('runtime')!r} cannot constrain answers to a JSON schema "
            f"({description.get('because', 'not supported')})",
            cure='Set [generation.generator.options].runtime = "openvino", use an endpoint that can, or '
            + (f"leave {arm} out." if arm else f"remove {_WHERE}."),
        )


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"the file named in {_WHERE} cannot be read: {error.strerror}",
            file=file,
            cure=f"Put the JSON schema there, or correct the path in {_WHERE} (it is relative to the project).",
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"the file named in {_WHERE} is not JSON: {error}", file=file, cure="Correct the JSON in that file."
        ) from error
