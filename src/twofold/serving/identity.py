"""Who sends a request: the holder of an API key, of a provider's token or of a browser's session, or anybody here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

from twofold import asking
from twofold.config import Config
from twofold.errors import BadKey, Forbidden
from twofold.serving.keys import SCOPES, Identity, Key, KeyLimits, Keys, Scope
from twofold.serving.oidc import LOGIN_SECONDS, LOGINS, Login, Provider, looks_like_token
from twofold.serving.sessions import Attempts, Expiring
from twofold.serving.shared_sessions import SharedAttempts, SharedExpiring, holder_json, holder_of
from twofold.store.shared import SharedPlace
from twofold.types import Filter

LOCAL = "local"
"""Name of whoever needs no key."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who sends a request."""

    scope: Scope
    """What they may do."""
    filter: Filter | None
    """What they may see; None where access control is off."""
    id: str = ""
    """As `Identity`; empty where no key is needed."""
    name: str = LOCAL
    """For people."""
    limits: KeyLimits = field(default_factory=KeyLimits)
    """What they may use."""

    def covers(self, scope: Scope) -> bool:
        """May they do what needs this scope?"""
        return SCOPES.index(scope) <= SCOPES.index(self.scope)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a request shows of who sends it."""

    bearer: str | None = None
    """Of the Authorization header."""
    session: str | None = None
    """Of the cookie."""
    proven: bool = False
    """It changes nothing, or a page of this server sent it: only then does a cookie count."""


class Identities:
    """Tells callers apart.

    Args:
        config: Of the project.
        keys: Its API keys.
        shared: The schema in which its servers share sessions; None: each has its own in memory.
    """

    def __init__(self, config: Config, keys: Keys, *, shared: SharedPlace | None = None) -> None:
        self.keys = keys
        oidc = config.serving.oidc
        self.provider = Provider(oidc, logins=_shared_logins(shared) if shared else None) if oidc else None
        """Whose tokens are taken beside the keys."""
        self.threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="twofold-provider")
        """Where callers wait for the provider: nobody else waits behind them."""
        self.sessions = _sessions(config.serving.session_hours * 3600, shared)
        """Logins of browsers, with the key as it was then, or as whom the provider sent them."""
        self.attempts = SharedAttempts(shared) if shared else Attempts()
        """Failed logins."""
        self._config = config

    @property
    def required(self) -> bool:
        """Must every caller say who they are?"""
        return self.provider is not None or self.keys.required

    def waits(self, shown: Credentials) -> bool:
        """May it take a while to tell who this is, so that it is to be done in `threads`?"""
        return self.provider is not None and bool(shown.bearer) and looks_like_token(shown.bearer or "")

    def log_in(self, token: str, address: str) -> str:
        """Begin a session; returns the token of its cookie.

        Args:
            token: An API key.
            address: Where the login comes from.

        Raises:
            BadKey: the key is unknown, expired or revoked.
            OverLimit: too many logins of the address failed.
        """
        # Before the key is looked at: also a right one waits, else the refusal would tell that it is wrong.
        self.attempts.require(address)
        try:
            key = self.keys.check(token)
        except BadKey:
            self.attempts.failed(address)
            raise
        return self.sessions.add(key, owner=key.identity.id)

    def log_out(self, session: str) -> None:
        """End a session."""
        self.sessions.pop(session)

    def caller(self, shown: Credentials, needed: Scope) -> Caller:
        """Who sends a request.

        Args:
            shown: What it shows of that.
            needed: The scope that the address needs.

        Raises:
            BadKey: a key is needed, and there is none or an unusable one.
            Forbidden: the key lacks the scope, or the request may come from a page of another site.
            AccessDenied: access control is enabled, and the key names nobody.
        """
        access = self._config.access
        if not self.required:
            # Whoever sends a key expects that it is checked; a project without keys would let any pass.
            if shown.bearer and shown.bearer.startswith("tf-"):
                raise BadKey("the API key is unknown, expired or revoked")
            # Under access control nobody sees documents without a name; how the server does has nothing of them.
            named = asking.request_filter(self._config, "", ()) if access.enabled and needed != "admin" else None
            return Caller(scope="admin", filter=named)
        identity = self._identity(shown)
        if SCOPES.index(needed) > SCOPES.index(identity.scope):
            raise Forbidden(f"the API key has the scope {identity.scope}, and {needed} is needed")
        named = asking.request_filter(self._config, identity.user, identity.groups) if access.enabled else None
        serving = self._config.serving
        limits = identity.limits.over(KeyLimits(requests=serving.requests_per_minute, tokens=serving.tokens_per_day))
        return Caller(scope=identity.scope, filter=named, id=identity.id, name=identity.name, limits=limits)

    def _identity(self, shown: Credentials) -> Identity:
        # Before the cookie: no browser adds this header by itself, so it needs no proof of its origin.
        if shown.bearer:
            if self.provider is not None and looks_like_token(shown.bearer):
                return self.provider.identity(shown.bearer)
            return self.keys.check(shown.bearer).identity
        if not shown.session:
            raise BadKey("an API key is needed")
        holder = self.sessions.get(shown.session)
        # As the key is now: revoked or rotated since, it ends the session.
        if isinstance(holder, Key):
            key = self.keys.current(holder)
            holder = key.identity if key else None
        if holder is None:
            raise BadKey("the session is over", cure="Log in again at /login.")
        if not shown.proven:
            raise Forbidden(
                "nothing shows that a page of this server sent the request",
                cure="Send the header Origin, or an API key as `Authorization: Bearer KEY` instead of the cookie.",
            )
        return holder


def _sessions(seconds: float, shared: SharedPlace | None) -> Expiring[Key | Identity]:
    if shared is None:
        return Expiring(seconds)
    return SharedExpiring(shared, "session", seconds=seconds, written=holder_json, read=holder_of)


def _shared_logins(shared: SharedPlace) -> Expiring[Login]:
    return SharedExpiring(
        shared, "login", seconds=LOGIN_SECONDS, written=asdict, read=lambda record: Login(**record), each=LOGINS
    )
