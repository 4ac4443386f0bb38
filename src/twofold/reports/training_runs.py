"""Training runs in a study's record: a table of them, and the record without their single arms. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import cast

from twofold.types import Json
from twofold.verdict.record import AnswerRow, StudyRecord, estimate_text
from twofold.verdict.wording import metric_title


def single_runs(record: StudyRecord) -> set[str]:
    """Names of the arms that are single training runs of another, such as ``ft@1``."""
    return set(chain.from_iterable(arm["runs"]["names"] for arm in record["arms"].values() if "runs" in arm))


def without_runs(record: StudyRecord, answers: Sequence[AnswerRow] = ()) -> tuple[StudyRecord, Sequence[AnswerRow]]:
    """Record and answers without the single runs, which stand in the table of runs; as they are where there is none."""
    runs = single_runs(record)
    if not runs:
        return record, answers
    arms = {name: arm for name, arm in record["arms"].items() if name not in runs}
    rows: list[AnswerRow] = []
    for row in answers:
        rows.append({**row, "arms": {name: answer for name, answer in row["arms"].items() if name not in runs}})
    return {**record, "arms": arms}, rows


def run_table(record: StudyRecord) -> list[list[str]]:
    """Heading and a row for every training run of every tuned arm; empty where there is one each."""
    metric = metric_title(record["metric"])
    table = [["run", "seed", f"{metric}, its own", f"dev {metric}", "", "weights"]]
    for arm in record["arms"].values():
        for name, seed in zip(arm["runs"]["names"], arm["runs"]["seeds"], strict=True) if "runs" in arm else ():
            measured = record["arms"][name]
            trained = _row(arm["training"], name)
            score = measured["metrics"].get(record["metric"])
            table.append(
                [
                    name,
                    str(seed),
                    estimate_text(score) if score else "-",
                    estimate_text(trained["dev"]),
                    "answers" if trained["carried"] else "",
                    trained["model"],
                ]
            )
    return table if len(table) > 1 else []


def _row(training: object, name: str) -> Json:
    rows = cast("Mapping[str, list[Json]]", training)["runs"]
    return next(row for row in rows if row["run"] == int(name.rpartition("@")[2]))
