"""Streaming never splits a character, never shows a stop string, and joins to the whole text."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from twofold.generation.runtimes.contract import Pieces, cut


class Bytes:
    """A tokenizer whose tokens are bytes: the worst case for whole characters."""

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode("utf-8", "replace")


@given(
    st.text(alphabet="ab é日🙂", max_size=30),
    st.lists(st.text(alphabet="ab é", min_size=1, max_size=3), max_size=2),
    st.integers(1, 4),
)
def test_pieces_join_to_the_cut_text(text: str, stop: list[str], width: int) -> None:
    data = text.encode()
    parts = [data[at : at + width] for at in range(0, len(data), width)]
    coming = Pieces(Bytes(), stop)  # type: ignore[arg-type]
    shown = []
    for part in parts:
        shown.append(coming.add(part))
        if coming.ended:
            break
    shown.append(coming.rest())
    assert "".join(shown) == cut(text, stop)[0]
    assert not any("\ufffd" in piece for piece in shown)


def test_cut_takes_the_first_of_several() -> None:
    assert cut(" aa", ["a", " aa"]) == (" ", True), "generation ends there"
    assert cut("one two three", ["three", "two"]) == ("one ", True)
    assert cut("one", ["x", ""]) == ("one", False)
