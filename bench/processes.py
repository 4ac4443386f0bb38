"""Processor seconds and memory of this process and all below it, those of Ray among them."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def family() -> dict[int, tuple[str, float, float]]:
    """Each process below this one → its name, its processor seconds, its memory of its own in MiB."""
    parents, facts = dict[int, int](), dict[int, tuple[str, float, float]]()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            resident, shared = (int(page) for page in (entry / "statm").read_text().split()[1:3])
        except (OSError, ValueError):
            continue
        fields = rest.split()
        parents[int(entry.name)] = int(fields[1])
        busy = (int(fields[11]) + int(fields[12])) / TICKS
        facts[int(entry.name)] = name, busy, (resident - shared) * 4096 / 2**20
    mine, grown = {os.getpid()}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in mine} - mine
        mine, grown = mine | more, bool(more)
    return {number: facts[number] for number in mine if number in facts}
