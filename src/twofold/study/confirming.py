"""Confirming a verdict on the sealed reserve: one hypothesis, stated before, tested once. Pure.

The hypothesis comes from the latest study: the arm that it chose is better than the best of the simpler acceptable arms
(best by its scores in that study). Where the chosen arm is the simplest of these, the hypothesis is that the best of
the others gains at most the margin. Arms that a constraint of that study rules out are no rivals. Only these two arms
answer the reserve, by the metric and the margin of that study, and one interval decides. No other arm can be chosen,
and no other metric can be tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from twofold.config import Config
from twofold.errors import StudyError
from twofold.examples.splitting import Splits
from twofold.settings.sections import StudySection
from twofold.study.looks import Look, asked_digests, question, same, seen
from twofold.types import Effect, Example, Json
from twofold.verdict.outcome import Verdict
from twofold.verdict.record import EstimateRecord, StudyRecord, counted, estimate_text, plain_number
from twofold.verdict.wording import metric_title

WORTHWHILE = 100
"""Test questions from which a plan tells how a reserve is set aside: with fewer, each is needed for the verdict."""
_STATED = ("metric", "margin", "level", "seeds")
"""Keys of [study] that the hypothesis takes from the earlier study."""
_FREE: Json = {"must_cite": False, "permissions": False, "max_latency_p95": 0.0, "min_score": 0.0}
"""Constraints were settled by the earlier verdict; a confirmation is about the score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """The hypothesis that an opening of the reserve tests."""

    study: str
    """The study that chose the arm."""
    arm: str
    """The arm that it chose."""
    rival: str
    """The best of the simpler acceptable arms; of all acceptable others where the chosen arm is the simplest."""
    simplest: bool
    """Is the chosen arm the simplest? Then the rival is to gain at most the margin."""
    margin: float
    """Of that study."""
    metric: str
    """Name of the deciding metric."""
    systems: Mapping[str, str]
    """System keys of the two arms in that study."""

    @property
    def words(self) -> str:
        """The hypothesis in words."""
        if self.simplest:
            return f"{self.rival} gains at most {plain_number(self.margin)} over {self.arm}"
        return f"{self.arm} is better than {self.rival}"


def hypothesis(latest: StudyRecord | None, config: Config) -> Hypothesis:
    """The hypothesis that the latest ordinary study leaves to be confirmed.

    Args:
        latest: Record of the latest study that did not open the reserve; None: there is none.
        config: In force now.

    Raises:
        StudyError: there is no verdict to confirm, no other arm was acceptable, or the study's metric, margin or level
            is another than today's.
    """
    if latest is None:
        raise StudyError("no verdict to confirm: no study is finished", cure="Run `twofold study`, then `--final`.")
    name, verdict = latest["study"], latest["verdict"]
    if verdict["outcome"] != "choose":
        raise StudyError(
            f"no verdict to confirm: study {name} chose no arm ({verdict['outcome']})",
            cure="Leave the reserve sealed until a study chooses an arm.",
        )
    # By another metric, margin or level it would be a hypothesis that was stated after the verdict.
    before = latest["config"]["study"]
    now = config.study.model_dump(mode="json")
    # One training run is written down nowhere.
    other = [key for key in _STATED if before.get(key) != now.get(key)]
    if other:
        raise StudyError(
            f"study {name} chose {verdict['arm']} by another {', '.join(f'[study].{key}' for key in other)}",
            cure=f"Set {', '.join(other)} as in that study, or run `twofold study` with today's, then `--final`.",
        )
    chosen = verdict["arm"]
    scored = {
        arm: row for arm, row in latest["arms"].items() if not row["diagnostic"] and latest["metric"] in row["metrics"]
    }
    acceptable = [arm for arm, row in scored.items() if row["acceptable"] or arm == chosen]
    # The rival is the best of the simpler arms: only against these does the choice of a more complex one need showing.
    order = sorted(acceptable, key=lambda arm: config.arm(arm).complexity)
    if known := latest.get("order"):
        order = sorted(order, key=known.index)
    simpler = order[: order.index(chosen)]
    others = simpler or order[1:]
    if not others and len(scored) > 1:
        raise StudyError(
            f"nothing to confirm: study {name} chose {chosen} by its constraints, as the only acceptable arm",
            cure="Leave the reserve sealed, or relax the constraints of [study] and run `twofold study` again.",
        )
    if not others:
        raise StudyError(
            f"nothing to confirm: study {name} measured {chosen} alone",
            cure="Name at least two arms in [study].arms.",
        )
    rival = max(others, key=partial(_standing, latest, chosen))
    return Hypothesis(
        study=name,
        arm=chosen,
        rival=rival,
        simplest=not simpler,
        margin=latest["margin"],
        metric=latest["metric"],
        systems={arm: latest["arms"][arm]["key"] for arm in (chosen, rival)},
    )


def _standing(latest: StudyRecord, chosen: str, arm: str) -> float:
    """How well an arm did beside the others: by its mean score; after a race by its difference to the chosen arm.

    A race asks arms different questions, and a mean of easier ones is no better arm: a difference is of common ones.
    """
    if "race" not in latest:
        return _counted(latest["arms"][arm]["metrics"][latest["metric"]])
    gains = {effect["name"]: effect["estimate"]["mean"] for effect in latest["comparisons"]}
    name = f"{arm} - {chosen}"
    return gains[name] if name in gains else -gains[f"{chosen} - {arm}"]


def _counted(score: EstimateRecord) -> float:
    """A mean score with the failed answers as 0."""
    return score["mean"] * score["n"] / (score["n"] + score["failed"])


