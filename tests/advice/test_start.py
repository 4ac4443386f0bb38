"""The starting configuration is valid and fitting on every form of real data."""

from __future__ import annotations

import gzip
import itertools
import json
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from data_sets import folder, whole_sets
from twofold.advice.start import QUICK_LATENCY_SAMPLE, starting_config
from twofold.config import Config
from twofold.examples.checking import check
from twofold.types import Document, Example, Message

SAMPLES = [
    "agxqa",
    "samples/advising_sql",
    "samples/banking77",
    "samples/desk",
    "samples/mts_dialog",
    "samples/pubmedqa",
    "samples/snips_json",
    "samples/truthfulqa",
]
SETS = [
    "advising_sql",
    "agvaluate",
    "banking77",
    "chunking_eval",
    "clapnq",
    "clinc150",
    "xquad",
    "dstc11",
    "e2e_nlg",
    "medquad",
    "mtrag",
    "mts_dialog",
    "pubmedqa",
    "qmsum",
    "seedbench",
    "snips_json",
    "truthfulqa",
]


def rows(place: Path, name: str) -> list[dict]:
    for path in (place / f"{name}.jsonl", place / f"{name}.jsonl.gz"):
        if path.is_file():
            opener = gzip.open if path.suffix == ".gz" else open
            with opener(path, "rt", encoding="utf-8") as stream:
                return [json.loads(line) for line in stream]
    return []


def example(row: dict) -> Example:
    said = row.get("messages") or [{"role": "user", "content": row.get("question") or row["input"]}]
    choices = row.get("choices") or ()
    return Example(
        id=row["id"],
        messages=tuple(Message(role=m["role"], content=m["content"]) for m in said),
        references=tuple(row.get("answers") or ([row["output"]] if "output" in row else [])),
        sources=tuple(row.get("doc_ids") or ()),
        answerable=row.get("answerable", True),
        choices=tuple(choices),
    )


def load(name: str) -> tuple[list[Document], list[Example]]:
    documents = [Document(id=r["id"], text=r["text"]) for r in rows(folder(name), "documents")]
    return documents, [example(r) for r in rows(folder(name), "examples")]


def configured(name: str, documents: Sequence[Document], examples: Sequence[Example]) -> Config:
    return Config.model_validate(tomllib.loads(starting_config(name, documents, examples)))


def test_without_documents_no_metric_of_citations_is_chosen() -> None:
    _, examples = load(SAMPLES[0])
    assert any(e.sources for e in examples)
    config = configured(SAMPLES[0], [], examples)
    assert not [name for name in config.study.metrics if str(name).startswith("citation")]


@pytest.mark.parametrize(
    ("name", "quick"),
    [*itertools.product(SAMPLES, (False, True)), *whole_sets(*itertools.product(SETS, (False, True)))],
)
def test_every_real_set_gives_a_valid_configuration(name: str, quick: bool) -> None:
    documents, examples = load(name)
    config = Config.model_validate(tomllib.loads(starting_config(name, documents, examples, quick=quick)))
    assert config.project.name == name
    fitting = [min(map(len, e.references)) / 4 <= config.generation.max_tokens for e in examples if e.references]
    assert config.generation.max_tokens >= 16
    assert sum(fitting) >= 0.95 * len(fitting)
    assert ("rag" in config.study.arms) == bool(documents)
    assert bool(config.documents.paths) == bool(documents)
    assert config.study.metric.name not in [part.name for part in config.study.metrics]
    assert config.tuning.trainer.options.get("replay", 0) == (0 if quick else 0.5)
    assert config.study.latency_sample == (QUICK_LATENCY_SAMPLE if quick else 40)
    if quick:
        assert 0 < config.examples.limit <= 120 or len(examples) <= 120


@pytest.mark.parametrize("words", [3, 60, 484, 1500])
def test_the_longest_answer_that_is_asked_for_fits_the_references_and_training_rows_fit_both(words: int) -> None:
    examples = [
        Example(id=str(n), messages=(Message(role="user", content=f"Leaflet {n}?"),), references=("word " * words,))
        for n in range(60)
    ]
    text = starting_config("p", [], examples)
    config = Config.model_validate(tomllib.loads(text))
    assert config.generation.max_tokens >= 1.2 * words * 5 / 4
    assert config.tuning.trainer.options["max_length"] >= config.generation.max_tokens + 100
    assert not [p for p in check([], examples, max_tokens=config.generation.max_tokens) if p.code == "data.long-answer"]


