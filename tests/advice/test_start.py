"""The starting configuration is valid and fitting on every real data set."""

from __future__ import annotations

import gzip
import json
import tomllib
from pathlib import Path

import pytest

from twofold.advice.start import starting_config
from twofold.config import Config
from twofold.types import Document, Example, Message

SETS = [
    "advising_sql",
    "agvaluate",
    "agxqa",
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
    "xquad",
]


def rows(folder: Path, name: str) -> list[dict]:
    for path in (folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"):
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


def load(root: Path, name: str) -> tuple[list[Document], list[Example]]:
    documents = [Document(id=r["id"], text=r["text"]) for r in rows(root / name, "documents")]
    return documents, [example(r) for r in rows(root / name, "examples")]


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", SETS)
def test_every_real_set_gives_a_valid_configuration(data_root: Path, name: str, quick: bool) -> None:
    documents, examples = load(data_root, name)
    config = Config.model_validate(tomllib.loads(starting_config(name, documents, examples, quick=quick)))
    assert config.project.name == name
    assert 16 <= config.generation.max_tokens <= 262
    assert ("rag" in config.study.arms) == bool(documents)
    assert bool(config.documents.paths) == bool(documents)
    assert config.study.metric.name not in [part.name for part in config.study.metrics]
    assert config.tuning.trainer.options.get("replay", 0) == (0 if quick else 0.5)
    if quick:
        assert 0 < config.examples.limit <= 120 or len(examples) <= 120


@pytest.mark.parametrize(
    ("name", "metric", "words"),
    [
        ("agxqa", "token_f1", "as few words"),
        ("banking77", "accuracy", "label"),
        ("pubmedqa", "accuracy", "one of the choices"),
        ("snips_json", "field_f1", "JSON object and nothing else"),
        ("clapnq", "rouge_l", "a few sentences"),
        ("advising_sql", "rouge_l", "SQL"),
        ("e2e_nlg", "rouge_l", "belongs to the input"),
    ],
)
def test_wording_fits_the_task(data_root: Path, name: str, metric: str, words: str) -> None:
    documents, examples = load(data_root, name)
    config = Config.model_validate(tomllib.loads(starting_config(name, documents, examples)))
    assert config.study.metric.name == metric
    assert words in config.prompt.closed


def test_many_labels_are_not_repeated_in_the_prompt(data_root: Path) -> None:
    _, examples = load(data_root, "banking77")
    made = starting_config("b", [], examples)
    assert "card_arrival" not in made
    assert "There are 77 labels" in made
    few = [e for e in examples if e.references[0] in {"card_arrival", "age_limit", "exchange_rate"}]
    assert "age_limit; card_arrival; exchange_rate" in starting_config("b", [], few)


def test_answers_in_a_strict_form_carry_no_citation_marker(data_root: Path) -> None:
    documents, examples = load(data_root, "advising_sql")
    config = Config.model_validate(tomllib.loads(starting_config("sql", documents, examples)))
    assert config.prompt.cite == "none"
    assert not any(part.name.startswith("citation") for part in config.study.metrics)


def test_how_much_of_a_question_a_cited_passage_must_hold_follows_from_the_data(data_root: Path) -> None:
    """Questions made from their passages share words with them; those of a service desk do not."""
    settings = {}
    for name in ("agxqa", "xquad", "dstc11"):
        documents, examples = load(data_root, name)
        settings[name] = Config.model_validate(tomllib.loads(starting_config(name, documents, examples)))
    assert settings["agxqa"].prompt.about == 0.5
    assert 0 < settings["xquad"].prompt.about < 0.5
    assert settings["dstc11"].prompt.about == 0
    assert "citation_support" in [part.name for part in settings["agxqa"].study.metrics]


def test_few_source_documents_are_not_split_by_document(data_root: Path) -> None:
    documents, examples = load(data_root, "chunking_eval")
    assert 'split_by = "question"' in starting_config("c", documents, examples)
    documents, examples = load(data_root, "agxqa")
    assert 'split_by = "document"' in starting_config("c", documents, examples)


@pytest.mark.parametrize(("name", "preset"), [("dstc11", "advanced"), ("mtrag", "advanced"), ("agxqa", "naive")])
def test_follow_ups_are_searched_with_what_was_said(data_root: Path, name: str, preset: str) -> None:
    documents, examples = load(data_root, name)
    config = Config.model_validate(tomllib.loads(starting_config(name, documents, examples)))
    assert config.retrieval.preset == preset
    assert config.retrieval.retriever.name == "hybrid"


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
