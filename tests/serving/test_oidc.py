"""Tokens of a real small provider: what is valid is taken, and nothing else, whatever the provider does."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt  # noqa: TID253
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from oidc_stand_in import AUDIENCE, CLIENT, OidcProvider
from pydantic import ValidationError

from twofold.errors import BadKey, Forbidden, IssuerDown
from twofold.serving import oidc
from twofold.serving.oidc import AGAIN, FRESH, STALE, Provider, looks_like_token
from twofold.settings.sections import OidcSection


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[OidcProvider]:
    provider = OidcProvider()
    yield provider
    provider.close()


def made(issuer: OidcProvider, clock: Clock | None = None, **more: Any) -> Provider:
    settings = OidcSection(issuer=issuer.issuer, audience=AUDIENCE, client_id=CLIENT, **more)
    return Provider(settings, now=clock or time.monotonic)


def test_a_valid_token_says_who_sends_it(issuer: OidcProvider) -> None:
    identity = made(issuer).identity(issuer.token(sub="ann", groups=["staff", "a:b", 7, "everyone"]))
    assert (identity.id, identity.user, identity.groups, identity.scope) == ("oidc:ann", "ann", ("staff",), "ask")
    assert made(issuer).identity(issuer.token(aud=["other", AUDIENCE])).user == "ann"
    assert made(issuer, user_claim="email").identity(issuer.token(email="ann@a.example")).user == "ann@a.example"


@pytest.mark.parametrize("groups", [None, 7, {"staff": 1}, []], ids=str)
def test_without_groups_there_are_none(issuer: OidcProvider, groups: object) -> None:
    assert made(issuer).identity(issuer.token(groups=groups)).groups == ()


NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 31},
        {"exp": None},
        {"exp": "soon"},
        {"iat": None},
        {"iat": NOW + 86_400},
        {"nbf": NOW + 86_400},
        {"aud": "other"},
        {"aud": [AUDIENCE + "x"]},
        {"aud": None},
        {"iss": "http://127.0.0.1:1"},
        {"iss": None},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "a\nb"},
    ],
    ids=lambda claims: next(iter(claims)),
)
def test_a_token_with_a_wrong_claim_is_refused(issuer: OidcProvider, claims: dict[str, Any]) -> None:
    with pytest.raises(BadKey):
        made(issuer).identity(issuer.token(**claims))


def test_a_clock_may_differ_a_little(issuer: OidcProvider) -> None:
    provider = made(issuer)
    now = int(time.time())
    assert provider.identity(issuer.token(exp=now - 20, nbf=now + 20, iat=now + 20)).user == "ann"


def test_no_signature_but_the_providers_counts(issuer: OidcProvider) -> None:
    provider = made(issuer)
    valid = issuer.token()
    head, claims, signature = valid.split(".")
    public = issuer.keys["first"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def part(**values: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()

    import hashlib
    import hmac

    confused = f"{part(alg='HS256', kid='first')}.{claims}"
    mac = base64.urlsafe_b64encode(hmac.new(pem, confused.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key(), as_dict=True)
    forged = {
        "none": f"{part(alg='none', kid='first')}.{claims}.",
        "None": f"{part(alg='None', kid='first')}.{claims}.",
        "HS256 with the public key": f"{confused}.{mac}",
        "another's key": issuer.token(key=stranger),
        "its own key in the header": issuer.token(key=stranger, header={"jwk": own}),
        "its own address of keys": issuer.token(key=stranger, header={"jku": "http://127.0.0.1:9/keys", "kid": "x"}),
        "an algorithm that is not taken": issuer.token(algorithm="RS512"),
        "another kind of key": issuer.token(algorithm="ES256", key=ec.generate_private_key(ec.SECP256R1())),
        "other claims": f"{head}.{part(**(issuer.base(AUDIENCE) | {'sub': 'bob'}))}.{signature}",
        "no signature": f"{head}.{claims}.",
        "too deep": f"{base64.urlsafe_b64encode(b'[' * 9000).decode()}.{claims}.{signature}",
        "too long": issuer.token(padding="a" * 20_000),
        "no token": "a.b.c",
        "no letters": "é.é.é",
    }
    for name, token in forged.items():
        with pytest.raises(BadKey):
            pytest.fail(f"{name}: {provider.identity(token)}")
    assert provider.identity(valid).user == "ann"


def test_secrets_among_the_keys_and_keys_for_encryption_are_passed_over(issuer: OidcProvider) -> None:
    secret = base64.urlsafe_b64encode(b"a" * 32).decode()
    issuer.extra_keys = [{"kty": "oct", "k": secret, "kid": "shared"}, {"kty": ["RSA"]}, "x"]  # type: ignore[list-item]
    provider = made(issuer)
    assert provider.identity(issuer.token()).user == "ann"
    with pytest.raises(BadKey):
        provider.identity(issuer.token(algorithm="HS256", key=b"a" * 32, header={"kid": "shared"}))
    issuer.extra_keys = [{**issuer.public()[0], "use": "enc"}]
    assert made(issuer).identity(issuer.token(header={"kid": None})).user == "ann"


def test_new_keys_are_read_when_a_token_names_one_and_not_more_often(issuer: OidcProvider) -> None:
    clock = Clock()
    provider = made(issuer, clock)
    former = issuer.token()
    provider.identity(former)
    issuer.rotate("second")
    with pytest.raises(BadKey):  # the keys were read a moment ago
        provider.identity(issuer.token())
    clock.now += AGAIN
    assert provider.identity(issuer.token()).user == "ann"
    with pytest.raises(BadKey):
        provider.identity(former)
    looks = issuer.asked.count("/keys")
    for number in range(50):
        with pytest.raises(BadKey):
            provider.identity(issuer.token(header={"kid": f"made-up-{number}"}))
    assert issuer.asked.count("/keys") == looks
    clock.now += FRESH + 1
    provider.identity(issuer.token())
    assert issuer.asked.count("/keys") == looks + 1


def test_a_provider_that_is_down_is_said_and_its_keys_count_for_a_day(issuer: OidcProvider) -> None:
    clock = Clock()
    provider = made(issuer, clock)
    token = issuer.token()
    provider.identity(token)
    issuer.close()
    clock.now += FRESH + 1
    assert provider.identity(token).user == "ann"
    assert "cannot be used" in provider.failure
    fresh = made(issuer, clock)
    for _ in range(2):
        with pytest.raises(IssuerDown, match="cannot be used"):
            fresh.identity(token)
    clock.now += STALE
    with pytest.raises(IssuerDown):
        provider.identity(token)
    again = OidcProvider(issuer.port)
    try:
        clock.now += AGAIN
        assert provider.identity(again.token()).user == "ann"
        assert provider.failure == ""
    finally:
        again.close()


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "http://127.0.0.1:1"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "ftp://127.0.0.1/keys"},
        {"jwks_uri": "http://localhost.localdomain.invalid/keys"},
        {"jwks_uri": "http://169.254.169.254/latest/meta-data"},
        {"jwks_uri": "http://[::1]/keys"},
        {"jwks_uri": "http://10.0.0.1/keys"},
        {"jwks_uri": "http://[::1"},
        {"jwks_uri": 7},
        {"jwks_uri": None},
    ],
    ids=str,
)
def test_keys_come_from_the_providers_own_host_or_a_public_one(issuer: OidcProvider, document: dict[str, Any]) -> None:
    issuer.document = document
    with pytest.raises(IssuerDown) as refused:
        made(issuer).identity(issuer.token())
    assert refused.value.message.count("the identity provider cannot be used") == 1


def test_an_address_of_the_login_that_is_none_is_the_providers_fault(issuer: OidcProvider) -> None:
    issuer.document = {"authorization_endpoint": "http://[::1"}
    with pytest.raises(IssuerDown, match="authorization_endpoint"):
        made(issuer).begin("http://localhost/login/oidc/return", "/")


def test_the_settings_refuse_what_anybody_could_forge() -> None:
    for wrong in (
        {"issuer": "http://a.example"},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
    ):
        with pytest.raises(ValidationError):
            OidcSection.model_validate({"issuer": "https://a.example", "audience": "x", **wrong})


@pytest.mark.parametrize(
    ("claims", "scope"),
    [
        ({"scope": "openid twofold.write"}, "curate"),
        ({"scope": "twofold.write twofold.all"}, "admin"),
        ({"scope": ["twofold.read"]}, "ask"),
        ({"scope": "twofold"}, ""),
        ({"scope": None}, ""),
        ({"scope": {"twofold.all": True}}, ""),
    ],
    ids=str,
)
def test_a_claim_decides_the_scope(issuer: OidcProvider, claims: dict[str, Any], scope: str) -> None:
    scopes = {"twofold.read": "ask", "twofold.write": "curate", "twofold.all": "admin"}
    provider = made(issuer, scopes=scopes)
    if scope:
        assert provider.identity(issuer.token(**claims)).scope == scope
    else:
        with pytest.raises(Forbidden):
            provider.identity(issuer.token(**claims))


def test_claims_stand_in_others(issuer: OidcProvider) -> None:
    provider = made(issuer, groups_claim="realm_access.roles")
    assert provider.identity(issuer.token(realm_access={"roles": ["board"]})).groups == ("board",)
    assert provider.identity(issuer.token(realm_access=["roles"])).groups == ()
    named = made(issuer, groups_claim="https://a.example/groups")
    assert named.identity(issuer.token(**{"https://a.example/groups": ["board"]})).groups == ("board",)


def test_who_begins_logins_without_end_ends_only_those_of_their_address(
    issuer: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "LOGINS", 3)
    provider = made(issuer)
    _, other = provider.begin("http://here/return", "/", address="192.0.2.1")
    states = [provider.begin("http://here/return", "/", address=f"2001:db8::{n}")[1] for n in range(20)]
    assert provider.logins.get(other) is not None
    assert [provider.logins.get(state) is not None for state in states[-4:]] == [False, True, True, True]


def test_an_api_key_is_no_token() -> None:
    assert not looks_like_token("tf-00000000-abc_def-ghi")
