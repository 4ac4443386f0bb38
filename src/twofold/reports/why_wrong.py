"""The part of a report on wrong answers: what became of every answer, the ledger of causes, the next best fix. Pure.

A study knows of its wrong answers what it saw (failed, cut, declined, or simply wrong), and names no cause. Causes come
from `twofold diagnose`, which re-ran them; studies of before have causes that were guessed from words, and show those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from twofold.diagnosis.causes import CAUSES
from twofold.diagnosis.contrasts import oracles
from twofold.diagnosis.levers import fixes_and_harms
from twofold.diagnosis.record import ArmDiagnosis, DiagnosedRow, DiagnosisRecord
from twofold.reports import charts
from twofold.stats import intervals
from twofold.text.arm_names import models_of
from twofold.types import Json
from twofold.verdict.evidence import RIGHT, is_wrong
from twofold.verdict.record import AnswerRow, ArmAnswer, StudyRecord, number_text, plain_number, true_minus

SEEN = {
    "failed": "no answer: something failed",
    "at the limit": "wrong, and ended at the token limit",
    "declined": "wrong, and the arm declined",
    "wrong": "wrong in another way",
}
"""What a study sees of a wrong answer → its meaning."""
REST = "not diagnosed"
"""The wrong answers beyond a limit."""


def why_wrong(record: StudyRecord, answers: Sequence[AnswerRow], diagnosis: DiagnosisRecord | None) -> Json:
    """Stacked bars, their legend, the table of causes, the levers, and the arms that were not diagnosed.

    Args:
        record: What ``study.json`` holds.
        answers: The lines of ``answers.jsonl.gz``.
        diagnosis: What ``diagnosis.json`` holds; None where the study was not diagnosed.
    """
    least = record.get("right_from", RIGHT)
    arms: Mapping[str, ArmDiagnosis] = diagnosis["arms"] if diagnosis else {}
    counts: dict[str, dict[str, int]] = {}
    for name in record["arms"]:
        counts[name] = _counts(name, record, answers, arms.get(name))
    meanings = {**SEEN, **{cause: label for cause, (label, _) in CAUSES.items()}, REST: "beyond the limit of diagnosis"}
    for row in record.get("diagnosis", []):
        meanings.setdefault(row["cause"], row["label"])
    fine = "right" if least is not None else "scored"
    present = set(chain.from_iterable(counts.values())) - {fine, "not scored"}
    # In one order, so that colours are alike in all reports of the same causes.
    order = [name for name in meanings if name in present] + sorted(present - set(meanings))
    colours = {name: f"s{index % 9 + 1}" for index, name in enumerate(order)}
    bars = []
    for name, mine in counts.items():
        parts = [(fine, mine.get(fine, 0), "s0"), *((one, mine.get(one, 0), colours[one]) for one in order)]
        bars.append(charts.Bar(label=name, parts=(*parts, ("not scored", mine.get("not scored", 0), "sx"))))
    legend = [(fine, "s0", f"a score of {plain_number(least)} or more" if least is not None else "a score above 0")]
    legend += [(name, colours[name], meanings.get(name, "")) for name in order]
    if any(mine.get("not scored") for mine in counts.values()):
        legend.append(("not scored", "sx", "the metric does not apply"))
    title = f"{fine.capitalize()} answers, and why the others were wrong, per arm"
    drawn = [charts.stacked_bars(bars, title=title, width=w) for w in (charts.WIDE, charts.NARROW)]
    return {
        "plot": drawn,
        "legend": legend,
        "totals": {name: sum(mine.values()) for name, mine in counts.items()},
        "rows": _rows(record, order, counts, colours=colours, arms=arms),
        "guessed": not arms and bool(record.get("diagnosis")),
        "undiagnosed": _by_interest(
            record, [name for name in record["arms"] if name not in arms and _wrong(counts[name], fine)]
        ),
        "command": f"twofold diagnose --study {record['study'].partition('-')[0].lstrip('0')}",
        "levers": [_lever_rows(arm) for arm in arms.values() if arm["levers"]],
        "notes": diagnosis["notes"] if diagnosis else [],
    }


def _by_interest(record: StudyRecord, names: Sequence[str]) -> list[str]:
    """The names as `twofold diagnose` takes an arm: the chosen one, the others from the highest score on."""

    def place(name: str) -> tuple[bool, bool, float]:
        arm = record["arms"][name]
        score = arm["metrics"].get(record["metric"])
        # A diagnostic arm answers nobody: its faults are the last to look for.
        return name != record["verdict"]["arm"], arm["diagnostic"], -(score["mean"] if score else 0.0)

    return sorted(names, key=place)


def _wrong(counts: Mapping[str, int], fine: str) -> bool:
    return any(count for name, count in counts.items() if name not in (fine, "not scored"))


def _counts(
    name: str, record: StudyRecord, answers: Sequence[AnswerRow], diagnosis: ArmDiagnosis | None
) -> dict[str, int]:
    """How many of an arm's answers were right, wrong for each cause (or as they were seen), and not scored."""
    least = record.get("right_from", RIGHT)
    mine = [row["arms"][name] for row in answers if name in row["arms"]]
    states = [_seen(answer, record["metric"], least) for answer in mine]
    fine = "right" if least is not None else "scored"
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    guessed = {row["cause"]: int(row["count"]) for row in record.get("diagnosis", []) if row["arm"] == name}
    if diagnosis is None and not guessed:
        return counts
    causes = guessed
    if diagnosis is not None:
        causes = {row["cause"]: row["count"] for row in diagnosis["ledger"]}
        causes[REST] = diagnosis["wrong"] - diagnosis["diagnosed"]
    unscored = counts.get("not scored", 0)
    # Never below 0: answers can have been removed from the record since (`twofold forget`), counts stay.
    right = max(0, len(mine) - sum(causes.values()) - unscored)
    return {fine: right, **{cause: count for cause, count in causes.items() if count}, "not scored": unscored}


