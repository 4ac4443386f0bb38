from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_sets import folder, whole_sets
from twofold.config import Config
from twofold.text.privacy import FORMS, luhn, private
from twofold.traffic import national_ids, redaction
from twofold.traffic.redaction import Redactor

# kind, text with what is to be found between braces; numbers are made up, with their right check digits
PLANTED = [
    ("email", "Please write to {ann.lee+x@mail.example.com} today"),
    ("email", "Schreiben Sie an {j.müller@firma.example}, danke"),
    ("email", "Пишите на {иван.петров@почта.example}, спасибо"),
    ("email", "for {anna.o'neil@mail.example}"),
    ("phone", "Appelez le {01.23.45.67.89} demain"),
    ("phone", "我的电话是{13812345678}"),
    ("phone", "reach me on {415 555 0132} please"),
    ("bank", "iban: {de89370400440532013000}"),
    ("national id", "cpf {52998224725}"),
    ("national id", "AHV {7569217076985}"),
    ("secret", "Das Passwort ist {Geheim123!}"),
    ("secret", "Authorization: Bearer {abcdef1234567890ABCDEF}"),
    ("secret", "aws_secret_access_key = {wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY}"),
    ("phone", "Call me at {+44 20 7946 0018} please"),
    ("phone", "My number: {(415) 555-0132}"),
    ("phone", "Rückruf unter {030 / 901820} erbeten"),
    ("phone", "Mein Handy ist {01512 3456789}"),
    ("phone", "Téléphone {06 12 34 56 78}"),
    ("phone", "dial {0049 30 901820}"),
    ("phone", "Mi teléfono es {612 345 678}"),
    ("phone", "tel. {5551234}"),
    ("bank", "Überweisen Sie auf {DE89 3704 0044 0532 0130 00}."),
    ("bank", "IBAN {GB82WEST12345698765432}"),
    ("card", "card {4111 1111 1111 1111} exp 12/30"),
    ("card", "Karte {5500005555555559}"),
    ("ip", "from {203.0.113.77} yesterday"),
    ("ip", "host {2001:db8:85a3::8a2e:370:7334} is down"),
    ("national id", "SSN {123-45-6789}"),
    ("national id", "Steuer-ID {86 095 742 719}"),
    ("national id", "NIR {2 55 08 14 168 025 38}"),
    ("national id", "DNI {12345678Z}"),
    ("national id", "NIE {X1234567L}"),
    ("national id", "codice fiscale {RSSMRA85T10A562S}"),
    ("national id", "PESEL {44051401359}"),
    ("national id", "CPF {529.982.247-25}"),
    ("national id", "AHV {756.9217.0769.85}"),
    ("national id", "personnummer {811218-9876}"),
    ("national id", "BSN {111222333}"),
    ("national id", "NI number {AB 12 34 56 C}"),
    ("secret", "key {AKIAIOSFODNN7EXAMPLE} leaked"),
    ("secret", "use {sk-proj-abcdefghijklmnopqrstuvwx}"),
    ("secret", "{eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N}"),
    ("secret", "https://{bob:hunter22}@host.example/path"),
    ("secret", "my password is {Tr0ub4dor&3x}"),
]
HARMLESS = [
    "The order 2024-10-12 cost 1,234.56 euros and weighs 012 kg",
    "Version 1.2.3.4 of std::vector in RFC 2616, at 10:30:45",
    "Invoice 86095742718, account DE00 1234, see § 203 StGB",
    "What happened in 1945, 1946 and 1947 at latitude 52.520008?",
    "ISBN 978-3-16-148410-0, page 123-45, chapter 12345678A",
    "carried out from 01/2000 - 12/2006, or 2024-01-02 10:30, 01.02.2024 10",
    "0.75 0,5 007 0 12 34, 05 06",
]
"""With wrong check digits, or of another form; nothing of it is anybody's."""


@pytest.mark.parametrize(("kind", "marked"), PLANTED)
def test_what_is_planted_is_redacted_and_nothing_beside_it(kind: str, marked: str) -> None:
    counts: Counter[str] = Counter()
    before, _, rest = marked.partition("{")
    planted, _, after = rest.partition("}")
    redacted = Redactor().redacted(f"{before}{planted}{after}", counts)
    assert redacted.startswith(before)
    assert redacted.endswith(after)
    assert planted not in redacted
    assert counts == {kind: 1}


@pytest.mark.parametrize("text", HARMLESS)
def test_numbers_that_are_nobodys_stay(text: str) -> None:
    assert Redactor().plain(text) == text


def test_only_the_chosen_kinds_are_redacted_and_further_patterns_are() -> None:
    counts: Counter[str] = Counter()
    redactor = Redactor(["email"], {"staff number": r"EMP-(\d{4})?"})
    text = redactor.redacted("EMP-1234 and EMP- wrote a@b.example from 203.0.113.77", counts)
    assert text == "EMP-[STAFF NUMBER] and [STAFF NUMBER] wrote [EMAIL] from 203.0.113.77"
    assert counts == {"staff number": 2, "email": 1}


def test_a_pattern_that_may_hang_is_refused_where_it_is_set() -> None:
    with pytest.raises(ValueError, match=r"staff.*10,000 ways"):
        Config.model_validate({"traffic": {"log": "full", "patterns": {"staff": "(a+)+$"}}})


@settings(max_examples=50)
@given(st.text(alphabet="0123456789 +-/.:@abAB[](){}=", max_size=200))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    redactor = Redactor()
    # What comes between two places may become one only by the first redaction; three times are then as two.
    twice = redactor.plain(redactor.plain(text))
    assert redactor.plain(twice) == twice


@settings(max_examples=100)
@given(st.lists(st.sampled_from([marked for _, marked in PLANTED]) | st.text(max_size=20), max_size=4))
def test_a_quick_look_misses_nothing(parts: list[str]) -> None:
    text = " ".join(parts).replace("{", "").replace("}", "")
    every = (*redaction._FIRST, *FORMS, *national_ids.FORMS, *redaction._FURTHER)
    assert Redactor().places(text) == private(text, every)


def test_names_of_people_stay() -> None:
    """A documented miss: no form tells a name."""
    assert Redactor().plain("Ann Lee of Mill Lane 4 was born on 3 May 1970") == (
        "Ann Lee of Mill Lane 4 was born on 3 May 1970"
    )


def test_what_was_recognised_before_still_is() -> None:
    assert {kind for kind, *_ in FORMS} >= {"email", "IBAN", "payment card"}
    assert luhn("4111111111111111")


@pytest.mark.parametrize("name", whole_sets("xquad"))
def test_questions_in_three_languages_are_not_taken_for_personal_data(name: str) -> None:
    redactor = Redactor()
    questions: list[str] = []
    for line in (folder(name) / "examples.jsonl").read_text(encoding="utf-8").splitlines()[:300]:
        record = json.loads(line)
        questions += [record["question"], *record["question_in"].values()]
    assert len(questions) >= 900
    assert [question for question in questions if redactor.plain(question) != question] == []
