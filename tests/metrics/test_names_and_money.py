"""Longer names, pounds of two kinds, flags that are lacking, scripts without blanks, particles: a word more or less."""

from __future__ import annotations

import pytest

from twofold.metrics.overlap import AnswerF1, Contains
from twofold.plugins import protocols

ANSWER, CONTAINS = AnswerF1(protocols.Options()), Contains(protocols.Options())


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("£8", "8 lb"),
        ("8 lbs", "£8"),
        ("8 pounds sterling", "8 lb"),
        ("Boston", "the Boston Globe"),
        ("Boston Globe", "Boston"),
        ("Chicago", "Chicago Symphony Orchestra"),
        ("South Dakota", "Dakota"),
        ("New Mexico", "Mexico"),
        ("potassium", "potassium nitrate"),
        ("nitrogen", "It is nitrogen dioxide."),
        ("git commit --amend", "git commit"),
        ("cp -rp a b", "cp -r a b"),
        ("grep -v", "grep -c"),
        ("南京", "北京"),
        ("湖南", "湖北"),
        ("睡前", "睡后"),
        ("8美元", "8元"),
        ("食後", "食前"),
        ("できる", "できない"),
        ("갈 수 있다", "갈 수 없다"),
        ("부산", "부산이 아닙니다."),
        ("متاح", "غير متاح"),
        ("vor dem Start", "nach dem Start"),
        ("avec sucre", "sans sucre"),
        ("до обеда", "после обеда"),
        ("8M", "8 billion"),
        ("the deposit is waived", "the deposit is charged"),
    ],
)
def test_another_thing_is_not_right(reference: str, answer: str) -> None:
    assert ANSWER.compare(answer, reference) < 0.5
    assert not CONTAINS.compare(answer, reference)


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("£8", "8 pounds"),
        ("8 pounds", "It costs £8."),
        ("8 pounds", "8 lb"),
        ("£8 million", "8 million pounds"),
        ("Boston", "He left Boston for the Boston Globe."),
        ("Boston Globe", "the Boston Globe"),
        ("New York", "New York City"),
        ("South Dakota", "It lies in South Dakota."),
        ("cp -r a b", "cp --recursive a b"),
        ("부산", "가장 큰 항구는 부산입니다."),
        ("北京", "首都是北京市。"),
        ("8美元", "$8"),
        ("8M", "8 million"),
        ("sieben", "7"),
        ("trois", "3"),
    ],
)
def test_the_same_thing_is_right(reference: str, answer: str) -> None:
    assert ANSWER.compare(answer, reference) >= 0.5
