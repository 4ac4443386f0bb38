from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.text.quoting import WORDS, Quoted

DOCUMENT = "Whoever travels abroad for the company is paid eighty-one euros a night, breakfast included, in all cities."


def test_a_run_of_the_documents_words_is_a_quote_whatever_its_marks() -> None:
    quoted = Quoted.of([DOCUMENT])
    assert quoted.within("They say: WHOEVER travels — abroad, for the company; is paid much")
    assert not quoted.within("Whoever travels abroad is paid eighty-one euros")
    assert not quoted.within("")


def test_a_short_document_is_quoted_whole_or_not() -> None:
    quoted = Quoted.of(["Closed on Mondays", "Yes"])
    assert quoted.within("We are closed on Mondays.")
    assert not quoted.within("Yes, closed on Tuesdays")


def test_what_another_document_has_too_is_no_quote_of_this_one() -> None:
    notice = "All rights reserved by the company and its heirs for ever."
    quoted = Quoted.of([f"{notice} {DOCUMENT}"], others=[f"Pumps. {notice}"])
    assert not quoted.within(notice)
    assert quoted.within(DOCUMENT)
    assert not Quoted.of([notice], others=[notice])


def test_what_is_stored_tells_no_word_and_finds_the_same() -> None:
    quoted = Quoted.of([DOCUMENT, "Closed on Mondays"])
    assert "travels" not in "".join(quoted.runs)
    assert Quoted(quoted.runs).runs == quoted.runs
    assert Quoted(quoted.runs).within("closed on mondays")


@settings(max_examples=50)
@given(st.lists(st.text(), max_size=3), st.text(), st.text())
def test_whoever_has_the_whole_of_a_document_quotes_it(texts: list[str], before: str, after: str) -> None:
    document = " ".join(["one two three four five six seven eight nine", *texts])
    assert Quoted.of([document]).within(f"{before} {document} {after}")
    assert WORDS == 8
