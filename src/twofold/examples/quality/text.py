"""Faults of single texts among others of their kind: damage, cuts, odd lengths, other languages. Pure.

What is odd is judged by the set itself: an answer without a full stop is a cut where nine of ten have one, and nothing
where none has. Lengths are compared by the modified z-score of Iglewicz & Hoaglin (1993) on their logarithms.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from twofold.errors import MissingExtra, install
from twofold.examples.leaks import bare
from twofold.files.reading import excerpt
from twofold.types import Example, Problem

MOST = 0.9
"""Share of a set from which a habit (a full stop at the end, valid JSON, a language) is the set's own."""
FAR = 5.0
"""Modified z-score of a logarithmic length from which it is an outlier; it must be 4 times the median too, or 1/4."""
SURE = 0.95
"""Probability from which a language counts as told: none of 711 XQuAD questions in five languages was then wrong."""
_TOKEN = re.compile(r"\w+|[^\w\s]")
_ENDS = tuple(".!?…。！？؟।)]}\"'”’»`|>*")
_PLACEHOLDER = re.compile(
    r"(?i)(?:n/?a|none|null|nan|undefined|to ?do|tbd|tba|xxx+|lorem ipsum.*|-+|\.+|\?+|"
    r"[\[<{](?:insert|your) [\w ]+[\]>}]|\[object object\]|.{0,40}\bas an? (?:ai|large) language model\b.*)"
)
_LOOSE = re.compile(r"(?i)(?:[,;:(–]|\b(?:and|or|the|a|an|of|to|with|that|which|because|und|oder|der|die|das|et|de))$")


def tokens(text: str) -> int:
    """Words and marks: a length that needs no model."""
    return len(_TOKEN.findall(text))


def note(example: Example, code: str, message: str, *, cure: str, **fields: Any) -> Problem:
    """A warning about one example, at its place."""
    known: dict[str, Any] = {"severity": "warning", "action": "look", **fields}
    return Problem(
        code=code, message=message, cure=cure, file=example.file, line=example.line, example=example.id, **known
    )


def texts_of(example: Example) -> Iterable[tuple[str, str]]:
    """All texts of an example: (what it is, the text)."""
    for message in example.messages:
        yield ("question" if message.role == "user" else f"{message.role} message"), message.content
    for reference in example.references:
        yield "answer", reference


# ---------------------------------------------------------------- damage


def repaired(text: str) -> str:
    """`text` with encoding damage undone where the bytes tell (ftfy), control and zero-width characters taken out.

    What was lost for good (U+FFFD) stays. Repairing twice changes nothing more.

    Raises:
        MissingExtra: ftfy is not installed.
    """
    # Plain ASCII cannot be damaged, and is most of all text: ftfy is not asked.
    if text.isascii() and text.isprintable():
        return text
    # Damage comes in layers, where a text was read wrongly more than once.
    for _ in range(4):
        better = _DEBRIS.sub("", _ftfy().fix_encoding(text))
        if better == text:
            break
        text = better
    return text


_DEBRIS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\ufeff]")


@lru_cache(maxsize=1)
def _ftfy() -> Any:
    try:
        import ftfy
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "finding encoding damage needs the package ftfy, which is not installed",
            cure=f"{install('data')}, or --skip encoding",
        ) from error
    return ftfy


