"""The models of a study of several: what each is, where it answers, at which price, and how fast. Pure."""

from __future__ import annotations

from typing import Any, TypedDict

from twofold.arm_names import LINEAR, arm_of
from twofold.plugins.traits import place_of
from twofold.text.arm_names import model_of, models_of, without_model
from twofold.types import Json
from twofold.verdict.record import StudyRecord, number_text, plain_number

OWN = "[generation]"
"""Name of the project's own model in tables."""


class ModelRow(TypedDict):
    """One model, in words; a dash stands for what is not known."""

    name: str
    """``[generation]``, or the name of its ``[models]`` section."""
    model: str
    """As its generator calls it."""
    place: str
    """`traits.Place`, with the address of an endpoint."""
    price: str
    """Of a million tokens read and written, as its generator's options say."""
    arms: str
    seconds: str
    """Median seconds for one question of its simplest arm that was timed, with their interval."""


def model_rows(record: StudyRecord) -> list[ModelRow]:
    """A row for each model; empty where one model answered in all arms."""
    # A linear model is none of the project's language models.
    models = models_of(name for name in record["arms"] if name != LINEAR)
    if len(models) < 2:
        return []
    return [_row(record, model) for model in models]


def model_lines(record: StudyRecord) -> list[str]:
    """The rows as a table for the terminal, headings first; empty where one model answered in all arms."""
    rows = model_rows(record)
    if not rows:
        return []
    table = [["model", "is", "answers", "price, read / written", "p50 of"]]
    for row in rows:
        table.append([row["name"], row["model"], row["place"], row["price"], row["seconds"]])
    sizes = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  " + "  ".join(map(str.ljust, line, sizes)).rstrip() for line in table]


def _row(record: StudyRecord, model: str) -> ModelRow:
    arms = {name: arm for name, arm in record["arms"].items() if model_of(name) == model and name != LINEAR}
    generator: Json = next(iter(arms.values()))["description"].get("generator", {})
    config = record["config"]
    # What a further model does not state it has from [generation], the generator too.
    section = config.get("generation", {}) | config.get("models", {}).get(model, {})
    options = section.get("generator", {}).get("options", {})
    return {
        "name": model or OWN,
        "model": str(generator.get("model") or generator.get("name") or "–"),
        "place": place_text(generator),
        "price": price_text(options),
        "arms": ", ".join(arms),
        "seconds": _seconds(arms),
    }


def place_text(generator: Json) -> str:
    """Where a generator answers, with the address of an endpoint."""
    address = str(generator.get("base_url", ""))
    return place_of(generator) + (f" ({address})" if address else "")


def price_text(options: Json) -> str:
    """The prices among a generator's options; a dash where none is stated, which is not a price of nothing."""
    read, written = (float(options.get(f"price_per_million_{side}", 0)) for side in ("prompt", "completion"))
    return f"{plain_number(read)} / {plain_number(written)} a million tokens" if read or written else "–"


def _complexity(name: str) -> int:
    return arm_of(without_model(name), shots=1).complexity


def _seconds(arms: Json) -> str:
    for name, arm in sorted(arms.items(), key=lambda item: _complexity(item[0])):
        timed: Any = arm["latency"]
        if timed:
            low, high = timed.get("intervals", {}).get("p50", (None, None))
            ends = ", ".join("–" if end is None else number_text(end, 2) for end in (low, high))
            return f"{name}: {number_text(timed['p50'], 2)} s [{ends}]"
    return "–"
