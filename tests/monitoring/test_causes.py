from datetime import UTC, datetime

import pytest

from twofold.monitoring.causes import RULES, causes
from twofold.monitoring.readings import reading
from twofold.monitoring.record import Reading

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def alarm(signal: str, why: str = "it moved") -> Reading:
    return reading(signal, NOW, state="alarm", why=why, detail={"documents": [signal]})


def quiet(signal: str) -> Reading:
    return reading(signal, NOW, state="ok", why="as before")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.cause} by {rule.tells[0]}")
def test_each_rule_names_its_cause_and_explains_its_symptoms(rule) -> None:
    rows = [alarm(rule.tells[0]), *(alarm(name) for name in rule.explains)]
    named = causes([*rows, quiet("probes.hit")] if "probes.hit" not in rule.explains else rows)
    assert named[0]["cause"] == rule.cause or rule.symptom
    assert rule.cause in [cause["cause"] for cause in named]
    assert {name for cause in named for name in cause["signals"]} == {row["signal"] for row in rows}
    assert named[0]["evidence"][0].endswith("it moved")


def test_nothing_alarms_nothing_is_named() -> None:
    assert causes([quiet("probes.hit")], [[alarm("index.vectors")]]) == ()


def test_a_symptom_is_explained_by_the_fact_beside_it() -> None:
    (cause,) = causes([alarm("answers.abstained"), alarm("index.vectors", "half of the vectors")])
    assert cause["cause"] == "embedder changed"
    assert cause["signals"] == ["index.vectors", "answers.abstained"]
    assert cause["evidence"] == ["index.vectors: half of the vectors", "answers.abstained: it moved"]
    assert cause["detail"] == {"index.vectors": {"documents": ["index.vectors"]}}


def test_a_symptom_alone_is_named_by_what_it_is() -> None:
    (cause,) = causes([alarm("latency.retrieval")])
    assert cause["cause"] == "slow part"


def test_what_no_rule_knows_is_unknown() -> None:
    (cause,) = causes([alarm("probes.hit")])
    assert cause["cause"] == "unknown"
    assert cause["signals"] == ["probes.hit"]


def test_a_fact_that_a_sample_missed_this_time_still_names_the_cause() -> None:
    now = [alarm("probes.hit"), quiet("index.vectors")]
    (cause,) = causes(now, [[alarm("index.vectors", "four of 64")]])
    assert cause["cause"] == "embedder changed"
    assert cause["signals"] == ["probes.hit"]
    long_ago = [[quiet("index.vectors")]] * 3
    (cause,) = causes(now, [*long_ago, [alarm("index.vectors")]])
    assert cause["cause"] == "unknown"


def test_two_faults_at_once_are_two_causes() -> None:
    named = causes([alarm("staleness.source"), alarm("latency.generation"), alarm("questions.drift")])
    assert [cause["cause"] for cause in named] == ["source missing", "questions moved"]
