"""The cache of derived weights: made once, used longest ago goes first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twofold.generation import cached
from twofold.generation.cached import derived
from twofold.types import Json


def put(name: str, size: int = 100) -> Path:
    def make(work: Path) -> Json:
        (work / "weights").write_bytes(b"x" * size)
        return {}

    return derived("merged", f"merged:{name}", make)


def test_what_was_used_longest_ago_goes_once_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path))
    monkeypatch.setattr(cached, "KEPT_COPIES", 2)
    monkeypatch.setattr(cached, "ROOM", 350)
    paths = {}
    for at, name in enumerate("abc"):
        paths[name] = put(name)
        os.utime(paths[name], (at, at))
    assert all(path.is_dir() for path in paths.values()), "three of 100 bytes fit into 350"
    put("a")
    put("d")
    assert [name for name, path in paths.items() if path.is_dir()] == ["a", "c"], "b was used longest ago"
    assert put("b", size=1000).is_dir(), "the newest stays whatever its size"
    assert sorted(p.name for p in (tmp_path / "merged").iterdir() if p.is_dir()) == ["merged-b", "merged-d"]
