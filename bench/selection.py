"""Training examples selected against drawn at random, at equal budget, on one real set.

    python bench/selection.py [--set banking77] [--budget 100 200 400] [--seeds 5] [--difficulty] [--lora]

From a pool of labelled messages each way chooses as many; logistic regression on the embedder's vectors learns from
them, and answers the same test messages. With ``--lora`` the embedded model is tuned instead (hours on two cores).
``--difficulty`` adds the two ways that need the language model's losses. Each seed draws another pool; a test message's
score is its mean over seeds. Differences from random are paired by message, their 95 % intervals simultaneous over ways
and budgets. They hold for these pools: with few seeds, the pool's own luck is not in them, so the spread over seeds
stands beside.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(os.environ.get("TWOFOLD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def load(data: Path, name: str) -> tuple[list[Any], list[Any]]:
    """Training and test messages as examples."""
    from twofold.types import Example, Message

    with gzip.open(data / name / "examples.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    parts: dict[str, list[Any]] = {"train": [], "dev": []}
    for row in rows:
        asked = (Message(role="user", content=row["input"]),)
        parts[row["split"]].append(Example(id=row["id"], messages=asked, references=(row["output"],)))
    return parts["train"], parts["dev"]


def by_regression(train: Any, test: Any, vectors: dict[str, Any]) -> list[float]:
    """Right or wrong for each test message."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10.0, max_iter=2000)
    model.fit(np.array([vectors[e.id] for e in train]), [e.references[0] for e in train])
    said = model.predict(np.array([vectors[e.id] for e in test]))
    return [float(text == e.references[0]) for text, e in zip(said, test, strict=True)]


def by_tuning(train: Any, test: Any, project: Any) -> list[float]:
    """The same, of the embedded model tuned on `train`; a tenth of it chooses the checkpoint."""
    from twofold.examples.splitting import Splits

    cut = max(1, len(train) // 10)
    splits = Splits(
        train=tuple(replace(e, split="train", group=e.id) for e in train[cut:]),
        dev=tuple(replace(e, split="dev", group=e.id) for e in train[:cut]),
        test=tuple(test),
        reserve=(),
        policy="",
        groups=len(test),
        digest="",
    )
    system, _ = project.workspace.arms.system(project.config.arm("ft"), splits)
    try:
        answers = [a for at in range(0, len(test), 64) for a in system.answer(test[at : at + 64])]
    finally:
        system.close()
    return [float(a.text.strip() == e.references[0]) for a, e in zip(answers, test, strict=True)]


def gathered(given: Any, test: list[Any], whole: list[Any]) -> dict[tuple[int, str], list[list[float]]]:
    """(budget, way) → for each pool, right or wrong for each test message."""
    from twofold.curation.difficulty import difficulty
    from twofold.curation.selection import choose
    from twofold.project import Project

    ways: tuple[Any, ...] = ("random", "diversity", *(("difficulty", "both") if given.difficulty else ()))
    scores: dict[tuple[int, str], list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "twofold.toml").write_text("", encoding="utf-8")
        tuning = {"gate": "off", "trainer": {"name": "lora", "options": {"epochs": 4.0}}}
        project = Project.open(Path(scratch), {"documents": {"paths": []}, "tuning": tuning})
        with project:
            for seed in range(given.seeds):
                pool = random.Random(f"pool/{seed}").sample(whole, min(given.pool, len(whole)))
                both = [*pool, *test]
                embedded = project.workspace.search.embedder.embed([e.question for e in both])
                vectors = {e.id: v for e, v in zip(both, embedded, strict=True)}
                hard = difficulty(project.workspace.search, pool) if given.difficulty else {}
                for budget in given.budget:
                    for way in ways:
                        order, _ = choose(
                            budget,
                            by=way,
                            vectors=embedded[: len(pool)],
                            difficulty=[hard[e.id] for e in pool] if hard else None,
                            keys=[e.id for e in pool],
                            seed=seed,
                        )
                        train = [pool[n] for n in order]
                        right = by_tuning(train, test, project) if given.lora else by_regression(train, test, vectors)
                        scores.setdefault((budget, way), []).append(right)
                        labels = len({e.references[0] for e in train})
                        print(
                            f"seed {seed}, {budget} by {way}: {np.mean(right):.3f}, {labels} intents", file=sys.stderr
                        )
    return scores


def show(given: Any, scores: dict[tuple[int, str], list[list[float]]]) -> None:
    """Print the table, and keep it where that is asked for."""
    from twofold.hashing import plain
    from twofold.stats import intervals

    columns = list(scores)
    matrix = np.array([np.mean(scores[one], axis=0) for one in columns]).T
    weights = {}
    for budget, way in columns:
        if way != "random":
            one = np.zeros(len(columns))
            one[columns.index((budget, way))], one[columns.index((budget, "random"))] = 1.0, -1.0
            weights[f"{budget} {way}"] = one
    apart = intervals.contrasts(matrix, None, weights)
    print(f"\n{given.set}: pool {given.pool}, {len(matrix)} test messages, {given.seeds} pools")
    print("| budget | by | accuracy | by pool | − random |\n|---|---|---|---|---|")
    out = []
    for at, (budget, way) in enumerate(columns):
        made = intervals.estimate(matrix[:, at])
        pools = [float(np.mean(right)) for right in scores[budget, way]]
        told = apart.get(f"{budget} {way}")
        difference = f"{told.mean:+.3f} [{told.low:+.3f}, {told.high:+.3f}]" if told else ""
        spread = f"{min(pools):.3f}–{max(pools):.3f}"
        print(f"| {budget} | {way} | {made.mean:.3f} [{made.low:.3f}, {made.high:.3f}] | {spread} | {difference} |")
        row = {"budget": budget, "by": way, "accuracy": plain(made), "pools": pools}
        out.append({**row, "difference": plain(told.estimate()) if told else None})
    if given.json:
        given.json.write_text(json.dumps(out, indent=1), encoding="utf-8")


def main() -> None:
    """Choose, learn, test; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--set", default="banking77", choices=("banking77", "clinc150"))
    parser.add_argument("--budget", type=int, nargs="+", default=[100, 200, 400])
    parser.add_argument("--pool", type=int, default=2000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--difficulty", action="store_true")
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    whole, test = load(given.data, given.set)
    test = random.Random("test").sample(test, min(given.test, len(test)))
    show(given, gathered(given, test, whole))


if __name__ == "__main__":
    main()
