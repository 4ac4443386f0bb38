"""Tokens of an OpenID Connect provider: checked with its published keys, and got for browsers by its login.

The provider is the one that the settings name. Its addresses come from its discovery document alone, never from a
token, and only those on its own host may be private. Tokens are checked by PyJWT with asymmetric signatures only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from twofold.answering import access
from twofold.corpus.fetching import Fetcher, Response
from twofold.errors import AccessDenied, BadKey, Forbidden, IssuerDown, SourceError
from twofold.serving.keys import SCOPES, Identity, Scope
from twofold.serving.sessions import Expiring, network
from twofold.settings.sections import OidcSection
from twofold.types import Json

log = logging.getLogger(__name__)

FRESH = 3600.0
"""Seconds after which the provider's keys are read again."""
AGAIN = 15.0
"""Least seconds between two looks at the provider, whatever keys callers name."""
STALE = 24 * 3600.0
"""Seconds for which the keys count while the provider cannot be reached."""
LOGIN_SECONDS = 600.0
"""Seconds in which a login that was begun must come back."""
LOGINS = 1000
"""Most logins under way from one address: nobody ends everybody else's by beginning more and more."""
_SECONDS = 5.0
_BYTES = 1024 * 1024
_TOKEN = 16 * 1024
"""Most characters of a token."""
_KINDS = frozenset(["RSA", "EC", "OKP"])
"""Kinds of keys that have a public half."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """A browser's login under way."""

    nonce: str
    """Ties the provider's answer to it."""
    verifier: str
    """PKCE: shows that who fetches the token began the login."""
    redirect: str
    """Where the provider sends the browser back to."""
    onward: str
    """Where the browser goes then."""


@dataclass(frozen=True, kw_only=True)
class _Published:
    """What the provider publishes."""

    document: Json
    """Its discovery document."""
    keys: tuple[Json, ...]
    """Its public keys as JWKs."""
    at: float


