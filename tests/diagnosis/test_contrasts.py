"""Shares of retrieval, reading and tuning by comparison with the arm that is given the passages."""

from __future__ import annotations

from typing import Any

import pytest

from twofold.diagnosis.contrasts import contrasts


def answered(scores: dict[str, list[float | None]], groups: list[str]) -> list[Any]:
    rows = []
    for n, group in enumerate(groups):
        arms = {arm: {"scores": {"m": values[n]}} for arm, values in scores.items()}
        rows.append({"id": f"q{n}", "group": group, "arms": arms})
    return rows


def test_retrieval_and_reading_are_told_apart_by_the_arm_that_is_given_the_passages() -> None:
    scores = {"rag": [1.0, 0.0, 0.2, 0.0, None, 0.9], "oracle": [1.0, 1.0, 0.6, 0.1, 1.0, 0.0], "base": [0.0] * 6}
    shares = {one["share"]: one["estimate"] for one in contrasts(answered(scores, list("abcdef")), "m")}
    assert set(shares) == {"retrieval", "reading"}
    assert shares["retrieval"]["mean"] == pytest.approx(2 / 5)
    assert shares["reading"]["mean"] == pytest.approx(1 / 5)
    assert all(one["n"] == 5 and one["low"] < one["mean"] < one["high"] for one in shares.values())
    tuned = scores | {"ft+oracle": [1.0, 1.0, 0.0, 0.9, 1.0, 0.9]}
    more = {one["share"]: one["estimate"]["mean"] for one in contrasts(answered(tuned, list("abcdef")), "m")}
    assert more["tuning"] == pytest.approx(2 / 6)
    assert contrasts(answered({"rag": [1.0]}, ["a"]), "m") == []
