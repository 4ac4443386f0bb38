"""An advice, and how earlier ones fared, in plain lines for people. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from twofold.advice.history import UNMEASURED, TrackRecord
from twofold.advice.opinion import AdviceRecord, FlipRow, ReasonRow, WayRow
from twofold.advice.ranking import ANSWER
from twofold.files.reading import counted
from twofold.verdict.record import true_minus

WIDTH = 118
REASONS = 4
"""Reasons that are shown of a way; the record has all."""
FLIPS = 8
"""Changes that are shown of a kind."""


def lines(advice: AdviceRecord) -> list[str]:
    """The advice: sentence, ranking with reasons, facts, what is unknown, what would turn it, what would settle it."""
    out = [advice["sentence"], advice["caveat"]]
    for contradiction in advice["contradictions"]:
        out += ["", *_wrapped(f"contradiction: {contradiction['message']}. {contradiction['cure']}")]
    out += ["", "The ways, best first (points, and how far they could move once more is known):"]
    for way in advice["ranking"]:
        out += _way(way)
    if advice["facts"]:
        out += ["", "What the project shows:"]
        for fact in advice["facts"]:
            level = f"{fact['criterion']} = {fact['level']}: " if fact["level"] else ""
            out += _wrapped(f"{level}{fact['text']} ({fact['source']})", "  ")
    return [true_minus(line) for line in (*out, *_unknown(advice), *_turning(advice), *_steps(advice))]


def _way(way: WayRow) -> list[str]:
    if way["excluded"]:
        return _wrapped(f"ruled out: {way['name']}: {'; '.join(way['excluded'])}", "  ", "    ")
    moves = "" if way["low"] == way["high"] else f" ({way['low']:+.1f} to {way['high']:+.1f})"
    out = [f"  {way['score']:+.1f}{moves}  {way['name']}"]
    for reason in way["reasons"][:REASONS]:
        out += _wrapped(_reason(reason), "      ", "           ")
    if len(way["reasons"]) > REASONS:
        rest = way["reasons"][REASONS:]
        out.append(f"      {sum(r['points'] for r in rest):+.1f} for {counted(len(rest), 'smaller reason')} (--json)")
    return out


def _reason(reason: ReasonRow) -> str:
    source = "your answer" if reason["source"] == ANSWER else reason["source"]
    return f"{reason['points']:+.1f} {reason['criterion']} = {reason['level']}: {reason['because']} [{source}]"


def _unknown(advice: AdviceRecord) -> list[str]:
    if not advice["unknown"]:
        return []
    turning = [row for row in advice["unknown"] if row["flips"]]
    others = [row["criterion"] for row in advice["unknown"] if not row["flips"]]
    out = ["", "Unknown:"]
    for row in turning:
        ends = "; ".join(_flip(flip) for flip in row["flips"])
        out += _wrapped(f"{row['criterion']} could turn the ranking round: {ends}", "  ", "    ")
    if others:
        what = f"whatever they are, these alone would not turn the ranking round: {', '.join(others)}"
        out += _wrapped(what, "  ", "    ")
    return out


def _turning(advice: AdviceRecord) -> list[str]:
    if not advice["first"]:
        return []
    out = ["", "What would turn the ranking round:"]
    for flip in advice["flips"][:FLIPS]:
        out += _wrapped(f"{flip['criterion']} = {flip['after']} instead of {flip['before']}: {_first(flip)}", "  ")
    if len(advice["flips"]) > FLIPS:
        out.append(f"  and {counted(len(advice['flips']) - FLIPS, 'more single answer')} (--json)")
    for bound in advice["weight_flips"][:FLIPS]:
        weight = f"the weight of {bound['criterion']} {bound['direction']} {bound['bound']:.2f}"
        out.append(f"  {weight} instead of {bound['weight']:g}: {bound['first']} first")
    if len(advice["weight_flips"]) > FLIPS:
        out.append(f"  and {counted(len(advice['weight_flips']) - FLIPS, 'more weight')} (--json)")
    if not advice["flips"] and not advice["weight_flips"]:
        out.append("  no single answer, and no single weight")
    return out


def _flip(flip: FlipRow) -> str:
    return f"{flip['after']}: {_first(flip)}"


def _first(flip: FlipRow) -> str:
    return f"{flip['first']} first" if flip["first"] else "no way is left"


def _steps(advice: AdviceRecord) -> list[str]:
    if not advice["steps"]:
        return []
    out = ["", "What would settle it, the cheapest first:"]
    for number, step in enumerate(advice["steps"], 1):
        out += _wrapped(f"{number}. {step['what']} ({step['cost']})", "  ", "     ")
        out.append(f"     {step['command']}")
    return out


def track_lines(record: TrackRecord) -> list[str]:
    """How the advices fared: each beside each later study, counts, and the share with its interval."""
    if not record["advices"]:
        return ["no advice is stored yet: `twofold advise` stores each"]
    out = []
    for row in record["rows"]:
        if row["result"] == "not compared":
            verdict = "not compared: it measured fewer than two of the ways that the advice left open"
        elif row["result"] == UNMEASURED:
            chose = f"chose {row['arm']}" if row["arm"] else f"chose none ({row['outcome']})"
            verdict = f"neither hit nor miss: {row['study']} did not measure {row['first']}; it {chose}"
        elif row["arm"]:
            verdict = f"{row['result']}: {row['study']} chose {row['arm']}"
        else:
            verdict = f"undecided: {row['study']} chose none ({row['outcome']})"
        advised = row["first"] or "nothing"
        best = f" (of the ways measured {row['compared']})" if row["compared"] not in ("", row["first"]) else ""
        out.append(f"{row['at'][:10]} advised {advised}{best}; {row['created'][:10]} {verdict}")
    counts = f"{counted(record['advices'], 'advice')}: {record['hit']} hit, {record['miss']} missed, "
    counts += f"{record['undecided']} undecided, {record['unmeasured']} whose first way no later study measured, "
    out.append(counts + f"{record['waiting']} without a later study that compares")
    right = record["right"]
    if right:
        share = (
            f"{100 * right['mean']:.0f} % were right, 95 % from {100 * right['low']:.0f} to {100 * right['high']:.0f}"
        )
        out.append(f"of those that a study decided {share}")
    if record["damaged"]:
        out.append(f"warning: these lines of the stored advices cannot be read: {_listed(record['damaged'])}")
    return out


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest or first + "  ") or [""]
