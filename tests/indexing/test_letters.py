"""A sync says when the embedder cannot read the documents' letters."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold.plugins import loading
from twofold.project import Project
from twofold.retrieval.embedders.tokenizing import SentenceTokens
from twofold.testing.hashing_embedder import HashingEmbedder

THAI = "พนักงานลาพักร้อนได้ปีละสิบวันทำการและต้องแจ้งล่วงหน้าสามวัน"


@pytest.fixture
def tokens(tmp_path: Path) -> SentenceTokens:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.pre_tokenizers import Whitespace

    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{sign}" for sign in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = {word: number for number, word in enumerate(["[UNK]", *letters])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return SentenceTokens(tmp_path, 32)


def test_unknown_letters_are_counted_and_signs_are_not(tokens: SentenceTokens) -> None:
    assert tokens.unknown("drip irrigation") == 0
    assert tokens.unknown("drip … !") == 0
    assert tokens.unknown("drip пять") == 4


RUSSIAN = "Капельное орошение экономит воду"
SENTENCES = {
    "Drip irrigation (pH 6.5) saves water: def f(x_1): return a[i] + b": 0,
    "Tröpfchenbewässerung spart Wasser, säästää vettä, Tưới nhỏ giọt tiết kiệm nước": 0,
    "α and β particles, Δx, the Ω of a 4 kΩ part": 0,
    RUSSIAN: 29,
    "Η στάγδην άρδευση εξοικονομεί νερό": 29,
    "השקיה בטפטוף חוסכת מים": 16,
    "The word орошение means irrigation": 8,
}


@pytest.mark.parametrize("text", SENTENCES)
def test_words_that_the_english_embedder_has_letter_by_letter_are_not_known(text: str) -> None:
    embedder = loading.make("embedders", "minilm", {})
    assert embedder.unknown(text) == SENTENCES[text]


def test_the_multilingual_embedder_knows_the_words() -> None:
    embedder = loading.make("embedders", "multilingual", {})
    assert embedder.unknown(RUSSIAN) == 0
    assert embedder.unknown("滴灌可以节约用水") == 0


@pytest.mark.parametrize(("text", "warned"), [(THAI, True), ("drip irrigation saves water", False)])
def test_a_sync_warns_of_unknown_letters(tmp_path: Path, tokens: SentenceTokens, text: str, warned: bool) -> None:
    # a class of its own: Python remembers for good that a class has what a protocol asks for
    counting = type("Counting", (HashingEmbedder,), {"unknown": staticmethod(tokens.unknown)})
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "leave.txt").write_text(text, encoding="utf-8")
    (tmp_path / "twofold.toml").write_text(
        '[project]\nname = "letters"\n[documents]\npaths = ["docs"]\n[retrieval.embedder]\nname = "hashing"\n'
    )
    with loading.registered("embedders", "hashing", counting), Project.open(tmp_path) as project:
        warnings = project.sync()["warnings"]
    assert bool(warnings) is warned
    assert not warned or ("100 %" in warnings[0] and "leave.txt" in warnings[0])


def test_nothing_is_said_where_the_embedder_cannot_tell(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "leave.txt").write_text(THAI, encoding="utf-8")
    (tmp_path / "twofold.toml").write_text(
        '[project]\nname = "letters"\n[documents]\npaths = ["docs"]\n[retrieval.embedder]\nname = "hashing"\n'
    )
    with Project.open(tmp_path) as project:
        assert project.sync()["warnings"] == []
