"""Web pages, git, SQL and HTTP against a real server, repository and database."""

from __future__ import annotations

import gzip
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sync_project import Site, by_file, found, held, sync


def test_web_pages_are_asked_for_again_only_if_they_changed(make: Callable[..., Path], site: Site) -> None:
    directory = make(
        f'[sources.site]\nkind = "web"\nurls = ["{site.url}/a", "{site.url}/b", "{site.url}/private/c"]\n'
        "delay = 0.0\ntimeout = 1.0"
    )
    site.put("/robots.txt", "User-agent: *\nDisallow: /private/", kind="text/plain")
    site.put("/a", "<title>A</title><p>Rain falls on the field.", etag='"1"')
    site.put("/b", "<title>B</title><p>Wind dries it.")
    first = sync(directory)
    assert (first["added"], first["failed"]) == (2, 1)
    assert "/private/c" not in site.asked
    assert sync(directory)["unchanged"] == 2
    site.put("/a", "<title>A</title><p>Snow falls.", etag='"2"')
    site.put("/b", "down", status=503)
    report = sync(directory)
    assert (report["changed"], report["deleted"]) == (1, 0)
    assert by_file(report)[f"{site.url}/b"] == "failed"
    site.put("/b", "gone", status=404)
    assert sync(directory)["deleted"] == 1
    assert held(directory).keys() == {f"site:{site.url}/a"}


def test_a_sitemap_is_followed_and_robots_are_obeyed(make: Callable[..., Path], site: Site) -> None:
    def urls(*entries: tuple[str, str], kind: str = "urlset", inner: str = "url") -> str:
        rows = [
            f"<{inner}><loc>{place}</loc>{f'<lastmod>{day}</lastmod>' if day else ''}</{inner}>"
            for place, day in entries
        ]
        return f'<{kind} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{"".join(rows)}</{kind}>'

    directory = make(f'[sources.site]\nkind = "web"\nsitemap = "{site.url}/sitemap.xml"\ndelay = 0.0\ntimeout = 5.0')
    site.put("/robots.txt", "User-agent: *\nDisallow: /private/", kind="text/plain")
    site.put("/sitemap.xml", urls((f"{site.url}/one.xml.gz", ""), kind="sitemapindex", inner="sitemap"))
    listed = urls(
        (f"{site.url}/a", "2026-01-01"),
        (f"{site.url}/b", ""),
        (f"{site.url}/private/c", "2026-01-01"),
        ("http://elsewhere.example.org/d", ""),
    )
    site.pages["/one.xml.gz"] = (200, {"Content-Type": "application/gzip"}, gzip.compress(listed.encode()))
    site.put("/a", "<title>A</title><p>Rain falls on the field.")
    site.put("/b", "<title>B</title><p>Wind dries it.", etag='"1"')
    first = sync(directory)
    assert (first["added"], first["failed"]) == (2, 1)
    assert "/private/c" not in site.asked
    assert {name.removeprefix(f"site:{site.url}") for name in held(directory)} == {"/a", "/b"}
    site.asked.clear()
    assert sync(directory)["unchanged"] == 2
    assert "/a" not in site.asked, "the sitemap says that it is as it was"
    assert site.asked.count("/robots.txt") == 1
    site.put("/robots.txt", "User-agent: *\nDisallow: /a", kind="text/plain")
    assert sync(directory)["deleted"] == 1
    assert held(directory).keys() == {f"site:{site.url}/b"}
    site.put("/robots.txt", "down", status=503)
    assert sync(directory)["deleted"] == 0, "a host in trouble forbids all, and deletes nothing"
    assert held(directory).keys() == {f"site:{site.url}/b"}


def test_a_page_that_never_ends_is_a_counted_failure(make: Callable[..., Path], site: Site) -> None:
    def endless(answer: Any) -> None:
        answer.send_response(200)
        answer.send_header("Content-Type", "text/html")
        answer.end_headers()
        for _ in range(200):
            answer.wfile.write(b"<p>more</p>")
            time.sleep(0.05)

    directory = make(f'[sources.site]\nkind = "web"\nurls = ["{site.url}/x"]\ntimeout = 0.5\ndelay = 0.0')
    site.pages["/x"] = endless
    (failed,) = sync(directory)["files"]
    assert failed["failure"]["code"] == "source.endless"


def test_sql_rows_and_statements_that_write(make: Callable[..., Path]) -> None:
    section = '[sources.shop]\nkind = "sql"\nurl = "sqlite:///data/shop.db"\ntext = "body"\ntitle = "name"\n'
    directory = make(section + 'query = "SELECT id, name, body, lang FROM articles ORDER BY id"')
    with sqlite3.connect(directory / "data" / "shop.db") as db:
        db.execute("CREATE TABLE articles (id INTEGER PRIMARY KEY, name TEXT, body TEXT, lang TEXT)")
        db.executemany("INSERT INTO articles VALUES (?, ?, ?, 'en')", [(1, "A", "water"), (2, "B", "wind")])
    assert sync(directory)["added"] == 2
    with sqlite3.connect(directory / "data" / "shop.db") as db:
        db.execute("UPDATE articles SET body = 'rain' WHERE id = 1")
        db.execute("DELETE FROM articles WHERE id = 2")
    done = sync(directory)
    assert (done["changed"], done["deleted"], held(directory).keys()) == (1, 1, {"shop:1"})
    for query in ("DELETE FROM articles", "SELECT 1; DROP TABLE articles", "SELECT id FROM missing"):
        text = (directory / "twofold.toml").read_text().split("query =")[0] + f'query = "{query}"'
        (directory / "twofold.toml").write_text(text)
        report = sync(directory)
        assert (report["sources"][0]["failure"]["code"], report["deleted"]) == ("source.query", 0)


