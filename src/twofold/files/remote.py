"""A folder in an object store: whole objects, written once or on condition that nobody wrote them meanwhile.

By `obstore`, the binding of the library that Lance itself reads and writes with: one set of settings and credentials
holds for both, and its conditional writes are those of S3, Google Cloud Storage and Azure alike.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from twofold.errors import DatabaseRefused, DatabaseUnreachable, MissingExtra, StoreError, install

_RETRIES = 3
"""Times that a request is tried again that a busy or failing store did not answer; the library's ten take minutes."""
_PATIENCE = timedelta(seconds=20)
"""After that long a request is not tried again."""
_ANSWER = timedelta(seconds=30)
"""Longest wait for an answer. A data file's upload is in parts, so that no single request is long."""
_CONNECT = timedelta(seconds=5)
"""Longest wait for a connection: an address where nobody listens must not hold up a command for long."""
_GONE = re.compile(r"NoSuchBucket|specified bucket does not exist|container does not exist", re.IGNORECASE)
_DENIED = re.compile(
    r"\b40[13] (?:Forbidden|Unauthorized)|AccessDenied|Access Denied|InvalidAccessKeyId|SignatureDoesNotMatch|"
    r"AuthorizationHeaderMalformed|InvalidToken|lacks? valid authentication|lacks the necessary permissions|"
    r"CredentialsNotLoaded|no credentials|not able to load credentials|missing credentials",
    re.IGNORECASE,
)
_EXPIRED = re.compile(r"ExpiredToken|TokenRefreshRequired|RequestExpired|expired", re.IGNORECASE)
_SKEWED = re.compile(r"RequestTimeTooSkewed", re.IGNORECASE)
_SILENT = re.compile(
    r"error sending request|connection (?:refused|reset|closed)|connect(?:ion)? error|timed? ?out|dns error|"
    r"failed to lookup|\b5\d\d (?:[A-Z][a-z]+|<unknown)|SlowDown|InternalError|ServiceUnavailable|"
    r"after \d+ retries|max_retries|retry_timeout|Generic \w+ error",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of an object store. Nothing is asked before the first call of a method."""

    url: str
    """``s3://BUCKET/FOLDER``, also of ``gs`` or ``az``."""
    endpoint: str = ""
    """Address of an S3-compatible store that is not Amazon's; empty: as the environment says."""
    root: str = ""
    """The folder whose one writer writes here, too (`store.lease`); empty for this one."""

    def __truediv__(self, name: str) -> RemoteFolder:
        """A folder within, with the same writer."""
        if not name:
            return self
        return RemoteFolder(f"{self.url.rstrip('/')}/{name}", endpoint=self.endpoint, root=self.root or self.url)

    def __str__(self) -> str:
        """The address."""
        return self.url

    @property
    def top(self) -> RemoteFolder:
        """The folder that has the writer's lease."""
        return RemoteFolder(self.root, endpoint=self.endpoint) if self.root else self

    @property
    def bucket(self) -> str:
        """The bucket's name, for messages."""
        return self.url.split("://", 1)[1].partition("/")[0]

    @property
    def settings(self) -> dict[str, str]:
        """Options for Lance, as strings."""
        values = {
            "client_max_retries": str(_RETRIES),
            "client_retry_timeout": str(int(_PATIENCE.total_seconds())),
            "timeout": f"{int(_ANSWER.total_seconds())}s",
            "connect_timeout": f"{int(_CONNECT.total_seconds())}s",
        }
        if self.url.startswith("s3://"):
            values |= {f"aws_{name}": value for name, value in self._config.items()}
        if self._plain:
            values["allow_http"] = "true"
        return values

    @property
    def _config(self) -> dict[str, str]:
        """What obstore does not read in the environment by itself, or reads otherwise than Amazon's tools."""
        if not self.url.startswith("s3://"):
            return {}
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        # Stores that are not Amazon's have no regions, and the signature needs one.
        config = {"region": region or ("us-east-1" if self._address else "")}
        config["endpoint"] = self._address
        return {name: value for name, value in config.items() if value}

    @property
    def _address(self) -> str:
        return self.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3", "") or os.environ.get("AWS_ENDPOINT_URL", "")

    @property
    def _plain(self) -> bool:
        return self._address.startswith("http://")

    @cached_property
    def _store(self) -> Any:
        try:
            from obstore.store import from_url
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f"{self.url} is in an object store, and the package 'obstore' is not installed",
                cure=install("scale"),
            ) from error
        client = {"timeout": _ANSWER, "connect_timeout": _CONNECT, "allow_http": self._plain}
        retries = {"max_retries": _RETRIES, "retry_timeout": _PATIENCE}
        config: Any = self._config
        return from_url(self.url, config=config, client_options=client, retry_config=retries)

    # ------------------------------------------------------------ objects

    def read(self, name: str) -> tuple[bytes, str] | None:
        """An object's content and its tag, which changes with it; None where there is none.

        Raises:
            DatabaseUnreachable, DatabaseRefused: the store does not answer, or refuses.
        """
        import obstore

        with self.asking(f"{name} cannot be read"):
            try:
                answer = obstore.get(self._store, name)
                return bytes(answer.bytes()), str(answer.meta["e_tag"] or "")
            except FileNotFoundError as error:
                if _GONE.search(str(error)):
                    raise
                return None

    def write(self, name: str, content: bytes, *, instead_of: str | None = None) -> str | None:
        """Write an object on condition; returns its new tag, or None where the condition does not hold.

        Args:
            name: Its name in this folder.
            content: The whole content.
            instead_of: Write only in place of the content with this tag; None: only where there is no such object.

        Raises:
            DatabaseUnreachable, DatabaseRefused: the store does not answer, or refuses.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        put = obstore.put
        mode: Any = "create" if instead_of is None else {"e_tag": instead_of}
        with self.asking(f"{name} cannot be written"):
            try:
                return str(put(self._store, name, content, mode=mode)["e_tag"] or "")
            except (AlreadyExistsError, PreconditionError) as error:
                # A bucket that is gone has no such content either.
                if _GONE.search(str(error)):
                    raise
                return None
            except FileNotFoundError as error:
                if instead_of is None or _GONE.search(str(error)):
                    raise
                return None

    def age(self, name: str) -> float | None:
        """Seconds since an object was written, by the store's own clock; None where there is none.

        What the store's clock says now is the time of an object written for it: the clock of this machine may be wrong.
        """
        import obstore

        with self.asking(f"{name} cannot be read"):
            try:
                written: datetime = obstore.head(self._store, name)["last_modified"]
            except FileNotFoundError as error:
                if _GONE.search(str(error)):
                    raise
                return None
            clock, put = f"{name}.clock", obstore.put
            put(self._store, clock, b"")
            now: datetime = obstore.head(self._store, clock)["last_modified"]
            return (now - written).total_seconds()

    def sizes(self) -> dict[str, int]:
        """Name below this folder → bytes, of all objects."""
        import obstore

        listed: dict[str, int] = {}
        with self.asking("it cannot be listed"):
            for page in obstore.list(self._store):
                listed.update({str(entry["path"]): int(entry["size"]) for entry in page})
        return listed

    def clear(self) -> None:
        """Delete all objects below this folder."""
        import obstore

        names = list(self.sizes())
        with self.asking("it cannot be emptied"):
            for start in range(0, len(names), 1000):
                obstore.delete(self._store, names[start : start + 1000])

    def delete(self, names: list[str]) -> None:
        """Delete objects; those that are not there are no error."""
        import obstore

        with self.asking("objects cannot be deleted"):
            if names:
                obstore.delete(self._store, names)

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Convert the errors of a client of the store into ours."""
        try:
            yield
        except ImportError:
            raise
        # The client's exceptions share no parent but this one; what is no refusal or silence is a plain StoreError.
        except Exception as error:
            if isinstance(error, StoreError):
                raise
            raise self.explained(error) or StoreError(f"{what}: {reason(error)}", file=self.url) from error

    def explained(self, error: Exception) -> StoreError | None:
        """A refusal or silence of the store as an error that names the bucket and a cure; None for other errors."""
        text = _whole(error)
        where = f"at {self._address}" if self._address else "of this account and region"
        if _GONE.search(text):
            return DatabaseRefused(
                f"there is no bucket {self.bucket!r} {where}",
                file=self.url,
                cure=f"Create the bucket {self.bucket}, or correct [scale].index and [scale].endpoint.",
            )
        if _SKEWED.search(text):
            return DatabaseRefused(
                f"the store of the bucket {self.bucket!r} refuses requests: this machine's clock is wrong",
                file=self.url,
                cure="Set the clock of this machine, then run the command again.",
            )
        if _EXPIRED.search(text) and _DENIED.search(text + " AccessDenied" * ("ExpiredToken" in text)):
            return DatabaseRefused(
                f"the credentials for the bucket {self.bucket!r} have expired",
                file=self.url,
                cure="Renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, then run the command "
                "again: what was committed is kept.",
            )
        if _DENIED.search(text):
            return DatabaseRefused(
                f"the bucket {self.bucket!r} refuses these credentials: {reason(error)}",
                file=self.url,
                cure="Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and allow the account to list the bucket and "
                "to read, write and delete objects below the folder.",
            )
        if _SILENT.search(text):
            return DatabaseUnreachable(
                f"the object store of the bucket {self.bucket!r} does not answer {where}: {reason(error)}",
                file=self.url,
                cure="Check [scale].endpoint (or AWS_ENDPOINT_URL) and the network, then run the command again: what "
                "was committed is kept.",
            )
        return None


def reason(error: Exception) -> str:
    """The first line of an error, in short."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def _whole(error: Exception) -> str:
    """An error's text and that of its causes, which the libraries write into one or the other."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(texts) < 5:
        texts.append(str(cause))
        cause = cause.__cause__
    return "\n".join(texts)
