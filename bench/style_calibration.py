"""Does `style` decide with the errors it states? Simulated studies on real texts. Prints a Markdown table.

    python bench/style_calibration.py --data DATA/dstc11 --simulations 200

Brand texts are replies of the set, one for each question; an arm's answers are the replies to other questions, of which
a share is turned into another manner (all capitals). Each study draws its questions anew, one a group.

- false crown: base, prompt and rag have one share turned: a more complex one is chosen (at most 5 %);
- power: rag has no reply turned, the others the share: rag is chosen;
- pair: how often the interval of rag - base (truth 0) leaves 0 out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from pathlib import Path

import numpy as np

from twofold.metrics.style import Style
from twofold.plugins.protocols import Options
from twofold.settings.sections import StudySection
from twofold.stats import pooling
from twofold.types import Answer, Arm, Example, Message
from twofold.verdict.rule import VerdictFacts, decide

ARMS = (Arm(name="base"), Arm(name="prompt", shots=4), Arm(name="rag", retrieval=True))


def replies(folder: Path) -> list[str]:
    """The set's replies, each once."""
    with gzip.open(folder / "examples.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return sorted({row["answers"][0] for row in rows if row.get("answers")})


def study(texts: list[str], *, n: int, shares: tuple[float, ...], seed: int) -> tuple[str, bool]:
    """The arm that one simulated study chooses, and whether the interval of rag - base leaves 0 out."""
    chance = random.Random(seed)
    brand = chance.sample(texts, n)
    examples = [
        Example(id=str(number), messages=(Message(role="user", content="?"),), references=(text,))
        for number, text in enumerate(brand)
    ]
    metric, folds = Style(Options()), pooling.folds_of(np.arange(n))
    pooled = {}
    for arm, share in zip(ARMS, shares, strict=True):
        answers = [text.upper() if chance.random() < share else text for text in chance.sample(texts, n)]
        items = [(example, Answer(text=text)) for example, text in zip(examples, answers, strict=True)]
        pooled[arm.name] = pooling.pooled_scores(metric.pool, items, folds)
    verdict, _, comparisons, _ = decide(
        arms=ARMS,
        scores={name: scores.scores for name, scores in pooled.items()},
        groups=folds,
        metric="style",
        section=StudySection(resamples=400),
        objections={},
        facts=VerdictFacts(pooled=pooled, right=None),
    )
    pair = next(effect for effect in comparisons if effect.name == "rag - base").decides
    return verdict.arm, pair is not None and (pair.low > 0 or pair.high < 0)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--questions", type=int, nargs="+", default=[40, 80])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.3, 0.6])
    arguments = parser.parse_args()
    texts = replies(arguments.data)
    sys.stdout.write(
        "| questions | share turned | false crown | pair | power | seconds a study |\n|---|---|---|---|---|---|\n"
    )
    for n in arguments.questions:
        for share in arguments.shares:
            began = time.perf_counter()
            alike = [study(texts, n=n, shares=(share,) * 3, seed=s) for s in range(arguments.simulations)]
            seconds = (time.perf_counter() - began) / arguments.simulations
            apart = [study(texts, n=n, shares=(share, share, 0.0), seed=s) for s in range(arguments.simulations // 4)]
            crowns = sum(arm in ("prompt", "rag") for arm, _ in alike) / len(alike)
            pairs = sum(out for _, out in alike) / len(alike)
            power = sum(arm == "rag" for arm, _ in apart) / max(1, len(apart))
            sys.stdout.write(f"| {n} | {share:.1f} | {crowns:.3f} | {pairs:.3f} | {power:.2f} | {seconds:.2f} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
