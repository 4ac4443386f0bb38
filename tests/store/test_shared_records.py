"""Records in an object store: two machines are two directories, the store is moto's server."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from object_store import ObjectStore
from twofold.errors import StoreError
from twofold.store.forgotten import Forgotten
from twofold.store.object_folder import ObjectFolder
from twofold.store.shared_records import SharedRecords

Machine = Callable[[str], SharedRecords]


@pytest.fixture
def url(object_store: ObjectStore) -> str:
    """A folder in a new bucket."""
    return f"s3://{object_store.bucket()}/project"


@pytest.fixture
def machine(object_store: ObjectStore, url: str, tmp_path: Path) -> Machine:
    """Opens the records of a machine by its name."""

    def opened(name: str) -> SharedRecords:
        folder = ObjectFolder(url, endpoint=object_store.endpoint)
        return SharedRecords(folder, tmp_path / name, tmp_path / name / ".twofold" / "store" / "records.json")

    return opened


def written(records: SharedRecords, name: str = "0001-p", *, answers: str = "answers", **more: str) -> Path:
    directory = records.root / "studies" / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "answers.jsonl.gz").write_bytes(gzip.compress(answers.encode(), mtime=0))
    (directory / "study.json").write_text(json.dumps({"study": name, "arms": {}}))
    for file, text in more.items():
        (directory / f"{file}.json").write_text(text)
    return directory


def contents(records: SharedRecords) -> dict[str, bytes]:
    """Path → content of all records of a machine."""
    return {
        path.relative_to(records.root).as_posix(): path.read_bytes()
        for path in sorted(records.root.rglob("*"))
        if path.is_file() and ".twofold" not in path.parts and not path.name.startswith(".")
    }


def test_what_a_machine_writes_another_reads(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    assert there.pull().came == ()
    written(here, verdict="certificate")
    (here.root / "receipts").mkdir()
    (here.root / "receipts" / "forget-1.json").write_text("{}")
    assert here.pending() == ["receipts/forget-1.json", "studies/0001-p"]
    assert here.exchange(locked=True).went == ("receipts/forget-1.json", "studies/0001-p")
    assert here.pending() == []
    assert here.exchange(locked=True).went == ()
    assert there.pull().came == ("receipts/forget-1.json", "studies/0001-p")
    assert contents(there) == contents(here)
    assert there.pull().came == ()
    # A study that was deleted by hand comes back: it is deleted in the store, or nowhere.
    shutil.rmtree(there.root / "studies" / "0001-p")
    assert there.pull().came == ("studies/0001-p",)
    # Deleted with the derived data, what is known is read anew from the journal.
    shutil.rmtree(there.root / ".twofold")
    assert there.exchange(locked=True) == type(there.pull())()
    assert contents(there) == contents(here)


def test_a_diagnosis_goes_on_and_a_rollback_can_be_undone(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    written(here)
    here.exchange(locked=True)
    there.pull()
    written(there, diagnosis="causes")
    (there.root / "studies" / "rolled-back.json").write_text("{}")
    assert there.exchange(locked=False).went == ("studies/0001-p", "studies/rolled-back.json")
    written(here, judgement="worth")
    assert here.exchange(locked=True).came == ("studies/0001-p", "studies/rolled-back.json")
    there.pull()
    assert contents(there) == contents(here)
    assert {"studies/0001-p/diagnosis.json", "studies/0001-p/judgement.json"} < set(contents(here))
    (here.root / "studies" / "rolled-back.json").unlink()
    here.exchange(locked=True)
    there.pull()
    assert not (there.root / "studies" / "rolled-back.json").exists()


def test_what_is_forgotten_leaves_the_store_and_every_machine(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    written(here, answers="the secret")
    Forgotten(here.root / "receipts").begin("a.md", "2026", ["c1"])
    here.exchange(locked=True)
    there.exchange(locked=True)
    written(there, answers="the secret", diagnosis="quotes the secret")
    written(here, answers="")
    Forgotten(here.root / "receipts").finish("a.md")
    here.exchange(locked=True)
    there.exchange(locked=True)
    assert contents(there) == contents(here)
    assert not (there.root / "studies" / "0001-p" / "diagnosis.json").exists()
    names = [name for name in here.folder.names("records") if "/studies/" in name]
    assert len(names) == 2, "of the study only its two newest files are in the store"
    stored = here.folder.read_many(names)
    assert gzip.compress(b"the secret", mtime=0) not in stored.values()


def test_lists_that_are_edited_in_place_are_merged(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    for records, name in ((here, "a"), (there, "b")):
        (records.root / "advice").mkdir(parents=True)
        (records.root / "advice" / "advices.jsonl").write_text(f'{{"id": "{name}"}}\n')
        Forgotten(records.root / "receipts").begin(name, "2026", ["c"])
        Forgotten(records.root / "receipts").finish(name)
    here.exchange(locked=True)
    there.exchange(locked=True)
    here.exchange(locked=True)
    assert contents(there) == contents(here)
    assert (here.root / "advice" / "advices.jsonl").read_text() == '{"id": "a"}\n{"id": "b"}\n'
    assert set(Forgotten(here.root / "receipts").entries()) == {"a", "b"}
    # Taken in again on one machine, a document is so on the other.
    Forgotten(there.root / "receipts").lift("a")
    there.exchange(locked=True)
    assert here.pull().came == ()
    assert "a" in Forgotten(here.root / "receipts").entries(), "without the project's lock the list stays"
    here.exchange(locked=True)
    assert set(Forgotten(here.root / "receipts").entries()) == {"b"}
    # How far this machine has come is its own matter: erased there, the document may still be in the index here.
    Forgotten(here.root / "receipts").begin("c", "2026", ["c1"], quotes=["digest"])
    here.exchange(locked=True)
    there.exchange(locked=True)
    assert Forgotten(there.root / "receipts").entries()["c"]["finished"], "its own sync sees whether it has it"
    there.exchange(locked=True)
    here.exchange(locked=True)
    assert not Forgotten(here.root / "receipts").entries()["c"]["finished"]
    names = [name for name in here.folder.names("records") if name.startswith("records/receipts/forgotten.json")]
    assert all(b"digest" not in content for content in here.folder.read_many(names).values())


def test_a_study_of_the_same_name_is_refused_and_stays(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    written(here)
    directory = written(there)
    (directory / "study.json").write_text('{"study": "0001-p", "arms": {"other": {}}}')
    here.exchange(locked=True)
    before = contents(there)
    with pytest.raises(StoreError, match=r"studies/0001-p is another study than s3://") as taken:
        there.exchange(locked=True)
    assert "next number" in taken.value.cure
    assert contents(there) == before
    shutil.rmtree(directory)
    there.exchange(locked=True)
    assert contents(there) == contents(here)


def test_writers_at_the_same_time_get_an_order(machine: Machine) -> None:
    machines = [machine(f"machine-{number}") for number in range(4)]
    for number, records in enumerate(machines):
        for study in range(3):
            written(records, f"{number}{study}-p", answers=f"{number}")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda records: records.exchange(locked=True), machines))
    for records in machines:
        records.pull()
        assert contents(records) == contents(machines[0])
    assert len(contents(machines[0])) == 24


def test_no_record_is_found_by_listing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = machine("here"), machine("there")
    monkeypatch.setattr(ObjectFolder, "names", lambda _self, _prefix: {})
    written(here)
    here.exchange(locked=True)
    assert there.pull().came == ("studies/0001-p",)


def test_a_damaged_or_missing_object_changes_nothing_here(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    written(here)
    here.exchange(locked=True)
    name = next(name for name in here.folder.names("records/studies"))
    content = here.folder.read(name)
    assert content is not None
    here.folder.delete([name])
    with pytest.raises(StoreError, match=f"{name} is missing"):
        there.pull()
    assert here.folder.create(name, b"x" * len(content))
    with pytest.raises(StoreError, match=f"{name} is damaged"):
        there.pull()
    assert contents(there) == {}
    here.folder.delete([name])
    assert here.folder.create(name, content)
    assert there.pull().came == ("studies/0001-p",)


_KILLED = """
    import os, signal, sys
    from pathlib import Path
    from twofold.files import writing
    from twofold.store.object_folder import ObjectFolder
    from twofold.store.shared_records import SharedRecords

    url, endpoint, root, left = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])

    def counted(owner, name):
        write = getattr(owner, name)
        def writing(*arguments, **more):
            global left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*arguments, **more)
        setattr(owner, name, writing)

    for name in ("create", "delete"):
        counted(ObjectFolder, name)
    # Every local write as well: of a pull, and of what is known.
    counted(writing, "put")
    folder = ObjectFolder(url, endpoint=endpoint)
    SharedRecords(folder, root, root / ".twofold" / "store" / "records.json").exchange(locked=True)
