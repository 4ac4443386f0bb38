from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from twofold.errors import ProjectLocked, StoreError
from twofold.store.catalogue import Catalogue
from twofold.store.documents import KnownDocument
from twofold.store.migrations import CATALOGUE, MIGRATIONS
from twofold.store.sqlite import SqliteDatabase as Database
from twofold.types import Answer, Document


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.sqlite"


def test_a_batch_is_stored_whole_or_not_at_all(path: Path) -> None:
    with Catalogue(path) as catalogue:
        bad = Document(id="b", text=float("nan"))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="canonical"):
            catalogue.sync.record([(d, KnownDocument(digest="d")) for d in (Document(id="a", text="t"), bad)], [])
        with pytest.raises(StoreError):
            catalogue.scores.put("s", "m", [("e1", 1.0), (None, 1.0)])  # type: ignore[list-item]
        assert catalogue.documents.digests() == {}
        assert catalogue.scores.get("s", "m") == {}
        catalogue.scores.put("s", "m", [("e1", 1.0)])
        assert catalogue.scores.get("s", "m") == {"e1": 1.0}


def test_settings_and_migrations(path: Path) -> None:
    Catalogue(path).close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert [v for (v,) in db.execute("SELECT version FROM migrations")] == list(range(1, len(MIGRATIONS) + 1))


def test_an_older_catalogue_is_brought_up_to_date(path: Path) -> None:
    with Catalogue(path) as catalogue:
        catalogue.scores.put("s", "m", [("e", 1.0)])
    steps = (*MIGRATIONS, "ALTER TABLE documents ADD COLUMN note TEXT;\nCREATE TABLE further (x TEXT) STRICT;")
    later = replace(CATALOGUE, steps=steps)
    with pytest.raises(StoreError, match="needs"):
        Database(path, readonly=True, schema=later)
    with closing(Database(path, schema=later)) as database:
        assert database.read("SELECT value FROM scores") == [(1.0,)]
        assert database.version() == len(steps)
    wrong = replace(CATALOGUE, steps=(*steps, "CREATE TABLE one (x);\nCREATE TABLE one (x);"))
    with pytest.raises(StoreError, match="already exists"):
        Database(path, schema=wrong)
    with closing(Database(path, schema=later)) as database:
        assert database.version() == len(steps), "a failed step leaves nothing behind"


def test_a_newer_catalogue_is_refused(path: Path) -> None:
    Catalogue(path).close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO migrations (version) VALUES (99)")
    with pytest.raises(StoreError, match="version 99") as caught:
        Catalogue(path)
    assert "Upgrade" in caught.value.cure


@pytest.mark.parametrize(
    "content", [b"this is no database, though it is long enough to be one" * 99, b"SQLite format 3\0" + b"\1" * 4000]
)
def test_a_damaged_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for readonly in (False, True):
        with pytest.raises(StoreError) as caught:
            Catalogue(path, readonly=readonly)
        assert caught.value.file == str(path)
    assert path.read_bytes() == content


def test_reading_only(path: Path) -> None:
    with pytest.raises(StoreError, match="no catalogue"):
        Catalogue(path, readonly=True)
    with Catalogue(path) as writer, Catalogue(path, readonly=True) as reader:
        writer.systems.put("s", {"a": 1})
        assert reader.systems.descriptions() == {"s": {"a": 1}}
        with pytest.raises(StoreError, match="readonly"):
            reader.systems.put("t", {})


def test_closed_catalogue_is_a_store_error(path: Path) -> None:
    catalogue = Catalogue(path)
    catalogue.close()
    with pytest.raises(StoreError):
        catalogue.systems.descriptions()


def test_readers_in_threads_see_whole_batches_while_one_writes(path: Path) -> None:
    stop, counts = threading.Event(), []

    def read() -> None:
        with Catalogue(path, readonly=True) as reader:
            while True:
                counts.append(len(reader.answers.get("s")))
                if stop.is_set():
                    return

    with Catalogue(path) as writer:
        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for batch in range(20):
            writer.answers.put("s", [(f"{batch}/{i}", Answer(text="x")) for i in range(10)])
        stop.set()
        for thread in threads:
            thread.join()
    assert len(counts) >= 3
    assert all(count % 10 == 0 for count in counts)


WRITER = """
import sys
from pathlib import Path
from twofold.store.catalogue import Catalogue
from twofold.types import Answer
catalogue = Catalogue(Path(sys.argv[1]))
done = len(catalogue.answers.get("s"))
for batch in range(done // 7, 100000):
    catalogue.answers.put("s", [(f"{batch}/{i}", Answer(text=f"{batch}/{i}" * 50)) for i in range(7)])
    print(batch, flush=True)
"""


def test_kill_9_loses_nothing_committed_and_doubles_nothing(path: Path) -> None:
    told = -1
    for round_ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, env={**os.environ}
        ) as child:
            assert child.stdout is not None
            first = child.stdout.readline()
            assert int(first) >= told, "it goes on where it was"
            told = int(first)
            time.sleep(0.03 + 0.05 * round_)
            child.send_signal(signal.SIGKILL)
            told = max([told, *(int(line) for line in child.stdout.read().split("\n")[:-1])])
        with Catalogue(path) as catalogue:
            held = catalogue.answers.get("s")
            assert len(held) >= 7 * (told + 1)
            assert len(held) % 7 == 0, "a batch is whole"
            assert all(answer.text == name * 50 for name, answer in held.items())
            assert {name.split("/")[0] for name in held} == {str(b) for b in range(len(held) // 7)}
            told = len(held) // 7 - 1
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert json.loads(db.execute("SELECT record FROM answers LIMIT 1").fetchone()[0])["text"]


def test_a_second_connection_of_a_process_leaves_the_first_its_log(path: Path) -> None:
    """A server opens the catalogue twice; what the first connection writes after that must reach other processes."""
    look = "import sys; from pathlib import Path; from twofold.store.catalogue import Catalogue; "
    look += "c = Catalogue(Path(sys.argv[1])); print(c.notes.get('a')); c.close()"

    def elsewhere() -> str:
        return subprocess.run([sys.executable, "-c", look, path], capture_output=True, text=True, check=True).stdout

    first = Catalogue(path)
    first.notes.put("a", "1")
    second = Catalogue(path)
    second.close()
    assert elsewhere() == "1\n"
    first.notes.put("a", "2")
    assert elsewhere() == "2\n"
    first.close()


def test_a_lock_that_is_not_freed_is_said_to_be_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Catalogue(path).close()
    monkeypatch.setattr("twofold.store.sqlite._PATIENCE_MS", 20)
    with Catalogue(path) as catalogue, sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ProjectLocked, match="locked") as caught:
            catalogue.scores.put("s", "m", [("e", 1.0)])
        assert "--rebuild" not in caught.value.cure
