"""Read and write safetensors with numpy alone, bf16 included (numpy has no such type: it is widened to f32).

Format: https://github.com/huggingface/safetensors#format (an 8-byte header length, a JSON header, the bytes).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.errors import ModelError
from twofold.files import writing
from twofold.types import Json

_STORED: dict[str, Any] = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "F64": np.float64}
"""Types of full numbers → NumPy types of the same bytes."""
_NAMES = {"float32": "F32", "float16": "F16"}


class Weights:
    """The tensors of a model directory (one safetensors file, or shards with an index), read lazily.

    Args:
        path: A directory with ``*.safetensors``, or one such file.

    Raises:
        ModelError: there is no such file, or a header is damaged.
    """

    def __init__(self, path: Path) -> None:
        files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
        if not files or not all(file.is_file() for file in files):
            raise ModelError(f"there is no safetensors file in {path}")
        self._places: dict[str, tuple[Path, int, Json]] = {}
        for file in files:
            try:
                with file.open("rb") as stream:
                    length = int.from_bytes(stream.read(8), "little")  # of the header; tensors begin behind it
                    header = json.loads(stream.read(length))
            except (ValueError, OSError) as error:
                raise ModelError(f"not a readable safetensors file: {error}", file=file) from error
            header.pop("__metadata__", None)
            for name, entry in header.items():
                self._places[name] = (file, 8 + length, entry)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._places))

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def stored(self, name: str) -> tuple[str, tuple[int, ...], NDArray[Any]]:
        """Type name, shape and raw values as stored (bf16 as uint16), mapped from the file."""
        file, base, entry = self._places[name]
        kind, shape = entry["dtype"], tuple(entry["shape"])
        if kind not in _STORED:
            raise ModelError(f"the tensor {name!r} has the type {kind}, which is not full numbers", file=file)
        start, end = entry["data_offsets"]
        count = (end - start) // np.dtype(_STORED[kind]).itemsize
        flat = np.memmap(file, dtype=_STORED[kind], mode="r", offset=base + start, shape=(count,))
        return kind, shape, flat.reshape(shape)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """The tensor as f32."""
        kind, _, values = self.stored(name)
        if kind == "BF16":  # bf16 is the upper half of an f32
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32)


def as_f16(name: str, values: NDArray[np.float32]) -> NDArray[np.float16]:
    """f16 copy of a tensor.

    Raises:
        ModelError: a value is beyond the range of f16 (± 65504), or is not a number.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= 65504:  # not ">": NaN compares false
        raise ModelError(
            f"the tensor {name!r} contains {largest:g}, beyond the range of f16",
            cure='Set [generation.generator.options].runtime = "transformers".',
        )
    return values.astype(np.float16)


def write_safetensors(path: Path, tensors: Iterable[tuple[str, str, NDArray[Any]]]) -> None:
    """Write a safetensors file.

    Args:
        path: The file to write; it is synced.
        tensors: ``(name, type name or "", values)``; the type name is needed for bf16 given as uint16.
    """
    header: Json = {}
    arrays: list[NDArray[Any]] = []
    at = 0
    for name, kind, values in tensors:
        header[name] = {
            "dtype": kind or _NAMES[values.dtype.name],
            "shape": list(values.shape),
            "data_offsets": [at, at + values.nbytes],
        }
        at += values.nbytes
        arrays.append(values)
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes, as the format demands
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for values in arrays:
            stream.write(np.ascontiguousarray(values).tobytes())
        writing.flush(stream)
