"""Twofold beside LlamaIndex, Haystack and txtai in their documented defaults: sync, search, memory and ranking.

    python bench/side_by_side.py --data ../shared/data [--sets agxqa clapnq] [--large 10000] [--rounds 3] [--json FILE]

Every contestant ingests the same folder of text files and answers the same questions, each round in a process of its
own, in turns; figures are medians of the rounds. The others are installed, pinned, into an environment of their own
(`--venv`, made at the first run). All read the weights of all-MiniLM-L6-v2 from one directory with the same number of
threads. ``torch`` is sentence-transformers in float32, the others' documented way (Twofold: its torch embedder);
``openvino`` is Twofold's embedder for everybody, so that the framework and not the runtime is compared. The large
folder is embedded by hashed words, for everybody the same: it measures everything but the model. Rankings are scored by
Twofold's metrics on document ids; intervals are bootstraps over groups of questions, differences paired and
simultaneous. CPU time (of all threads, a file synced and a question asked) holds where other work is on the machine;
seconds and latencies want idle cores. What is not at its default is told in `side_by_side_contestants.py`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twofold.examples import loading, splitting
from twofold.examples.questions import Questions
from twofold.hashing import digest_file
from twofold.host.cache import cache_root
from twofold.models import hub
from twofold.plugins import loading as plugin_loading
from twofold.settings.sections import ExamplesSection
from twofold.stats import intervals
from twofold.study.compose import numbers
from twofold.study.retrieval.benchmark import labelled
from twofold.types import Answer, Chunk, Example, Hit, Span

HERE = Path(__file__).resolve().parent
CONTESTANTS = ("Twofold", "LlamaIndex", "Haystack", "txtai")
DEFAULTS = {"Twofold": ("openvino", "hybrid")}
"""Runtime and search of each in its default; the others': torch, dense."""
K, DEPTH = 10, 30
"""Hits of a timed search, and of a ranked one: several may come from one document."""
WINDOW = 600
Row = tuple[str, str, str]
"""Contestant, runtime, mode."""


def records(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            opened = gzip.open if path.suffix == ".gz" else open
            with opened(path, "rt", encoding="utf-8") as file:
                yield from map(json.loads, file)


def written(folder: Path, texts: Sequence[str]) -> None:
    """The texts as files, named by their numbers."""
    folder.mkdir(parents=True)
    for number, text in enumerate(texts):
        (folder / f"{number:06d}.txt").write_text(text, encoding="utf-8")


def labelled_set(data: Path, name: str, folder: Path) -> tuple[list[str], list[Example]]:
    """A set's documents as files, a title on a line of its own; their ids in the files' order, and the questions."""
    rows = list(records(data / name, "documents.jsonl"))
    written(folder, ["\n".join(part for part in (row.get("title") or "", row["text"]) if part) for row in rows])
    parts = splitting.split(
        loading.load_examples(("examples.jsonl*",), data / name, strict=False)[0], ExamplesSection()
    )
    return [row["id"] for row in rows], labelled((*parts.train, *parts.dev, *parts.test))  # grouped by document


def large_set(data: Path, count: int, folder: Path) -> list[str]:
    """`count` passages of real documents as files; real questions."""
    texts: list[str] = []
    asked: list[str] = []
    for name in ("medquad", "covidqa", "mtrag", "pubmedqa", "clapnq"):
        for row in records(data / name, "documents.jsonl"):
            texts += [row["text"][start : start + WINDOW] for start in range(0, len(row["text"]), WINDOW)]
        asked += [row["question"] for row in records(data / name, "examples.jsonl") if "question" in row][:200]
    chosen = np.random.default_rng(0).permutation(len(texts))[:count]
    written(folder, [texts[row] for row in chosen if texts[row].strip()])
    return [asked[row] for row in np.random.default_rng(1).permutation(len(asked))]


def environment(folder: Path) -> Path:
    """The Python of the contestants' environment, made when missing or when the requirements changed."""
    wanted = HERE / "side_by_side_requirements.txt"
    mark, python = folder / "made-of", folder / "bin" / "python"
    if not mark.is_file() or mark.read_text() != digest_file("requirements", wanted):
        print(f"installing the contestants into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", wanted], check=True)
        mark.write_text(digest_file("requirements", wanted))
    return python


