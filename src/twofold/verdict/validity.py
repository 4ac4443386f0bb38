"""The validity region of a verdict: how far what it was measured on may move before it could be another. Pure.

Every bound is of the worst case, and none asks a model anything. For the chosen arm A and each rival B the study has
the differences d_i = score of A − score of B, one for every question that counts, each between −1 and 1, and the
interval [low, high] of their mean that decided. A stays chosen while

- over a simpler rival: low > 0 and high > margin (the gain is shown, and not shown to be small);
- over a more complex rival: the rival's gain is small, −low ≤ margin.

At worst an answer that may be another is wrong where A gave it, and right where B did: d_i becomes −1. `worst_interval`
moves the interval by the change of the mean, and widens it by that of the cluster-robust standard error. What the
bounds assume is in `ASSUMED`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypedDict

import numpy as np

from twofold.stats.intervals import Array
from twofold.verdict.record import EffectRecord, StudyRecord, counted, number_text, plain_number

Dimension = Literal[
    "price", "volume", "documents", "questions", "drift", "model", "retrieval", "settings", "age", "examples"
]
"""Along what a verdict can stop to hold. ``examples``: an undecided study has as many more as it said it needs."""
ASSUMED = (
    "an interval is wider by as much as its standard error grows when answers change",
    "arms that a constraint ruled out stay out, and the chosen arm keeps to every constraint",
    "a document that is new may change any answer; what it changes is not bounded, only counted",
    "documents are those of the last sync, examples and settings those of the files now",
)
"""What the bounds take for granted."""


BRIEF: Mapping[Dimension, str] = {
    "price": "prices have changed, so that another arm is the cheaper one",
    "volume": "it is used more, or less, than was counted on, so that another arm is the cheaper one",
    "documents": "documents that it was measured on have changed",
    "questions": "the questions that it was measured on have changed",
    "drift": "other questions are asked than it was measured on",
    "model": "the model or its prompt is another",
    "retrieval": "documents are searched otherwise",
    "settings": "something else is demanded of answers",
    "age": "it is older than the settings allow",
    "examples": "there are enough further examples to decide",
}
"""Dimension → why a verdict does not hold, for people who may not see prices, settings or names of documents."""


class Bound(TypedDict):
    """One side of the region: the range in which the verdict stands."""

    dimension: Dimension
    what: str
    """The quantity, such as ``price of machine, rag against ft``."""
    unit: str
    then: float | None
    """When the study was made; None where it has no number."""
    low: float | None
    """The verdict stands from here on; None: no lower limit."""
    high: float | None
    """The verdict stands up to here; None: no upper limit."""
    why: str
    """How the limit follows, in words."""


class EndReason(TypedDict):
    """Why a verdict does not hold any more, or why that cannot be told."""

    dimension: Dimension
    then: str
    """At the time of the study."""
    now: str
    why: str
    """A clause with the numbers."""


class Validity(TypedDict):
    """A verdict against the facts of today."""

    study: str
    at: str
    """ISO time, UTC, at which the facts were looked at."""
    state: Literal["holds", "expired", "unknown"]
    """``unknown``: nothing says that it does not hold, and something could not be looked at."""
    reasons: list[EndReason]
    """Why it no longer holds; empty unless it is expired."""
    unknown: list[EndReason]
    """What could not be compared, and why."""
    notes: list[str]
    """What has changed without a bound on it, such as documents that were added."""
    region: list[Bound]
    assumed: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question that counted, with what a later change of it is told from."""

    id: str
    scores: Mapping[str, float]
    """Arm → score, a failed answer 0; an arm that was not asked is left out."""
    group: str = ""
    """Questions of one group count together."""
    documents: frozenset[str] = frozenset()
    """Ids of the documents that hold its answer, or of which an arm was shown a passage."""
    shown: bool | None = None
    """Was the chosen arm shown a passage of a document that holds the answer? None: none is known, or it reads none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """An arm that the chosen one had to be compared with."""

    name: str
    simpler: bool
    """Is it simpler than the chosen arm?"""
    low: float
    high: float
    """Ends of the interval that decided, of chosen − rival."""
    beaten: bool
    """Is the chosen arm shown better by more than a small gain?"""
    margin: float
    """Largest difference that does not matter."""
    free: bool
    """Does no bound follow? Of a more complex arm where the chosen one has won a race: it need only not lie behind."""
    differences: Array
    """Chosen − rival of every question that both were asked, shape (questions,)."""
    groups: Array
    """Number of the group of each of these questions, shape (questions,)."""
    places: Array
    """Place of each among all questions, shape (questions,)."""

    def decides(self, low: float, high: float) -> bool:
        """Does the chosen arm stand against this rival by such an interval of their difference?"""
        return low > 0 and high > self.margin if self.simpler else low >= -self.margin

    @property
    def bears(self) -> bool:
        """Is there a bound? Not of records that lack the intervals by which they decided, nor of a pooled metric."""
        return bool(len(self.differences)) and not self.free and self.decides(self.low, self.high)


# ---------------------------------------------------------------- whom the verdict stands against


def in_order(record: StudyRecord) -> list[str]:
    """The acceptable candidates of a study, from simple to complex."""
    names = [name for name, arm in record["arms"].items() if arm["acceptable"] and not arm["diagnostic"]]
    stated = record.get("order")
    if stated is None:
        # Records of before: in every comparison the simpler arm stands second, so the simplest never stands first.
        firsts = [pair["name"].partition(" - ")[0] for pair in record["comparisons"]]
        stated = sorted(names, key=firsts.count)
    return [name for name in stated if name in names]


def rivals(record: StudyRecord, questions: Sequence[Question]) -> list[Rival]:
    """The acceptable arms beside the chosen one, from simple to complex; empty where none is chosen.

    Args:
        record: Of the study.
        questions: Those that counted.
    """
    chosen, order = record["verdict"]["arm"], in_order(record)
    if chosen not in order:
        return []
    against: list[Rival] = []
    crowned = record["race"]["crowned"] if "race" in record else ""
    for name in order:
        ends = _interval(record["comparisons"], chosen, name)
        if name == chosen or ends is None:
            continue
        low, high = ends
        simpler = order.index(name) < order.index(chosen)
        places = [n for n, one in enumerate(questions) if chosen in one.scores and name in one.scores]
        pairs = [questions[n].scores[chosen] - questions[n].scores[name] for n in places]
        numbers: dict[str, int] = {}
        groups = [numbers.setdefault(questions[n].group or questions[n].id, len(numbers)) for n in places]
        against.append(
            Rival(
                name=name,
                simpler=simpler,
                low=low,
                high=high,
                beaten=low > 0 and high > record["margin"],
                margin=record["margin"],
                free=crowned == chosen and not simpler,
                differences=np.array(pairs, dtype=float),
                groups=np.array(groups, dtype=np.intp),
                places=np.array(places, dtype=np.intp),
            )
        )
    return against


def _interval(comparisons: Sequence[EffectRecord], chosen: str, rival: str) -> tuple[float, float] | None:
    """Ends of chosen − rival, whichever way round it is stored; of older records the simultaneous interval."""
    for pair in comparisons:
        ends = pair.get("decides") or pair["estimate"]
        if pair["name"] == f"{chosen} - {rival}":
            return ends["low"], ends["high"]
        if pair["name"] == f"{rival} - {chosen}":
            return -ends["high"], -ends["low"]
    return None


# ---------------------------------------------------------------- what the evidence bears


def worst_interval(
    rival: Rival, *, removed: Collection[int] = (), changed: Collection[int] = (), added: int = 0
) -> tuple[float, float]:
    """Ends of the interval of chosen − rival when, at worst, all that may be another is lost.

    The differences become −1 for the questions C that changed and for m that come, each in a group of its own; the
    removed questions R are left out. The mean is then ``(Σ d_i over the others − |C| − m) / (n − |R| + m)``. Each half
    of the interval grows as the cluster-robust standard error ``sqrt(Σ_g (Σ_{i in g} (d_i − mean))²) / n`` does, and is
    never narrower than it was: an interval of answers that are all alike has a floor that no standard error tells.

    Args:
        rival: With its interval and differences.
        removed: Numbers of questions that are no longer asked, among those of the rival.
        changed: Numbers of questions that may be answered otherwise, or have another right answer.
        added: Questions that come, of which nothing is known.

    Returns:
        Both ends; (−∞, ∞) where no question is left.
    """
    before, groups = rival.differences, rival.groups
    after = before.copy()
    after[list(changed)] = -1.0
    staying = np.ones(len(before), dtype=bool)
    staying[list(removed)] = False
    after = np.concatenate([after[staying], np.full(added, -1.0)])
    if not len(after):
        return -math.inf, math.inf
    new_groups = np.arange(added) + (int(groups.max()) + 1 if len(groups) else 0)
    errors = _error(before, groups), _error(after, np.concatenate([groups[staying], new_groups]))
    # Of answers that are all alike the error is 0, and twice the later one stands for the interval's half.
    grown = max(1.0, errors[1] / errors[0]) if errors[0] > 0 else 1.0
    least = 0.0 if errors[0] > 0 else 2 * errors[1]
    mean, now = float(before.mean()), float(after.mean())
    return now - max(least, (mean - rival.low) * grown), now + max(least, (rival.high - mean) * grown)


def _error(differences: Array, groups: Array) -> float:
    sums = np.bincount(groups, weights=differences - differences.mean())
    return float(np.sqrt(np.sum(sums**2))) / len(differences)


def fewest_changed(rival: Rival) -> int | None:
    """The lowest number of answers that could turn the verdict, as `worst_interval` has it.

    Two orders are tried: the largest (1 + d_i) first, which lowers the mean most, and the groups with the largest sums
    first, which widens the interval most. Any other set of as many answers usually takes more.
    On 20 stored studies the rule itself turned at this number or at most two beside it, but for two with 20 groups.

    Returns:
        The number; None where even all of them could not.
    """
    weights = 1 + rival.differences
    sums = np.bincount(rival.groups, weights=weights)[rival.groups]
    orders = np.argsort(-weights, kind="stable"), np.lexsort((-weights, rival.groups, -sums))
    numbers = [_first_turned(rival, order[:, None].tolist()) for order in orders]  # shape (questions, 1)
    return min((number for number in numbers if number is not None), default=None)


def fewest_documents(rival: Rival, questions: Sequence[Question]) -> int | None:
    """The lowest number of documents whose change could turn the verdict: those of the heaviest questions first.

    A document that changes may change the answer to each question that it has to do with, and weighs as much as their
    (1 + d_i) together.

    Args:
        rival: With its interval and differences.
        questions: Those that counted.

    Returns:
        The number; None where even all documents could not.
    """
    touched: defaultdict[str, list[int]] = defaultdict(list)
    for number, place in enumerate(rival.places.tolist()):
        for name in questions[place].documents:
            touched[name].append(number)
    weights = {name: float(np.sum(1 + rival.differences[numbers])) for name, numbers in touched.items()}
    return _first_turned(rival, [touched[name] for name in sorted(touched, key=lambda name: (-weights[name], name))])


def _first_turned(rival: Rival, steps: Sequence[Sequence[int]]) -> int | None:
    """After how many steps, each some questions that change, the verdict could be another; None: not after all."""

    def stands(count: int) -> bool:
        return rival.decides(*worst_interval(rival, changed=set(chain.from_iterable(steps[:count]))))

    if not steps or stands(len(steps)):
        return None
    # Each step lowers the mean, so that what was turned stays turned but for a width that shrinks again: halving.
    below, above = 0, len(steps)
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if stands(middle) else (below, middle)
    return above


def unlike_share(rival: Rival) -> float:
    """The largest share ε of the questions that may be unlike those of the test, whatever their answers.

    At worst each of them is lost by 1, so that the interval of the mixture is (1 − ε)·[low, high] − ε. A simpler rival
    stays beaten while (1 − ε)·low − ε > 0 and (1 − ε)·high − ε > margin, that is ε < min(low/(1 + low),
    (high − margin)/(1 + high)); the gain of a more complex one stays small while −((1 − ε)·low − ε) ≤ margin, that is
    ε ≤ (low + margin)/(1 + low).
    """
    if rival.simpler:
        ends = rival.low / (1 + rival.low), (rival.high - rival.margin) / (1 + rival.high)
    else:
        # A lower end of −1 is no evidence at all: nothing may be unlike.
        ends = ((rival.low + rival.margin) / (1 + rival.low) if rival.low > -1 else 0.0,) * 2
    return max(0.0, min(ends))


def most_new(questions: int, share: float) -> int:
    """How many new questions the evidence of so many bears: the largest m with m/(n + m) < ε, ε the `unlike_share`."""
    if share >= 1:
        return 0
    # Rounded before the ceiling: .1/(1 − .1)·90 is 10 and not a little more.
    return max(0, math.ceil(round(questions * share / (1 - share), 9)) - 1)


def least_shown(rival: Rival, questions: Sequence[Question]) -> tuple[float, float] | None:
    """The share of questions that are shown a right document: of the study, and the least at which the verdict stands.

    With the mean difference a over questions that were shown one and b over the others, a share p gives p·a + (1 −
    p)·b. With an interval of the same width the chosen arm stands while that falls by less than the slack, so while
    ``p > p₀ − slack/(a − b)``, p₀ the share of the study. The slack is min(low, high − margin) over a simpler rival,
    and low + margin over a more complex one. Which questions fall into which stratum, and a and b, are taken as
    measured.

    Returns:
        Both; None where a stratum is empty, or where fewer such questions favour the chosen arm.
    """
    marks = [questions[place].shown for place in rival.places.tolist()]
    known = np.array([mark is not None for mark in marks], dtype=bool)
    shown = np.array([mark is True for mark in marks], dtype=bool)
    hit, missed = rival.differences[known & shown], rival.differences[known & ~shown]
    if not len(hit) or not len(missed):
        return None
    slack = min(rival.low, rival.high - rival.margin) if rival.simpler else rival.low + rival.margin
    gain = float(np.mean(hit) - np.mean(missed))
    share = len(hit) / (len(hit) + len(missed))
    return (share, max(0.0, share - slack / gain)) if gain > 0 else None


# ---------------------------------------------------------------- the region


def evidence_bounds(questions: Sequence[Question], against: Sequence[Rival]) -> list[Bound]:
    """How many documents and questions may change, and how far the mixture of questions may move; the tightest of each.

    Args:
        questions: Those that counted.
        against: The `rivals` of the study.
    """
    bearing = [rival for rival in against if rival.bears]
    if not bearing:
        return []
    documents = len(frozenset().union(*(question.documents for question in questions)))
    limits = [
        ("questions", "questions that may be answered otherwise", "questions", _fewest(bearing, fewest_changed)),
        (
            "documents",
            "documents that changed",
            "documents",
            _fewest(bearing, lambda r: fewest_documents(r, questions)),
        ),
    ]
    bounds: list[Bound] = []
    for dimension, what, unit, (number, rival) in limits:
        of = len(questions) if dimension == "questions" else documents
        if not of:
            continue
        rest = f"of {counted(of, unit.removesuffix('s'))} that the study stands on, at worst {number} could turn it"
        bounds.append(
            {
                "dimension": "documents" if dimension == "documents" else "questions",
                "what": what,
                "unit": unit,
                "then": 0.0,
                "low": None,
                "high": None if number is None else float(number - 1),
                "why": "even all could not turn it" if number is None else f"{rest} ({rival})",
            }
        )
    bounds += _mixture(questions, bearing)
    return bounds


def _fewest(against: Iterable[Rival], number_of: Callable[[Rival], int | None]) -> tuple[int | None, str]:
    numbers = [(number, rival.name) for rival in against if (number := number_of(rival)) is not None]
    return min(numbers, default=(None, ""))


def _mixture(questions: Sequence[Question], against: Sequence[Rival]) -> list[Bound]:
    share, name = min((unlike_share(rival), rival.name) for rival in against)
    new = most_new(len(questions), share)
    bounds: list[Bound] = [
        {
            "dimension": "questions",
            "what": "test questions that are new",
            "unit": "questions",
            "then": 0.0,
            "low": None,
            "high": float(new),
            "why": f"beside {counted(len(questions), 'question')}, {new + 1} lost by 1 each could turn it ({name})",
        },
        {
            "dimension": "drift",
            "what": "share of questions unlike those of the test",
            "unit": "share",
            "then": 0.0,
            "low": None,
            "high": share,
            "why": f"(1 - share) times the interval, less the share, still decides ({name})",
        },
    ]
    strata = [(pair[1], pair[0], rival.name) for rival in against if (pair := least_shown(rival, questions))]
    if strata:
        least, then, name = max(strata)
        bounds.append(
            {
                "dimension": "drift",
                "what": "share of questions of which a right document is found",
                "unit": "share",
                "then": then,
                "low": least,
                "high": None,
                "why": f"reweighted by whether one is found, the difference still decides ({name})",
            }
        )
    return bounds


def bound_text(bound: Bound) -> str:
    """The range of a bound, such as ``up to 12 documents`` or ``from .31 to .70``."""
    low, high = (None if end is None else _number(end, bound["unit"]) for end in (bound["low"], bound["high"]))
    unit = "" if bound["unit"] == "share" else f" {bound['unit']}"
    if low is None and high is None:
        return "any"
    if low is None:
        return f"up to {high}{unit}"
    return f"from {low}{unit}" if high is None else f"from {low} to {high}{unit}"


def _number(value: float, unit: str) -> str:
    if unit == "share":
        return number_text(value)
    return f"{value:,.0f}" if value.is_integer() and value < 1e15 else plain_number(value)


# ---------------------------------------------------------------- in words


def settled(
    study: str,
    at: str,
    *,
    reasons: Sequence[EndReason],
    unknown: Sequence[EndReason],
    notes: Sequence[str],
    region: Sequence[Bound],
) -> Validity:
    """The finding: expired by any reason, else unknown where something could not be compared, else it holds."""
    state: Literal["holds", "expired", "unknown"] = "expired" if reasons else "unknown" if unknown else "holds"
    return {
        "study": study,
        "at": at,
        "state": state,
        "reasons": list(reasons),
        "unknown": list(unknown),
        "notes": list(notes),
        "region": list(region),
        "assumed": list(ASSUMED),
    }


def brief(validity: Validity) -> str:
    """Why the verdict no longer holds, without a number or a name; empty unless it is expired."""
    words = dict.fromkeys(BRIEF[reason["dimension"]] for reason in validity["reasons"])
    return f"the verdict of {validity['study']} no longer holds because {'; '.join(words)}" if words else ""


def lines(validity: Validity) -> list[str]:
    """What a person is shown of it; empty while the verdict holds."""
    if validity["state"] == "holds":
        return []
    if validity["state"] == "expired":
        whys = [reason["why"] for reason in validity["reasons"]]
        head = f"The verdict of {validity['study']} no longer holds because {whys[0]}"
        listed = [head + "." if len(whys) == 1 else head + "; and because", *(f"- {why}" for why in whys[1:])]
        return [*listed, *(f"not known: {reason['why']}" for reason in validity["unknown"])]
    return [
        f"Whether the verdict of {validity['study']} still holds is not known: "
        + "; ".join(reason["why"] for reason in validity["unknown"])
    ]
