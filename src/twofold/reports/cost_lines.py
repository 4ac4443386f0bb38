"""The costs of a study for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.costs.report import BreakEvenRecord, CostRecord, CurveRecord, OwnMachineRecord, SumRecord
from twofold.verdict.record import price_text, true_minus
from twofold.verdict.wording import percent

_NONE = "–"
_SMALL = 1e-4
"""Amounts below are written with an exponent."""


def cost_summary(record: CostRecord, *, parts: bool = False) -> str:
    """Costs of a thousand answers, a right answer and a month, break-even, curves, and what is unknown.

    Args:
        record: All costs.
        parts: List every part of every arm's cost.
    """
    use = record["scenario"]
    currency = record["currency"] or "no currency: no price is known"
    lines = [
        f"costs of study {record['study']}, {currency}, with {percent(record['level'])} intervals",
        f"use: {_count(use['volume'])} answers a month, {_plain(use['retrainings'])} retrainings and "
        f"{_plain(use['updates'])} updates of the documents a month; what is paid once is spread over "
        f"{_plain(use['months'])} months; utilisation {_plain(use['utilisation'])}",
        *([f"seconds were measured on {record['hardware']}"] if record["hardware"] else []),
        "",
    ]
    table = [["arm", "paid by", "1,000 answers", "1,000 more", "a right answer", "a month", "with wrong answers"]]
    for name, arm in record["arms"].items():
        right = money(arm["per_right"]) if arm["per_right"] else arm["per_right_why"]
        cells = [money(arm["per_1000"]), money(arm["running_per_1000"]), right, money(arm["monthly"])]
        table.append([name, _PAID[arm["serving"]], *cells, money(arm["monthly_with_risk"])])
    lines += [*_aligned(table), *_unknown(record), ""]
    lines += [*_passages(record), *(_parts(record) if parts else [])]
    if record["break_even"]:
        counted = " (wrong answers count)" if record["break_even"][0]["with_risk"] else ""
        lines.append(f"break-even, answers a month{counted}:")
        lines += [f"  {break_even_text(pair)}" for pair in record["break_even"]]
        lines.append("")
    lines.append("a machine of your own, paid by the month, beside the tokens of a hosted model:")
    lines += [f"  {machine_text(machine)}" for machine in record["own_machine"]]
    for key, title in (("over_volume", "answers a month"), ("over_updates", "updates of the documents a month")):
        lines += ["", f"a month's cost by {title}:", *_aligned(_curve(record[key]))]  # type: ignore[literal-required]
    return "\n".join(true_minus(line.rstrip()) for line in lines) + "\n"


_PAID = {"hosted": "tokens", "own": "machine"}


def money(cost: SumRecord) -> str:
    """``0.42 [0.40, 0.44]``; with a plus where something unknown comes on top, ``unknown`` where nothing is known."""
    if cost["unknown"] and not cost["mean"]:
        return "unknown"
    low, high = (_NONE if end is None else _amount(end) for end in (cost["low"], cost["high"]))
    return f"{_amount(cost['mean'])} [{low}, {high}]{' + unknown' if cost['unknown'] else ''}"


def _amount(value: float) -> str:
    # Three digits of what is small, cents of what is large; as the page's script writes them.
    if abs(value) >= 1:
        return price_text(value)
    text = f"{value:.3g}" if abs(value) >= _SMALL else f"{value:.2e}".replace("e-0", "e-")
    return text if value else "0"


def break_even_text(pair: BreakEvenRecord) -> str:
    """A sentence on the volume at which two arms cost the same."""
    arm, other = pair["arm"], pair["other"]
    if pair["outcome"] == "unknown":
        return f"{arm} and {other}: unknown without {', '.join(pair['unknown'])}"
    if pair["outcome"] == "same":
        return f"{arm} and {other} cost the same at every volume"
    if pair["outcome"] == "never":
        least = f"; from {_answers(pair['low'])} on that is not shown" if pair["low"] is not None else ""
        return f"{other} never costs less than {arm}{least}"
    volume, high = pair["volume"] or 0.0, pair["high"]
    # Nobody answers a part of a question.
    if volume < 1:
        until = f" (not shown below {_answers(high)})" if high is not None and high > 1 else ""
        shown = " (not shown beyond chance)" if high is None else until
        return f"{other} costs less than {arm} from the first answer on{shown}"
    never = "" if high is not None else "; never is not ruled out"
    return f"{other} costs less than {arm} from {_answers(volume)} {_ends(pair)} on{never}"


def machine_text(machine: OwnMachineRecord) -> str:
    """A sentence on the volume from which an own machine costs less than a hosted model."""
    arm = machine["arm"]
    capacity = f"one machine makes {_count(machine['capacity'])}" if machine["capacity"] else ""
    if machine["outcome"] == "unknown":
        return f"{arm}: unknown without {', '.join(machine['unknown'])}"
    if machine["outcome"] == "never":
        return f"{arm}: never, for {capacity} a month, which cost less in tokens"
    return f"{arm}: from {_answers(machine['volume'])} {_ends(machine)} answers a month on; {capacity}"


def _ends(value: BreakEvenRecord | OwnMachineRecord) -> str:
    return f"[{', '.join(_NONE if end is None else _answers(end) for end in (value['low'], value['high']))}]"


def unknown_text(cost: SumRecord) -> str:
    """What is missing from a sum: ``index, person``; empty where nothing is."""
    return ", ".join(cost["unknown"])


def _unknown(record: CostRecord) -> list[str]:
    lines = []
    for name, arm in record["arms"].items():
        if arm["monthly"]["unknown"]:
            more = "costs more than that" if arm["monthly"]["mean"] else "has no known cost"
            lines.append(f"  {name} {more}: no price of {unknown_text(arm['monthly'])}")
    return lines


def _passages(record: CostRecord) -> list[str]:
    lines = []
    for name, arm in record["arms"].items():
        tax = arm["passages"]
        if tax is None:
            continue
        share = "unknown" if tax["cached_share"] is None else f"{100 * tax['cached_share']:.0f} %"
        tokens = tax["tokens"]
        ends = ", ".join(_NONE if end is None else f"{end:,.0f}" for end in (tokens["low"], tokens["high"]))
        lines.append(
            f"passages make a prompt of {name} {tokens['mean']:,.0f} [{ends}] tokens longer than one of "
            f"{tax['beside']}: {_hosted(tax['cost'])}; a cache could reuse {share} of its prompt tokens"
        )
    return [*lines, ""] if lines else []


def _hosted(cost: SumRecord) -> str:
    if cost["unknown"] and not cost["mean"]:
        return "what they cost of a hosted model is unknown"
    return f"{money(cost)} a thousand answers of a hosted model"


def _parts(record: CostRecord) -> list[str]:
    table = [["arm", "part", "paid", "quantity", "cost each time"]]
    for name, arm in record["arms"].items():
        for part in arm["parts"]:
            units = part["units"]["mean"]
            shown = "not metered" if units is None else units_text(units, part["unit"])
            table.append([name, part["part"], _BASES[part["basis"]], f"{shown} ({part['item']})", money(part["cost"])])
    return [*_aligned(table), ""]


def units_text(units: float, unit: str) -> str:
    """``0.0003 million tokens``, ``12.5 s``: a quantity; hours that are few as seconds."""
    return f"{3600 * units:.4g} s" if unit == "hour" and units < 0.1 else f"{units:.4g} {unit}"


_BASES = {
    "once": "once",
    "month": "a month",
    "retraining": "a retraining",
    "update": "an update",
    "answer": "an answer",
}


def _curve(curve: CurveRecord) -> list[list[str]]:
    table = [["arm", *(_count(at) for at in curve["at"])]]
    for name, sums in curve["arms"].items():
        table.append([name, *(money(cost) for cost in sums)])
    return table


def _count(value: object) -> str:
    number = float(str(value))
    return f"{number:,.0f}" if number >= 10 else f"{number:.3g}"


def _answers(volume: object) -> str:
    """A number of answers from which something holds: the first is the least there is."""
    return _count(max(1.0, float(str(volume))))


def _plain(value: object) -> str:
    return f"{float(str(value)):g}"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    sizes = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, sizes)) for row in table]
