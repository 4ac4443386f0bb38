"""The installed package itself: which sources run."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from twofold.hashing import digest, digest_file

_ROOT = Path(__file__).resolve().parents[1]


@lru_cache(maxsize=1)
def sources_digest() -> str:
    """Digest of every file of the package, compiled ones apart: it changes with each edit, as a version does not."""
    files: dict[str, str] = {}
    for path in sorted(_ROOT.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            files[path.relative_to(_ROOT).as_posix()] = digest_file("file", path)
    return digest("code", files)
