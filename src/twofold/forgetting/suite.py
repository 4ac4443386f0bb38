"""The forgetting gate: a small suite of general ability, its noise floor, and the judgement. Pure but for one read.

The suite (``data/``) is written for Twofold and asks short questions that a small instruct model can partly answer;
code checks every answer. An item belongs to one of two groups: ``general`` (facts, arithmetic, reading, format …) and
``refusal`` (abstaining and refusing where that is right, and answering where it is not). Each item is asked in several
wordings, and its score is the mean over them.

A drop is the base model's mean score less the tuned model's, on the same items and wordings. A drop counts only when it
exceeds the noise floor, which is the drop that the base model shows against itself: greedy answers do not vary, but the
wording of a question is an accident. The gate tests non-inferiority. It *passes* when the whole interval of the drop
lies within the limit, *fails* when the whole interval lies above it, and is *open* otherwise: a model not shown to
forget is not shown to keep.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from twofold.hashing import digest, plain
from twofold.stats import intervals
from twofold.types import Example, Json, Message, Pair

Group = Literal["general", "refusal"]
Outcome = Literal["passed", "open", "failed"]
GROUPS: tuple[Group, ...] = ("general", "refusal")
"""Judged apart: a model that refuses everything may gain in one group what it loses in the other."""
FAILED = 0.05
"""Share of failed answers above which the gate cannot judge, and does not pass."""
_VERSION = 1
"""Raised when the same answers would score differently."""
_DRAWS = 2000
"""Bootstrap draws of the noise floor: its 95 % quantile is the hundredth largest of so many."""
_FOLDER = Path(__file__).parent / "data"
"""Items, skills with their wordings, replay prompts and phrases of abstention, as JSON."""

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteItem:
    """A question of the suite."""

    id: str
    """Unique in the suite."""
    skill: str
    """Kind of ability."""
    group: Group
    """Line of the gate that the item counts for."""
    asks: tuple[str, ...]
    """The same question in several wordings."""
    max_tokens: int
    """Upper limit of an answer, in tokens."""
    rule: Json
    """Conditions that a right answer meets; see `passes`."""

    def example(self, wording: int) -> Example:
        """The item as an example, in one of its wordings."""
        message = Message(role="user", content=self.asks[wording])
        return Example(
            id=f"{self.id}/{wording}", messages=(message,), references=tuple(self.rule.get("holds", ())), group=self.id
        )


@lru_cache(maxsize=1)
def suite() -> tuple[SuiteItem, ...]:
    """The bundled suite."""
    skills = {row["skill"]: row for row in _rows("skills.jsonl")}
    items = []
    for row in _rows("items.jsonl"):
        skill = skills[row["skill"]]
        item = SuiteItem(
            id=row["id"],
            skill=row["skill"],
            group=skill["group"],
            asks=tuple(wording.replace("{ask}", row["ask"]) for wording in skill["wordings"]),
            max_tokens=skill["max_tokens"],
            rule=row["rule"],
        )
        items.append(item)
    return tuple(items)


def suite_digest() -> str:
    """Digest of the suite and of the way its answers are scored."""
    return digest("suite", {"items": suite(), "version": _VERSION})


def known_facts() -> tuple[Pair, ...]:
    """Facts with the right answer and a wrong one: a training run follows which of the two is likelier.

    The wrong answer is the right one of the next fact whose answer does not pass here.
    """
    facts = [item for item in suite() if item.skill == "facts"]
    answers = [str(item.rule["holds"][0]) for item in facts]
    pairs = []
    for number, item in enumerate(facts):
        # round from the next one on, so that the wrong answers differ from fact to fact
        others = answers[number + 1 :] + answers
        wrong = next(other for other in others if not passes(item, other))
        turns = item.example(0).messages
        pairs.append(Pair(messages=turns, completion=answers[number], rejected=wrong, example=item.id))
    return tuple(pairs)


def general_rows() -> tuple[Pair, ...]:
    """The suite's other items with a right answer, never trained on: a training run follows its loss on them."""
    rows = []
    for item in suite():
        right = item.rule.get("equals") or item.rule.get("first") or item.rule.get("holds")
        if right and item.skill != "facts":  # a training run follows facts as pairs, see `known_facts`
            completion = right if isinstance(right, str) else right[0]
            rows.append(Pair(messages=item.example(0).messages, completion=completion, example=item.id))
    return tuple(rows)


@lru_cache(maxsize=1)
def replay_prompts() -> tuple[str, ...]:
    """General prompts to rehearse while tuning; the suite holds none of them, so that no item of it is learned."""
    return tuple(row["ask"] for row in _rows("replay.jsonl"))


# ---------------------------------------------------------------- checking an answer


