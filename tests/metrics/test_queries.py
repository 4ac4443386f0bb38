"""SQL answers are right where their rows are: on a real database file that cannot be written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from twofold.errors import ConfigError, ScorerBroken
from twofold.metrics.queries import SqlExecution, is_ordered, query_of
from twofold.plugins.protocols import Explains
from twofold.settings.loading import load
from twofold.study.scorer_check import self_test
from twofold.testing.conformance_metric import PROMISES, Subject
from twofold.types import Answer, Example, Message


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "shop.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE pump (id INTEGER, name TEXT, price REAL)")
    rows = [(1, "Alpha", 100.0), (2, "Beta", 250.5), (3, "Gamma", 250.5), (4, "Delta", 80.0)]
    connection.executemany("INSERT INTO pump VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def metric(database: Path) -> SqlExecution:
    return SqlExecution(SqlExecution.Options(database=database, seconds=0.5, max_rows=1000))


def example(reference: str, number: int = 0) -> Example:
    return Example(id=f"e{number}", messages=(Message(role="user", content="?"),), references=(reference,))


DEAR = "SELECT name FROM pump WHERE price > 100;"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("SELECT name FROM pump WHERE price > 100", 1),
        ("select p.name as n from pump p where not p.price <= 100 order by id desc", 1),
        ("Use this:\n```sql\nSELECT name FROM pump WHERE price >= 250;\n```\nIt lists both.", 1),
        ("The query is: SELECT name FROM pump WHERE price > 100;", 1),
        ("SELECT replace(name, '-', ' ') FROM pump WHERE printf('%.1f', price) = '250.5'", 1),
        ("SELECT name FROM pump WHERE price > 99", 0),
        ("SELECT name, price FROM pump WHERE price > 100", 0),
        ("SELECT name FROM pump WHERE price > 100 UNION ALL SELECT 'Beta'", 0),
    ],
)
def test_the_rows_decide_and_not_the_words(metric: SqlExecution, text: str, right: float) -> None:
    assert metric.score(example(DEAR), Answer(text=text)) == right


def test_the_order_counts_where_the_reference_has_one(metric: SqlExecution) -> None:
    ordered = example("SELECT name FROM pump ORDER BY price, id")
    assert metric.score(ordered, Answer(text="SELECT name FROM pump ORDER BY price, name")) == 1
    wrong = Answer(text="SELECT name FROM pump ORDER BY price DESC")
    assert metric.score(ordered, wrong) == 0
    assert metric.reason(ordered, wrong) == "the rows are right and their order is not"
    assert not is_ordered("SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 3) WHERE b = ' order by '")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("DROP TABLE pump", "must be a SELECT, not DROP"),
        ("SELECT 1; DELETE FROM pump", "more than one statement"),
        ("SELECT nme FROM pump", "no such column: nme"),
        ("I do not know.", "must be a SELECT"),
        ("", "must be a SELECT"),
        ("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n", "more than 0.5 s"),
        ("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 5000) SELECT x FROM n", "1000 rows"),
        ("SELECT zeroblob(2000000000)", "too big"),
        ("SELECT load_extension('x')", "not authorized"),
        # One instruction of SQLite's machine, which nothing interrupts, for hours.
        ("SELECT instr(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || '1')", "more than 0.5 s"),
        ("SELECT replace(nme, 'a', 'b') FROM pump", "no such column: nme"),
        ("SELECT * FROM pragma_table_info('pump')", "not authorized|prohibited|no such"),
        ("SELECT name FROM pump WHERE price > 99", "3 rows where the reference has 2"),
    ],
)
def test_a_query_that_fails_scores_0_with_its_reason(metric: SqlExecution, text: str, reason: str) -> None:
    import re

    answer = Answer(text=text)
    assert isinstance(metric, Explains)
    assert metric.score(example(DEAR), answer) == 0
    assert re.search(reason, metric.reason(example(DEAR), answer)), metric.reason(example(DEAR), answer)


def test_the_database_is_as_it_was(metric: SqlExecution, database: Path) -> None:
    before = database.read_bytes()
    for text in ("ATTACH 'x.db' AS x", "SELECT 1 INTO t", "WITH a AS (SELECT 1) DELETE FROM pump", "PRAGMA writable=1"):
        assert metric.score(example(DEAR), Answer(text=text)) == 0
    assert database.read_bytes() == before
    assert [path.name for path in database.parent.iterdir()] == ["shop.db"]


def test_a_reference_that_fails_is_an_error_and_no_score(metric: SqlExecution) -> None:
    with pytest.raises(ScorerBroken, match=r"reference of 'e0' fails on shop.db: .*no such table: pumps") as found:
        metric.score(example("SELECT name FROM pumps WHERE price > 1"), Answer(text=DEAR))
    assert "Correct the reference" in found.value.cure


def test_the_file_is_named_from_the_project_and_is_part_of_the_key(tmp_path: Path, database: Path) -> None:
    (tmp_path / "data").mkdir()
    copy = tmp_path / "data" / "shop.db"
    copy.write_bytes(database.read_bytes())
    first = SqlExecution.Options(database=copy)
    elsewhere = SqlExecution.Options(database=database).model_dump(mode="json")
    assert first.model_dump(mode="json") == elsewhere, "of one content, wherever the project lies"
    connection = sqlite3.connect(copy)
    connection.execute("DELETE FROM pump")
    connection.commit()
    connection.close()
    assert SqlExecution.Options(database=copy).content != first.content
    with pytest.raises(ValueError, match="there is no such file"):
        SqlExecution.Options(database=tmp_path / "other.db")
    copy.with_name("shop.db-wal").write_bytes(b"not in the file yet")
    with pytest.raises(ValueError, match=r"shop\.db-wal has changes that are not in the file yet"):
        SqlExecution.Options(database=copy)
    (tmp_path / "notes.db").write_text("no database", encoding="utf-8")
    with pytest.raises(ValueError, match="the file is no SQLite database"):
        SqlExecution.Options(database=tmp_path / "notes.db")


def test_a_project_names_the_file_relative_to_itself(tmp_path: Path, database: Path) -> None:
    (tmp_path / "shop.db").write_bytes(database.read_bytes())
    section = '[project]\nname = "p"\n\n[study]\nmetric = {name = "sql_execution", options = {database = "shop.db"}}\n'
    (tmp_path / "twofold.toml").write_text(section, encoding="utf-8")
    assert load(tmp_path).study.metric.options["database"] == str((tmp_path / "shop.db").resolve())
    from twofold.plugins import loading

    with pytest.raises(ConfigError, match=r"database: .*there is no such file"):
        loading.options("metrics", "sql_execution", {"database": "none.db"})


def test_a_query_is_found_in_an_answer() -> None:
    assert query_of("```\nSELECT 1\n```") == "SELECT 1"
    assert query_of("Here:\nSELECT 1\nFROM t;\n\nThat is all.") == "SELECT 1\nFROM t"


REFERENCES = [
    DEAR,
    "SELECT count(*) FROM pump",
    "SELECT avg(price) FROM pump",
    "SELECT name FROM pump ORDER BY price DESC LIMIT 1",
    "SELECT max(id) FROM pump WHERE price < 100",
]


@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(metric: SqlExecution, promise) -> None:  # type: ignore[no-untyped-def]
    promise(Subject(metric=metric, examples=[example(text, n) for n, text in enumerate((*REFERENCES, "no query"))]))


def test_gold_and_shuffled_gold(metric: SqlExecution) -> None:
    examples = [example(f"SELECT name, {n} FROM pump WHERE id > {n % 3}", n) for n in range(12)]
    report = self_test(metric, [*examples, *(example(text, 20 + n) for n, text in enumerate(REFERENCES))])
    assert report["gold"] == 1
    assert report["shuffled"] < 0.3
