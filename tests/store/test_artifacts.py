from __future__ import annotations

import json
from pathlib import Path

import pytest

from twofold.errors import ProjectLocked, StoreError
from twofold.store.artifacts import Artifacts
from twofold.store.lock import ProjectLock

KEY = "adapter:0123456789abcdef"


def made(store: Artifacts, key: str = KEY) -> Path:
    work = store.working(key)
    (work / "weights.bin").write_bytes(b"weights" * 100)
    (work / "sub").mkdir(exist_ok=True)
    (work / "sub" / "config.json").write_text("{}")
    return store.finish(key, {"kind": "adapter"})


def test_from_working_to_finished(tmp_path: Path) -> None:
    store = Artifacts(tmp_path / "artifacts")
    assert store.list() == []
    assert store.find(KEY) is None
    work = store.working(KEY)
    (work / "checkpoint").write_text("half")
    assert store.find(KEY) is None
    assert (store.working(KEY) / "checkpoint").read_text() == "half", "what was left is taken up again"
    assert store.list() == [{"key": KEY, "bytes": 4, "finished": False}]
    final = made(store)
    assert store.find(KEY) == final
    assert ":" not in final.name
    assert not work.exists()
    manifest = store.manifest(KEY)
    assert manifest["kind"] == "adapter"
    assert manifest["key"] == KEY
    assert set(manifest["files"]) == {"checkpoint", "weights.bin", "sub/config.json"}
    assert manifest["bytes"] == 4 + 700 + 2
    assert manifest == json.loads((final / "manifest.json").read_text())
    store.verify(KEY)
    assert store.list() == [{**manifest, "finished": True}]
    store.working(KEY)
    assert store.finish(KEY, {"kind": "other"}) == final
    assert store.manifest(KEY)["kind"] == "adapter", "a finished artifact is not made again"
    assert store.remove(KEY) > 700
    assert store.find(KEY) is None
    assert store.remove(KEY) == 0


def test_a_directory_without_manifest_is_not_finished(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    final = made(store)
    (final / "manifest.json").unlink()
    assert store.find(KEY) is None
    with pytest.raises(StoreError, match="no artifact"):
        store.manifest(KEY)
    assert made(store) == final
    store.verify(KEY)


@pytest.mark.parametrize("harm", ["change", "cut", "remove", "add", "manifest"])
def test_verify_finds_damage(tmp_path: Path, harm: str) -> None:
    store = Artifacts(tmp_path)
    final = made(store)
    target = final / "weights.bin"
    if harm == "change":
        target.write_bytes(b"Weights" * 100)
    elif harm == "cut":
        target.write_bytes(b"weights")
    elif harm == "remove":
        target.unlink()
    elif harm == "add":
        (final / "stray").write_text("x")
    else:
        (final / "manifest.json").write_text("{")
    with pytest.raises(StoreError):
        store.verify(KEY)


def test_nothing_made_cannot_be_finished(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    with pytest.raises(StoreError, match="has no working directory"):
        store.finish(KEY, {})
    store.working(KEY)
    with pytest.raises(StoreError, match="empty"):
        store.finish(KEY, {})


@pytest.mark.parametrize("key", ["", "adapter", "../x:1", "a/b:1", ".:1", "a:..", "a:1/2"])
def test_only_keys_name_artifacts(tmp_path: Path, key: str) -> None:
    with pytest.raises(StoreError, match="not an artifact key"):
        Artifacts(tmp_path).working(key)


def test_one_writer(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    path = tmp_path / "lock"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom twofold.store.lock import ProjectLock\n"
        "with ProjectLock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(ProjectLocked) as caught, ProjectLock(path):
            pass
        assert str(child.pid) in caught.value.message
        assert str(path) not in caught.value.message  # what a program was given may be a question or a secret
        child.kill()
    with ProjectLock(path) as lock:
        assert str(os.getpid()) in path.read_text()
        with pytest.raises(ProjectLocked), ProjectLock(path):
            pass
        with pytest.raises(StoreError, match="already held"):
            lock.__enter__()
    with ProjectLock(path):
        pass
    with pytest.raises(StoreError), ProjectLock(tmp_path / "none" / "lock"):
        pass


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"key": "adapter:other"}', "[" * 100_000])
def test_a_damaged_manifest_and_a_foreign_folder_stop_nothing_else(tmp_path: Path, text: str) -> None:
    store = Artifacts(tmp_path)
    for key in ("adapter:good", "adapter:bad"):
        (store.working(key) / "weights").write_text("w")
        store.finish(key, {"kind": "adapter"})
    (tmp_path / "adapter-bad" / "manifest.json").write_text(text)
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "lost+found" / "manifest.json").write_text("{}")
    assert {made["key"]: made["finished"] for made in store.list()} == {"adapter:bad": False, "adapter:good": True}
    assert store.remove("adapter:bad")
    assert [made["key"] for made in store.list()] == ["adapter:good"]
