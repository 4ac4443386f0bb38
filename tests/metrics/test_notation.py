"""In a notation a sign or the case of a letter makes another thing, and some things are written in two ways."""

from __future__ import annotations

import pytest

from twofold.metrics.equivalents import alternative
from twofold.metrics.notation import unlike
from twofold.metrics.overlap import AnswerF1, Contains, ExactMatch, TokenF1
from twofold.plugins import protocols

ANSWER, EXACT, TOKEN, CONTAINS = (one(protocols.Options()) for one in (AnswerF1, ExactMatch, TokenF1, Contains))

OTHERS = [
    ("ls -R", "ls -r"),
    ("--force", "force"),
    ("-v", "v"),
    ("grep -v x", "grep -V x"),
    ("tar -xzf a.tgz", "tar xzf a.tgz"),
    ("./run", "/run"),
    ("~/notes", "/notes"),
    ("/usr/Bin", "/usr/bin"),
    ("../lib", "./lib"),
    ("C:\\Temp", "c:\\temp\\"),
    ("a.b", "ab"),
    ("setup.py", "setuppy"),
    ("www.ab.com", "www.a.b.com"),
    ("my-host.org", "myhost.org"),
    ("a.b@c.org", "ab@c.org"),
    ("a.b@c.org", "a.b@corg"),
    ("*args", "args"),
    ("**kwargs", "*kwargs"),
    ("@user", "user"),
    ("#define", "define"),
    ("$HOME", "HOME"),
    ("$Path", "$PATH"),
    ("_count", "count"),
    ("__init__", "init"),
    ("MW", "mW"),
    ("CO", "Co"),
    ("pH", "PH"),
    ("5'", '5"'),
    ("[a]", "{a}"),
    ("[red, blue]", "{red, blue}"),
    ("(a, b)", "[a, b]"),
    ("(n)", "[n]"),
    ("the set {2, 9}", "the set [2, 9]"),
    ("(p + q) * r", "p + (q * r)"),
    ("tar -tvf", "tar tvf"),
    ("--dry-run", "dry run"),
    ("chmod +x", "chmod -x"),
    ("*.csv", ".csv"),
    (".profile", "profile"),
    ("server:8443", "server8443"),
    (":ready", "ready"),
    ("total_", "total"),
    ("char[]", "char"),
    ("310 K", "310 k"),
    ("GB", "Gb"),
    ("CoF2", "COF2"),
    ("9 mm", "9 Mm"),
    ("a:b", "ab"),
    ("foo.bar()", "foobar()"),
    ("rows.sum(x)", "rows.max(x)"),
    ("D:/logs", "D/logs"),
    ("D:\\logs", "D\\logs"),
    ("D:\\logs\\may", "D:\\logs\\june"),
    ("::1", "1"),
    ("fd00::7", "fd00:7"),
    ("2nd", "a second"),
    ("diabetes type II", "diabetes type I"),
    ("World War II", "World War I"),
    ("Louis XIV of France", "Louis XVI of France"),
    ("blood group A+", "blood group A-"),
    ("the peace of 1648 in Osnabrück", "the peace of 1684 in Osnabrück"),
]
SAME = [
    ("ls -R", "Use `ls -R`."),
    ("--force", "It is '--force'."),
    ("/usr/bin", "The folder is /usr/bin."),
    ("/usr/bin", "/usr/bin/"),
    ("setup.py", "The file is called setup.py"),
    ("README.md", "readme.md"),
    ("Example.com", "example.com"),
    ("a.b@c.org", "Write to a.b@c.org."),
    ("the U.S.", "US"),
    ("e.g. this", "eg this"),
    ("PhD", "a Ph.D."),
    ("nato", "NATO"),
    ("No", "NO"),
    ("5", 'He said "it is 5"'),
    ("A", "(A)"),
    ("Paris", "**Paris**"),
    ("Paris", "_Paris_"),
    ("email", "e-mail"),
    ("Mar 2024", "March 2024"),
    ("15/03/2024", "15 March 2024"),
    ("2024-03-15", "03/15/2024"),
    ("2:30 pm", "14:30"),
    ("9 a.m.", "It opens at 09:00."),
    ("one hundred", "100"),
    ("a hundred and five", "105"),
    ("twenty-five", "25 people"),
    ("three thousand five hundred", "3,500"),
    ("2nd", "the second"),
    ("5k", "5000"),
    ("90 deg", "90°"),
    ("p -> q", "p → q"),
    ("p <-> q", "p ↔ q"),
    ("21st", "twenty-first"),
    ("the 18th century", "the eighteenth century"),
    ("60 km/h", "60 kilometres per hour"),
    ("3-8 weeks", "between 3 and 8 weeks"),
    ("12 000", "12,000"),
    ("30 deg C", "30 °C"),
    ("Sept 1987", "September 1987"),
    ("the 1970s", "the 1970's"),
    ("https://ab.org/", "https://ab.org"),
    ("J.R.R. Tolkien", "JRR Tolkien"),
    ("Mhz", "MHz"),
    ("Bergen", "Answer:Bergen"),
    ("J.R.R. Tolkien", "J. R. R. Tolkien"),
    ("rows.sum(x)", "Use `rows.sum(x)` for that."),
    ("D:\\logs\\may", "They lie in D:\\logs\\may."),
    ("World War II", "It was World War II, after World War I."),
    ("FD00::7", "fd00::7"),
    ("the third time", "3rd time"),
]


