"""Web pages by a list of addresses or a sitemap, robots.txt respected (RFC 9309)."""

from __future__ import annotations

import json
import logging
import re
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from urllib.parse import urlsplit
from xml.etree import ElementTree

from pydantic import Field, model_validator

from twofold.corpus.fetching import AGENT, Fetcher, Response
from twofold.errors import SourceEndless, SourceError, SourceUnreachable
from twofold.files.reading import writes
from twofold.plugins import protocols
from twofold.plugins.results import Item
from twofold.types import Loaded

log = logging.getLogger(__name__)

_KINDS = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "application/json": ".json",
    "application/pdf": ".pdf",
    "application/epub+zip": ".epub",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}
_WIDER = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252", "ascii": "cp1252"}
"""Declared encoding → the one that such pages really use (WHATWG Encoding)."""
_MOST_DELAY = 30.0
"""Longest wait between requests, in seconds, whatever a robots.txt demands."""
_DEPTH = 3
"""Sitemaps within sitemaps that are read."""
_MOST_MAPS = 1000
"""Most sitemaps of one index; no real site has more."""
_REMOVED = (404, 410)
"""Statuses that mean "this page no longer exists" (RFC 9110); any other failure may be temporary."""
_PROOF = 2
"""Dropped pages from which a sitemap is distrusted, if they are half of the known pages or more."""
_LOOKS = 5
"""Dropped pages that are then requested, evenly spread."""


