"""Numbers with units: read as values in any usual writing, and compared as an exam would."""

from __future__ import annotations

import gzip
import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data_sets import folder, whole_sets
from twofold.errors import ConfigError
from twofold.metrics.quantities import NumericMatch, quantities
from twofold.metrics.units import unit_of
from twofold.plugins import loading
from twofold.study.scorer_check import self_test
from twofold.testing.conformance_metric import PROMISES, Subject
from twofold.types import Answer, Example, Message


def example(question, *references, number=0):
    messages = (Message(role="user", content=question),)
    return Example(id=f"e{number}", messages=messages, references=references)


def score(question, text, reference, **options):
    metric = NumericMatch(NumericMatch.Options(**options))
    return metric.score(example(question, reference), Answer(text=text))


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("1,234.5 km", "1234.5", "length"),
        ("1.234,5 km", "1234.5", "length"),
        ("1 234 567 €", "1234567", "€"),
        ("1’000 CHF", "1000", "CHF"),
        ("12 %", "12", "share"),
        ("12 per cent", "12", "share"),
        ("12 por ciento", "12", "share"),
        ("$5 million", "5000000", "$"),
        ("€1.2bn", "1200000000", "€"),
        ("$5M", "5000000", "$"),
        ("USD 5", "5", "$"),
        ("5 m", "5", "length"),
        ("-5 °C", "-5", "temperature"),
        ("25 km²", "25", "area"),
        ("40 litres", "40", "volume"),
        ("twelve days", "12", "time"),
        ("2,5 kg", "2.5", "mass"),
        ("100,000", "100000", None),
        ("3/4", "0.75", None),
        ("3.5e3 m/s", "3500", "speed"),
        ("80 km per hour", "80", "speed"),
        ("Rs 5 lakh", "500000", None),
        ("三 5公里", "5", "length"),
        ("٤٢", "42", None),
    ],
)
def test_a_number_is_its_value_with_its_unit(text, value, kind):
    (quantity,) = quantities(text)
    assert quantity.value == Fraction(value)
    assert (quantity.unit.kind if quantity.unit else None) == kind


@pytest.mark.parametrize(
    ("question", "text", "reference", "right"),
    [
        ("How far?", "It is 5,000 m away.", "5 km", 1),
        ("How far?", "8 km", "5 miles", 1),
        ("How far?", "0 km", "500 ft", 0),
        ("How far?", "6 km", "5 km", 0),
        ("How far?", "5 kg", "5 km", 0),
        ("How many kilometres?", "5", "5 km", 1),
        ("How much?", "5", "5 km", 0),
        ("Wie weit ist es?", "1.234 m", "1234 m", 1),
        ("How far is it?", "1.234 m", "1234 m", 0),
        ("Wie viel kostet es?", "3,50 €", "3.50 €", 1),
        ("What was it?", "In 2019 it was $5.0 million.", "$5,000,000", 1),
        ("How many?", "It was 41, or 42", "42", 0),
        ("How many?", "It is not 42.", "42", 0),
        ("How warm?", "77 °F", "25 °C", 1),
        ("How warm?", "298.15 K", "25 °C", 1),
        ("How warm?", "minus 5 °C", "-5 °C", 1),
        ("How warm?", "minus 5 °C", "5 °C", 0),
        ("How much is left?", "8 minus 5 is 3", "3", 0),
        ("How much?", "5 dollars", "5 euros", 0),
        ("How much?", "12 percent", "12 %", 1),
        ("How long?", "at least 5 days", "5 days", 0),
        ("How long?", "at least 5 days", "≥ 5 days", 1),
        ("How long?", "5 to 7 days", "5-7 days", 1),
        ("How long?", "5 days", "5-7 days", 0),
        ("How long?", "60 minutes", "1 hour", 1),
        ("How long?", "61 minutes", "1 hour", 0),
        ("How far?", "26.2188 miles", "42 km", 1),
        ("How many?", "1" * 20_000, "5", 0),
        ("How many?", "about 42", "42", 1),
        ("Of the 30 fields how many?", "12 of the 30 fields", "12", 1),
        ("How much?", "five", "5", 1),
    ],
)
def test_an_answer_gives_the_quantity_or_another(question, text, reference, right):
    assert score(question, text, reference) == right


def test_tolerance_and_decimal_sign_are_options():
    assert score("?", "101", "100") == 0
    assert score("?", "101", "100", tolerance=0.02) == 1
    assert score("?", "100.4 kg", "100 kg", absolute=0.5) == 1
    assert score("?", "1.234", "1234", decimal="comma") == 1
    assert score("?", "1.234", "1234", decimal="point") == 0
    with pytest.raises(ValidationError, match="less than 1"):
        NumericMatch.Options(tolerance=2)
    with pytest.raises(ConfigError, match="did you mean 'tolerance'"):
        loading.options("metrics", "numeric_match", {"tolerence": 0.1})


@settings(max_examples=40, deadline=None)
@given(value=st.integers(1, 10**9), unit=st.sampled_from(("km", "m", "kg", "g", "h", "min", "kWh", "l", "ha")))
def test_a_value_is_itself_in_every_writing(value, unit):
    texts = (f"{value:,} {unit}", f"{value:,}".replace(",", " ") + unit, f"{value}.0 {unit}", f"{value} {unit}.")
    for text in texts:
        assert score("How much is it?", f"The answer is {text}", f"{value} {unit}") == 1
    assert score("How much is it?", f"{value + 1} {unit}", f"{value} {unit}") == 0


def test_units_convert_within_their_kind_only():
    assert unit_of("square metres") == unit_of("m²")
    assert unit_of("kg/ha").kind == "mass per area"
    assert unit_of("fields") is None
    assert unit_of("mW").factor * 10**9 == unit_of("MW").factor


EXAMPLES = [
    example("How far?", "5 km", number=0),
    example("How much?", "$3.50", "3.50 dollars", number=1),
    example("How warm?", "-5 °C", number=2),
    example("Who?", "nobody", number=3),
    example("What share?", "12.5 %", number=4),
]


@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(promise):
    promise(Subject(metric=NumericMatch(NumericMatch.Options()), examples=EXAMPLES))


def numeric(name):
    path = next(folder(name).glob("examples.jsonl*"))
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    found = []
    for number, row in enumerate(rows):
        references = tuple(row.get("answers", ()))
        if references and all(len(text) < 40 and quantities(text) for text in references):
            found.append(example(row["question"], *references, number=number))
    return found


@pytest.mark.parametrize("name", ["agxqa", *whole_sets("xquad", "covidqa")])
def test_gold_and_shuffled_gold_on_real_questions(name):
    report = self_test(NumericMatch(NumericMatch.Options()), numeric(name))
    assert report["gold"] == 1
    assert report["shuffled"] < 0.2
    assert report["n"] >= 10