def passes(item: SuiteItem, text: str) -> bool:
    """Is the answer right? Every condition of the item's rule must hold.

    ``holds``: one of these phrases stands in the answer as whole words (``last``: the answer's last number is one of
    them). ``first`` and ``of``: of these words, that one comes first. ``equals``: the answer is that text, quotes, end
    mark and white space apart. ``words``, ``lines``: the answer has so many. ``count`` and ``times``: the answer has
    that word exactly so often. ``order``: the numbers or capitals of the answer are these, in this order. ``begins``,
    ``ends``. ``json``: the answer is a JSON object, or holds one, with these values. ``says``: the answer is an
    ``abstention``, a ``refusal``, or ``none`` of both.
    """
    return all(_CHECKS[name](text.strip(), value, item.rule) for name, value in item.rule.items() if name in _CHECKS)


@lru_cache(maxsize=4096)
def _bare(text: str) -> str:
    # "1,000" and "1000" are one number, and an apostrophe is one whichever sign a model writes
    return re.sub(r"\s+", " ", text.replace("’", "'").replace(",", "").casefold())


def _has(phrase: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(_bare(phrase))}(?!\w)", _bare(text)) is not None


def _holds(text: str, expected: Sequence[str], rule: Json) -> bool:
    if rule.get("last"):
        # a calculation has its result at the end
        numbers = re.findall(r"\d+(?:\.\d+)?", text.replace(",", ""))
        return bool(numbers) and numbers[-1] in expected
    return any(_has(one, text) for one in expected)


def _first(text: str, expected: str, rule: Json) -> bool:
    positions = [(re.search(rf"(?<!\w){re.escape(_bare(one))}(?!\w)", _bare(text)), one) for one in rule["of"]]
    placed = sorted((match.start(), one) for match, one in positions if match)
    return bool(placed) and placed[0][1] == expected


def _equals(text: str, expected: str, _: Json) -> bool:
    def stripped(value: str) -> str:
        return value.strip().strip("\"'“”*").rstrip(".!\"'“”*").strip()

    return stripped(text) == stripped(expected)


def _order(text: str, expected: Sequence[str], _: Json) -> bool:
    kind = r"\d+" if expected[0].isdigit() else r"(?<!\w)[A-Z](?!\w)"
    return re.findall(kind, text) == list(expected)


def _json(text: str, expected: Json, _: Json) -> bool:
    # from the first brace to the last: a model puts the object into a code block, or a sentence before it
    match = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        value = json.loads(match[0]) if match else None
    except ValueError:
        return False
    return isinstance(value, dict) and all(value.get(key) == one for key, one in expected.items())


def _says(text: str, expected: str, _: Json) -> bool:
    phrases = _phrases()
    if expected == "none":
        return bool(text) and not any(_has(phrase, text) for phrase in chain.from_iterable(phrases.values()))
    return any(_has(phrase, text) for phrase in phrases[expected])


_CHECKS: dict[str, Any] = {
    "holds": _holds,
    "first": _first,
    "equals": _equals,
    "words": lambda text, expected, _: len(text.split()) == expected,
    "lines": lambda text, expected, _: sum(1 for line in text.splitlines() if line.strip()) == expected,
    "count": lambda text, expected, rule: (
        len(re.findall(rf"(?<!\w){expected}(?!\w)", text, re.IGNORECASE)) == rule["times"]
    ),
    "order": _order,
    "begins": lambda text, expected, _: text.lstrip("\"'“").startswith(expected),
    "ends": lambda text, expected, _: text.rstrip("\"'”").endswith(expected),
    "json": _json,
    "says": _says,
}


# ---------------------------------------------------------------- the judgement


def floor(scores: Scores, *, level: float = 0.95, seed: int = 0) -> float:
    """The drop that a model shows against itself when only the wording of the questions changes.

    Each draw takes items, and for each item the wordings of "before" and of "after", with replacement; the floor is the
    `level` quantile of the drop between the two. The factor √(W / (W − 1)) corrects for the W wordings at hand, which
    stand for all wordings there could be.

    Args:
        scores: The base model's scores, shape (items, wordings); NaN where an answer failed.
        level: Share of draws below the floor.
        seed: Seed of the draws.

    Returns:
        A drop in mean score, at least 0; 0 with one wording.
    """
    whole = scores[np.isfinite(scores).all(axis=1)]
    items, wordings = whole.shape
    if items == 0 or wordings < 2:
        return 0.0
    return _floor(whole.tobytes(), whole.dtype.str, whole.shape, level, seed)


@lru_cache(maxsize=16)
def _floor(data: bytes, dtype: str, shape: tuple[int, int], level: float, seed: int) -> float:
    """The same, remembered: tuned models are judged one after another against one base model."""
    whole = np.frombuffer(data, dtype).reshape(shape)
    items, wordings = shape
    rng = np.random.default_rng(seed)
    drops = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        chosen = rng.integers(0, items, (items, 1))
        # both of shape (items, wordings); "before" is drawn first, which the seed's sequence fixes
        before = whole[chosen, rng.integers(0, wordings, whole.shape)]
        after = whole[chosen, rng.integers(0, wordings, whole.shape)]
        drops[draw] = before.mean() - after.mean()
    # Bessel's correction: draws from a few wordings vary less than new wordings would
    return max(0.0, float(np.quantile(drops, level)) * float(np.sqrt(wordings / (wordings - 1))))


