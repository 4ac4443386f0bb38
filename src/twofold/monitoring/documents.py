"""Whether the documents are still those that were measured: removed ones, shrunk sources, floods of near copies."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from twofold.errors import IndexMismatch
from twofold.examples.near_duplicates import NEAR, grams
from twofold.hashing import digest
from twofold.indexing.report import UNNAMED
from twofold.indexing.sync import synced
from twofold.monitoring.readings import in_words, percent, reading, share_of, unwatched_look
from twofold.monitoring.record import Observation, Reading, State
from twofold.monitoring.served import AnsweringArm, Watched
from twofold.types import Chunk, Json
from twofold.verdict.record import counted

SIGNALS = ("documents.removed", "documents.sources", "documents.duplicates")
REMOVED = 0.05
"""Share of the measured documents that may vanish."""
SHRUNK = 0.5
"""Share of a source's documents that may vanish between two looks."""
MORE_COPIES = 0.10
"""By how much the share of chunks with a near copy in another document may grow."""
_STRICT = 0.999
"""Level of the intervals that must lie apart before copies alarm: of 30 looks a month, a false alarm in some 30 months
if samples were independent; they are the same but for what was added and removed."""
_SAMPLE, _CHUNKS, _NEIGHBOURS = 2000, 120, 10
"""Measured documents that are remembered, chunks that are looked at for copies, and neighbours of each."""


