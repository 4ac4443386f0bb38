"""Each kind of fault is planted and found; what is clean stays quiet."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_sets import folder, whole_sets
from installed import needs
from twofold.examples.loading import load_examples
from twofold.examples.quality.inspect import PARTS, copies, inspect, privacy, verbatim
from twofold.examples.quality.labels import noise, undeclared
from twofold.examples.quality.text import repaired
from twofold.text.privacy import masked, private
from twofold.types import Document, Example, Message, Problem

needs("sklearn", reason="the extra data is not installed")

NOUNS = (
    "pump", "valve", "field", "meter", "tank", "hose", "filter", "sensor", "gate", "ditch", "well", "pipe", "motor",
    "cable", "timer",
)  # fmt: skip


def ask(name: str, text: str, *references: str, **fields: Any) -> Example:
    number = int("".join(c for c in name if c.isdigit()) or 0) + 1
    return Example(
        id=name,
        messages=(Message(role="user", content=text),),
        references=references or ("a",),
        file="e.jsonl",
        line=number,
        **fields,
    )


def clean_set(count: int = 120) -> list[Example]:
    """Different questions with whole answers of about the same length."""
    chance = random.Random(5)
    made = []
    for number in range(count):
        a, b, c = chance.sample(NOUNS, 3)
        text = f"What should I do when the {a} number {number * 7919} next to the {b} leaks into the {c}?"
        answer = f"Close the {b} first, then look at the {a} and call the {chance.choice(NOUNS)} service in town."
        made.append(ask(f"q{number}", text, answer))
    return made


def codes(found: list[Problem]) -> Counter[str]:
    return Counter(p.code for p in found)


def test_a_clean_set_is_quiet() -> None:
    assert inspect(clean_set()) == []


PLANTED: dict[str, tuple[dict[str, Any], str, str]] = {
    "mojibake": ({"text": "Why is the cafÃ© near the old pump closed today?"}, "data.encoding", "repair"),
    "lost": ({"text": "Why is the caf\ufffd near the old pump closed today?"}, "data.lost-characters", "look"),
    "cut": ({"answer": "Close the valve first, then look at the pump and call the"}, "data.truncated", "look"),
    "open": ({"answer": "Close the valve (the one near the tank and call the service now"}, "data.truncated", "look"),
    "placeholder": ({"answer": "TODO"}, "data.placeholder", "look"),
    "long": ({"answer": "Close the valve and look at the pump. " * 60}, "data.length", "look"),
    "german": (
        {"text": "Was soll ich tun, wenn die Pumpe neben dem Brunnen leckt und der Keller unter Wasser steht?"},
        "data.language",
        "look",
    ),
    "greek": ({"text": "Τι πρέπει να κάνω όταν στάζει η αντλία;"}, "data.language", "look"),
    "email": ({"text": "What should I do when mary.poppins@example.org asks for the pump?"}, "data.personal", "mask"),
    "secret": ({"answer": "Use the key AKIAIOSFODNN7EXAMPLE for the pump service in the town."}, "data.secret", "mask"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_at_its_place(name: str) -> None:
    change, code, action = PLANTED[name]
    examples = clean_set()
    bad = examples[40]
    bad = replace(bad, messages=(Message(role="user", content=change.get("text", bad.question)),))
    examples[40] = replace(bad, references=(change.get("answer", bad.references[0]),))
    found = [p for p in inspect(examples) if name != "placeholder" or p.code != "data.length"]  # it is short, too
    assert [(p.code, p.action, p.example, p.file, p.line) for p in found] == [(code, action, "q40", "e.jsonl", 41)]
    assert found[0].message
    assert found[0].cure


def test_copies_and_what_stands_in_two_splits() -> None:
    same = "Why has the big pump behind the barn stopped today?"
    examples = [
        ask("e0", same, "air", split="train"),
        ask("e1", "why has the big pump behind the barn stopped today", "Air.", split="train"),
        ask("e2", "Why has the big pump behind the barns stopped today?", "air", split="train"),
        ask("e3", "How often must I clean the sand filter of the well?", "weekly", split="train"),
        ask("e4", "How often must I clean the sand filter of the well?", "weekly", split="test"),
        ask("e5", "When does the gate open?", "at six", split="train"),
        ask("e6", "When does the gate open?", "at 6 a.m.", split="train"),
    ]
    found = {p.example: (p.code, p.action, p.other) for p in copies(examples)}
    assert found == {
        "e1": ("data.duplicate", "drop", "e.jsonl:1"),
        "e2": ("data.near-duplicate", "drop", "e.jsonl:1"),
        "e3": ("data.leak", "drop", "e.jsonl:5"),
        "e6": ("data.more-answers", "merge", "e.jsonl:6"),
    }


def test_contradictory_labels_are_errors_to_look_at() -> None:
    examples = [ask(f"e{i}", f"{NOUNS[i % 15]} {i} broke down", ("repair", "order")[i % 2]) for i in range(30)]
    examples += [ask("e30", "please send me a new timer", "order"), ask("e31", "Please send me a new timer!", "repair")]
    (found,) = [p for p in copies(examples) if p.example == "e31"]
    assert (found.code, found.severity, found.action, found.other) == (
        "data.contradiction",
        "error",
        "look",
        "e.jsonl:31",
    )


def test_answers_that_decline_are_named_without_a_project_too() -> None:
    made = clean_set()
    made[4] = replace(made[4], references=("The report does not mention the valve.",))
    made[6] = replace(made[6], references=("The sources give no indication of that.",))
    (found,) = [one for one in inspect(made) if one.code == "data.declining-answer"]
    assert (found.severity, found.line) == ("warning", 5)
    assert "2 examples have an answer that declines" in found.message


def test_labels_outside_the_declared_set() -> None:
    (found,) = undeclared([ask("e0", "x", "order"), ask("e1", "y", "oder")], ["order", "repair"])
    assert (found.severity, found.line, found.cure) == ("error", 2, "Did you mean 'order'?")


def test_label_noise_finds_planted_errors(data_root: Path) -> None:
    """Confident learning against 3 % of random wrong labels: most are found, and the order puts them first."""
    examples = [e for e in load_examples(["examples*"], data_root / "banking77")[0] if e.split == "train"][:3000]
    chance = random.Random(3)
    names = sorted({e.references[0] for e in examples})
    bad = set(chance.sample(range(len(examples)), 90))
    planted = [
        replace(e, references=(chance.choice([n for n in names if n != e.references[0]]),)) if i in bad else e
        for i, e in enumerate(examples)
    ]
    found = [p.example for p in noise(planted)]
    wrong = {examples[i].id for i in bad}
    assert len(wrong & set(found)) >= 0.45 * len(wrong)
    assert len(wrong & set(found[:40])) >= 28
    assert len(noise(examples)) < 0.03 * len(examples)


def test_questions_that_stand_in_the_documents() -> None:
    faq = "Opening hours. When does the office in the old town open on Monday? It opens at nine. Bring your card."
    examples = [ask("e0", "When does the office in the old town open on Monday?", "at nine")]
    (found,) = verbatim(examples, [Document(id="faq", title="", text=faq, source="faq.md")])
    assert (found.code, found.other) == ("data.in-documents", "faq.md")
    assert (
        verbatim(examples, [Document(id="d", title="", text="The office opens at nine on Monday.", source="d")]) == []
    )


PRIVATE = {
    "4111 1111 1111 1111": "payment card",
    "DE89 3704 0044 0532 0130 00": "IBAN",
    "078-05-1120": "social security number",
    "+49 30 1234567": "phone number",
    "(212) 555-0187": "phone number",
    "ann@example.org": "email",
    "203.0.113.77": "IP address",
    "ghp_" + "a1B2" * 9: "GitHub token",
    "sk-ant-" + "x9Yz" * 8: "model provider's key",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----": "private key",
}
HARMLESS = (
    "4111 1111 1111 1112", "DE89 3704 0044 0532 0130 01", "order 1234-5678", "version 1.2.3.4", "in 2024-05-17",
    "10.000.000 people", "my password is incorrect", "0.000123456789012345", "+1 point", "room 212-555",
    "it costs 4,111.00 euros", "sk-8 board", "call 911", "the password is wrong, help",
)  # fmt: skip


@pytest.mark.parametrize("text", PRIVATE)
def test_private_data_is_found_and_masked(text: str) -> None:
    whole = f"Please take {text} for it, thanks."
    (place,) = private(whole)
    assert (whole[place.start : place.end], place.kind) == (text, PRIVATE[text])
    assert text not in masked(whole)
    assert masked(masked(whole)) == masked(whole)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_alike_is_left(text: str) -> None:
    assert private(f"Well, {text} and so on.") == []


def test_passwords_that_are_called_so() -> None:
    assert [p.kind for p in private('password: "tr0ub4dor&3x" ok')] == ["password"]
    assert [p.kind for p in private("postgres://ann:s3cret@db.example.org/x")] == ["password in an address"]


def test_values_are_not_told() -> None:
    (found,) = privacy([ask("e0", "Mail ann@example.org about it.")])
    assert "ann" not in found.message


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_repairing_and_masking_settle(text: str) -> None:
    assert repaired(repaired(text)) == repaired(text)
    assert masked(masked(text)) == masked(text)


@pytest.mark.parametrize("name", ["agxqa", "samples/mts_dialog", *whole_sets("mts_dialog")])
def test_real_sets_have_few_findings_that_remove(name: str) -> None:
    """Curated sets: less than 8 % is dropped, nothing is called an error, secrets are none."""
    examples = load_examples(["examples*"], folder(name))[0]
    found = inspect(examples)
    assert sum(p.action == "drop" for p in found) < 0.08 * len(examples)
    assert not [p for p in found if p.severity == "error" or p.code == "data.secret"]
    assert set(PARTS) >= {"copies", "private"}


def test_labels_that_differ_only_in_case_or_blanks_are_one_finding_and_no_doubt() -> None:
    words = {"Refund": "money back please", "refund ": "money back now", "delivery": "where is the parcel"}
    examples = [ask(f"{label}{n}", f"{text} number {n}", label) for label, text in words.items() for n in range(30)]
    found = [p for p in inspect(examples) if p.code in ("data.label-spelling", "data.label-noise")]
    assert [p.code for p in found] == ["data.label-spelling"]
    assert "'Refund' (30), 'refund' (30)" in found[0].message
    graded = [ask(f"{grade}{n}", f"the work number {n}", grade) for grade in ("A", "A+", "A-") for n in range(20)]
    assert "data.label-spelling" not in codes(inspect(graded))


def test_questions_that_differ_in_a_figure_sign_or_mark_are_never_copies() -> None:
    asked = [
        "Is the number 17 a prime among the numbers of the second list?",
        "Is the number 13 a prime among the numbers of the second list?",
        "Is a + b greater than the sum of all the others on the list?",
        "Is a - b greater than the sum of all the others on the list?",
        "इस पुस्तक में पिता किसे कहते हैं और क्यों कहते हैं?",
        "Who wrote the first book that is about the language C and its history?",
        "Who wrote the first book that is about the language C++ and its history?",
        "Who wrote the first book that is about the language C# and its history?",
    ]
    assert copies([ask(str(n), text, "yes") for n, text in enumerate(asked)]) == []
    spelled = [ask("1", "पिता किसे कहते हैं?", "father"), ask("2", "पोता किसे कहते हैं?", "grandson")]
    assert copies(spelled) == []
    again = [ask("1", "Is a + b more?", "yes"), ask("2", "is  a+b more", "yes")]
    assert [p.code for p in copies(again)] == ["data.duplicate"]
