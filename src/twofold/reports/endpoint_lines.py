"""What the endpoints of a study's arms did: shares, refusals, failures, and what was computed for nothing. Pure."""

from __future__ import annotations

from typing import TypedDict

from twofold.verdict.record import StudyRecord, counted


class EndpointRow(TypedDict):
    """One endpoint of one arm, in words."""

    arm: str
    address: str
    serves: str
    """Engine and version; a dash where the endpoint does not say."""
    answered: str
    at_once: str
    trouble: str
    """Refused, failed, lost and wasted, and why it was left out; a dash where there is nothing."""


def endpoint_rows(record: StudyRecord) -> list[EndpointRow]:
    """A row for each endpoint of each arm of which the record has them."""
    rows: list[EndpointRow] = []
    for name, arm in record["arms"].items():
        for state in arm.get("endpoints", ()):
            parts = [
                f"{counted(state['refused'], 'request')} refused for load" if state["refused"] else "",
                f"{counted(state['failed'], 'request')} failed" if state["failed"] else "",
                f"{counted(state['lost'], 'request')} lost, perhaps billed" if state["lost"] else "",
                f"{counted(state['wasted_tokens'], 'token')} wasted" if state["wasted_tokens"] else "",
                f"{state['state']}: {state['reason']}" if state["reason"] else "",
            ]
            rows.append(
                {
                    "arm": name,
                    "address": state["address"],
                    "serves": state["serves"] or "–",
                    "answered": counted(state["answered"], "request"),
                    "at_once": f"{state['at_once']} at once",
                    "trouble": "; ".join(part for part in parts if part) or "–",
                }
            )
    return rows


def endpoint_lines(record: StudyRecord) -> list[str]:
    """The rows as lines for the terminal; empty where there is none."""
    rows = endpoint_rows(record)
    if not rows:
        return []
    lines = ["endpoints:"]
    for row in rows:
        trouble = "" if row["trouble"] == "–" else f"; {row['trouble']}"
        lines.append(f"  - {row['arm']}: {row['address']} answered {row['answered']}, {row['at_once']}{trouble}")
    return [*lines, ""]
