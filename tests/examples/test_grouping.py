"""What belongs together: it stands on one side of a split, and counts as one in intervals."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twofold.examples import twins
from twofold.examples.leaks import Leaks, leaks
from twofold.examples.loading import load_examples
from twofold.examples.near_duplicates import NEAR
from twofold.examples.preparing import paraphrases, prepared
from twofold.examples.splitting import split
from twofold.examples.twins import same_documents
from twofold.prompts import Template
from twofold.settings.sections import ExamplesSection
from twofold.tuning.training_data import preferred_rows
from twofold.types import Document, Example, Message, Role, Span


def ask(name: str, text: str = "", *references: str, **fields: Any) -> Example:
    asked = Message(role="user", content=text or f"what is told of {name}")
    return Example(id=name, messages=(asked,), references=references or (f"answer {name}",), **fields)


def talk(name: str, *turns: str, **fields: Any) -> Example:
    roles: tuple[Role, Role] = ("user", "assistant")
    messages = tuple(Message(role=roles[n % 2], content=text) for n, text in enumerate(turns))
    return Example(id=name, messages=messages, references=fields.pop("references", (f"reply {name}",)), **fields)


def sides(examples: list[Example], by: Any, **documents: Any) -> dict[str, str]:
    made = split(examples, ExamplesSection(split_by=by), **documents)
    return {e.id: str(e.split) for part in (made.train, made.dev, made.test) for e in part}


@pytest.mark.parametrize("by", ["question", "document", "time"])
def test_no_customer_stands_on_two_sides_and_each_counts_once(by: Any) -> None:
    examples = [
        ask(f"c{c}-{k}", group=f"customer {c}", at=f"2024-{1 + c % 12:02d}-{1 + k:02d}", sources=(f"d{c}-{k}",))
        for c in range(30)
        for k in range(4)
    ]
    made = split(examples, ExamplesSection(split_by=by))
    owner = {e.id: e.id.split("-")[0] for e in examples}
    assert {owner[e.id] for e in made.test}.isdisjoint(owner[e.id] for e in (*made.train, *made.dev))
    assert made.groups == len({owner[e.id] for e in made.test}) == len(made.test) / 4


def test_questions_on_one_document_count_as_one_where_the_split_is_by_question() -> None:
    examples = [ask(f"q{d}-{k}", sources=(f"manual {d}",)) for d in range(40) for k in range(5)]
    made = split(examples, ExamplesSection(split_by="question"))
    tested: defaultdict[str, set[str]] = defaultdict(set)
    for e in made.test:
        tested[e.sources[0]].add(e.group)
    assert all(len(groups) == 1 for groups in tested.values())
    assert made.groups == len(tested) < len(made.test)
    by_span = [
        ask(f"q{d}-{k}", spans=(Span(document=f"manual {d}", start=9 * k, end=9 * k + 5),))
        for d in range(40)
        for k in range(5)
    ]
    assert split(by_span, ExamplesSection(split_by="question")).groups == made.groups


def test_a_handful_of_documents_is_taken_as_given_and_said() -> None:
    examples = [ask(f"q{n}", sources=(f"manual {n % 4}",)) for n in range(120)]
    made = split(examples, ExamplesSection(split_by="question"))
    assert made.groups == len(made.test)
    assert "the documents are taken as given" in made.sentence


@pytest.mark.parametrize("first", [True, False])
def test_a_document_that_links_everything_is_left_out_and_the_others_still_group(first: bool) -> None:
    """Whichever document an example names first."""
    examples = [
        ask(f"q{n}", sources=("glossary", f"sheet {n // 4}") if first else (f"sheet {n // 4}", "glossary"))
        for n in range(120)
    ]
    made = split(examples, ExamplesSection())
    assert "'glossary'" in made.warnings[0]
    assert made.groups == len({e.sources[first] for e in made.test})
    assert {e.sources[first] for e in made.test}.isdisjoint(e.sources[first] for e in (*made.train, *made.dev))


def test_a_chain_of_documents_is_cut_in_few_places() -> None:
    examples = [ask(f"q{n}", sources=(f"d{n}", f"d{n + 1}")) for n in range(100)]
    made = split(examples, ExamplesSection())
    assert "100 of 100 examples are linked" in made.warnings[0]
    sizes = defaultdict(int)
    for e in (*made.train, *made.dev, *made.test):
        sizes[e.group] += 1
    assert max(sizes.values()) <= 40
    assert len(sizes) < 60


# ---------------------------------------------------------------- the same document


TOPICS = [f"{a}{b}" for a in ("wel", "pum", "see", "soi", "mai", "cla") for b in ("ton", "rik", "der", "mos", "lup")]


def paper(name: str, topic: str) -> Document:
    chance = random.Random(topic)
    words = ["".join(chance.choices("abcdefghijklmnopqrst", k=6)) for _ in range(120)]
    return Document(id=name, text=f"About {topic}: {' '.join(words)}")


def test_copies_of_a_document_stand_on_one_side_with_its_questions() -> None:
    documents = [paper(f"{topic}{end}", topic) for topic in TOPICS for end in ("", ".pdf")]
    documents[1] = Document(id=documents[1].id, text=f"PRINTED COPY\n\n{documents[1].text}  ")
    same = same_documents(documents)
    assert {same[f"{topic}.pdf"] for topic in TOPICS} == set(TOPICS)
    examples = [
        ask(f"{topic}{end}-{k}", sources=(f"{topic}{end}",)) for topic in TOPICS for end in ("", ".pdf") for k in (1, 2)
    ]
    made = sides(examples, "document", documents=same)
    assert all(made[f"{topic}-{k}"] == made[f"{topic}.pdf-{k}"] for topic in TOPICS for k in (1, 2))
    apart = sides(examples, "document")
    assert any(apart[f"{topic}-1"] != apart[f"{topic}.pdf-1"] for topic in TOPICS)


def test_sheets_of_one_template_with_other_figures_are_not_the_same_document() -> None:
    text = "The pump of type {a} lifts {b} litres a minute to {c} metres and weighs {d} kilograms when it is filled. "
    text += " ".join(paper("", topic).text for topic in TOPICS[:5])
    sheets = [
        Document(id=f"s{n}", text=text.format(a=n * 7 + 1, b=n * 31 + 5, c=n * 11 + 2, d=n * 13 + 9)) for n in range(30)
    ]
    alike = [twins._similarity(twins._sketch(sheets[0].text), twins._sketch(sheet.text)) for sheet in sheets[1:]]
    assert min(alike) >= NEAR, "only the figures tell them apart"
    assert set(same_documents(sheets)) == set(same_documents(sheets).values())


def test_texts_with_other_numbers_are_told_apart_without_comparing_their_sketches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = " ".join(paper("", topic).text for topic in TOPICS[:5])
    compared: list[int] = []
    real = twins._similarity
    monkeypatch.setattr(twins, "_similarity", lambda one, two: compared.append(1) or real(one, two))
    sheets = [Document(id=f"s{n}", text=f"{text} Sheet {n * 7 + 1}, of {n * 31 + 5} litres.") for n in range(30)]
    assert len(set(same_documents(sheets).values())) == 30
    assert not compared
    copies = [Document(id=f"c{n}", text=f"{text} Sheet 7, of 36 litres.") for n in range(30)]
    assert set(same_documents(copies).values()) == {"c0"}
    assert 0 < len(compared) < 30, "a copy is compared once, not with every other copy"


# ---------------------------------------------------------------- dialogues

OPEN = "My pump does not start in the morning since the frost came"
REPLY = "Then check the valve at the intake first, it may be blocked by ice"


def test_turns_of_one_dialogue_stand_on_one_side() -> None:
    turns = [
        [
            talk(f"{n}-a", f"{OPEN} at farm {n}", references=(f"{REPLY} {n}",)),
            talk(f"{n}-b", f"{OPEN} at farm {n}", f"{REPLY} {n}", "And if that does not help?"),
            talk(f"{n}-c", f"{OPEN} at farm {n}", f"{REPLY} {n}", "And then?", "Call us.", "Which number?"),
        ]
        for n in range(40)
    ]
    for by in ("question", "document"):
        made = sides([e for one in turns for e in one], by)
        assert all(len({made[e.id] for e in one}) == 1 for one in turns)


def test_a_greeting_alone_makes_no_dialogue() -> None:
    examples = [talk(f"t{n}", "Hello", "How can I help you?", f"I need part number {n * 37}") for n in range(50)]
    made = split(examples, ExamplesSection(split_by="question"))
    assert made.groups == len(made.test)
    assert not made.warnings


def test_under_a_given_split_a_test_question_in_a_training_dialogue_is_a_leak() -> None:
    test = [talk("t", OPEN, references=(REPLY,))]
    train = [
        talk("told", "Good morning to you all", "Hello", OPEN, "Look after the valve", "And then?"),
        talk("answered", "Hi", "Hello", "Yes", REPLY, "Good"),
        talk("other", "Why is the well dry after the long summer?", "No rain", "And then?"),
    ]
    found = leaks(train, test)
    assert found.history == (("told", "t"),)
    assert found.pairs == found.history
    assert leaks([train[1]], [talk("yes", "Yes", references=(REPLY,))]).history == (("answered", "yes"),)


# ---------------------------------------------------------------- near copies

INPUT = (
    "name[The {name}], type[restaurant], food[{food}], price[cheap], area[riverside], near[Burger King], family[{yes}]"
)


def meal(name: str, food: str, answer: str, place: str = "Wildwood Garden House") -> Example:
    return ask(name, INPUT.format(name=place, food=food, yes="yes"), answer)


def test_a_near_input_leaks_only_with_an_answer_that_is_alike() -> None:
    test = [meal("t", "Chinese", "The Wildwood serves cheap Chinese food by the river")]
    train = [
        meal("same", "Chine", "The Wildwood serves cheap Chinese food by the river."),
        meal("more", "English", "The Wildwood serves cheap Chinese food by the river and near Burger King"),
        meal("free", "English", "For English cooking near Burger King go to the Wildwood"),
    ]
    found = leaks(train, test)
    assert {name for name, _ in found.near} == {"same", "more"}
    assert leaks(train, test, near=False).pairs == ()


def test_what_was_dropped_is_in_the_sentence_with_the_numbers_that_are_left() -> None:
    odd = [
        meal(f"x{n}", "French", "one and the same dish for all", place=f"Wildwood Garden House {n}") for n in range(60)
    ]
    rest = [ask(f"r{n}", f"{TOPICS[n % 30]} {n * 7919} {TOPICS[n // 2 % 30]}", f"{n}") for n in range(60)]
    section = ExamplesSection(split_by="question")
    made, counts = prepared([*odd, *rest], section, documents={})
    whole = split([*odd, *rest], section)
    gone = len(whole.train) - len(made.train)
    assert gone > 20
    assert f"{len(made.train)} train ({gone} dropped: they give test or dev questions away)" in made.sentence
    assert "document" not in made.sentence
    assert counts["dropped"] == gone + len(whole.dev) - len(made.dev)
    kept, told = prepared([*odd, *rest], ExamplesSection(split_by="question", near="keep"), documents={})
    assert len(kept.train) > len(made.train)
    assert told["near"] == 0


def test_train_holds_no_copy_of_a_dev_question() -> None:
    examples = [
        ask(f"q{n}", f"How deep is the well at {TOPICS[n % 10]} farm in the valley?", "12 m") for n in range(90)
    ]
    made, counts = prepared(examples, ExamplesSection(split_by="question", test=0.02, dev=0.2), documents={})
    assert counts["dev"] or not made.train
    assert leaks(made.train, made.dev).exact == leaks(made.train, made.dev).near == ()


def test_train_and_dev_may_ask_of_one_place_but_not_the_same_question() -> None:
    asked = [ask(f"t{n}", f"{TOPICS[n % 30]} {n * 7919}", f"span {n}", split="test") for n in range(12)]
    dev = ask("d", "how deep is the well at the gate", "nine metres", sources=("well",), split="dev")
    place = ask("place", "down to what depth did they dig by the road", "nine metres", sources=("well",), split="train")
    copy = ask("copy", "How deep is the well at the gate?", "nine metres", sources=("well",), split="train")
    made, counts = prepared([*asked, dev, place, copy], ExamplesSection(split_by="given"), documents={})
    assert [e.id for e in made.train] == ["place"]
    assert [e.id for e in made.dev] == ["d"]
    assert counts["dev"] == counts["dropped"] == 1


def test_a_paraphrase_with_the_same_answer_is_told_and_stays() -> None:
    train = [ask("p", "What depth must a well have?", "12 m"), ask("q", "Which depth has a well?", "20 m")]
    test = [ask("t", "How deep should a well be dug?", "12 m")]
    near = np.array([[1.0, 0.0], [0.95, 0.3122]], dtype=np.float32)
    found = paraphrases(train, test, (near, near[:1]), known=Leaks())
    assert [(a.id, b.id) for a, b in found] == [("p", "t")]
    assert not paraphrases(train, test, (near, near[:1]), known=Leaks(span=(("p", "t"),)))
    far = np.array([[0.0, 1.0]], dtype=np.float32)
    assert not paraphrases(train, test, (near, far), known=Leaks())


@pytest.mark.parametrize(
    ("start", "end", "leaks_"), [(100, 200, True), (120, 210, True), (160, 260, False), (90, 900, False)]
)
def test_marked_places_that_nearly_coincide_are_one_place(start: int, end: int, leaks_: bool) -> None:
    test = [replace(ask("t", "What does the pump need?", "a filter"), spans=(Span(document="d", start=100, end=200),))]
    train = [replace(ask("p", "Why is it so loud?", "worn seal"), spans=(Span(document="d", start=start, end=end),))]
    other = [replace(train[0], spans=(Span(document="e", start=start, end=end),))]
    assert bool(leaks(train, test).span) is leaks_
    assert not leaks(other, test).span


def test_a_preference_that_gives_a_test_question_away_or_is_of_its_group_is_no_training_row(tmp_path: Path) -> None:
    asked = "Which paint goes on the doors and the window frames of the old barn?"
    examples = [
        ask("t", asked, "red", group="ann", split="test"),
        ask("e", "Who keeps the key of the mill?", "Bo", group="bo", split="dev"),
        ask("l", "How deep is the well?", "12 m", group="cy", split="train"),
    ]
    splits = split(examples, ExamplesSection(split_by="given"))
    before = [{"role": "user", "content": asked}, {"role": "assistant", "content": "red"}]
    rows: list[tuple[bool, dict[str, Any]]] = [
        (False, {"question": asked.upper()}),
        (False, {"question": asked.replace("old barn", "barn"), "chosen": "Red."}),
        (False, {"messages": [*before, {"role": "user", "content": "And the roof?"}]}),
        (False, {"question": "Where does the path by the river end?", "group": "ann"}),
        (False, {"question": "Where does the path by the lake end?", "sources": ["sealed"]}),
        (False, {"question": "Where does the path by the sea end?", "hits": [{"document": "sealed", "text": "x"}]}),
        (True, {"question": asked.replace("old barn", "barn"), "chosen": "green"}),
        (True, {"question": "Where does the path by the wood end?", "group": "dee"}),
    ]
    (tmp_path / "preferences.jsonl").write_text(
        "".join(
            json.dumps({"id": str(n), "chosen": "a", "rejected": "z", **row}) + "\n" for n, (_, row) in enumerate(rows)
        )
    )
    made = preferred_rows(tmp_path / "preferences.jsonl", splits, Template(), without={"sealed"})
    assert [pair.example for pair in made] == [str(n) for n, (stays, _) in enumerate(rows) if stays]
    loose = preferred_rows(tmp_path / "preferences.jsonl", splits, Template(), without={"sealed"}, near=False)
    assert [pair.example for pair in loose] == ["1", "6", "7"]


def test_a_customer_whose_number_is_written_in_several_ways_is_one_group(tmp_path: Path) -> None:
    written: list[Any] = [7, "7", " 7 ", 7.0]
    rows = [
        {"id": f"{c}-{k}", "question": f"what of {c} and {k}", "answers": [f"{c}{k}"], "group": way if c == 7 else c}
        for c in range(30)
        for k, way in enumerate(written)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples, _ = load_examples(["a.jsonl"], tmp_path)
    made = split(examples, ExamplesSection(split_by="question"))
    found = {e.split for part in (made.train, made.dev, made.test) for e in part if e.id.startswith("7-")}
    assert len(found) == 1


@pytest.mark.parametrize(
    ("mine", "theirs", "same"), [("1,000", "1000", True), ("1,000 m", "1000 m", True), ("1,5", "15", False)]
)
def test_a_near_copy_whose_number_is_written_with_a_separator_leaks(mine: str, theirs: str, same: bool) -> None:
    asked = "How many bolts hold the cover of the large engine in place"
    found = leaks([ask("l", f"{asked} today?", mine)], [ask("t", f"{asked}?", theirs)])
    assert found.near == ((("l", "t"),) if same else ())


def test_a_question_within_another_prompt_leaks_where_the_answer_is_shared() -> None:
    test = [ask(f"t{n}", f"how deep is the well at farm {n}", f"{n + 3} m") for n in range(4)]
    wrapped = [
        ask(f"w{n}", f"Answer in one line, as a helper of farmers: how deep is the well at farm {n}", f"{n + 3} m")
        for n in range(2)
    ]
    other = ask("o", "Answer in one line, as a helper of farmers: how deep is the well at farm 2", "nobody knows")
    found = leaks([*wrapped, other], test)
    assert found.near == (("w0", "t0"), ("w1", "t1"))
    assert leaks(test, wrapped).near == (("t0", "w0"), ("t1", "w1"))
    labels = [replace(one, references=("deep",)) for one in (*wrapped, *wrapped, other)]
    assert not leaks(labels, [replace(one, references=("deep",)) for one in test]).near


SPELLED = {
    "case": ("Customer {}", "customer {}", "CUSTOMER {}"),
    "blanks": ("customer {}", "customer  {} ", "customer\u00a0{}"),
    "marks": ("Müller {}", "Mu\u0308ller {}", "MÜLLER {}"),
    "widths": ("ACME-{}", "ＡＣＭＥ-{}", "ACME\u2010{}"),
    "invisible": ("customer {}", "\ufeffcustomer {}", "cust\u00adomer {}"),
}


@pytest.mark.parametrize("kind", SPELLED)
@pytest.mark.parametrize("by", ["question", "document"])
def test_a_group_is_one_however_its_name_is_spelled(kind: str, by: Any) -> None:
    examples = [ask(f"c{c}-{k}", group=way.format(c)) for c in range(30) for k, way in enumerate(SPELLED[kind])]
    made = split(examples, ExamplesSection(split_by=by))
    owner = {e.id: e.id.split("-")[0] for e in examples}
    assert {owner[e.id] for e in made.test}.isdisjoint(owner[e.id] for e in (*made.train, *made.dev))
    assert made.groups == len({owner[e.id] for e in made.test})


def test_a_column_of_groups_with_gaps_ties_only_those_that_name_one(tmp_path: Path) -> None:
    gaps = ["", "nan", "None", "NULL", "N/A", "<NA>"]
    rows = [f"what of part {n} and {k},x{n},{gaps[n % 6] if k else f'{n}.0'}" for n in range(12) for k in range(2)]
    (tmp_path / "a.csv").write_text("question,answer,group\n" + "\n".join(rows) + "\n")
    examples, _ = load_examples(["a.csv"], tmp_path)
    assert [e.group for e in examples if e.group] == [str(n) for n in range(12)]


@pytest.mark.parametrize("given", [["a", "b"], '["a", "b"]'])
def test_several_groups_of_one_example_are_refused(tmp_path: Path, given: Any) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"question": "q", "answers": ["a"], "group": given}) + "\n")
    _, problems = load_examples(["a.jsonl"], tmp_path, strict=False)
    assert '"group" must be one name, not a list' in problems[0].message
    assert (problems[0].file, problems[0].line) == ("a.jsonl", 1)


@pytest.mark.parametrize("by", ["question", "document"])
def test_what_was_made_from_an_example_ties_the_group_that_it_names(by: Any) -> None:
    elders = [ask(f"e{n}", f"what of the {TOPICS[n % 30]} {n * 7919}") for n in range(60)]
    made = [ask(f"m{n}", f"and {n * 37} in {n}", parent=f"e{n}", group=f"c{n % 20}") for n in range(60)]
    found = split([*elders, *made], ExamplesSection(split_by=by))
    held: defaultdict[int, set[str]] = defaultdict(set)
    for e in (*found.train, *found.dev, *found.test):
        held[int(e.id[1:]) % 20].add(str(e.split))
    assert all(len(sides) == 1 for sides in held.values())


def test_groups_on_two_sides_of_a_given_split_are_told_on_the_first_line() -> None:
    side = ("train", "test")
    examples = [ask(f"c{c}-{k}", group=f"c{c}", split=side[k if c < 10 else c % 2]) for c in range(30) for k in (0, 1)]
    made = split(examples, ExamplesSection(split_by="given"))
    assert (
        "; 10 of the 20 groups in test stand in train or dev too, so it does not hold for new ones (" in made.sentence
    )
    apart = split([e for e in examples if int(e.id[1:-2]) >= 10], ExamplesSection(split_by="given"))
    assert "stand in train" not in apart.sentence


@pytest.mark.parametrize("by", ["question", "document"])
@pytest.mark.parametrize("sources", [False, True])
def test_a_preference_of_a_test_customer_is_no_training_row_whatever_the_split_calls_the_group(
    tmp_path: Path, by: Any, sources: bool
) -> None:
    examples = [
        ask(f"{c}-{k}", group=f"Customer {c}", sources=(f"a sheet {c}",) if sources else ())
        for c in range(20)
        for k in range(4)
    ]
    splits = split(examples, ExamplesSection(split_by=by))
    (tmp_path / "preferences.jsonl").write_text(
        "".join(
            json.dumps(
                {"question": f"what else did {c} want", "chosen": "a", "rejected": "z", "group": f"CUSTOMER  {c}"}
            )
            + "\n"
            for c in range(20)
        )
    )
    rows = preferred_rows(tmp_path / "preferences.jsonl", splits, Template())
    learned = {row.messages[-1].content.split("did ")[1].split()[0] for row in rows}
    assert learned == {e.id.split("-")[0] for e in splits.train}


# ---------------------------------------------------------------- one question within another prompt

WELL = "How deep is the well at the north farm?"
DEEP = "12 m"
HOLDING: dict[str, tuple[str, str]] = {
    "before": (f"Answer briefly. {WELL}", DEEP),
    "after": (f"{WELL}\nAnswer in one word.", DEEP),
    "json": (json.dumps({"task": "qa", "question": WELL}), DEEP),
    "tags": (f"<question>{WELL}</question>", DEEP),
    "form": (f"### Instruction:\n**{WELL}**\n### Response:", DEEP),
    "two": (f"1) {WELL} 2) How wide is the gate?", "1) 12 m 2) 3 m"),
    "shown": (f"Q: {WELL}\nA: {DEEP}\n\nQ: How wide is the gate?\nA:", "3 m"),
}


@pytest.mark.parametrize("kind", HOLDING)
def test_a_test_question_within_a_training_prompt_leaks_with_its_answer(kind: str) -> None:
    text, answer = HOLDING[kind]
    test = [ask("t", WELL, DEEP)]
    others = [ask(f"o{n}", f"Which colour has barn number {n * 37} by the road?", f"colour {n}") for n in range(9)]
    found = leaks([ask("l", text, answer), *others], test)
    assert found.pairs == (("l", "t"),)
    assert bool(found.history) is (kind == "shown"), "an instance with its answer leaks whatever near copies may do"
    assert not leaks([ask("l", text.replace("north", "south"), answer.replace("12", "14")), *others], test).pairs
    assert not leaks([ask("l", text.replace(DEEP, "9 ells"), "nobody knows"), *others], test).pairs


@pytest.mark.parametrize("roles", [("system", "user"), ("user", "assistant", "user")])
def test_a_test_question_answered_before_the_question_of_a_training_example_leaks(roles: tuple[Role, ...]) -> None:
    texts = [f"Answer as here. Q: {WELL} A: {DEEP}", "How wide is the gate?"]
    if len(roles) == 3:
        texts = [f"Hello! {WELL}", "It is 12 m deep.", "How wide is the gate?"]
    turns = tuple(Message(role=role, content=text) for role, text in zip(roles, texts, strict=True))
    train = Example(id="l", messages=turns, references=("3 m",))
    assert leaks([train], [ask("t", WELL, DEEP)], near=False).history == (("l", "t"),)


def test_a_question_with_its_answer_leaks_after_another_conversation_too() -> None:
    one, two = (talk(name, f"{name}ay?", "Yes.", WELL, references=(DEEP,)) for name in "lt")
    others = [talk(f"o{n}", "Hay?", "Yes.", f"{OPEN} {n}", references=(f"{n} bales",)) for n in range(9)]
    assert leaks([one, *others], [two]).near == (("l", "t"),)
    assert not leaks([replace(one, references=("nobody knows",)), *others], [two]).pairs


WRAPS = ("{}", "Answer in one line, as a helper of farmers: {}", "A farmer asks:\n{}\nReply with the fact alone.")


@pytest.mark.parametrize("labels", [0, 4])
@pytest.mark.parametrize("bare_too", [True, False])
def test_no_question_is_learned_in_one_wrapper_and_tested_in_another(labels: int, bare_too: bool) -> None:
    examples = [
        ask(
            f"{n}-{w}",
            wrap.format(f"What was noted of {TOPICS[n % 30]} farm on the {n * 7 + 3} hectares by the {TOPICS[n % 7]}?"),
            f"label {n % labels}" if labels else f"{n + 3} m",
        )
        for n in range(60)
        for w, wrap in enumerate(WRAPS)
        if bare_too or w
    ]
    made, counts = prepared(examples, ExamplesSection(split_by="question"), documents={})
    tested = {e.id.split("-")[0] for e in made.test}
    assert not tested & {e.id.split("-")[0] for e in (*made.train, *made.dev)}
    assert counts["near"] > 10
    kept, _ = prepared(examples, ExamplesSection(split_by="question", near="keep"), documents={})
    assert tested & {e.id.split("-")[0] for e in kept.train}


def test_a_label_within_two_ways_of_asking_is_no_wrapper() -> None:
    asked = [f"where is my {part} of the {n} things" for n, part in enumerate(TOPICS)]
    train = [ask(f"l{n}", f"can you tell me {text} I bought", f"label {n % 3}") for n, text in enumerate(asked)]
    test = [ask(f"t{n}", text, f"label {n % 3}") for n, text in enumerate(asked)]
    assert not leaks(train, test).pairs


def test_an_answer_from_a_copy_of_the_document_leaks_where_the_split_is_by_question() -> None:
    same = {name: f"d{n}" for n in range(40) for name in (f"d{n}", f"d{n}.pdf")}
    examples = [
        ask(
            f"{n}-{k}",
            (f"what depth is told on sheet {n}", f"give me the figure that {n} has")[k],
            f"{n + 3} metres",
            sources=(f"d{n}{'.pdf' if k else ''}",),
        )
        for n in range(40)
        for k in (0, 1)
    ]
    made, counts = prepared(examples, ExamplesSection(split_by="question"), documents=same)
    tested = {e.id.split("-")[0] for e in made.test}
    assert not tested & {e.id.split("-")[0] for e in (*made.train, *made.dev)}
    assert counts["span"] > 5
