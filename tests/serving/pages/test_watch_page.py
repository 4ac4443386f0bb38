"""The page Watch: alarms, causes, proposals and pictures, on every screen; and no entry where nobody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import browsing
import pytest
from playwright.sync_api import expect
from serving_process import Running

from conftest import Bench
from twofold.monitoring.causes import causes
from twofold.monitoring.readings import reading
from twofold.monitoring.record import Observation
from twofold.monitoring.store import FILE, opened
from twofold.monitoring.watching import watch
from twofold.serving.pages.watch import shown
from twofold.types import Json

Window = Callable[..., browsing.Watched]
HOSTILE = "<script>alert(1)</script> & 'quoted'"


class Decaying:
    """Probes that find their passage until the embedder is exchanged, and questions that nobody compares."""

    name = "decaying"

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        day = (before or {"day": -1})["day"] + 1
        late = day >= 12
        share = 0.72 if late else 0.9
        numbers = {"value": share, "low": share - 0.05, "high": share + 0.05, "baseline": 0.91, "n": 200}
        evidence = {"statistic": 4.0**day if late else 1.0, "threshold": 4000.0}
        hit = reading(
            "probes.hit", moment, state="alarm" if late else "ok", why=f"fewer: {HOSTILE}", **numbers, **evidence
        )
        embedder = reading(
            "fingerprints.embedder", moment, state="alarm" if late else "ok", why="minilm 3 and minilm 2"
        )
        drift = reading("questions.drift", moment, state="unwatched", why="the traffic log is off")
        return Observation(readings=(hit, embedder, drift), state={"day": day})


def look_at(directory: Path) -> None:
    start = datetime.now(UTC) - timedelta(days=13, hours=1)
    with opened(directory / FILE) as store:
        for day in range(14):
            watch([Decaying()], store, moment=start + timedelta(days=day), explain=causes)


@pytest.fixture
def watched(workbench: Bench) -> Iterator[Bench]:
    """The workbench with two weeks of looks, until the end of the test."""
    look_at(workbench.directory)
    yield workbench
    for file in workbench.directory.glob(f"{FILE}*"):
        file.unlink()


def test_alarms_causes_and_what_to_do(window: Window, watched: Bench) -> None:
    view = window(watched.server.url)
    page = view.open("/watch")
    expect(page.get_by_role("link", name="Watch", exact=True)).to_have_attribute("aria-current", "page")
    expect(page.get_by_text("2 alarms stand")).to_be_visible()
    expect(page.get_by_role("heading", name="Embedder changed")).to_be_visible()
    expect(page.locator("pre.command")).to_have_text(["twofold sync --rebuild", "twofold study"])
    expect(page.locator("article h3")).to_have_text(["probes.hit", "fingerprints.embedder"])
    expect(page.locator("article").first).to_contain_text(".720 [.670, .770] was .910")
    expect(page.locator("article").first.locator("svg .mark-alarm")).to_have_count(2)
    expect(page.locator("article p", has_text=HOSTILE)).to_be_visible()
    expect(page.locator("article").first).to_contain_text("alarm")
    expect(page.locator("#unwatched + dl")).to_contain_text("questions.drift")
    # By the keyboard alone: the numbers of the picture.
    page.locator("article summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("article").first.locator("tbody tr")).to_have_count(14)
    assert view.violations() == []
    page.locator(".proposals summary").first.click()
    page.get_by_label("Reason, for the record").first.fill("done by hand")
    page.get_by_role("button", name="Dismiss proposal 1").click()
    expect(page.locator("pre.command")).to_have_text(["twofold study"])
    with watched.server.client() as client:
        again = client.post("/watch/dismiss", data={"number": "1"}, headers={"accept": "text/html"})
        assert again.status_code == 409
        assert "Somebody else changed it" in again.text
        assert client.post("/watch/dismiss", data={"number": "one"}).status_code == 400


def test_every_screen(window: Window, watched: Bench) -> None:
    for options in ({"dark": True}, {"size": browsing.NARROW}):
        view = window(watched.server.url, **options)
        view.open("/watch")
        assert view.violations() == []
        assert view.sideways() <= 0


def test_where_nobody_looks_the_page_says_how(window: Window, server: Running) -> None:
    view = window(server.url)
    page = view.open("/settings")
    expect(page.get_by_role("link", name="Watch", exact=True)).to_have_count(0)
    view.open("/watch")
    expect(page.get_by_text("Nobody has looked at this project yet")).to_be_visible()
    assert view.violations() == []


def test_looks_that_are_overdue_are_said(tmp_path: Path) -> None:
    look_at(tmp_path)
    with opened(tmp_path / FILE, readonly=True) as store:
        now = datetime.now(UTC)
        assert not shown(store, moment=now, every="15h")["late"]
        assert shown(store, moment=now + timedelta(days=2), every="15h")["late"]
        assert not shown(store, moment=now + timedelta(days=2), every="")["late"]
        # A clock that was set back since the last look.
        assert shown(store, moment=now - timedelta(days=9), every="15h")["age"] == 0
