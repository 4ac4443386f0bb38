"""By which passages a study judged answers, in words. Pure."""

from __future__ import annotations

from twofold.verdict.record import StudyRecord


def lines(record: StudyRecord) -> list[str]:
    """A line for each metric and kind of passages, with the arms: ``hallucination of base by the best 3 …``."""
    arms: dict[tuple[str, str], list[str]] = {}
    for name, arm in record["arms"].items():
        for metric, passages in arm.get("judged_by", {}).items():
            arms.setdefault((metric, passages), []).append(name)
    return [f"{metric} of {', '.join(names)} by {passages}" for (metric, passages), names in arms.items()]
