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
"""Words that turn a statement into its opposite."""
_AFTER = ("नहीं", "değil", "nicht", "ではな", "じゃな", "でな", "아니", "아닙")
"""Negations that stand after what they negate."""
_DISTANT = (
    ("far", "from"), ("contrary", "to"), ("anything", "but"), ("nobody", "said"), ("unlike",), ("doubt",),
    ("doubt", "it"), ("doubt", "its"), ("doubt", "it", "is"), ("doubt", "that"), ("doubt", "that", "its"),
)  # fmt: skip
"""Words before what they deny."""
_ENDS_IN_NO = re.compile(
    r"(?:ません(?:でした)?|ない(?:です)?|なかった|않(?:습니다|는다|다|음)|없습니다|없다|없음)(?=[\s。．.!?]|\Z)"
)
"""Endings of Japanese and Korean that deny the sentence before them."""
_UNTRUE = re.compile(
    r"\A\W{0,3}(?:it(?:'s| is)|that(?:'s| is)) (?:not (?:true|correct|right|the case)|false|untrue|wrong|incorrect|"
    r"a myth)(?: to say)? that\b",
    re.IGNORECASE,
)
"""The beginning of a sentence that denies all that follows."""
_BELIEFS = frozenset(("think", "believe", "sure", "certain", "suppose", "say"))
_BOUNDS = frozenset(("than", "exceed", "until", "till", "before", "after", "over", "above", "below", "under", "beyond"))
_BOUNDED = frozenset(("no", "not", "cannot", "may", "never", "doesnt", "dont", "didnt", "mustnt", "isnt", "wasnt"))
_WIDENED = frozenset(("only", "just", "merely", "simply"))
_EXCEPT = frozenset(("but", "except", "excluding"))
_NOBODY = frozenset(("nobody", "none", "nothing", "no", "never", "not"))
_ALL = (("everything",), ("anything",), ("all",), ("everyone",), ("anyone",))
_IS = frozenset(("is", "was", "are", "were"))
_IS_NOT = frozenset(("isnt", "wasnt", "arent", "werent"))
_FORMER = frozenset(("old", "former", "previous"))
_TAKEN_BACK = (("no",), ("never",), ("not",), ("not", "so"), ("not", "true"), ("not", "really"), ("not", "at", "all"))
"""All that follows what is taken back: "It is deep, no"."""
_WRONG = frozenset(("wrong", "incorrect", "false", "too", "untrue"))
_JUDGED = frozenset(
    ("right", "correct", "true", "it", "answer", "case", "meant", "valid", "accurate", "possible", "solution")
)
_DEGREES = frozenset(("the", "clearly", "quite", "really", "simply", "certainly", "always", "actually", "also"))
_IDLE_WORDS = (
    "i it is was are that this which so at all really do does did case way longer yet even more any anymore though "
    "true what said"
)
_JUDGING = frozenset(_IDLE_WORDS.split(" "))
"""Words of a clause that says no more than that something is not so."""
_CLAUSE = re.compile(
    r"[,;:!?()\n]\s*|\.(?=\s|\Z)|\s[–—-]\s|\b(?:but|although|though|while|whereas|except|and|without)\b", re.IGNORECASE
)
_SENTENCE = re.compile(r"(?<=[;.!?])\s+|\n")
_REPLACED = re.compile(
    r"(?<=\A)\W{0,3}(?:(?:it|that|this) (?:is|was) )?not [^,;.!?]{1,60}, (?!(?:not|nor|or|and)\b)", re.IGNORECASE
)
"""The beginning of "Not blue, green"."""
_IDLE = re.compile(
    r"\b(?:without (?:a |any )?(?:doubt|question)|"
    r"(?:there is |there's |i have )?no (?:doubt|question)(?: about (?:it|that))?|beyond (?:a |any )?doubt|"
    r"(?:none|nobody|no one|nothing) (?:other|else) than|no other than|"
    r"last but not least|not (?:only|just|merely|simply)|no problem)\b"
    r"|[,;–—-]\s?(?:no|without) exceptions?\b|,\s?(?:isn|wasn|aren|doesn|didn)['’]t (?:it|he|she|they|that)\?\s?\Z",
    re.IGNORECASE,
)
"""Phrases with a negation that denies nothing of what stands beside them."""
_ASKED = re.compile(r"(?:(?<=[.!\n])|(?<=\A))[^.!?\n]{1,300}\?\s+(?=(?:no|nope|nein|non|not)\b)", re.IGNORECASE)
_STANDING = re.compile(
    r"(?:\A|(?<=[.!?:;] )|(?<=\n))\s{0,3}(?:no|nope|nein|non|não|нет|nee|nej)\s?(?:,|[.;:!–—-](?=\s))\s{0,3}",
    re.IGNORECASE,
)


