"""`leaking.bare`: what counts as the same text, for leaks, check and clean alike."""

from __future__ import annotations

import unicodedata
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from twofold.examples.leaks import alike, bare

WORDS = st.sampled_from(
    "well deep pump spring maize नदी पानी বাড়ি வீடு บ้าน كتاب שלום дом год 水 井 élan señor Brunnen tiefe".split()  # noqa: SIM905
)
SENTENCES = st.lists(WORDS, min_size=1, max_size=6)
OPERATORS = "+-*/=<>≤≥≠±×÷^%#&|~!@$€√"
MARKS = [chr(c) for c in (0x301, 0x308, 0x327, 0x93F, 0x94B, 0x941, 0x9BF, 0xBC0, 0xE31, 0x64E, 0x651, 0x5B8)]


@given(before=SENTENCES, after=SENTENCES, digits=st.lists(st.integers(0, 9999), min_size=2, max_size=2, unique=True))
@settings(max_examples=200, deadline=None)
def test_another_number_is_another_text(before: list[str], after: list[str], digits: list[int]) -> None:
    one, two = (" ".join([*before, str(number), *after]) for number in digits)
    assert bare(one) != bare(two)
    assert bare(one) != bare(" ".join([*before, f"-{digits[0]}", *after]))
    assert bare(one) != bare(" ".join([*before, f"{digits[0]}.{digits[1]}", *after]))


@given(left=WORDS, right=WORDS, signs=st.lists(st.sampled_from(OPERATORS), min_size=2, max_size=2, unique=True))
@settings(max_examples=200, deadline=None)
def test_another_operator_or_none_is_another_text(left: str, right: str, signs: list[str]) -> None:
    one, two = (f"what is {left} {sign} {right} then" for sign in signs)
    assert bare(one) != bare(two)
    assert bare(one) != bare(f"what is {left} {right} then")
    assert bare(f"{left}{signs[0]}{right}") != bare(f"{left}{signs[1]}{right}")


@given(words=SENTENCES, marks=st.lists(st.sampled_from(MARKS), min_size=2, max_size=2, unique=True))
@settings(max_examples=200, deadline=None)
def test_another_mark_on_a_letter_is_another_text(words: list[str], marks: list[str]) -> None:
    one, two = (" ".join([*words, f"a{mark}b"]) for mark in marks)
    assume(unicodedata.normalize("NFC", one) != unicodedata.normalize("NFC", two))
    assert bare(one) != bare(two)
    assert bare(one) != bare(" ".join([*words, "ab"]))


@given(
    words=SENTENCES,
    blanks=st.lists(st.sampled_from([" ", "  ", "\t", "\n", "\u00a0", "\u3000"]), min_size=6, max_size=6),
    end=st.sampled_from(["", ".", "?", " ?", "!", "…", "?!", "。", "؟", "।", "？"]),
    form=st.sampled_from(["NFC", "NFD"]),
)
@settings(max_examples=300, deadline=None)
def test_blanks_encoding_and_the_last_mark_make_no_difference(
    words: list[str], blanks: list[str], end: str, form: str
) -> None:
    other = "".join(word + blank for word, blank in zip(words, blanks, strict=False)) + end
    assert bare(unicodedata.normalize(form, other)) == bare(" ".join(words))


@given(text=st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_comparing_takes_any_text_and_settles(text: str) -> None:
    assert bare(f"{text}\u200b") == bare(text)
    assert bare(unicodedata.normalize("NFD", text)) == bare(unicodedata.normalize("NFC", text))


DIFFERENT = [
    ("Who wrote C?", "Who wrote C++?", "Who wrote C#?"),
    ("7 + 3", "7 - 3", "7 * 3", "7 / 3", "73", "7 3"),
    ("12 mW", "12 MW"),
    ("x²", "x2"),
    ("2½", "21/2"),
    ("192.16.81.11", "192.168.1.11"),
    (".NET", "NET"),
    ("grade A", "grade A+", "grade A-"),
    ("माता", "मोती"),
    ("ครู", "คร"),
    ("Maße", "Masse"),
    ("(a + b) * c", "a + b * c"),
    ("n!= 3", "n = 3"),
    ("SELECT x WHERE y = '1'", "SELECT x WHERE y = 1"),
    ('{"a": "1"}', '{"a": 1}', '{"a": null}', '{"a": "null"}'),
    ("5 %", "5 ‰", "5"),
    ("Who leads the WHO in Rome?", "Who leads the who in Rome?"),
    ("7 Mg of grain", "7 mg of grain"),
    ("what does \\W match", "what does \\w match"),
    ("is 9' enough", 'is 9" enough'),
]
SAME = [
    ("When, in spring, is the maize watered?", "when in spring is the maize watered"),
    ("4+4", "4 + 4"),
    ("6 − 1", "6 - 1", "6 – 1"),
    ("“Deep” wells", '"deep" wells', "deep wells"),
    ("It’s deep.", "it's deep"),
    ("１２ ｍ", "12 m"),
    ('{"a": [1, 2], "b": 3}', '{ "b":3,"a":[1,2] }', '{"a": [1.0, 2], "b": 3}'),
    ("水井多深？", "水井多深"),
    ("HOW DEEP IS THE WELL", "How deep is the well"),
    ('{"a": 1}\u200b', '{"a":1}'),
]


@pytest.mark.parametrize("texts", DIFFERENT, ids=lambda t: t[0])
def test_these_differ(texts: tuple[str, ...]) -> None:
    assert all(bare(one) != bare(two) for one, two in combinations(texts, 2))


@pytest.mark.parametrize("texts", SAME, ids=lambda t: t[0])
def test_these_are_the_same(texts: tuple[str, ...]) -> None:
    assert len({bare(text) for text in texts}) == 1


def test_answers_are_alike_when_one_holds_the_other_and_never_with_other_numbers() -> None:
    assert alike(bare("12 m"), bare("12 m deep"))
    long = "It is dug by hand in late spring, when the ground is soft and the water of the wells stands low"
    assert alike(bare(f"{long}."), bare(long.replace("spring", "springs")))
    assert not alike(bare("12 m"), bare("13 m"))
    assert not alike(bare("It was dug in the long year of 1931"), bare("It was dug in the long year of 1932"))
    assert not alike(bare("blue"), bare("red"))
    assert not alike("", bare("red"))
