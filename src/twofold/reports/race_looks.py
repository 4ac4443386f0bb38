"""The looks of a race for the report: who led, who was asked next, and how the bets stood. Pure."""

from __future__ import annotations

from twofold.types import Json
from twofold.verdict.racing import took_text
from twofold.verdict.record import StudyRecord, price_text


def race_looks(record: StudyRecord) -> Json:
    """What the page shows of a race; empty where the study was none."""
    race = record.get("race")
    if race is None:
        return {}
    rows = []
    for look in race["looks"]:
        wealth = []
        for pair, (better, worse) in look["wealth"].items():
            a, b = pair.split(" - ", 1)
            # The bet of the two that has won more: the other one has next to nothing.
            first, second, most = (a, b, better) if better >= worse else (b, a, worse)
            wealth.append(
                f"{first} over {second} {10**most:,.1f}" if most < 6 else f"{first} over {second} 10^{most:.0f}"
            )
        rows.append(
            {
                "questions": look["questions"],
                "leader": f"{look['crowned']} (wins)" if look["crowned"] else look["leader"],
                "going": "–" if look["crowned"] else ", ".join(look["going"]),
                "wealth": wealth,
            }
        )
    saved = []
    for name, row in race["saved"].get("arms", {}).items():
        amount = price_text(row["amount"]) if "amount" in row else "–"
        saved.append([name, race["answers"][name], row["answers"], took_text(row["seconds"]), amount])
    # Half of the error probability, divided over the arms that may be crowned falsely.
    bar = max(1, len(race["answers"]) - 1) / (race["alpha"] / 2)
    return {
        "looks": rows,
        "bar": f"{bar:,.0f}",
        "numbers": [f"{arm} {n:,}" for arm, n in race["answers"].items()],
        "saved": saved if race["saved"].get("answers") else [],
        "money": race["saved"].get("currency", "") or "configured prices" if "amount" in race["saved"] else "",
    }
