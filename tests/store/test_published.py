"""Artifacts in an object store: two machines are two directories, the store is moto's server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from object_store import ObjectStore
from twofold.errors import DatabaseRefused, DatabaseUnreachable, StoreError
from twofold.store.artifacts import Artifacts
from twofold.store.object_folder import ObjectFolder
from twofold.store.published import PublishedArtifacts

KEY = "adapter:0123456789abcdef"
Machine = Callable[[str], Artifacts]


@pytest.fixture
def url(object_store: ObjectStore) -> str:
    """A folder in a new bucket."""
    return f"s3://{object_store.bucket()}/team/project"


@pytest.fixture
def machine(object_store: ObjectStore, url: str, tmp_path: Path) -> Machine:
    """Opens the artifacts of a machine by its name."""

    def opened(name: str) -> Artifacts:
        folder = ObjectFolder(url, endpoint=object_store.endpoint)
        return Artifacts(tmp_path / name / "artifacts", PublishedArtifacts(folder, tmp_path / name / "seen"))

    return opened


def made(store: Artifacts, key: str = KEY, weights: bytes = b"weights" * 100) -> Path:
    work = store.working(key)
    (work / "weights.bin").write_bytes(weights)
    (work / "sub").mkdir(exist_ok=True)
    (work / "sub" / "config.json").write_text("{}")
    (work / "empty").write_bytes(b"")
    return store.finish(key, {"kind": "adapter"})


def test_what_a_machine_finishes_another_finds(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    assert there.find(KEY) is None
    assert there.list() == []
    source = made(here)
    there.refresh()
    assert [m["key"] for m in there.list()] == [KEY]
    assert there.list(here=True) == [], "its manifest is known, its files are not here"
    assert there.manifest(KEY) == here.manifest(KEY)
    copy = there.find(KEY)
    assert copy is not None
    assert (copy / "sub" / "config.json").read_text() == "{}"
    assert (copy / "weights.bin").read_bytes() == (source / "weights.bin").read_bytes()
    assert (copy / "manifest.json").read_bytes() == (source / "manifest.json").read_bytes()
    there.verify(KEY)
    assert [m["key"] for m in there.list(here=True)] == [KEY]
    # A cleared cache is filled again.
    assert there.remove(KEY) > 700
    there.verify(KEY)
    assert there.find(KEY) == copy


def test_an_artifact_is_found_by_its_name_before_a_listing_shows_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machine("here"), machine("there")
    made(here)
    monkeypatch.setattr(ObjectFolder, "names", lambda _self, _prefix: {})
    there.refresh()
    assert there.list() == []
    assert there.published is not None
    there.published.note(["adapter-0123456789abcdef", "adapter-unknown"])
    assert [m["key"] for m in there.list()] == [KEY]
    there.refresh()
    assert [m["key"] for m in there.list()] == [KEY], "a late listing takes away nothing that was seen"
    assert there.find(KEY) is not None


def test_of_two_writers_the_first_wins_and_the_second_uses_its_files(machine: Machine) -> None:
    machines = [machine(f"machine-{number}") for number in range(4)]
    for number, store in enumerate(machines):
        (store.working(KEY) / "weights.bin").write_bytes(b"%d" % number * 5000)

    def finish(store: Artifacts) -> bytes:
        return (store.finish(KEY, {"kind": "adapter"}) / "weights.bin").read_bytes()

    with ThreadPoolExecutor(4) as pool:
        contents = list(pool.map(finish, machines))
    assert len(set(contents)) == 1, "all machines have the same files of a key"
    for store in machines:
        store.verify(KEY)
    published = machines[0].published
    assert published is not None
    assert len(published.folder.names("artifacts")) == 1, "nothing of the others stays"


def test_artifacts_of_before_the_store_are_published(machine: Machine, tmp_path: Path) -> None:
    alone = Artifacts(tmp_path / "here" / "artifacts")
    made(alone)
    machine("here").refresh()
    assert machine("there").find(KEY) is not None


def test_a_damaged_object_is_refused_and_nothing_of_it_is_left(machine: Machine, object_store: ObjectStore) -> None:
    here, there = machine("here"), machine("there")
    made(here)
    assert here.published is not None
    folder = here.published.folder
    name = next(name for name, size in folder.names("artifacts").items() if size == 700)
    folder.delete([name])
    with pytest.raises(StoreError, match="missing or damaged"):
        there.find(KEY)
    assert folder.create(name, b"x" * 700)
    with pytest.raises(StoreError, match=r"s3://test-.*/team/project/artifacts/adapter-0123456789abcdef/"):
        there.find(KEY)
    assert there.list(here=True) == []
    folder.delete([name])
    assert folder.create(name, b"weights" * 100)
    there.verify(KEY)


def test_a_removed_artifact_is_gone_for_all(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    made(here)
    there.refresh()
    assert there.published is not None
    assert there.published.remove("adapter-0123456789abcdef") == 702
    assert there.find(KEY) is None
    assert there.published.folder.names("") == {}
    # The machine that made it still has it, and a rerun elsewhere may make it again.
    assert here.find(KEY) is not None
    made(there, weights=b"again")
    assert machine("third").find(KEY) is not None


_KILLED = """
    import os, signal, sys
    from pathlib import Path
    from twofold.store.artifacts import Artifacts
    from twofold.store.object_folder import ObjectFolder
    from twofold.store.published import PublishedArtifacts

    url, endpoint, home, left = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])

    def counted(name, before):
        write = getattr(ObjectFolder, name)
        def writing(self, *arguments):
            global left
            left -= 1
            if before and left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            done = write(self, *arguments)
            if not before and left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return done
        setattr(ObjectFolder, name, writing)

    for name in ("create", "upload", "delete"):
        counted(name, before=sys.argv[5] == "before")
    store = Artifacts(home / "artifacts", PublishedArtifacts(ObjectFolder(url, endpoint=endpoint), home / "seen"))
    work = store.working("adapter:0123456789abcdef")
    for number in range(2):
        (work / f"{number}.bin").write_bytes(b"%d" % number * 1000)
    store.finish("adapter:0123456789abcdef", {"kind": "adapter"})
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_between_any_two_writes_a_rerun_completes(
    machine: Machine, object_store: ObjectStore, url: str, tmp_path: Path, moment: str
) -> None:
    other = machine("other")
    for writes in range(10):
        arguments = [url, object_store.endpoint, str(tmp_path / "killed"), str(writes), moment]
        ended = subprocess.run([sys.executable, "-c", textwrap.dedent(_KILLED), *arguments], check=False)
        whole = other.find(KEY)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
        # All three writes done: what is there is whole, and a rerun finds it.
        assert (whole is not None) == (moment == "after" and writes == 2)
        if whole is not None:
            other.remove(KEY)
    else:
        pytest.fail("it never came to its end")
    assert writes == (2 if moment == "after" else 3) + (moment == "after"), writes
    other.verify(KEY)
    again = machine("killed")
    again.verify(KEY)
    assert json.loads((tmp_path / "killed" / "seen" / "adapter-0123456789abcdef.json").read_text())["key"] == KEY
    # Of drafts nothing is left; the lock of a fetch stays, for it may be taken at any moment.
    names = [name for name in os.listdir(tmp_path / "killed" / "artifacts") if not name.endswith(".lock")]
    assert names == ["adapter-0123456789abcdef"]


def test_what_is_refused_names_the_bucket_and_the_cure(object_store: ObjectStore, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    missing = ObjectFolder("s3://no-such-bucket-here/p", endpoint=object_store.endpoint)
    for ask in (lambda: missing.read("x"), lambda: missing.create("x", b"1"), lambda: missing.names("x")):
        with pytest.raises(DatabaseRefused, match="there is no bucket s3://no-such-bucket-here") as refusal:
            ask()
        assert "endpoint" in str(refusal.value.cure)
    store = Artifacts(tmp_path / "artifacts", PublishedArtifacts(missing, seen))
    with pytest.raises(DatabaseRefused, match="no-such-bucket"):
        store.find(KEY)
    (store.working(KEY) / "weights.bin").write_bytes(b"hours of training")
    with pytest.raises(DatabaseRefused, match="no-such-bucket"):
        store.finish(KEY, {})
    assert (store.working(KEY) / "weights.bin").read_bytes() == b"hours of training", "nothing is lost"
    nobody = ObjectFolder("s3://bucket/p", endpoint="http://127.0.0.1:9")
    with pytest.raises(DatabaseUnreachable, match="s3://bucket does not answer"):
        nobody.read("x")
