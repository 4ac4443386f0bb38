"""What a reference is written in: instructions for people, formulas of chemistry and brackets in prose are no code."""

from __future__ import annotations

import pytest

from twofold.metrics.formal import language
from twofold.metrics.overlap import AnswerF1, RougeL, TokenF1
from twofold.metrics.text import words
from twofold.plugins import protocols


@pytest.mark.parametrize(
    "text",
    [
        "Select Tools > Options > Print",
        "Select the first item (left).",
        "Select a size (S or M)",
        "Delete from basket (top left)",
        "Update the clock set (back)",
        "Create table bookings (online)",
        "Insert into port C (right)",
        "With thanks as (ever)",
        "SELECT panel (Senate)",
        "Mg(OH)2",
        "Al2(SO4)3",
        "H2SO3(aq)",
        "CH4(g)",
        "child(ren)",
        "[T-shirt]",
        "[e-book]",
        "[2-4 hours]",
        "and\\or",
        "HI\\LO",
        "class C: lorries",
        "return (before noon)",
        "while (in stock)",
        "from Spain import oil",
        "package deal;",
        "using steam;",
        "print(s) of a bear",
        "#include all",
        "class war",
    ],
)
def test_prose(text: str) -> None:
    assert language(text) == ""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SELECT city FROM towns", "sql"),
        ("select t.a from t join u on t.x = u.x", "sql"),
        ("SELECT COUNT(*) FROM towns;", "sql"),
        ("select max(a) from t;", "sql"),
        ("SELECT now()", "sql"),
        ("with t as (select 1) select * from t", "sql"),
        ("insert into t (a) values (1)", "sql"),
        ("update t set a = 1", "sql"),
        ("DELETE FROM t WHERE a < 3", "sql"),
        ("CREATE TABLE t (id INT)", "sql"),
        ("from os import path", "code"),
        ("class A:\n    x = 1", "code"),
        ("return (a + b)", "code"),
        ("return [x for x in y]", "code"),
        ("while (true) {", "code"),
        ("#include <math.h>", "code"),
        ("using System.Text;", "code"),
        ("[a-z]+\\d", "code"),
        ("x\\cdot y", "code"),
        ("\\alpha + 1", "code"),
        ("rows[2]", "code"),
    ],
)
def test_queries_and_code(text: str, kind: str) -> None:
    assert language(text) == kind


@pytest.mark.parametrize(
    ("reference", "answer"),
    [("Mg(OH)2", "It is Mg(OH)₂."), ("Select Tools > Options", "In the menu, select Tools > Options.")],
)
def test_what_is_no_code_may_be_said_in_a_sentence(reference: str, answer: str) -> None:
    assert AnswerF1(protocols.Options()).compare(answer, reference) == 1


@pytest.mark.parametrize(
    ("reference", "half", "other"),
    [
        ("上海市浦东新区", "上海市", "北京城"),
        ("東京タワー", "東京", "大阪城"),
        ("กรุงเทพมหานคร", "กรุงเทพ", "เชียงใหม่"),
        ("ភ្នំពេញ", "ភ្នំ", "ប៉ៃលិន"),
        ("ရန်ကုန်မြို့", "ရန်ကုန်", "မန္တလေး"),
    ],
)
def test_scripts_without_blanks_are_scored_by_characters(reference: str, half: str, other: str) -> None:
    for metric in (RougeL(protocols.Options()), TokenF1(protocols.Options())):
        assert metric.compare(reference, reference) == 1
        assert metric.compare(half, reference) > 0.4
        assert metric.compare(other, reference) < metric.compare(half, reference)


def test_a_mark_that_combines_with_a_letter_is_part_of_the_word() -> None:
    # Of Thai: "eat" and "bite", which differ in a vowel that is a mark; of Hindi: one word is no three.
    assert RougeL(protocols.Options()).compare("กิน", "กัน") < 1
    assert words("दिल्ली शहर") == ("दिल्ली", "शहर")
    assert words("naïve café, résumé_x") == ("naïve", "café", "résumé", "x")
