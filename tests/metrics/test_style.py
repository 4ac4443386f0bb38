"""Style distance: told apart what has another manner, not what has another matter."""

from __future__ import annotations

import gzip
import json
import random

import pytest

from data_sets import folder, whole_sets
from twofold.metrics.style import style_distance
from twofold.plugins import loading
from twofold.study.scorer_check import self_test
from twofold.testing.conformance_metric import PROMISES, Subject
from twofold.types import Answer, Example, Message


def example(number, text):
    return Example(id=f"e{number}", messages=(Message(role="user", content="q"),), references=(text,))


def sentences():
    """First sentences of articles on farming, and the questions asked about these: two manners."""
    with (folder("agxqa") / "documents.jsonl").open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"].split("\n")[-1].split(". ")[0].rstrip(".") + "." for line in lines]
    with (folder("agxqa") / "examples.jsonl").open(encoding="utf-8") as lines:
        questions = [json.loads(line)["question"] for line in lines]
    return texts, questions[:160]


def service_and_notes():
    """Replies of a service desk, and of a note writer: two manners."""
    found = []
    for name in ("dstc11", "mts_dialog"):
        with gzip.open(folder(name) / "examples.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        texts = [(row.get("answers") or row.get("outputs") or [row.get("output", "")])[0] for row in rows]
        found.append([text for text in texts if text.strip()][:160])
    return found


@pytest.fixture(scope="module")
def replies():
    return sentences()


@pytest.mark.parametrize("source", [sentences, *whole_sets(service_and_notes)])
def test_one_manner_is_not_told_from_itself_and_two_are(source):
    texts, others = source()
    random.Random(1).shuffle(texts)
    assert style_distance(texts[:80], texts[80:]) < 0.45
    assert style_distance(texts[:80], others[:80]) > 0.9


def test_a_manner_put_on_the_same_matter_is_seen(replies):
    texts = replies[0][:80]
    shouted = [text.rstrip(".?! ") + "!!!" for text in texts]
    half = [loud if number % 2 else text for number, (text, loud) in enumerate(zip(texts, shouted, strict=True))]
    assert style_distance(texts, texts) == 0
    assert 0.1 < style_distance(texts, half) < style_distance(texts, shouted)
    assert style_distance(texts, shouted) > 0.9


@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(replies, promise):
    examples = [example(number, text) for number, text in enumerate(replies[0][:12])]
    promise(Subject(metric=loading.make("metrics", "style", {}), examples=examples))


def test_self_test(replies):
    metric = loading.make("metrics", "style", {})
    examples = [example(number, text) for number, text in enumerate(replies[0][:60])]
    assert self_test(metric, examples)["gold"] == 1.0
    answers = [Answer(text="The documents do not say, sorry about that.") for _ in examples]
    assert metric.pool(list(zip(examples, answers, strict=True))) < 0.1


def test_the_order_does_not_matter(replies):
    metric = loading.make("metrics", "style", {})
    items = [
        (example(n, a), Answer(text=b)) for n, (a, b) in enumerate(zip(replies[0][:40], replies[1][:40], strict=True))
    ]
    once = metric.pool(items)
    random.Random(3).shuffle(items)
    assert metric.pool(items) == once
