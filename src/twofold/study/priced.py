"""What a study says in money: the limits of cost in its verdict, and what a race has saved."""

from __future__ import annotations

from collections.abc import Mapping

from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.costs.metering import Metered, opened
from twofold.costs.parts import scenario
from twofold.costs.prices import Prices
from twofold.costs.totals import CostBook
from twofold.plugins import loading, traits
from twofold.plugins.traits import GeneratorSettings
from twofold.settings.sections import CostsSection
from twofold.study.measure import MeasuredArm
from twofold.text.arm_names import model_of, of_model
from twofold.types import Json

_MILLION, _HOUR = 1e6, 3600.0


def identity(config: Config, prices: Prices) -> Json:
    """Prices and use that costs are worked out from; empty without a price, when no cost is in the verdict."""
    if not prices.amounts:
        return {}
    use = scenario(config.costs, max_age_days=config.retraining.max_age_days)
    # Where the table lies, when its prices were seen and by whom changes no cost.
    section = use.section.model_dump(mode="json", exclude={"prices"})
    return {
        "prices": dict(prices.amounts),
        "currency": prices.currency,
        "use": {**section, "retrainings": use.retrainings},
    }


def facts(config: Config, amounts: Metered, prices: Prices) -> Json:
    """The facts on costs, where those of all arms are known: an arm of unknown cost keeps to no limit."""
    use = scenario(config.costs, max_age_days=config.retraining.max_age_days)
    book = CostBook(opened(amounts, batched=config.costs.batched), prices, use)
    costs = {arm: book.per_answer(arm) for arm in book.arms}
    if any(cost.unknown for cost in costs.values()):
        return {}
    return {
        "cost_per_1000": {arm: (1000 * cost.known.low, 1000 * cost.known.high) for arm, cost in costs.items()},
        "cost_terms": f"{prices.currency}, at {use.volume:,.0f} answers a month",
    }


def saved(workspace: Workspace, measured: Mapping[str, MeasuredArm], *, planned: int, prices: Prices) -> Json:
    """What the answers that a race did not ask for would have taken, by the arms' own means (`RaceRecord.saved`).

    Money is by the prices of the generator's options, which the bill has, too; where none of them has any, by the table
    of prices: tokens of a hosted model, else the seconds of the machine. Sums of both would be of two currencies.

    Args:
        workspace: Of the project.
        measured: The arms, by name.
        planned: Questions of the test split.
        prices: The table of prices.
    """
    rows: dict[str, Json] = {}
    for name, item in measured.items():
        number, left = float(item.measures.get("n", 0)), planned - len(item.answers)
        each = float(item.measures.get("seconds", 0.0)) / number if number else 0.0
        rows[name] = {"answers": left, "seconds": left * each}
    by_option = {name: _by_option(workspace, item) for name, item in measured.items()}
    stated = any(value is None or value for value in by_option.values())
    unpriced = []
    for name, item in measured.items():
        each_costs = by_option[name] if stated else _by_table(workspace.config.costs, item, prices)
        if each_costs is None:
            unpriced.append(name)
        elif each_costs:
            rows[name]["amount"] = rows[name]["answers"] * each_costs
    amount = sum(row.get("amount", 0.0) for row in rows.values())
    totals: Json = {
        "answers": sum(row["answers"] for row in rows.values()),
        "seconds": sum(row["seconds"] for row in rows.values()),
    }
    if stated or prices.amounts:
        # Of an arm that was asked everything nothing is saved, whatever it costs.
        totals["unpriced"] = [name for name in unpriced if rows[name]["answers"]]
    if amount:
        totals |= {"amount": amount, **({} if stated else {"currency": prices.currency})}
    return {**totals, "arms": rows}


def _by_option(workspace: Workspace, item: MeasuredArm) -> float | None:
    """What one answer costs by the prices among the options of the arm's generator; 0 where there are none.

    None where there are prices, and the endpoint counted no token.
    """
    part = workspace.of(item.arm).config.generation.generator
    options = GeneratorSettings.of(loading.options("generators", part.name, part.options))
    read, written = (float(item.measures.get(f"{name}_tokens", 0.0)) for name in ("prompt", "completion"))
    paid = read * options.price_per_million_prompt + written * options.price_per_million_completion
    priced = options.price_per_million_prompt or options.price_per_million_completion
    return None if priced and not read + written else paid / _MILLION


def _by_table(costs: CostsSection, item: MeasuredArm, prices: Prices) -> float | None:
    """What one answer costs by the table of prices; None where it has not all of them."""
    measures = item.measures
    tokens = traits.hosted(item.description["generator"]) if costs.serving == "auto" else costs.serving == "hosted"
    if not tokens:
        hour, number = prices.amounts.get("machine"), float(measures.get("n", 0))
        seconds = float(measures.get("seconds", 0.0)) / number if number else 0.0
        return None if hour is None else seconds / _HOUR * hour / costs.utilisation
    model = model_of(item.arm.name)
    if not any(measures.get(kind) for kind in ("prompt_tokens", "completion_tokens")):
        return None  # the endpoint counts none
    total = 0.0
    for kind in ("prompt_tokens", "completion_tokens"):
        price = prices.amounts.get(of_model(kind, model))
        if price is None:
            return None
        total += float(measures.get(kind, 0.0)) * price / _MILLION
    return total
