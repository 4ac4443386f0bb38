"""Facts go to JSON and come back exactly, every field of them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.stats.pooling import PooledScores
from twofold.types import Estimate
from twofold.verdict.certificate import facts_json, facts_of
from twofold.verdict.evidence import RaceEvidence, VerdictFacts
from twofold.verdict.repeats import Runs

FLOATS = st.floats(allow_nan=False)


def same(first: Any, second: Any) -> bool:
    """Equal in value and type, arrays in their numbers and type too; 1.0 is spelt 1, as everywhere in records."""
    if type(first) is not type(second) and {type(first), type(second)} != {int, float}:
        return False
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=True)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(value, second[key]) for key, value in first.items())
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second) or (isinstance(first, float) and math.isnan(first) and math.isnan(second))


def back(facts: VerdictFacts) -> VerdictFacts:
    return facts_of(json.loads(json.dumps(facts_json(facts), allow_nan=False)))


@settings(max_examples=15, deadline=None)
@given(st.lists(FLOATS, min_size=8, max_size=8), st.lists(st.booleans(), max_size=9), st.text(max_size=5))
def test_every_field_comes_back_as_it_was(numbers: list[float], marks: list[bool], text: str) -> None:
    value, low, high, seconds = numbers[:4]
    estimate = Estimate(mean=value, low=low, high=high, n=3, failed=1)
    words, counts = {"a": text, "arm, b": "inf"}, {"a": 3}
    facts = VerdictFacts(
        policy=f"{text}.",
        looks=2,
        level=value,
        next_level=low,
        labels=4,
        synthetic=5,
        questions=6,
        failed_share={"a": value},
        latency_p95={"a": seconds},
        latency_ends={"a": (low, math.inf), "b": (-math.inf, high)},
        latency_wanted=7,
        latency_answers=counts,
        latency_others=dict.fromkeys("ab", 0.25),
        cost_per_1000={"a": (low, math.inf)},
        cost_terms=f"EUR {text}",
        citing={"a": estimate},
        uncited=f"no {text}",
        letters={"a": value},
        cut_share={"a": low},
        cut_kinds=words,
        effort={
            "a": {"loss": math.inf, "steps": 3, "why": text, "curve": [low, math.nan], "whole": True, "none": None}
        },
        unanswerable=0,
        recall=estimate,
        reserve=1,
        reserve_seen=2,
        reserve_opened=f"0001-{text}",
        training_minutes={"a": seconds},
        dev_trials=counts,
        dev_examples=9,
        forgetting=words,
        forgetting_reported=words,
        forgetting_open=words,
        remote=frozenset({"a", text}),
        final=True,
        confirms=f"0002-{text}",
        race=RaceEvidence(
            covers={"a": np.array(marks, dtype=np.bool_)},
            differences={"a - b": (low, math.inf)},
            p={"a - b": value},
            means={"a": (low, high)},
            test=True,
            crowned=text,
            reasons=(text, "two"),
            doubts=(text,),
        ),
        right=None,
        pooled={"a": PooledScores(estimate=estimate, whole=estimate, scores=np.array(numbers, dtype=np.float64))},
        runs={"a": Runs(count=3, different=2, served=2, first_seed=7, fallen=1)},
        test_share=0.25,
        unheld="JSON",
        documents=False,
        same_weights=words,
    )
    default = VerdictFacts()
    untouched = [f.name for f in fields(facts) if same(asdict(facts)[f.name], asdict(default)[f.name])]
    # A field that is new has to stand here, too; a drawn level may be the default one.
    assert set(untouched) <= {"level", "next_level"}
    assert same(asdict(back(facts)), asdict(facts))


def test_facts_of_a_study_of_the_simplest_kind_come_back() -> None:
    assert back(VerdictFacts()) == VerdictFacts()
    # As certificates were before there were such facts, which `verify` reads still.
    assert not {"runs", "documents", "same_weights"} & facts_json(VerdictFacts()).keys()