def test_http_records_page_by_page(make: Callable[..., Path], site: Site) -> None:
    directory = make(
        f'[sources.api]\nkind = "http"\nurl = "{site.url}/1"\nrecords = "data.items"\nnext = "data.next"\ntext = "body"'
    )
    for number, onward in ((1, "/2"), (2, None)):
        records = [{"id": number, "body": f"text {number}", "kind": "x"}]
        site.put(f"/{number}", json.dumps({"data": {"items": records, "next": onward}}), kind="application/json")
    assert sync(directory)["added"] == 2
    site.put("/2", "not json", kind="application/json")
    report = sync(directory)
    assert (report["deleted"], report["failed"], len(held(directory))) == (0, 1, 2)
    site.close()
    assert sync(directory)["sources"][0]["failure"]["code"] == "source.unreachable"


def test_rows_that_lose_their_ids_empty_no_source(make: Callable[..., Path]) -> None:
    """A query whose id column is null for every row says nothing of the rows being gone."""
    section = '[sources.shop]\nkind = "sql"\nurl = "sqlite:///data/shop.db"\ntext = "body"\n'
    directory = make(section + 'query = "SELECT id, body FROM articles"')
    with sqlite3.connect(directory / "data" / "shop.db") as shop:
        shop.execute("CREATE TABLE articles (id TEXT, body TEXT)")
        shop.executemany("INSERT INTO articles VALUES (?, ?)", [("a", "water"), ("b", "wind")])
    assert sync(directory)["added"] == 2
    with sqlite3.connect(directory / "data" / "shop.db") as shop:
        shop.execute("UPDATE articles SET id = NULL")
    for _ in range(2):
        report = sync(directory)
        assert (report["deleted"], report["failed"] > 0) == (0, True)
    assert held(directory).keys() == {"shop:a", "shop:b"}


def test_records_that_all_lose_their_text_empty_no_source(make: Callable[..., Path], site: Site) -> None:
    directory = make(f'[sources.api]\nkind = "http"\nurl = "{site.url}/all"\ntext = "body"')
    site.put("/all", json.dumps([{"id": "a", "body": "water"}, {"id": "b", "body": "wind"}]), kind="application/json")
    assert sync(directory)["added"] == 2
    site.put("/all", json.dumps([{"error": "try later"}, {"error": "try later"}]), kind="application/json")
    for _ in range(2):
        report = sync(directory)
        assert (report["deleted"], report["failed"] > 0) == (0, True)
    assert held(directory).keys() == {"api:a", "api:b"}


@pytest.mark.parametrize("kind", ["sql", "http"])
def test_of_rows_that_share_an_id_none_is_lost(make: Callable[..., Path], site: Site, kind: str) -> None:
    """A join gives the rows of one order the order's id: each is a document, whatever their order."""
    query = "SELECT o.id AS id, o.name AS name, l.item AS item, l.qty AS qty FROM o JOIN l ON l.o = o.id ORDER BY l.pos"
    section = {
        "sql": f'url = "sqlite:///data/shop.db"\nquery = "{query}"',
        "http": f'url = "{site.url}/lines"',
    }[kind]
    directory = make(f'[sources.shop]\nkind = "{kind}"\n{section}')

    def say(lines: list[tuple[int, str, int]]) -> None:
        buyers = {1: "Ada", 2: "Ben"}
        records = [{"id": o, "name": buyers[o], "item": item, "qty": qty} for o, item, qty in lines]
        site.put("/lines", json.dumps(records), kind="application/json")
        with sqlite3.connect(directory / "data" / "shop.db") as shop:
            shop.executescript("DROP TABLE IF EXISTS o; DROP TABLE IF EXISTS l; CREATE TABLE o (id, name);")
            shop.execute("CREATE TABLE l (pos, o, item, qty)")
            shop.executemany("INSERT INTO o VALUES (?, ?)", buyers.items())
            shop.executemany("INSERT INTO l VALUES (?, ?, ?, ?)", [(n, *line) for n, line in enumerate(lines)])

    lines = [(1, "bolt", 3), (1, "nut", 9), (2, "pin", 1), (1, "washer", 4), (2, "rivet", 8)]
    say(lines)
    report = sync(directory)
    assert (report["added"], report["failed"]) == (5, 0)
    assert all(len(found(directory, item)) == 1 for _, item, _ in lines), "each by its own words"
    say([lines[0], *reversed(lines[1:])])
    assert sync(directory)["unchanged"] == 3, "but for order 2: its first row has the order's id, and that is another"
    assert all(len(found(directory, item)) == 1 for _, item, _ in lines)
    say([*lines, (1, "nut", 9)])
    report = sync(directory)
    assert len(held(directory)) == 5
    (again,) = [entry for entry in report["files"] if entry["documents"] == 0 and entry["status"] != "deleted"]
    assert "says again" in again["failure"]["message"]
    say([line for line in lines if line[1] != "nut"])
    sync(directory)
    assert (len(held(directory)), found(directory, "nut")) == (4, [])