class Provider:
    """The provider that the settings name.

    Args:
        settings: Of the provider.
        now: The clock that says how old the provider's keys are; it must not jump.
        logins: Where logins under way are stored; None: in memory.
    """

    def __init__(
        self,
        settings: OidcSection,
        *,
        now: Callable[[], float] = time.monotonic,
        logins: Expiring[Login] | None = None,
    ) -> None:
        self.settings = settings
        self.failure = ""
        """Why the provider's keys could not be read the last time; empty where they were."""
        self.logins: Expiring[Login] = logins or Expiring(LOGIN_SECONDS, each=LOGINS, now=now)
        """Logins under way."""
        self._now = now
        self._published: _Published | None = None
        self._looked = float("-inf")
        self._looking = threading.Lock()

    def identity(self, token: str) -> Identity:
        """Who sends a token.

        Raises:
            BadKey: the token is not valid here.
            Forbidden: its scope claim names no scope.
            IssuerDown: the provider's keys cannot be had.
        """
        return self._identity(self._claims(token, self.settings.audience))

    # ------------------------------------------------------------ browsers

    def begin(self, redirect: str, onward: str, *, address: str = "") -> tuple[str, str]:
        """Begin a browser's login.

        Args:
            redirect: The address of this server that the provider sends the browser back to.
            onward: Where the browser goes then.
            address: Where the browser is.

        Returns:
            The provider's address that the browser goes to, and the login's state, which its cookie must hold.

        Raises:
            IssuerDown: the provider cannot be reached.
        """
        verifier = secrets.token_urlsafe(48)
        nonce = secrets.token_urlsafe(24)
        # Redirect and onward stay here: from the address of the return anybody could change them.
        login = Login(nonce=nonce, verifier=verifier, redirect=redirect, onward=onward)
        state = self.logins.add(login, owner=network(address))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        there = self._address(self._current().document, "authorization_endpoint")
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect,
            "scope": " ".join(self.settings.login_scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            # Never `plain`, by which whoever reads the browser's address has the verifier.
            "code_challenge_method": "S256",
        }
        return f"{there}{'&' if urlsplit(there).query else '?'}{urlencode(query)}", state

    def complete(self, state: str, code: str, *, issuer: str = "") -> tuple[Identity, str]:
        """Who a browser comes back as, and where it goes on to; a state is good for one attempt.

        Args:
            state: Of the login, which the browser's cookie and the provider's answer both hold.
            code: Of the provider's answer.
            issuer: Whoever that answer says it is from; empty where it does not say.

        Raises:
            BadKey: no such login is under way, or the provider's token is not of it.
            Forbidden: the token's scope claim names no scope.
            IssuerDown: the provider does not answer.
        """
        # Popped before anything is checked: no attempt can be repeated.
        login = self.logins.pop(state)
        # RFC 9207: an answer of another provider is refused (mix-up).
        if login is None or not code or (issuer and issuer != self.settings.issuer):
            raise BadKey("the login was not begun here, or too long ago", cure="Log in again.")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": login.redirect,
            "client_id": self.settings.client_id,
            "code_verifier": login.verifier,
        }
        claims = self._claims(self._fetched_token(form), self.settings.client_id)
        # A token for several audiences names in `azp` which of them it was made for.
        party = claims.get("azp", self.settings.client_id)
        if not secrets.compare_digest(str(claims.get("nonce", "")).encode(), login.nonce.encode()) or (
            party != self.settings.client_id
        ):
            raise BadKey("the provider's token is not of this login", cure="Log in again.")
        return self._identity(claims), login.onward

    def _fetched_token(self, form: dict[str, str]) -> str:
        document = self._current().document
        headers = {"accept": "application/json"}
        if self.settings.client_secret_env:
            secret = os.environ.get(self.settings.client_secret_env, "").strip()
            # The default of the discovery's specification where a provider does not say.
            methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
            if "client_secret_basic" in methods:
                # Quoted before the base64, as OAuth 2.0 has it: a secret may hold a colon.
                pair = f"{quote(self.settings.client_id, safe='')}:{quote(secret, safe='')}"
                headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            else:
                form = {**form, "client_secret": secret}
        reply = self._fetch(self._address(document, "token_endpoint"), form=form, headers=headers)
        token = _object(reply).get("id_token") if reply.status == 200 else None
        if not isinstance(token, str):
            # The status alone: the body may repeat the code or the secret.
            log.warning("the identity provider's token endpoint answered with status %d", reply.status)
            raise BadKey("the provider gave no token for the login", cure="Log in again.")
        return token

    # ------------------------------------------------------------ tokens

    def _claims(self, token: str, audience: str) -> Json:
        """The claims of a valid token; nothing of an invalid one decides anything but which key is looked for."""
        import jwt

        settings = self.settings
        try:
            # Before anything is decoded: a stranger chooses its length.
            if len(token) > _TOKEN:
                raise jwt.InvalidTokenError("too long")
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            # By the settings, never by the token: "none", or HS256 with the public key as its secret, would pass.
            if algorithm not in settings.algorithms:
                raise jwt.InvalidAlgorithmError("not taken")
            key = self._key(header.get("kid"), algorithm)
            claims: Json = jwt.decode(
                token,
                jwt.PyJWK(key, algorithm=algorithm).key,
                algorithms=[algorithm],
                audience=audience,
                issuer=settings.issuer,
                leeway=settings.leeway,
                # PyJWT checks a claim only where it is there: a token without `exp` would be good for ever.
                options={"require": ["exp", "iat", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except jwt.ExpiredSignatureError as error:
            raise BadKey("the token has expired", cure="Get another one from the identity provider.") from error
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            cure = "Send a token of the identity provider that is made for this server."
            raise BadKey("the token is not valid here", cure=cure) from error
        return claims

    def _key(self, name: object, algorithm: str) -> Json:
        """The key that a token names; one that is not known is looked for at the provider, once in a while."""
        import jwt

        # Providers change their keys: one that is not known may be new.
        for fresh in (False, True):
            keys = [key for key in self._current(fresh=fresh).keys if _fits(key, algorithm)]
            named = [key for key in keys if key.get("kid") == name] if name is not None else keys
            # Of several without a name none is guessed.
            if len(named) == 1:
                return named[0]
        raise jwt.InvalidKeyError("no such key")

    def _identity(self, claims: Json) -> Identity:
        settings = self.settings
        user = _claim(claims, settings.user_claim)
        if not isinstance(user, str) or not user.strip() or not user.isprintable():
            raise BadKey("the token names no user", cure="Name the claim with the user in [serving.oidc].user_claim.")
        groups = _words(_claim(claims, settings.groups_claim), separated=False)
        return Identity(
            # By the subject, which never changes, so that a new name gives nobody a fresh budget.
            id=f"oidc:{claims['sub']}",
            name=user,
            scope=self._scope(claims),
            user=user,
            groups=tuple(group for group in groups if _nameable(group)),
        )

    def _scope(self, claims: Json) -> Scope:
        if not self.settings.scopes:
            return "ask"
        # A scope is a list or, as OAuth has it, words in one string; a group's name may hold a blank.
        words = _words(_claim(claims, self.settings.scope_claim), separated=True)
        scopes = [self.settings.scopes[word] for word in words if word in self.settings.scopes]
        if not scopes:
            raise Forbidden("the token gives no scope", cure="Ask for one that [serving.oidc].scopes names.")
        return max(scopes, key=SCOPES.index)

    # ------------------------------------------------------------ what the provider publishes

    def _current(self, *, fresh: bool = False) -> _Published:
        """What the provider publishes, read again where it is old, or `fresh` is wanted, but not at every request.

        One caller at a time waits for the provider; the others go on with what is there.
        """
        published, now = self._published, self._now()
        if (published is None or fresh or now - published.at > FRESH) and now - self._looked >= AGAIN:
            # The first callers of all have nothing to go on with.
            if self._looking.acquire(blocking=published is None, timeout=_SECONDS if published is None else -1):
                try:
                    # Once more under the lock: another may have looked while this one waited.
                    if self._now() - self._looked >= AGAIN:
                        self._look()
                finally:
                    self._looking.release()
            published = self._published
        if published is None or self._now() - published.at > STALE:
            raise IssuerDown(self.failure or "the identity provider is being asked for its keys")
        return published

    def _look(self) -> None:
        try:
            base = self.settings.issuer.rstrip("/")
            document = _object(self._fetch(f"{base}/.well-known/openid-configuration"))
            # Else whoever serves that address could speak for another issuer.
            if document.get("issuer") != self.settings.issuer:
                raise SourceError(f"its discovery document names the issuer {str(document.get('issuer'))[:200]!r}")
            keys = _object(self._fetch(self._address(document, "jwks_uri"))).get("keys")
            if not isinstance(keys, list):
                raise SourceError("it publishes no keys")
            usable = tuple(key for key in keys if isinstance(key, dict) and str(key.get("kty")) in _KINDS)
            self._published = _Published(document=document, keys=usable, at=self._now())
            self.failure = ""
        except (SourceError, IssuerDown) as error:
            # An `IssuerDown` says so itself.
            begun = "" if isinstance(error, IssuerDown) else "the identity provider cannot be used: "
            self.failure = f"{begun}{error.message}"
            log.warning("%s", self.failure)
        finally:
            # Also after a failure: a provider that is down is not asked by every request.
            self._looked = self._now()

    def _fetch(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        # The issuer, whom the operator named, may be in a private network; where its document leads may not.
        named = urlsplit(url).hostname == urlsplit(self.settings.issuer).hostname
        fetcher = Fetcher(seconds=_SECONDS, limit=_BYTES, private=named)
        try:
            if form is not None:
                return fetcher.post(url, form, headers=headers)
            reply = fetcher.get(url)
        except SourceError as error:
            raise IssuerDown(f"the identity provider cannot be used: {error.message}") from error
        finally:
            fetcher.close()
        if reply.status != 200:
            raise IssuerDown(f"the identity provider answers {url} with status {reply.status}")
        return reply

    def _address(self, document: Json, name: str) -> str:
        """An address of the discovery document; encrypted wherever the issuer is."""
        address = document.get(name)
        try:
            parts = urlsplit(address) if isinstance(address, str) else None
        except ValueError:  # an IPv6 address that is none
            parts = None
        if parts is None or parts.scheme not in ("https", urlsplit(self.settings.issuer).scheme) or not parts.netloc:
            raise IssuerDown(f"the identity provider cannot be used: it publishes no usable {name}")
        return parts.geturl()


def looks_like_token(text: str) -> bool:
    """Has it the three parts of a JWT?"""
    return text.count(".") == 2


def _fits(key: Json, algorithm: str) -> bool:
    kind = {"R": "RSA", "P": "RSA", "E": "OKP" if algorithm == "EdDSA" else "EC"}[algorithm[0]]
    expected = (kind, "sig", algorithm)
    return (key["kty"], key.get("use", "sig"), key.get("alg", algorithm)) == expected


def _claim(claims: Json, name: str) -> Any:
    """A claim by its name, or by the names of those that it stands in, with dots."""
    # First as it stands: names of claims are often addresses, with dots in them.
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _words(value: Any, *, separated: bool) -> list[str]:
    if isinstance(value, str):
        return value.split() if separated else [value]
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def _nameable(group: str) -> bool:
    """Can a document name the group as its reader? Another one gives no rights."""
    try:
        access.principal(groups=[group])
    except AccessDenied:
        return False
    return True


def _object(reply: Response) -> Json:
    try:
        value = json.loads(reply.body)
    # RecursionError: JSON nested thousands deep.
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise IssuerDown("the identity provider cannot be used: it answers no JSON object")
    return value
