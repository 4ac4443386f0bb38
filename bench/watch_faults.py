"""Thirty simulated days of a watched project, with and without a fault. Prints Markdown tables.

    python bench/watch_faults.py --data ../shared/data --corpus xquad --embedder minilm --seeds 3
    python bench/watch_faults.py --data ../shared/data --quiet 8

A real project (documents as files in two sources, a tuned arm of fakes, a study) is copied for each run. Every day has
its traffic: questions of the corpus, whose topics have other weights each day, answered by the project's own search
and generator; seconds are drawn from a log-normal distribution with a load of its own each day, for those of a fake say
nothing. Some documents are edited and synced each day, as in a project that lives. A look is taken at noon. On a day
between the 8th and the 14th one fault is put in. Told are the day of the first new alarm, the observations of the
traffic until then, the first cause named on that day, and alarms before the fault, which are false.

Constants of the signals were set by hand and on clinc150 (see `monitoring.drift`); none was set on these runs. The
corpus agxqa was used while this script was written; figures to report are those of the others.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import stand_in_trainer
from twofold.errors import TwofoldError
from twofold.monitoring.causes import causes
from twofold.monitoring.record import Monitor, Reading
from twofold.monitoring.served import Watched
from twofold.monitoring.signals import monitors
from twofold.monitoring.traffic_rows import stamp
from twofold.plugins import loading
from twofold.plugins.protocols import Embedder, Progress
from twofold.project import Project
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.traffic.record import TrafficRow
from twofold.types import Answer, Example, Json

DAYS, DAILY = 30, 200
START = datetime(2026, 12, 1, 12, tzinfo=UTC)
DOCUMENTS, QUESTIONS = 150, 320
"""Of a corpus: so that a run of thirty days takes seconds."""
ELSEWHERE = {"agxqa": "dstc11", "xquad": "dstc11", "clapnq": "agxqa"}
"""Corpus → the one whose questions people ask when questions move."""


class Remembering:
    """The project's embedder, which embeds no text twice: a month of looks would embed the same ones."""

    known: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self._vectors = self.known.setdefault(inner.fingerprint, {})
        self.offsets = inner.offsets
        self.fingerprint, self.dimension = inner.fingerprint, inner.dimension

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> Any:
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._inner.embed(new, progress=progress), strict=True))
        return np.stack([self._vectors[text] for text in texts])


@dataclass
class World:
    """A project under way, and what its traffic is like."""

    directory: Path
    settings: Json
    pool: list[Example]
    elsewhere: list[str]
    chance: random.Random
    numbers: np.random.Generator
    day: int = 0
    slow: float = 1.0
    moved: float = 0.0
    longer: float = 1.0
    rows: list[TrafficRow] = field(default_factory=list)
    states: dict[str, Json] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    history: list[list[Reading]] = field(default_factory=list)

    def project(self) -> Project:
        opened = Project.open(self.directory, self.settings)
        search = opened.workspace.search
        part = opened.config.retrieval.embedder
        search.opened_embedder = Remembering(loading.make("embedders", part.name, part.options))
        return opened

    def read(self, since: str) -> Iterator[TrafficRow]:
        return iter([row for row in self.rows if row["at"] > since])

    @property
    def files(self) -> list[Path]:
        return sorted((self.directory / "data").glob("*/*.jsonl"))


# ---------------------------------------------------------------- the project


def lines(path: Path) -> list[Json]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def either(folder: Path, name: str) -> list[Json]:
    packed = folder / f"{name}.jsonl.gz"
    return lines(packed if packed.is_file() else folder / f"{name}.jsonl")


def question_of(row: Json) -> str:
    return str(row.get("question") or row["messages"][-1]["content"])


def settings(embedder: str) -> Json:
    return {
        "study": {"arms": ["base", "ft+rag"], "resamples": 400, "latency_sample": 0},
        "generation": {"generator": {"name": "echo", "options": {"mode": "quote"}}, "batch": 8},
        "retrieval": {
            "embedder": {"name": embedder, "options": {}},
            "retriever": {"name": "hybrid", "options": {"lexical": 0.5}},
            "risk": 0.2,
        },
    }