def run(contestant: str, job: dict[str, Any], python: Path) -> dict[str, Any]:
    """One process: mode → what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps({**job, "contestant": contestant, "scratch": folder}), encoding="utf-8")
        done = subprocess.run(
            [sys.executable if contestant == "Twofold" else python, HERE / "side_by_side_contestants.py", path],
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(job["threads"])),
                "PYTHONPATH": str(HERE.parent / "src"),
                "HF_HUB_OFFLINE": "1",
                "HAYSTACK_TELEMETRY_ENABLED": "False",
            },
        )
    if done.returncode:
        raise SystemExit(f"{contestant} failed:\n{done.stderr[-3000:]}")
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return made


def measured(
    jobs: Sequence[tuple[str, dict[str, Any]]], rounds: int, python: Path
) -> tuple[dict[Row, dict[str, Any]], dict[Row, list[list[str]]]]:
    """The medians of each row's figures with the rounds' range, and the files found for each question."""
    runs: dict[Row, list[dict[str, Any]]] = {}
    found: dict[Row, list[list[str]]] = {}
    for number in range(rounds):
        for contestant, job in jobs:
            given = {**job, "depth": DEPTH if job["ranked"] and not number else 0}
            for mode, one in run(contestant, given, python).items():
                row = (contestant, job["runtime"], mode)
                found.setdefault(row, one["found"])
                p50, p95 = np.percentile(one["ms"], [50, 95])
                figures = {"files/s": job["files"] / one["seconds"], "chunks/s": one["chunks"] / one["seconds"]}
                figures |= {"CPU ms a file": 1000 * one["cpu"] / job["files"]}
                figures |= {
                    "p50 ms": float(p50),
                    "p95 ms": float(p95),
                    "CPU ms a question": one["cpu_ms"],
                    "peak MiB": one["peak_mib"],
                }
                runs.setdefault(row, []).append({"chunks": one["chunks"], **figures})
                print(f"round {number + 1}: {' '.join(row)} {runs[row][-1]}", file=sys.stderr)
    return {row: summed(own) for row, own in runs.items()}, found


def summed(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {
        name: {
            "median": statistics.median(one[name] for one in runs),
            "least": min(one[name] for one in runs),
            "most": max(one[name] for one in runs),
        }
        for name in runs[0]
    }


def scored(
    found: Mapping[Row, Sequence[Sequence[str]]], names: Sequence[str], examples: Sequence[Example]
) -> dict[Row, dict[str, Any]]:
    """Recall@10 and nDCG@10 of each row with intervals, and paired differences to Twofold's default."""
    rows = list(found)
    default = ("Twofold", *DEFAULTS["Twofold"])
    base = rows.index(default) if default in rows else 0
    out: dict[Row, dict[str, Any]] = {row: {} for row in rows}
    groups = Questions.of(examples).groups
    for title, name in (("recall@10", "recall"), ("nDCG@10", "ndcg")):
        metric = plugin_loading.make("metrics", name, {"k": K, "unit": "document"})
        columns = [
            numbers(
                [
                    metric.score(e, Answer(text="", hits=hits([names[int(file)] for file in files])))
                    for e, files in zip(examples, found[row], strict=True)
                ]
            )
            for row in rows
        ]
        unit = np.eye(len(rows))
        weights = {str(place): unit[place] - unit[base] for place in range(len(rows)) if place != base}
        differences = intervals.contrasts(np.column_stack(columns), groups, weights)
        for place, row in enumerate(rows):
            own = intervals.estimate(columns[place], groups)
            out[row][title] = {"mean": own.mean, "low": own.low, "high": own.high, "n": own.n}
            if place != base:
                made = differences[str(place)].estimate()
                against = f"{title} - {rows[base][0]}"
                out[row][against] = {"mean": made.mean, "low": made.low, "high": made.high, "n": made.n}
    return out