def damage(examples: Sequence[Example]) -> list[Problem]:
    """Texts that were read in the wrong encoding, hold control characters, or lost characters for good.

    Raises:
        MissingExtra: ftfy is not installed.
    """
    problems = []
    for example in examples:
        for what, text in texts_of(example):
            mended = repaired(text)
            if mended != text:
                at = next((i for i, (a, b) in enumerate(zip(text, mended, strict=False)) if a != b), len(mended))
                shown = excerpt(text[max(0, at - 8) : at + 12].encode("unicode_escape").decode(), 40)
                if text[at : at + 12].isprintable():
                    shown = f"{excerpt(text[max(0, at - 8) : at + 12], 30)} for {excerpt(mended[max(0, at - 8) :], 24)}"
                problems.append(
                    note(
                        example,
                        "data.encoding",
                        f"the {what} is damaged: {shown}",
                        cure="Repair the text.",
                        action="repair",
                    )
                )
                break
            if "\ufffd" in mended:
                cure = "Read its source again in the right encoding: the characters are lost here."
                at = mended.index("\ufffd")
                message = f"the {what} has lost characters: {excerpt(mended[max(0, at - 12) : at + 12], 30)}"
                problems.append(note(example, "data.lost-characters", message, cure=cure))
                break
    return problems


# ---------------------------------------------------------------- answers


def placeholders(examples: Sequence[Example]) -> list[Example]:
    """Examples whose first answer says nothing (``N/A``, ``TODO``), unless it is one of few answers that all share."""
    firsts = [e for e in examples if e.references]
    shared = Counter(bare(e.references[0]) for e in firsts)
    rare = 0.01 * len(firsts) + 2
    dummies: list[Example] = []
    for example in firsts:
        if (
            _PLACEHOLDER.fullmatch(example.references[0].strip())
            and shared[bare(example.references[0])] < rare
            and not example.choices
        ):
            dummies.append(example)
    return dummies


def answers(examples: Sequence[Example]) -> list[Problem]:
    """Answers that say nothing, or that were cut off."""
    firsts = [e for e in examples if e.references]
    empty = {e.id for e in placeholders(firsts)}
    parsed = [_parses(e.references[0]) for e in firsts]
    structured = bool(firsts) and sum(parsed) >= MOST * len(firsts)
    long = [e for e in firsts if tokens(e.references[0]) >= 8]
    ended = sum(e.references[0].rstrip().endswith(_ENDS) for e in long) >= MOST * len(long) and len(long) >= 10
    limit = _limit([tokens(e.references[0]) for e in firsts])
    problems: list[Problem] = []
    for example, whole in zip(firsts, parsed, strict=True):
        text = example.references[0].strip()
        if example.id in empty:
            message = f"the answer is a placeholder: {excerpt(text, 40)!r}"
            problems.append(note(example, "data.placeholder", message, cure="Write the answer, or drop the example."))
            continue
        why = ""
        if structured:
            why = "" if whole else "the answer is not valid JSON, unlike the others"
        elif tokens(text) >= 8:
            finished = text.endswith(_ENDS)
            if text.count("```") % 2:
                why = "a code fence stays open"
            elif not finished and (opened := _open(text)):
                why = f"{opened!r} stays open"
            elif not finished and _LOOSE.search(text):
                why = "it stops within a sentence"
            elif not finished and limit and tokens(text) >= limit:
                why = f"it stops where many others do, at {limit} words and marks"
            elif not finished and ended and not text[-1].isdigit():
                why = "the answer has no end mark, unlike the others"
        if why:
            message = f"the answer seems cut off ({why}): …{excerpt(text[-40:], 40)}"
            problems.append(note(example, "data.truncated", message, cure="Complete the answer, or drop the example."))
    return problems


def _parses(text: str) -> bool:
    if text.strip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _open(text: str) -> str:
    """A bracket that was opened and never closed."""
    return next((a for a, b in ("()", "[]", "{}") if text.count(a) > text.count(b)), "")


def _limit(lengths: Sequence[int]) -> int:
    """The length at which many answers end and none is longer, as a limit on tokens makes it; 0 for none."""
    if len(lengths) < 20:
        return 0
    top = max(lengths)
    at = lengths.count(top)
    near = sum(top - 5 <= n < top for n in lengths)
    # A limit cuts at one length: many end at it, and few just below.
    return top if at >= max(3, 0.005 * len(lengths)) and at > 2 * near else 0


# ---------------------------------------------------------------- lengths


