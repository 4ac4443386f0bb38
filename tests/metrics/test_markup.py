"""Mark-up says nothing where the reference has none, and is what is compared where it has some."""

from __future__ import annotations

import pytest

from twofold.metrics.markup import plain, untagged
from twofold.metrics.overlap import AnswerF1, Contains, ExactMatch
from twofold.plugins import protocols

ANSWER, EXACT, CONTAINS = (one(protocols.Options()) for one in (AnswerF1, ExactMatch, Contains))


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("B&B", "B&amp;B"),
        ("p < q", "p &lt; q"),
        ("won't", "won&#39;t"),
        ("won't", "won&rsquo;t"),
        ('"maybe"', "&quot;maybe&quot;"),
        ("rosé", "ros&eacute;"),
        ("7 km", "7&nbsp;km"),
        ("7-9", "7&ndash;9"),
        ("the pup's bowl", "the pup&#39;s bowl"),
        ("SELECT a_b FROM t WHERE a_b > 7", "SELECT a\\_b FROM t WHERE a\\_b &gt; 7"),
        ("€7", "&euro;7"),
        ("¾", "&frac34;"),
        ("y²", "y<sup>2</sup>"),
        ("SO2", "SO<sub>2</sub>"),
        ("Oslo", "<strong>Oslo</strong>"),
        ("Oslo", "<p><b>Oslo</b></p>"),
        ("Oslo", "Oslo<br>"),
        ("H2O", "$H_2O$"),
        ("H2O", "$\\mathrm{H_2O}$"),
        ("H2O", "\\ce{H2O}"),
        ("270°", "$270^\\circ$"),
        ("27,000", "$27{,}000$"),
        ("7 × 9", "$7 \\times 9$"),
        ("y >= 7", "$y \\geq 7$"),
        ("y ≠ 7", "$y \\neq 7$"),
        ("y = 7", "$y = 7$"),
        ("p/q", "$\\frac{p}{q}$"),
        ("±7", "$\\pm 7$"),
        ("7√5", "7\\sqrt{5}"),
        ("(7,9)", "\\left(7, 9\\right)"),
        ("β", "$\\beta$"),
        ("77", "The answer is $\\boxed{77}$."),
        ("7.5 x 10^4", "$7.5 \\times 10^{4}$"),
        ("\\frac{\\pi}{7}", "π/7"),
        ("\\sqrt{7}", "√7"),
        ("y^{3}+1", "y^3 + 1"),
        ("snake_name", "snake\\_name"),
        ("7 * 5", "7 \\* 5"),
        ("lib/io.py", "**lib/io.py**"),
        ("Oslo", "~~Bergen~~ Oslo"),
        ("https://ab.org/x", "<https://ab.org/x>"),
        ("https://ab.org/x?p=1&q=2", "https://ab.org/x?p=1&amp;q=2"),
    ],
)
def test_an_answer_in_markup_is_the_answer(reference: str, answer: str) -> None:
    assert [metric.compare(answer, reference) for metric in (ANSWER, CONTAINS)] == [1, 1]


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("p < q", "p &gt; q"),
        ("SELECT a FROM t WHERE a > 7", "SELECT a FROM t WHERE a &lt; 7"),
        ("y²", "y<sub>2</sub>"),
        ("SO2", "SO<sub>3</sub>"),
        ("&lt;", "<"),
        ("<b>", "</b>"),
        ("<b>x</b>", "<i>x</i>"),
        ("p/q", "$\\frac{q}{p}$"),
        ("y >= 7", "$y \\leq 7$"),
        ("y >= 7", "$y > 7$"),
        ("\\frac{\\pi}{7}", "\\frac{\\pi}{5}"),
        ("2^{10}", "2^{1}0"),
        ("\\sqrt{12}", "\\sqrt{1}2"),
        ("\\frac{7}{12}", "\\frac{7}{1}2"),
        ("270°", "270"),
        ("a\\.b", "a.b"),
        ("https://ab.org/Xy", "https://ab.org/xy"),
        ("https://a-b.org", "https://a.b.org"),
        ("Fe(OH)2", "FeOH2"),
        ("Oslo", "~~Oslo~~ Bergen"),
    ],
)
def test_other_markup_is_another_answer(reference: str, answer: str) -> None:
    assert EXACT.compare(answer, reference) == 0
    assert ANSWER.compare(answer, reference) < 0.5


def test_what_has_no_markup_stays_as_it_is() -> None:
    for text in ("from $5 to $6", "C:\\temp\\pi", "5 < 6", "AT & T", "a ~ b", "x_1", "{a}"):
        assert plain(text) == text == untagged(text)
