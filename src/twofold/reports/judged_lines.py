"""What a judge was found to be worth, and the scores that it joins to people's marks, in words. Pure."""

from __future__ import annotations

from twofold.judge.record import BarRow, JudgementRecord
from twofold.types import Json
from twofold.verdict.record import counted, estimate_text, number_text, plain_number, true_minus
from twofold.verdict.wording import percent

BESIDE = "A judged score stands beside the verdict and decides nothing."


def judge_section(judgement: JudgementRecord | None) -> Json:
    """What the report shows of a judge; empty without one."""
    if judgement is None:
        return {}
    return {
        "sentence": _capital(judgement["sentence"]),
        "beside": BESIDE,
        "passed": judgement["passed"],
        "bars": [{**row, "shown": _shown(row)} for row in judgement["bars"]],
        "arms": judgement["arms"],
        "scale": _scale(judgement),
        "stands": _stands(judgement),
        "doubts": judgement["doubts"],
        "level": percent(judgement["level"]),
    }


def judge_lines(judgement: JudgementRecord | None) -> list[str]:
    """The same for a terminal; empty without a judge."""
    if judgement is None:
        return []
    lines = [_capital(judgement["sentence"]) + ".", _stands(judgement)]
    for name, arm in judgement["arms"].items():
        basis = f"{arm['score']['n']} marked, {arm['judged']} judged, weight {number_text(arm['weight'], 2)}"
        lines.append(
            f"  {name:<12} {estimate_text(arm['score'])}  by people alone {estimate_text(arm['people'])}; {basis}"
        )
    if judgement["arms"]:
        lines.insert(2, f"{_capital(_scale(judgement))}, {percent(judgement['level'])} intervals:")
        lines.append(BESIDE)
    lines += [f"doubt: {doubt}" for doubt in judgement["doubts"]]
    return [true_minus(line) for line in lines]


def _shown(row: BarRow) -> str:
    return estimate_text(row["estimate"]) if row["estimate"] else row["detail"]


def _scale(judgement: JudgementRecord) -> str:
    if judgement["mode"] == "rubric":
        return "judged score (right 1, partly ½, wrong 0)"
    return "share of comparisons won (ties count half)"


def _stands(judgement: JudgementRecord) -> str:
    """On what the figures stand."""
    thing = ("answer", "answers") if judgement["mode"] == "rubric" else ("pair of answers", "pairs of answers")
    marked = f"{counted(judgement['marked'], *thing)} of {judgement['items']:,} marked by"
    people = counted(len(judgement["people"]), "person", "people")
    replies = f"{counted(judgement['unreadable'], 'reply', 'replies')} without a mark, {judgement['failed']} failed"
    text = f"{marked} {people}; {counted(judgement['questions'], 'question')} to the judge, {replies}"
    if not judgement["constrained"]:
        text += "; the judge cannot be held to the form of a reply"
    return f"{text}; bars: {', '.join(plain_number(row['bar']) for row in judgement['bars'])}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
