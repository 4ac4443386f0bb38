"""What only a database does that several machines share."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.errors import DatabaseRefused, DatabaseUnreachable, ProjectLocked, StoreError
from twofold.store.catalogue import Catalogue
from twofold.store.documents import KnownDocument
from twofold.store.migrations import CATALOGUE
from twofold.store.postgres import connected
from twofold.store.postgres_text import ESCAPE, escaped, unescaped
from twofold.store.shared import SharedPlace, open_database
from twofold.types import Document

ODD = ["a\0b", "\0", "half \ud83d of a pair", f"{ESCAPE}0000", ESCAPE, "50% of ?", "Ä\r\n\t", "\\u0000", "\\\\u0000\0"]


@given(st.text(st.characters(codec=None) | st.sampled_from(["\0", ESCAPE, "\ud800", "0"])))
def test_every_text_comes_back(text: str) -> None:
    stored = escaped(text)
    assert "\0" not in stored
    stored.encode()
    assert unescaped(stored) == text


def test_odd_texts_are_stored_without_loss(schema: SharedPlace) -> None:
    with Catalogue(schema) as catalogue:
        for number, text in enumerate(ODD):
            document = Document(id=f"{number}{text}", text=text, title=text, source=text, readers=(text,))
            catalogue.sync.record([(document, KnownDocument(digest="d"))], [])
            catalogue.notes.put(text, text)
            assert catalogue.documents.get([document.id]) == [document]
            assert catalogue.documents.readers_of([document.id]) == {document.id: (text, (text,))}
            assert catalogue.documents.versions([document.id]) == {document.id: ("", text)}
            assert catalogue.notes.get(text) == text
        assert [document.title for document in catalogue.documents.without_texts()] == ODD
        catalogue.scores.put("s", "m", {"e": float("nan"), "f": float("inf")})
        assert catalogue.scores.get("s", "m") == {"e": None, "f": float("inf")}


def test_a_newer_schema_is_refused_and_one_that_is_missing_is_not_made_by_a_reader(schema: SharedPlace) -> None:
    with pytest.raises(StoreError, match="no catalogue yet"):
        Catalogue(schema, readonly=True)
    Catalogue(schema).close()
    later = replace(CATALOGUE, shared=(*CATALOGUE.shared, "CREATE TABLE further (x TEXT)"))
    with pytest.raises(StoreError, match="needs version 2"):
        open_database(schema, readonly=True, schema=later)
    wrong = replace(CATALOGUE, shared=(*CATALOGUE.shared, "CREATE TABLE one (x TEXT); CREATE TABLE one (x TEXT)"))
    with pytest.raises(StoreError, match="already exists"):
        open_database(schema, schema=wrong)
    with closing(open_database(schema, schema=later)) as database:
        assert database.version() == 2, "a step that fails leaves nothing behind"
    with pytest.raises(StoreError, match="has version 2") as caught:
        Catalogue(schema)
    assert "Upgrade" in caught.value.cure


def test_a_reader_writes_nothing(schema: SharedPlace) -> None:
    with Catalogue(schema) as writer, Catalogue(schema, readonly=True) as reader:
        writer.systems.put("s", {"a": 1})
        assert reader.systems.descriptions() == {"s": {"a": 1}}
        with pytest.raises(StoreError, match="readonly"):
            reader.systems.put("t", {})


def test_a_role_that_may_only_read_reads(schema: SharedPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    with Catalogue(schema) as catalogue:
        catalogue.notes.put("a", "1")
    role = f"r{schema.name}"
    with connected(schema) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")
        connection.execute(f"GRANT USAGE ON SCHEMA {schema.name} TO {role}")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema.name} TO {role}")
    monkeypatch.setenv("TWOFOLD_TEST_READER", "pw")
    theirs = replace(schema, url=schema.url.replace("postgres@", f"{role}@"), password_env="TWOFOLD_TEST_READER")
    with Catalogue(theirs) as catalogue:
        assert catalogue.notes.get("a") == "1"
        with pytest.raises(DatabaseRefused, match="permission denied"):
            catalogue.notes.put("a", "2")
    monkeypatch.setenv("TWOFOLD_TEST_READER", "wrong")
    with pytest.raises(DatabaseRefused, match="password") as caught:
        Catalogue(theirs)
    assert "database_password_env" in caught.value.cure
    assert caught.value.file == str(theirs)


def test_what_does_not_answer_is_said(schema: SharedPlace) -> None:
    with pytest.raises(DatabaseUnreachable, match="does not exist"):
        Catalogue(replace(schema, url=schema.url.rpartition("/")[0] + "/nowhere"))
    with pytest.raises(DatabaseUnreachable, match="refused") as caught:
        Catalogue(replace(schema, url="postgresql://postgres@127.0.0.1:1/postgres"))
    assert "[scale]" in caught.value.cure


def test_threads_that_store_the_same_rows_in_other_orders_all_end(schema: SharedPlace) -> None:
    failures: list[Exception] = []

    def store(catalogue: Catalogue, names: list[str]) -> None:
        try:
            for _ in range(4):
                catalogue.scores.put("s", "m", [(name, 1.0) for name in names])
        except StoreError as error:
            failures.append(error)

    names = [f"e{number}" for number in range(50)]
    with Catalogue(schema) as first, Catalogue(schema) as second:
        orders = [names, names[::-1]]
        threads = [
            threading.Thread(target=store, args=(c, order)) for c, order in zip((first, second), orders, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(first.scores.get("s", "m")) == 50


def test_read_and_written_in_one_block_is_nobody_elses(schema: SharedPlace) -> None:
    """Two processes count up a note: without the lock of a block some counts would be lost."""

    def count(catalogue: Catalogue) -> None:
        for _ in range(25):
            with catalogue.database.transaction() as connection:
                (value,) = connection.execute("SELECT value FROM notes WHERE name = 'n'").fetchone()
                connection.execute("UPDATE notes SET value = ? WHERE name = 'n'", (str(int(value) + 1),))

    with Catalogue(schema) as first, Catalogue(schema) as second:
        first.notes.put("n", "0")
        threads = [threading.Thread(target=count, args=(each,)) for each in (first, second, first)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert first.notes.get("n") == "75"


def end_connections(schema: SharedPlace) -> None:
    with connected(schema) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")


def cut_off(catalogue: Catalogue, schema: SharedPlace) -> None:
    with catalogue.database.transaction() as connection:
        connection.execute("UPDATE notes SET value = '2'")
        end_connections(schema)
        connection.execute("UPDATE notes SET value = '3'")


def test_after_a_restart_of_the_server_it_goes_on(schema: SharedPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.store.postgres._IDLE", 0.0)
    with Catalogue(schema) as catalogue:
        catalogue.notes.put("a", "1")
        end_connections(schema)
        assert catalogue.notes.get("a") == "1"
        with pytest.raises(DatabaseUnreachable):
            cut_off(catalogue, schema)
        assert catalogue.notes.get("a") == "1", "a block that was cut off is stored not at all"


def test_a_writer_that_is_stuck_is_said_to_be_one(schema: SharedPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.store.postgres._PATIENCE", 0.1)
    with Catalogue(schema) as first, Catalogue(schema) as second, first.database.transaction():
        with pytest.raises(ProjectLocked):
            second.notes.put("a", "1")
        assert second.notes.get("a") == "", "readers go on"