def hits(documents: Sequence[str]) -> tuple[Hit, ...]:
    return tuple(
        Hit(chunk=Chunk(id=name, span=Span(document=name, start=0, end=0), text=""), score=0.0, rank=rank)
        for rank, name in enumerate(documents, 1)
    )


def show(title: str, figures: Mapping[Row, Mapping[str, Any]]) -> None:
    names = list(next(iter(figures.values())))
    extra = [n for n in dict.fromkeys(n for own in figures.values() for n in own) if n not in names]
    columns = [*names, *extra]
    print(
        f"\n{title}\n\n| contestant | runtime | search | {' | '.join(columns)} |\n|---|---|---|{'---|' * len(columns)}"
    )
    for row, own in figures.items():
        default = " (default)" if row[1:] == DEFAULTS.get(row[0], ("torch", "dense")) else ""
        cells = [cell(own[name], name) if name in own else "" for name in columns]
        print(f"| {row[0]}{default} | {row[1]} | {row[2]} | {' | '.join(cells)} |", flush=True)


def cell(value: Mapping[str, float], name: str) -> str:
    if "mean" in value:
        form = "+.3f" if "-" in name else ".3f"
        return f"{value['mean']:{form}} [{value['low']:{form}}, {value['high']:{form}}]"
    digits = 1 if value["most"] < 100 and name != "chunks" else 0
    middle, least, most = (f"{value[key]:.{digits}f}" for key in ("median", "least", "most"))
    return middle if least == most else f"{middle} [{least}, {most}]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TWOFOLD_DATA", "../shared/data")))
    parser.add_argument("--sets", nargs="*", default=["agxqa", "clapnq"], help="labelled sets")
    parser.add_argument("--large", type=int, default=10_000, help="passages of the large folder; 0 to leave it out")
    parser.add_argument("--contestants", nargs="+", default=list(CONTESTANTS), choices=CONTESTANTS)
    parser.add_argument("--runtimes", nargs="+", default=["torch", "openvino"], choices=["torch", "openvino"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timed", type=int, default=100, help="questions asked one at a time")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--venv", type=Path, default=cache_root() / "bench" / "side-by-side")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    python = environment(chosen.venv)
    same = {"model": str(hub.locate("all-minilm-l6-v2")), "threads": chosen.threads, "k": K, "timed": chosen.timed}
    result: dict[str, Any] = {"load": os.getloadavg(), "threads": chosen.threads, "rounds": chosen.rounds}

    def take(title: str, work: Path, questions: Sequence[str], runtimes: Sequence[str], ranked: bool) -> Any:
        (work / "questions.json").write_text(json.dumps(questions), encoding="utf-8")
        files = len(list((work / "files").iterdir()))
        job = {**same, "folder": str(work / "files"), "questions": str(work / "questions.json"), "files": files}
        jobs = [
            (contestant, {**job, "runtime": runtime, "ranked": ranked})
            for runtime in runtimes
            for contestant in chosen.contestants
        ]
        figures, found = measured(jobs, chosen.rounds, python)
        show(f"{title}: {files} files, {min(len(questions), chosen.timed)} timed questions", figures)
        result[title] = {"files": files, "figures": {" ".join(row): own for row, own in figures.items()}}
        return found

    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.sets:
            work = Path(folder) / name
            names, examples = labelled_set(chosen.data, name, work / "files")
            found = take(name, work, [e.question for e in examples], chosen.runtimes, True)
            scores = scored(found, names, examples)
            show(f"{name}: {len(examples)} questions in {len({e.group for e in examples})} groups", scores)
            result[name]["scores"] = {" ".join(row): own for row, own in scores.items()}
        if chosen.large:
            work = Path(folder) / "large"
            questions = large_set(chosen.data, chosen.large, work / "files")
            take("large", work, questions[: chosen.timed + 3], ["hashing"], False)
    result["load after"] = os.getloadavg()
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