def judge(base: Scores, tuned: Scores, *, again: Scores, threshold: float, level: float = 0.95, seed: int = 0) -> Json:
    """The gate's result: is the tuned model shown to lose no more than the limit, or shown to lose more, or neither?

    Args:
        base: The base model's scores, shape (items of `suite`, wordings); NaN where an answer failed.
        tuned: The tuned model's scores, same shape.
        again: The base model's scores on the first wording, asked a second time in another order, shape (items,).
        threshold: Drop that is allowed.
        level: Level of intervals and floor.
        seed: Seed of bootstrap and floor.

    Returns:
        ``{"passed", "failed", "because", "general": line, "refusal": line, "skills", "items", "wordings", "suite"}``;
        a line has ``base``, ``tuned``, ``drop`` (paired; records of `types.Estimate`), ``floor``, ``order`` (drop of
        the base model asked again), ``limit``, ``sees`` (the drop from which on the gate would have failed), ``passed``
        and ``failed``; a line with neither is open. ``because`` has the reason of every line that did not pass.
    """
    items = suite()
    lines: Json = {}
    because = []
    for group in GROUPS:
        rows = np.array([item.group == group for item in items])
        lines[group] = line = _line(base[rows], tuned[rows], again[rows], threshold, level=level, seed=seed)
        if not line["passed"]:
            because.append(f"{group}: {line['because']}")
    skills = {}
    for skill in dict.fromkeys(item.skill for item in items):
        rows = np.array([item.skill == skill for item in items])
        skills[skill] = {
            "n": int(rows.sum()),
            "base": plain(intervals.estimate(_of_items(base[rows]), level=level)),
            "tuned": plain(intervals.estimate(_of_items(tuned[rows]), level=level)),
        }
    return {
        "passed": all(lines[group]["passed"] for group in GROUPS),
        "failed": any(lines[group]["failed"] for group in GROUPS),
        "because": because,
        **lines,
        "skills": skills,
        "items": len(items),
        "wordings": base.shape[1],
        "suite": suite_digest(),
    }


def outcome(judged: Json) -> Outcome:
    """The outcome of a result of `judge`, or of one of its lines."""
    if judged["passed"]:
        return "passed"
    # a record of a version that knew no open gate has no "failed": its gate failed
    return "failed" if judged.get("failed", True) else "open"


def _line(base: Scores, tuned: Scores, again: Scores, threshold: float, *, level: float, seed: int) -> Json:
    failed = max(int(np.isnan(one).sum()) for one in (base, tuned))
    share = failed / base.size
    before, after = _of_items(base), _of_items(tuned)
    drop = _drop(before, after, level=level, seed=seed)
    order = float(np.nanmean(base[:, 0] - again))
    # the same questions in another order must not tip the gate either: batches change the arithmetic
    least = max(floor(base, level=level, seed=seed), abs(order))
    limit = max(threshold, least)
    sees = limit + drop.mean - drop.low
    why = ""
    finding = f"a drop of {drop.mean:.3f} [{drop.low:.3f}, {drop.high:.3f}]"
    if share > FAILED:
        why = f"{failed} of {base.size} answers failed: nothing can be said"
    elif drop.low > limit:
        why = f"{finding}, allowed are {limit:.3f}"
    elif drop.high > limit:
        why = f"{finding} may exceed the {limit:.3f} allowed; a drop of {sees:.3f} would have been failed"
    return {
        "base": plain(intervals.estimate(before, level=level, failed=failed)),
        "tuned": plain(intervals.estimate(after, level=level, failed=failed)),
        "drop": plain(drop.estimate(failed)),
        "floor": least,
        "order": order,
        "limit": limit,
        "sees": sees,
        "passed": not why,
        "failed": share > FAILED or drop.low > limit,
        "because": why,
    }


def _drop(before: Scores, after: Scores, *, level: float, seed: int) -> intervals.Interval:
    both = np.stack([before, after], axis=1)
    return intervals.contrasts(both, None, {"drop": np.array([1.0, -1.0])}, level=level, resamples=2000, seed=seed)[
        "drop"
    ]


def _of_items(scores: Scores) -> Scores:
    """Mean over wordings, shape (items,); NaN where one failed, so that both models are compared on the same items."""
    means: Scores = scores.mean(axis=1)
    return means


@lru_cache(maxsize=1)
def _phrases() -> dict[str, list[str]]:
    """Phrases of an abstention and of a refusal."""
    phrases: dict[str, list[str]] = json.loads((_FOLDER / "phrases.json").read_text(encoding="utf-8"))
    return phrases


def _rows(name: str) -> list[Json]:
    return [json.loads(line) for line in (_FOLDER / name).read_text(encoding="utf-8").splitlines()]
