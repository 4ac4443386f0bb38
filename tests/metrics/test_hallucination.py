"""The detector of unsupported answers on real answers: right ones, exchanged ones, spoilt ones; and the metric."""

from __future__ import annotations

import functools
import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_sets import folder
from twofold.errors import ConfigError
from twofold.metrics import detector, support
from twofold.metrics.hallucination import judged
from twofold.metrics.planting import KINDS, Texts, errors
from twofold.plugins import loading
from twofold.study.scorer_check import self_test
from twofold.testing.conformance_metric import PROMISES, Subject
from twofold.types import Answer, Chunk, Example, Hit, Message, Span

PASSAGE = (
    "The Dipper pump moves 45 litres a minute. It was built by Anna Kessler in Graz in 1987. "
    "The pump does not need oil. Farmers near the river Mur use it to irrigate maize in dry years."
)


def asked(question="How does the pump work?", **fields):
    fields = {"references": ("x",), **fields}
    return Example(id="e", messages=(Message(role="user", content=question),), **fields)


def answer(text, *passages, **fields):
    hits = []
    for rank, passage in enumerate(passages, 1):
        span = Span(document=f"d{rank}", start=0, end=len(passage))
        hits.append(Hit(chunk=Chunk(id=str(rank), span=span, text=passage), score=1.0, rank=rank))
    return Answer(text=text, raw=text, hits=tuple(hits), **fields)


