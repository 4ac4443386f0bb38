"""What endpoints did, added up over processes and generators. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from twofold.plugins.results import EndpointState


def summed(rows: Iterable[EndpointState], more: Iterable[EndpointState]) -> list[EndpointState]:
    """Rows by address: requests and tokens add up, of the rest the later row counts.

    Args:
        rows: Earlier rows.
        more: Later ones.
    """
    by: dict[str, EndpointState] = {}
    for row in (*rows, *more):
        before = by.get(row["address"])
        if before is None:
            by[row["address"]] = row
            continue
        by[row["address"]] = {
            **row,
            "answered": before["answered"] + row["answered"],
            "refused": before["refused"] + row["refused"],
            "failed": before["failed"] + row["failed"],
            "lost": before["lost"] + row["lost"],
            "wasted_tokens": before["wasted_tokens"] + row["wasted_tokens"],
        }
    return list(by.values())
