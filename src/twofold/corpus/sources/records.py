"""Rows and JSON objects as documents, by a mapping of fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from pydantic import Field

from twofold.corpus.bounds import ALL, VALUE
from twofold.corpus.readers.fields import lines, value_text, with_fields
from twofold.errors import BadRecord, LeftOut
from twofold.files.reading import excerpt, kind
from twofold.hashing import digest
from twofold.plugins import protocols
from twofold.plugins.results import Item
from twofold.types import Document, Loaded, Place


class RecordOptions(protocols.Options):
    """The roles of a record's fields."""

    id: str = "id"
    """Field with the record's unique id."""
    text: str = ""
    """Field with the text; empty: all fields without another role, one ``name: value`` a line."""
    title: str = ""
    """Field with the title."""
    link: str = ""
    """Field with the address shown in citations."""
    state: str = ""
    """Field that changes whenever the record does (a time, a revision); empty: the whole record is compared."""
    readers_field: str = ""
    """Field with the users and groups that may read the record: a list, or names separated by commas."""
    fields: Mapping[str, str] = Field(default_factory=dict)
    """Metadata name → field; by default all other fields become metadata."""


def items_of(
    records: Iterable[Mapping[str, Any]], options: RecordOptions, *, where: str, called: str
) -> Iterator[Item]:
    """Turn records into items with unique ids.

    A join gives all rows of an order the order's id. The first row keeps the id; each further row gets a digest of its
    content behind the id, so that it stays the same item whatever rows precede it. A row that repeats an earlier one is
    left out with a remark.

    Args:
        records: The records.
        options: The roles of their fields.
        where: The place of the records, for messages and citations.
        called: The word for a record in citations: ``row`` or ``record``.
    """
    first: dict[str, str] = {}
    more: set[str] = set()
    for number, record in enumerate(records, 1):
        item = item_of(record, options, number=number, where=where, called=called)
        content = digest("record", text_values(record)).rsplit(":", 1)[-1][:_SHORT]
        if item.id not in first:
            first[item.id] = content
            yield item
            continue
        # rows of a join share an id: their content tells them apart
        name = f"{item.id}#{content}"
        if content == first[item.id] or name in more:
            yield Item(id=f"#{number}", state="", load=partial(_repeated, number, item.id, where))
        else:
            more.add(name)
            yield item_of(record, options, number=number, where=where, called=called, name=name)


_SHORT = 12
"""Hexadecimal digits of the digest that distinguishes rows of one id."""


def _repeated(number: int, name: str, where: str) -> Loaded:
    raise LeftOut(f"record {number} of {where} says again what an earlier one with the id {name!r} does")


def item_of(
    record: Mapping[str, Any], options: RecordOptions, *, number: int, where: str, called: str, name: str = ""
) -> Item:
    """A record as an item of its source; loading the item raises the problems of the record."""
    name = name or text_of(at(record, options.id))
    state = text_of(at(record, options.state)) if options.state else digest("record", text_values(record))

    def load() -> Loaded:
        if not name:
            raise BadRecord(
                f"record {number} of {where} has no {options.id!r}",
                cure="Set `id` in the source's section to the field that identifies a record.",
            )
        return Loaded(documents=(document_of(record, options, name=name, where=where, called=called),))

    return Item(id=name or f"#{number}", state=state, load=load)


def document_of(record: Mapping[str, Any], options: RecordOptions, *, name: str, where: str, called: str) -> Document:
    """The document of a record.

    Raises:
        BadRecord: a field named in the options is missing or of the wrong kind.
    """

    def field(key: str, what: str) -> Any:
        value = at(record, key)
        if value is MISSING:
            raise BadRecord(
                f"record {name!r} of {where} has no field {key!r}",
                cure=f"Correct `{what}` in the source's section; the fields are {', '.join(record) or 'none'}.",
            )
        return value

    reserved = {options.link, options.text, options.state, options.readers_field} - {""}
    rest = {str(key): value for key, value in record.items() if key not in reserved}
    if options.text:
        text = field(options.text, "text")
        if text is not None and not isinstance(text, (str, int, float)):
            raise BadRecord(f"field {options.text!r} of record {name!r} is {kind(text)}, not text")
        text = with_fields(text_of(text), {key: value for key, value in rest.items() if key != options.title})
    else:
        text = lines(rest, all_of_them=True)
    known = {options.id, options.title}
    metadata = {key: value for key, value in text_values(rest).items() if key not in known}
    if not options.text:  # long values are in the text, and nobody filters by them
        metadata = {key: value for key, value in metadata.items() if len(value) <= VALUE}
        metadata = metadata if sum(map(len, metadata)) <= ALL else {}  # `bounded` would refuse the document
    if options.fields:
        metadata = {to: text_of(field(key, "fields")) for to, key in options.fields.items()}
    readers: tuple[str, ...] | None = None
    if options.readers_field:
        readers_value = field(options.readers_field, "readers_field")
        names = readers_value if isinstance(readers_value, list) else text_of(readers_value).split(",")
        if readers_value is not None:
            stripped = [text_of(name).strip() for name in names]
            readers = tuple(name for name in stripped if name)
    label = f"{called} with {options.id} {excerpt(text_of(at(record, options.id)))}"
    return Document(
        id=name,
        text=text,
        title=text_of(field(options.title, "title")) if options.title else "",
        source=text_of(field(options.link, "link")) if options.link else where,
        metadata={key: value for key, value in metadata.items() if value},
        readers=readers,
        places=() if options.link else (Place(start=0, label=label),),
    )


MISSING = object()
"""The value of a field that a record does not have."""


def at(value: Any, path: str) -> Any:
    """The value at a dotted path (``data.items``, ``rows.0.name``), or `MISSING`; a key with a dot takes precedence."""
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
    texts = {str(key): text_of(value) for key, value in record.items()}
    return {key: value for key, value in texts.items() if value}


def text_of(value: Any) -> str:
    """As `value_text`; empty for a missing field."""
    return "" if value is MISSING else value_text(value)
