"""A document that stands whole in another one: what only the test may ask is not read in the book that holds it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from twofold.examples.splitting import Splits, split
from twofold.examples.twins import compared, holders
from twofold.settings.sections import ExamplesSection
from twofold.types import Document, Example, Message


def prose(seed: Any, words: int = 90) -> str:
    chance = random.Random(f"prose {seed}")
    return " ".join("".join(chance.choices("abcdefghijklmnoprstuw", k=chance.randint(2, 9))) for _ in range(words))


def chapters(count: int) -> list[Document]:
    return [Document(id=f"chapter {n:02}", text=f"Chapter {n}\n\n{prose(n)}") for n in range(count)]


def about(document: str, number: int = 0) -> Example:
    name = f"{document}-{number}"
    asked = Message(role="user", content=f"what is told of {name}")
    return Example(id=name, messages=(asked,), references=(f"answer {name}",), sources=(document,))


def divided(examples: Sequence[Example], documents: Sequence[Document], by: Any = "document") -> Splits:
    same, held = compared(documents)
    return split(examples, ExamplesSection(split_by=by), documents=same, holders=held)


def test_a_text_is_found_in_what_holds_it_however_it_is_set_there() -> None:
    short, other = prose("short", 30), prose("other", 400)
    edited = short.replace(" ", "\n   ").upper()
    documents = [
        Document(id="short", text=short),
        Document(id="book", text=f"{other[:900]}\n\n{edited}\n\n{other[900:]}"),
        Document(id="half", text=f"{other[900:]} {short[: len(short) // 2]} {prose('else', 200)}"),
        Document(id="unlike", text=prose("unlike", 500)),
        Document(id="note", text="Open from nine to five."),
        Document(id="notice", text=f"Open from nine to five. {prose('notice')}"),
    ]
    assert holders(documents, {}) == {"short": ("book",)}


def test_a_form_filled_in_with_other_figures_holds_no_other() -> None:
    form = prose("form", 60)
    sheets = [
        Document(id=f"s{n}", text=f"Pump {n * 7} {form} lifts {n * 31 + 5} to {n * 11}. {prose(n, 5 + n)}")
        for n in range(30)
    ]
    assert holders(sheets, {}) == {}


@pytest.mark.parametrize("by", ["document", "question"])
def test_a_book_that_holds_a_document_of_the_test_is_hidden_with_it(by: Any) -> None:
    parts = chapters(30)
    book = Document(id="whole book", text="\n\n".join(part.text for part in parts[:15]))
    section = Document(id="section", text=parts[0].text[200:500])
    made = divided([about(part.id, k) for part in parts for k in (1, 2)], [*parts, book, section], by)
    tested = {source for e in made.test for source in e.sources} - {s for e in made.train for s in e.sources}
    tested -= {source for e in made.dev for source in e.sources}
    in_book = {part.id for part in parts[:15]}
    assert ("whole book" in made.hidden) == bool(tested & in_book)
    assert ("section" in made.hidden) == ("chapter 00" in tested)
    assert tested <= made.hidden <= tested | {"whole book", "section"}


def test_questions_on_a_document_and_on_what_holds_it_stand_on_one_side() -> None:
    parts = chapters(24)
    pairs = [Document(id=f"file {n}", text=f"{prose(f'before {n}', 40)}\n{part.text}") for n, part in enumerate(parts)]
    documents = [*parts, *pairs]
    made = divided([about(document.id) for document in documents], documents)
    sides = {e.id: e.split for e in (*made.train, *made.dev, *made.test)}
    assert all(sides[f"chapter {n:02}-0"] == sides[f"file {n}-0"] for n in range(24))
    assert "or stand" not in made.sentence


def test_what_train_names_is_told_where_it_holds_a_document_of_the_test() -> None:
    parts = chapters(30)
    book = Document(id="whole book", text="\n\n".join(part.text for part in parts))
    examples = [about(part.id) for part in parts] + [about("whole book", k) for k in range(6)]
    made = divided(examples, [*parts, book], "question")
    assert "whole book" in {source for e in made.train for source in e.sources}
    assert "whole book" not in made.hidden
    assert "but 1 document of train or dev holds one of these or stands in one." in made.sentence


def test_a_copy_of_a_right_document_is_right_and_no_distractor() -> None:
    parts = chapters(6)
    copies = [Document(id=f"copy of {part.id}", text=part.text) for part in parts]
    made = divided([about(part.id) for part in parts], [*parts, *copies])
    (example,) = made.judged([about("chapter 03")])
    assert example.sources == ("chapter 03", "copy of chapter 03")
    graded = made.judged([replace(about("chapter 02"), grades={"chapter 02": 2.0, "chapter 04": 1.0})])[0]
    assert graded.grades == {"chapter 02": 2.0, "copy of chapter 02": 2.0, "chapter 04": 1.0, "copy of chapter 04": 1.0}
    alone = about("elsewhere")
    assert made.judged([alone])[0] is alone
