"""What an answer costs now beside what it cost in the study, and prices that moved since.

Tokens times price, for models that are paid by tokens: of a model on one's own machine the seconds are watched instead
(`latency.generation`), since what a second costs does not change with the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from twofold.costs.prices import FILE, UNPRICED, Prices, parsed
from twofold.errors import TwofoldError
from twofold.files.reading import MIB, decode, read_bytes
from twofold.monitoring.readings import in_words, percent, reading
from twofold.monitoring.record import Observation, Reading
from twofold.monitoring.served import AnsweringArm, Watched
from twofold.monitoring.traffic_signals import TrafficSignal
from twofold.text.arm_names import of_model
from twofold.types import Json

PRICES = "costs.prices"
ANSWER = "costs.answer"
MOVED = 0.10
"""By how much of itself a price may move: as much as most lists of prices round."""
_MILLION = 1e-6


class PriceWatch:
    """Compares the table of prices with the one that the study recorded.

    Args:
        watched: The project.
    """

    name = "prices"

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        """Compare now; see `Monitor.look`."""
        measured = self._watched.measured()
        table = measured.record.get("prices", []) if measured.record else []
        recorded = {row["item"]: row["amount"] for row in table}
        then = {item: amount for item, amount in recorded.items() if amount is not None}
        return Observation(readings=(self._compared(then, moment),), state=before or {})

    def _compared(self, then: Mapping[str, float], moment: datetime) -> Reading:
        if not then:
            why = (
                "the study recorded no prices: fill in `twofold cost --template > prices.csv`, then run `twofold study`"
            )
            return reading(PRICES, moment, state="unwatched", why=why)
        try:
            table = prices(self._watched, today=moment)
        except TwofoldError as error:
            return reading(PRICES, moment, state="unwatched", why=in_words(error))
        if not table.file:
            why = "there is no table of prices any more; the study's holds"
            return reading(PRICES, moment, state="ok", why=why, n=len(then))
        # 0 to another price is a change, however little it is.
        moved = {
            item: (amount, table.amounts[item])
            for item, amount in then.items()
            if item in table.amounts and abs(table.amounts[item] - amount) > MOVED * amount
        }
        if not moved:
            why = f"{len(then)} prices within {percent(MOVED)} of those of the study"
            return reading(PRICES, moment, state="ok", why=why, n=len(then), value=0.0, baseline=0.0)
        changes = ", ".join(f"{item} {before:g} → {now:g}" for item, (before, now) in sorted(moved.items()))
        why = f"prices moved since the study: {changes} {table.currency}".rstrip()
        detail = {item: list(pair) for item, pair in moved.items()}
        return reading(
            PRICES, moment, state="alarm", why=why, n=len(then), value=float(len(moved)), baseline=0.0, detail=detail
        )


def prices(watched: Watched, *, today: datetime) -> Prices:
    """The project's table of prices; `UNPRICED` where it has none.

    Raises:
        BadRecord: the table is wrong; file and line are named.
        UnreadableFile: it cannot be read.
    """
    config = watched.workspace.config
    place = watched.root / (config.costs.prices or FILE)
    if not place.is_file():
        return UNPRICED
    text = decode(read_bytes(place, limit=MIB), name=str(place))
    return parsed(text, name=str(place), today=today.astimezone(UTC).date(), models=set(config.models))


def price_of_answers(measured: AnsweringArm, table: Prices) -> TrafficSignal | None:
    """The signal of an answer's price; None where tokens have none."""
    read, wrote = (
        table.amounts.get(of_model(item, measured.arm.model)) for item in ("prompt_tokens", "completion_tokens")
    )
    if not (read or wrote):
        return None

    def price(prompt: float, completion: float) -> float:
        return _MILLION * (prompt * (read or 0.0) + completion * (wrote or 0.0))

    return TrafficSignal(
        name=ANSWER,
        what=f"{table.currency} an answer",
        kind="above",
        of_row=lambda row: None if row["failed"] else price(row["prompt_tokens"], row["completion_tokens"]),
        of_answer=lambda answer: (
            None if answer.failure else price(answer.usage.prompt_tokens, answer.usage.completion_tokens)
        ),
        unit=table.currency,
    )