def unseen(reserve: Sequence[Example], rows: Sequence[Look]) -> tuple[Example, ...]:
    """The reserve questions that no study asked or chose settings on.

    Raises:
        StudyError: the reserve is empty, was opened before, or every question of it was seen.
    """
    if not reserve:
        raise StudyError(
            "the project has no reserve split",
            cure="Set [examples].reserve above 0 before any study; afterwards only new questions can fill it.",
        )
    known = seen(rows)
    fresh = tuple(example for example in reserve if question(example) not in known)
    opened = next((row for row in rows if row.kind == "final"), None)
    # Once opened, a reserve confirms nothing more while any of its questions was seen.
    if opened is not None and len(fresh) < len(reserve):
        raise _opened(opened)
    if not fresh:
        raise StudyError(
            f"the reserve is not sealed: earlier studies used all of its {counted(len(reserve), 'question')}",
            cure="Add new examples, so that the reserve has questions that no study asked.",
        )
    return fresh


def require_sealed(rows: Sequence[Look], look: Look) -> None:
    """Refuse an opening of the reserve after another one; the same one may be run to its end.

    Raises:
        StudyError: any of the questions was opened before.
    """
    for row in rows:
        if row.kind == "final" and not same(row, look) and set(row.asked) & set(look.asked):
            raise _opened(row)


def _opened(row: Look) -> StudyError:
    return StudyError(
        f"the reserve was opened before, on {row.at[:10]} by study {row.name} ({row.outcome})",
        cure=f"Read `twofold show {row.name}`: a reserve confirms once. Add new questions for another confirmation.",
    )


def require_same_systems(stated: Hypothesis, systems: Mapping[str, str]) -> None:
    """Refuse to confirm a verdict about other systems than today's, before the reserve counts as opened.

    Raises:
        StudyError: an arm's system key is another than in the study that chose.
    """
    # The key is made of all that makes the arm's answers: settings, documents, examples, weights.
    for arm, key in stated.systems.items():
        if systems[arm] != key:
            raise StudyError(
                f"the arm {arm} is not the one that study {stated.study} measured: its settings, documents, examples "
                "or weights changed",
                cure="Run `twofold study` again with the current settings and data, then `twofold study --final`.",
            )


def settings(section: StudySection) -> StudySection:
    """[study] without constraints, for the one comparison."""
    return section.model_copy(update=_FREE)


def confirmed(stated: Hypothesis, comparisons: Sequence[Effect]) -> bool:
    """Does the one interval show the hypothesis?"""
    low, high = _difference(stated, comparisons)
    return high <= stated.margin if stated.simplest else low > 0


def _difference(stated: Hypothesis, comparisons: Sequence[Effect]) -> tuple[float, float]:
    """Ends of the interval of chosen - rival, or of rival - chosen where the chosen arm is the simplest."""
    first, second = (stated.rival, stated.arm) if stated.simplest else (stated.arm, stated.rival)
    effects = {effect.name: effect.estimate for effect in comparisons}
    # The difference is named in one direction only, which may be the other.
    if f"{first} - {second}" in effects:
        estimate = effects[f"{first} - {second}"]
        return estimate.low, estimate.high
    estimate = effects[f"{second} - {first}"]
    return -estimate.high, -estimate.low


def restated(verdict: Verdict, stated: Hypothesis, comparisons: Sequence[Effect], *, policy: str, n: int) -> Verdict:
    """The verdict of the two arms, said as what was confirmed or not."""
    shown = confirmed(stated, comparisons)
    effect = comparisons[0]
    gap: Any = {key: getattr(effect.estimate, key) for key in ("mean", "low", "high")}
    finding = f"{metric_title(stated.metric)} {effect.name} {estimate_text(gap)}, one comparison stated before"
    start = "Confirmed" if shown else "Not confirmed"
    questions = counted(n, "sealed question")
    end = f"the choice of {stated.arm} by study {stated.study} {'holds' if shown else 'is not confirmed'}"
    return replace(
        verdict,
        outcome="choose" if shown else "undecided",
        arm=stated.arm if shown else "",
        headline=f"{start} on {questions}: {stated.words}.",
        sentence=f"{policy.strip().rstrip('.')}. {start}: {stated.words} ({finding}); {end}.",
        because=(f"The hypothesis of study {stated.study}, stated before the reserve was opened: {stated.words}.",),
        more_examples=None,
        flips=(),
    )


def row_of(stated: Hypothesis, comparisons: Sequence[Effect]) -> Json:
    """The confirmation for the record: ``study``, ``arm``, ``rival``, ``hypothesis``, ``confirmed``, ``outcome``."""
    shown = confirmed(stated, comparisons)
    return {
        "study": stated.study,
        "arm": stated.arm,
        "rival": stated.rival,
        "hypothesis": stated.words,
        "confirmed": shown,
        "outcome": f"{stated.words}: {'confirmed' if shown else 'not confirmed'}",
    }


def reserve_warnings(splits: Splits, rows: Sequence[Look]) -> list[str]:
    """Warnings of a plan about the reserve, before anything is spent."""
    if not splits.reserve:
        if rows or len(splits.test) < WORTHWHILE:
            return []
        return [
            "no reserve is set aside, so no verdict can be confirmed: set [examples].reserve (0.1, say) before the "
            "first study; questions that a study has asked cannot confirm it"
        ]
    opened = next((row for row in rows if row.kind == "final"), None)
    if opened is not None:
        return [f"study {opened.name} opened the reserve ({opened.outcome}): it cannot confirm another verdict"]
    digests = asked_digests(splits.reserve)
    used = len(seen(rows).intersection(digests))
    if used:
        return [
            f"the reserve is not sealed: earlier studies used {used} of {counted(len(digests), 'reserve question')}; "
            "`--final` leaves these out"
        ]
    return []
