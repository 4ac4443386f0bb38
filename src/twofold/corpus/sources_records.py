"""Rows and JSON objects as documents, by a mapping of fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from twofold import plugins
from twofold.errors import BadRecord
from twofold.identity import digest
from twofold.plugins import Item
from twofold.reading import kind
from twofold.types import Document, Loaded


class RecordOptions(plugins.Options):
    """Which fields of a record are what."""

    id: str = "id"
    """Field with the record's identity; unique."""
    text: str = ""
    """Field with the text; empty: all fields that are nothing else, one ``name: value`` a line."""
    title: str = ""
    """Field with the title."""
    link: str = ""
    """Field with the address shown in citations."""
    state: str = ""
    """Field that changes whenever the record does (a time, a revision); empty: the whole record is compared."""
    readers_field: str = ""
    """Field with the users and groups that may read it: a list, or names separated by commas."""
    fields: Mapping[str, str] = Field(default_factory=dict)
    """Metadata name → field. Without it all other fields are metadata."""


def item_of(record: Mapping[str, Any], options: RecordOptions, *, number: int, where: str) -> Item:
    """A record as an item of its source; what is wrong with it is raised when it is loaded."""
    name = text_of(at(record, options.id))
    state = text_of(at(record, options.state)) if options.state else digest("record", text_values(record))

    def load() -> Loaded:
        if not name:
            raise BadRecord(
                f"record {number} of {where} has no {options.id!r}",
                cure="Name the field with the identity: `id` in the source's section.",
            )
        return Loaded(documents=(document_of(record, options, name=name, where=where),))

    return Item(id=name or f"#{number}", state=state, load=load)


def document_of(record: Mapping[str, Any], options: RecordOptions, *, name: str, where: str) -> Document:
    """The document that a record stands for.

    Raises:
        BadRecord: a field named in the options is missing or not of the right kind.
    """

    def field(key: str, what: str) -> Any:
        value = at(record, key)
        if value is MISSING:
            raise BadRecord(
                f"record {name!r} of {where} has no field {key!r}",
                cure=f"Correct `{what}` in the source's section; the fields are {', '.join(record) or 'none'}.",
            )
        return value

    own = {options.id, options.title, options.link, options.text, options.state, options.readers_field} - {""}
    rest = {key: value for key, value in text_values(record).items() if key not in own}
    if options.text:
        text = field(options.text, "text")
        if text is not None and not isinstance(text, (str, int, float)):
            raise BadRecord(f"field {options.text!r} of record {name!r} is {kind(text)}, not text")
        metadata = rest
    else:
        text = "\n".join(f"{key}: {value}" for key, value in rest.items())
        metadata = {}
    if options.fields:
        metadata = {to: text_of(field(key, "fields")) for to, key in options.fields.items()}
    readers = None
    if options.readers_field:
        given = field(options.readers_field, "readers_field")
        names = given if isinstance(given, list) else text_of(given).split(",")
        readers = tuple(one for one in (text_of(each).strip() for each in names) if one) if given is not None else None
    return Document(
        id=name,
        text=text_of(text),
        title=text_of(field(options.title, "title")) if options.title else "",
        source=text_of(field(options.link, "link")) if options.link else where,
        metadata={key: value for key, value in metadata.items() if value},
        readers=readers,
    )


MISSING = object()
"""Stands for a field that a record does not have."""


def at(value: Any, path: str) -> Any:
    """What stands at a dotted path (``data.items``, ``rows.0.name``), or `MISSING`; a key with a dot goes first."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    here = value
    for part in path.split(".") if path else ():
        if isinstance(here, Mapping) and part in here:
            here = here[part]
        elif isinstance(here, list) and part.isdigit() and int(part) < len(here):
            here = here[int(part)]
        else:
            return MISSING
    return here


def text_values(record: Mapping[str, Any]) -> dict[str, str]:
    """All fields as text, empty ones left out."""
    made = {str(key): text_of(value) for key, value in record.items()}
    return {key: value for key, value in made.items() if value}


def text_of(value: Any) -> str:
    """A value as text: nothing for null, JSON for lists and objects, ISO for times."""
    import json

    if value is None or value is MISSING:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    as_iso: Callable[[], str] | None = getattr(value, "isoformat", None)
    return as_iso() if as_iso else str(value)
