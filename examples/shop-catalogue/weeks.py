"""The weeks of the shop's catalogue: put one in place, and ask the tuned model what it learned in the first.

- ``weeks.py put PROJECT WEEK``: the catalogue of the week, and the answers that are right in it
- ``weeks.py recall PROJECT``: training questions whose answer has changed; is the old answer given, or the new?
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from twofold import Project
from twofold.hashing import plain
from twofold.metrics.overlap import AnswerF1
from twofold.plugins.protocols import Options
from twofold.stats.intervals import estimate
from twofold.types import Answer, Example
from twofold.verdict.record import estimate_text

CASE = Path(__file__).resolve().parent
FIRST, LAST = 1, 3
RIGHT = 0.5
"""Answer F1 from which the study counts an answer as right."""


def answers_of(week: int) -> dict[str, str]:
    """Id of a question → the answer that is right in that week."""
    lines = (CASE / "answers_by_week.jsonl").read_text("utf-8").splitlines()
    rows = map(json.loads, lines)
    return {row["id"]: row["answers"][str(week)] for row in rows}


def put(project: Path, week: int) -> None:
    """Replace documents and test answers. Training examples stay those of the first week: nobody tunes again."""
    source = CASE / "data" / "documents.jsonl.gz" if week == FIRST else CASE / f"week{week}.jsonl.gz"
    shutil.copyfile(source, project / "data" / "documents.jsonl.gz")
    answers = answers_of(week)
    rows = []
    for line in (CASE / "data" / "test.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        rows.append(json.dumps({**row, "answers": [answers[row["id"]]]}, ensure_ascii=False))
    (project / "data" / "test.jsonl").write_text("\n".join(rows) + "\n", "utf-8")


def marks(questions: Sequence[Example], answers: Sequence[Answer], right: Mapping[str, str]) -> list[float]:
    """1 for each answer that says what `right` has for its question, 0 for one that does not, NaN for a failed one."""
    metric = AnswerF1(Options())
    out = []
    for question, answer in zip(questions, answers, strict=True):
        score = metric.score(replace(question, references=(right[question.id],)), answer)
        out.append(math.nan if answer.failure else float((score or 0) >= RIGHT))
    return out


def recall(directory: Path) -> None:
    """Ask every training question whose answer changed, and count answers of the first and of the last week."""
    old, new = answers_of(FIRST), answers_of(LAST)
    with Project.open(directory) as project:
        stale = [e for e in project.splits.train if old[e.id] != new[e.id]]
        products = {name: number for number, name in enumerate(sorted({e.group for e in stale}))}
        groups = [products[e.group] for e in stale]
        print(f"{len(stale)} training questions whose answer changed between week {FIRST} and week {LAST}:")
        for arm in ("ft", "rag"):
            system = project.open_system(arm=arm)
            answers = system.answer(stale)
            system.close()
            shares = []
            for week, right in ((FIRST, old), (LAST, new)):
                share = estimate(marks(stale, answers, right), groups)
                shares.append(f"as in week {week} {estimate_text(plain(share))}")
            failed = sum(answer.failure is not None for answer in answers)  # in neither share
            print(f"  {arm:3} {'; '.join(shares)}{f'; {failed} answers failed' if failed else ''}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["put", project, week]:
            put(Path(project), int(week))
        case ["recall", project]:
            recall(Path(project))
        case _:
            sys.exit(__doc__)