def without_standing_no(text: str) -> str:
    """The text without a "no" that is a sentence of its own: "No, 42" says 42. The text itself where it has none."""
    return _STANDING.sub("", text) or text


def without_idle(text: str, reference: str) -> str:
    """The text without phrases that deny nothing ("no doubt", "none other than"), unless the reference has one."""
    if not _IDLE.search(text) or _IDLE.search(reference):
        return text
    return _IDLE.sub(" ", text).strip(" ,;") or text


def without_refuted_question(text: str) -> str:
    """The text without a question that it answers with no: "Paris? No, Rome" does not say Paris."""
    return _ASKED.sub("", text)


def clauses(text: str) -> list[str]:
    """The text in clauses, cut at punctuation and at words that begin another."""
    return [clause for clause in _CLAUSE.split(text) if clause.strip()]


def sentences(text: str) -> list[str]:
    """The text in sentences, and what semicolons part, and what is denied from what stands in its place."""
    parts: list[str] = []
    for sentence in _SENTENCE.split(text):
        parts += _REPLACED.split(sentence, maxsplit=1)
    return parts


def tells(clause: tuple[str, ...]) -> bool:
    """Does a clause that denies say something of its own, and not merely that what was said is not so?"""
    return bool(set(clause) - DENIALS - _JUDGING - _JUDGED - _WRONG - _BELIEFS - _DEGREES)


def denied(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Is what stands between these tokens denied by them?"""
    return is_negated(before) or is_doubted(before) or is_refuted(after)


def is_denied_whole(text: str) -> bool:
    """Does the sentence begin by calling false what it goes on to say: "It is not true that …"?"""
    return _UNTRUE.match(text.replace("’", "'")) is not None


def denies(text: str, tokens: tuple[str, ...]) -> bool:
    """Does a text deny something, by a word of its own or by its ending?"""
    return bool(DENIALS & set(tokens)) or _ENDS_IN_NO.search(text) is not None


def without_denied_sentences(text: str) -> str:
    """The text without the sentences that call false what they tell; the text itself where there is no other."""
    others = [sentence for sentence in _SENTENCE.split(text) if not is_denied_whole(sentence)]
    return " ".join(others) if others and is_denied_whole(text) else text


def is_negated(before: tuple[str, ...]) -> bool:
    """Do the words before deny what follows: ``not``, ``never``, ``everyone but``?"""
    last = before[-1:]
    near = set(before[-2:])
    if any(before[-len(words) :] == words for words in _DISTANT):
        return True
    if before[-3:] == ("used", "to", "be"):
        return True
    # "Everyone but Ann" excludes her; "nobody but Ann", below, is Ann.
    if last == ("but",) and before[-2:-1] in _ALL:
        return True
    # Thai is read character by character: its "not" is several tokens.
    if not NEGATIONS & near and not "".join(before[-4:]).endswith("ไม่"):
        return False
    if near & _WIDENED:  # "not only 42"
        return False
    bounded = bool(_BOUNDS.intersection(last) and set(before[-4:]) & _BOUNDED)
    return not (bounded or (_EXCEPT.intersection(last) and _NOBODY & set(before[-4:-1])))


def is_doubted(before: tuple[str, ...]) -> bool:
    """Is what follows called unlikely, as in "I don't think it is"?"""
    # "I do not think it is Rome, but …": what is said after a "but" is not doubted any more.
    since = before[-1 - before[::-1].index("but") :] if "but" in before else before
    return any(
        one in DENIALS and two in _BELIEFS and three != "so"
        for one, two, three in zip(since, since[1:], (*since[2:], ""), strict=False)
    )


def is_refuted(after: tuple[str, ...]) -> bool:
    """Is what stands before these words called wrong: "is not right", "isn't the answer", "is too high"?"""
    if after in _TAKEN_BACK or (after[:1] == ("was",) and set(after[1:3]) & _FORMER):
        return True
    # A relative clause judges as a sentence does: "42, which is wrong".
    after = after[1:] if after[:1] in (("which",), ("that",)) else after
    first = after[0] if after else ""
    if first in _IS:
        judgement = tuple(one for one in after[1:5] if one not in _DEGREES)
        if not judgement or judgement[0] in _WRONG:
            return bool(judgement)
        # Without a denial nothing is refuted: "is right" must not read as "is not right".
        judgement = judgement[1:] if judgement[0] in DENIALS else ("-",)
    elif first in _IS_NOT:
        judgement = tuple(one for one in after[1:5] if one not in _DEGREES)
    else:
        # Scripts without blanks are read character by character: joined again, their words are found.
        return "".join(after[:4]).startswith(_AFTER)
    return not judgement or judgement[0] in _JUDGED