def test_a_limit_below_the_references_is_said_where_it_is_set() -> None:
    examples = [Example(id="1", messages=(Message(role="user", content="Book?"),), references=("word " * 9000,))]
    text = starting_config("p", [], examples)
    assert "max_tokens = 4096" in text
    assert "longer answers are cut here" in text


WORDING = [
    ("banking77", "accuracy", "label"),
    ("pubmedqa", "accuracy", "one of the choices"),
    ("snips_json", "field_f1", "JSON object and nothing else"),
    ("advising_sql", "exact_match", "SQL"),
]


@pytest.mark.parametrize(
    ("name", "metric", "words"),
    [
        ("agxqa", "answer_f1", "as few words"),
        ("samples/mtrag", "rouge_l", "a few sentences"),
        ("samples/mts_dialog", "rouge_l", "belongs to the input"),
        *((f"samples/{name}", *said) for name, *said in WORDING),
        *whole_sets(
            *WORDING,
            ("clapnq", "rouge_l", "a few sentences"),
            ("e2e_nlg", "rouge_l", "belongs to the input"),
        ),
    ],
)
def test_wording_fits_the_task(name: str, metric: str, words: str) -> None:
    config = configured(name, *load(name))
    assert config.study.metric.name == metric
    assert words in config.prompt.closed


def test_many_labels_are_not_repeated_in_the_prompt() -> None:
    _, few = load("samples/banking77")
    things = ("card", "account", "transfer", "refund", "limit", "statement", "fee")
    many = [replace(e, references=(f"{e.references[0]}_{thing}",)) for thing in things for e in few]
    made = starting_config("b", [], many)
    assert "card_arrival" not in made
    assert "There are 70 labels" in made
    few = [e for e in few if e.references[0] in {"card_arrival", "compromised_card", "request_refund"}]
    assert "card_arrival; compromised_card; request_refund" in starting_config("b", [], few)


def test_answers_in_a_strict_form_carry_no_citation_marker() -> None:
    config = configured("sql", *load("samples/advising_sql"))
    assert config.prompt.cite == "none"
    assert not any(part.name.startswith("citation") for part in config.study.metrics)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("agxqa", 0.5, 0.5), ("samples/desk", 0, 0), *whole_sets(("xquad", 0.1, 0.4), ("dstc11", 0, 0))],
)
def test_how_much_of_a_question_a_cited_passage_must_hold_follows_from_the_data(
    name: str, least: float, most: float
) -> None:
    """Questions made from their passages share words with them; those of a service desk do not."""
    config = configured(name, *load(name))
    assert least <= config.prompt.about <= most
    assert "citation_support" in [part.name for part in config.study.metrics] or name != "agxqa"


def test_few_source_documents_are_not_split_by_document() -> None:
    documents, examples = load("agxqa")
    assert 'split_by = "document"' in starting_config("c", documents, examples)
    book = {document.id: f"book {number % 5}" for number, document in enumerate(documents)}
    texts = {name: "\n\n".join(d.text for d in documents if book[d.id] == name) for name in sorted(set(book.values()))}
    books = [Document(id=name, text=text) for name, text in texts.items()]
    on_books = [replace(e, sources=tuple(sorted({book[s] for s in e.sources}))) for e in examples]
    assert 'split_by = "question"' in starting_config("c", books, on_books)


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("agxqa", "naive"),
        ("samples/desk", "advanced"),
        *whole_sets(("dstc11", "advanced"), ("mtrag", "advanced")),
    ],
)
def test_follow_ups_are_searched_with_what_was_said(name: str, preset: str) -> None:
    config = configured(name, *load(name))
    assert config.retrieval.preset == preset
    assert config.retrieval.retriever.name == "hybrid"
    assert "lexical" not in config.retrieval.retriever.options, "what words weigh is chosen on the project's questions"


