"""What a project shows: each fact on data where the truth is known, with its interval and its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import data_sets
from twofold.advice.facts import FOREIGN, ProjectData, Vocabulary, gathered
from twofold.advice.linear import LinearScore, linear_score
from twofold.advice.observing import _weights
from twofold.advice.ranking import ProjectFact
from twofold.examples import loading
from twofold.metrics.choosing import suitable
from twofold.types import Document, Estimate, Example, Message

FOUR = Vocabulary(model="four", pieces=lambda texts: [-(-len(text) // 4) for text in texts], window=1000)
"""A tokenizer that makes a token of every four characters."""
NOTHING = ProjectData(
    documents=(),
    unsynced=False,
    examples=(),
    learnable=(),
    metric="answer_f1",
    changes=(),
    vocabulary=FOUR,
    why_no_vocabulary="",
    room=200,
    linear=None,
    why_no_linear="",
    must_cite=False,
    permissions=False,
)


def example(number: int, answer: str = "", *, question: str = "", **more: Any) -> Example:
    text = question or f"question number {number}?"
    references = (answer,) if answer else ()
    return Example(
        id=f"e{number}",
        messages=(Message(role="user", content=text),),
        references=references,
        answerable=bool(answer),
        **more,
    )


def document(number: int, text: str = "a short text", **more: Any) -> Document:
    return Document(id=f"d{number}", text=text, **more)


def facts(**changed: Any) -> dict[str, ProjectFact]:
    return {fact.criterion: fact for fact in gathered(replace(NOTHING, **changed)) if fact.criterion}


def labelled(sizes: Sequence[int]) -> list[Example]:
    out: list[Example] = []
    for label, size in enumerate(sizes):
        for _ in range(size):
            out.append(example(len(out), f"label-{label}", question=f"words{label} of message {len(out)}"))
    return out


def test_an_empty_project_shows_nothing() -> None:
    assert facts() == {}


# ---------------------------------------------------------------- how often documents change

BEGIN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def syncs(*days: float) -> list[dict[str, Any]]:
    return [{"at": (BEGIN + timedelta(days=day)).isoformat(), "changed": 1} for day in days]


@pytest.mark.parametrize(
    ("days", "level"),
    [
        ([0, 1, 2, 3, 4, 5], "daily"),
        ([0, 7, 14, 21, 28], "weekly"),
        ([0, 90, 180, 270, 365], "quarterly"),
        ([0, 365, 730, 1095, 1460], "yearly"),
        ([0, *(day + hour / 24 for day in range(1, 6) for hour in range(8))], "hourly"),
    ],
)
def test_changes_of_the_index_tell_how_often_documents_change(days: list[float], level: str) -> None:
    fact = facts(changes=syncs(*days))["change"]
    assert (fact.level, fact.source) == (level, "versions of the index")
    assert "the median of" in fact.text


@pytest.mark.parametrize("days", [[0], [0, 1, 2], [0.01 * n for n in range(30)]])
def test_few_changes_or_an_afternoon_of_setting_up_tell_nothing(days: list[float]) -> None:
    fact = facts(changes=syncs(*days))["change"]
    assert fact.level == ""
    assert "too few" in fact.text


def test_a_sync_that_found_nothing_is_no_change() -> None:
    quiet = [{"at": (BEGIN + timedelta(days=day)).isoformat(), "unchanged": 5} for day in range(9)]
    assert "change" not in facts(changes=quiet)


# ---------------------------------------------------------------- examples


def test_the_form_of_references_tells_the_task() -> None:
    assert facts(examples=labelled([30, 30]), metric="accuracy")["task"].level == "classification"
    json_answers = [example(n, '{"city": "Oslo"}') for n in range(30)]
    assert facts(examples=json_answers, metric="field_f1")["task"].level == "structured"
    queries = [example(n, f"SELECT a FROM b WHERE c = {n}") for n in range(30)]
    assert facts(examples=queries, metric="exact_match")["task"].level == "structured"


def test_questions_with_sources_only_suggest_the_task() -> None:
    fact = facts(examples=[example(n, "four pumps", sources=("d1",)) for n in range(30)])["task"]
    assert (fact.level, fact.tentative) == ("questions", True)
    assert "classification" in fact.against
    assert "30 of 30 examples name the document" in fact.text


def test_the_same_choices_for_all_questions_are_categories_where_no_document_answers() -> None:
    same = [replace(one, choices=("label-0", "label-1")) for one in labelled([30, 30])]
    fact = facts(examples=same, metric="accuracy")["task"]
    assert (fact.level, fact.tentative) == ("classification", True)
    others = [replace(one, choices=(one.references[0], one.id)) for one in same]
    assert facts(examples=others, metric="accuracy")["task"].level == ""
    sourced = [replace(one, sources=("d1",)) for one in same]
    assert facts(examples=sourced, metric="accuracy")["task"].level == "questions"


@pytest.mark.parametrize(("number", "level"), [(1, "tens"), (99, "tens"), (100, "hundreds"), (1000, "thousands")])
def test_examples_are_counted(number: int, level: str) -> None:
    fact = facts(examples=[example(n, f"answer {n}") for n in range(number)])["labels"]
    assert fact.level == level
    assert fact.text.startswith(f"{number} example")


def test_examples_by_a_program_are_told_apart() -> None:
    both = [example(n, "x y", origin="synthetic" if n % 2 else "human") for n in range(10)]
    assert facts(examples=both)["labels"].text == "10 examples, 5 of them by people or from logs"


def test_the_entropy_of_labels_counts_categories_by_their_worth() -> None:
    even = facts(examples=labelled([30] * 4), metric="accuracy")["classes"]
    assert even.level == "ample"
    assert even.text == "4 categories, their entropy 2.0 bits: as many as 4 of one size, each of 30 examples"
    thin = facts(examples=labelled([6] * 12), metric="accuracy")["classes"]
    assert thin.level == "thin"


TOLD = LinearScore(right=Estimate(mean=0.9, low=0.85, high=0.94, n=200), commonest=0.5)
UNTOLD = LinearScore(right=Estimate(mean=0.54, low=0.49, high=0.58, n=500), commonest=0.55)


def test_labels_that_a_model_of_the_others_contradicts_are_poor() -> None:
    clean = labelled([100, 100])
    spoilt = [replace(e, references=("label-1",)) if n < 40 else e for n, e in enumerate(clean)]
    labels = {"metric": "accuracy", "linear": TOLD}
    assert facts(examples=clean, learnable=clean, **labels)["agreement"].level == "agreed"
    fact = facts(examples=spoilt, learnable=spoilt, **labels)["agreement"]
    assert fact.level in ("mixed", "poor")
    assert "95 % from" in fact.text


def test_no_label_of_the_test_is_doubted_or_teaches_a_doubt() -> None:
    clean = labelled([100, 100])
    held_out = [replace(e, id=f"test-{e.id}", references=("label-1",)) for e in clean[:40]]
    labels = {"metric": "accuracy", "linear": TOLD, "learnable": clean}
    without = facts(examples=clean, **labels)["agreement"]
    assert facts(examples=[*clean, *held_out], **labels)["agreement"] == without
    assert without.text.startswith("0 of 200 labels of train and dev are doubtful")


def test_labels_that_words_do_not_tell_are_not_doubted() -> None:
    fact = facts(examples=labelled([100, 100]), metric="accuracy", linear=UNTOLD)["agreement"]
    assert (fact.level, "do not tell" in fact.text) == ("", True)
    fact = facts(examples=labelled([100, 100]), metric="accuracy", why_no_linear="scikit-learn is missing")["agreement"]
    assert (fact.level, "scikit-learn is missing" in fact.text) == ("", True)


def test_a_few_questions_asked_twice_contradict_each_other_as_check_has_it() -> None:
    single = [example(n, "yes") for n in range(30)]
    for again, torn in (("60 days.", False), ("3 weeks", True)):
        twins = [example(100, "60 days", question="How long?"), example(101, again, question="How long?")]
        text = facts(examples=[*single, *twins])["agreement"].text
        assert ("`twofold check` names them" in text) == torn, text


def test_questions_that_were_answered_twice_tell_agreement() -> None:
    twice = [example(n, f"answer {n % 40 if n % 80 < 40 else n}", question=f"what is {n % 40}?") for n in range(80)]
    assert facts(examples=twice)["agreement"].level == "poor"
    same = [example(n, f"answer {n % 70}", question=f"what is {n % 70}?") for n in range(140)]
    fact = facts(examples=same)["agreement"]
    assert fact.level in ("agreed", "mixed")
    assert fact.text.startswith("0 of 70 questions")
    assert facts(examples=[example(n, "a b") for n in range(30)])["agreement"].level == ""


@pytest.mark.parametrize(("unanswerable", "level"), [(0, "none"), (10, "some")])
def test_the_share_of_unanswerable_questions_has_an_interval(unanswerable: int, level: str) -> None:
    fact = facts(examples=[example(n, "" if n < unanswerable else "four pumps") for n in range(100)])["unanswerable"]
    assert fact.level == level
    assert f"{unanswerable:.1f} % (95 % from" in fact.text


def test_answers_that_stand_in_their_documents_are_quotations() -> None:
    read = [document(n, f"the pump of plot {n} delivers water to seven terraces") for n in range(10)]
    quoted = [example(n, "delivers water to seven terraces", sources=(f"d{n}",)) for n in range(10)]
    other = [example(n, "irrigation reaches many fields nearby", sources=(f"d{n}",)) for n in range(10)]
    assert facts(documents=read, examples=quoted)["quoted"].level == "documents"
    assert facts(documents=read, examples=other)["quoted"].level == "elsewhere"
    assert "quoted" not in facts(documents=read, examples=labelled([20, 20]), metric="accuracy")


@pytest.mark.parametrize(
    ("mean", "low", "high", "commonest", "level"),
    [
        (0.9, 0.85, 0.95, 0.1, "strong"),
        (0.5, 0.45, 0.55, 0.1, "weak"),
        (0.7, 0.65, 0.76, 0.1, ""),
        (0.8, 0.76, 0.84, 0.8, "weak"),
    ],
)
def test_a_linear_model_is_judged_by_its_interval(
    mean: float, low: float, high: float, *, commonest: float, level: str
) -> None:
    score = LinearScore(right=Estimate(mean=mean, low=low, high=high, n=200), commonest=commonest)
    fact = facts(linear=score)["linear"]
    assert fact.level == level
    assert f"{100 * commonest:.1f} %" in fact.text
    assert "not installed" in facts(why_no_linear="scikit-learn is not installed")["linear"].text


def test_a_linear_model_on_real_messages_is_cross_validated() -> None:
    read = loading.load_examples(("examples.jsonl",), data_sets.SAMPLES / "banking77")[0]
    score = linear_score(read)
    if score is None:
        assert len({e.references[0] for e in read}) * 5 > len(read)  # no closed set: each label hardly occurs
    two = linear_score(labelled([40, 40]))
    assert two is not None
    assert (two.commonest, two.right.mean) == (0.5, 1.0)
    assert two.right.low < 1.0
    # A group never stands on both sides: what only its other members tell is not known.
    alone = [replace(e, group=e.references[0]) for e in labelled([10] * 12)]
    blind = linear_score(alone)
    assert blind is not None
    assert blind.right.mean == 0.0
    assert linear_score([example(n, f"a longer answer {n}") for n in range(50)]) is None


@pytest.mark.parametrize(
    ("texts", "level"),
    [
        (["x" * 400] * 4, "prompt"),
        (["x" * 400] * 40, "many"),
        (["x" * 4000] * 4, "large"),
        (["x" * 3000, "y" * 320], "many"),
    ],
)
def test_documents_are_held_against_the_models_window(texts: list[str], level: str) -> None:
    fact = facts(documents=[document(n, text) for n, text in enumerate(texts)])["documents"]
    assert fact.level == level
    assert "800 tokens of a prompt of four" in fact.text


def test_no_documents_are_a_fact_only_beside_examples() -> None:
    assert facts(examples=[example(1, "a b")])["documents"].level == "none"
    unknown = facts(examples=[example(1, "a b")], unsynced=True)["documents"]
    assert (unknown.level, "twofold sync" in unknown.text) == ("", True)


def test_without_a_tokenizer_the_reason_is_told_and_nothing_is_guessed() -> None:
    why = {"vocabulary": None, "why_no_vocabulary": "the model is not in the cache"}
    seen = facts(documents=[document(1)], **why)
    for name in ("documents", "vocabulary"):
        assert seen[name].level == ""
        assert "the model is not in the cache" in seen[name].text


def test_kinds_of_files_tell_the_variety() -> None:
    def of(*sources: str) -> str:
        seen = facts(documents=[document(n, source=source) for n, source in enumerate(sources)])
        return seen["variety"].level if "variety" in seen else ""

    assert of("a.md", "b.md") == "uniform"
    assert of("a.md", "b.pdf") == "mixed"
    assert of("a.md", "b.xlsx") == "wild"
    assert of("https://a.org/x.html", "https://a.org/x.pdf") == ""  # addresses, whatever they end in
    assert of("a.md", "report.Ms Smith's pay", "b.\x1b[31m") == "uniform"  # parts of names, and no kinds
    assert of("all.jsonl", "all.jsonl") == ""  # records, whatever they were made from


def test_words_in_many_pieces_are_foreign_and_few_texts_leave_it_open() -> None:
    plain = [document(n, "the pump runs at night and the crops grow well" * 9) for n in range(200)]
    strange = [document(n, "phosphoribosyltransferase hypoxanthine inhibition of lymphocytes" * 9) for n in range(200)]
    assert facts(documents=plain)["vocabulary"].level == "known"
    fact = facts(documents=strange)["vocabulary"]
    assert fact.level == "foreign"
    assert f"{FOREIGN:g}" not in fact.text
    assert "95 % from" in fact.text
    assert facts(documents=plain[:2])["vocabulary"].level == ""


@pytest.mark.parametrize(("weights", "level"), [(1.35e8, "small"), (7e9, "medium"), (7e10, "large")])
def test_the_size_of_the_base_model_is_a_fact(weights: float, level: str) -> None:
    fact = facts(vocabulary=replace(FOUR, weights=weights))["model"]
    assert fact.level == level
    assert "billion weights" in fact.text


def test_weights_are_counted_from_the_configuration() -> None:
    smollm2 = {
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "intermediate_size": 1536,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    }
    assert _weights(smollm2) == pytest.approx(134.5e6, rel=0.01)  # as its card says: 135 million
    assert _weights({"n_embd": 768}) == 0.0


def test_permissions_and_citations_are_read_from_settings_and_documents() -> None:
    assert facts(must_cite=True)["attribution"].level == "required"
    assert facts(permissions=True)["permissions"].level == "yes"
    restricted = facts(documents=[document(1, readers=("group:hr",)), document(2)])["permissions"]
    assert (restricted.level, restricted.text) == ("yes", "1 of 2 documents name their readers")
    assert "permissions" not in facts(documents=[document(1), document(2)])


@pytest.mark.parametrize(
    ("name", "levels"),
    data_sets.whole_sets(
        ("banking77", {"task": "classification", "labels": "thousands", "agreement": "agreed", "classes": "ample"}),
        ("snips_json", {"task": "structured", "labels": "thousands"}),
        ("advising_sql", {"task": "structured", "labels": "thousands"}),
        ("clapnq", {"unanswerable": "some", "labels": "hundreds", "task": "questions"}),
    ),
)
def test_real_sets_show_what_they_are(name: str, levels: dict[str, str]) -> None:
    place = data_sets.folder(name)
    file = next(path.name for path in sorted(place.iterdir()) if path.name.startswith("examples"))
    read = loading.load_examples((file,), place)[0]
    metric = suitable(read)[0]
    seen = facts(examples=read, learnable=read, metric=metric, linear=TOLD if metric == "accuracy" else None)
    assert {key: seen[key].level for key in levels} == levels
