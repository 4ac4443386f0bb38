"""JSON schemas that are tried before they join a running batch, in a process of their own.

OpenVINO compiles the grammar of a schema within a step of the whole batch. One that it cannot compile would end every
request of the batch, and one that takes minutes would hold all of them up; a thousand optional properties take 15 s.
Most schemas are plain and need no trial.
"""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import re
import subprocess
import threading
from collections import OrderedDict
from collections.abc import Callable

from twofold.errors import GenerationError
from twofold.generation.live.child import Child
from twofold.generation.runtimes import openvino
from twofold.types import Failure, Json

log = logging.getLogger(__name__)

SECONDS = 3.0
"""Longest compilation that the requests of a batch may have to wait for; usual schemas take a tenth of a second."""
_IDLE = 60.0
"""Seconds without a new schema after which the process is ended: it holds the model's weights."""
_KNOWN = 1000
"""Schemas of which is remembered whether they are usable."""

_PLAIN = frozenset(
    [
        "type",
        "title",
        "description",
        "default",
        "enum",
        "const",
        "properties",
        "required",
        "items",
        "anyOf",
        "additionalProperties",
        "$defs",
        "$ref",
    ]
)
"""Keywords of schemas that need no trial: of 6,400 random ones none failed, and none took more than .12 s."""
_PLAIN_LETTERS = 5000
# A quote or a line break in a property's name ends the rule in which OpenVINO writes it.
_PLAIN_NAME = re.compile(r"[\w .-]*")

Tried = Callable[[Failure | None], None]
"""Gets the fault of a schema, or None."""


class SchemaTrials:
    """Tries schemas, one after the other, each once.

    Args:
        first: First message to the process; see `worker`.
        seconds: Time limit of a compilation.
    """

    def __init__(self, first: Json, *, seconds: float = SECONDS) -> None:
        # It holds no conversation: a key-value cache of the least size will do.
        self._first = {**first, "settings": {**first["settings"], "cache_gib": 1.0}}
        self._seconds = seconds
        self._known: OrderedDict[str, Failure | None] = OrderedDict()
        self._waiting: queue.SimpleQueue[tuple[str, Tried] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._child: Child | None = None
        self._closed = False

    def usable(self, schema: str) -> bool:
        """Is this schema known to be usable, because it was tried or is plain?"""
        name = _name(schema)
        with self._lock:
            fault = self._known.get(name, _UNKNOWN)
        if fault is _UNKNOWN and _plain(schema):
            self._note(name, None)
            return True
        return fault is None

    def submit(self, schema: str, tried: Tried) -> None:
        """Try a schema, and tell its fault from another thread."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True, name="twofold-schemas")
                self._thread.start()
        self._waiting.put((schema, tried))

    def close(self) -> None:
        """Try no more; whoever waits is told nothing."""
        with self._lock:
            self._closed = True
            thread, child = self._thread, self._child
        self._waiting.put(None)
        if child is not None:
            child.process.kill()
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while True:
            try:
                item = self._waiting.get(timeout=None if self._child is None else _IDLE)
            except queue.Empty:
                self._drop()
                continue
            if item is None or self._closed:
                self._drop()
                return
            schema, tried = item
            name = _name(schema)
            fault = self._known.get(name, _UNKNOWN)
            if fault is _UNKNOWN:
                fault = self._fault(schema)
                self._note(name, fault)
            if not self._closed:
                tried(fault)

    def _note(self, name: str, fault: Failure | None) -> None:
        with self._lock:
            self._known[name] = fault
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)

    def _fault(self, schema: str) -> Failure | None:
        if fault := openvino.schema_fault(schema):
            return _unusable(fault)
        try:
            child = self._running()
        except GenerationError as error:
            log.warning("a JSON schema cannot be tried: %s", error.message or "the process ended")
            return Failure(code="generation.refused", message="the JSON schema cannot be tried: no process for it")
        # Ended by the clock alone: within a step it hears nothing.
        timer = threading.Timer(self._seconds, child.process.kill)
        child.send({"begin": 0, "ids": [0], "max_tokens": 1, "stop": (), "schema": schema, "sampling": None})
        timer.start()
        try:
            rows = child.steps()
        finally:
            timer.cancel()
        if rows is None:
            self._drop()
            return _unusable(f"it takes more than {self._seconds:g} s to prepare, or too much memory")
        end = rows[-1][3]
        return _unusable(end["message"]) if isinstance(end, dict) else None

    def _running(self) -> Child:
        if self._child is None:
            child = Child(self._first, subprocess.DEVNULL)
            with self._lock:
                self._child = child
                closed = self._closed
            if closed:  # meanwhile
                child.process.kill()
            try:
                child.ready()
            except GenerationError:
                self._drop()
                raise
        return self._child

    def _drop(self) -> None:
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.end()
            child.process.kill()
            child.process.wait()
            if child.process.stdout is not None:
                child.process.stdout.close()


_UNKNOWN = Failure(code="unknown", message="")


def _plain(schema: str) -> bool:
    """Is it a small schema of keywords that OpenVINO always compiles, and quickly?"""
    if len(schema) > _PLAIN_LETTERS or openvino.schema_fault(schema):
        return False
    whole = json.loads(schema)
    waiting = [whole]
    while waiting:
        part = waiting.pop()
        # A schema may be true or false, too: nothing satisfies a false one.
        if not isinstance(part, dict) or not part.keys() <= _PLAIN:
            return False
        properties = part.get("properties", {})
        names = (*properties, *part.get("required", ()))
        single = isinstance(part.get("type", ""), str) and isinstance(part.get("additionalProperties", True), bool)
        if "$ref" in part and not _leads_on(part["$ref"], whole.get("$defs", {})):
            return False
        if not (single and part.get("enum", [0]) and all(map(_PLAIN_NAME.fullmatch, names))):
            return False
        waiting += [*properties.values(), *part.get("$defs", {}).values(), *part.get("anyOf", ())]
        waiting += [part["items"]] if "items" in part else []
    return True


def _leads_on(reference: str, definitions: Json) -> bool:
    """Does a reference name a definition that is not itself only a reference? Two such could name each other."""
    name = reference.removeprefix("#/$defs/")
    if name == reference or not _PLAIN_NAME.fullmatch(name):
        return False
    target = definitions.get(name)
    return isinstance(target, dict) and not target.keys() & {"$ref", "anyOf"}


def _unusable(fault: str) -> Failure:
    return Failure(code="generation.schema", message=f"the JSON schema is not usable: {fault}")


def _name(schema: str) -> str:
    # Not the schema itself: a thousand of them may have a hundred megabytes.
    return hashlib.sha256(schema.encode("utf-8", "replace")).hexdigest()
