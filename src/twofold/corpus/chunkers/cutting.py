"""The rules by which all chunkers cut a document: exact spans within a token limit, cut where the text itself divides.

A document is cut at its headings; small sections are joined to what follows while they fit. A section over the limit
is cut into pieces of about equal size, each ending at a paragraph, else a sentence, else a line, else a space, else
between two tokens. A row of a table is not cut where it fits, and the table's head stands in the heading path of every
piece that begins below it. Source code has no headings and no tables. Tokens are those of the embedder, found once for
the whole document. ``chunk.text`` is always ``document.text[start:end]``; only white space lies between chunks.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Protocol

from twofold.corpus.outline import headings_of, tables, within
from twofold.corpus.sentences import ends
from twofold.hashing import digest
from twofold.plugins.protocols import TokenOffsets
from twofold.types import Chunk, Document, Span

PIECE = 200_000
"""Characters tokenised at a time in a huge document."""

_LONGEST, _PER_TOKEN = 32, 4
"""Characters of a token that cannot be a word (the longest in English sets has 17), and of a usual one."""
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
"""Thai, Lao, Burmese, Khmer: writers put blanks between sentences, none between words."""
_PARAGRAPH = re.compile(r"\n[ \t\r\f\v]*\n\s*")
_LINE = re.compile(r"\n\s*")


class Sizes(Protocol):
    """How large chunks are, in tokens of the embedder."""

    max_tokens: int
    """Limit of a chunk."""
    overlap: int
    """Tokens of the previous chunk that are repeated at the start of a chunk."""
    min_tokens: int
    """Sections smaller than this are joined to the next one where both fit."""


def chunk_of(document: Document, start: int, end: int, *, headings: tuple[str, ...] = (), ordinal: int = 0) -> Chunk:
    """The chunk of `document` at ``[start, end)``, with the document's title, collection, readers and metadata."""
    text = document.text[start:end]

    name = digest("chunk", {"document": document.id, "start": start, "end": end, "text": digest("text", text)})
    span = Span(document=document.id, start=start, end=end)
    place = bisect_right([p.start for p in document.places], start)
    return Chunk(
        id=name,
        span=span,
        text=text,
        title=document.title,
        headings=headings,
        ordinal=ordinal,
        place=document.places[place - 1].label if place else "",
        collection=document.collection,
        readers=document.readers,
        metadata=document.metadata,
    )


def _evened(offsets: Iterable[tuple[int, int]], text: str) -> Iterator[tuple[int, int]]:
    """Cut tokens that are too long to be words into several, so that a limit in tokens limits characters too.

    The tokenizer makes one unknown token of a Thai, Lao, Khmer or Burmese sentence and of a long run of hexadecimal
    digits, however long. No piece begins with a combining mark.
    """
    for begin, end in offsets:
        start = begin
        longest = _PER_TOKEN if _UNSPACED.match(text, start) else _LONGEST
        while end - start > longest:
            cut = start + _PER_TOKEN
            # no cut between a letter and the marks on it
            while cut < end and unicodedata.category(text[cut]) in ("Mn", "Mc"):
                cut += 1
            yield start, cut
            start = cut
        yield start, end


