"""The suite of general ability: sound items, and checks that tell right answers from wrong ones."""

from __future__ import annotations

import json

import pytest

from twofold.forgetting.suite import GROUPS, SuiteItem, general_rows, known_facts, passes, suite

ABSTAINING = "That is not stated in the text."
REFUSING = "I'm sorry, but I can't help with that."


def right(item: SuiteItem) -> str:
    """An answer that has all that the rule wants."""
    rule = item.rule
    if "equals" in rule:
        return str(rule["equals"])
    if "json" in rule:
        return json.dumps(rule["json"])
    if "order" in rule:
        return ", ".join(rule["order"])
    if "lines" in rule:
        return "\n".join(["thing"] * rule["lines"])
    if "count" in rule:
        return " ".join([rule["count"]] * rule["times"])
    if "begins" in rule:
        return f"{rule['begins']} it rains."
    if "ends" in rule:
        return f"Is it so{rule['ends']}"
    if "holds" in rule:
        return str(rule["holds"][0])
    if "first" in rule:
        return str(rule["first"])
    return {"abstention": ABSTAINING, "refusal": REFUSING}.get(rule.get("says", ""), "word")


def test_the_suite_is_whole() -> None:
    items = suite()
    assert len({item.id for item in items}) == len(items) >= 150
    assert {item.group for item in items} == set(GROUPS)
    assert all(len(item.asks) == len(set(item.asks)) == 3 for item in items)
    assert all(item.rule.keys() <= KNOWN for item in items)
    asked = [item.asks[0] for item in items]
    assert len(set(asked)) == len(asked)


KNOWN = {
    *("holds", "last", "first", "of", "equals", "words", "lines", "count", "times", "order"),
    *("begins", "ends", "json", "says"),
}


@pytest.mark.parametrize("item", suite(), ids=lambda item: item.id)
def test_every_item_can_be_answered_and_missed(item: SuiteItem) -> None:
    assert passes(item, right(item))
    assert not passes(item, "")
    wrong = {"abstention": "Blue.", "refusal": "Blue."}.get(item.rule.get("says", ""), f"{ABSTAINING} {REFUSING}")
    assert not passes(item, wrong)


def named(name: str) -> SuiteItem:
    return next(item for item in suite() if item.id == name)


def of(**rule: object) -> SuiteItem:
    return SuiteItem(id="x", skill="x", group="general", asks=("?",), max_tokens=8, rule=dict(rule))


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ({"holds": ["10"]}, "There are 105.", False),
        ({"holds": ["10"]}, "There are 10.", True),
        ({"holds": ["5"], "last": True}, "2 + 3 = 5", True),
        ({"holds": ["2"], "last": True}, "2 + 3 = 5", False),
        ({"first": "fire", "of": ["fire", "ice"]}, "Fire is hotter than ice.", True),
        ({"first": "fire", "of": ["fire", "ice"]}, "Ice is colder than fire.", False),
        ({"first": "its", "of": ["its", "it's"]}, "it’s", False),
        ({"equals": "HELLO"}, '"HELLO".', True),
        ({"equals": "HELLO"}, "Hello", False),
        ({"words": 1, "holds": ["yes"]}, "Yes.", True),
        ({"words": 1, "holds": ["yes"]}, "Yes, it is.", False),
        ({"json": {"age": 30}}, 'Here it is: {"age": 30}', True),
        ({"json": {"age": 30}}, '{"age": "30"}', False),
        ({"order": ["3", "2", "1"]}, "3, 2, 1", True),
        ({"order": ["3", "2", "1"]}, "3, 2, 1, 0", False),
        ({"says": "refusal"}, "I cannot help with that.", True),
        ({"says": "none"}, "The text does not say.", False),
    ],
)
def test_a_rule_is_kept_to(rule: dict[str, object], text: str, expected: bool) -> None:
    assert passes(of(**rule), text) is expected


def test_known_facts_are_rows_with_answers() -> None:
    rows = known_facts()
    assert len(rows) >= 40
    assert all(passes(named(row.example), row.completion) for row in rows)
    assert not any(passes(named(row.example), row.rejected) for row in rows)


def test_general_rows_have_right_answers_of_many_skills() -> None:
    rows = general_rows()
    assert all(passes(named(row.example), row.completion) for row in rows)
    assert len({named(row.example).skill for row in rows}) >= 7
