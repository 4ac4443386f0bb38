"""`twofold ask`: the answer with its evidence, for people and for programs."""

from __future__ import annotations

from typing import Any

import pytest

from twofold.cli.ask import record, text
from twofold.cli.main import main
from twofold.types import Answer, Chunk, Citation, Failure, Hit, Span

DOCUMENT = "Mulch keeps water in the soil.\nIt   also keeps weeds down."
CHUNK = Chunk(id="c", span=Span(document="d1", start=100, end=100 + len(DOCUMENT)), text=DOCUMENT, title="On mulch")
HIT = Hit(chunk=CHUNK, score=0.5, rank=1)
OTHER = Hit(chunk=Chunk(id="o", span=Span(document="d2", start=0, end=4), text="Soil"), score=0.4, rank=2)
START = 100 + DOCUMENT.index("keeps weeds")
QUOTED = Citation(
    number=1, span=CHUNK.span, quote=Span(document="d1", start=START, end=START + len("keeps weeds down"))
)
WHOLE = Citation(number=1, span=CHUNK.span)
ENDS = "\n\nanswered by rag: it was named"


def made_by(*places: str, **more: Any) -> dict[str, Any]:
    told = {
        "arm": "rag",
        "model": "",
        "key": "system:1",
        "measured": True,
        "why": "it was named",
        "study": "",
        "behind": "",
    }
    return {**told, "max_tokens": 17, "places": list(places), "attached": None, "unsupported": "", **more}


def test_quoted_words_are_those_of_the_document_and_the_page_is_named() -> None:
    answer = Answer(text="keeps weeds down", citations=(QUOTED,), hits=(HIT,))
    shown = "keeps weeds down [1]\n\n[1] On mulch (d1), page 3\n    quote: “keeps weeds down”"
    assert text(answer, made_by("page 3")) == shown + ENDS


def test_without_a_quote_the_passage_is_shown_as_such() -> None:
    answer = Answer(text="weeds", citations=(WHOLE,), hits=(HIT,))
    assert "passage: “Mulch keeps water in the soil. It also keeps weeds down.”" in text(answer, made_by(""))


def test_what_was_read_is_listed_even_when_nothing_is_cited() -> None:
    answer = Answer(text="weeds", hits=(HIT, OTHER))
    told = made_by("page 3", "", unsupported="no passage of yours supports this answer")
    assert text(answer, told) == (
        "weeds\n(no passage of yours supports this answer)\n\n"
        "read, not cited:\n"
        "    [1] On mulch (d1), page 3: “Mulch keeps water in the soil. It also keeps weeds down.”\n    [2] d2: “Soil”"
        + ENDS
    )
    cited = text(Answer(text="weeds", citations=(WHOLE,), hits=(HIT, OTHER)), made_by("", ""))
    assert "read, not cited:\n    [2] d2: “Soil”" in cited


def test_a_source_that_twofold_found_is_not_shown_as_the_model_s() -> None:
    attached = {"number": 1, "span": {"document": "d1", "start": 100, "end": 158}, "quote": None}
    answer = Answer(text="keeps weeds down", hits=(HIT,))
    shown = text(answer, made_by("page 3", attached=attached))
    assert shown.startswith(
        "keeps weeds down\n\n[1] On mulch (d1), page 3: found by Twofold, the answer cites nothing\n"
    )
    assert "read, not cited" not in shown
    assert record(answer, made_by("page 3", attached=attached))["attached"]["place"] == "page 3"


def test_a_cut_answer_never_looks_whole() -> None:
    answer = Answer(text="keeps weeds", citations=(WHOLE,), hits=(HIT,), cut=True)
    assert text(answer, made_by("")).startswith(
        "keeps weeds … (cut at 17 tokens: raise [generation].max_tokens) [1]\n\n"
    )


def test_after_a_stream_only_the_rest_is_printed_unless_the_answer_is_read_differently() -> None:
    answer = Answer(text="keeps weeds down", citations=(QUOTED,), hits=(HIT,))
    assert text(answer, made_by(""), streamed="keeps  weeds down").startswith(" [1]\n\n[1] On mulch (d1)\n")
    declined = Answer(text="The documents do not say.", hits=(HIT,), abstained=True)
    shown = text(declined, made_by(""), streamed="the documents do not say, I think")
    assert shown.startswith("\n(taken as: The documents do not say.)\n")


def test_an_answer_without_passages_is_its_text_and_its_arm() -> None:
    assert text(Answer(text="Paris"), made_by()) == "Paris" + ENDS
    assert text(Answer(text="", failure=Failure(code="generation.timeout", message="slow")), made_by()) == ""


def test_the_json_record_is_whole() -> None:
    made = record(
        Answer(text="keeps weeds down", raw="[1] keeps weeds down", citations=(QUOTED,), hits=(HIT,)), made_by("page 3")
    )
    assert set(made) == {
        *("text", "raw", "citations", "hits", "abstained", "invalid_citations", "usage", "timing", "failure", "cut"),
        *("unsupported_citations", "repointed_citations", "trace", "arm", "key", "measured", "why", "study", "behind"),
        "model",
        *("max_tokens", "attached", "unsupported"),
    }
    (citation,) = made["citations"]
    assert citation == {
        "number": 1,
        "span": {"document": "d1", "start": 100, "end": 100 + len(DOCUMENT)},
        "quote": {"document": "d1", "start": START, "end": START + 16},
        "title": "On mulch (d1)",
        "text": "keeps weeds down",
        "exact": True,
        "place": "page 3",
    }
    assert made["hits"][0]["chunk"]["text"] == DOCUMENT
    assert made["hits"][0]["place"] == "page 3"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([""], "the question is empty"),
        ([" \n"], "the question is empty"),
        (["caf\udce9?"], "is not UTF-8"),
        (["how", "long?"], 'ask "how long?"'),
    ],
)
def test_an_empty_or_unquoted_question_is_wrong_use(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", *words]) == 2
    assert said in capsys.readouterr().err
