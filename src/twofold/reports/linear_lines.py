"""What a linear model would score, in words. Pure."""

from __future__ import annotations

from twofold.verdict.record import StudyRecord, counted, estimate_text
from twofold.verdict.wording import metric_title


def linear_line(record: StudyRecord) -> str:
    """A sentence on the linear model beside the arms; empty where the study has none."""
    linear = record.get("linear")
    if not linear:
        return ""
    line = (
        f"a linear model on the words of {counted(linear['examples'], 'train and dev example')} scores "
        f"{estimate_text(linear['score'])} in {metric_title(record['metric'])} on the same questions"
    )
    difference = linear["difference"]
    if difference is None:
        return line
    line += f"; {linear['arm']} - linear {estimate_text(difference)}"
    if difference["high"] < 0:
        # Of that arm alone: one that was not measured, such as a tuned one, may be better than both.
        return f"{line}: the linear model is better, and {linear['arm']} is not needed for these labels"
    return f"{line}: {'the arm is better' if difference['low'] > 0 else 'neither is shown to be better'}"
