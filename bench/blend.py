"""The blend of meaning and words beside its legs, on sets that nothing was chosen on.

    python bench/blend.py --data ../shared/data [--sets agxqa mtrag …] [--json FILE] [--work FOLDER]

Each set becomes a project. The weight of the words is chosen on its train and dev questions, as `twofold sync` does;
everything is then measured on its test questions, by document, nDCG@10. Beside it stand each leg alone and the default
weight without a choice. `short` is how much the search in force lies below the better leg (0 where it does not).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from twofold.project import Project

SETS = ("agxqa", "agvaluate", "clapnq", "mtrag", "chunking_eval", "covidqa", "dstc11", "seedbench", "xquad", "qmsum")
WAYS: dict[str, Any] = {
    "meaning": {"retrieval": {"retriever": {"name": "dense"}}},
    "words": {"retrieval": {"retriever": {"name": "lexical"}}},
    "default": {"retrieval": {"retriever": {"name": "hybrid", "options": {"lexical": 0.5}}}},
}


def made(data: Path, name: str, home: Path) -> Path:
    """A project of the set's documents and examples."""
    (home / "data").mkdir(parents=True, exist_ok=True)
    for kind in ("documents", "examples"):
        packed = data / name / f"{kind}.jsonl.gz"
        plain = (
            gzip.decompress(packed.read_bytes()) if packed.is_file() else (data / name / f"{kind}.jsonl").read_bytes()
        )
        (home / "data" / f"{kind}.jsonl").write_bytes(plain)
    (home / "twofold.toml").write_text(
        '[documents]\npaths = ["data/documents.jsonl"]\n\n[examples]\npaths = ["data/examples.jsonl"]\n',
        encoding="utf-8",
    )
    return home


def measured(data: Path, name: str, home: Path) -> dict[str, Any]:
    """What each way of searching finds on the test questions, and what was chosen."""
    with Project.open(made(data, name, home)) as project:
        found = project.bench(WAYS, split="test")
    means = {way: one["metrics"]["nDCG@10"]["mean"] for way, one in found["pipelines"].items()}
    better = max(means["meaning"], means["words"])
    return {
        "set": name,
        "questions": found["questions"],
        "groups": found["groups"],
        "weight": found["words"]["weight"],
        **means,
        "short": max(0.0, better - means["project"]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TWOFOLD_DATA", "../shared/data")))
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--work", type=Path, help="folder where the projects stay; synced ones are used again")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        titles = ("set", "test questions", "meaning", "words", "default", "chosen", "weight", "short")
        print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
        for name in given.sets:
            row = measured(given.data, name, (given.work or Path(scratch)) / name)
            rows.append(row)
            cells = [f"{100 * row[way]:.1f}" for way in ("meaning", "words", "default", "project")]
            weight = "default" if row["weight"] is None else f"{row['weight']:g}"
            print(
                f"| {name} | {row['questions']} | {' | '.join(cells)} | {weight} | {100 * row['short']:.1f} |",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
