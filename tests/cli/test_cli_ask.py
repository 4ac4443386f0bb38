"""`twofold ask`: the answer with its evidence, for people and for programs."""

from __future__ import annotations

from twofold.cli.ask import record, text
from twofold.types import Answer, Chunk, Citation, Failure, Hit, Span

DOCUMENT = "Mulch keeps water in the soil.\nIt   also keeps weeds down."
CHUNK = Chunk(id="c", span=Span(document="d1", start=100, end=100 + len(DOCUMENT)), text=DOCUMENT, title="On mulch")
HIT = Hit(chunk=CHUNK, score=0.5, rank=1)
START = 100 + DOCUMENT.index("keeps weeds")
QUOTED = Citation(
    number=1, span=CHUNK.span, quote=Span(document="d1", start=START, end=START + len("keeps weeds down"))
)
WHOLE = Citation(number=1, span=CHUNK.span)
MADE_BY = {"arm": "rag", "key": "system:1", "measured": True}


def test_quoted_words_are_those_of_the_document() -> None:
    answer = Answer(text="keeps weeds down", citations=(QUOTED,), hits=(HIT,))
    assert text(answer) == "keeps weeds down [1]\n\n[1] On mulch (d1)\n    quote: “keeps weeds down”"


def test_without_a_quote_the_passage_is_shown_as_such() -> None:
    answer = Answer(text="weeds", citations=(WHOLE,), hits=(HIT,))
    assert "passage: “Mulch keeps water in the soil. It also keeps weeds down.”" in text(answer)


def test_an_answer_without_evidence_is_only_its_text() -> None:
    assert text(Answer(text="Paris")) == "Paris"
    assert text(Answer(text="", failure=Failure(code="generation.timeout", message="slow"))) == ""


def test_the_json_record_is_whole() -> None:
    made = record(
        Answer(text="keeps weeds down", raw="[1] keeps weeds down", citations=(QUOTED,), hits=(HIT,)), MADE_BY
    )
    assert set(made) == {
        *("text", "raw", "citations", "hits", "abstained", "invalid_citations", "usage", "timing", "failure", "cut"),
        *("unsupported_citations", "repointed_citations", "trace", "arm", "key", "measured"),
    }
    (citation,) = made["citations"]
    assert citation == {
        "number": 1,
        "span": {"document": "d1", "start": 100, "end": 100 + len(DOCUMENT)},
        "quote": {"document": "d1", "start": START, "end": START + 16},
        "title": "On mulch (d1)",
        "text": "keeps weeds down",
        "exact": True,
    }
    assert made["hits"][0]["chunk"]["text"] == DOCUMENT
