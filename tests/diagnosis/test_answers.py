"""Every planted fault gets its cause."""

from __future__ import annotations

import pytest

from twofold.diagnosis.answers import CAUSES, contrasts, diagnose, summary
from twofold.types import Answer, Chunk, Example, Failure, Hit, Message, Span

PASSAGE = "Drip irrigation saves up to 60 percent of water. Sprinklers are cheaper to install than drip lines."


def hits(document="d1"):
    chunk = Chunk(id="c", span=Span(document=document, start=0, end=len(PASSAGE)), text=PASSAGE)
    return (Hit(chunk=chunk, score=1.0, rank=1),)


def example(*references, answerable=True):
    question = (Message(role="user", content="How much water does drip irrigation save?"),)
    return Example(id="e", messages=question, references=references, answerable=answerable, sources=("d1",))


ASKED = example("up to 60 percent")
ABSTAINED = Answer(text="The documents do not say.", abstained=True, hits=hits())


@pytest.mark.parametrize(
    ("cause", "subject", "answer", "score", "context"),
    [
        ("failure", ASKED, Answer(text="", failure=Failure(code="generation.timeout", message="")), None, {}),
        ("retrieval-miss", ASKED, Answer(text="by half", hits=hits("d2")), 0.0, {"gold_in_hits": False}),
        ("retrieval-miss", ASKED, ABSTAINED, 0.0, {"gold_in_hits": False}),
        ("retrieval-miss", ASKED, Answer(text="by half"), 0.0, {"gold_in_hits": False, "retrieval": True}),
        ("false-abstention", ASKED, ABSTAINED, 0.0, {"gold_in_hits": True}),
        ("missed-abstention", example(answerable=False), Answer(text="by half", hits=hits()), 0.0, {}),
        ("not-in-passage", ASKED, Answer(text="by half", hits=hits()), 0.0, {"gold_in_hits": True}),
        ("wrong-span", ASKED, Answer(text="Cheaper to install.", hits=hits()), 0.0, {"gold_in_hits": True}),
        ("partial", ASKED, Answer(text="60 litres", hits=hits()), 0.3, {"gold_in_hits": True}),
        ("partial", ASKED, Answer(text="60 litres", hits=hits()), 0.0, {"gold_in_hits": True}),
        ("format", ASKED, Answer(text=f"Well. {PASSAGE}", hits=hits()), 0.2, {"gold_in_hits": True}),
        ("format", example('{"a": 1}'), Answer(text="a is 1"), 0.0, {"retrieval": False}),
        ("cut", ASKED, Answer(text="It saves up", hits=hits(), cut=True), 0.3, {"gold_in_hits": True}),
        ("repetition", ASKED, Answer(text="It saves water. " * 12 + "It", cut=True), 0.0, {}),
        ("repetition", example("节水"), Answer(text="滴灌节约用水。" * 12, cut=True), 0.0, {}),
        ("rambling", example("billing"), Answer(text="Sure! To sort that out, I would first", cut=True), 0.0, {}),
        ("cut", example(PASSAGE), Answer(text=f"{PASSAGE} It also keeps leaves dry, and", cut=True), 0.3, {}),
        ("cut", example(answerable=False), Answer(text="by half", cut=True), 0.0, {}),
        ("", ASKED, Answer(text="up to 60 percent and", hits=hits(), cut=True), 0.9, {"gold_in_hits": True}),
        ("no-knowledge", ASKED, Answer(text="by half"), 0.0, {"retrieval": False, "gold_in_hits": False}),
        ("no-knowledge", ASKED, Answer(text=""), 0.0, {}),
        ("", ASKED, Answer(text="up to 60 percent", hits=hits()), 1.0, {"gold_in_hits": True}),
        ("", ASKED, Answer(text="?"), None, {}),
    ],
)
def test_each_fault_gets_its_cause(cause, subject, answer, score, context):
    assert diagnose(subject, answer, score, **context) == cause


def test_wrong_json_that_parses_is_not_a_matter_of_form():
    assert diagnose(example('{"a": 1}'), Answer(text='```json\n{"b": 2}\n```'), 0.0, retrieval=False) == "no-knowledge"


def test_every_cause_can_be_reached_and_has_a_cure():
    marks = test_each_fault_gets_its_cause.pytestmark[0].args[1]
    assert {row[0] for row in marks} - {""} == set(CAUSES)
    assert all(label and cure.endswith(".") for label, cure in CAUSES.values())


def test_the_cures_agree_about_the_token_limit():
    assert "Raise [generation].max_tokens" in CAUSES["cut"][1]
    assert not any("lower [generation].max_tokens" in cure for _, cure in CAUSES.values())


def test_the_summary_counts_per_arm():
    def row(id, **causes):
        return {"id": id, "group": id, "arms": {arm: {"cause": cause} for arm, cause in causes.items()}}

    rows = [row(f"q{n}", rag="wrong-span" if n < 6 else "", base="no-knowledge") for n in range(8)]
    rows += [row("q8", rag="retrieval-miss", base=""), row("q9", rag="", base="")]
    found = summary(rows)
    assert [(one["arm"], one["cause"], one["count"], one["share"]) for one in found] == [
        ("rag", "wrong-span", 6, 0.6),
        ("rag", "retrieval-miss", 1, 0.1),
        ("base", "no-knowledge", 8, 0.8),
    ]
    assert found[0]["examples"] == ["q0", "q1", "q2", "q3", "q4"]
    assert found[0]["cure"] == CAUSES["wrong-span"][1]


def answered(scores: dict[str, list[float | None]], groups: list[str]) -> list[dict]:
    return [
        {
            "id": f"q{n}",
            "group": group,
            "arms": {arm: {"scores": {"m": own[n]}, "cause": ""} for arm, own in scores.items()},
        }
        for n, group in enumerate(groups)
    ]


def test_shares_of_causes_have_the_interval_of_their_groups():
    rows = [
        {"id": f"q{n}", "group": f"d{n // 4}", "arms": {"rag": {"cause": "cut" if n < 8 else ""}}} for n in range(40)
    ]
    alone = [row | {"group": row["id"]} for row in rows]
    clustered, single = summary(rows)[0], summary(alone)[0]
    assert clustered["share"] == single["share"] == 0.2
    assert clustered["low"] < single["low"] < 0.2 < single["high"] < clustered["high"]


def test_retrieval_and_reading_are_told_apart_by_the_arm_that_is_given_the_passages():
    scores = {"rag": [1.0, 0.0, 0.2, 0.0, None, 0.9], "oracle": [1.0, 1.0, 0.6, 0.1, 1.0, 0.0], "base": [0.0] * 6}
    found = {one["share"]: one["estimate"] for one in contrasts(answered(scores, list("abcdef")), "m")}
    assert set(found) == {"retrieval", "reading"}
    assert found["retrieval"]["mean"] == pytest.approx(2 / 5)
    assert found["reading"]["mean"] == pytest.approx(1 / 5)
    assert all(one["n"] == 5 and one["low"] < one["mean"] < one["high"] for one in found.values())
    tuned = scores | {"ft+oracle": [1.0, 1.0, 0.0, 0.9, 1.0, 0.9]}
    more = {one["share"]: one["estimate"]["mean"] for one in contrasts(answered(tuned, list("abcdef")), "m")}
    assert more["tuning"] == pytest.approx(2 / 6)
    assert contrasts(answered({"rag": [1.0]}, ["a"]), "m") == []
