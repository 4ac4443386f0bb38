"""Delimited text (CSV, TSV) as programs really write it: find the header, the separator, and the cells of each row.

Records are read strictly by RFC 4180. Where a record breaks it (a quotation mark that is not doubled, or not closed),
its first line is read alone with the mark as a character, so that a bad row costs at most that row. The reader also
knows what spreadsheets put around a table: a line ``sep=;``, comments and titles above the header, a header of two
rows, cells for columns without a name, separators at the end of a row.

The time is linear in the text: the end of an open quotation is searched for once, since of two lines that open a
quotation the second closes that of the first.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from twofold.metadata.conditions import number as value_of

_SEPARATORS = "\t;|,^~"
"""In order of preference where two fit equally: commas also occur in texts and numbers."""
_NOTHING = "\x1f"
"""A separator that does not occur: the table has one column."""
_SAMPLE = 60
"""Rows from which the separator and the header are determined."""
_SAMPLE_LINES = 4 * _SAMPLE
"""Lines of the sample: a record may take several."""
_SAMPLE_CHARACTERS = 1 << 16
"""Characters after which the sample ends, however few its rows are."""
_PREAMBLE = 20
"""First rows that are searched for the header."""
_FILLED = 0.6
"""Least share of the columns that a header names; titles and notes above it fill fewer."""
_SEP = re.compile(r'"?sep=(.)"?[\t;|, ]*', re.IGNORECASE)
_SINGLE = re.compile(rf"(?:^|[{_SEPARATORS}])\s*'[^']*'\s*(?:$|[{_SEPARATORS}])")
_LONE = frozenset(("answer", "body", "content", "context", "document", "id", "question", "text", "title"))
"""Names of a lone column: a file that begins with such a name has one column, however many commas its texts contain."""
_FORMS = {
    "date": re.compile(r"(?:\d{4}-\d\d-\d\d|\d{1,2}([./-])\d{1,2}\1(?:\d\d){1,2})(?:[T ]\d\d?:\d\d\S{0,30})?"),
    "address": re.compile(r"https?://\S+|[^@\s]{1,64}@[^@\s]{1,63}\.\w{2,20}"),
}
_CODE = re.compile(r"(?=\D{0,39}\d)(?=[^a-zA-Z]{0,39}[a-zA-Z])[\w ./#-]{2,40}")
_FIGURES = re.compile(r"\d+")
_TITLE = 200
"""Characters of the text above a table that become its title."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A row below the header."""

    line: int
    """1-based first line in the file."""
    number: int
    """1-based position among the rows below the header."""
    values: dict[str, str]
    """Column → cell; a row that is too short has empty cells."""
    extra: tuple[str, ...] = ()
    """Cells beyond the header's last column, when one of them has text."""
    fault: str = ""
    """The reason why the row cannot be trusted; `values` then has its readable cells."""
    begins: bool = False
    """Is the row below an empty line, with words where numbers were above? It is probably another table's header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelimitedTable:
    """The table in a delimited text."""

    columns: tuple[str, ...]
    """Unique names; a column without a name is called by its number."""
    title: str
    """Text above the header."""
    rows: Iterator[TableRow]
    """Rows, read during the iteration."""
    headed: bool = True
    """Has the table a header? Else its columns are called by their numbers, and the first row is data."""


def table_of(text: str, *, tab: bool = False) -> DelimitedTable:
    """The table in a delimited text.

    Args:
        text: The file's text.
        tab: The file's name says that tabs separate the cells (``.tsv``).
    """
    # without translation: a line end within a cell stays as it is
    lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    start, declared = _beginning(lines)
    sample = lines[start : start + _SAMPLE_LINES]
    quote = _quote(sample)
    delimiter = declared or _delimiter(sample, quote, tab=tab)
    reader = _records(lines, start, delimiter, quote)
    first: list[_Record] = []
    for record in reader:
        first.append(record)
        if len(first) == _SAMPLE:
            break
    at = _header(first)
    if at is None:
        return DelimitedTable(columns=(), title="", rows=iter(()))
    at = _short_header(first, at)
    above, cells = [r for r in first[:at] if _text(r.cells) and not _comment(r)], first[at].cells
    if _groups(first[at:]):
        at += 1
        cells = _joined(cells, first[at].cells)
    elif above and above[-1] is first[at - 1] and _groups(first[at - 1 :]):
        cells = _joined(above.pop().cells, cells)
    below = [r for r in first[at + 1 :] if _text(r.cells)]
    if not above and not _labelled(cells, [r.cells for r in below]):
        columns = _columns([""] * (len(cells) - 1) + [f"column {len(cells)}"])
        rows = _rows(_chained(first[at:], reader), columns, header=[])
        return DelimitedTable(columns=columns, title="", rows=rows, headed=False)
    if below and all(len(r.cells) == len(cells) + 1 for r in below) and _begin_with_names([r.cells for r in below]):
        cells = ["", *cells]  # R writes no name above the rows' names
    columns = _columns(cells)
    words = " ".join(_listed(line.cells) for line in above).replace(":, ", ": ")
    title = " ".join(words.split())[:_TITLE]
    rows = _rows(_chained(first[at + 1 :], reader), columns, header=first[at].cells)
    return DelimitedTable(columns=columns, title=title, rows=rows)


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    cells: list[str]
    mended: bool
    """The record breaks RFC 4180 and was read as a single line."""


def _beginning(lines: Sequence[str]) -> tuple[int, str]:
    """The first line that is not empty, and the separator that a line ``sep=`` names."""
    for number, line in enumerate(lines):
        if line.strip():
            named = _SEP.fullmatch(line.rstrip("\r\n"))
            return (number + 1, named[1]) if named else (number, "")
    return len(lines), ""


def _quote(sample: Sequence[str]) -> str:
    """The sign around cells: an apostrophe where most lines have cells in them and none has one in quotation marks."""
    # not the first line: a header often stands without marks
    having = [line.rstrip("\r\n") for line in sample if line.strip()][1:]
    single = sum(1 for line in having if _SINGLE.search(line))
    return "'" if having and single > 0.6 * len(having) and not any('"' in line for line in having) else '"'


def _delimiter(sample: Sequence[str], quote: str, *, tab: bool) -> str:
    """The separator with which most sampled rows have the same number of cells, and of several the most cells."""
    if tab and any("\t" in line for line in sample):
        return "\t"
    first = next((line for line in sample if line.strip()), "")
    if first.strip().strip('"').casefold() in _LONE:
        return _NOTHING
    best, chosen = (0.0, 0, 0), _NOTHING
    for mark in _SEPARATORS:
        if not any(mark in line for line in sample) or (mark == "," and _prose(sample, first)):
            continue
        rows = [r for r in _bounded(_records(sample, 0, mark, quote)) if _text(r.cells) and not _comment(r)]
        widths = Counter(len(r.cells) for r in rows if len(r.cells) > 1 and not r.mended)
        if not widths:
            continue
        width, often = max(widths.items(), key=lambda item: (item[1], item[0]))
        # rounded: an odd row in a hundred does not decide between separators
        score = (round(often / len(rows), 2), width, first.count(mark))
        if score > best:
            best, chosen = score, mark
    return chosen


def _prose(sample: Sequence[str], first: str) -> bool:
    """Are the commas those of sentences and names? Then the first line has none, and blanks follow most others."""
    having = [line for line in sample if "," in line]
    return "," not in first and 2 * sum(1 for line in having if ", " in line) > len(having)


def _bounded(records: Iterator[_Record]) -> Iterator[_Record]:
    read = 0
    for number, record in enumerate(records):
        read += sum(len(cell) for cell in record.cells)
        if number == _SAMPLE or read > _SAMPLE_CHARACTERS:
            return
        yield record


def _records(lines: Sequence[str], start: int, delimiter: str, quote: str) -> Iterator[_Record]:
    """Records of the lines from `start` on, empty ones included."""
    at = start
    # the module's limit of 128 KiB a cell would refuse long texts; the file's size is limited already
    csv.field_size_limit(max(csv.field_size_limit(), sum(map(len, lines)) + 1))
    while at < len(lines):
        reader = csv.reader(_from(lines, at), delimiter=delimiter, quotechar=quote, strict=True, skipinitialspace=True)
        begin = at
        try:
            for cells in reader:
                yield _Record(at + 1, cells, False)
                at = begin + reader.line_num
            return
        except csv.Error:
            line = lines[at].rstrip("\r\n")
            escaped = _escaped(line, delimiter) if '\\"' in line else None
            yield _Record(at + 1, escaped or _literal(line, delimiter, quote), escaped is None)
            at += 1


def _escaped(line: str, delimiter: str) -> list[str] | None:
    """The cells of a line in which a backslash escapes quotation marks, as databases write them."""
    try:
        return next(csv.reader([line], delimiter=delimiter, escapechar="\\", doublequote=False, strict=True))
    except csv.Error:
        return None


def _from(lines: Sequence[str], start: int) -> Iterator[str]:
    return (lines[number] for number in range(start, len(lines)))


def _literal(line: str, delimiter: str, quote: str) -> list[str]:
    """The cells of a line: a mark before a separator or the end closes a quotation; other marks are characters."""
    cells, at, closes = [], 0, True
    while at <= len(line):
        while line.startswith(" ", at):
            at += 1
        if closes and line.startswith(quote, at):
            stop = line.find(quote + delimiter, at + 1)
            if stop < 0 and line.endswith(quote) and len(line) - 1 > at:
                stop = len(line) - 1
            closes = stop >= 0  # where none closes here, none does further on: the line is searched once
            if closes:
                cells.append(line[at + 1 : stop].replace(2 * quote, quote))
                at = stop + 2
                continue
        stop = line.find(delimiter, at)
        stop = len(line) if stop < 0 else stop
        cells.append(line[at:stop])
        at = stop + 1
    return cells


def _header(first: Sequence[_Record]) -> int | None:
    """The number of the record that names the columns; None where no record has text."""
    there = [n for n, record in enumerate(first) if _text(record.cells)]
    if not there:
        return None
    plain = [n for n in there if not _comment(first[n])] or there
    widths = Counter(_width(first[n].cells) for n in plain)
    wide = {width: often for width, often in widths.items() if width > 1}
    if not wide:
        return plain[0]
    width = max(wide.items(), key=lambda item: (item[1], item[0]))[0]
    before = [n for n in there if n < plain[0]]
    if before and _named(first[before[-1]].cells) == width and not first[before[-1]].cells[0].startswith(("# ", "//")):
        return before[-1]  # "#chrom", "start", "end": what looks like a comment has a name for each column
    least = max(2, math.ceil(_FILLED * width))
    fits = [n for n in plain if _named(first[n].cells) >= least or _width(first[n].cells) == width]
    if not fits or fits[0] == plain[-1] or fits[0] >= plain[0] + _PREAMBLE:
        return plain[0]
    chosen = fits[0]
    blank = next((n for n in range(chosen + 1, len(first)) if not _text(first[n].cells)), len(first))
    later = next((n for n in fits if n > blank), plain[-1])
    if later < plain[-1] and later < _PREAMBLE:  # "Report:,Stock", a line without anything, and then the table
        most = max(_named(first[n].cells) for n in range(chosen, blank))
        alone = sum(1 for n in plain if chosen <= n < blank) == 1 and _numbers_below(first[later:])
        chosen = later if alone or most < _named(first[later].cells) else chosen
    return chosen


def _short_header(first: Sequence[_Record], at: int) -> int:
    """The number of the header: of the row above, with names for some columns, where the chosen row is data."""
    above = next((n for n in range(at - 1, -1, -1) if _text(first[n].cells)), None)
    if above is None or _named(first[above].cells) < 2 or any(map(str.isdigit, _text(first[above].cells))):
        return at
    below = [record.cells for record in first[at + 1 :] if _text(record.cells)]
    return at if _labelled(first[at].cells, below) else above


def _comment(record: _Record) -> bool:
    return record.cells[0].lstrip().startswith(("#", "//")) if record.cells else False


def _width(cells: Sequence[str]) -> int:
    """Cells up to the last one with text."""
    return next((n for n in range(len(cells), 0, -1) if cells[n - 1].strip()), 0)


def _named(cells: Sequence[str]) -> int:
    return sum(1 for cell in cells if cell.strip())


def _text(cells: Sequence[str]) -> str:
    return " ".join(cell.strip() for cell in cells if cell.strip())


def _begin_with_names(rows: Sequence[Sequence[str]]) -> bool:
    """Do rows that are one cell longer than their header begin with a name each, and are no sentences with a comma?

    ``Where?,Oslo, Norway`` begins with a question, and its last cell with a blank.
    """
    names = [row[0].strip() for row in rows]
    whole = all(row[-1].strip() and not row[-1][0].isspace() for row in rows)
    return (
        whole
        and len(set(names)) == len(names)
        and not any(name.endswith((".", "?", "!", "。", "？")) for name in names)
    )


def _groups(rows: Sequence[_Record]) -> bool:
    """Does the first row name groups of columns (``Price,,Stock,``) and the second the columns?

    The first has gaps, also at its end, where the second has names; and below a name stands a number.
    """
    if len(rows) < 3 or len(rows[0].cells) != len(rows[1].cells) or rows[0].cells[-1].strip():
        return False
    groups, names = rows[0].cells, rows[1].cells
    filled = [n for n, cell in enumerate(groups) if cell.strip()]
    gaps = len(filled) > 1 and filled[-1] - filled[0] >= len(filled) and names[-1].strip()
    return bool(gaps) and _numbers_below(rows[1:])


def _numbers_below(rows: Sequence[_Record]) -> bool:
    """Are all cells of the first row words, and is one of those below it a number?"""
    words = [n for n, cell in enumerate(rows[0].cells) if cell.strip() and not _number(cell)]
    cells = next((row.cells for row in rows[1:] if _text(row.cells)), [])
    return len(words) == _named(rows[0].cells) and any(n < len(cells) and _number(cells[n]) for n in words)


def _listed(cells: Sequence[str]) -> str:
    return ", ".join(cell.strip() for cell in cells if cell.strip())


def _number(cell: str) -> bool:
    return bool(cell.strip()) and all(c.isdigit() or c in "+-.,%\u202f\u00a0 " for c in cell.strip())


def _filled(cells: Sequence[str]) -> list[str]:
    """Each cell, or the last one before it with text."""
    filled, last = [], ""
    for cell in cells:
        last = cell.strip() or last
        filled.append(last)
    return filled


def _joined(groups: Sequence[str], names: Sequence[str]) -> list[str]:
    return [f"{group} {name}".strip() for group, name in zip(_filled(groups), names, strict=True)]


def _counts(column: Sequence[Any]) -> bool:
    return all(below == above + 1 for above, below in pairwise(column))


def _has_decimals(row: Sequence[Any]) -> bool:
    return any(number % 1 for number in row)


def _labelled(cells: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Are these labels of the columns below? Not where one only begins a count, or has decimals as all below it have.

    Nor where one is an address over addresses, a code over codes (``PX-7`` over ``PX-8``), or the only date over dates.
    Years, months and days are labels, too: so nothing is taken for data where words stand over numbers, or decimals
    rise from column to column.
    """
    # a single row, or one with gaps, is too little to tell a header from data
    if len(below) < 2 or any(len(row) != len(cells) for row in below) or not all(cell.strip() for cell in cells):
        return True
    values: list[list[Any]] = []
    forms: Counter[str] = Counter()
    for label, *column in zip(cells, *below, strict=True):
        if (form := _form(label)) and all(_form(cell) == form for cell in column):
            forms["date" if form == "date" else "other"] += 1
            continue
        numbers = [value_of(cell) for cell in column]
        if None in numbers:
            continue  # words: the label may be any
        head = value_of(label)
        if head is None:
            return True  # words over numbers
        values.append([head, *numbers])
    if forms["other"] or forms["date"] == 1:
        return False
    if not values:
        return True
    counts = any(_counts(column) for column in values)
    decimals = all(map(_has_decimals, zip(*values, strict=True)))
    heads = [column[0] for column in values]
    rising = len(heads) > 1 and all(left < right for left, right in pairwise(heads))
    return not (counts or (decimals and not rising))


