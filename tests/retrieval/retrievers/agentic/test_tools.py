"""Live tools against a real database and a real server that is slow, down, endless, or leads elsewhere."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from installed import needs
from twofold.answering import access
from twofold.errors import AccessDenied, BadRecord, ConfigError, SourceQuery
from twofold.plugins import loading
from twofold.types import Filter

needs("sqlalchemy")
STOCK = {
    "url": "sqlite:///shop.db",
    "statement": "SELECT item, amount FROM stock WHERE item = :item ORDER BY amount",
    "when": "in stock",
    "parameters": {"item": {"values": ["pears", "plums"]}},
    "sentence": "There are {amount} {item} in stock.",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE stock (item TEXT, amount INTEGER, owner TEXT)")
        database.executemany("INSERT INTO stock VALUES (?, ?, ?)", [("pears", 12, "ann"), ("plums", 5, "bob")])
    return tmp_path


def tool(kind: str, root: Path, options: dict[str, Any], *, readers: tuple[str, ...] | None = None) -> Any:
    given = {"name": "live", "description": "", "readers": readers, "root": root, "scratch": root / "kept"}
    return loading.make("tools", kind, options, **given)


def call(made: Any, seconds: float = 5.0, filter: Filter | None = None, **arguments: Any) -> Any:
    return made.call(arguments, filter=filter or Filter(), seconds=seconds)


def test_rows_become_a_passage_that_can_be_cited(shop: Path) -> None:
    made = tool("sql", shop, STOCK)
    assert made.arguments("How many plums are in stock?") == {"item": "plums"}
    assert made.arguments("How many plums are in the garden?") is None
    assert made.arguments("How many kiwis are in stock?") is None
    chunk = call(made, item="plums").chunks[0]
    assert chunk.text == "There are 5 plums in stock."
    assert chunk.span.document == "tool:live:item=plums"
    assert (chunk.span.start, chunk.span.end) == (0, len(chunk.text))
    assert chunk.place.startswith("fetched 20")
    assert call(made, item="plums").cached


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM stock WHERE item = :item",
        "SELECT 1 WHERE :item = ''; DROP TABLE stock",
        "WITH gone AS (DELETE FROM stock WHERE item = :item RETURNING *) SELECT * FROM gone",
        "PRAGMA writable_schema = :item",
        "SELECT item INTO other FROM stock WHERE item = :item",
        "SELECT item FROM stock WHERE item = :other",
        "SELECT item FROM stock",
    ],
)
def test_a_statement_that_writes_or_does_not_fit_its_parameters_is_refused_when_read(
    shop: Path, statement: str
) -> None:
    with pytest.raises(ConfigError):
        tool("sql", shop, {**STOCK, "statement": statement})


def test_the_database_refuses_what_the_words_let_through(shop: Path) -> None:
    made = tool("sql", shop, STOCK)
    for statement in ("DELETE FROM stock", "PRAGMA query_only = OFF", "CREATE TABLE x (y)"):
        sneaky = made.options.model_copy(update={"statement": statement})
        made.options = sneaky
        with contextlib.suppress(SourceQuery):
            made.fetch({}, 2.0)
    with sqlite3.connect(shop / "shop.db") as database:
        assert database.execute("SELECT count(*) FROM stock").fetchone() == (2,)
        assert database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)


def test_an_argument_is_bound_and_never_read_as_sql(shop: Path) -> None:
    made = tool("sql", shop, {**STOCK, "parameters": {"item": {}}})
    assert not call(made, item="' OR 1=1 --").chunks
    with pytest.raises(BadRecord):
        call(tool("sql", shop, STOCK), item="kiwis")
    with pytest.raises(BadRecord):
        call(tool("sql", shop, STOCK), item="pears", more="x")


def test_a_slow_statement_is_stopped_and_a_missing_database_is_a_note(shop: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) AS amount FROM n"
    began = time.monotonic()
    told = call(tool("sql", shop, {"url": STOCK["url"], "statement": endless, "timeout": 0.3}))
    assert not told.chunks
    assert "0.3" in told.note
    assert time.monotonic() - began < 3
    gone = call(tool("sql", shop, {**STOCK, "url": "sqlite:///gone.db"}), item="pears")
    assert not gone.chunks
    assert "no database gone.db" in gone.note
    assert not (shop / "gone.db").exists()


def test_who_asks_is_taken_from_the_principal_only(shop: Path) -> None:
    own = {"statement": "SELECT item FROM stock WHERE owner = :who", "parameters": {"who": {"asker": True}}}
    made = tool("sql", shop, {"url": STOCK["url"], **own}, readers=("group:staff",))
    ann, bob = (Filter(principal=access.principal(user, ["staff"])) for user in ("ann", "bob"))
    assert call(made, filter=ann).chunks[0].text == "item: pears"
    assert call(made, filter=bob).chunks[0].text == "item: plums"
    assert made.schema["properties"] == {}
    with pytest.raises(BadRecord):
        call(made, filter=bob, who="ann")
    for stranger in (Filter(principal=access.principal("eve")), Filter()):
        assert not made.allows(stranger)
        with pytest.raises(AccessDenied):
            call(made, filter=stranger)
    assert not tool("sql", shop, STOCK).allows(ann), "readers unknown: nobody"
    assert not tool("sql", shop, STOCK).allows(Filter(collections=("books",)))


def weather(server: Any, **more: Any) -> dict[str, Any]:
    return {
        "url": server.url + "/now/{city}?u=c",
        "parameters": {"city": {}},
        "when": "weather",
        "fields": {"degrees": "now.t"},
        "sentence": "It is {degrees} °C.",
        "private": True,
        "timeout": 5.0,
        **more,
    }


def test_json_is_asked_and_arguments_stay_in_their_place(server: Any, tmp_path: Path) -> None:
    server.answer = lambda *_: (200, {}, {"now": {"t": 21}})
    made = tool("http", tmp_path, weather(server))
    assert made.arguments("What is the weather in New York now?") == {"city": "New York"}
    assert call(made, city="New York").chunks[0].text == "It is 21 °C."
    call(made, city="../../x?y=1#z")
    assert server.asked == ["/now/New%20York?u=c", "/now/..%2F..%2Fx%3Fy%3D1%23z?u=c"]
    assert not call(made, city="..").chunks
    with pytest.raises(ConfigError):
        tool("http", tmp_path, weather(server, url="http://{city}/x"))


@pytest.mark.parametrize(
    ("status", "headers", "value"),
    [
        (500, {}, {}),
        (200, {}, "slow"),
        (200, {}, "drip"),
        (200, {}, "endless"),
        (200, {}, "not json"),
        (200, {}, {"other": 1}),
        (403, {}, {}),
        (302, {"location": "http://example.org/"}, {}),
        (302, {"location": "/now/x"}, {}),
    ],
)
def test_whatever_the_server_does_there_is_a_note_in_time(
    server: Any, tmp_path: Path, status: int, headers: dict[str, str], value: Any
) -> None:
    server.answer = lambda *_: (status, headers, value)
    began = time.monotonic()
    told = call(tool("http", tmp_path, weather(server, timeout=1.0)), city="Rome")
    assert not told.chunks
    assert told.note.startswith("live cannot be")
    assert time.monotonic() - began < 3


def test_a_private_address_is_refused_unless_allowed(server: Any, tmp_path: Path) -> None:
    told = call(tool("http", tmp_path, weather(server, private=False)), city="Rome")
    assert "private address" in told.note
    assert not server.asked


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0], ids=["forward", "back"])
def test_an_answer_of_before_the_clock_jumped_a_day_is_not_fresh(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    server.answer = lambda _p, _b, n: (200, {}, {"now": {"t": 20 + n}})
    made, clock = tool("http", tmp_path, weather(server, fresh=600)), time.time
    assert "21" in call(made, city="Rome").chunks[0].text
    assert call(made, city="Rome").cached
    monkeypatch.setattr(time, "time", lambda: clock() + jump)
    assert "22" in call(made, city="Rome").chunks[0].text


def test_what_is_kept_is_served_marked_while_the_source_is_down(server: Any, tmp_path: Path) -> None:
    server.answer = lambda _p, _b, n: (200, {}, {"now": {"t": 21}}) if n == 1 else (503, {}, {})
    options = weather(server, fresh=0, retries=2)
    call(tool("http", tmp_path, options), city="Rome")
    told = call(tool("http", tmp_path, options), city="Rome")
    assert told.stale
    assert len(server.asked) == 4, "asked again, and twice more"
    assert told.chunks[0].text.startswith("It is 21 °C.\n(live cannot be had now")
    assert "as of 20" in told.chunks[0].text
    assert not call(tool("http", tmp_path, {**options, "stale": 0}), city="Rome").chunks
