"""The forecast beside what was measured, as lines of text. Pure."""

from __future__ import annotations

from twofold.verdict.record import StudyRecord, counted, estimate_text


def forecast_lines(record: StudyRecord) -> list[str]:
    """A table of predictions and measurements with an empty line after it; nothing where there was no forecast."""
    check = record.get("forecast")
    if not check:
        return []
    table = [
        [f"forecast of {check['created'][:10]}, {counted(check['questions'], 'question')}", "expected", "measured"]
    ]
    table[0].append("inside")
    for row in check["rows"]:
        verdict = "yes" if row["inside"] else "NO"
        table.append([f"  {row['what']}", estimate_text(row["expected"]), estimate_text(row["measured"]), verdict])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    return [*lines, *(f"  not compared: {reason}" for reason in check["left_out"]), ""]