def _seen(answer: ArmAnswer, metric: str, least: float | None) -> str:
    """What a study knows of one answer without a guess."""
    if answer["failure"]:
        return "failed"
    score = answer["scores"].get(metric)
    if score is None:
        return "not scored"
    if not is_wrong(score, least):
        return "right" if least is not None else "scored"
    if answer.get("cut", False):
        return "at the limit"
    return "declined" if answer["abstained"] else "wrong"


def _rows(
    record: StudyRecord,
    order: Sequence[str],
    counts: Mapping[str, Mapping[str, int]],
    *,
    colours: Mapping[str, str],
    arms: Mapping[str, ArmDiagnosis],
) -> list[Json]:
    """The table's lines: a cause with its counts and shares by arm, its cure, and examples."""
    rows = []
    for cause in order:
        shares: dict[str, str] = {}
        examples: list[str] = []
        cure = CAUSES[cause][1] if cause in CAUSES else ""
        for name, arm in arms.items():
            for line in arm["ledger"]:
                if line["cause"] == cause:
                    shares[name] = f"{_percent(line['share'])} [{_percent(line['low'])}, {_percent(line['high'])}] %"
                    examples += line["examples"]
        for old in record.get("diagnosis", []):
            if old["cause"] == cause and not arms:
                cure = old["cure"]
                examples += old["examples"]
                if "low" in old:
                    shares[old["arm"]] = f"{100 * old['low']:.0f} to {100 * old['high']:.0f} %"
        mine = {name: counts[name].get(cause, 0) for name in record["arms"]}
        line_ = {"cause": cause, "colour": colours[cause], "counts": mine, "shares": shares, "cure": cure}
        rows.append({**line_, "examples": list(dict.fromkeys(examples))[:3]})
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _lever_rows(arm: ArmDiagnosis) -> Json:
    fixes, harms = fixes_and_harms(arm["levers"])
    rows = []
    for lever in fixes:
        price = "unknown" if lever["price"] is None else f"{lever['price']:.4g} {lever.get('currency', '')}".rstrip()
        tokens = "unknown" if lever["tokens"] is None else f"{round(lever['tokens']):+d}"
        shown = {"price": true_minus(price), "tokens": true_minus(tokens)}
        if not lever["answers"]:
            # Predicted from a learning curve: nothing was asked again, so nothing is known of right answers lost.
            shown |= {"answers": "–", "harmed": "–"}
        rows.append({**lever, **shown})
    return {"arm": arm["arm"], "rows": rows, "harms": harms}


def drilled(row: DiagnosedRow) -> Json:
    """A wrong answer's cause for the question explorer, with every re-run in order."""
    trials = []
    for trial in row["trials"]:
        score = "" if trial["score"] is None else number_text(trial["score"])
        trials.append({**trial, "score": score})
    label = CAUSES.get(row["cause"], (row["cause"], ""))[0]
    return {"cause": row["cause"], "label": label, "by": row["by"], "detail": row["detail"], "trials": trials}


def oracle_gaps(record: StudyRecord, answers: Sequence[AnswerRow]) -> list[Json]:
    """The gain that perfect retrieval would add: the paired difference of each oracle arm and its counterpart.

    Questions that either arm failed to answer are in no difference; the estimate counts them as ``failed``.
    """
    out = []
    pairs = chain.from_iterable(map(oracles, models_of(record["arms"])))
    for oracle, usual in pairs:
        if oracle not in record["arms"] or usual not in record["arms"]:
            continue
        values: list[Any] = []
        groups: list[str] = []
        failed = 0
        for row in answers:
            both = [row["arms"].get(name) for name in (usual, oracle)]
            failed += any(answer is not None and answer["failure"] is not None for answer in both)
            pair = [_score(answer, record["metric"]) for answer in both]
            # In pairs: a question that one of the two has no score for says nothing of their difference.
            if None not in pair:
                values.append(pair)
                groups.append(row["group"])
        # An interval over groups needs two of them.
        if len(set(groups)) < 2:
            continue
        gap = intervals.contrasts(values, groups, {"gap": [-1.0, 1.0]}, level=record["level"], resamples=2000)["gap"]
        ends = {"mean": gap.mean, "low": gap.low, "high": gap.high, "n": gap.n, "failed": failed}
        out.append({"oracle": oracle, "arm": usual, "estimate": ends})
    return out


def _score(answer: Any, metric: str) -> float | None:
    """An answer's score; None where it failed, where the metric has none, or where the arm was not asked."""
    return None if answer is None or answer["failure"] else answer["scores"].get(metric)