def tokens_of(text: str, offsets: TokenOffsets) -> tuple[list[int], list[int]]:
    """Starts and ends (characters of the text) of all tokens that are not empty; both lists ascend."""
    spans: list[tuple[int, int]] = []
    for start, end in _pieces(text):
        part = text if end - start == len(text) else text[start:end]
        spans += [(a + start, b + start) for a, b in _evened(offsets(part), part) if b > a]
    starts = [a for a, _ in spans]
    # a tokenizer may give them out of order; it rarely does
    if any(a > b for a, b in pairwise(starts)):
        spans.sort()
        starts = [a for a, _ in spans]
    # tokens may overlap: with the running maximum, bisect works on the ends, too
    return starts, list(accumulate((b for _, b in spans), max))


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while len(text) - start > PIECE:
        # in the second half, so that no piece is small
        window = text[start + PIECE // 2 : start + PIECE]
        cut = max(window.rfind("\n\n"), window.rfind("\n"))
        cut = cut if cut >= 0 else window.rfind(" ")
        end = start + PIECE // 2 + cut if cut >= 0 else start + PIECE
        yield start, end
        start = end
    yield start, len(text)


class Cut:
    """One document being cut.

    Args:
        text: The document's.
        tokens: Starts and ends of its tokens.
        options: The sizes.
        code: The text is source code: it has no headings and no tables.
    """

    def __init__(self, text: str, tokens: tuple[list[int], list[int]], options: Sizes, *, code: bool = False) -> None:
        self.text = text
        self.starts, self.ends = tokens
        self.limit = options.max_tokens
        self.overlap = options.overlap
        self.least = min(options.min_tokens, options.max_tokens)
        self.marks = [] if code else headings_of(text)
        self.tables = [] if code else tables(text)
        self.rows: list[int] = []
        """Begins of table rows, without the first row below each head: the places at which a table may be cut."""
        for table in self.tables:
            at = text.find("\n", table.body, table.end) + 1
            while at:
                self.rows.append(at)
                at = text.find("\n", at, table.end) + 1
        paragraphs = [m.end() for m in _PARAGRAPH.finditer(text)]
        lines = [m.end() for m in _LINE.finditer(text)]
        # the order in which `_next` looks for a break
        self.levels = [paragraphs, ends(text), lines]
        # a cut right before a table's first character is outside the table
        self._inside = [(table.start + 1, table.end) for table in self.tables]
        if self.tables:  # within a table sentences and lines end nothing, rows do
            self.levels[1:] = [self._row_ends(level) for level in self.levels[1:]]

    def _row_ends(self, level: Sequence[int]) -> list[int]:
        """The level's places outside of tables, and the beginnings of rows."""
        outside = [at for at in level if not within(self._inside, at)]
        return sorted({*outside, *self.rows})

    def count(self, start: int, end: int) -> int:
        """Number of tokens that overlap ``[start, end)``."""
        # both lists ascend, so bisection finds the tokens that overlap the range
        return max(0, bisect_left(self.starts, end) - bisect_right(self.ends, start))

    def trim(self, start: int, end: int) -> tuple[int, int]:
        """The range without white space at its ends."""
        text = self.text
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        return start, end

    def ranges(self) -> Iterator[tuple[int, int, tuple[str, ...]]]:
        """Yield ``(start, end, heading path)`` of every chunk."""
        marks = self.marks
        path: list[tuple[int, str]] = []
        seen = 0
        for a, b in self._sections(marks):
            for start, end in self.cuts(a, b):
                while seen < len(marks) and marks[seen][1] <= start:
                    _, _, level, title = marks[seen]
                    path = [*(p for p in path if p[0] < level), (level, title)]
                    seen += 1
                # a chunk that begins with a heading lies beside that heading's siblings; 7 is below the six levels
                heading_level = marks[seen][2] if seen < len(marks) and marks[seen][0] <= start else 7
                yield start, end, (*(title for level, title in path if level < heading_level), *self.columns(start))

    def columns(self, at: int) -> tuple[str, ...]:
        """The head of the table whose rows contain a place; empty outside of tables."""
        number = bisect_right(self.tables, at, key=lambda table: table.body) - 1
        table = self.tables[number] if number >= 0 else None
        return (table.names,) if table and at < table.end and table.names else ()

    def sentences(self) -> list[tuple[int, int]]:
        """Trimmed ranges of all sentences; a sentence over the limit comes in pieces."""
        paragraphs, ends, _ = self.levels
        edges = sorted({0, len(self.text), *(at for at in (*paragraphs, *ends) if not self._parts(at))})
        sentences: list[tuple[int, int]] = []
        for a, b in pairwise(edges):
            start, end = self.trim(a, b)
            if start < end:
                sentences += self.cuts(start, end)
        return sentences

    def packed(self, ranges: Sequence[tuple[int, int]], most: int = 0) -> Iterator[tuple[int, int]]:
        """Join neighbouring ranges while they fit the limit, at most `most` ranges each (0: any number)."""
        joined_count = 0
        start, end = 0, 0
        for a, b in ranges:
            if joined_count and (joined_count == most or self.count(start, b) > self.limit):
                yield start, end
                joined_count = 0
            start, end, joined_count = a if not joined_count else start, b, joined_count + 1
        if joined_count:
            yield start, end

    def _sections(self, marks: Sequence[tuple[int, int, int, str]]) -> list[tuple[int, int]]:
        """Trimmed sections, small ones joined.

        A heading without text of its own joins the section below it, whatever the size; another small section joins
        the next section of the same or a deeper level, or else the previous one, where both fit the limit.
        """
        # (start of the section, end of its heading, level); level 0: the text before the first heading
        edges = [(0, 0, 0), *(m[:3] for m in marks), (len(self.text), 0, 0)]
        sections: list[tuple[int, int, int, bool]] = []
        for (a, heading, level), (b, _, _) in pairwise(edges):
            start, end = self.trim(a, b)
            if start == end:
                continue
            lone = end <= heading
            if sections:
                first, last, above, alone = sections[-1]
                # a heading without text of its own goes with what stands below it
                joins = alone and above < level
                if joins or (above <= level and self._small(first, last) and self.count(first, end) <= self.limit):
                    sections[-1] = (first, end, above, alone and lone)
                    continue
            sections.append((start, end, level, lone))
        # a second pass backwards: the last small section of a chapter has no next one to join
        joined: list[tuple[int, int, int]] = []
        for start, end, level, _ in sections:
            if joined and self._small(start, end):
                first, _, above = joined[-1]
                if above <= level and self.count(first, end) <= self.limit:
                    joined[-1] = (first, end, above)
                    continue
            joined.append((start, end, level))
        return [(a, b) for a, b, _ in joined]

    def _small(self, start: int, end: int) -> bool:
        return self.count(start, end) < self.least

    def cuts(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Cut the trimmed range ``[start, end)`` into trimmed pieces within the limit."""
        done = start  # end of the text that chunks already cover; with an overlap, `start` lies before it
        while done < end:
            left = self.count(start, end)
            if left <= self.limit:
                yield start, end
                return
            cut = self._next(start, end, left, done)
            a, b = self.trim(start, cut)
            if a < b:
                yield a, b
            done = self.trim(cut, end)[0]
            start = self._back(done, start) if self.overlap else done

    def _next(self, start: int, end: int, left: int, done: int) -> int:
        """Find where the chunk from `start` ends: beyond `done`, at most `limit` tokens away."""
        first = bisect_right(self.ends, start)
        # there is such a token, for more than `limit` are left
        furthest = min(end, self.starts[first + self.limit])
        # about equal pieces: the last one is not a remainder
        pieces = -(-left // self.limit)
        aim = min(self.starts[min(first + -(-left // pieces), len(self.starts) - 1)], furthest)
        # the next token is longer than the limit leaves: nothing smaller can be cut off
        if furthest <= max(start, done):
            return self._forced(max(start, done), end)
        # no smaller than three fifths of an even share where any level has a break there, else three tenths
        for share in (0.6, 0.3):
            lowest = max(self.starts[first + int(share * left / pieces)], start, done) + 1
            for level in self.levels:
                cut = self._nearest(level, lowest, furthest, aim)
                if cut:
                    return cut
        row = self.rows[bisect_right(self.rows, furthest) - 1] if self.rows and self.rows[0] <= furthest else 0
        if row > max(start, done) and within(self._inside, furthest):
            return row  # what is left of the limit is less than the next row
        # no break of any level: at white space in the second half, so that no chunk is a sliver
        floor = max(self.starts[first + self.limit // 2], start, done)
        for at in range(furthest, floor, -1):
            spaced = self.text[at - 1].isspace() or (at < end and self.text[at].isspace())
            if spaced and not self._parts(at):
                return at
        return furthest

    def _nearest(self, level: Sequence[int], lowest: int, furthest: int, aim: int) -> int:
        """The break of a level in ``[lowest, furthest]`` nearest to `aim` that splits no token; 0 for none."""
        low, high = bisect_left(level, lowest), bisect_right(level, furthest)
        if low >= high:
            return 0
        middle = bisect_left(level, aim, low, high)
        # breaks near the aim only: a level may have thousands
        around = level[max(low, middle - 4) : min(high, middle + 4)]
        whole = [at for at in around if not self._parts(at)]
        return min(whole, key=lambda at: abs(at - aim)) if whole else 0

    def _parts(self, at: int) -> bool:
        """Would a cut at this place split a token (white space around the cut aside)?"""
        a, b = at, at
        while a > 0 and self.text[a - 1].isspace():
            a -= 1
        while b < len(self.text) and self.text[b].isspace():
            b += 1
        i = bisect_right(self.ends, a - 1) if a else 0
        return i < len(self.starts) and self.starts[i] < a and self.ends[i] > b

    def _forced(self, at: int, end: int) -> int:
        """The end of the tokens that overlap the character at `at`: no smaller piece can be cut off."""
        i = bisect_right(self.ends, at)
        return min(end, max(self.ends[i], at + 1)) if i < len(self.ends) else end

    def _back(self, done: int, before: int) -> int:
        """A start up to `overlap` tokens before `done`, at a word."""
        first = bisect_right(self.ends, done)
        at = self.starts[max(0, first - self.overlap)]
        at = max(at, before + 1)  # each chunk begins after the previous one, or the loop would not end
        if self.tables and within(self._inside, at):
            number = bisect_left(self.rows, at)
            return self.rows[number] if number < len(self.rows) and self.rows[number] <= done else done
        while at < done and not self.text[at - 1].isspace():
            at += 1
        return self.trim(at, done)[0] if at < done else done
