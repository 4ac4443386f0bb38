"""Prompts to choose among: the project's own first, instructions for the kind of answer, sets of shots."""

from __future__ import annotations

import json

import pytest

from twofold.prompts import Template, render
from twofold.tuning import prompt_candidates as candidates
from twofold.types import Completion, Example, Failure, Message


def example(number: int, answer: str, **more: object) -> Example:
    said = Message(role="user", content=f"Question number {number}?")
    return Example(id=f"e{number}", messages=(said,), references=(answer,), group=f"g{number}", **more)  # type: ignore[arg-type]


FEW_OF_EACH = [example(number, f"label {number % 77}") for number in range(200)]
LABELLED = [example(number, ("refund", "card lost", "top up")[number % 3]) for number in range(60)]
TEXTS = [example(number, " ".join([f"word{number}"] * (1 + number % 10))) for number in range(40)]
OBJECTS = [example(number, json.dumps({"intent": "play", "slots": {"song": f"s{number}"}})) for number in range(40)]
CHOSEN = [example(number, "yes", choices=("yes", "no")) for number in range(20)]


@pytest.mark.parametrize(
    ("train", "kind"),
    [
        (LABELLED, "labels"),
        (FEW_OF_EACH, "labels"),
        (TEXTS, "text"),
        (OBJECTS, "json"),
        (CHOSEN, "choices"),
        ([], "text"),
    ],
)
def test_the_kind_of_answer_decides_the_instructions(train: list[Example], kind: str) -> None:
    assert candidates.kind_of(train) == kind
    pool = candidates.pool(train, retrieval=True, abstention="")
    assert pool
    assert len(set(pool)) == len(pool)


def test_labels_and_fields_are_listed_where_they_are_not_too_many() -> None:
    listed = candidates.pool(LABELLED, retrieval=False, abstention="")[0]
    assert "card lost; refund; top up" in listed
    many = [example(number, f"a label of the set with number {number % 400:03}") for number in range(2400)]
    assert candidates.kind_of(many) == "labels"
    assert not any("number 017" in text for text in candidates.pool(many, retrieval=False, abstention=""))
    assert '"song"' in candidates.pool(OBJECTS, retrieval=False, abstention="")[0]


def test_an_instruction_takes_the_place_of_the_usual_one_and_follows_one_of_the_project() -> None:
    usual = candidates.instructed(Template(), "Name the label.")
    assert usual.closed == "Name the label."
    assert usual.open.startswith("Name the label. Answer from the passages. Begin with the number")
    assert "{abstention}" in usual.open
    own = Template(closed="Obey the law.", open="Obey the law, and cite.", cite="none", abstention="Unknown.")
    longer = candidates.instructed(own, "Name the label.")
    assert (longer.closed, longer.open) == ("Obey the law. Name the label.", "Obey the law, and cite. Name the label.")
    assert (longer.cite, longer.abstention) == ("none", "Unknown.")
    assert candidates.instructed(own, "") is own


def test_sets_of_shots_differ_and_labels_are_each_shown_once() -> None:
    sets = candidates.shot_sets(LABELLED, 4, seed=0)
    assert list(sets)[:2] == ["default", "each label once"]
    assert sorted(e.references[0] for e in sets["each label once"]) == ["card lost", "refund", "top up"]
    assert (len(sets["twice as many"]), sets["none"]) == (8, ())
    ids = [tuple(e.id for e in shots) for shots in sets.values()]
    assert len(set(ids)) == len(ids)
    assert list(candidates.shot_sets(TEXTS[:1], 4, seed=0)) == ["default", "none"], "draws of one example are alike"


def test_the_own_prompt_is_first_and_pairs_that_change_one_thing_come_before_others() -> None:
    sets = candidates.shot_sets(TEXTS, 4, seed=0)
    field = candidates.candidates({"": "default", "A": "pool", "B": "model"}, sets, most=12, seed=1)
    assert (field[0].instruction, field[0].draw, field[0].shots) == ("", "default", sets["default"])
    changed = [bool(one.instruction) + (one.draw != "default") for one in field]
    assert changed == sorted(changed)
    assert [one.instruction for one in field[1:4:2]] == ["A", "B"]
    assert field == candidates.candidates({"": "default", "A": "pool", "B": "model"}, sets, most=12, seed=1)
    assert len(candidates.candidates({"": "default"}, sets, most=2, seed=1)) == 2


def test_what_the_model_proposes_is_taken_where_it_is_a_whole_instruction() -> None:
    good = 'The instruction is: "Answer with the name\nof the song."'
    wrote = [
        Completion(text=good),
        Completion(text=good),
        Completion(text="Yes."),
        Completion(text="Answer with the name of the", finish="length"),
        Completion(text="Answer with the name of it.", failure=Failure(code="generation.timeout", message="late")),
        Completion(text="word " * 200),
    ]
    assert candidates.proposals(wrote) == ["Answer with the name of the song."]


def test_the_model_is_shown_other_examples_each_time_and_none_where_there_is_none() -> None:
    prompts = candidates.requests(TEXTS, seed=0)
    assert len({prompt.messages for prompt in prompts}) == candidates.PROPOSALS
    assert all(prompt.messages[0].content.count("Input: ") == 6 for prompt in prompts)
    assert candidates.requests([], seed=0) == []


def test_a_candidate_renders_as_a_prompt_of_the_study() -> None:
    template = candidates.instructed(Template(), "Name the label.")
    prompt = render(LABELLED[0].messages, template=template, hits=[])
    assert prompt.messages[0].content.startswith("Name the label.")
    assert prompt.messages[0].content.endswith("say: The documents do not say.")
