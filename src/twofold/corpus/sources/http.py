"""Records of a JSON endpoint, page by page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urljoin, urlsplit

from pydantic import Field

from twofold.corpus.fetching import Fetcher
from twofold.corpus.sources.records import MISSING, RecordOptions, at, items_of
from twofold.errors import ConfigError, SourceEndless, SourceError, SourceUnreachable
from twofold.plugins.results import Item


class HttpSource:
    """One item a record.

    Args:
        options: See `Options`.
        root: Not used.
        scratch: Not used.
        limit: Largest response, in bytes.
    """

    version: ClassVar[int] = 3

    class Options(RecordOptions):
        """Options of the source ``http``."""

        url: str
        """Address that returns JSON."""
        records: str = ""
        """Dotted path to the list of records in the response; empty when the response is the list."""
        next: str = ""
        """Dotted path to the address of the next page; missing on the last page."""
        headers: Mapping[str, str] = Field(default_factory=dict)
        """Headers sent with every request to the host of `url`."""
        token_env: str = ""
        """Environment variable with a token, sent as ``Authorization: Bearer``."""
        timeout: float = Field(default=30.0, gt=0)
        """Longest time for a whole page, in seconds."""
        max_pages: int = Field(default=1000, ge=1)
        """More pages count as an outage, which deletes nothing."""

    def __init__(self, options: Options, *, root: Path, scratch: Path, limit: int) -> None:  # noqa: ARG002
        self._options = options
        self._limit = limit
        self.total = 0

    def items(self, known: Mapping[str, str]) -> Iterator[Item]:  # noqa: ARG002
        """All records, page by page.

        Raises:
            SourceError: a response is not the expected JSON, or the server refuses.
            SourceUnreachable: the server does not respond.
            SourceEndless: too many bytes, seconds or pages.
        """
        options = self._options
        fetcher = Fetcher(seconds=options.timeout, limit=self._limit, headers=self._headers())
        try:
            yield from items_of(self._pages(fetcher), options, where=options.url, called="record")
        finally:
            fetcher.close()

    def _pages(self, fetcher: Fetcher) -> Iterator[Mapping[str, Any]]:
        options = self._options
        here, seen = options.url, set[str]()
        while here:
            if len(seen) >= options.max_pages or here in seen:
                what = "leads in a circle" if here in seen else f"has more than {options.max_pages} pages"
                raise SourceEndless(f"{options.url} {what}", cure="Correct `next`, or raise `max_pages`.")
            seen.add(here)
            answer = self._answer(fetcher, here)
            yield from self._records(answer, here)
            onward = at(answer, options.next) if options.next else None
            here = urljoin(here, onward) if isinstance(onward, str) and onward else ""
            # the headers may hold a token of the first host
            if here and urlsplit(here).netloc != urlsplit(options.url).netloc:
                raise SourceError(f"{options.url} goes on at another host, {urlsplit(here).netloc}")

    def watched(self) -> list[Path]:
        """None: a server cannot be watched."""
        return []

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json", **self._options.headers}
        if self._options.token_env:
            token = os.environ.get(self._options.token_env, "").strip()
            if not token:
                raise ConfigError(
                    f"the environment variable {self._options.token_env} is not set",
                    cure="Set the variable to the token.",
                )
            headers["authorization"] = f"Bearer {token}"
        return headers

    def _answer(self, fetcher: Fetcher, url: str) -> Any:
        response = fetcher.get(url)
        if response.status != 200:
            raise SourceUnreachable(f"{url} answers with status {response.status}")
        try:
            return json.loads(response.body)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{url} does not answer with JSON: {str(error)[:200]}") from error

    def _records(self, answer: Any, url: str) -> list[Mapping[str, Any]]:
        records = at(answer, self._options.records) if self._options.records else answer
        if records is MISSING or not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
            keys = ", ".join(answer) if isinstance(answer, dict) else "none: it is a list"
            raise SourceError(
                f"{url} has no list of records at {self._options.records or 'its top'!r}",
                cure=f"Correct `records` in the source's section; the answer's keys are {keys}.",
            )
        return records
