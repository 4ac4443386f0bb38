"""Code shared by live tools: arguments from a question, a cache with a limit of age, and records as a passage.

A tool's passage is a document, ``tool:NAME:ARGUMENTS``, whose whole text is shown, so that it can be cited. When the
source is down, a cached answer is served with a note of its age as part of the text.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

from pydantic import Field, field_validator

from twofold.corpus.chunkers.cutting import chunk_of
from twofold.errors import AccessDenied, BadRecord, ConfigError, SourceEndless, SourceError, SourceUnreachable
from twofold.files import writing
from twofold.hashing import digest
from twofold.plugins import protocols
from twofold.plugins.results import ToolAnswer
from twofold.types import Document, Filter, Json, Place

_PATTERNS = {
    "text": r"[A-Z][\w'’-]*(?:\s+[A-Z][\w'’-]*)*",
    "integer": r"-?\b\d+\b",
    "number": r"-?\b\d+(?:\.\d+)?\b",
    "date": r"\b\d{4}-\d{2}-\d{2}\b",
}
_CACHED = 1000
"""Answers of a tool that are cached on disk, the newest."""


class Parameter(protocols.Options):
    """A named argument of a tool."""

    type: Literal["text", "integer", "number", "date"] = "text"
    """Type of the argument. Without a `pattern` the value is the first text of that form in the question; for ``text``,
    a name that does not begin the question."""
    pattern: str = ""
    """Regular expression that finds the value in the question; its first group is the value, where it has groups."""
    values: tuple[str, ...] = ()
    """The only allowed values; the first one in the question is used, whatever its case."""
    default: str | None = None
    """Value for a question without one."""
    asker: bool = False
    """The value is the name of the user, from the request's principal; neither question nor model can set it."""
    description: str = ""
    """Description for a model."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    def value_in(self, question: str) -> str | None:
        """The argument's value in the question; the default, or None, where the question has none."""
        for value in self.values:
            # not \b: a value may begin or end with a sign
            if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", question, re.IGNORECASE):
                return value
        if not self.values:
            # a name is recognised by its capital, which the question's first word has anyway
            text = question if self.pattern or self.type != "text" else re.sub(r"^\W*\w+", "", question, count=1)
            match = re.search(self.pattern or _PATTERNS[self.type], text)
            if match:
                return (match.group(1) if match.re.groups else match.group()) or self.default
        return self.default

    def read(self, name: str, value: object) -> Any:
        """The value in its type.

        Raises:
            BadRecord: the value is not of the type, or not allowed.
        """
        text = str(value).strip()
        try:
            if self.values and text.casefold() not in {one.casefold() for one in self.values}:
                raise ValueError(f"only {', '.join(self.values)}")
            if self.values:
                text = next(one for one in self.values if one.casefold() == text.casefold())
            if isinstance(value, (dict, list)) or not text or len(text) > 500 or not text.isprintable():
                raise ValueError("empty, too long, or not one line of text")
            convert: dict[str, Callable[[str], Any]] = {
                "integer": int,
                "number": float,
                "date": date.fromisoformat,
                "text": str,
            }
            typed = convert[self.type](text)
        except ValueError as error:
            raise BadRecord(
                f"the argument {name} = {text[:60]!r} is not allowed: {error}", cure=f"Give a {self.type}."
            ) from error
        return typed.isoformat() if isinstance(typed, date) else typed


class LiveOptions(protocols.Options):
    """Options that all live tools have."""

    when: str = ""
    """Regular expression: the tool is called for questions that match, if they contain the arguments. Empty: only a
    model calls the tool."""
    parameters: Mapping[str, Parameter] = Field(default_factory=dict)
    """Named arguments."""
    sentence: str = ""
    """Sentence for a record, for example ``In {city} it is {temperature} °C.``; empty: ``field: value`` pairs."""
    timeout: float = Field(default=5.0, gt=0)
    """Seconds for one call, retries included."""
    retries: int = Field(default=1, ge=0)
    """Further attempts when the source is down."""
    fresh: float = Field(default=300.0, ge=0)
    """Seconds for which a cached answer is served without a new call."""
    stale: float = Field(default=86_400.0, ge=0)
    """Seconds for which a cached answer is served, marked as old, while the source is down."""
    max_rows: int = Field(default=20, ge=1)
    """Most records shown; the passage says how many were left out."""
    max_bytes: int = Field(default=1_000_000, ge=100)
    """Most bytes from the source; more are refused."""
    max_chars: int = Field(default=2000, ge=100)
    """Longest passage, of whole records; the passage says how many were left out."""

    @field_validator("when")
    @classmethod
    def _compiles(cls, value: str) -> str:
        return Parameter(pattern=value).pattern