"""


@pytest.mark.slow
def test_killed_before_any_write_the_store_stays_whole_and_a_rerun_completes(
    machine: Machine, object_store: ObjectStore, url: str, tmp_path: Path
) -> None:
    before, other, killed = machine("before"), machine("other"), machine("killed")
    written(before, "0001-p", answers="old")
    written(before, "0002-p")
    before.exchange(locked=True)
    shutil.copytree(before.root, killed.root)
    # What is to be pushed: a study without its answers, as forgetting leaves it, and a new one.
    written(killed, "0001-p", answers="")
    written(killed, "0003-p")
    # What is to be pulled: another machine's study.
    other.pull()
    written(other, "0004-p")
    other.exchange(locked=True)
    whole = {"studies/0001-p": ({"old", ""}), "studies/0003-p": {"answers"}, "studies/0004-p": {"answers"}}
    for writes in range(40):
        arguments = [url, object_store.endpoint, str(killed.root), str(writes)]
        ended = subprocess.run([sys.executable, "-c", textwrap.dedent(_KILLED), *arguments], check=False)
        fresh = machine(f"reader-{writes}")
        fresh.pull()
        for path in fresh.root.glob("studies/*"):
            assert {file.name for file in path.iterdir()} == {"answers.jsonl.gz", "study.json"}
            answers = gzip.decompress((path / "answers.jsonl.gz").read_bytes()).decode()
            assert answers in whole.get(f"studies/{path.name}", {"answers"})
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
    else:
        pytest.fail("it never came to its end")
    assert writes > 3, "each run does what the one before has not done"
    fresh = machine("last")
    fresh.pull()
    assert contents(fresh) == contents(killed)
    assert len(contents(fresh)) == 8
    names = [name for name in fresh.folder.names("records") if "/studies/" in name]
    assert len(names) == 8, "what was replaced is deleted, and nothing is left of the runs that were killed"
