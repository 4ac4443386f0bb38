"""Does retrieval still find what it found? Probes: questions whose passage is known, searched for at every look.

Every probe is compared with itself: its place among the hits when it was first searched for is its reference, and a
loss is a probe that was found then and is not now. On an index that nobody touches a probe gives the same result each
time, so losses are no noise of questions, as a share of hits beside an earlier share would be: a tenth that is lost
shows among some 150 probes at any hit rate. `TOLERATED` of losses are no alarm, for documents that are added rightly
take places of others. Which probes a look asks is drawn by its number, without replacement, whatever they gave before;
so the values of a look are those that `stats.sequential` needs, though one index gives them.

The probes are those that the sync makes of the documents (`indexing.self_retrieval`), and the labelled questions of the
project. A document that changes gets other probes and one that goes takes its own along, so an edit is no loss.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from twofold.assembly.searching import Search
from twofold.errors import TwofoldError
from twofold.examples.loading import load_examples
from twofold.hashing import digest
from twofold.monitoring.readings import in_words, percent, reading, share_of, unwatched_look
from twofold.monitoring.record import Monitor, Observation, Reading
from twofold.monitoring.served import Watched
from twofold.plugins import loading
from twofold.plugins.protocols import Retriever
from twofold.stats.sequential import MeanDetector
from twofold.types import Filter, Hit, Json, Query

HIT, LEGS, EXACT = "probes.hit", "retrieval.legs", "retrieval.exact"
SIGNALS = (HIT, LEGS, EXACT)
PANEL = 1000
"""Probes of a project that are searched for in turn."""
SAMPLE = 100
"""Probes of a look."""
LABELLED = 300
"""Labelled questions among the probes, at most."""
TOLERATED: Mapping[str, float] = {HIT: 0.02, LEGS: 0.05, EXACT: 0.02}
"""Of the mean of a signal's values. Where 2 % of losses are tolerated, half of the drops of 10 % are found within 160
probes (`bench/watch_alarm.py`)."""
GROWTH: Mapping[str, float] = {HIT: 0.1, LEGS: 0.15, EXACT: 0.0}
"""Of the index's growth since the reference, what is tolerated besides: passages that were rightly added take places.
See `bench/watch_growth.py` and `MOST_GROWN`."""
MOST_GROWN = 0.3
"""Growth beyond it is not made up for: that is another collection, or a flood."""
_WORDS = {
    HIT: "{share} of {n} passages that were found are not among the first any more",
    LEGS: "the two legs agree on other hits than before by {share}, on {n} probes",
    EXACT: "{share} of {n} exact searches find what the index passes over",
}
_SECONDS = 20.0
"""Time after which a look searches for no more."""
_BATCH = 25
"""Probes searched for at once."""
_EXACT = 20
"""Probes of a look whose passages' vectors are compared: each reads those of k documents."""
_NEAR = 1e-3
"""Of a cosine: rounding makes no difference."""
_SHOWN = 20
"""Lost probes that a reading names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A question whose passage is known."""

    id: str
    kind: str
    """``title``, ``heading``, ``sentence``, or ``labelled``."""
    question: str
    documents: tuple[str, ...]
    """Documents that have the passage; any counts."""
    start: int
    end: int
    """Characters of the passage in the document; 0 and 0: anywhere in it."""
    source: str
    """Name of the document's source."""

    def rank(self, hits: Sequence[Hit]) -> int:
        """Place of the first hit that has the passage, from 1; 0: none has."""
        for hit in hits:
            span = hit.chunk.span
            inside = self.kind in ("title", "labelled") or (span.start < self.end and self.start < span.end)
            if span.document in self.documents and inside:
                return hit.rank
        return 0


def monitors(watched: Watched, *, run_length: float) -> tuple[Monitor, ...]:
    """The monitors of the search.

    Args:
        watched: The project.
        run_length: Values after which each of the three signals raises its first false alarm at the earliest, in
            expectation.
    """
    return (SelfRetrieval(watched, run_length=run_length),)


