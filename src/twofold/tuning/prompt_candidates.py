"""Prompts to choose among: instructions and sets of few-shot examples, from the training examples. Pure.

Instructions are the project's own, a few written by hand for each kind of answer, and those that the model writes when
it is shown training examples (Zhou et al. 2023, arXiv:2211.01910). The project's own prompt with its usual shots is the
first candidate: it is what the others have to beat.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product, zip_longest
from typing import Literal

from twofold.errors import ConfigError
from twofold.examples import answer_schemas
from twofold.examples.quality.labels import labels
from twofold.prompts import Template
from twofold.text import sanitise
from twofold.text.wrapping import answer_text
from twofold.tuning.training_data import few_shots
from twofold.types import Completion, Example, Message, Prompt

Kind = Literal["labels", "json", "choices", "text"]
"""Kinds of right answers, by which the instructions written by hand differ."""

PROPOSALS = 4
"""Instructions that the model is asked to write."""
COVERING = 16
"""Most examples of the set that shows every label once: more are hundreds of tokens in every request."""
_SEEN = 6
"""Training examples that the model sees for each instruction it writes."""
_LETTERS = 300
"""Letters of each question and answer that it sees, so that a long document does not fill its context."""
_WORDS = range(5, 81)
"""Words of an instruction that is taken: fewer say nothing, more are an answer, or a list of the examples."""
_LISTED = 6_000
"""Most letters of labels or of a schema that an instruction lists, about 1,500 tokens: they are read with every
question, where no prefix is kept."""
_LABEL = 80
"""Most letters of a label; a longer text that repeats is a text."""
_PREFACE = re.compile(r"^(?:the )?instruction(?: is| was)?:\s*", re.IGNORECASE)
"""Small models begin so, against what they were told."""
_PLAIN = Template()
_PREFIX = "Answer the question in as few words as possible, from the passages."
"""What an instruction takes the place of in the usual wording; how to cite and to decline stands behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A prompt that may be chosen."""

    instruction: str = ""
    """Takes the place of the usual instruction, or follows one of the project's own; empty: the project's prompt."""
    origin: Literal["default", "pool", "model"] = "default"
    """Who wrote the instruction: the project, Twofold by hand, or the model."""
    shots: tuple[Example, ...] = ()
    """Examples shown."""
    draw: str = "default"
    """Name of this set of examples."""

    @property
    def simplicity(self) -> tuple[bool, int, int]:
        """Order for ties: the project's own instruction first, then fewer shots, then fewer letters."""
        return bool(self.instruction), len(self.shots), len(self.instruction)


def instructed(template: Template, instruction: str) -> Template:
    """The template with this instruction; what a project's own wording says stays, and stands before it."""
    if not instruction:
        return template
    closed = instruction if template.closed == _PLAIN.closed else f"{template.closed} {instruction}".strip()
    if template.open.startswith(_PREFIX):
        opened = f"{instruction} Answer from the passages.{template.open.removeprefix(_PREFIX)}"
    else:
        opened = f"{template.open} {instruction}".strip()
    return replace(template, closed=closed, open=opened)


def kind_of(train: Sequence[Example]) -> Kind:
    """The kind of most right answers."""
    known = [example for example in train if example.references]
    if known and all(example.choices for example in known):
        return "choices"
    firsts = [example.references[0].strip() for example in known]
    # Many labels with two or three examples each are a closed set too, if one that is not seen whole.
    repeated = 2 * len(set(firsts)) <= len(firsts) and all(len(text) <= _LABEL for text in firsts)
    if known and (repeated or labels(known) == firsts):
        return "labels"
    parsed = sum(_is_json(example.references[0]) for example in known)
    return "json" if known and parsed >= 0.9 * len(known) else "text"


def pool(train: Sequence[Example], *, retrieval: bool, abstention: str) -> list[str]:
    """The instructions written by hand for this kind of answer, the most telling first.

    Args:
        train: Examples that may be learned from.
        retrieval: Are passages shown?
        abstention: Text of an answer that declines.
    """
    known = [example for example in train if example.references]
    kind = kind_of(train)
    if kind == "choices":
        return ["Answer with the right choice, word for word, and nothing else."]
    if kind == "labels":
        plain = "Classify the message. Answer with its label and nothing else."
        names = "; ".join(sorted({example.references[0].strip() for example in known}))
        listed = f"Classify the message. Answer with exactly one of these labels and nothing else: {names}."
        # The list first: no other candidate tells the model which labels there are.
        return [listed, plain] if len(names) <= _LISTED else [plain]
    if kind == "json":
        plain = "Answer with one JSON value and nothing else."
        schema = _schema(train, abstention)
        listed = f"Answer with JSON that satisfies this schema, and nothing else: {schema}"
        return [listed, plain] if schema and len(schema) <= _LISTED else [plain]
    lengths = sorted(len(example.references[0].split()) for example in known)
    # Nine of ten right answers are no longer: a limit below would cut some, one above would say nothing.
    most = max(1, lengths[int(0.9 * (len(lengths) - 1))]) if lengths else 1
    unit = "word" if most == 1 else "words"
    instructions = [f"Answer in as few words as possible, {most} {unit} at most, and add nothing."]
    if retrieval:
        instructions.append("Copy the answer word for word from the passages and add nothing.")
    instructions.append("Decide what kind of thing the question asks for, and answer with that alone.")
    return instructions