@pytest.mark.parametrize(("reference", "answer"), [*OTHERS, *((two, one) for one, two in OTHERS)])
def test_another_thing_is_not_right(reference: str, answer: str) -> None:
    assert EXACT.compare(answer, reference) == 0
    assert CONTAINS.compare(answer, reference) == 0
    assert TOKEN.compare(answer, reference) < 1
    assert ANSWER.compare(answer, reference) < 0.5


@pytest.mark.parametrize(("reference", "answer"), SAME)
def test_the_same_thing_written_otherwise_is_right(reference: str, answer: str) -> None:
    assert ANSWER.compare(answer, reference) == 1
    assert ANSWER.compare(reference, reference) == EXACT.compare(reference, reference) == 1


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("5 km", "5 km per hour"),
        ("5", "between 5 and 10"),
        ("10", "between 5 and 10"),
        ("5", "5, maybe 6"),
        ("42", "It is 42, no, 43"),
        ("Oslo", "Oslo, sorry, Bergen"),
        ("44", "44 BC"),
        ("2", "√2"),
        ("a > b > c", "c > b > a"),
        ("team", "the A team"),
        ("chromosome", "the X chromosome"),
        ("8 m", "8 m²"),
        ("8 km", "8 km/h"),
        ("6", "6+"),
        ("6", "6 dozen"),
        ("6", "6 hundred"),
        ("6", "9, perhaps 6"),
        ("Oslo", "Oslo, perhaps Bergen"),
        ("6", "6. Wait, 9"),
        ("6", "6 °"),
        ("p < q < r", "p < r < q"),
        ("6 km", "between 6 km and 9 km"),
    ],
)
def test_more_than_the_reference_is_another(reference: str, answer: str) -> None:
    assert ANSWER.compare(answer, reference) < 0.5


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("43", "It is 42, no, 43"),
        ("Paris", "It is perhaps Paris."),
        ("5 dollars", "5 dollars per month"),
        ("5", "It is 5, no more."),
        ("10", "There are 10 of them between the towns."),
        ("a team", "It is a team"),
        ("class war", "the class war"),
        ("return to sender (1962)", "It is return to sender (1962)."),
        ("import taxes", "They are import taxes."),
        ("public health policy (2010)", "the public health policy (2010)"),
        ("@user", "It is the @user account."),
        ("Oslo", "Oslo, perhaps because of the sea"),
        ("Oslo", "It is Oslo, no doubt."),
        ("a team", "A team did it."),
        ("red", "B red"),
        ("7", "It fell from 9 to 7."),
        ("5 mg", "5 mg per day"),
    ],
)
def test_what_stands_around_it_makes_no_other(reference: str, answer: str) -> None:
    assert ANSWER.compare(answer, reference) == 1


@pytest.mark.parametrize(
    "text",
    ["nineteen eighty-four", "no one", "a hundredweight", "10 second", "03/04/2024", "hundreds", "one two three"],
)
def test_what_may_be_another_is_left_as_it_is(text: str) -> None:
    assert alternative(text) == text


@pytest.mark.parametrize("mark", ["*", "**", "***", "_", "__"])
@pytest.mark.parametrize("sentence", ["{} is where it docks.", "It docks in {}.", "({}), I believe", '"{}"'])
def test_several_words_that_are_emphasised_are_the_same_words(mark: str, sentence: str) -> None:
    text = sentence.format(f"{mark}Port Morburg{mark}")
    assert not unlike(text, "Port Morburg")
    assert ANSWER.compare(text, "Port Morburg") == 1


@pytest.mark.parametrize(("text", "reference"), [("call init", "__init__"), ("use *args", "args"), ("a *b c* d", "*b")])
def test_a_mark_that_belongs_to_a_name_still_counts(text: str, reference: str) -> None:
    assert unlike(text, reference)
