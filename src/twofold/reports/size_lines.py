"""A plan of tuning on other machines, as lines of text. Pure."""

from __future__ import annotations

from twofold.types import Json


def size_lines(plan: Json) -> list[str]:
    """The plan (`study.size_plan.SizePlan.to_json`) as a table, with its grounds and how far it may be off."""
    lines = [
        f"{plan['model']}: {plan['parameters'] / 1e9:.2f} billion weights; {plan['steps']} steps, "
        f"{plan['tokens']:.0f} tokens read, longest row {plan['longest']}",
        "",
        f"{'GPU':6} {'method':8} {'memory':>16}  {'fits':5} {'micro-batch':>11}  time of the steps",
    ]
    for row in plan["rows"]:
        memory = f"{row['memory_gib']:.1f} of {row['available_gib']:.0f} GiB"
        again = ", checkpointing" if row["checkpointing"] else ""
        hours = row["hours"]
        time = f"{_time(hours['likely'])} ({_time(hours['low'])} to {_time(hours['high'])})" if row["fits"] else "-"
        fits = "yes" if row["fits"] else "NO"
        lines.append(f"{row['gpu']:6} {row['method']:8} {memory:>16}  {fits:5} {row['micro_batch']:>11}  {time}{again}")
    lines += ["", *_grounds(plan), *(f"note: {note}" for note in plan["notes"])]
    return lines


def _grounds(plan: Json) -> list[str]:
    memory, time = f"{plan['memory_error']:.0%}", f"{plan['time_error']:.0%}"
    off = f"allow for {memory} more memory and {time} more time, by trainings measured on CPUs"
    if plan["efficiency"]:
        pace = f"time: {plan['efficiency']:.0%} of the GPU's peak, as measured"
    else:
        pace = (
            "time: 15, 35 and 50 % of the GPU's peak, from the literature; no GPU was measured (bench/gpu.py measures "
            "one, --efficiency takes its figure)"
        )
    if plan["hosted"] is None:
        hosted = f"hosted training: {plan['row_tokens']:.0f} tokens; no price of training_tokens is known (prices.csv)"
    else:
        hosted = (
            f"hosted training: {plan['row_tokens']:.0f} tokens, {plan['hosted']:.2f} {plan['currency']} "
            f"({plan['price']})"
        )
    return [
        hosted,
        pace,
        f"not run on a GPU: {off}; the smallest micro-batch must fit with that error",
        "tokens are those of the project's own tokenizer; dev answers add at most a quarter of the time",
    ]


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"
