"""A web source whose server is in trouble, misled or hostile: what it held stays until it is proved to be gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sync_project import Site, by_file, held, sync

from twofold.files.reading import writes

PAGES = 6


def _sitemap(site: Site, names: Sequence[str]) -> None:
    rows = "".join(f"<url><loc>{site.url}/{name}</loc></url>" for name in names)
    site.put("/sitemap.xml", f"<urlset>{rows}</urlset>", kind="application/xml")


def _index(site: Site, path: str, places: Sequence[str]) -> None:
    rows = "".join(f"<sitemap><loc>{site.url}{place}</loc></sitemap>" for place in places)
    site.put(path, f"<sitemapindex>{rows}</sitemapindex>", kind="application/xml")


@pytest.fixture
def mapped(make: Callable[..., Path], site: Site) -> Path:
    """A project that has read the pages of a sitemap."""
    names = [f"p{number}" for number in range(PAGES)]
    for name in names:
        site.put(f"/{name}", f"<title>{name}</title><p>Water of {name}.")
    _sitemap(site, names)
    directory = make(f'[sources.site]\nkind = "web"\nsitemap = "{site.url}/sitemap.xml"\ndelay = 0.0\ntimeout = 5.0')
    assert sync(directory)["added"] == PAGES
    return directory


def _listed(directory: Path, urls: Sequence[str]) -> str:
    own = ", ".join(f'"{url}"' for url in urls)
    return f'[sources.site]\nkind = "web"\nurls = [{own}]\ndelay = 0.0\ntimeout = 5.0'


OUTAGES: dict[str, Callable[[Site], None]] = {
    "500": lambda site: site.put("/sitemap.xml", "down", status=500),
    "404": lambda site: site.put("/sitemap.xml", "", status=404),
    "a login": lambda site: site.put("/sitemap.xml", "who are you?", status=401),
    "empty": lambda site: site.put("/sitemap.xml", ""),
    "no page": lambda site: _sitemap(site, []),
    "a page for people": lambda site: site.put("/sitemap.xml", "<html><body>We will be back soon.</body></html>"),
    "another host": lambda site: site.put(
        "/sitemap.xml", "<urlset><url><loc>https://elsewhere.example.org/p1</loc></url></urlset>"
    ),
    "half of it, cut off": lambda site: site.put("/sitemap.xml", f"<urlset><url><loc>{site.url}/p1</loc></url>"),
    "robots.txt in trouble": lambda site: site.put("/robots.txt", "down", status=503),
    "half of the pages, the others still there": lambda site: _sitemap(site, ["p0", "p1", "p2"]),
    "half of the pages, the others in trouble": lambda site: (
        _sitemap(site, ["p0", "p1", "p2"]),
        [site.put(f"/p{number}", "down", status=500) for number in (3, 4, 5)],
    )[0],
    "an index of itself": lambda site: _index(site, "/sitemap.xml", ["/sitemap.xml"]),
    "an index that is too deep": lambda site: [
        _index(site, "/sitemap.xml", ["/1.xml"]),
        _index(site, "/1.xml", ["/2.xml"]),
        _index(site, "/2.xml", ["/3.xml"]),
        _index(site, "/3.xml", ["/4.xml"]),
    ][0],
}


@pytest.mark.parametrize("way", OUTAGES)
def test_a_sitemap_in_trouble_deletes_nothing_and_says_so(mapped: Path, site: Site, way: str) -> None:
    OUTAGES[way](site)
    for _ in range(2):
        report = sync(mapped)
        assert report["deleted"] == 0
        assert [one["source"] for one in report["sources"]] == ["site"]
    assert len(held(mapped)) == PAGES


def test_pages_that_are_gone_leave_with_the_sitemap(mapped: Path, site: Site) -> None:
    _sitemap(site, ["p0", "p1"])
    for number in range(2, PAGES):
        del site.pages[f"/p{number}"]
    report = sync(mapped)
    assert (report["deleted"], report["sources"]) == (PAGES - 2, [])


def test_a_few_pages_leave_a_sitemap_unasked_and_many_by_a_rebuild(mapped: Path, site: Site) -> None:
    _sitemap(site, ["p0", "p1", "p2", "p3"])
    report = sync(mapped)
    assert (report["deleted"], report["sources"]) == (2, [])
    _sitemap(site, ["p0"])
    assert sync(mapped)["sources"][0]["failure"]["cure"].count("--rebuild")
    assert not sync(mapped, rebuild=True)["sources"]
    assert len(held(mapped)) == 1


def test_indexes_that_name_each_other_are_read_once(make: Callable[..., Path], site: Site) -> None:
    own = [f"/{number}.xml" for number in range(30)]
    _index(site, "/sitemap.xml", own)
    for place in own:
        _index(site, place, [*own, "/pages.xml"])
    site.put("/pages.xml", f"<urlset><url><loc>{site.url}/a</loc></url></urlset>")
    site.put("/a", "<title>A</title><p>Rain falls.")
    directory = make(f'[sources.site]\nkind = "web"\nsitemap = "{site.url}/sitemap.xml"\ndelay = 0.0\ntimeout = 5.0')
    site.asked.clear()
    report = sync(directory)
    assert len(site.asked) <= 40
    assert (report["added"], report["failed"]) in ((1, 0), (0, 1)), "read, or refused whole"


REFUSALS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "a login": (401, {}, b"who are you?"),
    "no leave": (403, {}, b"no"),
    "too many": (429, {}, b"later"),
    "a fault": (500, {}, b"fault"),
    "a cache gone wrong": (304, {}, b""),
    "no content": (204, {}, b""),
    "an empty page": (200, {"Content-Type": "text/html"}, b""),
    "to a file": (302, {"Location": "file:///etc/hostname"}, b""),
    "to the gate of the network": (302, {"Location": "http://192.168.255.254/gate"}, b""),
    "in a circle": (302, {"Location": "/a"}, b""),
    "packed": (200, {"Content-Encoding": "br"}, b"zzzz"),
}


@pytest.mark.parametrize("way", REFUSALS)
def test_a_page_that_is_refused_now_stays(make: Callable[..., Path], site: Site, way: str) -> None:
    directory = make(_listed(Path(), [f"{site.url}/a", f"{site.url}/b"]))
    site.put("/a", "<title>A</title><p>Rain falls.")
    site.put("/b", "<title>B</title><p>Wind blows.")
    assert sync(directory)["added"] == 2
    site.pages["/a"] = REFUSALS[way]
    for _ in range(2):
        report = sync(directory)
        assert (report["deleted"], report["failed"]) == (0, 1)
        assert by_file(report)[f"{site.url}/a"] == "failed"
    assert len(held(directory)) == 2


def test_a_server_that_says_of_all_pages_that_they_are_gone_is_not_believed(
    make: Callable[..., Path], site: Site
) -> None:
    directory = make(_listed(Path(), [f"{site.url}/a", f"{site.url}/b"]))
    site.put("/a", "<title>A</title><p>Rain falls.")
    site.put("/b", "<title>B</title><p>Wind blows.")
    assert sync(directory)["added"] == 2
    kept = dict(site.pages)
    site.pages.clear()
    for _ in range(2):
        report = sync(directory)
        assert report["deleted"] == 0
        assert report["sources"][0]["source"] == "site"
    site.pages.update(kept)
    assert (sync(directory)["failed"], len(held(directory))) == (0, 2)
    site.pages.clear()
    sync(directory, rebuild=True)
    assert not held(directory)


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "hex", "undefined", "x" * 500, "a\0b"])
def test_an_encoding_that_no_text_is_written_in_is_not_used(
    make: Callable[..., Path], site: Site, charset: str
) -> None:
    assert not writes(charset)
    body = b"<title>T</title><p>Rain falls. " + b"z" * 400_000
    kind = f"text/html; charset={charset}".replace("\0", "")
    site.pages["/a"] = (200, {"Content-Type": kind}, body)
    directory = make(_listed(Path(), [f"{site.url}/a"]))
    began = time.monotonic()
    report = sync(directory)
    assert report["added"] == 1
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("charset", ["utf-8", "UTF-16", "windows-1252", "koi8-r", "shift_jis", "gb18030", "utf-7"])
def test_those_that_are_written_are_known(charset: str) -> None:
    assert writes(charset)


def test_pages_that_take_too_long_stay(make: Callable[..., Path], site: Site) -> None:
    directory = make(_listed(Path(), [f"{site.url}/a", f"{site.url}/b"]).replace("timeout = 5.0", "timeout = 0.5"))
    site.put("/a", "<title>A</title><p>Rain falls.")
    site.put("/b", "<title>B</title><p>Wind blows.")
    assert sync(directory)["added"] == 2

    def slow(answer: Any) -> None:
        answer.send_response(200)
        answer.send_header("Content-Type", "text/html")
        answer.end_headers()
        for _ in range(40):
            answer.wfile.write(b"<p>more</p>")
            time.sleep(0.05)

    site.pages["/a"] = slow
    assert sync(directory)["deleted"] == 0
    assert len(held(directory)) == 2