class SelfRetrieval:
    """Watches hits, the agreement of the legs, and approximate against exact search, on the same probes.

    Args:
        watched: The project.
        run_length: See `monitors`.
        panel: Probes searched for in turn.
        sample: Probes of a look.
        seconds: Time of a look.
    """

    name = "probes"

    def __init__(
        self,
        watched: Watched,
        *,
        run_length: float,
        panel: int = PANEL,
        sample: int = SAMPLE,
        seconds: float = _SECONDS,
    ) -> None:
        self._watched, self._run_length = watched, run_length
        self._panel, self._sample, self._seconds = panel, sample, seconds

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        """Search for a sample of the probes."""
        search = self._watched.workspace.search
        config = search.config
        if not config.documents.paths and not config.sources:
            return unwatched_look(SIGNALS, moment, why="the project has no documents", before=before)
        writer = self._watched.at_work()
        if writer is not None and (writer.command == "twofold sync" or writer.stage.partition(" ")[0] == "sync"):
            # Half an index has lost nothing; and a reference of half an index is too good for the whole of it.
            why = f"`{writer.command}` is changing the index: the look after it searches again"
            return unwatched_look(SIGNALS, moment, why=why, before=before)
        try:
            # Before anything is searched for: an index that is down is no lost passage.
            state = search.index.state()
        except TwofoldError as error:
            return unwatched_look(SIGNALS, moment, why=in_words(error), before=before)
        if not state.chunks:
            return unwatched_look(SIGNALS, moment, why="the index is empty: run `twofold sync`", before=before)
        study = self._watched.measured().study
        memory: Json = before or {}
        if memory.get("study") != study:
            # What a newer study measured is the new reference: what it found worse, it decided with.
            memory = {}
        probes = self._probes(search)
        if not probes:
            why = "there are no probes yet: run `twofold sync`, which makes them of the documents"
            return unwatched_look(SIGNALS, moment, why=why, before=before)
        # Of the first reference: what grew since then took places, whenever it came.
        memory = {"chunks": state.chunks, **memory, "study": study}
        grown = min(MOST_GROWN, max(0.0, state.chunks / memory["chunks"] - 1))
        seen = self._look(search, probes, memory, moment, grown=grown)
        if search.index.state().content != state.content:
            # A server indexes what it is sent without a stage: its probes may be older than its passages.
            why = "the index was changed while it was searched: the next look searches again"
            return unwatched_look(SIGNALS, moment, why=why, before=before)
        return seen

    def _look(
        self, search: Search, probes: Mapping[str, Probe], memory: Json, moment: datetime, *, grown: float
    ) -> Observation:
        number = int(memory.get("looks", 0)) + 1
        reference: dict[str, tuple[int, float | None]] = {
            name: (rank, agreement) for name, (rank, agreement) in memory.get("reference", {}).items() if name in probes
        }
        unknown = [name for name in probes if name not in reference]
        known = sorted(reference)
        # By the look's number alone: nothing that was seen may decide what is searched for next.
        drawn = random.Random(number).sample(known, min(self._sample, len(known)))
        searching = _Searching(search, [probes[name] for name in (*drawn, *unknown)], seconds=self._seconds)
        places = searching.run()
        for name in unknown:
            if name in places:
                reference[name] = (places[name].rank, places[name].agreement)
        searched = [name for name in drawn if name in places]
        if not searched:
            signals = tuple(
                reading(signal, moment, state="learning", why=f"{len(reference)} probes have their reference now")
                for signal in SIGNALS
            )
            return Observation(readings=signals, state={**memory, "looks": number, "reference": reference})
        values: dict[str, dict[str, float]] = {HIT: {}, LEGS: {}, EXACT: searching.missed(searched[:_EXACT])}
        for name in searched:
            rank, agreement = reference[name]
            if rank:
                values[HIT][name] = float(not places[name].rank)
            now = places[name].agreement
            if now is not None and agreement is not None:
                values[LEGS][name] = abs(now - agreement)
        streams: dict[str, Json] = dict(memory.get("streams", {}))
        readings = []
        for signal, of in values.items():
            before = MeanDetector.from_json(streams[signal]) if signal in streams else MeanDetector()
            # Known before anything is searched for, so that the guarantee holds of the share that is tolerated now.
            tolerated = TOLERATED[signal] + GROWTH[signal] * grown
            stream = before.after(list(of.values()), tolerated=tolerated, run_length=self._run_length)
            streams[signal] = stream.to_json()
            detail = _detail(of, probes, {name: (reference[name][0], places[name].rank) for name in of})
            readings.append(
                self._reading(
                    signal,
                    of,
                    stream,
                    tolerated=tolerated,
                    detail={**detail, "remark": searching.why, "grown": grown},
                    moment=moment,
                )
            )
        state: Json = {**memory, "looks": number, "reference": reference, "streams": streams}
        return Observation(readings=tuple(readings), state=state)

    def _reading(
        self,
        signal: str,
        values: Mapping[str, float],
        stream: MeanDetector,
        *,
        tolerated: float,
        detail: Json,
        moment: datetime,
    ) -> Reading:
        remark = detail["remark"]
        if not values:
            why = remark or "no probe that was found at first was searched for"
            return reading(signal, moment, state="unwatched", why=why)
        share = share_of(sum(values.values()), len(values))
        words = _WORDS[signal].format(share=percent(share["value"]), n=len(values))
        since = f", for the index grew by {percent(detail['grown'])}" if GROWTH[signal] * detail["grown"] else ""
        return reading(
            signal,
            moment,
            state="alarm" if stream.alarm else "ok",
            why=f"{words}; up to {percent(tolerated)} are tolerated{since}" + (f" ({remark})" if remark else ""),
            detail=detail,
            baseline=0.0,
            statistic=stream.statistic,
            threshold=self._run_length,
            **share,
        )

    def _probes(self, search: Search) -> dict[str, Probe]:
        """Id → probe: labelled questions, and of those of the documents the ones with the lowest ids."""
        probes = _labelled(search, self._watched.root)
        for row in search.catalogue.self_questions.rows(self._panel):
            name, document, kind, question, start, end, source = row
            probes[name] = Probe(
                id=name, kind=kind, question=question, documents=(document,), start=start, end=end, source=source
            )
        return probes


