"""Wrong answers in a report: what an oracle arm adds is a difference of answers that there are."""

from __future__ import annotations

from typing import Any

from sample import diagnosed, labels

from twofold.reports.why_wrong import oracle_gaps, why_wrong


def answered(score: float | None) -> dict[str, Any]:
    failure = None if score is not None else {"code": "generation.timeout", "message": ""}
    return {"scores": {"m": score}, "failure": failure}


def test_a_failed_answer_is_left_out_of_the_gap_and_counted():
    record: Any = {"arms": {"rag": {}, "oracle": {}}, "metric": "m", "level": 0.95}
    rows: Any = []
    for place in range(12):
        # Without the failures the two arms differ by nothing; counted as 0 each of them would be a gap of 1.
        oracle = None if place % 4 == 3 else 1.0
        rows.append({"id": str(place), "group": str(place), "arms": {"rag": answered(1.0), "oracle": answered(oracle)}})
    [gap] = oracle_gaps(record, rows)
    assert gap["estimate"]["mean"] == 0
    assert (gap["estimate"]["n"], gap["estimate"]["failed"]) == (9, 3)


def test_levers_that_gain_nothing_or_were_only_predicted_say_so():
    record, rows = labels()
    arm = next(iter(record["arms"]))
    diagnosis = diagnosed(record, rows, [arm])
    measured, harmful = diagnosis["arms"][arm]["levers"]
    predicted = {**measured, "lever": "twice the data", "answers": 0, "harmed": 0, "tokens": -57.0}
    diagnosis["arms"][arm]["levers"] = [measured, harmful, predicted]
    [shown] = why_wrong(record, rows, diagnosis)["levers"]
    assert [row["lever"] for row in shown["rows"]] == [measured["lever"], "twice the data"]
    assert shown["harms"] == [harmful], "nobody is told to pull it"
    assert [row["answers"] for row in shown["rows"]] == [41, "–"], "nothing was asked again"
    assert shown["rows"][1]["tokens"] == "−57"
