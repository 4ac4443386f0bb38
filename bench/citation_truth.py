"""Does leaving passages out find the citations that point to the wrong passage? Prints a Markdown table.

    python bench/citation_truth.py [--questions 40] [--json FILE]

Questions of the bundled set whose answer stands, word for word, in exactly one of the passages retrieved for it. The
reference is taken as the answer, citing that passage (a right citation), and once more citing the passage after it (a
swapped marker). The generator is the default one, untuned. Columns: share of tests with each outcome, with 95 %
intervals over documents; `rightly`: of `elsewhere`, the share that names the right passage; seconds of one answer.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from twofold.answering.attribution import citation_tests
from twofold.examples.questions import Questions
from twofold.generation.local import LocalGenerator
from twofold.stats import intervals
from twofold.testing.projects import make_project
from twofold.types import Answer, Citation, Failure, Prompt

OUTCOMES = ("holds", "elsewhere", "unclear")


class Memory:
    """A generator's likelihoods, each computed once: both citations of an answer need the same readings."""

    def __init__(self, generator: LocalGenerator) -> None:
        self._generator = generator
        self._known: dict[tuple[Prompt, str], tuple[float, ...] | Failure] = {}

    def likelihoods(self, answers: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...] | Failure]:
        new = [pair for pair in dict.fromkeys(answers) if pair not in self._known]
        self._known.update(zip(new, self._generator.likelihoods(new), strict=True))
        return [self._known[pair] for pair in answers]

    def close(self) -> None:
        self._generator.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: dict[str, list] = {"right": [], "swapped": []}
    used = []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        settings = {
            "generation": {"generator": {"name": "local", "options": {}}},
            "retrieval": {"embedder": {"name": "minilm", "options": {}}},
        }
        with make_project(Path(place) / "demo", questions=339, settings=settings) as project:
            project.sync()
            system = project.open_system(arm="rag")
            system = replace(system, generator=Memory(system.generator))
            for example in (*project.splits.train, *project.splits.dev, *project.splits.test):
                if len(used) == options.questions:
                    break
                retrieved = system.retrieve([example])[0]
                hits = retrieved.hits
                text = example.references[0] if example.references else ""
                holding = [number for number, hit in enumerate(hits, 1) if text and text in hit.chunk.text]
                if len(holding) != 1 or len(hits) < 2:
                    continue
                right = holding[0]
                answer = Answer(text=text, raw=text, hits=hits)
                for name, number in (("right", right), ("swapped", right % len(hits) + 1)):
                    cited = Citation(number=number, span=hits[number - 1].chunk.span)
                    test = citation_tests(system, example, replace(answer, citations=(cited,)))[0]
                    rows[name].append((test, test.better == right))
                if not used:
                    begun = time.monotonic()  # the first pair loads the model
                used.append(example)
                print(
                    len(used), [test.outcome for test, _ in (rows["right"][-1], rows["swapped"][-1])], file=sys.stderr
                )
            seconds = (time.monotonic() - begun) / max(1, len(used) - 1)
            system.close()
    groups = Questions.of(used).groups
    print("| citation | answers | holds | elsewhere | unclear | rightly |\n|---|---|---|---|---|---|")
    for name, tests in rows.items():
        cells = []
        for outcome in OUTCOMES:
            value = intervals.estimate([float(test.outcome == outcome) for test, _ in tests], groups)
            cells.append(f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]")
        named = [rightly for test, rightly in tests if test.outcome == "elsewhere"]
        cells.append(f"{sum(named)} of {len(named)}")
        print(f"| {name} | {len(tests)} | {' | '.join(cells)} |")
    print(f"\n{seconds:.1f} s an answer")
    if options.json:
        outcomes_of = {}
        for name, tests in rows.items():
            outcomes_of[name] = [test.outcome for test, _ in tests]
        options.json.write_text(json.dumps({"outcomes": outcomes_of, "seconds": seconds}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
