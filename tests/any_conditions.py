"""Any metadata and any condition on them, and what the condition finds worked out without the product."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.metadata.conditions import ORDERED, RELATIONS, Condition, Value
from twofold.testing.conformance_index import DIMENSION, chunk, put
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.types import Filter

NAMES = ("a", "a=b", "Price in EUR", "b?", 'q"uote', "not in", "ä#")
_digits = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1200, max_value=1200)
_odd = st.sampled_from(
    [Decimal("1e-60"), Decimal("-1e-60"), Decimal("3e55"), Decimal(0), Decimal("0.10"), Decimal(100)]
)
_times = st.datetimes(min_value=datetime(1999, 12, 30), max_value=datetime(2001, 1, 2))
_near = st.sampled_from(
    [datetime(2000, 2, 29), datetime(2000, 2, 29, 10), datetime(2000, 3, 1), datetime(2000, 2, 28, 23, 59)]
)
_days = st.dates(min_value=date(1999, 12, 1), max_value=date(2001, 2, 1))
_texts = st.sampled_from(
    ["de", "it's", 'a"b', "x=y", "b=c", "ä%_", "TRUE", "1.10", "007", "", " ", "2000-02-29x", "[", "\\"]
)
_zones = st.sampled_from(["", "Z", "+02:00", "-05:30"])


@st.composite
def _written_times(draw: Any) -> str:
    time, zone = draw(_times | _near), draw(_zones)
    return str(time.isoformat(sep=draw(st.sampled_from("T "))) + zone)


_scalars = st.one_of(_digits.map(str), _odd.map(str), _written_times(), _days.map(str), _texts)


@st.composite
def _lists(draw: Any) -> str:
    of = st.one_of(_scalars, st.integers(-50, 50), st.booleans(), st.none())
    return json.dumps(draw(st.lists(of, max_size=4)))


METADATA = st.dictionaries(st.sampled_from(NAMES), st.one_of(_scalars, _lists()), max_size=4)
_values: st.SearchStrategy[Value] = st.one_of(
    _texts,
    _digits,
    _odd,
    st.integers(-3, 3),
    st.booleans(),
    _days,
    _times,
    _near,
    _near.map(lambda t: t.replace(tzinfo=UTC)),
)
_compared: st.SearchStrategy[Value] = st.one_of(_digits, _odd, _days, _times, _near)


@st.composite
def conditions_of(draw: Any) -> Condition:
    name, relation = draw(st.sampled_from((*NAMES, "nowhere"))), draw(st.sampled_from(RELATIONS))
    if relation in ("exists", "missing"):
        return Condition(name, relation)
    if relation in ORDERED:
        return Condition(name, relation, (draw(_compared),))
    most = 1 if relation in ("=", "!=") else 3
    return Condition(name, relation, tuple(draw(st.lists(_values, min_size=1, max_size=most))))


def plainly(metadata: Mapping[str, str], which: Condition) -> bool:
    """A condition worked out without the product: with `datetime`, `Decimal` and `json` alone."""
    text = metadata.get(which.field, "").strip()
    parts: list[Any] = [text] if text else []
    if text.startswith("["):
        try:
            found = json.loads(text)
            kept = [x for x in found if x is not None]
            parts = [str(x).lower() if isinstance(x, bool) else str(x).strip() for x in kept]
            parts = [x for x in parts if x] or ([text] if found and not kept else [])
        except ValueError:
            pass
    there = bool(parts)

    def as_number(one: str) -> Decimal | None:
        try:
            return Decimal(one)
        except ArithmeticError:
            return None

    def as_time(one: str) -> datetime | None:
        try:
            time = datetime.fromisoformat(one) if len(one) >= 10 else None
        except ValueError:
            return None
        return time and (time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC))

    def compare(one: str, value: Value) -> int | None:
        """-1, 0 or 1; None where the two have no order."""
        if isinstance(value, bool):
            return 0 if one.lower() == str(value).lower() else None
        if isinstance(value, str):
            return 0 if one == value.strip() and value.strip() else None
        if isinstance(value, datetime):
            time, other = as_time(one), value if value.tzinfo else value.replace(tzinfo=UTC)
            return None if time is None else (time > other) - (time < other)
        if isinstance(value, date):
            time = as_time(one)
            return None if time is None else (time.date() > value) - (time.date() < value)
        held = as_number(one)
        return None if held is None else (held > Decimal(value)) - (held < Decimal(value))

    whole = [text, *parts] if there else []

    def has(value: Value, ways: tuple[int, ...] = (0,)) -> bool:
        return any(compare(one, value) in ways for one in (whole if isinstance(value, str) else parts))

    values = which.values
    return {
        "exists": lambda: there,
        "missing": lambda: not there,
        "=": lambda: has(values[0]),
        "!=": lambda: not has(values[0]),
        "in": lambda: any(map(has, values)),
        "not in": lambda: not any(map(has, values)),
        "contains": lambda: all(map(has, values)),
        "<": lambda: has(values[0], (-1,)),
        "<=": lambda: has(values[0], (-1, 0)),
        ">": lambda: has(values[0], (1,)),
        ">=": lambda: has(values[0], (0, 1)),
    }[which.relation]()


def any_rows() -> list[dict[str, str]]:
    found: list[dict[str, str]] = []

    @settings(max_examples=60, database=None, derandomize=True)
    @given(METADATA)
    def gather(metadata: dict[str, str]) -> None:
        found.append(metadata)

    gather()
    return found


def check_filters(index: Any, rows: list[dict[str, str]], *, examples: int = 150) -> None:
    """Assert that an index finds exactly the passages that have the conditions, and k where there are k."""
    chunks = [replace(chunk(f"d{n}", f"water {n}"), metadata=row) for n, row in enumerate(rows)]
    put(index, chunks)
    vector = HashingEmbedder(HashingEmbedder.Options(dimension=DIMENSION)).embed(["water"])

    @settings(max_examples=examples, database=None, deadline=timedelta(seconds=20), derandomize=True)
    @given(st.lists(conditions_of(), min_size=1, max_size=3))
    def search(where: list[Condition]) -> None:
        wanted = {c.id for c in chunks if all(plainly(c.metadata, one) for one in where)}
        for leg in ("dense", "lexical"):
            found = index.search(["water"], vector, 100, leg=leg, filter=Filter(where=where))[0]
            assert {hit.chunk.id for hit in found} == wanted, f"{leg} under {[str(one) for one in where]}"
            few = index.search(["water"], vector, 3, leg=leg, filter=Filter(where=where))[0]
            assert len(few) == min(3, len(wanted)), f"{leg}: filtered after the search, not in it"

    search()
