"""Whether what answers is still what was measured: model, adapter, prompt, embedder, chunker, settings of the search.

A comparison of digests, so that it raises no false alarm: an alarm says that an answer of today is not the answer that
was measured. What changes with the documents alone is no part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

from twofold import asking
from twofold.errors import IndexMismatch, StoreError, TemplateMismatch, TwofoldError
from twofold.hashing import canonical_json
from twofold.monitoring.readings import in_words, reading, unwatched
from twofold.monitoring.record import Observation, Reading
from twofold.monitoring.served import AnsweringArm, Watched
from twofold.plugins import specs
from twofold.settings.sections import Part
from twofold.types import Json

SIGNALS: Mapping[str, str] = {
    "fingerprints.model": "the language model and how it is run",
    "fingerprints.adapter": "the tuned weights",
    "fingerprints.prompt": "the prompt: template, examples shown, schema, limit of tokens",
    "fingerprints.embedder": "the embedder",
    "fingerprints.chunker": "the chunker",
    "fingerprints.search": "the settings of the search",
}
"""Signal → what it compares."""
_CHANGING = ("content", "index_version", "words")
"""Parts of a search's description that change with the documents; `documents.removed` and the probes watch those."""
_PROMPT = ("template", "max_tokens", "shots", "schema", "unquoted")


class Fingerprints:
    """Compares what would answer now with what the latest study measured.

    Args:
        watched: The project.
    """

    name = "fingerprints"

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        """Compare now; see `Monitor.look`."""
        measured = self._watched.measured()
        if not measured.description:
            why = f"no study has measured the arm {measured.arm.name}: run `twofold study`"
            return Observation(readings=unwatched(SIGNALS, moment, why=why), state=before or {})
        then = _parts(measured.description, measured)
        readings: list[Reading] = []
        try:
            now = self._now(measured)
        except IndexMismatch as error:
            # An index opens by no other embedder, and not in an older form; nothing else can be compared then.
            same = self._watched.workspace.search.embedder.fingerprint == then["fingerprints.embedder"]
            readings.append(_alarm("fingerprints.search" if same else "fingerprints.embedder", moment, error))
            return Observation(readings=(*readings, *_rest(readings, moment, error)), state={})
        except TemplateMismatch as error:
            readings.append(_alarm("fingerprints.prompt", moment, error))
            return Observation(readings=(*readings, *_rest(readings, moment, error)), state={})
        except StoreError as error:
            if not measured.arm.tuning:
                raise
            readings.append(_alarm("fingerprints.adapter", moment, error))
            return Observation(readings=(*readings, *_rest(readings, moment, error)), state={})
        for signal, what in SIGNALS.items():
            readings.append(_compared(signal, what, moment, pair=(then.get(signal), now.get(signal))))
        return Observation(readings=tuple(readings), state={})

    def _now(self, measured: AnsweringArm) -> Json:
        workspace = self._watched.workspace
        calibrations = workspace.systems.calibrations
        choice = asking.chosen(workspace.models, calibrations, self._watched.records)
        system = asking.open_system(workspace, choice, self._watched.splits, root=self._watched.root)
        with closing(system):
            parts = _parts(system.description, measured)
        parts["fingerprints.chunker"] = specs.of_part("chunkers", workspace.config.documents.chunker)
        return parts


def _parts(description: Json, measured: AnsweringArm) -> Json:
    """Signal → what it compares, of a system's description; the chunker is that of the study's settings."""
    generator = {key: value for key, value in description.get("generator", {}).items() if key != "parity"}
    adapter = generator.pop("adapter", "")
    search = {key: value for key, value in description.get("retrieval", {}).items() if key not in _CHANGING}
    embedder = search.pop("embedder", None)
    # How a prompt was chosen is not part of it, and neither is an index's own housekeeping.
    parts: Json = {
        "fingerprints.model": generator,
        "fingerprints.adapter": adapter,
        "fingerprints.prompt": {key: description[key] for key in _PROMPT if key in description},
        "fingerprints.embedder": embedder,
        "fingerprints.search": search,
    }
    config = measured.record["config"] if measured.record else {}
    stated = config.get("documents", {}).get("chunker")
    parts["fingerprints.chunker"] = specs.of_part("chunkers", Part.model_validate(stated)) if stated else None
    return parts


def _compared(signal: str, what: str, moment: datetime, *, pair: tuple[Any, Any]) -> Reading:
    then, now = pair
    if then is None or now is None:
        return reading(signal, moment, state="unwatched", why=f"{what}: the arm that answers has none")
    if canonical_json(then) == canonical_json(now):
        return reading(signal, moment, state="ok", why=f"{what}: as the study measured it", n=1)
    names = ", ".join(_different(then, now))
    why = f"{what}: not as the study measured it ({names})" if names else f"{what}: not as the study measured it"
    return reading(signal, moment, state="alarm", why=why, n=1, detail={"then": then, "now": now})


def _different(then: Any, now: Any) -> list[str]:
    """Names of the fields in which two records differ, those within records after a point."""
    if not isinstance(then, dict) or not isinstance(now, dict):
        return []
    names: list[str] = []
    for key in sorted({*then, *now}):
        if then.get(key) != now.get(key):
            inner = _different(then.get(key), now.get(key))
            names += [f"{key}.{name}" for name in inner] or [key]
    return names


def _alarm(signal: str, moment: datetime, error: TwofoldError) -> Reading:
    return reading(signal, moment, state="alarm", why=in_words(error), n=1, detail={"code": error.code})


def _rest(readings: list[Reading], moment: datetime, error: TwofoldError) -> tuple[Reading, ...]:
    """The signals that could not be compared for an error that is another one's alarm."""
    alarmed = {row["signal"] for row in readings}
    others = [signal for signal in SIGNALS if signal not in alarmed]
    return unwatched(others, moment, why=f"the system that answers cannot be opened: {error.message}")