@pytest.mark.parametrize("name", ['a "quoted" name', "back\\slash", "ünïcode\n", "tab\t"])
def test_any_project_name_survives(name: str) -> None:
    item = Example(id="1", messages=(Message(role="user", content='Is "x" so?'),), references=("yes",))
    assert tomllib.loads(starting_config(name, [], [item], metric="token_f1"))["project"]["name"] == name


def test_chosen_metrics_are_taken_as_given() -> None:
    item = Example(id="1", messages=(Message(role="user", content="Who?"),), references=("Ada",))
    made = Config.model_validate(
        tomllib.loads(starting_config("x", [], [item], metric="contains", metrics=("contains", "rouge_l")))
    )
    assert (made.study.metric.name, [part.name for part in made.study.metrics]) == ("contains", ["rouge_l"])


def about(pairs: list[tuple[str, str]]) -> list[Example]:
    return [example({"id": str(n), "question": asked, "answers": [right]}) for n, (asked, right) in enumerate(pairs)]


def test_a_prompt_for_json_names_keys_types_and_the_values_of_a_closed_set() -> None:
    """Otherwise an arm without tuning scores nothing because it cannot guess how the keys are called."""
    rows = [
        {"intent": ("book", "cancel")[n % 2], "slots": {"city": f"Town {n}"} | ({"day": "Monday"} if n % 3 else {})}
        | ({"seats": n} if n % 5 else {})
        for n in range(30)
    ]
    made = starting_config("j", [], about([(f"request {n}", json.dumps(row)) for n, row in enumerate(rows)]))
    closed = Config.model_validate(tomllib.loads(made)).prompt.closed
    assert (
        'The keys are: "intent" (one of "book" / "cancel"), "slots" (an object with "city" and any of "day"), '
        '"seats" (a number, may be left out).' in closed
    )
    wide = [{f"key number {k} of the record": f"{n}" for k in range(80)} for n in range(30)]
    made = starting_config("j", [], about([(f"request {n}", json.dumps(row)) for n, row in enumerate(wide)]))
    assert "The keys are" not in made, "a prompt has no room for 80 long keys"


def test_labels_are_listed_while_a_prompt_has_room_for_them() -> None:
    for count, listed in ((45, True), (300, False)):
        labels = [f"topic-{n:03d}" for n in range(count)]
        made = starting_config("l", [], about([(f"message {n} {one}", one) for n in range(3) for one in labels]))
        assert ("topic-044; " in made or "topic-044." in made) is listed
        assert (f"There are {count} labels" in made) is not listed


@pytest.mark.parametrize(("count", "quick", "share"), [(399, False, 0.0), (400, False, 0.1), (900, True, 0.0)])
def test_a_reserve_is_set_aside_where_there_are_enough_examples(count: int, quick: bool, share: float) -> None:
    asked = [
        Example(id=str(n), messages=(Message(role="user", content=f"q{n}"),), references=("a",)) for n in range(count)
    ]
    text = starting_config("c", [], asked, quick=quick)
    section = Config.model_validate(tomllib.loads(text)).examples
    assert section.reserve == share
    assert section.train + section.dev + section.test + section.reserve == pytest.approx(1)
    assert ("--final" in text) is bool(share), "no advice to open what is not there"


def test_arms_that_make_a_study_of_labels_or_json_fairer_are_named_where_they_can_be_added() -> None:
    labels = starting_config(
        "l", [], about([(f"message {n} {one}", one) for n in range(9) for one in ("card", "cash")])
    )
    told = labels.partition("[study]")[2]
    assert 'add the arms "schema" and "linear"' in told
    answers = [(f"play {n}", json.dumps({"intent": "play", "artist": f"band {n}"})) for n in range(20)]
    told = starting_config("j", [], about(answers)).partition("[study]")[2]
    assert 'add the arm "schema"' in told
    assert '"linear"' not in told
    free = [(f"question {n}?", f"a sentence of many words, the {n}th of its kind") for n in range(20)]
    assert '"schema"' not in starting_config("f", [], about(free))
