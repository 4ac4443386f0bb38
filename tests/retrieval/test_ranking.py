"""Words, BM25, fusion and the retrievers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.plugins.protocols import Parts, Retriever
from twofold.retrieval.analysis import terms
from twofold.retrieval.bm25 import K1, B, Bm25
from twofold.retrieval.fusion import blend, distinct, fuse
from twofold.retrieval.retrievers.hybrid import DenseRetriever, HybridRetriever, LegOptions, LexicalRetriever
from twofold.retrieval.stemming import stem
from twofold.testing.conformance_index import DIMENSION, FINGERPRINT, chunk, put
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.testing.memory_index import MemoryIndex
from twofold.types import Hit, Query

EMBEDDER = HashingEmbedder(HashingEmbedder.Options(dimension=DIMENSION))

# from the tables of Porter's paper, one or more per rule
PORTER = {
    "caresses": "caress", "ponies": "poni", "ties": "ti", "caress": "caress", "cats": "cat", "feed": "feed",
    "agreed": "agre", "plastered": "plaster", "bled": "bled", "motoring": "motor", "sing": "sing",
    "conflated": "conflat", "troubled": "troubl", "sized": "size", "hopping": "hop", "tanned": "tan",
    "falling": "fall", "hissing": "hiss", "fizzed": "fizz", "failing": "fail", "filing": "file", "happy": "happi",
    "sky": "sky", "relational": "relat", "conditional": "condit", "rational": "ration", "valenci": "valenc",
    "hesitanci": "hesit", "digitizer": "digit", "conformabli": "conform", "radicalli": "radic",
    "differentli": "differ", "vileli": "vile", "analogousli": "analog", "vietnamization": "vietnam",
    "predication": "predic", "operator": "oper", "feudalism": "feudal", "decisiveness": "decis",
    "hopefulness": "hope", "callousness": "callous", "formaliti": "formal", "sensitiviti": "sensit",
    "sensibiliti": "sensibl", "triplicate": "triplic", "formative": "form", "formalize": "formal",
    "electriciti": "electr", "electrical": "electr", "hopeful": "hope", "goodness": "good", "revival": "reviv",
    "allowance": "allow", "inference": "infer", "airliner": "airlin", "gyroscopic": "gyroscop",
    "adjustable": "adjust", "defensible": "defens", "irritant": "irrit", "replacement": "replac",
    "adjustment": "adjust", "dependent": "depend", "adoption": "adopt", "homologou": "homolog",
    "communism": "commun", "activate": "activ", "angulariti": "angular", "homologous": "homolog",
    "effective": "effect", "bowdlerize": "bowdler", "probate": "probat", "rate": "rate", "cease": "ceas",
    "controll": "control", "roll": "roll",
}  # fmt: skip


def test_stems_are_porters() -> None:
    assert {word: stem(word) for word in PORTER} == PORTER


def test_terms() -> None:
    assert terms("What are the Sprinklers' irrigating systems?") == ["sprinkler", "irrig", "system"]
    assert terms("Naïve CAFÉ ﬁnance") == terms("naive cafe finance")
    assert terms("日本語の文") == ["日", "日本", "本", "本語", "語", "語の", "の文", "文"]
    assert terms("Ünïque 3.5 kg/ha", "none") == ["unique", "3", "5", "3.5", "kg", "ha"]
    assert terms("the running", "none") == ["the", "running"]
    assert terms("?! … the of \u0000") == []


@given(st.text())
def test_terms_hold_no_white_space_and_do_not_depend_on_case(text: str) -> None:
    found = terms(text)
    assert all(term and not term.isspace() and len(term.split()) == 1 for term in found)
    if text.isascii() and text == text.lower():
        assert set(found) <= set(terms(text.upper())), "capitals add names (WHO), and take nothing"


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), max_size=8), min_size=1, max_size=8), st.lists(st.sampled_from("abcg"))
)
def test_bm25_is_the_formula(passages: list[list[str]], query: list[str]) -> None:
    got = Bm25.of(passages).scores(query)
    mean = sum(map(len, passages)) / len(passages)
    for passage, score in zip(passages, got, strict=True):
        expected = 0.0
        for term in query:
            having = sum(term in other for other in passages)
            often = passage.count(term)
            if often:
                idf = math.log(1 + (len(passages) - having + 0.5) / (having + 0.5))
                expected += idf * often * (K1 + 1) / (often + K1 * (1 - B + B * len(passage) / mean))
        assert score == pytest.approx(expected, abs=1e-4)


def hits(*names: str) -> list[Hit]:
    return [Hit(chunk=chunk(name, name), score=1 / rank, rank=rank) for rank, name in enumerate(names, 1)]


def test_fusion_is_reciprocal_ranks() -> None:
    fused = fuse({"dense": hits("a", "b", "c"), "lexical": hits("b", "d")}, 3)
    assert [hit.chunk.text for hit in fused] == ["b", "a", "d"]
    assert fused[0].score == pytest.approx(1 / 62 + 1 / 61)
    assert fused[0].legs == {"dense": 2, "lexical": 1}
    assert [hit.rank for hit in fused] == [1, 2, 3]
    assert [h.chunk.text for h in fuse({"dense": hits("a", "b"), "lexical": hits("c")}, 9, weights={"lexical": 0})] == [
        "a",
        "b",
    ]


@given(st.permutations("abcdef"), st.permutations("defghi"), st.integers(1, 9))
def test_fusion_depends_on_ranks_alone(one: list[str], two: list[str], k: int) -> None:
    fused = fuse({"dense": hits(*one), "lexical": hits(*two)}, k)
    assert fused == fuse({"lexical": hits(*two), "dense": hits(*one)}, k), "the order of the legs matters"
    assert len({hit.chunk.id for hit in fused}) == len(fused) <= k
    keys = [(-round(hit.score, 12), hit.chunk.id) for hit in fused]
    assert keys == sorted(keys)


def test_equal_texts_are_shown_once() -> None:
    twice = [
        Hit(chunk=chunk(d, t), score=1.0, rank=r)
        for r, (d, t) in enumerate([("a", "x y"), ("b", "x  y"), ("c", "z")], 1)
    ]
    assert [(hit.chunk.span.document, hit.rank) for hit in distinct(twice, 3)] == [("a", 1), ("c", 2)]


@pytest.fixture
def index(tmp_path: Path) -> MemoryIndex:
    made = MemoryIndex(MemoryIndex.Options(), directory=tmp_path, fingerprint=FINGERPRINT, dimension=DIMENSION)
    texts = ["drip irrigation saves water", "sprinklers in wind", "drip irrigation saves water", "wheat prices"]
    put(made, [chunk(f"d{number}", text) for number, text in enumerate(texts)])
    return made


def parts_of(index: MemoryIndex) -> Parts:
    return Parts(embedder=EMBEDDER, index=index)


def found_by(retriever: Retriever, k: int, *texts: str) -> list[list[Hit]]:
    return [list(found.hits) for found in retriever.retrieve([Query(text=text) for text in texts], k)]


def test_retrievers(index: MemoryIndex) -> None:
    hybrid = HybridRetriever(HybridRetriever.Options(), parts=parts_of(index))
    dense = DenseRetriever(LegOptions(), parts=parts_of(index))
    lexical = LexicalRetriever(LegOptions(), parts=parts_of(index))
    for retriever in (hybrid, dense, lexical):
        assert found_by(retriever, 3) == []
        found = found_by(retriever, 3, "drip irrigation", "wheat price")
        assert [hits[0].chunk.text for hits in found] == ["drip irrigation saves water", "wheat prices"]
        assert len({hit.chunk.text for hit in found[0]}) == len(found[0]), "one text twice"
        assert [hit.rank for hit in found[0]] == list(range(1, len(found[0]) + 1))
        assert found[1] == found_by(retriever, 3, "wheat price")[0], "a batch answers otherwise than one alone"
    assert len(found_by(lexical, 3, "wheat")[0]) == 1
    assert found_by(lexical, 3, "???") == [[]]


def test_weight_zero_leaves_the_dense_leg(index: MemoryIndex) -> None:
    for fusion in ("scores", "ranks"):
        options = HybridRetriever.Options(lexical=0, fusion=fusion)
        only = found_by(HybridRetriever(options, parts=parts_of(index)), 3, "drip water")
        dense = found_by(DenseRetriever(LegOptions(), parts=parts_of(index)), 3, "drip water")
        assert [hit.chunk.id for hit in only[0]] == [hit.chunk.id for hit in dense[0]]


def test_blend_adds_scaled_scores() -> None:
    near = [Hit(chunk=chunk(n, n), score=s, rank=r) for r, (n, s) in enumerate([("a", 0.9), ("b", 0.5)], 1)]
    words = [Hit(chunk=chunk(n, n), score=s, rank=r) for r, (n, s) in enumerate([("c", 8.0), ("b", 4.0)], 1)]
    fused = blend(near, words, 3, lexical_weight=0.3)
    assert [(h.chunk.text, h.rank) for h in fused] == [("a", 1), ("c", 2), ("b", 3)]
    assert [h.score for h in fused] == pytest.approx([0.9, 0.5 + 0.3, 0.5 + 0.15])
    assert fused[2].legs == {"dense": 2, "lexical": 2}
    assert blend([], [], 3) == []
    assert [h.chunk.text for h in blend([], words, 3)] == ["c", "b"]


def test_a_pinned_retriever_reads_its_version(index: MemoryIndex) -> None:
    retriever = HybridRetriever(HybridRetriever.Options(), parts=parts_of(index))
    retriever.pin(index.state().version)
    before = found_by(retriever, 1, "wheat prices")
    put(index, [chunk("d3", "barley yields")])
    assert found_by(retriever, 1, "wheat prices") == before
    retriever.pin(None)
    assert found_by(retriever, 1, "wheat prices") != before
