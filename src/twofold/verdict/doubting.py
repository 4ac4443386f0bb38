"""Doubts that a plan tells before a study and the verdict after it, in the same words. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from twofold.config import Config
from twofold.examples import answer_schemas
from twofold.examples.leaks import bare
from twofold.types import Arm, Example
from twofold.verdict.evidence import GIANT, WANTED_GROUPS
from twofold.verdict.record import counted


def few_groups(groups: int, worth: float, largest: float) -> list[str]:
    """Are there too few independent groups, or groups so unequal that they are `worth` too few?

    Args:
        groups: How many there are.
        worth: How many of equal size these are worth (`intervals.kish`).
        largest: Share of the questions that the largest holds.
    """
    # Groups of equal size may come out just below their number, by rounding.
    if worth >= WANTED_GROUPS - 1e-9:
        return []
    uneven = f", worth {worth:.1f} of equal size" if worth < 0.95 * groups else ""
    if uneven and largest >= GIANT:
        uneven += f", because one contains {100 * largest:.0f} % of the questions: add questions of other groups"
    return [f"few independent groups: {groups}{uneven} ({WANTED_GROUPS} or more are wanted)"]


def nothing_unanswerable(count: int | None) -> list[str]:
    """Is there no question that an arm should decline? None: no arm can decline."""
    if count != 0:
        return []
    return ["no unanswerable question is in the test set: whether an arm declines such questions is not measured"]


def synthetic(count: int, of: int) -> list[str]:
    """Did a model write most of the questions?"""
    if 2 * count <= of:
        return []
    return [f"{count} of {counted(of, 'question')} are synthetic, which favours retrieval"]


def labels_left_out(config: Config, examples: Sequence[Example]) -> int:
    """How many labels the data have, where the prompt names less than half of them; 0 where no label is asked for.

    Args:
        config: In force.
        examples: Whose references are the labels. What the first of them says beside its question counts as prompt.
    """
    known = [example for example in examples if example.answerable and example.references]
    # Choices show the labels to every arm; other metrics than accuracy ask for no label.
    if config.study.metric.name != "accuracy" or any(example.choices for example in known):
        return 0
    template = config.template
    # An example may bring the instruction with it, as the first one shows.
    turns = [message.content for message in known[0].messages] if known else []
    prompt = "\n".join([template.closed, template.open, *turns]).casefold()
    labels = {example.references[0].casefold() for example in known}
    # As a whole word: the label "card" is not named by "discard".
    shown = sum(bool(re.search(rf"(?<!\w){re.escape(label)}(?!\w)", prompt)) for label in labels)
    return len(labels) if 2 * shown < len(labels) else 0


def unseen_labels(labels: int, arms: Sequence[Arm]) -> list[str]:
    """Is a tuned arm, which learns the labels, compared with arms whose prompt shows none of them?"""
    blind = [arm.name for arm in arms if not arm.tuning and not arm.shots and not arm.schema and not arm.linear]
    if not labels or not blind or not any(arm.tuning for arm in arms):
        return []
    return [
        f"the prompt of {', '.join(blind)} names none of the {labels} labels, which only tuned weights learn: list "
        "them in [prompt], or give examples choices, for a fair comparison"
    ]


def one_arm(arms: Sequence[Arm], *, documents: bool) -> list[str]:
    """Is a single arm measured, diagnostic ones apart?

    Args:
        arms: Those that answer.
        documents: Does the project have documents, which an arm could read?
    """
    names = [arm.name for arm in arms if not arm.oracle]
    if len(names) != 1:
        return []
    other = "rag" if documents else "prompt"
    return [
        f"only the arm {names[0]} is measured, so that nothing is compared: measure another beside it, as in `twofold "
        f"study --arms base,{other if names == ['base'] else names[0]}`"
    ]


def disagree(alike: Sequence[Example]) -> bool:
    """Have examples that ask the same no right answer in common?"""
    answers = [set(map(bare, example.references)) for example in alike]
    # Where one of them says that the documents do not tell, the others contradict it.
    return any(answers) and not set.intersection(*answers)


def contradictions(questions: Sequence[Example]) -> list[str]:
    """Do questions ask the same and have no right answer in common?"""
    # Compared as by `twofold check`, which the warning names. Other choices make another prompt.
    alike: dict[tuple[tuple[str, ...], frozenset[str]], list[Example]] = {}
    for question in questions:
        key = tuple(bare(m.content) for m in question.messages), frozenset(map(bare, question.choices))
        alike.setdefault(key, []).append(question)
    torn = [same for same in alike.values() if disagree(same)]
    if not torn:
        return []
    names = " and ".join(example.id for example in torn[0][:2])
    stand = "stands" if len(torn) == 1 else "stand"
    return [
        f"{counted(len(torn), 'question')} {stand} more than once with answers that contradict each other, for example "
        f"{names}: whatever an arm says is wrong for one of them; list all right answers in one example (`twofold "
        "check` names them)"
    ]


def unheld(config: Config, train: Sequence[Example]) -> str:
    """What the answers are that an arm with a schema would hold (``JSON`` or ``labels``); empty where all arms do."""
    section = config.generation
    everywhere = bool(section.json_schema) and section.schema_for == "every arm"
    return "" if everywhere else answer_schemas.form(train)


def no_schema_arm(answers: str, arms: Sequence[Arm]) -> list[str]:
    """Is a tuned arm, which learns the form of the answers, compared with no arm whose answers are held to it?

    Args:
        answers: What they are, as `unheld` says it.
        arms: Those that answer.
    """
    if not answers or not any(arm.tuning for arm in arms) or any(arm.schema for arm in arms):
        return []
    return [
        f"the answers are {answers}, and constrained decoding is not among the arms: tuning's gain may be overstated; "
        "add the arm schema"
    ]


def no_prompt_arm(arms: Sequence[Arm]) -> list[str]:
    """Is a tuned arm compared with no arm that shows examples?"""
    if not any(arm.tuning for arm in arms) or any(arm.shots for arm in arms):
        return []
    return ["no few-shot prompt arm is among the arms: tuning's gain may be overstated"]
