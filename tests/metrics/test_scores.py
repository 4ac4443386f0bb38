"""Every metric against a reference implementation or the published definition."""

from __future__ import annotations

import functools
import json
import random
import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_sets import folder
from twofold import plugins
from twofold.errors import ConfigError
from twofold.metrics.overlap import common_subsequence
from twofold.metrics.text import normalise, tokens
from twofold.types import Answer, Citation, Example, Message, Span


@functools.lru_cache
def plain(name):
    return plugins.make("metrics", name, {})


def make(name, **options):
    return plugins.make("metrics", name, options) if options else plain(name)


def example(*references, answerable=True, choices=(), sources=(), id="e"):
    return Example(
        id=id,
        messages=(Message(role="user", content="q"),),
        references=references,
        answerable=answerable,
        choices=choices,
        sources=sources,
    )


def score(name, text, *references, **given):
    return make(name).score(example(*references, **given), Answer(text=text))


def squad_normalise(s):
    """As in the SQuAD 1.1 evaluation script."""
    s = "".join(ch for ch in s.lower() if ch not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", s).split())


def squad_f1(prediction, truth):
    mine, theirs = squad_normalise(prediction).split(), squad_normalise(truth).split()
    shared = sum((Counter(mine) & Counter(theirs)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(mine), shared / len(theirs)
    return 2 * precision * recall / (precision + recall)


def answers_of(name):
    with (folder(name) / "examples.jsonl").open(encoding="utf-8") as lines:
        return [answer for line in lines for answer in json.loads(line).get("answers", [])]


def passages_of(name):
    with (folder(name) / "documents.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def test_exact_match_and_f1_are_squads_on_real_answers():
    texts = [t for t in answers_of("agxqa") if t.isascii() and squad_normalise(t)]
    pairs = [(a, b) for a, b in zip(texts, random.Random(0).sample(texts, len(texts)), strict=True)]
    pairs += [(f"The {a}, and more.", a) for a in texts]
    assert len(pairs) > 500
    for mine, theirs in pairs:
        assert score("token_f1", mine, theirs) == pytest.approx(squad_f1(mine, theirs)), (mine, theirs)
        assert score("exact_match", mine, theirs) == float(squad_normalise(mine) == squad_normalise(theirs))


def test_rouge_l_is_the_rouge_score_package_on_real_answers():
    rouge = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"], use_stemmer=False)
    long = passages_of("agxqa") + passages_of("samples/pubmedqa") + answers_of("samples/mtrag")
    texts = [t.encode("ascii", "ignore").decode() for t in long]
    texts += [t for t in answers_of("agxqa") if t.isascii()]
    assert len(texts) > 500
    for mine, theirs in zip(texts, random.Random(1).sample(texts, len(texts)), strict=True):
        if re.search(r"[a-z0-9]", mine.lower()) and re.search(r"[a-z0-9]", theirs.lower()):
            wanted = rouge.score(theirs, mine)["rougeL"].fmeasure
            assert score("rouge_l", mine, theirs) == pytest.approx(wanted), (mine, theirs)


@given(st.lists(st.sampled_from("abcd"), max_size=30), st.lists(st.sampled_from("abcd"), max_size=30))
def test_common_subsequence_is_the_textbook_table(first, second):
    row = [0] * (len(second) + 1)
    for x in first:
        before = row[:]
        for j, y in enumerate(second, 1):
            row[j] = before[j - 1] + 1 if x == y else max(row[j - 1], before[j])
    assert common_subsequence(tuple(first), tuple(second)) == row[-1]


@pytest.mark.parametrize(
    ("text", "reference", "f1", "exact"),
    [
        ("The Precision water, and nitrogen!", "precision water and nitrogen", 1, 1),
        ("水稻基因组", "水稻的基因组", 10 / 11, 0),
        ("水稻。", "水稻", 1, 1),
        ("في 1975", "1975", 2 / 3, 0),
        ("“quoted” – text", '"quoted" text', 1, 1),
        ("A", "a", 1, 1),
        ("A, C", "A,C", 1, 1),
        ("A", "A,C", 2 / 3, 0),
        ("7,000", "7000", 1, 1),
        ("A, C", "A, C", 1, 1),
        ("A, B", "B", 2 / 3, 0),
        ("+", "+", 1, 1),
        ("+", "-", 0, 0),
        ("", "x", 0, 0),
        ("the", "x", 0, 0),
        ("café", "cafe\u0301", 1, 1),
    ],
)
def test_normalisation_outside_english_prose(text, reference, f1, exact):
    assert score("token_f1", text, reference) == pytest.approx(f1)
    assert score("exact_match", text, reference) == exact


def test_the_best_reference_counts():
    assert score("token_f1", "1975", "in the year 1975", "1975") == 1
    assert score("rouge_l", "b", "a", "b") == 1


def test_contains_is_about_whole_tokens():
    assert score("contains", "It was 1975, I think.", "1975") == 1
    assert score("contains", "105", "10") == 0
    assert score("contains", "year nineteen", "nineteen year") == 0
    assert score("contains", "答案是水稻。", "水稻") == 1


@pytest.mark.parametrize("name", ["exact_match", "token_f1", "contains", "rouge_l", "accuracy"])
def test_abstention_is_right_exactly_where_nothing_can_be_known(name):
    said = Answer(text="The documents do not say.", abstained=True)
    metric = make(name)
    assert metric.score(example(answerable=False), said) == 1
    assert metric.score(example(answerable=False), Answer(text="1975")) == 0
    assert metric.score(example("The documents do not say."), said) == 0
    assert metric.score(example("1975"), said) == 0


@pytest.mark.parametrize(
    ("text", "reference", "choices", "right"),
    [
        ("card_arrival", "card_arrival", (), 1),
        ("Card arrival.", "card_arrival", (), 1),
        ("the card arrival", "card_arrival", (), 0),
        ("Yes, it is.", "yes", ("yes", "no", "maybe"), 1),
        ("yes or no", "yes", ("yes", "no", "maybe"), 0),
        ("no", "yes", ("yes", "no", "maybe"), 0),
        ("It has no effect", "no effect", ("no", "no effect"), 1),
        ("B) two", "B", ("A", "B", "C"), 1),
        ("A complex matter", "A", ("A", "B"), 0),
        ("C", "C", ("A", "B", "C"), 1),
        ("A, C", "A,C", ("A", "B", "C"), 1),
        ("now", "no", ("yes", "no"), 0),
    ],
)
def test_accuracy_reads_labels(text, reference, choices, right):
    assert score("accuracy", text, reference, choices=choices) == right


def test_macro_f1_is_the_mean_of_the_classes_f1():
    wanted = ["a"] * 6 + ["b"] * 3 + ["c"]
    said = ["a"] * 5 + ["b"] + ["b", "b", "a"] + ["junk"]
    items = [(example(w), Answer(text=s)) for w, s in zip(wanted, said, strict=True)]
    # a: 5 of 6 found, 6 said; b: 2 of 3 found, 3 said; c: none. Junk is no class.
    assert make("macro_f1").pool(items) == pytest.approx((10 / 12 + 4 / 6 + 0) / 3)
    assert make("macro_f1").pooled
    assert make("macro_f1").score(*items[0]) == 1


OBJECT = '{"intent": "Play", "slots": {"artist": "Ana", "year": 1999, "tags": ["x", "y"]}}'


@pytest.mark.parametrize(
    ("text", "valid", "f1"),
    [
        (OBJECT, 1, 1),
        (f"```json\n{OBJECT}\n```", 1, 1),
        ('{"slots": {"tags": ["y", "x"], "year": 1999.0, "artist": " ANA"}, "intent": "play"}', 1, 1),
        ('{"intent": "Play", "slots": {}}', 1, 2 * 1 / (2 + 5)),
        ('{"intent": "Play"}', 0, 2 * 1 / (1 + 5)),
        ('{"intent": 1, "slots": {}}', 0, 0),
        ("Play Ana", 0, 0),
        ("3", 0, 0),
        (OBJECT[:-1], 0, 0),
        ("[" * 100_000, 0, 0),
    ],
)
def test_json_scores(text, valid, f1):
    assert score("json_valid", text, OBJECT) == valid
    assert score("field_f1", text, OBJECT) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("text", "f1"),
    [
        ("MEDICATIONS: none.\nAllergy: penicillin.", 1),
        ("# allergy\nPenicillin.\n## Medications\nNone.", 1),
        ("ALLERGY: penicillin, see: note.", 2 / 3),
        ("PLAN: rest.\nALLERGY: penicillin.", 1 / 2),
        ("Penicillin at 10:30. No medications.", 0),
        ("She said, as all her sisters did at home that day: none", 0),
        ("", 0),
    ],
)
def test_sections_are_told_by_their_headings(text, f1):
    assert score("section_f1", text, "ALLERGY: penicillin.\nMEDICATIONS:\nnone.") == pytest.approx(f1)
    assert score("section_f1", text, "Penicillin at 10:30.") is None


def test_json_metrics_do_not_apply_to_text():
    assert score("json_valid", OBJECT, "308") is None
    assert score("field_f1", OBJECT, "yes") is None


def test_a_schema_is_held_strictly():
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    metric = make("json_valid", schema=schema)
    assert metric.score(example('{"a": 1}'), Answer(text='{"a": 7, "b": 2}')) == 1
    assert metric.score(example('{"a": 1}'), Answer(text='{"a": "7"}')) == 0
    with pytest.raises(ConfigError, match="not a JSON schema"):
        make("json_valid", schema={"type": "nonsense"})
    with pytest.raises(ConfigError, match="scheme"):
        make("json_valid", scheme={})


def cited(*documents, invalid=0, abstained=False):
    return Answer(
        text="x",
        abstained=abstained,
        invalid_citations=invalid,
        citations=tuple(
            Citation(number=n, span=Span(document=document, start=0, end=1)) for n, document in enumerate(documents, 1)
        ),
    )


def test_citations():
    precision, recall, subject = make("citation_precision"), make("citation_recall"), example("x", sources=("d1", "d2"))
    assert precision.score(subject, cited("d1", "d9")) == 0.5
    assert precision.score(subject, cited("d1", invalid=1)) == 0.5
    assert recall.score(subject, cited("d9", "d2")) == 1
    assert recall.score(subject, cited("d9")) == 0
    assert precision.score(subject, cited()) is None
    assert recall.score(subject, cited()) == 0
    assert recall.score(subject, cited(abstained=True)) is None
    assert precision.score(example("x"), cited("d1")) is None


def test_abstention_f1_is_the_f1_of_the_decision():
    yes, no = Answer(text="", abstained=True), Answer(text="x")
    items = [(example(answerable=False), yes)] * 3 + [(example(answerable=False), no)] * 2 + [(example("x"), yes)]
    items += [(example("x"), no)] * 10
    metric = make("abstention_f1")
    assert metric.pool(items) == pytest.approx(2 * 3 / (4 + 5))
    assert [metric.score(e, a) for e, a in items[2:4]] == [1, 0]
    assert metric.pool(items[6:]) == 1


@given(st.text(max_size=60))
def test_normalising_is_idempotent_and_a_text_matches_itself(text):
    assert normalise(normalise(text)) == normalise(text)
    assert tokens(text) == tokens(f" {text}\n")
    for name in ("exact_match", "token_f1", "contains", "rouge_l", "accuracy"):
        assert score(name, text, text) == 1
