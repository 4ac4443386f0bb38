"""The tokenizer of a model directory, read once: generators and adapters of one base model share it (heavy leaf)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

NAME = "tokenizer.json"


def tokenizer_of(directory: Path) -> Any:
    """The directory's tokenizer, without truncation and padding; read again where its file has changed.

    It is shared, so nothing may be set on it.

    Raises:
        Exception: there is no such file, or it is no tokenizer; tokenizers raises nothing narrower.
    """
    file = (directory / NAME).stat()
    return _read(directory / NAME, (file.st_ino, file.st_mtime_ns, file.st_size))


# Two base models at most: each takes a tenth of a second to read, and tens of MiB.
@lru_cache(maxsize=2)
def _read(path: Path, _state: tuple[int, ...]) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
