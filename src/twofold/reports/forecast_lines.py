"""The forecast beside what was measured, as lines of text. Pure."""

from __future__ import annotations

from twofold.verdict.record import ForecastCheck, StudyRecord, counted, estimate_text
from twofold.verdict.wording import percent


def forecast_lines(record: StudyRecord) -> list[str]:
    """A table of predictions and measurements with an empty line after it; nothing where there was no forecast."""
    check = record.get("forecast")
    if not check:
        return []
    # The two columns differ in level: a look at the test questions is decided at a stricter one than `[study].level`.
    measured = f"measured ({percent(record['level'])})"
    table = [[f"forecast of {check['created'][:10]}, {counted(check['questions'], 'question')}", expected_title(check)]]
    table[0] += [measured, "inside"]
    for row in check["rows"]:
        verdict = "yes" if row["inside"] else "NO"
        table.append([f"  {row['what']}", estimate_text(row["expected"]), estimate_text(row["measured"]), verdict])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    return [*lines, *(f"  not compared: {reason}" for reason in check["left_out"]), ""]


def expected_title(check: ForecastCheck) -> str:
    """Head of the predictions' column, with their level where the record has it."""
    level = check.get("level")
    return "expected" if level is None else f"expected ({percent(level)})"
