"""Conformance suite of the `Embedder` protocol, for plugin authors and for our own embedders.

Each of `PROMISES` checks one behaviour, so that a broken one hides none of the others::

    @pytest.mark.parametrize("promise", conformance_embedder.PROMISES)
    def test_promise(promise):
        promise(conformance_embedder.Subject(make=lambda: MyEmbedder(MyEmbedder.Options())))

A `Subject` that several tests share (a fixture of the module) opens a slow embedder only twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


@dataclass(kw_only=True)
class Subject:
    """The embedder that is examined. What it gives is computed once, for all promises that share the subject."""

    make: Callable[[], Embedder]
    """Makes the embedder; called twice."""
    tolerance: float = 0.999
    """Least cosine between the vectors of one text in two batches (reduced precision is not exact)."""
    progress: list[tuple[str, int, int]] = field(default_factory=list)
    """Calls of `progress` while `TEXTS` were embedded."""

    @cached_property
    def embedder(self) -> Embedder:
        """The first one made."""
        return self.make()

    @cached_property
    def another(self) -> Embedder:
        """The second one made, from the same options."""
        return self.make()

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """Of `TEXTS`, shape (texts, dimension), in one batch."""
        vectors: NDArray[np.float32] = self.embedder.embed(TEXTS, progress=lambda *state: self.progress.append(state))
        return vectors

    def same(self, left: Any, right: Any) -> bool:
        """Whether two batches of vectors are equal, row by row, within the tolerance."""
        return bool((np.sum(left * right, axis=1) >= self.tolerance).all())


def has_every_member(subject: Subject) -> None:
    """It has the members of the protocol; `version` is an integer."""
    assert isinstance(subject.embedder, Embedder), "it needs version, fingerprint, dimension, offsets and embed"
    assert isinstance(type(subject.embedder).version, int), "`version` must be an integer"


def refuses_unknown_options(subject: Subject) -> None:
    """A misspelled option is an error, not ignored."""
    options = type(subject.embedder).Options  # type: ignore[attr-defined]
    assert options.model_config.get("extra") == "forbid", "`Options` must refuse unknown keys"


def equal_options_give_one_fingerprint(subject: Subject) -> None:
    """The fingerprint is a digest of what made the embedder."""
    assert subject.embedder.fingerprint == subject.another.fingerprint, "equal options must give one fingerprint"


def has_a_row_for_every_text(subject: Subject) -> None:
    """Shape (texts, dimension)."""
    assert subject.vectors.shape == (len(TEXTS), subject.embedder.dimension), f"shape {subject.vectors.shape}"


def vectors_are_float32(subject: Subject) -> None:
    """The number format that an index stores."""
    assert subject.vectors.dtype == np.float32, f"vectors are {subject.vectors.dtype}"


def vectors_are_finite(subject: Subject) -> None:
    """Odd, long and empty texts have vectors, too."""
    assert np.isfinite(subject.vectors).all(), "a vector is not finite"


def vectors_have_length_one(subject: Subject) -> None:
    """A product of two is their cosine."""
    assert np.allclose(np.linalg.norm(subject.vectors, axis=1), 1, atol=1e-3), "a vector is not of length 1"


def progress_reaches_its_total(subject: Subject) -> None:
    """Progress is reported, and ends at the number of texts."""
    assert subject.vectors.size, "there are no vectors"
    assert subject.progress, "progress was never called"
    assert subject.progress[-1][1:] == (len(TEXTS), len(TEXTS)), f"progress ended at {subject.progress[-1]}"


def no_texts_give_no_rows(subject: Subject) -> None:
    """An empty batch is no error."""
    assert subject.embedder.embed([]).shape == (0, subject.embedder.dimension), "no texts must give no rows"


def rows_follow_the_texts(subject: Subject) -> None:
    """Row n is text n, whatever the embedder sorts by."""
    backwards = subject.embedder.embed(TEXTS[::-1])[::-1]
    assert subject.same(subject.vectors, backwards), "rows do not follow the order of the texts"


def a_vector_does_not_depend_on_its_batch(subject: Subject) -> None:
    """Padding and neighbours change nothing."""
    for place, text in enumerate(TEXTS):
        alone = subject.embedder.embed([text])
        assert subject.same(alone, subject.vectors[place : place + 1]), (
            f"a text's vector depends on its batch: {text[:20]!r}"
        )


def one_fingerprint_gives_one_vector(subject: Subject) -> None:
    """Two embedders of one fingerprint agree, so their vectors may stand in one index."""
    assert subject.same(subject.vectors, subject.another.embed(TEXTS)), "two embedders of one fingerprint disagree"


def a_paraphrase_is_near(subject: Subject) -> None:
    """The same thing in other words is nearer than another subject."""
    paraphrase = subject.embedder.embed(["drip irrigation of roots with water"])[0]
    near, far = float(subject.vectors[0] @ paraphrase), float(subject.vectors[0] @ subject.vectors[2])
    assert near > far, "a paraphrase must be nearer than another subject"


def tokens_lie_within_their_text(subject: Subject) -> None:
    """Offsets are ranges of characters."""
    for text in TEXTS:
        for start, stop in subject.embedder.offsets(text):
            assert 0 <= start <= stop <= len(text), f"token ({start}, {stop}) outside a text of {len(text)}"


def tokens_run_forwards(subject: Subject) -> None:
    """A token ends where the one before it does, or later."""
    for text in TEXTS:
        ends = [stop for _, stop in subject.embedder.offsets(text)]
        assert ends == sorted(ends), f"tokens must not run backwards: {text[:20]!r}"


def tokens_of_a_long_text_are_not_cut(subject: Subject) -> None:
    """A chunker sees the whole text, though the model may not."""
    for text in TEXTS:
        if len(text.split()) > 1000:
            assert len(subject.embedder.offsets(text)) >= len(text.split()), "a long text's tokens were cut"


def white_space_has_no_tokens(subject: Subject) -> None:
    """Neither a text of nothing else nor a token of nothing else."""
    for text in TEXTS:
        offsets = list(subject.embedder.offsets(text))
        assert text.strip() or not offsets, "white space has no tokens"
        for start, stop in offsets:
            assert text[start:stop].strip() or start == stop, f"a token of white space only: {text[:20]!r}"


PROMISES: Sequence[Callable[[Subject], None]] = (
    has_every_member,
    refuses_unknown_options,
    equal_options_give_one_fingerprint,
    has_a_row_for_every_text,
    vectors_are_float32,
    vectors_are_finite,
    vectors_have_length_one,
    progress_reaches_its_total,
    no_texts_give_no_rows,
    rows_follow_the_texts,
    a_vector_does_not_depend_on_its_batch,
    one_fingerprint_gives_one_vector,
    a_paraphrase_is_near,
    tokens_lie_within_their_text,
    tokens_run_forwards,
    tokens_of_a_long_text_are_not_cut,
    white_space_has_no_tokens,
)
"""Everything the protocol promises, one behaviour each."""
