from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_sets import folder, whole_sets
from twofold.examples.leaks import bare, drop_leaks, leak_error, leaks
from twofold.examples.loading import load_examples
from twofold.examples.near_duplicates import NEAR
from twofold.examples.splitting import split
from twofold.settings.sections import ExamplesSection
from twofold.types import Example, Message, Span


def ask(name: str, text: str, *references: str, **fields: Any) -> Example:
    return Example(id=name, messages=(Message(role="user", content=text),), references=references or ("a",), **fields)


def test_the_three_kinds() -> None:
    test = [
        ask("t1", "When should I irrigate the maize in spring?"),
        ask("t2", "How deep is the well?", "12 m", sources=("d",), spans=(Span(document="d", start=5, end=9),)),
    ]
    train = [
        ask("same", "when should I irrigate the maize, in spring"),
        ask("near", "When should I irrigate the maize in springs?"),
        ask("place", "What depth has the well?", "twelve", sources=("d",), spans=(Span(document="d", start=5, end=9),)),
        ask("answer", "Depth, please.", "12 M.", sources=("d",)),
        ask("free", "Which pump is best for a small farm?", "blue", sources=("d",)),
    ]
    found = leaks(train, test)
    assert found.exact == (("same", "t1"),)
    assert found.near == (("near", "t1"),)
    assert found.span == (("place", "t2"), ("answer", "t2"))
    assert [e.id for e in drop_leaks(train, found)] == ["free"]
    error = leak_error(found.exact[0], found, train + test)
    assert "1 the same, 1 nearly the same, 2 from the same place" in error.message
    assert "'same' and 't1'" in error.message


def test_the_same_words_in_another_conversation_are_no_leak() -> None:
    def talk(name: str, before: str) -> Example:
        turns = (
            Message(role="user", content=before),
            Message(role="assistant", content="Shall I go on?"),
            Message(role="user", content="Yes, please."),
        )
        return Example(id=name, messages=turns, references=("a",))

    one, two = (
        talk("1", "Tell me about wells and how deep they are dug."),
        talk("2", "Which potatoes grow in sandy soil?"),
    )
    assert leaks([one], [two]).exact == leaks([one], [two]).near == ()
    assert leaks([talk("3", "tell me about wells, and how deep they are dug")], [one]).exact == (("3", "1"),)


def test_the_same_question_on_another_document_with_another_answer_is_no_leak() -> None:
    one = ask("1", "Summarise the meeting.", "They met.", sources=("m1",))
    two = ask("2", "Summarise the meeting.", "They quarrelled.", sources=("m2",))
    assert leaks([one], [two]).exact == ()
    assert leaks([one], [ask("3", "Summarise the meeting.", "They met", sources=("m2",))]).exact == (("1", "3"),)
    assert leaks([one], [ask("4", "Summarise the meeting.", "x")]).exact == (("1", "4"),)


def test_questions_of_one_template_with_other_answers_all_stay() -> None:
    asked = [ask(str(n), f"Which shelf of the store holds part {n}?", f"shelf {7 * n + 3}") for n in range(60)]
    found = leaks(asked[:30], asked[30:])
    assert (found.exact, found.near) == ((), ())
    assert leaks(asked[:30], [*asked[30:], ask("x", "Which shelf of the store holds part 3?", "shelf 24")]).exact


def test_closed_choices_are_no_place() -> None:
    one = ask("1", "Is it deep?", "yes", sources=("d",), choices=("yes", "no"))
    assert leaks([one], [ask("2", "Has it water?", "yes", sources=("d",), choices=("yes", "no"))]).span == ()


def similarity(a: str, b: str) -> float:
    left, right = ({t[i : i + 5] for i in range(max(1, len(t) - 4))} for t in (bare(a), bare(b)))
    return len(left & right) / len(left | right)


@given(
    texts=st.lists(st.text("ab cd", min_size=1, max_size=25), min_size=2, max_size=14, unique_by=bare),
    cut=st.integers(1, 13),
)
@settings(max_examples=300, deadline=None)
def test_near_copies_are_exactly_those_at_the_threshold(texts: list[str], cut: int) -> None:
    made = [ask(str(i), text) for i, text in enumerate(texts)]
    train, test = made[:cut], made[cut:]
    found = leaks(train, test)
    wanted = {e.id for e in train if any(similarity(e.question, t.question) >= NEAR for t in test)}
    assert {name for name, _ in found.near} == wanted
    assert found.exact == ()


def test_ten_thousand_against_three_thousand_in_seconds() -> None:
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnopqrst", k=chance.randint(2, 9))) for _ in range(800)]
    made = [ask(str(i), "what is the " + " ".join(chance.choices(words, k=10)) + " of it?") for i in range(12_950)]
    planted = [ask(f"p{i}", e.question.replace("what is", "what was")) for i, e in enumerate(made[-50:])]
    started = time.process_time()
    found = leaks([*made[:9950], *planted], made[9950:])
    assert time.process_time() - started < 20
    assert {name for name, _ in found.near} >= {f"p{i}" for i in range(50)}
    assert len(found.near) < 60


@pytest.mark.parametrize("name", ["agxqa", *whole_sets("banking77", "mtrag")])
def test_real_sets_after_dropping_have_no_leak(name: str) -> None:
    examples, _ = load_examples(["examples*"], folder(name))
    made = split(examples, ExamplesSection(split_by="question"))
    planted = replace(made.test[0], id="planted")
    found = leaks([*made.train, planted], made.test)
    assert ("planted", made.test[0].id) in found.exact
    again = leaks(drop_leaks([*made.train, planted], found), made.test)
    assert again.pairs == ()


ASKED = "Which valve must be closed before the boiler of the north wing is drained?"


@pytest.mark.parametrize(
    "copy",
    [
        f"<p>{ASKED.replace('boiler', '<b>boiler</b>')}</p>",
        ASKED.replace(" ", "&nbsp;"),
        f"**Question:** _{ASKED}_",
        f'<div class="faq"><a href="#7">{ASKED}</a></div>',
    ],
)
def test_a_copy_in_mark_up_leaks(copy: str) -> None:
    test = [ask("t", ASKED, "the red bypass valve")]
    assert leaks([ask("copy", copy, "the red bypass valve")], test).near == (("copy", "t"),)
    assert not leaks([ask("copy", copy, "the main cock")], test).pairs, "another answer gives nothing away"


def test_a_test_question_answered_within_a_training_answer_leaks() -> None:
    test = [ask("t", ASKED, "the red bypass valve")]
    listed = f"FAQ\n\nQ: {ASKED}\nA: the red bypass valve\n\nQ: Who has the key?\nA: the janitor"
    train = [
        ask("list", "Write the FAQ of the boiler room.", listed),
        ask("names", "Which questions are asked of the boiler room?", f"{ASKED} Who has the key of the room?"),
    ]
    assert leaks(train, test).history == (("list", "t"),)
