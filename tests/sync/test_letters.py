"""A sync says when the embedder cannot read the documents' letters."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold.project import Project
from twofold.retrieval.sentence_tokens import SentenceTokens
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


@pytest.mark.parametrize(("text", "warned"), [(THAI, True), ("drip irrigation saves water", False)])
def test_a_sync_warns_of_unknown_letters(
    tmp_path: Path, tokens: SentenceTokens, monkeypatch: pytest.MonkeyPatch, text: str, warned: bool
) -> None:
    monkeypatch.setattr(HashingEmbedder, "unknown", staticmethod(tokens.unknown), raising=False)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "leave.txt").write_text(text, encoding="utf-8")
    (tmp_path / "twofold.toml").write_text(
        '[project]\nname = "letters"\n[documents]\npaths = ["docs"]\n[retrieval.embedder]\nname = "hashing"\n'
    )
    with Project.open(tmp_path) as project:
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
