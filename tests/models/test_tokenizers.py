"""A tokenizer is read once for all that use it, and again where its file has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold.models.tokenizers import tokenizer_of

tokenizers = pytest.importorskip("tokenizers")


def write(directory: Path, words: list[str]) -> None:
    model = tokenizers.models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="?")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(directory / "tokenizer.json"))


def test_a_tokenizer_is_read_once_and_again_where_its_file_has_changed(tmp_path: Path) -> None:
    write(tmp_path, ["?", "wheat"])
    first = tokenizer_of(tmp_path)
    assert tokenizer_of(tmp_path) is first
    write(tmp_path, ["?", "barley", "wheat"])
    assert tokenizer_of(tmp_path).encode("wheat").ids == [2]
    assert first.encode("wheat").ids == [1]


def test_the_truncation_and_padding_of_the_file_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, ["?", "wheat"])
    assert tokenizer_of(tmp_path).encode("wheat and more wheat").ids == [1, 0, 0, 1]