def _form(cell: str) -> str:
    """The form of a cell that hardly names a column (a date, an address, a code); empty where it has none."""
    bare = cell.strip()
    named = next((name for name, pattern in _FORMS.items() if pattern.fullmatch(bare)), "")
    return named or (_FIGURES.sub("0", bare) if _CODE.fullmatch(bare) else "")


def _columns(cells: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns, all different: a second ``amount`` is ``amount (2)``, one without a name ``column 3``."""
    names = [" ".join(cell.replace("\ufeff", "").split()) for cell in cells]
    while names and not names[-1]:
        names.pop()
    taken = set(names)
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    columns = []
    for place, name in enumerate(names, 1):
        called = name or f"column {place}"
        # a made-up name must not be one that another column has
        if called in seen or (not name and called in taken):
            base, counts[called] = called, max(counts[called], 1)
            while called in seen or called in taken:
                counts[base] += 1
                called = f"{base} ({counts[base]})"
        seen.add(called)
        columns.append(called)
    return tuple(columns)


def _chained(first: Sequence[_Record], rest: Iterator[_Record]) -> Iterator[_Record]:
    yield from first
    yield from rest


def _rows(records: Iterator[_Record], columns: Sequence[str], *, header: Sequence[str]) -> Iterator[TableRow]:
    number = 0
    gap = False
    counted: dict[int, bool] = {}
    for record in records:
        cells = record.cells
        if not _text(cells) or cells == header:  # files put together repeat their header
            gap = gap or not _text(cells)
            continue
        number += 1
        filled = {at: _number(cell) for at, cell in enumerate(cells) if cell.strip()}
        over = [at for at in filled if counted.get(at)]
        # words where numbers stood, after a gap: a second table begins
        begins = gap and len(filled) > 1 and bool(over) and not any(filled.values())
        gap = False
        counted |= {at: is_number and counted.get(at, True) for at, is_number in filled.items()}
        extra = tuple(cells[len(columns) : _width(cells)])
        values = dict(zip(columns, [*cells, *[""] * (len(columns) - len(cells))], strict=False))
        fault = ""
        if record.mended and len(cells) != len(columns):
            fault = f"a quotation mark is not closed, or not doubled: {len(cells)} cells under {len(columns)} columns"
        yield TableRow(line=record.line, number=number, values=values, extra=extra, fault=fault, begins=begins)
