"""Names of arms: which there are, one spelling for each, and the order of simplicity."""

from __future__ import annotations

from itertools import product

import pytest

from twofold.arm_names import arm_of
from twofold.errors import ConfigError
from twofold.text.arm_names import without_passages
from twofold.types import Arm

PARTS = (("", "prompt", "optimised"), ("", "ft"), ("", "rag", "whole", "oracle"), ("", "schema"))
REFUSED = ({"ft", "whole"}, {"ft", "optimised"})
SETS = [
    "+".join(filter(None, parts)) or "base"
    for parts in product(*PARTS)
    if not any(pair.issubset(parts) for pair in REFUSED)
]
"""Every set of parts, spelled in the one order."""


def test_the_names_of_before_mean_what_they_meant() -> None:
    assert arm_of("base", shots=4) == Arm(name="base")
    assert arm_of("prompt", shots=4) == Arm(name="prompt", shots=4)
    assert arm_of("rag", shots=4) == Arm(name="rag", retrieval=True)
    assert arm_of("ft", shots=4) == Arm(name="ft", tuning="closed-book")
    assert arm_of("ft+rag", shots=4) == Arm(name="ft+rag", retrieval=True, tuning="open-book")
    assert arm_of("oracle", shots=4) == Arm(name="oracle", retrieval=True, oracle=True)
    assert arm_of("ft+oracle", shots=4) == Arm(name="ft+oracle", retrieval=True, tuning="open-book", oracle=True)


@pytest.mark.parametrize("name", SETS)
def test_an_arm_has_the_parts_of_its_name(name: str) -> None:
    arm, parts = arm_of(name, shots=3), name.split("+")
    assert arm.name == name
    assert (arm.shots, arm.oracle) == (3 if {"prompt", "optimised"} & set(parts) else 0, "oracle" in parts)
    assert arm.optimised == ("optimised" in parts)
    assert (bool(arm.tuning), arm.retrieval) == ("ft" in parts, bool({"rag", "whole", "oracle"} & set(parts)))
    assert (arm.schema, arm.whole, arm.linear) == ("schema" in parts, "whole" in parts, False)
    assert arm.cell == (name in ("base", "rag", "ft", "ft+rag"))
    if arm.optimised:
        return  # no adapter answers in it
    assert arm.learner.name == ("+".join(part for part in parts if part not in ("prompt", "schema")) or "base")
    assert arm.learner == arm_of(arm.learner.name, shots=3)


def test_no_two_arms_are_equally_simple() -> None:
    arms = [arm_of(name, shots=4) for name in ("linear", *SETS) if "oracle" not in name]
    order = [arm.name for arm in sorted(arms, key=lambda arm: arm.complexity)]
    assert len({arm.complexity for arm in arms}) == len(arms)
    first = ["linear", "base", "schema", "prompt", "prompt+schema", "optimised", "optimised+schema", "whole"]
    assert order[: len(first)] == first
    some = ["base", "rag", "rag+schema", "prompt+rag", "ft", "ft+schema", "prompt+ft", "ft+rag", "prompt+ft+rag"]
    assert [name for name in order if name in some] == some


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("rag+ft", "Write ft+rag"),
        ("rag+prompt", "Write prompt+rag"),
        ("base+rag", "Write rag"),
        ("base+base", "Write base"),
        ("rag+rag", "Leave one rag out"),
        ("rag+oracle", "Leave one oracle out"),
        ("rag+whole", "Leave one whole out"),
        ("ft+whole", "Write ft+rag"),
        ("prompt+optimised", "Leave one optimised out"),
        ("optimised+ft+rag", "Write prompt+ft+rag"),
        ("linear+rag", "Write base, linear, or"),
        ("RAG", "prompt, optimised, ft, rag"),
        ("", "prompt, optimised, ft, rag"),
        ("rag+", "prompt, optimised, ft, rag"),
        (" rag", "prompt, optimised, ft, rag"),
    ],
)
def test_another_spelling_is_refused_with_the_one_that_is_taken(name: str, cure: str) -> None:
    with pytest.raises(ConfigError, match="unknown arm") as refusal:
        arm_of(name, shots=4)
    assert cure in refusal.value.cure


def test_the_counterpart_without_passages_keeps_model_and_other_parts() -> None:
    pairs = {
        "rag": "base",
        "whole": "base",
        "ft+rag": "ft",
        "prompt+rag+schema": "prompt+schema",
        "far/rag": "far/base",
    }
    assert {arm: without_passages(arm) for arm in pairs} == pairs
    for arm in ("base", "linear", "prompt+schema", "far/ft", "oracle"):
        assert without_passages(arm) == ""
