"""Conformance suite of the `Embedder` protocol, for plugin authors and for our own embedders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twofold.plugins.protocols import Embedder

TEXTS = (
    "Drip irrigation brings water to the roots.",
    "Sprinklers lose water to the wind.",
    "The invoice is due on 3 March.",
    "日本語の文章もあります。",
    "naïve café, ﬁnancial",
    "[CLS] [SEP] </s> <|im_end|>",
    "word " * 3000,
    "a",
    "",
    " \n\t",
    "\u0000\ud7ff😀",
)
"""Plain, odd, long and empty texts."""


def check_embedder(make: Callable[[], Embedder], *, tolerance: float = 0.999) -> None:
    """Assert everything the protocol promises.

    Args:
        make: Makes the embedder; called twice.
        tolerance: Least cosine between the vectors of one text in two batches (reduced precision is not exact).

    Raises:
        AssertionError: naming the promise that was broken.
    """
    embedder = make()
    kind = type(embedder)
    assert isinstance(embedder, Embedder), "an embedder needs version, fingerprint, dimension, offsets and embed"
    assert isinstance(kind.version, int), "`version` must be an integer"
    assert kind.Options.model_config.get("extra") == "forbid", "`Options` must refuse unknown keys"  # type: ignore[attr-defined]
    again = make()
    assert embedder.fingerprint == again.fingerprint, "the same options must give the same fingerprint"
    seen: list[tuple[str, int, int]] = []
    vectors = embedder.embed(TEXTS, progress=lambda stage, done, total: seen.append((stage, done, total)))
    assert vectors.shape == (len(TEXTS), embedder.dimension), f"shape {vectors.shape}"
    assert vectors.dtype == np.float32, f"vectors are {vectors.dtype}"
    assert np.isfinite(vectors).all(), "a vector is not finite"
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3), "a vector is not of length 1"
    assert seen, "progress was never called"
    assert seen[-1][1:] == (len(TEXTS), len(TEXTS)), f"progress ended at {seen[-1]}"
    assert embedder.embed([]).shape == (0, embedder.dimension), "no texts must give no rows"
    _check_order(embedder, vectors, tolerance)
    same = again.embed(TEXTS)
    assert (np.sum(vectors * same, axis=1) >= tolerance).all(), "two embedders of one fingerprint disagree"
    near = float(vectors[0] @ embedder.embed(["drip irrigation of roots with water"])[0])
    assert near > float(vectors[0] @ vectors[2]), "a paraphrase must be nearer than another subject"
    for text in TEXTS:
        _check_offsets(embedder, text)


def _check_order(embedder: Embedder, vectors: np.ndarray, tolerance: float) -> None:
    backwards = embedder.embed(TEXTS[::-1])[::-1]
    assert (np.sum(vectors * backwards, axis=1) >= tolerance).all(), "rows do not follow the order of the texts"
    for place, text in enumerate(TEXTS):
        alone = embedder.embed([text])
        assert float(alone[0] @ vectors[place]) >= tolerance, f"a text's vector depends on its batch: {text[:20]!r}"


def _check_offsets(embedder: Embedder, text: str) -> None:
    offsets = list(embedder.offsets(text))
    end = 0
    for start, stop in offsets:
        assert 0 <= start <= stop <= len(text), f"token ({start}, {stop}) outside a text of {len(text)}"
        assert start >= end or start >= 0, "tokens must not run backwards"
        assert stop >= end, "tokens must not run backwards"
        end = stop
    if len(text.split()) > 1000:
        assert len(offsets) >= len(text.split()), "a long text's tokens were cut"
    if not text.strip():
        assert not offsets, "white space has no tokens"
    for start, stop in offsets:
        assert text[start:stop].strip() or start == stop, "a token of white space only"
