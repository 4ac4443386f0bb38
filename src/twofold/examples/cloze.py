"""Cloze questions from passages: free practice in finding words in a passage. Pure.

A stretch of words is taken out of a sentence and asked for. With few labelled examples, such questions teach a reader
to extract before it learns what people ask (Dhingra, Danish & Rajagopal 2018, "Simple and Effective Semi-Supervised
Question Answering"). No label is used, and none is needed.
"""

from __future__ import annotations

import random
import re
from itertools import chain

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\S)[^.!?\n]+)*[.!?]?")
_WORD = re.compile(r"\d+(?:[.,:/-]\d+)+[^\s,;:()\[\]\"]*|[^\s,;:()\[\]\"]+")
"""A number is one word: 1,200, 16:15, 2026-03-01."""
_LINE = re.compile(r"[ \t]*(?:>[ \t]?)*(?P<mark>#{1,6}[ \t]|[-*+•·][ \t]+|\d{1,3}[.)][ \t]+|\||```|~~~)?(?P<text>.*)")
_FIELD = re.compile(r"[^\W\d][\w ()/%.-]{0,40}: (?=\S)")
"""The name of a column before its cell, as rows of tables are written."""
_EMPHASIS = re.compile(r"(?<!\w)(?:\*{1,3}|_{1,3}|`+)(?=\S)|(?<=\S)(?:\*{1,3}|_{1,3}|`+)(?!\w)")
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\n]*\)")
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a an the of in on at to and or is are was were be been by for with it its this that these those as from not "
        "if when than then but can may will should must have has had do does their they them you your we our he she "
        "his her which who what where how why there here into out up down over under only also more most very",
    )
)
MOST_WORDS = 6
"""Longest answer, words."""
BLANK = "___"
"""Stands for the words taken out of a sentence that is not English: "what" would be a foreign word in it."""
_ENGLISH = 0.15
"""Least share of `_STOP` among the words of English text: 237 of XQuAD's 240 documents have more, most some .4."""
_LETTERS = re.compile(r"[^\W\d_]+")


def cloze(text: str, chance: random.Random) -> tuple[str, str] | None:
    """A question and its answer, which stands word for word in `text`; None when no sentence fits.

    In English the words taken out become "what"; in any other language a gap, `BLANK`.

    Args:
        text: A passage.
        chance: Draws the sentence and the words.
    """
    sentences = [s for s in sentences_of(text) if 7 <= len(s.split()) <= 45]
    chance.shuffle(sentences)
    plain = " ".join(text.split())
    in_english = english(text)
    for sentence in sentences[:4]:
        # Other languages have small words that `_STOP` does not know: only their length tells them.
        stretch = _answer(sentence, chance, shortest=3 if in_english else 5)
        # The stretch must stand in the passage as it is: markup within it was taken off.
        if stretch is not None and sentence[slice(*stretch)] in plain:
            start, end = stretch
            question = f"{sentence[:start]}{'what' if in_english else BLANK}{sentence[end:]}".rstrip(" .!?")
            question = f"{question[:1].lower()}{question[1:]}" if in_english else question
            return f"{question}?", sentence[start:end].rstrip(".!?")
    return None


def sentences_of(text: str) -> list[str]:
    """The sentences of running text, none across paragraphs or list items; headings, tables and code are left out.

    Markup (bullets, emphasis, links) is taken off.
    """
    blocks: list[list[str]] = [[]]
    fenced = False
    lines = text.splitlines()
    fields = [_FIELD.match(line) for line in lines]
    for number, line in enumerate(lines):
        field = fields[number]
        # Of a record's cells each stands alone; a single line with a colon is prose.
        if field and (any(fields[max(0, number - 1) : number]) or any(fields[number + 1 : number + 2])):
            blocks.append([line[field.end() :]])
            continue
        parts = _LINE.fullmatch(line)
        mark, rest = (parts["mark"] or "", parts["text"]) if parts else ("", line)
        if mark in ("```", "~~~"):
            fenced = not fenced
        # A row of a sheet has bars between its cells alone, without one before the first.
        row = mark.strip() == "|" or " | " in rest or "\t" in rest.strip()
        if fenced or row or not rest.strip() or mark.strip():
            blocks.append([])
        if not fenced and not row and mark.strip() not in ("```", "~~~") and not mark.startswith("#"):
            blocks[-1].append(rest)
    whole = (" ".join(_EMPHASIS.sub("", _LINK.sub(r"\1", " ".join(block))).split()) for block in blocks)
    sentences = chain.from_iterable(map(_SENTENCE.findall, whole))
    return [sentence.strip() for sentence in sentences if sentence.strip()]


def english(text: str) -> bool:
    """Is this English, by the share of its commonest words?"""
    words = _LETTERS.findall(text.casefold())
    return sum(word in _STOP for word in words) >= _ENGLISH * len(words)


def _answer(sentence: str, chance: random.Random, *, shortest: int) -> tuple[int, int] | None:
    """Character range of a stretch of words that begins and ends with a content word and crosses no punctuation.

    The length of a content word, `shortest`, stands in for a list of function words in languages without one.
    """
    words = list(_WORD.finditer(sentence))
    starts = [n for n, word in enumerate(words) if _content(word.group(), shortest)]
    chance.shuffle(starts)
    for first in starts[:6]:
        last = first
        most_words = chance.choice((1, 1, 2, 2, 3, 4, MOST_WORDS))
        while last + 1 < len(words) and last + 1 - first < most_words:
            gap = sentence[words[last].end() : words[last + 1].start()]
            if gap.strip():
                break
            last += 1
        # An answer ends with a word that says something: "the harbour of" is none.
        while last > first and not _content(words[last].group(), shortest):
            last -= 1
        start = words[first].start()
        end = words[last].end()
        # What is left of the sentence must still say what is asked for.
        if len(sentence) - (end - start) >= 25:
            return start, end
    return None


def _content(word: str, shortest: int) -> bool:
    bare = word.strip(".'’-!?").casefold()
    # A number says something however short it is.
    return bare not in _STOP and (len(bare) >= shortest or any(c.isdigit() for c in bare))
