"""A live tool that queries a JSON endpoint, such as a weather service.

Arguments are percent-encoded into the path and query of the address, never into its host. Redirects go only to allowed
hosts. Private, loopback and link-local addresses are refused unless `private` is set; the address of the open
connection is checked, too, so that a hostile name server of an allowed host is kept out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from pydantic import Field, model_validator

from twofold.corpus.fetching import Fetcher
from twofold.corpus.sources.records import MISSING, at
from twofold.errors import SourceError
from twofold.retrieval.tools.live import LiveOptions, LiveTool, declared, environment


class HttpTool(LiveTool):
    """One address with parameters; see `LiveTool`."""

    version: ClassVar[int] = 1

    class Options(LiveOptions):
        """Options of the tool ``http``."""

        url: str
        """Address with parameters such as ``{city}`` in its path or query."""
        records: str = ""
        """Dotted path to the record, or the list of records, in the response; empty for the whole response."""
        fields: Mapping[str, str] = Field(default_factory=dict)
        """Name shown → dotted path in the record; empty: all plain fields of the record."""
        hosts: tuple[str, ...] = ()
        """Further hosts to which the endpoint may redirect."""
        private: bool = False
        """Allow addresses in private networks and on this machine."""
        headers: Mapping[str, str] = Field(default_factory=dict)
        """Headers sent to the host of `url`."""
        token_env: str = ""
        """Environment variable with a token, sent as ``Authorization: Bearer``."""

        @model_validator(mode="after")
        def _plain_host(self) -> HttpTool.Options:
            parts = urlsplit(self.url)
            if (
                parts.scheme not in ("http", "https")
                or not parts.hostname
                or "{" in parts.netloc
                or "@" in parts.netloc
            ):
                raise ValueError("`url` must be an http or https address with a fixed host and no password")
            # in path and query only: an argument in the host could name any server
            declared(re.findall(r"{(\w+)}", self.url), self.parameters)
            return self

    def fetch(self, arguments: Mapping[str, Any], seconds: float) -> list[Mapping[str, Any]]:
        """Fetch the records for these arguments.

        Raises:
            SourceUnreachable: no connection, or the server is in trouble.
            SourceEndless: too many bytes or seconds.
            SourceError: a refusal, a forbidden redirect or address, or unexpected JSON.
        """
        options = self.options
        url = re.sub(r"{(\w+)}", lambda match: _encoded(arguments[match.group(1)]), options.url)
        # the token is read from the environment at each call, and stored nowhere
        headers = {"accept": "application/json", **options.headers}
        if options.token_env:
            headers["authorization"] = f"Bearer {environment(options.token_env)}"
        fetcher = Fetcher(
            seconds=seconds, limit=options.max_bytes, headers=headers, hosts=options.hosts, private=options.private
        )
        try:
            reply = fetcher.get(url, allowed=self._check)
        finally:
            fetcher.close()
        # not found: an answer without records, no fault of the endpoint
        if reply.status == 404:
            return []
        if reply.status != 200:
            raise SourceError(f"the endpoint answers with status {reply.status}", cure="Check `url` and the token.")
        try:
            answer = json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"the endpoint does not answer with JSON: {str(error)[:120]}") from error
        return self._records(answer)

    def _records(self, answer: Any) -> list[Mapping[str, Any]]:
        options = self.options
        body = at(answer, options.records) if options.records else answer
        records = body if isinstance(body, list) else [body]
        if body is MISSING or not all(isinstance(record, dict) for record in records):
            raise SourceError(
                f"the answer contains no record at {options.records or 'its top'!r}", cure="Correct `records`."
            )
        if not options.fields:
            return [_plain_fields(record) for record in records]
        selected: list[Mapping[str, Any]] = []
        for record in records:
            taken = {name: at(record, path) for name, path in options.fields.items()}
            missing = [options.fields[name] for name, value in taken.items() if value is MISSING]
            if missing:
                raise SourceError(f"the answer has no field {', '.join(missing)}", cure="Correct `fields`.")
            selected.append(taken)
        return selected

    def _check(self, url: str) -> None:
        parts, home = urlsplit(url), urlsplit(self.options.url)
        host = parts.hostname or ""
        if host != home.hostname and host not in self.options.hosts:
            raise SourceError(f"the endpoint redirects to another host, {host}", cure="Name the host in `hosts`.")
        # the arguments would go on unencrypted
        if home.scheme == "https" and parts.scheme != "https":
            raise SourceError("the endpoint redirects from https to http", cure="Correct `url`.")


def _plain_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if not isinstance(value, (dict, list))}


def _encoded(value: object) -> str:
    """A value for an address; dots alone would walk its path."""
    text = quote(str(value), safe="")
    if text.strip(".") == "":
        raise SourceError("the argument consists of dots only", cure="Use another value.")
    return text
