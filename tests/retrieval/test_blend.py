"""The weight of the word leg is chosen where a gain is sure, and stays where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from twofold.plugins.protocols import Parts
from twofold.retrieval.fusion import LEXICAL_ALONE, covered, word_weight
from twofold.retrieval.retrievers.hybrid import HybridRetriever
from twofold.study.retrieval.blend import ELSEWHERE, MARGIN, chosen, compared, shrunk
from twofold.testing.conformance_index import DIMENSION, FINGERPRINT, chunk, put
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.testing.memory_index import MemoryIndex
from twofold.types import Query

WEIGHTS = (0.0, 0.5, 1.0)


def _scores(gain: float, noise: float, count: int) -> np.ndarray:
    chance = np.random.default_rng(7)
    base = chance.uniform(0.2, 0.8, count)
    return np.column_stack([base + gain + noise * chance.normal(size=count), base, base - gain])


def _choice(scores: np.ndarray, groups: Sequence[object]) -> float:
    gains, errors = compared(scores, groups, WEIGHTS.index(0.5))
    return chosen(WEIGHTS, shrunk(WEIGHTS, gains, errors))


def test_a_sure_gain_is_taken() -> None:
    scores, groups = _scores(0.07, 0.1, 120), [f"g{n // 3}" for n in range(120)]
    gains, errors = compared(scores, groups, 1)
    assert gains[0] == pytest.approx(0.07, abs=0.03)
    assert gains[1] == errors[1] == 0
    assert _choice(scores, groups) == 0.0


def test_the_default_stays_where_questions_are_few_or_of_one_group() -> None:
    assert _choice(_scores(0.03, 0.3, 8), range(8)) == 0.5
    assert _choice(_scores(0.07, 0.1, 120), ["one"] * 120) == 0.5


def test_a_gain_is_believed_in_the_measure_of_its_certainty() -> None:
    gains = np.array([0.05, 0.0, 0.05])
    sure, unsure, unknown = (shrunk(WEIGHTS, gains, np.array([e, 0.0, e])) for e in (1e-6, 0.05, np.inf))
    elsewhere = [ELSEWHERE[weight][0] for weight in WEIGHTS]
    assert sure[[0, 2]] == pytest.approx([0.05, 0.05], abs=1e-5)
    assert unknown == pytest.approx(elsewhere, abs=1e-5), "what is not measured is what was seen elsewhere"
    assert unsure[1] == 0
    assert all(low < held < high for low, held, high in zip(unknown[[0, 2]], unsure[[0, 2]], sure[[0, 2]], strict=True))
    assert chosen(WEIGHTS, unknown) == 0.5
    assert chosen(WEIGHTS, [MARGIN / 2, 0.0, MARGIN / 3]) == 0.5, "too little to leave the default for"


def test_a_match_of_few_words_weighs_little_unless_the_embedder_cannot_read_the_question() -> None:
    assert word_weight(0.5, covered=1, unknown=0) == 0.5
    assert word_weight(0.5, covered=0.16, unknown=0) == pytest.approx(0.2)
    assert word_weight(0.5, covered=0, unknown=0) == 0
    assert word_weight(0.5, covered=0.2, unknown=0.1) > word_weight(0.5, covered=0.2, unknown=0.05) > 0.2
    assert word_weight(0.5, covered=0.2, unknown=0.6) == LEXICAL_ALONE
    assert word_weight(5, covered=0.2, unknown=1) == 5
    assert word_weight(0, covered=1, unknown=1) == 0, "the dense leg alone"


def test_the_share_of_a_question_that_a_passage_holds() -> None:
    passage = chunk("d", "The pump of the depot was repaired.")
    assert covered("Who repaired the pump?", passage) == 1
    assert covered("Who repaired the pump of the harbour in winter?", passage) == 0.5
    assert covered("Who is it?", passage) == 0


class _Blind(HashingEmbedder):
    """Reads no letter of what is written in Cyrillic."""

    def unknown(self, text: str) -> int:
        return sum(sign.isalpha() and not sign.isascii() for sign in text)


@pytest.mark.parametrize(("question", "first"), [("насос станции", "words"), ("pump station", "words")])
def test_a_question_that_the_embedder_cannot_read_is_decided_by_its_words(
    tmp_path: Path, question: str, first: str
) -> None:
    index = MemoryIndex(MemoryIndex.Options(), directory=tmp_path, fingerprint=FINGERPRINT, dimension=DIMENSION)
    texts = {"words": f"О том: {question} стоит у моря с зимы и по сей день.", "other": "насосная часть города"}
    put(index, [chunk(name, text) for name, text in texts.items()])
    parts = Parts(embedder=_Blind(_Blind.Options(dimension=DIMENSION)), index=index)
    retriever = HybridRetriever(HybridRetriever.Options(lexical=0.01), parts=parts)
    (found,) = retriever.retrieve([Query(text=question, question=question)], 2)
    assert found.hits[0].chunk.span.document == first
    worth = found.hits[0].score
    assert (worth > 1.5) == (not question.isascii())


def test_questions_without_a_score_are_left_out_and_groups_count_once() -> None:
    scores = _scores(0.05, 0.2, 40)
    doubled = np.vstack([scores, scores, np.full((1, 3), np.nan)])
    groups = [*range(40), *range(40), "x"]
    one, other = compared(scores, range(40), 1), compared(doubled, groups, 1)
    assert other[0] == pytest.approx(one[0])
    assert other[1] == pytest.approx(one[1]), "the same questions twice are no more sure"