def requests(train: Sequence[Example], *, seed: int, max_tokens: int = 128) -> list[Prompt]:
    """Prompts that ask the model for instructions, each with other training examples; empty without examples."""
    known = [example for example in train if example.references]
    prompts = []
    for number in range(PROPOSALS if known else 0):
        shown = few_shots(known, _SEEN, seed=seed + 100 + number)
        pairs = [f"Input: {_short(e.question)}\nOutput: {_short(e.references[0])}" for e in shown]
        text = "\n\n".join(pairs)
        ask = (
            f"{text}\n\nSomebody was given one instruction and wrote these outputs for these inputs. What was the "
            "instruction? Write it in one or two sentences, addressed to them, and write nothing else."
        )
        prompts.append(Prompt(messages=(Message(role="user", content=ask),), max_tokens=max_tokens))
    return prompts


def proposals(completions: Sequence[Completion]) -> list[str]:
    """The usable instructions of what the model wrote, each once: whole, of some words, on one line."""
    usable: dict[str, None] = {}
    for completion in completions:
        text = " ".join(sanitise.shown(answer_text(completion.text)).split())
        text = _PREFACE.sub("", text).strip("\"'` ")
        whole = completion.failure is None and completion.finish == "stop"
        if whole and len(text.split()) in _WORDS:
            usable[text] = None
    return list(usable)


def shot_sets(train: Sequence[Example], count: int, *, seed: int) -> dict[str, tuple[Example, ...]]:
    """Name → set of examples to show: the usual draw, none, two other draws, twice as many, and each label once."""
    sets = {"default": few_shots(train, count, seed=seed)}
    if kind_of(train) == "labels":
        sets["each label once"] = _covering(train)
    sets |= {
        "twice as many": few_shots(train, 2 * count, seed=seed),
        "none": (),
        "second draw": few_shots(train, count, seed=seed + 1),
        "third draw": few_shots(train, count, seed=seed + 2),
    }
    different: dict[tuple[str, ...], str] = {}
    for name, shots in sets.items():
        different.setdefault(tuple(shot.id for shot in shots), name)
    return {name: sets[name] for name in different.values()}


def candidates(
    instructions: Mapping[str, Literal["default", "pool", "model"]],
    sets: Mapping[str, tuple[Example, ...]],
    *,
    most: int,
    seed: int,
) -> list[Candidate]:
    """So many candidates, the project's own prompt first.

    Instructions with the usual shots and sets of shots with the usual instruction come in turns, before all other
    pairs, which are drawn by seed.

    Args:
        instructions: Instruction → who wrote it; the empty one is the project's own.
        sets: Name → examples shown.
        most: Number of candidates at most.
        seed: Of the draw.
    """
    both = list(product(instructions, sets))
    random.Random(seed).shuffle(both)
    # A stable sort: the pairs that change one thing come first, the project's own before all, the rest as drawn.
    changed = {pair: (pair[0] != "") + (pair[1] != "default") for pair in both}
    texts = [(text, "default") for text in instructions if text]
    draws = [("", name) for name in sets if name != "default"]
    # In turns, so that a small field has both: the fewest dev questions leave room for two or three others.
    alone = [("", "default"), *filter(None, chain.from_iterable(zip_longest(texts, draws)))]
    ordered = [*alone, *(pair for pair in both if changed[pair] == 2)][:most]
    return [
        Candidate(instruction=text, origin=instructions[text], shots=sets[name], draw=name) for text, name in ordered
    ]


def _covering(train: Sequence[Example]) -> tuple[Example, ...]:
    """The shortest example of each of the most frequent labels."""
    known = [example for example in train if example.references]
    frequent = Counter(example.references[0].strip() for example in known).most_common(COVERING)
    shortest: dict[str, Example] = {}
    for example in sorted(known, key=lambda e: (len(e.question), e.id)):
        shortest.setdefault(example.references[0].strip(), example)
    return tuple(shortest[label] for label, _ in frequent)


def _schema(train: Sequence[Example], abstention: str) -> str:
    try:
        return answer_schemas.inferred(train, abstention=abstention)
    except ConfigError:
        # Answers without a form in common have no schema to list; the other instructions stay.
        return ""


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _short(text: str) -> str:
    return sanitise.shown(" ".join(text.split())[:_LETTERS])