def write(directory: Path, data: Path, corpus: str, embedder: str) -> Json:
    """A new project: documents as files in two folders, of which the second is a source of its own."""
    documents = {row["id"]: row for row in either(data / corpus, "documents")}
    examples = [row for row in either(data / corpus, "examples") if row.get("doc_ids")][: 4 * QUESTIONS]
    named = list(dict.fromkeys(name for row in examples for name in row["doc_ids"]))[:DOCUMENTS]
    place = {name: "more" if number % 4 == 3 else "main" for number, name in enumerate(named)}
    ids = {name: f"more:{name}" if folder == "more" else name for name, folder in place.items()}
    for number, name in enumerate(named):
        folder = directory / "data" / place[name]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04d}.jsonl").write_text(json.dumps(documents[name]) + "\n", encoding="utf-8")
    usable = [row for row in examples if all(name in place for name in row["doc_ids"])][:QUESTIONS]
    with (directory / "data" / "examples.jsonl").open("w", encoding="utf-8") as stream:
        for row in usable:
            # Places and grades name documents, too, by the ids that they had before.
            plain = {key: value for key, value in row.items() if key not in ("spans", "grades")}
            stream.write(json.dumps({**plain, "doc_ids": [ids[name] for name in row["doc_ids"]]}) + "\n")
    (directory / "twofold.toml").write_text(
        '[documents]\npaths = ["data/main"]\n[sources.more]\nkind = "folder"\npaths = ["data/more"]\n'
        '[examples]\npaths = ["data/examples.jsonl"]\nsplit_by = "question"\n[tuning]\n'
        'methods = [{ name = "stand-in" }]\n',
        encoding="utf-8",
    )
    return settings(embedder)


# ---------------------------------------------------------------- a day


