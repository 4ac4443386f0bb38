"""Texts → token ids for sentence encoders: cut to a limit, and padded in batches of one length."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.errors import ModelError
from twofold.plugins.protocols import Progress

_LOG = logging.getLogger(__name__)
_WINDOW = 4096
"""Texts tokenised and grouped by length at a time, so that memory stays bounded."""
_LONG = 20_000
"""Letters of a text that takes some hundredths of a second to tokenise."""
_PAD_TO = 8
"""Lengths of inputs are multiples of this, so that few different shapes are compiled."""

Encode = Callable[[NDArray[np.int32], NDArray[np.float32]], NDArray[np.float32]]
"""``encode(ids, mask)``: (batch, length) int32 and float32 → (batch, hidden), or (batch, length, hidden), float32."""


class SentenceTokens:
    """The tokenizer of a sentence encoder.

    Text is never read as a special token: ``[SEP]`` in a document is five characters.

    Args:
        directory: Model directory with ``tokenizer.json``.
        max_tokens: Limit of one text, special tokens included; a longer text is cut.

    Raises:
        ModelError: there is no readable ``tokenizer.json``.
    """

    def __init__(self, directory: Path, max_tokens: int) -> None:
        from tokenizers import Tokenizer

        path = directory / "tokenizer.json"
        try:
            self._whole = Tokenizer.from_file(str(path))
            self._cut = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ModelError(f"not a readable tokenizer: {error}", file=path) from error
        for tokenizer in (self._whole, self._cut):
            tokenizer.no_padding()
            tokenizer.no_truncation()
            # as text: [SEP] in a document is five characters
            tokenizer.encode_special_tokens = True
        self._cut.enable_truncation(max_tokens)
        self.max_tokens = max_tokens
        self._unknown = {self._whole.token_to_id(name) for name in ("[UNK]", "<unk>")} - {None}

    def unknown(self, text: str) -> int:
        """Number of letters and digits in unknown tokens, or in words that the vocabulary spells letter by letter."""
        encoding = whole(self._whole, text)
        unknown = [number in self._unknown for number in encoding.ids]
        return not_known(text, list(zip(encoding.offsets, unknown, strict=True)))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Character range of every token; no special tokens, never cut."""
        spans: list[tuple[int, int]] = whole(self._whole, text).offsets
        return spans

    def embed(
        self, texts: Sequence[str], encode: Encode, *, dimension: int, batch: int, progress: Progress | None
    ) -> NDArray[np.float32]:
        """Run `encode` over batches of one length; rows come back in the order of `texts`."""
        out = np.zeros((len(texts), dimension), dtype=np.float32)
        cut = done = 0
        for first in range(0, len(texts), _WINDOW):
            encodings = self._cut.encode_batch(list(texts[first : first + _WINDOW]))
            cut += sum(1 for encoding in encodings if encoding.overflowing)
            for rows, ids, mask in _batches([encoding.ids for encoding in encodings], batch):
                out[first + rows] = encode(ids, mask)
                done += len(rows)
                if progress is not None:
                    progress("embed", done, len(texts))
        if cut:
            _LOG.info("%d of %d texts were cut to %d tokens for embedding", cut, len(texts), self.max_tokens)
        return out

    def tokens(self, texts: Sequence[str], encode: Encode, *, batch: int) -> list[NDArray[np.float32]]:
        """Run `encode`, which returns a vector for each token, in batches of one length.

        Returns:
            For each text its tokens' vectors, special tokens apart, rows of length 1.
        """
        out: list[NDArray[np.float32]] = [np.zeros((0, 0), dtype=np.float32)] * len(texts)
        encodings = self._cut.encode_batch(list(texts))
        for rows, ids, mask in _batches([encoding.ids for encoding in encodings], batch):
            states = encode(ids, mask)
            for row, state in zip(rows, states, strict=True):
                places = [at for at, special in enumerate(encodings[row].special_tokens_mask) if not special]
                out[row] = unit(state[places])
        return out


def whole(tokenizer: Any, text: str) -> Any:
    """The encoding of a whole text, without added special tokens."""
    if len(text) > _LONG:
        # Four megabytes take seconds, and only the call for many gives the interpreter's lock back meanwhile.
        return tokenizer.encode_batch([text], add_special_tokens=False)[0]
    return tokenizer.encode(text, add_special_tokens=False)


def _batches(ids: Sequence[Sequence[int]], batch: int) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Rows of one padded length at a time: numbers of the rows, ids and mask.

    A network rounds by the length of its input, in bf16 up to .002 of a vector's number, and not by the number of rows:
    padded to the longest of its batch a text would get another vector in other company, and a worker that embeds a part
    of the texts other vectors than one process that embeds them all.
    """
    padded = np.array([-(-max(1, len(row)) // _PAD_TO) * _PAD_TO for row in ids])
    for length in np.unique(padded):
        alike = np.flatnonzero(padded == length)
        for start in range(0, len(alike), batch):
            rows = alike[start : start + batch]
            inputs = np.zeros((len(rows), length), dtype=np.int32)
            mask = np.zeros((len(rows), length), dtype=np.float32)
            for place, row in enumerate(rows):
                inputs[place, : len(ids[row])] = ids[row]
                mask[place, : len(ids[row])] = 1.0
            yield rows, inputs, mask


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Rows scaled to length 1 in float32; a row of zeros stays zero."""
    rows = np.asarray(vectors, dtype=np.float32)
    scaled: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
    return scaled


_SPELLED = 4
"""Letters in a row, each a token, from which a word counts as spelled out: English BERT knows Cyrillic, Greek, Arabic
and Hebrew only so."""
_ALPHABETIC = re.compile(r"(?![\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])[^\W\d_\u0000-\u024f]")
"""A letter, not of Latin (German is cut into 2.4 letters a token), no ideograph and no kana: these are words by
themselves."""


def not_known(text: str, tokens: Sequence[tuple[tuple[int, int], bool]]) -> int:
    """Count letters and digits in unknown tokens, and letters of words that the vocabulary spells letter by letter.

    Args:
        text: The tokenised text.
        tokens: Character range of each token, and whether the token is unknown.
    """
    total = 0
    for (start, end), unknown in tokens:
        if unknown:
            total += sum(map(str.isalnum, text[start:end]))
    row: set[int] = set()
    # a last token far from all others ends the row that the text ends with
    for (start, end), unknown in (*tokens, ((-2, -2), True)):
        alone = not unknown and end - start == 1 and _ALPHABETIC.match(text, start) is not None
        if not alone or (row and start - max(row) > 1):
            total += len(row) if len(row) >= _SPELLED else 0
            row = set()
        if alone:
            row.add(start)
    return total
