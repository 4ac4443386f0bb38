"""Reword questions by rules, and check that a rewording, by rules or by a model, keeps names and numbers. Pure.

The rules are for English. They change the frame of a question, its politeness and its small words, never its matter. A
question reworded by a rule is close to the original, and teaches a model to answer alike however it is asked (Wei & Zou
2019 found that such edits help most where examples are few).
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

from twofold.curation.templates import entities
from twofold.examples.leaks import bare
from twofold.types import Example

RULES = "rules"
"""The maker of questions reworded without a model."""

# A frame must fit the whole question: a second "is" within "what is …" would be a clause of its own, which the
# replacement would tear apart.
_FRAMES = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"what (is|are|was|were) (?P<x>(?!.*\b(?:is|are|was|were)\b).+)\?", r"Can you tell me what \g<x> \1?"),
        (r"how (?:do|can|could|should) (?:i|we|you|one) (?P<x>.+)\?", r"What is the right way to \g<x>?"),
        (r"how to (?P<x>.+)\?", r"How do I \g<x>?"),
        (r"can i (?P<x>.+)\?", r"Is it possible for me to \g<x>?"),
        (r"why (?:do|does|did) (?P<x>.+)\?", r"What is the reason that \g<x>?"),
        (r"where (?:can|do) (?:i|we|you) (?P<x>.+)\?", r"In which place can I \g<x>?"),
        (r"when (?:should|do|can) (?:i|we|you) (?P<x>.+)\?", r"What is the time to \g<x>?"),
        (r"(?:i want|i need|i'd like|i would like) to (?P<x>.+?)[.!]?", r"Please help me to \g<x>."),
    )
)
_SHORT = (
    ("what is", "what's"),
    ("it is", "it's"),
    ("do not", "don't"),
    ("does not", "doesn't"),
    ("is not", "isn't"),
    ("cannot", "can't"),
)
"""Contractions: long form and short."""
_POLITE = ("Could you tell me: {}", "Please help: {}", "I have a question. {}", "Hello, {}", "Quick question: {}")
"""Openings put before a question; one of them fits every question, so that every question has a rewording."""
_FILLER = re.compile(r"\b(?:please|the|an?|just|really|very|can you tell me|could you)\s+", re.IGNORECASE)
"""Words that a question loses without losing its sense."""
_NOT = re.compile(r"\b(?:not|no|never|none|without|except|neither|nor)\b|n['’]t\b", re.IGNORECASE)
"""Negations: a rewording that loses or adds one asks for the opposite."""


def reworded(text: str, *, seed: int) -> list[str]:
    """Rewordings of `text`, each once, in an order drawn by seed and text; empty when no rule fits."""
    chance = random.Random(f"{seed}/{text}")
    stripped = text.strip()
    variants = []
    for pattern, new in _FRAMES:
        if match := pattern.fullmatch(stripped):
            variants.append(match.expand(new))
    for change in (_shortened, _filler_out):
        if (changed := change(stripped)) != stripped:
            variants.append(changed)
    variants.append(chance.choice(_POLITE).format(_start_lowered(stripped)))
    chance.shuffle(variants)
    return [one for one in dict.fromkeys(variants) if bare(one) and one != stripped]


def _shortened(text: str) -> str:
    for long, short in _SHORT:
        text = re.sub(rf"\b{long}\b", short, text)
        text = re.sub(rf"\b{long.capitalize()}\b", short.capitalize(), text)
    return text.replace("I am ", "I'm ")


def _filler_out(text: str) -> str:
    return _FILLER.sub("", text)


def _start_lowered(text: str) -> str:
    first = text.split(" ", 1)[0]
    # "I" and names such as "NASA" or "LanceDB" keep their capital; the check cannot tell "Paris" from "What"
    return text if first == "I" or first[1:] != first[1:].lower() else text[:1].lower() + text[1:]


def lost(original: str, other: str) -> str:
    """The fault of a rewording, in words: the same words, or a name, a number or a negation lost; empty without one."""
    if bare(original).casefold() == bare(other).casefold():
        return "the same words"
    flat = other.casefold()
    missing = [one for one in entities(original) if one.casefold() not in flat]
    if missing:
        return "a name or number is lost"
    if bool(_NOT.search(original)) != bool(_NOT.search(other)):
        return "a negation is lost or new"
    return ""


def reworded_example(example: Example, text: str, *, maker: str, number: int) -> Example:
    """The example with its last question reworded; answer and earlier turns stay as they are."""
    last = replace(example.messages[-1], content=text)
    return replace(
        example,
        id=f"{example.id}/reworded {number}",
        messages=(*example.messages[:-1], last),
        origin="synthetic",
        maker=maker,
        parent=example.id,
        # the parent's split decides: a rewording of a test question must not be trained on
        split=None,
        file="",
        line=0,
    )
