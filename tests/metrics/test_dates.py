"""Dates: one day in every usual writing, and no other day."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from twofold.metrics.dates import Date, DateMatch, dates
from twofold.study.scorer_check import self_test
from twofold.testing.conformance_metric import PROMISES, Subject
from twofold.types import Answer, Example, Message

DAY = Date(year=2021, month=4, day=3)


def example(*references, number=0, question="When?"):
    return Example(id=f"e{number}", messages=(Message(role="user", content=question),), references=references)


def score(text, reference, *, question="When?", **options):
    return DateMatch(DateMatch.Options(**options)).score(example(reference, question=question), Answer(text=text))


@pytest.mark.parametrize(
    "text",
    [
        "2021-04-03",
        "2021/4/3",
        "20210403",
        "3.4.2021",
        "03.04.21",
        "03/04/2021",
        "3 April 2021",
        "3rd of April, 2021",
        "April 3, 2021",
        "Apr. 3rd 2021",
        "3. April 2021",
        "le 3 avril 2021",
        "3 de abril de 2021",
        "3 aprile 2021",
        "3 kwietnia 2021",
        "3 апреля 2021",
        "2021年4月3日",
        "2021-04-03T10:00:00Z",
        "3-Apr-21",
        "3 Apr '21",
        "３ April ２０２１",
        "٣ April ٢٠٢١",
    ],
)
def test_a_day_is_read_in_every_writing(text):
    assert dates(text) == (DAY,)


@pytest.mark.parametrize(
    "text",
    [
        "31 April 2021",
        "2021-02-30",
        "version 2.4.2021.1",
        "5,2021",
        "2021 kg",
        "$2021",
        "9 out of 10",
        "a set of 2019",
        "set 5",
    ],
)
def test_what_is_no_date_is_none(text):
    assert not dates(text)


@pytest.mark.parametrize(
    ("text", "reference", "right"),
    [
        ("It opened on 3 April 2021.", "2021-04-03", 1),
        ("It opened on 4 April 2021.", "2021-04-03", 0),
        ("on 3 or 4 April 2021", "2021-04-03", 0),
        ("3 April 2021 or 4 April 2021", "2021-04-03", 0),
        ("not 3 April 2021", "2021-04-03", 0),
        ("3 April 2021", "April 2021", 1),
        ("3 April 2021", "2021", 1),
        ("April 2021", "3 April 2021", 0),
        ("3 April", "3 April 2021", 0),
        ("In 2021, on 3 April 2021", "3 April 2021", 1),
        ("1990", "1991", 0),
        ("from 2019-01-01 to 2020-01-01", "1 January 2019 to 1 January 2020", 1),
    ],
)
def test_an_answer_names_the_date_or_another(text, reference, right):
    assert score(text, reference) == right


def test_the_order_of_figures_is_an_option():
    assert score("04/03/2021", "2021-04-03") == 1
    assert score("04/03/2021", "2021-04-03", order="month") == 1
    assert score("04/03/2021", "2021-04-03", order="day") == 0
    assert score("04/03/2021", "03/04/2021") == 0
    with pytest.raises(ValidationError, match="'auto', 'day' or 'month'"):
        DateMatch.Options(order="year")


def test_dates_of_the_question_are_passed_over():
    question = "The lease of 1 May 2019: when does it end?"
    assert score("The lease of 1 May 2019 ends on 3 April 2021.", "2021-04-03", question=question) == 1


@settings(max_examples=40, deadline=None)
@given(day=st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 12, 31)))
def test_every_day_is_itself_and_not_the_next(day):
    texts = (day.isoformat(), f"{day.day}.{day.month}.{day.year}", day.strftime("%d %B %Y"), day.strftime("%B %d, %Y"))
    for text in texts:
        assert dates(text) == (Date(year=day.year, month=day.month, day=day.day),)
    following = day + datetime.timedelta(days=1)
    assert score(following.isoformat(), day.isoformat()) == 0


EXAMPLES = [example("2021-04-03"), example("3 May 2020", "2020-05-03", number=1), example("nobody", number=2)]


@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(promise):
    promise(Subject(metric=DateMatch(DateMatch.Options()), examples=EXAMPLES))


def test_gold_and_shuffled_gold():
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=37 * number) for number in range(40)]
    examples = [example(f"{day:%d %B %Y}", day.isoformat(), number=n) for n, day in enumerate(days)]
    report = self_test(DateMatch(DateMatch.Options()), examples)
    assert report["gold"] == 1
    assert report["shuffled"] < 0.2
