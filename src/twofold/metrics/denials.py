"""Is a reference that stands in an answer denied there: negated, refuted, doubted, or named as the exception? Pure.

What is read are the tokens before and after the reference (`values.tokens`). A negation denies what follows it within
two tokens: "It is not 42". It denies nothing where it makes a bound ("not until 1990", "no more than 42"), widens ("not
only Ann"), or where an exception takes it back ("nobody but Ann"). Of what is said about the reference afterwards only
a judgement refutes it: "42 is not right" does, "Oxygen is not a metal" does not.
"""

from __future__ import annotations

import re

from twofold.metrics.values import NEGATIONS

DENIALS = (NEGATIONS | {"nobody", "none", "nothing"}) - {
    "except", "excluding", "instead", "than", "twice", "half", "double",
}  # fmt: skip
"""What turns a statement into its opposite."""
_AFTER = ("नहीं", "değil", "nicht", "ではな", "じゃな", "でな", "아니")
"""Negations that stand after what they negate."""
_BELIEFS = frozenset(("think", "believe", "sure", "certain", "suppose", "say"))
_BOUNDS = frozenset(("than", "exceed", "until", "till", "before", "after", "over", "above", "below", "under", "beyond"))
_BOUNDED = frozenset(("no", "not", "cannot", "may", "never", "doesnt", "dont", "didnt", "mustnt", "isnt", "wasnt"))
_WIDENED = frozenset(("only", "just", "merely", "simply"))
_EXCEPT = frozenset(("but", "except", "excluding"))
_NOBODY = frozenset(("nobody", "none", "nothing", "no", "never", "not"))
_ALL = (("everything",), ("anything",), ("all",), ("everyone",), ("anyone",))
_IS = frozenset(("is", "was", "are", "were"))
_IS_NOT = frozenset(("isnt", "wasnt", "arent", "werent"))
_WRONG = frozenset(("wrong", "incorrect", "false", "too", "untrue"))
_JUDGED = frozenset(
    ("right", "correct", "true", "it", "answer", "case", "meant", "valid", "accurate", "possible", "solution")
)
_DEGREES = frozenset(("the", "clearly", "quite", "really", "simply", "certainly", "always", "actually", "also"))
_STANDING = re.compile(
    r"(?:\A|(?<=[.!?:;] )|(?<=\n))\s{0,3}(?:no|nope|nein|non|não|нет|nee|nej)\s?(?:,|[.;:!–—-](?=\s))\s{0,3}",
    re.IGNORECASE,
)


def without_standing_no(text: str) -> str:
    """The text without a "no" that is a sentence of its own: "No, 42" says 42. The text itself where it has none."""
    return _STANDING.sub("", text) or text


def denied(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Is what stands between these tokens denied by them?"""
    return is_negated(before) or is_doubted(before) or is_refuted(after)


def is_negated(before: tuple[str, ...]) -> bool:
    """Do the words before deny what follows: ``not``, ``never``, ``everyone but``?"""
    last, near = before[-1:], set(before[-2:])
    if last == ("but",) and before[-2:-1] in _ALL:
        return True
    if not NEGATIONS & near and not "".join(before[-4:]).endswith("ไม่"):
        return False
    if near & _WIDENED:
        return False
    bounded = bool(_BOUNDS.intersection(last) and set(before[-4:]) & _BOUNDED)
    return not (bounded or (_EXCEPT.intersection(last) and _NOBODY & set(before[-4:-1])))


def is_doubted(before: tuple[str, ...]) -> bool:
    """Is what follows called unlikely, as in "I don't think it is"?"""
    since = before[-1 - before[::-1].index("but") :] if "but" in before else before
    return any(
        one in DENIALS and two in _BELIEFS and three != "so"
        for one, two, three in zip(since, since[1:], (*since[2:], ""), strict=False)
    )


def is_refuted(after: tuple[str, ...]) -> bool:
    """Is what stands before these words called wrong: "is not right", "isn't the answer", "is too high"?"""
    first = after[0] if after else ""
    if first in _IS:
        said = tuple(one for one in after[1:5] if one not in _DEGREES)
        if not said or said[0] in _WRONG:
            return bool(said)
        said = said[1:] if said[0] in DENIALS else ("-",)
    elif first in _IS_NOT:
        said = tuple(one for one in after[1:5] if one not in _DEGREES)
    else:
        return "".join(after[:4]).startswith(_AFTER)
    return not said or said[0] in _JUDGED
