"""A page in a real browser, watched: what it logs, what it loads, and what axe finds in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
WIDE, NARROW = (1200, 900), (390, 844)


class Watched:
    """A page of the server. `errors` holds what the console says and every request to another host.

    Args:
        page: A fresh page.
        url: Of the server.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.errors: list[str] = []
        self.refused: list[int] = []
        """Statuses of replies that were errors; the console repeats each."""
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._look)
        page.on("response", lambda reply: self.refused.append(reply.status) if reply.status >= 400 else None)

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def violations(self) -> list[str]:
        """What axe finds: rule, and where."""
        # Evaluated by the driver, not loaded by the page: the page's own policy stays as it is.
        self.page.evaluate(AXE)
        found: Any = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [f"{one['id']}: {node['html'][:200]}" for one in found["violations"] for node in one["nodes"]]

    def sideways(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning", "assert") and not text.startswith("Failed to load resource"):
            self.errors.append(text)

    def _look(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "about:")):
            self.errors.append(f"a request to another host: {request.url}")


class Session:
    """A session of the browser, for one window after another; what a window stored is gone before the next one opens.

    A page of a new session takes a process of its own to start, .9 s of a processor. As long as another page of this
    session is open, the next one shares that one's process and takes .4 s.
    """

    def __init__(self, browser: Browser) -> None:
        size = {"width": WIDE[0], "height": WIDE[1]}
        self._context = browser.new_context(viewport=size, color_scheme="light", reduced_motion="reduce")  # type: ignore[arg-type]
        self._context.set_default_timeout(60_000)
        self._open = self._context.new_page()

    @contextmanager
    def watched(self, url: str, size: tuple[int, int] = WIDE, *, dark: bool = False) -> Iterator[Watched]:
        """A fresh page that knows nothing of those before."""
        if not self._open.url.startswith("http"):
            self._open.goto(f"{url}/healthz")  # without a page of this site its process would end
        page = self._context.new_page()
        if size != WIDE:
            page.set_viewport_size({"width": size[0], "height": size[1]})
        if dark:
            page.emulate_media(color_scheme="dark")
        try:
            yield Watched(page, url)
        finally:
            for other in self._context.pages:
                if other != self._open:
                    other.close()
            self._forget(url)

    def _forget(self, url: str) -> None:
        """Remove cookies and all that pages of this server stored."""
        self._context.clear_cookies()
        protocol = self._context.new_cdp_session(self._open)
        protocol.send("Storage.clearDataForOrigin", {"origin": url, "storageTypes": "all"})
        protocol.detach()
