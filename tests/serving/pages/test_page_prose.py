"""Messages for people: sentences, code as code, and nothing of a message as HTML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from twofold.errors import Forbidden, NotServed, PartDown
from twofold.serving.pages.prose import explained, prose


@pytest.mark.parametrize(
    ("message", "html"),
    [
        ("run `twofold sync`, then look", "Run <code>twofold sync</code>, then look"),
        ("the <b> is `<i>`", "The &lt;b&gt; is <code>&lt;i&gt;</code>"),
        ("data/a.jsonl:3: no answer", "data/a.jsonl:3: no answer"),
        ("twofold.toml: unknown key", "twofold.toml: unknown key"),
        ("a lone ` stays", "A lone ` stays"),
    ],
)
def test_a_message_is_a_sentence_with_its_code_marked(message: str, html: str) -> None:
    assert prose(message) == html


@given(st.text())
def test_nothing_of_a_message_becomes_html(message: str) -> None:
    without = prose(message).replace("<code>", "").replace("</code>", "")
    assert without.casefold() == escape(message.replace("`", "")).casefold() or "`" in without


def test_a_cure_for_programs_is_put_in_words_for_people_and_one_for_the_case_stays() -> None:
    assert "Retry-After" not in explained(PartDown("the index is down"))
    assert explained(Forbidden("the key has the scope ask")).startswith(
        "the key has the scope ask. Sign in with another"
    )
    assert explained(NotServed("no such example", cure="Look at the list.")) == "no such example. Look at the list."