@functools.cache
def demo():
    """Questions of the bundled set, each with its answers and the text that holds them."""
    documents = {}
    with (folder("agxqa") / "documents.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            documents[row["id"]] = row["text"]
    out = []
    with (folder("agxqa") / "examples.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["answers"]:
                out.append((row["question"], row["answers"][0], documents[row["doc_ids"][0]]))
    return out


def doubt(text, *passages, question="How does the pump work?"):
    return detector.shipped().judge(text, question, passages).unsupported


@pytest.mark.parametrize(
    "wrong",
    [
        "It was built by Anna Kessler in Graz in 1978.",
        "It was built by Johann Weber in Graz in 1987.",
        "The pump needs oil.",
        "The company won three prizes for its design in Vienna.",
    ],
)
def test_a_wrong_number_name_denial_or_invention_is_doubted_more_than_the_truth(wrong):
    right = "It was built in Graz in 1987 by Anna Kessler, and the pump does not need oil."
    assert doubt(wrong, PASSAGE) > doubt(right, PASSAGE)


def test_one_wrong_sentence_among_many_right_ones_is_found():
    right = [f"Pump {number} stands in hall {number} and moves {number} litres." for number in range(1, 13)]
    wrong = [*right[:6], "Its inventor Johann Weber won 19 prizes in Vienna.", *right[6:]]
    threshold = detector.shipped().threshold
    assert doubt(" ".join(right), " ".join(right)) < threshold
    assert doubt(" ".join(wrong), " ".join(right)) >= threshold


def test_words_of_a_passage_are_supported_whatever_surrounds_them():
    for sentence in support.sentences(PASSAGE):
        parts = support.statements(sentence.upper(), "?", [PASSAGE])
        assert [set(part.signs) for part in parts] == [{0.0}]


def test_a_sentence_is_judged_alone_and_the_answer_by_all_of_them():
    judgement = detector.shipped().judge(
        "The pump moves 45 litres a minute. King Otto bought 900 tractors.", "?", [PASSAGE]
    )
    first, second = judgement.statements
    assert first.unsupported < detector.shipped().threshold < second.unsupported
    assert first.unsupported < judgement.unsupported < second.unsupported


def test_what_the_question_says_is_no_invention():
    question = "Who built the Kessler Aquastar?"
    named = doubt("Anna Kessler built the Aquastar.", PASSAGE, question=question)
    assert named < doubt("Anna Kessler built the Aquastar.", PASSAGE)


def test_right_answers_are_told_from_those_of_other_questions():
    rows = demo()[::3]
    others = rows[1:] + rows[:1]
    items = []
    for (question, text, passage), (_, wrong, _) in zip(rows, others, strict=True):
        for said, bad in ((text, False), (wrong, True)):
            judgement = detector.shipped().judge(said, question, [passage])
            if judgement is not None and (not bad or wrong not in passage):
                items.append((judgement.unsupported, bad))
    assert detector.area(items) > 0.97


def test_planted_errors_change_one_sentence_and_are_doubted_more():
    chance = random.Random(0)
    seen = {kind: [] for kind in KINDS}
    rows = demo()
    # far apart in the file: neighbours are about one document
    for (question, _, passage), (_, _, other) in zip(rows[:160:2], rows[160:320:2], strict=True):
        right = " ".join(support.sentences(passage)[:2])
        for kind, wrong in errors(right, Texts(right=[passage], others=[other]), chance=chance).items():
            assert wrong != right
            before, after = (detector.shipped().judge(text, question, [passage]) for text in (right, wrong))
            if before is not None and after is not None:
                seen[kind].append(after.unsupported > before.unsupported)
    for kind, rises in seen.items():
        assert len(rises) >= 10, kind
        assert sum(rises) >= 0.9 * len(rises), kind


def test_gold_scores_0_and_shuffled_gold_near_1():
    examples = []
    for number, (question, text, _) in enumerate(demo()[::5]):
        examples.append(replace(asked(question, references=(text,), sources=(f"d{number}",)), id=str(number)))
    result = self_test(loading.make("metrics", "hallucination", {}), examples)
    assert result["gold"] == 0.0
    assert result["shuffled"] > 0.9


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("name", ["hallucination", "answer_rate"])
def test_the_metrics_keep_the_promises(name, promise):
    examples = [
        replace(asked(question, references=(text,), sources=("d",)), id=str(number))
        for number, (question, text, _) in enumerate(demo()[:8])
    ]
    examples.append(asked(answerable=False, references=()))
    promise(Subject(metric=loading.make("metrics", name, {}), examples=examples))


def test_what_cannot_be_judged_has_no_score():
    metric = loading.make("metrics", "hallucination", {})
    assert metric.score(asked(), answer("Yes.", PASSAGE)) is None
    assert metric.score(asked(), answer("The pump needs oil.")) is None, "no passage"
    assert metric.score(asked(), answer("The documents do not say.", PASSAGE, abstained=True)) is None
    assert metric.score(asked(choices=("pump", "oil")), answer("pump", PASSAGE)) is None
    assert metric.score(asked(), answer("King Otto bought 900 tractors in Paris.", PASSAGE)) == 1.0
    assert metric.score(asked(), answer("The Dipper pump moves 45 litres a minute.", PASSAGE)) == 0.0


def test_the_threshold_is_an_option_and_must_be_a_probability():
    said = answer("The pump of Anna Kessler moves 46 litres.", PASSAGE)
    doubted = judged(asked(), said).unsupported
    for threshold, score in ((doubted - 0.01, 1.0), (doubted + 0.01, 0.0)):
        assert loading.make("metrics", "hallucination", {"threshold": threshold}).score(asked(), said) == score
    with pytest.raises(ConfigError, match="threshold"):
        loading.make("metrics", "hallucination", {"threshold": 2})


def test_a_projects_own_answers_raise_the_threshold_and_never_lower_it():
    doubts = [number / 100 for number in range(100)]
    chosen = detector.own_threshold(doubts, least=0.4)
    assert sum(value >= chosen for value in doubts) == 10
    assert detector.own_threshold([0.1] * 50, least=0.4) == 0.4
    assert detector.own_threshold([0.9] * (detector.FEWEST - 1), least=0.4) == 0.4, "too few"
    assert detector.own_threshold([0.9] * 50, least=0.4) > 0.9, "equal answers are no false alarms all at once"


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=200), st.lists(st.text(max_size=200), min_size=1, max_size=3), st.text(max_size=60))
def test_signs_and_probabilities_lie_between_0_and_1_for_any_text(text, passages, question):
    for part in support.statements(text, question, passages):
        assert len(part.signs) == len(support.SIGNS)
        assert all(0.0 <= sign <= 1.0 for sign in part.signs)
    judgement = detector.shipped().judge(text, question, passages)
    assert judgement is None or 0.0 <= judgement.unsupported <= 1.0


@given(st.text(alphabet="ab c.1A", max_size=80), st.text(alphabet="ab c.1A", max_size=80))
def test_a_further_passage_that_holds_the_sentence_word_for_word_ends_the_doubt(text, passage):
    for part in support.statements(text, "", [passage, text]):
        assert set(part.signs) == {0.0}
