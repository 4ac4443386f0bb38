"""Whether the index is behind its sources: changes that were not synced, and sources that are not there.

Nothing is read but names, sizes and times of local files (the content only of a file that was synced in the moment it
was written); servers are not asked by a look. A change alarms once it has waited for `PATIENCE`, by this monitor's own
memory and not by the times of files, which a copy may carry from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from twofold.errors import SourceUnreachable
from twofold.indexing import feeds
from twofold.indexing.report import UNNAMED
from twofold.indexing.sync import synced
from twofold.monitoring.readings import in_words, reading, share_of, unwatched_look
from twofold.monitoring.record import Observation, Reading, State
from twofold.monitoring.served import Watched
from twofold.monitoring.traffic_rows import Rows, new_rows
from twofold.types import Json
from twofold.verdict.record import counted

SIGNALS = ("staleness.behind", "staleness.source")
CITED = "staleness.cited"
PATIENCE = timedelta(hours=24)
"""A change that waits for a daily sync is no fault."""
_HARM = 0.01
"""Share of answers that may cite a document whose source has changed since."""
_REMEMBERED = 5000
"""Waiting items of which the monitor remembers since when; those beyond are counted, their age is not."""


class Staleness:
    """Compares local sources with what the last sync read of them.

    Args:
        watched: The project.
        rows: Reads the traffic log, for what is cited; None where it is off.
    """

    name = "staleness"

    def __init__(self, watched: Watched, rows: Rows | None = None) -> None:
        self._watched = watched
        self._rows = rows

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        """Compare now; see `Monitor.look`."""
        search = self._watched.workspace.search
        if not synced(search.catalogue):
            why = "nothing was synced yet: run `twofold sync`"
            return unwatched_look([*SIGNALS, CITED], moment, why=why, before=before)
        waiting: list[str] = []
        missing: dict[str, str] = {}
        remote: list[str] = []
        local = 0
        for feed in feeds.feeds(search, self._watched.root):
            name = feed.name or UNNAMED
            if not feed.source.watched():
                remote.append(name)
                continue
            local += 1
            try:
                waiting += [f"{feed.name}:{item}" for item in feeds.changed_items(search, feed)]
            except SourceUnreachable as error:
                missing[name] = in_words(error)
        if not local:
            why = f"the sources are on servers ({', '.join(remote)}), which a look does not ask"
            return unwatched_look([*SIGNALS, CITED], moment, why=why, before=before)
        since = _since((before or {}).get("since", {}), waiting, moment)
        old = [name for name, first in since.items() if moment - datetime.fromisoformat(first) >= PATIENCE]
        cited, read = self._cited(old, before, moment)
        readings = (self._behind(waiting, since, old, moment), _sources(missing, local, remote, moment), cited)
        return Observation(readings=readings, state={"since": since, "read": read})

    def _cited(self, old: Sequence[str], before: Json | None, moment: datetime) -> tuple[Reading, str]:
        """Answers since the look before that cite a document which has changed at its source."""
        if self._rows is None:
            why = 'the traffic log is off: set [traffic].log = "metadata" to watch what is cited'
            return reading(CITED, moment, state="unwatched", why=why), ""
        fresh = new_rows(self._rows, {"since": (before or {}).get("read", "")}, moment=moment)
        citing = [set(row["cited"]) for row in fresh.rows if row["cited"]]
        items = set(old)
        known = self._watched.workspace.catalogue.documents.known() if items else {}
        changed = {name for name, document in known.items() if f"{document.source}:{document.item}" in items}
        stale = [documents & changed for documents in citing if documents & changed]
        numbers = share_of(len(stale), len(citing))
        if not citing:
            return reading(CITED, moment, state="ok", why="no answer cited anything", **numbers), fresh.since
        why = f"{len(stale)} of {len(citing)} answers cite a document that changed at its source a day ago or earlier"
        state: State = "alarm" if numbers["low"] > _HARM else "ok"
        detail = {"documents": sorted(set().union(*stale))[:20]}
        return reading(CITED, moment, state=state, why=why, baseline=0.0, detail=detail, **numbers), fresh.since

    def _behind(
        self, waiting: Sequence[str], since: Mapping[str, str], old: Sequence[str], moment: datetime
    ) -> Reading:
        n = max(len(waiting), sum(self._watched.workspace.catalogue.documents.counts().values()))
        numbers: Any = {"value": float(len(waiting)), "baseline": 0.0, "n": n}
        if not old:
            why = f"{len(waiting)} files changed since the last sync, none for a day" if waiting else "all is synced"
            return reading(SIGNALS[0], moment, state="ok", why=why, **numbers)
        days = max((moment - datetime.fromisoformat(since[name])).total_seconds() for name in old) / 86400
        why = f"{len(old)} files changed and were not synced for a day or more, the first {days:.1f} days ago"
        sources = sorted({name.split(":", 1)[0] or UNNAMED for name in old})
        detail = {"items": old[:20], "files": len(old), "days": days, "sources": sources}
        return reading(SIGNALS[0], moment, state="alarm", why=why, detail=detail, **numbers)


def _since(before: Mapping[str, str], waiting: Sequence[str], moment: datetime) -> dict[str, str]:
    """Waiting item → when a look first saw it wait; a clock that was set back makes nothing wait in the future."""
    now = moment.isoformat()
    first: dict[str, str] = {}
    for name in waiting[:_REMEMBERED]:
        seen = before.get(name, now)
        first[name] = seen if datetime.fromisoformat(seen) <= moment else now
    return first


def _sources(missing: Mapping[str, str], local: int, remote: Sequence[str], moment: datetime) -> Reading:
    unasked = f"; {len(remote)} on servers were not asked" if remote else ""
    numbers: Any = {"value": float(len(missing)), "baseline": 0.0, "n": local}
    if not missing:
        why = f"{counted(local, 'local source')} {'is' if local == 1 else 'are'} there{unasked}"
        return reading(SIGNALS[1], moment, state="ok", why=why, detail={"unasked": list(remote)}, **numbers)
    why = "; ".join(f"the source {name!r} cannot be read: {what}" for name, what in missing.items()) + unasked
    return reading(SIGNALS[1], moment, state="alarm", why=why, detail={"sources": sorted(missing)}, **numbers)