def lengths(examples: Sequence[Example], count: Callable[[str], int] = tokens) -> list[Problem]:
    """Questions and answers whose length is far from the set's."""
    problems: list[Problem] = []
    question_sizes = []
    for e in examples:
        question_sizes.append(sum(count(m.content) for m in e.messages))
    answer_sizes = [count(e.references[0]) if e.references else 0 for e in examples]
    for what, sizes in (("question", question_sizes), ("answer", answer_sizes)):
        known = np.log([n for n in sizes if n > 0])
        # Of a handful of lengths the spread says nothing.
        if len(known) < 30:
            continue
        middle = float(np.median(known))
        # 1.4826 makes the median deviation a standard deviation of normal values; the floor keeps sets of nearly one
        # length from calling every other length an outlier.
        spread = max(1.4826 * float(np.median(np.abs(known - middle))), 0.25)
        for example, size in zip(examples, sizes, strict=True):
            if not size:
                continue
            far = (np.log(size) - middle) / spread
            if abs(far) >= FAR and abs(np.log(size) - middle) >= np.log(4):
                message = f"its {what} has {size} words and marks; the median is {np.exp(middle):.0f}"
                cure = "Look whether it is one example, and whole." if far > 0 else "Look whether it is whole."
                problems.append(note(example, "data.length", message, cure=cure))
    return problems


# ---------------------------------------------------------------- languages


def language(text: str) -> str:
    """ISO 639-1 code of a text's language, or its script where that tells; empty when unsure.

    Raises:
        MissingExtra: py3langid is not installed.
    """
    letters = [c for c in text if c.isalpha()]
    if len(letters) < 12:
        return ""
    name, probability = _languages().classify(text)
    return str(name) if probability >= SURE else ""


def script(text: str) -> str:
    """The script of most letters of a text, as Unicode names it (``LATIN``, ``CYRILLIC``); empty without letters."""
    seen = Counter(_script(c) for c in text if c.isalpha())
    return seen.most_common(1)[0][0] if seen else ""


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    first = unicodedata.name(letter, "").split(" ")[0]
    return "CJK" if first in ("HIRAGANA", "KATAKANA", "CJK") else first


@lru_cache(maxsize=1)
def _languages() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "detecting languages needs the package py3langid, which is not installed",
            cure=f"{install('data')}, or --skip language",
        ) from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def languages(examples: Sequence[Example]) -> list[Problem]:
    """Questions in another language or script than most; one finding for the set where many are.

    Raises:
        MissingExtra: py3langid is not installed.
    """
    tongues = [language(e.question) for e in examples]
    scripts = [script(e.question) for e in examples]
    known, written = Counter(t for t in tongues if t), Counter(s for s in scripts if s)
    if not written:
        return []
    mine = known.most_common(1)[0][0] if known else ""
    usual = written.most_common(1)[0][0]
    problems: list[Problem] = []
    for example, tongue, letters in zip(examples, tongues, scripts, strict=True):
        if letters and letters != usual and sum(c.isalpha() for c in example.question) >= 4:
            message = f"the example is written in {letters.title()} letters; most are in {usual.title()}"
            problems.append(note(example, "data.language", message, cure="Drop the example if it is not intended."))
        # Where no language has half of the set, none is the odd one.
        elif tongue and tongue != mine and known[mine] >= 0.5 * len(examples):
            message = f"its language is {tongue}; most are {mine}: {excerpt(example.question, 40)!r}"
            problems.append(note(example, "data.language", message, cure="Drop the example if it is not intended."))
    if len(problems) > 0.1 * len(examples):
        shares = ", ".join(f"{name} {n}" for name, n in known.most_common(5))
        first = examples[0]
        message = f"the set mixes languages ({shares} of {len(examples)} questions; short ones are not told)"
        whole = note(
            first, "data.language-mix", message, cure="Tune on one language at a time, unless the mix is intended."
        )
        return [whole, *problems]
    return problems