class WebSource:
    """One item a page. Only changed pages are fetched, by their ETag or date, or by the sitemap's ``lastmod``.

    A removed page (404, 410) and a page that robots.txt forbids are failures and leave the index. Any other failure (a
    server in trouble, a login, a redirect that is not followed, an empty page) proves nothing, and the page stays. All
    pages stay where a sitemap suddenly drops half of them while they still exist.

    Args:
        options: See `Options`.
        root: Not used.
        scratch: Not used.
        limit: Largest page, in bytes.
    """

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        """Options of the source ``web``."""

        urls: tuple[str, ...] = ()
        """Addresses of pages."""
        sitemap: str = ""
        """Address of a sitemap or sitemap index; only pages of its own host, with or without ``www.``, are read."""
        prefixes: tuple[str, ...] = ()
        """Beginnings of addresses; only matching pages of the sitemap are read."""
        max_pages: int = Field(default=5000, ge=1)
        """A sitemap with more pages counts as an outage, which deletes nothing."""
        timeout: float = Field(default=30.0, gt=0)
        """Longest time for a whole page, in seconds."""
        delay: float = Field(default=0.1, ge=0)
        """Seconds between two requests to a host; a robots.txt may demand more (up to 30)."""

        @model_validator(mode="after")
        def _some_page(self) -> WebSource.Options:
            if not self.urls and not self.sitemap:
                raise ValueError("give urls or a sitemap")
            return self

    def __init__(self, options: Options, *, root: Path, scratch: Path, limit: int) -> None:  # noqa: ARG002
        import protego

        self._protego = protego
        self._options = options
        self._limit = limit
        self._rules: dict[str, Any] = {}
        self._maps: set[str] = set()
        self._last: dict[str, float] = {}
        self.total = 0

    def items(self, known: Mapping[str, str]) -> Iterator[Item]:
        """All pages: the list first, then the sitemap's.

        Raises:
            SourceError: the sitemap cannot be fetched or read, or drops pages that still exist.
        """
        self._fetcher = Fetcher(seconds=self._options.timeout, limit=self._limit)
        self._rules.clear()
        self._maps.clear()
        try:
            # a page of `urls` is checked by its validators, even where the sitemap lists it
            pages = dict.fromkeys(self._options.urls, "")
            if self._options.sitemap:
                mapped = self._sitemap(self._options.sitemap, _DEPTH)
                if not mapped:
                    raise SourceUnreachable(
                        f"the sitemap {self._options.sitemap} lists no page that `prefixes` accepts",
                        cure="Correct `sitemap` or `prefixes`, or take the source out; nothing was deleted.",
                    )
                for url, changed in sorted(mapped.items()):
                    pages.setdefault(url, changed)
                self._prove(sorted(known.keys() - pages.keys()), len(known))
            self.total = len(pages)
            for url, changed in pages.items():
                yield self._item(url, changed, known.get(url, ""))
        finally:
            self._fetcher.close()

    def watched(self) -> list[Path]:
        """None: a server cannot be watched."""
        return []

    def _item(self, url: str, changed: str, before: str) -> Item:
        try:
            if changed:
                self._rules_of(url)
                return Item(id=url, state=json.dumps({"lastmod": changed}), load=lambda: self._page(url, {})[0])
            validators = json.loads(before) if before else {}
            headers = {"etag": "if-none-match", "modified": "if-modified-since"}
            loaded, state = self._page(url, {headers[k]: v for k, v in validators.items() if k in headers})
        except SourceError as error:
            failed = error

            def refuse() -> Loaded:
                raise failed

            return Item(id=url, state="", load=refuse)
        if loaded.name:
            return Item(id=url, state=state, load=lambda: loaded)
        return Item(id=url, state=before, load=lambda: self._page(url, {})[0])

    def _page(self, url: str, headers: Mapping[str, str]) -> tuple[Loaded, str]:
        """Fetch a page; return it and its state. An unchanged page comes back without a name."""
        response = self._get(url, headers)
        if response.status == 304 and headers:
            return Loaded(), ""
        if response.status in _REMOVED:
            raise SourceError(
                f"{url} answers with status {response.status}",
                cure="Take the page out of `urls`, or correct its address.",
            )
        if response.status != 200 or not response.body.strip():
            what = "with an empty page" if response.status == 200 else f"with status {response.status}"
            raise SourceUnreachable(f"{url} answers {what}")
        validators = {"etag": response.headers.get("etag"), "modified": response.headers.get("last-modified")}
        state = {key: value for key, value in validators.items() if value}
        return Loaded(name=_name(url, response), data=_marked_utf8(response)), json.dumps(state) if state else ""

    def _get(self, url: str, headers: Mapping[str, str]) -> Response:
        self._allow(url)
        try:
            return self._fetcher.get(url, headers=headers, allowed=self._allow)
        except (SourceUnreachable, SourceEndless):
            raise
        except SourceError as error:  # a refused redirect (a login, the gate of a network) says nothing about the page
            raise SourceUnreachable(error.message, cure=f"{error.cure} Nothing was deleted.") from error

    def _prove(self, lost: Sequence[str], known: int) -> None:
        """Request some of the pages that the sitemap no longer lists, where it dropped many.

        Raises:
            SourceUnreachable: a page still exists, or its server does not respond.
        """
        # a few pages less are usual; half of them at once point to a broken sitemap
        if len(lost) < _PROOF or 2 * len(lost) < known:
            return
        for url in lost[:: -(-len(lost) // _LOOKS)]:
            try:
                self._rules_of(url)
            except SourceUnreachable:
                raise
            except SourceError:  # robots.txt forbids the page
                continue
            if self._get(url, {}).status not in _REMOVED:
                raise SourceUnreachable(
                    f"the sitemap lists {len(lost)} pages fewer than the previous {known}, but {url} still exists",
                    cure="Repair the sitemap; if it is right, run `twofold sync --rebuild`. Nothing was deleted.",
                )

    def _allow(self, url: str) -> None:
        """Check the robots.txt of a host, and wait as long as it demands.

        Raises:
            SourceError: see `_rules_of`.
        """
        host, rules = self._rules_of(url)
        delay = max(self._options.delay, min(rules.crawl_delay(AGENT) or 0.0, _MOST_DELAY))
        wait = self._last.get(host, 0.0) + delay - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self._last[host] = time.monotonic()

    def _rules_of(self, url: str) -> tuple[str, Any]:
        """The host of a page, and its robots.txt, which is fetched once a sync.

        Raises:
            SourceError: robots.txt forbids the page.
            SourceUnreachable: the host is in trouble: then every page counts as forbidden (RFC 9309, 2.3.1.4).
        """
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        if host not in self._rules:
            response = self._fetcher.get(f"{host}/robots.txt")
            # no robots.txt allows everything (RFC 9309)
            text = response.body.decode("utf-8", "replace") if response.status == 200 else ""
            self._rules[host] = self._protego.Protego.parse(text)
        rules = self._rules[host]
        if not rules.can_fetch(url, AGENT):
            raise SourceError(f"the robots.txt of {host} forbids {url}", cure="Leave the page out.")
        return host, rules

    def _sitemap(self, url: str, depth: int) -> dict[str, str]:
        """Address → ``lastmod`` (empty where missing) of the pages in a sitemap, or in all sitemaps of an index."""
        self._maps.add(url)
        response = self._get(url, {})
        if response.status != 200:
            raise SourceUnreachable(f"the sitemap {url} answers with status {response.status}")
        body = _unpacked(response.body, self._limit, url)
        # entities may name files of this machine, or unpack without end
        if b"<!DOCTYPE" in body[:4096] or b"<!ENTITY" in body:
            raise SourceError(f"the sitemap {url} declares entities", cure="Name a sitemap without entities.")
        try:
            top = ElementTree.fromstring(body)
        except ElementTree.ParseError as error:
            raise SourceError(f"the sitemap {url} is not XML: {error}", cure="Correct `sitemap`.") from error
        if top.tag.rsplit("}", 1)[-1] not in ("urlset", "sitemapindex"):
            raise SourceUnreachable(f"what {url} answers is no sitemap, but {top.tag.rsplit('}', 1)[-1]!r}")
        pages: dict[str, str] = {}
        foreign: set[str] = set()
        for entry in top:
            values = {child.tag.rsplit("}", 1)[-1]: (child.text or "").strip() for child in entry}
            place = values.get("loc", "")
            if not place:
                continue
            if _bare(place) != _bare(url):
                foreign.add(urlsplit(place).netloc)
                continue
            if top.tag.endswith("sitemapindex"):
                if place in self._maps:
                    continue
                if depth < 2 or len(self._maps) >= _MOST_MAPS:
                    what = f"{_DEPTH} deep" if depth < 2 else f"of more than {_MOST_MAPS} sitemaps"
                    raise SourceEndless(f"the sitemap {url} is an index {what}", cure="Name one of its sitemaps.")
                pages.update(self._sitemap(place, depth - 1))
            elif not self._options.prefixes or place.startswith(self._options.prefixes):
                pages[place] = values.get("lastmod", "")
            if len(pages) > self._options.max_pages:
                raise SourceEndless(
                    f"the sitemap {url} lists more than {self._options.max_pages} pages", cure="Raise `max_pages`."
                )
        if foreign and not pages:
            raise SourceUnreachable(
                f"the sitemap {url} lists only pages of other hosts: {', '.join(sorted(foreign)[:3])}",
                cure="Set `sitemap` to the sitemap of the host itself; nothing was deleted.",
            )
        if foreign:
            log.warning("%s names pages of other hosts, which are left out: %s", url, ", ".join(sorted(foreign)[:3]))
        return pages


def _marked_utf8(response: Response) -> bytes:
    """The bytes of a page; text in the encoding of the response header is converted to UTF-8 with a byte-order mark.

    The header has precedence over a declaration in the page itself (HTML Living Standard, 13.2.3.1). Bytes that are
    not valid in that encoding stay as they are.
    """
    kind = Message()
    kind["content-type"] = response.headers.get("content-type", "")
    charset = str(kind.get_param("charset") or "").strip().lower()
    known = _WIDER.get(charset, charset)
    if not writes(known) or response.body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return response.body
    if not (kind.get_content_maintype() == "text" or kind.get_content_subtype().endswith(("xml", "json"))):
        return response.body
    try:
        return b"\xef\xbb\xbf" + response.body.decode(known).encode()
    except (LookupError, ValueError):
        return response.body


def _bare(address: str) -> str:
    """The host of an address without ``www.`` and the default port: both names belong to one site."""
    parts = urlsplit(address)
    host = parts.netloc.lower().rpartition("@")[2]
    host = host.removesuffix({"http": ":80", "https": ":443"}.get(parts.scheme, " "))
    return host.removeprefix("www.")


def _name(url: str, response: Response) -> str:
    """A file name for the reader: the address as a path, with the ending that fits its media type."""
    kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
    path = PurePosixPath(urlsplit(response.url).path)
    ending = _KINDS.get(kind, "")
    plain = kind in ("", "text/plain", "application/octet-stream")
    if path.suffix and (plain or not ending):
        ending = path.suffix
    name = re.sub("/+", "/", url.partition("://")[2]).rstrip("/")
    return name if ending and name.lower().endswith(ending.lower()) else f"{name}{ending or '.html'}"


def _unpacked(body: bytes, limit: int, url: str) -> bytes:
    if not body.startswith(b"\x1f\x8b"):
        return body
    # 31: the gzip format
    state = zlib.decompressobj(31)
    try:
        # one byte more than the limit tells that there is more, without unpacking it
        plain = state.decompress(body, limit + 1)
    except zlib.error as error:
        raise SourceError(f"the sitemap {url} is damaged: {error}", cure="Correct `sitemap`.") from error
    if len(plain) > limit:
        raise SourceEndless(f"the sitemap {url} has more than {limit} bytes")
    return plain
