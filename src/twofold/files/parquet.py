"""Rows of a Parquet file as JSON has them. A leaf module: pyarrow is imported when rows are read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from twofold.types import Json

_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
"""Unit of time in Arrow → units in a day."""


def rows_of(data: bytes) -> Iterator[Json]:
    """Yield the rows of a Parquet file: NaN as null, integers that became floats as integers, labels by name.

    Args:
        data: The file's bytes.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
        ValueError: the file is not usable Parquet.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(data))
        whole, names_of = _whole_columns(file), _classes(file)
        for batch in file.iter_batches(batch_size=1000):
            names = batch.schema.names
            single = {name for name, kind in zip(names, batch.schema.types, strict=True) if _innermost(kind) == "float"}
            for row in batch.to_pylist():
                plain_row = {key: _plain(item, whole=key in whole, single=key in single) for key, item in row.items()}
                yield plain_row | {
                    key: _named(plain_row[key], labels) for key, labels in names_of.items() if key in plain_row
                }
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error


def _classes(file: Any) -> dict[str, list[str]]:
    """Column → names of its labels, from Hugging Face's metadata (``ClassLabel``)."""
    try:
        description = json.loads((file.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        features = description["info"]["features"]
        return {key: list(one["names"]) for key, one in features.items() if one.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):  # by other programs, in any form
        return {}


def _named(value: Any, labels: list[str]) -> Any:
    """The name of a label; null for -1, which stands for a missing label."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    return labels[value] if 0 <= value < len(labels) else None


def _innermost(kind: Any) -> Any:
    """The type of the items of a list of any depth."""
    from pyarrow import types

    while types.is_list(kind) or types.is_large_list(kind):
        kind = kind.value_type
    return kind


def _is_local(kind: Any) -> bool:
    """Is the type a time without a zone? Midnight in UTC is another hour, and maybe another day, in a zone."""
    from pyarrow import types

    return bool(types.is_timestamp(kind)) and kind.tz is None


def _whole_columns(file: Any) -> set[str]:
    """Columns whose numbers are all integers, or whose times are all midnight.

    Pandas writes a column of integers with a missing value as floats, and a column of dates as times.
    """
    import pyarrow
    from pyarrow import types

    kinds = {field.name: _innermost(field.type) for field in file.schema_arrow}
    whole = {name for name, kind in kinds.items() if types.is_floating(kind) or _is_local(kind)}
    for batch in file.iter_batches(batch_size=10_000, columns=sorted(whole)) if whole else ():
        for name in whole & set(batch.schema.names):
            column = batch.column(name)
            while types.is_list(column.type) or types.is_large_list(column.type):
                column = column.flatten()
            if types.is_timestamp(column.type):
                times = column.cast(pyarrow.int64()).to_pylist()
                fits = all(item is None or item % _DAY[column.type.unit] == 0 for item in times)
            else:
                fits = all(item is None or math.isnan(item) or item.is_integer() for item in column.to_pylist())
            if not fits:
                whole.discard(name)
    return whole


def _plain(value: Any, *, whole: bool, single: bool) -> Any:
    """Convert a value to JSON: NaN to null, bytes to text or null, times to ISO text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return _number(value, whole=whole, single=single)
    if isinstance(value, list) and value and all(isinstance(item, tuple) for item in value):
        value = dict(value)  # a map
    if isinstance(value, dict):
        return {str(key): _plain(item, whole=whole, single=single) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, whole=whole, single=single) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    if isinstance(value, datetime):
        return value.date().isoformat() if whole else value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date) else str(value)


def _number(value: float, *, whole: bool, single: bool) -> float | int | None:
    if math.isnan(value):
        return None
    if whole and value.is_integer():
        return int(value)
    if single:  # .1 in 32 bits is .10000000149 in 64
        import numpy as np

        return float(str(np.float32(value)))
    return value