class LiveTool(ABC):
    """A live source under limits, with a cache; subclasses implement `fetch`.

    Args:
        options: See `LiveOptions`.
        name: The tool's name.
        description: The information that the tool returns.
        readers: Users and groups that may see it; None: unknown.
        root: The project.
        scratch: The directory of the cache.
    """

    version: ClassVar[int] = 1

    def __init__(
        self,
        options: Any,
        *,
        name: str,
        description: str,
        readers: tuple[str, ...] | None,
        root: Path,
        scratch: Path,
    ) -> None:
        self.name = name
        self.description = description
        self.options = options
        self._readers = readers
        self._root = root
        self._scratch = scratch
        # part of a cached answer's name: an answer under other options is not found
        self._spec = digest("tool", {"options": options.model_dump(mode="json"), "version": self.version})

    @abstractmethod
    def fetch(self, arguments: Mapping[str, Any], seconds: float) -> list[Mapping[str, Any]]:
        """The source's records for these arguments, within `seconds`.

        Raises:
            SourceError: the source cannot be reached, refuses, or returns something unexpected.
        """

    @property
    def schema(self) -> Json:
        """JSON schema of the arguments that a model gives."""
        shown = {name: one for name, one in self.options.parameters.items() if not one.asker}
        properties: dict[str, Json] = {}
        for name, parameter in shown.items():
            # Dates and the like are texts in JSON.
            described: Json = {"type": parameter.type if parameter.type in ("integer", "number") else "string"}
            if parameter.description:
                described["description"] = parameter.description
            if parameter.values:
                described["enum"] = list(parameter.values)
            properties[name] = described
        return {
            "type": "object",
            "properties": properties,
            "required": [name for name, one in shown.items() if one.default is None],
            "additionalProperties": False,
        }

    def allows(self, filter: Filter) -> bool:
        """Does the filter allow this tool's passages, and name the user where an argument needs the name?"""
        needs = any(one.asker for one in self.options.parameters.values())
        return filter.allows(chunk_of(self._document("-", "-"), 0, 1)) and not (needs and _asker(filter) is None)

    def arguments(self, question: str) -> Json | None:
        """The arguments in the question; None when the question is not for this tool."""
        if not self.options.when or not re.search(self.options.when, question, re.IGNORECASE):
            return None
        # the user's name comes from the request, never from the question
        parameters = {name: parameter for name, parameter in self.options.parameters.items() if not parameter.asker}
        arguments = {name: parameter.value_in(question) for name, parameter in parameters.items()}
        return None if any(value is None for value in arguments.values()) else arguments

    def call(self, arguments: Mapping[str, Any], *, filter: Filter, seconds: float) -> ToolAnswer:
        """Query the source, or take a cached answer; see `protocols.Tool`."""
        if not self.allows(filter):
            raise AccessDenied(f"the tool {self.name!r} is not for who asks")
        checked = self._read(arguments, filter)
        cached = self._cached(checked)
        if cached and _apart(cached) <= self.options.fresh:
            return self._answer(checked, cached, ToolAnswer(cached=True))
        try:
            records = self._fetched(checked, min(seconds, self.options.timeout))
        except SourceError as error:
            if cached and _apart(cached) <= self.options.stale:
                note = f"{self.name} cannot be had now ({error.message}); this is as of {_moment(cached['at'])}"
                return self._answer(checked, cached, ToolAnswer(cached=True, stale=True, down=True, note=note))
            return ToolAnswer(note=f"{self.name} cannot be had now: {error.message}", down=True)
        if not records:
            return ToolAnswer(note=f"{self.name} has nothing for {_arguments_text(checked)}")
        try:
            answer = {"at": time.time(), "text": self._text(records)}
        except SourceError as error:
            return ToolAnswer(note=f"{self.name} cannot be told: {error.message}")
        self._store(checked, answer)
        return self._answer(checked, answer, ToolAnswer())

    def _read(self, arguments: Mapping[str, Any], filter: Filter) -> Json:
        parameters = self.options.parameters
        unknown = sorted(set(arguments) - {name for name, parameter in parameters.items() if not parameter.asker})
        if unknown:
            raise BadRecord(f"{self.name} has no argument {', '.join(unknown)}", cure="See its [tools] section.")
        checked = {}
        for name, parameter in parameters.items():
            value = _asker(filter) if parameter.asker else arguments.get(name, parameter.default)
            if value is None:
                raise BadRecord(f"{self.name} needs the argument {name}", cure="See its [tools] section.")
            checked[name] = value if parameter.asker else parameter.read(name, value)
        return checked

    def _fetched(self, arguments: Json, seconds: float) -> list[Mapping[str, Any]]:
        deadline = time.monotonic() + seconds
        attempt = 0
        while True:
            left = deadline - time.monotonic()
            try:
                # the source gets the limit, and its thread is abandoned where it does not keep it
                limit = max(left, 0.001)
                records: list[Mapping[str, Any]] = within(limit, partial(self.fetch, arguments, limit))
                return records
            except SourceUnreachable:
                wait = 0.1 * 2**attempt
                attempt += 1
                if attempt > self.options.retries or time.monotonic() + wait >= deadline:
                    raise
                time.sleep(wait)

    def _text(self, records: Sequence[Mapping[str, Any]]) -> str:
        lines: list[str] = []
        for record in records[: self.options.max_rows]:
            line = record_text(record, self.options.sentence)
            # whole records only, except the first: something is always shown
            if lines and sum(map(len, lines)) + len(lines) + len(line) > self.options.max_chars:
                break
            lines.append(line[: self.options.max_chars])
        left = len(records) - len(lines)
        return "\n".join([*lines, f"({left} more not shown)"] if left else lines)

    def _document(self, arguments: str, text: str, place: str = "") -> Document:
        return Document(
            id=f"tool:{self.name}:{arguments}",
            text=text,
            title=self.name,
            source=f"tool:{self.name}",
            collection=self.name,
            readers=self._readers,
            places=(Place(start=0, label=place),) if place else (),
        )

    def _answer(self, arguments: Json, entry: Json, shell: ToolAnswer) -> ToolAnswer:
        text = f"{entry['text']}\n({shell.note}.)" if shell.stale else entry["text"]
        document = self._document(urlencode(arguments), text, f"fetched {_moment(entry['at'])}")
        return ToolAnswer(
            chunks=(chunk_of(document, 0, len(text)),), note=shell.note, cached=shell.cached, stale=shell.stale
        )

    def _file(self, arguments: Json) -> Path:
        return self._scratch / f"{digest('call', [self._spec, arguments]).partition(':')[2]}.json"

    def _cached(self, arguments: Json) -> Json | None:
        try:
            # a damaged file counts as none
            entry = json.loads(self._file(arguments).read_text(encoding="utf-8"))
            return {"at": float(entry["at"]), "text": str(entry["text"])}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _store(self, arguments: Json, entry: Json) -> None:
        """Cache an answer, atomically, and drop the oldest answers. A full disk costs the cache only."""
        file = self._file(arguments)
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            writing.write(file, json.dumps(entry), shared=True)
            files = sorted(file.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for old in files[:-_CACHED]:
                old.unlink(missing_ok=True)


def _apart(entry: Json) -> float:
    """Seconds between a cached answer and now: also one of a clock that was ahead, and set back since, gets old."""
    return abs(time.time() - float(entry["at"]))


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """Run `work` in a thread and return its result; after `seconds` the thread is abandoned.

    Raises:
        SourceEndless: `work` took longer.
    """
    outcome: list[Any] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # raised again below
            failed.append(error)

    # a daemon: a hanging thread must not keep the process from ending
    thread = threading.Thread(target=run, daemon=True, name="twofold-tool")
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not outcome:
        raise SourceEndless(f"no complete answer within {seconds:.3g} s", cure="Raise `timeout`.")
    return outcome[0]


def record_text(record: Mapping[str, Any], sentence: str) -> str:
    """A record in words.

    Raises:
        SourceError: `sentence` names a field that the record does not have.
    """
    shown = {str(key): "unknown" if value is None else str(value) for key, value in record.items()}
    if not sentence:
        return "; ".join(f"{key}: {value}" for key, value in shown.items())
    missing = sorted(set(re.findall(r"{([^{}]*)}", sentence)) - set(shown))
    if missing:
        raise SourceError(
            f"unknown field {', '.join(missing)}; the fields are {', '.join(shown)}", cure="Correct `sentence`."
        )
    return re.sub(r"{([^{}]*)}", lambda match: shown[match.group(1)], sentence)


def declared(names: Sequence[str], parameters: Mapping[str, Parameter]) -> None:
    """Check that exactly the named parameters are declared.

    Raises:
        ValueError: a name is not declared, or a declared parameter is not used.
    """
    unknown, unused = sorted(set(names) - set(parameters)), sorted(set(parameters) - set(names))
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is not declared under `parameters`")
    if unused:
        raise ValueError(f"the parameter {', '.join(unused)} is not used")


def environment(name: str) -> str:
    """The value of an environment variable.

    Raises:
        ConfigError: the variable is not set.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(f"the environment variable {name} is not set", cure="Set the variable before the command.")
    return value


def _asker(filter: Filter) -> str | None:
    named = [one.partition(":")[2] for one in filter.principal or () if one.startswith("user:")]
    return named[0] if len(named) == 1 else None  # of several users none is known to be the one who asks


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _arguments_text(arguments: Json) -> str:
    return ", ".join(f"{key} = {value}" for key, value in arguments.items()) or "this question"
