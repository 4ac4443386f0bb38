"""Each rewriter and reranker on its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.corpus.chunkers.windows import ParentChunker, SentenceChunker
from twofold.errors import ConfigError
from twofold.plugins import loading
from twofold.plugins.protocols import Parts, TokenEmbedder
from twofold.retrieval.rerankers.model import _rescored
from twofold.testing.conformance_index import DIMENSION, FINGERPRINT, chunk, put
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.testing.memory_index import MemoryIndex
from twofold.types import Document, Filter, Hit, Json, Message, Query, Retrieval, Rewritten

EMBEDDER = HashingEmbedder(HashingEmbedder.Options(dimension=DIMENSION))


def parts_of(tmp_path: Path, *texts: str, says: str = "", **more: object) -> Parts:
    index = MemoryIndex(MemoryIndex.Options(), directory=tmp_path, fingerprint=FINGERPRINT, dimension=DIMENSION)
    put(index, [chunk(f"d{n}", text) for n, text in enumerate(texts)])
    echo = loading.make("generators", "echo", {"mode": "fixed", "fixed": says} if says else {})
    return Parts(embedder=EMBEDDER, index=index, generator=lambda: echo, **more)  # type: ignore[arg-type]


def found(*texts: str) -> Retrieval:
    hits = [Hit(chunk=chunk(f"d{n}", text), score=1 - n / 10, rank=n + 1) for n, text in enumerate(texts)]
    return Retrieval(hits=tuple(hits))


def rerank(name: str, parts: Parts, before: Retrieval, k: int = 9, query: str = "q", **options: object) -> Retrieval:
    stage = loading.make("rerankers", name, dict(options), parts=parts)
    after: Retrieval = stage.rerank([Query(text=query)], [before], k)[0]
    assert [hit.rank for hit in after.hits] == list(range(1, len(after.hits) + 1))
    return after


def rewrite(name: str, parts: Parts, query: Query, **options: object) -> Rewritten:
    made: Rewritten = loading.make("rewriters", name, dict(options), parts=parts).rewrite([query])[0]
    for one in made.queries:
        assert (one.question, one.history) == (query.question, query.history)
        assert replace(one.filter, collections=()) == replace(query.filter, collections=())
    return made


def texts(one: Retrieval) -> list[str]:
    return [hit.chunk.text for hit in one.hits]


# ---------------------------------------------------------------- rerankers


def test_near_duplicates(tmp_path: Path) -> None:
    first = "Apply the first water when the soil has lost half of what the plants can take from it."
    others = (
        "Apply the first water when the soil has lost one half of what the plants can take from it!",
        "something else that is quite different",
        "the soil has lost half of what the plants can take",
        "Apply the first water when the soil has lost half of what the plants can take from it. Then wait for a week.",
    )
    after = rerank("near_duplicates", parts_of(tmp_path), before := found(first, *others))
    assert texts(after) == [first, others[1], others[3]]
    assert after.trace == ({"dropped": 2},)
    assert len(rerank("near_duplicates", parts_of(tmp_path / "b"), before, share=1.0).hits) == 4


def test_passages_that_differ_in_a_number_are_no_duplicates(tmp_path: Path) -> None:
    rows = [f"In {year}, out of {n} reports, most fields were ranked good." for year, n in ((2021, 53), (2022, 60))]
    assert texts(rerank("near_duplicates", parts_of(tmp_path), found(*rows, rows[0]))) == rows


@given(st.text(alphabet="ab c1", max_size=60), st.text(alphabet="ab c1", max_size=60))
def test_what_is_left_out_is_like_a_passage_shown(one: str, two: str) -> None:
    stage = loading.make("rerankers", "near_duplicates", {"letters": 3}, parts=None)
    left = stage.rerank([], [found(one, two)], 5)[0].hits
    assert left[0].chunk.text == one
    if one.split() == two.split():
        assert len(left) == 1
    if len(left) == 1:
        a, b = (
            {" ".join(t.split())[i : i + 3] for i in range(max(1, len(" ".join(t.split())) - 2))} for t in (one, two)
        )
        assert len(a & b) >= 0.8 * len(a | b) or " ".join(two.split()) in " ".join(one.split())


def test_mmr_prefers_what_is_new(tmp_path: Path) -> None:
    told = ["water water fields", "water water fields dry", "office hours"]
    parts = parts_of(tmp_path, *told)
    assert texts(rerank("mmr", parts, found(*told), 2, relevance=0.3)) == [told[0], told[2]]
    assert texts(rerank("mmr", parts, found(*told), 2, relevance=1.0)) == told[:2]
    assert texts(rerank("mmr", parts, found("not in the index", *told), 9)) != [], "missing vectors are made"
    assert rerank("mmr", parts, found()) == found()


@given(st.integers(0, 9), st.integers(1, 9))
def test_edges_put_the_least_in_the_middle(count: int, k: int) -> None:
    stage = loading.make("rerankers", "edges", {}, parts=None)
    got = texts(stage.rerank([Query(text="q")], [found(*map(str, range(count)))], k)[0])
    places = [int(text) for text in got]
    assert sorted(places) == list(range(min(k, count)))
    turn = places.index(max(places)) if places else 0
    assert places[:turn] == sorted(places[:turn])
    assert places[turn:] == sorted(places[turn:], reverse=True)


def test_late_interaction_finds_the_words(tmp_path: Path) -> None:
    before = found("wheat and barley", "sprinklers in the wind", "prices")
    after = rerank("late_interaction", parts_of(tmp_path), before, query="wind sprinklers", weight=1.0)
    assert texts(after)[0] == "sprinklers in the wind"
    assert texts(rerank("late_interaction", parts_of(tmp_path / "b"), before, query="wind", weight=0.0)) == texts(
        before
    )
    no_tokens = type("Plain", (), {"embed": EMBEDDER.embed})()
    with pytest.raises(ConfigError):
        loading.make("rerankers", "late_interaction", {}, parts=replace(parts_of(tmp_path / "c"), embedder=no_tokens))


def test_token_vectors_of_the_encoder(encoder: str) -> None:
    embedder = loading.make("embedders", "minilm", {"model": encoder, "precision": "f32"})
    assert isinstance(embedder, TokenEmbedder)
    own = ["a red apple", "", "irrigation " * 40]
    vectors = embedder.tokens(own)
    assert [v.shape for v in vectors] == [(len(embedder.offsets(t)), embedder.dimension) for t in own]
    assert np.allclose(np.linalg.norm(vectors[0], axis=1), 1, atol=1e-4)
    assert np.allclose(embedder.tokens(own[:1])[0], vectors[0], atol=1e-3), "a batch changes the vectors"
    near, far = embedder.tokens(["a green apple", "stock exchange rules"])
    assert (vectors[0] @ near.T).max(1).mean() > (vectors[0] @ far.T).max(1).mean()


def test_cross_encoder_reads_pairs(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "wheat", "wind", "water", "dry", "office"]
    (tmp_path / "m").mkdir()
    tokenizer = tokenizers.BertWordPieceTokenizer({word: n for n, word in enumerate(words)})
    tokenizer.save(str(tmp_path / "m" / "tokenizer.json"))
    (tmp_path / "m" / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    for labels, folder in ((1, "m"), (2, "two")):
        shape = transformers.BertConfig(vocab_size=len(words), num_labels=labels, **sizes)
        transformers.BertForSequenceClassification(shape).save_pretrained(tmp_path / folder)
    transformers.BertTokenizerFast(str(tmp_path / "m" / "vocab.txt")).save_pretrained(tmp_path / "m")
    transformers.BertTokenizerFast(str(tmp_path / "m" / "vocab.txt")).save_pretrained(tmp_path / "two")
    before = found("wheat wind", "water dry", "office", "wheat wheat")
    parts = parts_of(tmp_path / "i")
    after = rerank("cross_encoder", parts, before, query="wheat", model=f"path:{tmp_path / 'm'}", pool=3, batch=2)
    assert sorted(texts(after)) == sorted(texts(before))
    assert texts(after)[-1] == "wheat wheat", "what is not in the pool stays behind it"
    scores = [hit.score for hit in after.hits]
    assert scores == sorted(scores, reverse=True)
    assert after.usage.prompt_tokens > 0
    with pytest.raises(Exception, match="2 outputs"):
        rerank("cross_encoder", parts, before, model=f"path:{tmp_path / 'two'}")


def test_rounding_of_a_network_moves_no_passage() -> None:
    """The same passage in two documents is read a little otherwise beside other pairs."""
    before = found("wheat wind", "water dry", "wheat wind")
    for noise in (3e-6, -3e-6):
        after = _rescored(before, before.hits, np.array([2.0, 0.0, 2.0 + 2 * noise]), 1.0, 3)
        assert [hit.chunk.id for hit in after.hits] == [before.hits[n].chunk.id for n in (0, 2, 1)]
        assert [hit.score for hit in after.hits] == [1.0, 1.0, 0.0]


TEXT = (
    "# Water\n\nDrip lines save water. They are buried. Filters keep them clean.\n\n"
    "# Wind\n\nWind takes the spray. Stop then."
)
DOCUMENT = Document(id="d", text=TEXT, title="t", readers=("user:ann",))


def shown(at: int, *, to: str, document: Document = DOCUMENT, chunker: type = ParentChunker, **options: object) -> str:
    sizes = {"max_tokens": 8, "parent_tokens": 24} if chunker is ParentChunker else {"max_tokens": 8}
    chunks = chunker(chunker.Options(**sizes), offsets=EMBEDDER.offsets).split(DOCUMENT)  # type: ignore[attr-defined]
    parts = Parts(embedder=EMBEDDER, index=None, texts=lambda _: [document])  # type: ignore[arg-type]
    before = Retrieval(hits=(Hit(chunk=chunks[at], score=1.0, rank=1),))
    hit = rerank("expand", parts, before, to=to, **options).hits[0]
    assert hit.chunk.readers == chunks[at].readers
    if document is DOCUMENT:
        assert hit.chunk.text == TEXT[hit.chunk.span.start : hit.chunk.span.end]
        assert chunks[at].text in hit.chunk.text
    return hit.chunk.text


def test_expand_shows_more() -> None:
    assert shown(0, to="document") == TEXT
    assert shown(0, to="document", max_tokens=12) != TEXT
    assert shown(-1, to="parent").startswith("# Wind")
    assert shown(-1, to="parent").endswith("Stop then.")
    assert shown(1, to="around", chunker=SentenceChunker, max_tokens=400) == TEXT
    changed = replace(DOCUMENT, text="something else now")
    assert shown(0, to="document", document=changed) in TEXT, "a changed document is not shown for the old one"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["One two. ", "Three four five! ", "six\n\n", "# Seven\n", "eight "]), min_size=1),
    st.data(),
)
def test_expanded_spans_are_exact(pieces: list[str], data: st.DataObject) -> None:
    document = Document(id="d", text="".join(pieces))
    chunks = ParentChunker(ParentChunker.Options(max_tokens=8, parent_tokens=24), offsets=EMBEDDER.offsets).split(
        document
    )
    to, limit = data.draw(st.sampled_from(["parent", "around", "document"])), data.draw(st.integers(8, 60))
    parts = Parts(embedder=EMBEDDER, index=None, texts=lambda _: [document])  # type: ignore[arg-type]
    before = Retrieval(hits=tuple(Hit(chunk=c, score=1.0, rank=n) for n, c in enumerate(chunks, 1)))
    after = rerank("expand", parts, before, 5, to=to, max_tokens=limit)
    spans = [hit.chunk.span for hit in after.hits]
    for hit in after.hits:
        assert hit.chunk.text == document.text[hit.chunk.span.start : hit.chunk.span.end] == hit.chunk.text.strip()
        assert len(EMBEDDER.offsets(hit.chunk.text)) <= max(limit, 8)
    for n, one in enumerate(spans):
        assert not any(m != n and o.start <= one.start and one.end <= o.end for m, o in enumerate(spans)), "shown twice"


# ---------------------------------------------------------------- rewriters


TALK = (
    Message(role="user", content="Which pumps suit drip irrigation?"),
    Message(role="assistant", content="Small ones with filters."),
)


def test_conversation_adds_words(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)
    follow = Query(text="whatever", question="And how much do they cost?", history=TALK)
    made = rewrite("conversation", parts, follow)
    assert made.queries[0].text == "And how much do they cost?\nSmall filters pumps suit"
    asked = rewrite("conversation", parts, follow, replies=False)
    assert asked.queries[0].text == "And how much do they cost?\npumps suit drip irrigation"
    assert rewrite("conversation", parts, follow, words=1).queries[0].text.count("\n") == 1
    alone = Query(text="How deep?", question="How deep?")
    assert rewrite("conversation", parts, alone).queries == (alone,)


def test_a_model_writes_or_the_trace_says_that_it_did_not(tmp_path: Path) -> None:
    follow = Query(text="x", question="How much do they cost?", history=TALK)
    good = rewrite("conversation", parts_of(tmp_path / "a", says="How much do drip pumps cost?"), follow, by="model")
    assert good.queries[0].text == "How much do drip pumps cost?"
    assert good.usage.completion_tokens > 0
    bad = rewrite("conversation", parts_of(tmp_path / "b", says="Sorry."), follow, by="model")
    assert "pumps" in bad.queries[0].text
    assert bad.trace[0]["useless"]
    lines = "1. What pumps save water?\n- water pumps price\nnothing"
    many = rewrite("multi_query", parts_of(tmp_path / "c", says=lines), Query(text="Do pumps save water?"))
    assert [q.text for q in many.queries] == ["Do pumps save water?", "What pumps save water?", "water pumps price"]
    assert many.trace == ({"written": 2},)
    passage = "Drip lines bring water to the roots."
    hyde = rewrite("hyde", parts_of(tmp_path / "d", says=passage), Query(text="What is drip?"), keep=False)
    assert [q.text for q in hyde.queries] == [passage]
    failing = replace(parts_of(tmp_path / "e"), generator=lambda: loading.make("generators", "echo", {"fail_every": 1}))
    lost = rewrite("decompose", failing, Query(text="What and why is drip?"), keep=False)
    assert [q.text for q in lost.queries] == ["What and why is drip?"]
    assert lost.trace == ({"useless": "failed on purpose"},)
    with pytest.raises(ConfigError):
        rewrite("step_back", replace(parts_of(tmp_path / "f"), generator=None), Query(text="x"))


def test_routes(tmp_path: Path) -> None:
    held = {"farm": "irrigation water crops fields", "law": "contracts court rules", "misc": ""}
    parts = parts_of(tmp_path, collections=held)

    def goes(text: str, which: Filter | None = None, **options: object) -> Json:
        made = rewrite("route", parts, Query(text=text, filter=which or Filter()), **options)
        assert len(made.queries) == 1
        return {"to": made.queries[0].filter.collections, **made.trace[0]}

    rules = {r"\bcourt\b": ["law"]}
    assert goes("the Court said", rules=rules)["to"] == ("law",)
    assert goes("a courtyard", rules=rules) == {"to": (), "by": "none"}
    asked = goes("the court", Filter(collections=("farm",), principal=("user:ann",)), rules=rules)
    assert (asked["to"], asked["by"]) == (("farm",), "request"), "a route never widens or replaces a request's choice"
    near = goes("water for crops", most=1)
    assert near["by"] == "description"
    assert near["to"][0] == "farm"
    assert set(near["to"]) == {"farm", "misc", ""}, "what is not described is always searched"
    assert goes("zebra", most=1, margin=0.9)["by"] == "none"
