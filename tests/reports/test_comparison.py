"""Which studies may be compared, by which arm and metric, and what differs between them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from twofold.errors import StudyError
from twofold.reports.comparison import compare, incomparable, measures_fault
from twofold.reports.differences import differences

Stored = tuple[Any, Any]


@pytest.fixture
def pair(made: Callable[[str], Any]) -> tuple[Stored, Stored]:
    """A sample study, and the same under another name."""
    record, rows = copy.deepcopy(made("two arms")[:2])
    later = copy.deepcopy((record, rows))
    later[0]["study"] = "0002-later"
    return (record, rows), later


def refusal(*studies: Stored, **options: str) -> StudyError:
    with pytest.raises(StudyError) as refused:
        compare(studies[0], studies[1], **options)
    assert refused.value.cure
    return refused.value


def test_by_default_the_arm_that_the_first_chose_is_compared(pair: tuple[Stored, Stored]) -> None:
    first, second = pair
    first[0]["verdict"]["arm"], second[0]["verdict"]["arm"] = "", "base"
    comparison = compare(first, second)
    assert comparison.result.arms == ("base", "base")
    assert "0002-later chose" in comparison.because
    assert list(comparison.arms) == ["rag"]
    second[0]["verdict"]["arm"] = ""
    best = compare(first, second)
    assert (best.result.arms, "neither study chose" in best.because) == (("rag", "rag"), True)
    both = compare(first, second, arm="base,rag").result
    assert both.arms == ("base", "rag")
    assert both.shown == "better"


def test_the_same_study_again_differs_in_nothing(pair: tuple[Stored, Stored]) -> None:
    comparison = compare(*pair, arm="rag")
    assert comparison.differs == []
    assert comparison.repeated
    assert comparison.result.difference is not None
    assert comparison.result.difference.mean == 0
    assert comparison.unchanged == {"base"}
    # A system is not worse than itself, however few questions were asked.
    assert comparison.standing(0.0) == "not worse"
    second = pair[1][0]
    second["arms"]["rag"]["key"] = "system:another"
    assert compare(*pair, arm="rag").standing(0.0) == "cannot tell"
    assert not compare(*pair, arm="rag").repeated
    body = json.loads(json.dumps(comparison.to_json(0.3)))
    assert body["fail_if_worse"] == {"margin": 0.3, "outcome": "not worse"}
    assert body["questions"]["changes"]["same"] == body["questions"]["compared"] == 40
    assert (body["worse"], body["better"]) == ([], [])


def test_a_system_of_the_same_key_that_scores_otherwise_is_not_called_the_same(pair: tuple[Stored, Stored]) -> None:
    metric = pair[0][0]["metric"]
    for row in pair[1][1]:
        row["arms"]["rag"] |= {"text": "the endpoint has another model now", "scores": {metric: 0.0}}
    comparison = compare(*pair, arm="rag")
    assert (comparison.same, comparison.standing(0.0)) == (False, "worse")
    assert "rag" not in compare(*pair, arm="base").unchanged


def test_a_race_that_stopped_early_is_said(pair: tuple[Stored, Stored]) -> None:
    pair[0][0]["race"], pair[1][0]["race"] = ({"answers": {"rag": n}, "planned": 80} for n in (40, 80))
    assert compare(*pair, arm="rag").to_json()["stopped_early"] == [pair[0][0]["study"]]


def test_regressions_are_listed_with_both_answers(pair: tuple[Stored, Stored]) -> None:
    first, second = pair
    metric = first[0]["metric"]
    row = next(row for row in second[1] if row["arms"]["rag"]["scores"][metric] == 1)
    row["arms"]["rag"] |= {"text": "wrong now", "scores": {metric: 0.0}}
    body = compare(first, second, arm="rag").to_json()
    (worse,) = body["worse"]
    assert worse["second"]["text"] == "wrong now"
    assert (worse["first"]["score"], worse["second"]["score"], worse["difference"]) == (1, 0, -1)
    assert worse["first"]["text"] not in ("", "wrong now")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "rouge_l"}, "was decided by"),
        ({"metric_keys": {"token_f1": "metric:2"}}, "its version or its options differ"),
        ({"arms": {}}, "no arm in common"),
    ],
)
def test_what_cannot_be_compared_is_refused(pair: tuple[Stored, Stored], change: Any, message: str) -> None:
    first, second = pair
    name = first[0]["metric"]
    if "metric_keys" in change:
        change = {"metric_keys": {name: "metric:2"}}
        first[0]["metric_keys"] = {name: "metric:1"}
    if "arms" in change:
        for record, rows in (second,):
            record["arms"] = {f"big/{arm}": row for arm, row in record["arms"].items()}
            for row in rows:
                row["arms"] = {f"big/{arm}": answer for arm, answer in row["arms"].items()}
        first[0]["metric_keys"] = second[0]["metric_keys"] = {}
    else:
        second[0].update(change)
    first[0].setdefault("metric_keys", {})
    assert message in refusal(first, second).message


def test_no_question_in_common_no_such_arm_and_no_such_metric_are_refused(pair: tuple[Stored, Stored]) -> None:
    first, second = pair
    assert "no arm 'nobody'" in refusal(*pair, arm="nobody").message
    assert "names no pair" in refusal(*pair, arm="a,b,c").message
    assert "did not measure 'nothing'" in refusal(*pair, metric="nothing").message
    assert compare(first, first).standing(0.0) == "not worse"
    for row in second[1]:
        row["messages"] = [{"role": "user", "content": f"Another: {row['question']}"}]
    message = refusal(*pair).message
    assert "no question in common" in message
    assert "40 questions and 40" in message


def test_records_of_before_are_compared_by_their_configured_options(pair: tuple[Stored, Stored]) -> None:
    (first, _), (second, _) = pair
    name = first["metric"]
    for record in (first, second):
        record.pop("metric_keys", None)
    assert incomparable((first, second), name) is None
    second["config"]["study"]["metric"] = {"name": name, "options": {"labels": ["a"]}}
    refused = incomparable((first, second), name)
    assert refused is not None
    assert "options differ" in refused.message


def test_a_fault_is_known_by_its_self_test(pair: tuple[Stored, Stored]) -> None:
    record = pair[0][0]
    record["self_test"] = [{"metric": "hallucination", "gold": 0.0, "shuffled": 0.9, "n": 5}]
    assert measures_fault(record, "hallucination")
    assert not measures_fault(record, record["metric"])


def test_what_differs_is_named_by_its_key_and_shortened_where_it_parts(pair: tuple[Stored, Stored]) -> None:
    (first, _), (second, _) = pair
    second["config"]["retrieval"]["k"] = 7
    second["arms"]["rag"]["description"] = {**second["arms"]["rag"]["description"], "template": "x" * 90 + "new"}
    first["arms"]["rag"]["description"] = {**first["arms"]["rag"]["description"], "template": "x" * 90 + "old"}
    second["twofold"] = "99.0"
    rows = {row.what: (row.first, row.second) for row in differences(first, second, ("rag", "rag"))}
    assert rows["config retrieval.k"][1] == "7"
    assert rows["environment twofold"][1] == "99.0"
    old, new = rows["arm rag template"]
    assert (old.endswith("old"), new.endswith("new"), old[0]) == (True, True, "…")
    assert len(rows) == 3


def test_settings_of_a_judge_explain_no_score(pair: tuple[Stored, Stored]) -> None:
    first, second = (study[0] for study in pair)
    other = copy.deepcopy(first)
    other["config"] = {**other["config"], "judge": {"model": "big"}}
    assert differences(first, other, ("rag", "rag")) == []
    assert first["config"].keys() == second["config"].keys()
