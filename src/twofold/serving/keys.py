"""API keys: made, checked, revoked, rotated. Only digests are stored.

A key is ``tf-ID-SECRET``. The secret has 256 random bits, so its SHA-256 needs no salt and nothing can be guessed from
it. A key has a scope, may expire, and under access control names the user and groups that ask with it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from twofold.answering import access
from twofold.errors import BadKey, ConfigError, StoreError, UnknownName
from twofold.store.kept_texts import FileText, Text, text_of
from twofold.store.shared import SharedPlace

Scope = Literal["ask", "curate", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""Each scope contains those before it."""
Kind = Literal["requests", "tokens"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KEYS = "serving/keys.json"
"""File of the keys in a project."""
_PREFIX = "tf"
_MOST_DAYS = 36_500
"""A century; far later dates are none that a calendar has."""


@dataclass(frozen=True, kw_only=True)
class KeyLimits:
    """What a caller may use; 0: no limit, None: what the settings say."""

    requests: int | None = None
    """Requests in a minute."""
    tokens: int | None = None
    """Tokens in a day, read and written."""

    def of(self, kind: Kind) -> int:
        """The limit of a kind; 0 for none."""
        return (self.requests if kind == "requests" else self.tokens) or 0

    def over(self, settings: KeyLimits) -> KeyLimits:
        """These, and those of the settings where these say nothing."""
        return KeyLimits(
            requests=settings.requests if self.requests is None else self.requests,
            tokens=settings.tokens if self.tokens is None else self.tokens,
        )


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Somebody who may ask."""

    id: str
    """``key:ID``, or ``oidc:SUBJECT``."""
    name: str
    """For people: the user, or the name of the key."""
    scope: Scope
    """What they may do."""
    user: str = ""
    """Who they are under access control."""
    groups: tuple[str, ...] = ()
    """Groups of theirs."""
    limits: KeyLimits = KeyLimits()
    """What they may use."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """The record of an API key."""

    id: str
    """Its public part."""
    name: str
    """For people."""
    digest: str
    """SHA-256 of the secret."""
    scope: Scope = "ask"
    """What it may do; see `SCOPES`."""
    user: str = ""
    """The user who asks with it."""
    groups: tuple[str, ...] = ()
    """Groups of that user."""
    made_at: str = ""
    """ISO time."""
    expires: str = ""
    """ISO time from which it is refused; empty for never."""
    revoked: str = ""
    """ISO time at which it was revoked; empty for a valid key."""
    requests_per_minute: int | None = None
    """Most requests; 0 for no limit, None for that of the settings."""
    tokens_per_day: int | None = None
    """Most tokens; 0 for no limit, None for that of the settings."""

    @property
    def identity(self) -> Identity:
        """Who asks with it."""
        name = self.user or self.name
        limits = KeyLimits(requests=self.requests_per_minute, tokens=self.tokens_per_day)
        return Identity(
            id=f"key:{self.id}", name=name, scope=self.scope, user=self.user, groups=self.groups, limits=limits
        )

    def covers(self, scope: Scope) -> bool:
        """Does the key's scope contain this one?"""
        return SCOPES.index(scope) <= SCOPES.index(self.scope)

    def usable(self, now: datetime) -> bool:
        """Is it neither revoked nor expired?"""
        return not self.revoked and (not self.expires or now < datetime.fromisoformat(self.expires))


class Keys:
    """The keys of a project, in a text that other processes change while a server reads it.

    Args:
        place: The text, or its file; made with the first key.
        now: The clock.
    """

    def __init__(self, place: Path | Text, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._text: Text = FileText(place) if isinstance(place, Path) else place
        self.place = self._text.place
        """Where they lie: the file, or the schema."""
        self._now = now
        self._read: tuple[object, dict[str, Key]] = (None, {})

    def all(self) -> list[Key]:
        """Every key ever made, oldest first."""
        return list(self._keys().values())

    @property
    def required(self) -> bool:
        """Is a key needed? From the first one that was ever made on."""
        return bool(self._keys())

    def usable(self) -> list[Key]:
        """The keys that are neither revoked nor expired."""
        return [key for key in self.all() if key.usable(self._now())]

    def check(self, token: str) -> Key:
        """The key of a token.

        Raises:
            BadKey: the token is not that of a usable key; the message is the same whatever is wrong with it.
        """
        prefix, _, rest = token.partition("-")
        name, _, secret = rest.partition("-")
        key = self._keys().get(name) if prefix == _PREFIX else None
        # Compared even where there is no such key, so that the time tells nothing.
        expected = key.digest if key else hashlib.sha256(b"").hexdigest()
        same = hmac.compare_digest(_digest(secret), expected)
        if key is None or not same or not key.usable(self._now()):
            raise BadKey("the API key is unknown, expired or revoked")
        return key

    def current(self, key: Key) -> Key | None:
        """The key as it is now; None where it is no longer usable, or has another secret."""
        now = self._keys().get(key.id)
        return now if now and now.digest == key.digest and now.usable(self._now()) else None

    def add(
        self,
        name: str,
        *,
        scope: Scope = "ask",
        user: str = "",
        groups: Sequence[str] = (),
        days: float = 0,
        limits: KeyLimits = KeyLimits(),
    ) -> tuple[Key, str]:
        """Make a key.

        Args:
            name: For people.
            scope: What it may do.
            user: Who asks with it.
            groups: Groups of theirs.
            days: Days until it expires; 0 for never.
            limits: What may be used with it.

        Returns:
            Its record, and the token, which is stored nowhere.

        Raises:
            ConfigError: the name is empty or the days are not positive.
            AccessDenied: user or groups are not valid names.
        """
        if not name.strip() or not name.isprintable():
            raise ConfigError(f"the key's name {name!r} is empty or not printable", cure="Give the key a name.")
        # Written this way round, it refuses what is no number, too.
        if not 0 <= days <= _MOST_DAYS:
            raise ConfigError(
                f"a key cannot expire in {days} days", cure=f"Give a number up to {_MOST_DAYS}, or 0 for never."
            )
        if user or groups:
            access.principal(user, groups)
        secret = secrets.token_urlsafe(32)
        now = self._now()
        key = Key(
            # No dash in it: the token is cut at its dashes, and the secret may hold some.
            id=secrets.token_hex(4),
            name=name,
            digest=_digest(secret),
            scope=scope,
            user=user,
            groups=tuple(groups),
            made_at=now.isoformat(timespec="seconds"),
            expires=(now + timedelta(days=days)).isoformat(timespec="seconds") if days else "",
            requests_per_minute=limits.requests,
            tokens_per_day=limits.tokens,
        )
        with self._changing() as keys:
            keys[key.id] = key
        return key, _token(key, secret)

    def revoke(self, name: str) -> Key:
        """Make a key unusable, at once and for good.

        Raises:
            UnknownName: there is no such key.
        """
        with self._changing() as keys:
            key = _named(keys, name)
            # Never removed: the log of use names it, and a file without keys would open the server to all.
            keys[name] = replace(key, revoked=key.revoked or self._now().isoformat(timespec="seconds"))
            return keys[name]

    def rotate(self, name: str) -> tuple[Key, str]:
        """Give a usable key another secret; the old one is refused at once.

        Raises:
            UnknownName: there is no such key, or the key is revoked.
        """
        secret = secrets.token_urlsafe(32)
        with self._changing() as keys:
            key = _named(keys, name)
            if key.revoked:
                raise UnknownName(f"the key {name!r} is revoked", cure="Make another one with `twofold keys add`.")
            keys[name] = replace(key, digest=_digest(secret))
            return keys[name], _token(key, secret)

    def _keys(self) -> dict[str, Key]:
        # No text alone means that there are no keys: another fault must not open the server.
        state = self._text.state()
        if state is None:
            return {}
        if self._read[0] != state:
            try:
                rows = json.loads(self._text.read())["keys"]
                keys = {row["id"]: Key(**{**row, "groups": tuple(row["groups"])}) for row in rows}
            except (ValueError, LookupError, TypeError) as error:
                cure = "Restore it from a copy, or make new keys."
                raise StoreError("the file of API keys is damaged", file=self._text.place, cure=cure) from error
            self._read = (state, keys)
        return self._read[1]

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        with self._text.changing() as write:
            # Read within the block: another command may have added one a moment ago.
            keys = dict(self._keys())
            yield keys
            write(json.dumps({"keys": [asdict(key) for key in keys.values()]}, indent=1) + "\n")


def keys_of(root: Path, place: SharedPlace | None) -> Keys:
    """The keys of a project.

    Args:
        root: Its folder.
        place: The schema that it has instead of files; None for a file.
    """
    return Keys(text_of(root, KEYS, place))


def _named(keys: dict[str, Key], name: str) -> Key:
    if name not in keys:
        raise UnknownName(f"unknown key {name!r}", cure="Name a key by its id; `twofold keys list` lists them.")
    return keys[name]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _token(key: Key, secret: str) -> str:
    return f"{_PREFIX}-{key.id}-{secret}"