def edit(path: Path, change: Callable[[Json], Json]) -> None:
    rows = [change(row) for row in lines(path)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def live(world: World) -> None:
    """A day's work on the documents: two edited and synced."""
    for path in world.chance.sample(world.files, min(2, len(world.files))):
        edit(path, lambda row: {**row, "text": f"{row['text']}\nChecked on day {world.day}."})
    with world.project() as project:
        project.sync()


def traffic(world: World, project: Project, key: str) -> None:
    """The day's rows. Topics have other weights each day; what is asked is answered by what is there."""
    groups: dict[str, float] = {}
    weights = [groups.setdefault(one.sources[0], world.chance.gammavariate(2, 1)) for one in world.pool]
    asked = world.chance.choices(world.pool, weights, k=DAILY)
    if world.moved:
        others = [Example(id=f"e{n}", messages=world.pool[0].messages, references=("?",)) for n in range(DAILY)]
        texts = world.chance.choices(world.elsewhere, k=DAILY)
        for number, text in enumerate(texts):
            if world.chance.random() < world.moved:
                message = type(world.pool[0].messages[-1])(role="user", content=text)
                asked[number] = Example(id=f"e{number}", messages=(message,), references=others[0].references)
    distinct = {example.question: example for example in asked}
    try:
        system = project.open_system()
        answers = dict(zip(distinct, system.answer(list(distinct.values())), strict=True))
        later, name = system.key != key, system.key
        system.close()
        world.answers.update(answers)
    except TwofoldError:
        # The fault refuses new systems; a server that runs goes on with what it opened before.
        answers, later, name = world.answers, False, key
    load = world.numbers.lognormal(0, 0.1)
    for number, example in enumerate(asked):
        answer = answers.get(example.question)
        if answer is None:
            continue
        at = START + timedelta(days=world.day, hours=-20, seconds=number * 80)
        letters = int(len(answer.text) * world.longer)
        world.rows.append(
            {
                "request": f"{world.day}-{number}",
                "number": 0,
                "at": stamp(at),
                "caller": "",
                "arm": system_arm(project),
                "model": "",
                "system": name,
                "later_index": later,
                "failed": answer.failure.code if answer.failure else "",
                "abstained": answer.abstained,
                "cut": answer.cut,
                "citations": len(answer.citations),
                "unsupported": answer.unsupported_citations + answer.invalid_citations,
                "documents": list(dict.fromkeys(hit.chunk.span.document for hit in answer.hits)),
                "cited": sorted({citation.span.document for citation in answer.citations}),
                "prompt_tokens": answer.usage.prompt_tokens,
                "completion_tokens": int(answer.usage.completion_tokens * world.longer),
                "letters": letters,
                "retrieval_seconds": world.slow * load * world.numbers.lognormal(-3, 0.3),
                "generation_seconds": load * (0.2 + letters / 100) * world.numbers.lognormal(0, 0.2),
                "question": example.question,
                "turns": [],
                "answer": answer.text,
                "redacted": {},
            }
        )


def system_arm(project: Project) -> str:
    return (
        Watched(workspace=project.workspace, root=project.directory, splits=lambda: project.splits).measured().arm.name
    )


def look(world: World, project: Project) -> tuple[list[Reading], list[str]]:
    """All readings of the day, and what could not be looked at."""
    watched = Watched(workspace=project.workspace, root=project.directory, splits=lambda: project.splits)
    moment = START + timedelta(days=world.day)
    readings: list[Reading] = []
    remarks: list[str] = []
    for monitor in all_monitors(watched, world):
        try:
            seen = monitor.look(world.states.get(monitor.name), moment=moment)
        except TwofoldError as error:
            remarks.append(f"{monitor.name}: {error}")
            continue
        # As a store would: only what JSON can hold is remembered.
        world.states[monitor.name] = json.loads(json.dumps(seen.state))
        readings += seen.readings
    return readings, remarks


def all_monitors(watched: Watched, world: World) -> tuple[Monitor, ...]:
    return monitors(watched, world.read)


# ---------------------------------------------------------------- faults


def other_embedder(world: World) -> None:
    """Half of the documents get the vectors of another embedder of the same dimension."""
    with world.project() as project:
        index = project.workspace.search.index
        names = sorted(index.documents())
        half = world.chance.sample(names, len(names) // 2)
        chunks, vectors = index.vectors_of(half)
        other = HashingEmbedder(HashingEmbedder.Options(dimension=vectors.shape[1]))
        # Of the hashing embedder itself another one is made by other words for the same text.
        index.upsert(chunks, other.embed([chunk.text[::-1] for chunk in chunks]))


def other_chunker(world: World) -> None:
    world.settings = {**world.settings, "documents": {"chunker": {"name": "tokens", "options": {"max_tokens": 48}}}}
    with world.project() as project:
        project.sync()


def flood(world: World) -> None:
    for path in world.chance.sample(world.files, len(world.files) // 2):
        for number in range(3):
            words = lines(path)[0]["text"].split()
            words[world.chance.randrange(len(words))] = f"copy{number}"
            row = {**lines(path)[0], "text": " ".join(words), "id": f"{lines(path)[0]['id']}-copy-{number}"}
            path.with_name(f"{path.stem}-{number}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with world.project() as project:
        project.sync()


def stale(world: World) -> None:
    for path in world.chance.sample(world.files, len(world.files) // 5):
        edit(path, lambda row: {**row, "text": f"Since this month all of it is otherwise. {row['text']}"})


def tombstones(world: World) -> None:
    for path in world.chance.sample(world.files, len(world.files) // 6):
        path.unlink()
    with world.project() as project:
        project.sync()


def missing(world: World) -> None:
    (world.directory / "data" / "more").rename(world.directory / "data" / "unmounted")


def questions(world: World) -> None:
    world.moved = 0.6


def slow_leg(world: World) -> None:
    world.slow = 2.5


def adapter(world: World) -> None:
    (path,) = (world.directory / ".twofold" / "artifacts").glob("adapter-*/adapter_model.safetensors")
    stand_in_trainer.write_adapter(path.parent, 7.0)
    world.longer = 1.6


class Fault(NamedTuple):
    cause: str
    put: Callable[[World], None]
    syncs: bool = True
    """Does daily work on the documents go on? Not where nobody syncs."""


FAULTS = {
    "embedder swapped on half the index": Fault("embedder changed", other_embedder),
    "chunker changed": Fault("chunking changed", other_chunker),
    "flood of near duplicates": Fault("near duplicates", flood),
    "stale documents": Fault("stale documents", stale, syncs=False),
    "tombstones": Fault("documents removed", tombstones),
    "source missing": Fault("source missing", missing),
    "questions moved": Fault("questions moved", questions),
    "slow leg": Fault("slow part", slow_leg),
    "adapter swapped": Fault("model changed", adapter),
}


# ---------------------------------------------------------------- runs


class Outcome(NamedTuple):
    fault: str
    seed: int
    day: int
    """On which the fault was put in; 0: none."""
    found: int | None
    """Days from the fault to the first new alarm; 0: at the same day's look."""
    answers: int
    signals: list[str]
    cause: str
    false: list[str]
    remarks: list[str]


def run(base: Path, where: Path, make: Callable[[Path, int], World], *, fault: str, seed: int) -> Outcome:
    directory = where / f"{(fault or 'quiet').replace(' ', '-')}-{seed}"
    shutil.copytree(base, directory)
    world = make(directory, seed)
    put_on = world.chance.randint(8, 14) if fault else 0
    before: set[str] = set()
    false: list[str] = []
    seen_remarks: list[str] = []
    outcome: Outcome | None = None
    with world.project() as project:
        key = Watched(workspace=project.workspace, root=directory, splits=lambda: project.splits).measured().key
    for day in range(1, DAYS + 1):
        world.day = day
        faulty = bool(fault) and day >= put_on
        if day == put_on:
            FAULTS[fault].put(world)
        if not (faulty and not FAULTS[fault].syncs):
            live(world)
        with world.project() as project:
            traffic(world, project, key)
            readings, remarks = look(world, project)
        seen_remarks += remarks
        alarms = {row["signal"] for row in readings if row["state"] == "alarm"}
        new = sorted(alarms - before)
        before = alarms
        if new and not faulty:
            false += [f"day {day}: {name}" for name in new]
        if new and faulty:
            named = causes(readings, reversed(world.history))
            fresh = [cause for cause in named if set(cause["signals"]) & set(new)]
            first = fresh[0]["cause"] if fresh else ""
            outcome = Outcome(fault, seed, put_on, day - put_on, (day - put_on + 1) * DAILY, new, first, false, [])
            break
        world.history.append(readings)
    shutil.rmtree(directory)
    return (
        outcome._replace(remarks=seen_remarks)
        if outcome
        else Outcome(fault, seed, put_on, None, 0, [], "", false, seen_remarks)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--corpus", choices=ELSEWHERE, default="agxqa")
    parser.add_argument("--embedder", default="hashing")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each fault")
    parser.add_argument("--quiet", type=int, default=0, help="runs without a fault")
    parser.add_argument("--only", nargs="*", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.perf_counter()
    outcomes: list[Outcome] = []
    elsewhere = [question_of(row) for row in either(options.data / ELSEWHERE[options.corpus], "examples")]
    with tempfile.TemporaryDirectory() as folder, loading.registered("trainers", "stand-in", stand_in_trainer.StandIn):
        base = Path(folder) / "base"
        base.mkdir()
        os.environ["TRAINED"] = str(Path(folder) / "trained")
        laid = write(base, options.data, options.corpus, options.embedder)
        with Project.open(base, laid) as project:
            project.sync()
            record = project.study()
            pool = [example for example in project.examples if example.sources]
        chosen = record["verdict"]["arm"] or record["verdict"]["outcome"]
        print(f"{options.corpus}, {options.embedder}: verdict {chosen}, {len(pool)} questions, {DAILY} answers a day\n")

        def make(directory: Path, seed: int) -> World:
            return World(
                directory=directory,
                settings=laid,
                pool=pool,
                elsewhere=elsewhere,
                chance=random.Random(seed),
                numbers=np.random.default_rng(seed),
            )

        plan = [(name, seed) for name in options.only for seed in range(options.seeds)]
        plan += [("", seed) for seed in range(options.quiet)]
        for name, seed in plan:
            outcome = run(base, Path(folder), make, fault=name, seed=options.first_seed + seed)
            outcomes.append(outcome)
            print(f"<!-- {outcome} -->", file=sys.stderr, flush=True)
    report(outcomes)
    print(f"\n{time.perf_counter() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps([outcome._asdict() for outcome in outcomes], indent=1), encoding="utf-8")


def report(outcomes: Sequence[Outcome]) -> None:
    print(
        "| fault | found | days until (median, most) | answers until, at most | first new alarms | cause named right |"
    )
    print("|---|---|---|---|---|---|")
    right = total = 0
    for name in dict.fromkeys(outcome.fault for outcome in outcomes if outcome.fault):
        rows = [outcome for outcome in outcomes if outcome.fault == name]
        delays = [row.found for row in rows if row.found is not None]
        hits = sum(row.cause == FAULTS[name].cause for row in rows)
        right, total = right + hits, total + len(rows)
        days = f"{statistics.median(delays):g}, {max(delays)}" if delays else "–"
        signals = ", ".join(sorted({signal for row in rows for signal in row.signals}))
        answers = max(row.answers for row in rows)
        print(f"| {name} | {len(delays)} of {len(rows)} | {days} | {answers} | {signals} | {hits} of {len(rows)} |")
    if total:
        print(f"\ncause named right: {right} of {total} ({100 * right / total:.0f} %)")
    quiet = [outcome for outcome in outcomes if not outcome.fault]
    before = [outcome for outcome in outcomes if outcome.fault]
    days = DAYS * len(quiet) + sum(outcome.day - 1 for outcome in before)
    false = [alarm for outcome in outcomes for alarm in outcome.false]
    if days:
        print(f"false alarms: {len(false)} in {days} days without a fault ({30 * len(false) / days:.2f} in 30 days)")
    for alarm in false:
        print(f"- {alarm}")


if __name__ == "__main__":
    main()