def _detail(values: Mapping[str, float], probes: Mapping[str, Probe], ranks: Mapping[str, tuple[int, int]]) -> Json:
    """What was lost, by probe and by source."""
    # Ids, not texts: whoever sees alarms may not be allowed to read every document.
    lost = []
    by_source: dict[str, dict[str, int]] = {}
    for name, value in values.items():
        probe = probes[name]
        row = by_source.setdefault(probe.source, {"lost": 0, "asked": 0})
        row["asked"] += 1
        if value >= 0.5:
            row["lost"] += 1
            before, now = ranks[name]
            lost.append({"document": probe.documents[0], "kind": probe.kind, "rank": before, "now": now})
    return {"lost": lost[:_SHOWN], "sources": dict(sorted(by_source.items()))}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What was seen of a probe."""

    rank: int
    agreement: float | None
    """Share of the first k hits that both legs have; None: there are no two legs."""
    dense: tuple[Hit, ...]


class _Searching:
    """Searches for probes as a question is searched for, without the stages that ask a language model."""

    def __init__(self, search: Search, probes: Sequence[Probe], *, seconds: float) -> None:
        self._search, self._probes, self._seconds = search, probes, seconds
        self._k = search.config.retrieval.k
        self._filter = Filter(where=search.config.retrieval.where)
        self._retriever, self.why = _without_models(search)
        self._places: dict[str, _Place] = {}
        self._vectors: dict[str, Any] = {}

    def run(self) -> dict[str, _Place]:
        """Probe id → what was found of it, as many as there was time for."""
        began = time.monotonic()
        for start in range(0, len(self._probes), _BATCH):
            batch = self._probes[start : start + _BATCH]
            # At least one batch: a slow index is watched with few probes.
            if start and time.monotonic() - began > self._seconds:
                break
            self._batch(batch)
        return self._places

    def _batch(self, batch: Sequence[Probe]) -> None:
        texts = [probe.question for probe in batch]
        queries = [Query(text=text, filter=self._filter) for text in texts]
        retrievals = self._retriever.retrieve(queries, self._k)
        vectors = self._search.embedder.embed(texts)
        index = self._search.index
        dense = index.search(texts, vectors, self._k, leg="dense", filter=self._filter)
        lexical = index.search(texts, None, self._k, leg="lexical", filter=self._filter)
        for number, probe in enumerate(batch):
            near = {hit.chunk.id for hit in dense[number]}
            words = {hit.chunk.id for hit in lexical[number]}
            both = len(near & words) / max(1, min(len(near), len(words))) if near and words else None
            self._vectors[probe.id] = vectors[number]
            self._places[probe.id] = _Place(
                rank=probe.rank(retrievals[number].hits), agreement=both, dense=tuple(dense[number])
            )

    def missed(self, names: Sequence[str]) -> dict[str, float]:
        """Probe id → 1 where a passage of its documents is nearer than the last dense hit, and is none of the hits.

        Compared by the stored vectors themselves, so that it says of any index whether it passes over neighbours; an
        index that searches exactly passes over none.
        """
        by_id = {probe.id: probe for probe in self._probes}
        missed = {}
        for name in names:
            hits = self._places[name].dense
            if len(hits) < self._k:
                continue
            documents = [*by_id[name].documents, *(hit.chunk.span.document for hit in hits)]
            chunks, vectors = self._search.index.vectors_of(list(dict.fromkeys(documents)))
            cosines = vectors @ self._vectors[name]
            # Copies of a text are shown once; whichever of them is a hit, the others are not passed over.
            shown = {hit.chunk.text for hit in hits}
            places = [cosine for chunk, cosine in zip(chunks, cosines, strict=True) if chunk.text in shown]
            if not places:
                continue  # the hits were taken out of the index meanwhile
            last = min(places)
            nearer = [chunk for chunk, cosine in zip(chunks, cosines, strict=True) if cosine > last + _NEAR]
            missed[name] = float(any(chunk.text not in shown and self._filter.allows(chunk) for chunk in nearer))
        return missed


def _without_models(search: Search) -> tuple[Retriever, str]:
    """The project's retrieval without stages that ask a language model, and what was left out, in words."""
    pipeline = dict(search.config.retrieval.pipeline)
    left = [str(part["name"]) for part in pipeline["rewriters"]]
    pipeline["rewriters"] = []
    if pipeline["retriever"]["name"] == "agentic":
        left.append("agentic")
        pipeline["retriever"] = {"name": "hybrid", "options": {}}
    if not left:
        return search.retriever, ""
    retriever: Retriever = loading.make("retrievers", "pipeline", pipeline, parts=search.parts)
    return retriever, f"searched for without {', '.join(left)}"


def _labelled(search: Search, root: Path) -> dict[str, Probe]:
    """The project's own questions whose documents are named, those with the lowest digests."""
    try:
        # As they stand in their files: to split them compares all documents with each other.
        examples = load_examples(search.config.examples.paths, root)[0]
    except TwofoldError:
        return {}  # whoever sets examples right is told by the commands that need them
    named = list(dict.fromkeys(chain.from_iterable(example.sources for example in examples)))
    known = search.catalogue.documents.versions(named)
    labelled = {}
    for example in examples:
        documents = tuple(name for name in example.sources if name in known)
        if documents:
            question = example.messages[-1].content
            name = digest("labelled-probe", [question, documents]).partition(":")[2][:24]
            labelled[name] = Probe(
                id=name,
                kind="labelled",
                question=question,
                documents=documents,
                start=0,
                end=0,
                source=source if (source := documents[0].partition(":")[0]) in search.config.sources else "",
            )
    return dict(sorted(labelled.items())[:LABELLED])
