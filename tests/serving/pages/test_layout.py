"""The frame of all pages: what it says of the served arm, what it may load, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import browsing
import httpx
import pytest
from serving_process import Running

from twofold.serving.pages.layout import ago

Window = Callable[..., browsing.Watched]
PEOPLE = {"accept": "text/html,*/*"}
PAGES = ("ask", "models", "settings")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [browsing.WIDE, browsing.NARROW], ids=["wide", "narrow"])
def test_no_page_has_a_fault_that_axe_finds(window: Window, size: tuple[int, int], dark: bool) -> None:
    view = window(size=size, dark=dark)
    for path in PAGES:
        view.open(f"/{path}")
        assert view.violations() == [], path
        assert view.sideways() <= 0, path


def test_the_frame_says_what_answers(server: Running) -> None:
    with server.client() as client:
        text = client.get("/ask", headers=PEOPLE).text
    assert "<b>rag</b>" in text
    assert ">measured</span>" in text


def test_pages_load_nothing_but_files_of_the_server_and_no_script_of_their_own(server: Running) -> None:
    with server.client() as client:
        reply = client.get("/settings", headers=PEOPLE)
        policy = reply.headers.get_list("content-security-policy")
        assert len(policy) == 1
        assert policy[0].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy[0]
        assert "default-src 'none'; frame-ancestors 'none'" in client.get("/healthz").headers["content-security-policy"]


def test_a_file_that_the_browser_has_is_not_sent_again(server: Running) -> None:
    with server.client() as client:
        first = client.get("/static/site.css")
        assert first.headers["content-type"].startswith("text/css")
        again = client.get("/static/site.css", headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for name in ("/static/../layout.py", "/static/%2e%2e/layout.py", "/static/none.css"):
            assert client.get(name).status_code == 404, name


def test_an_error_is_a_page_for_people_and_json_for_programs(server: Running) -> None:
    with server.client() as client:
        page = client.get("/nothing", headers=PEOPLE)
        assert page.status_code == 404
        assert "There is nothing here" in page.text
        assert "openapi" not in page.text
        unreadable = client.get("/ask/source?document=a&start=x", headers=PEOPLE)
        assert (unreadable.status_code, "That request cannot be read" in unreadable.text) == (400, True)
        assert client.get("/nothing").json()["error"]["code"] == "http.not-found"
        assert client.get("/v1/nothing", headers=PEOPLE).json()["error"]["code"] == "http.not-found"
        part = client.get("/nothing", headers={"hx-request": "true"})
        assert part.text.strip().startswith('<div class="notice bad"')


def test_the_first_address_leads_to_ask(server: Running) -> None:
    assert httpx.get(server.url).headers["location"] == "/ask"


def test_ages_are_in_words() -> None:
    assert [ago(seconds) for seconds in (None, 5, 60, 7300, 86400 * 3, 86400 * 40, 86400 * 800)] == [
        "",
        "just now",
        "1 minute ago",
        "2 hours ago",
        "3 days ago",
        "1 month ago",
        "2 years ago",
    ]


def test_what_others_wrote_lies_beside_its_licence() -> None:
    static = resources.files("twofold.serving.pages") / "static"
    vendored = [file.name for file in static.iterdir() if file.name.endswith(".min.js")]
    assert vendored == ["htmx.min.js"]
    assert "Zero-Clause BSD" in (static / "htmx.LICENSE").read_text(encoding="utf-8")
    assert "Mozilla Public License" in (Path(browsing.__file__).parent / "axe" / "LICENSE").read_text(encoding="utf-8")