class MeasuredDocuments:
    """Compares the documents of the index with those of the study, and of the look before.

    Args:
        watched: The project.
    """

    name = "documents"

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        """Compare now; see `Monitor.look`."""
        search = self._watched.workspace.search
        if not synced(search.catalogue):
            return unwatched_look(SIGNALS, moment, why="nothing is indexed yet: run `twofold sync`", before=before)
        try:
            present = search.index.documents()
        except IndexMismatch as error:
            return unwatched_look(SIGNALS, moment, why=in_words(error), before=before)
        measured = self._watched.measured()
        state = dict(before or {})
        if state.get("study", measured.study) != measured.study:
            # What a new study measured is what later looks are compared with.
            state = {}
        state["study"] = measured.study
        removed, state["sample"] = self._removed(state.get("sample"), present, measured, moment)
        sources, state["counts"] = self._sources(state.get("counts"), moment)
        copies, state["copies"] = self._copies(state.get("copies"), sorted(present), moment)
        return Observation(readings=(removed, sources, copies), state=state)

    def _removed(
        self, sample: Json | None, present: Mapping[str, int], measured: AnsweringArm, moment: datetime
    ) -> tuple[Reading, Json | None]:
        if sample is None:
            names, what = self._measured_documents(present, measured)
            # By digest: a sample that nothing about the documents decides, and that is the same in every process.
            some = sorted(sorted(names, key=lambda name: digest("sampled", name))[:_SAMPLE])
            sample = {"documents": some, "of": len(names), "what": what}
        absent = [name for name in sample["documents"] if name not in present]
        n = len(sample["documents"])
        if not n:
            return reading(SIGNALS[0], moment, state="unwatched", why="no document was measured"), sample
        numbers = share_of(len(absent), n)
        over = len(absent) / n >= REMOVED
        why = f"{len(absent)} of {n} documents {sample['what']} are no longer in the index ({percent(len(absent) / n)})"
        state: State = "alarm" if over else "ok"
        detail = {"documents": absent[:20], "removed": len(absent)}
        return reading(SIGNALS[0], moment, state=state, why=why, baseline=0.0, detail=detail, **numbers), sample

    def _measured_documents(self, present: Mapping[str, int], measured: AnsweringArm) -> tuple[list[str], str]:
        searched = measured.record["retrieval"] if measured.record else {}
        version = (searched.get("index") or {}).get("version")
        if isinstance(version, int):
            try:
                contents = self._watched.workspace.search.index.contents(version)
                return sorted(contents), f"that study {measured.study} measured"
            except IndexMismatch:
                # Pruned, or the index was rebuilt: what the first look saw has to do.
                pass
        return sorted(present), "that the first look saw"

    def _sources(self, counts: Mapping[str, int] | None, moment: datetime) -> tuple[Reading, Json]:
        now = self._watched.workspace.catalogue.documents.counts()
        earlier = dict(counts or now)
        shrunk = {name: before for name, before in earlier.items() if now.get(name, 0) <= SHRUNK * before}
        detail: Json = {"before": earlier, "now": now}
        total: Any = {"value": float(sum(now.values())), "baseline": float(sum(earlier.values())), "n": len(earlier)}
        if not shrunk:
            standing = f"{counted(sum(now.values()), 'document')} in {counted(len(now), 'source')}"
            why = f"{standing}; none has lost half of its documents"
            # The largest number seen: a source that shrinks a little with every look is noticed, too.
            largest = {name: max(now.get(name, 0), earlier.get(name, 0)) for name in {*now, *earlier}}
            return reading(SIGNALS[1], moment, state="ok", why=why, detail=detail, **total), largest
        losses = [f"{name or UNNAMED} {before} → {now.get(name, 0)}" for name, before in shrunk.items()]
        why = f"sources that lost half of their documents or more: {', '.join(losses)}"
        detail["shrunk"] = sorted(name or UNNAMED for name in shrunk)
        return reading(SIGNALS[1], moment, state="alarm", why=why, detail=detail, **total), earlier

    def _copies(self, first: Json | None, names: Sequence[str], moment: datetime) -> tuple[Reading, Json | None]:
        if len(names) < 2:
            why = "fewer than two documents: there can be no copies"
            return reading(SIGNALS[2], moment, state="unwatched", why=why), first
        copied, n, documents = self._near_copies(names, moment)
        if first is None:
            first = {"copied": copied, "n": n}
        numbers = share_of(copied, n)
        baseline = first["copied"] / first["n"]
        strict_now, strict_then = (
            share_of(copied, n, level=_STRICT),
            share_of(first["copied"], first["n"], level=_STRICT),
        )
        over = strict_now["low"] > strict_then["high"] or (
            numbers["value"] - baseline > MORE_COPIES and strict_now["low"] > baseline + MORE_COPIES / 2
        )
        why = (
            f"{copied} of {n} chunks have a near copy in another document (similarity {NEAR:g} or more); "
            f"{percent(baseline)} at the first look"
        )
        state: State = "alarm" if over else "ok"
        detail = {"documents": documents[:20]}
        return reading(SIGNALS[2], moment, state=state, why=why, baseline=baseline, detail=detail, **numbers), first

    def _near_copies(self, names: Sequence[str], moment: datetime) -> tuple[int, int, list[str]]:
        """Chunks of a sample with a near copy elsewhere, their number, and documents that hold the copies."""
        index = self._watched.workspace.search.index
        chance = random.Random(int(moment.timestamp()) // 3600)
        chunks, vectors = index.vectors_of(sorted(chance.sample(names, min(_CHUNKS, len(names)))))
        picked = sorted(chance.sample(range(len(chunks)), min(_CHUNKS, len(chunks))))
        hits = index.search([chunks[p].text for p in picked], vectors[picked], _NEIGHBOURS, leg="dense")
        copied = 0
        others: set[str] = set()
        for place, row in zip(picked, hits, strict=True):
            chunk = chunks[place]
            near = [
                hit.chunk
                for hit in row
                if hit.chunk.span.document != chunk.span.document and _as_long(chunk, hit.chunk)
            ]
            mine = grams(chunk.text.casefold())
            # Compared gram by gram: of ten neighbours no candidates need be searched.
            twins = [chunk for chunk in near if _similarity(mine, grams(chunk.text.casefold())) >= NEAR]
            copied += bool(twins)
            others.update(chunk.span.document for chunk in twins)
        return copied, len(picked), sorted(others)


def _as_long(first: Chunk, second: Chunk) -> bool:
    """May two chunks be near copies by their lengths? Sets of grams that differ more in size are not."""
    short, long = sorted((len(first.text), len(second.text)))
    # A text may repeat grams, of which its set has each once: a little more is let pass.
    return short >= 0.7 * long


def _similarity(first: set[str], second: set[str]) -> float:
    """Jaccard similarity of two texts' character 5-grams."""
    both = len(first & second)
    return both / (len(first) + len(second) - both)
