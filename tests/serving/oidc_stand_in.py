"""A small OpenID Connect provider on this machine: discovery, keys that rotate, authorisation and tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt  # noqa: TID253
from cryptography.hazmat.primitives.asymmetric import rsa

AUDIENCE, CLIENT, SECRET = "twofold-api", "twofold-pages", "not for browsers"


class OidcProvider:
    """Answers on localhost until it is closed; `port` starts it where it was before."""

    def __init__(self, port: int = 0) -> None:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self)

            def do_POST(self) -> None:
                provider.answer(self)

            def log_message(self, *_: object) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.http.server_address[1]
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.asked: list[str] = []
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.extra_keys: list[dict[str, Any]] = []
        self.document: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.rotate("first")
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def rotate(self, name: str) -> None:
        self.keys = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048)}

    def token(
        self, *, algorithm: str = "RS256", key: Any = None, header: dict[str, Any] | None = None, **more: Any
    ) -> str:
        """A token for programs; a claim that is None is left out."""
        name, private = next(iter(self.keys.items()))
        claims = self.base(AUDIENCE) | more
        claims = {claim: value for claim, value in claims.items() if value is not None}
        headers = {"kid": name, **(header or {})}
        headers = {part: value for part, value in headers.items() if value is not None}
        return jwt.encode(claims, private if key is None else key, algorithm=algorithm, headers=headers)

    def base(self, audience: str) -> dict[str, Any]:
        now = int(time.time())
        return {"iss": self.issuer, "aud": audience, "sub": "ann", "iat": now, "exp": now + 300, "groups": ["staff"]}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        address = urlsplit(request.path)
        self.asked.append(address.path)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        if address.path == "/.well-known/openid-configuration":
            self.send(request, self.discovery() | self.document)
        elif address.path == "/keys":
            self.send(request, {"keys": [*self.public(), *self.extra_keys]})
        elif address.path == "/authorize":
            code = secrets.token_urlsafe(8)
            self.codes[code] = query
            answer = urlencode({"code": code, "state": query["state"], "iss": self.issuer})
            request.send_response(302)
            request.send_header("location", f"{query['redirect_uri']}?{answer}")
            request.end_headers()
        elif address.path == "/token":
            body = request.rfile.read(int(request.headers["content-length"])).decode()
            form = {name: values[-1] for name, values in parse_qs(body).items()}
            self.send(request, *self.exchanged(form, request.headers.get("authorization", "")))
        else:
            self.send(request, {}, 404)

    def exchanged(self, form: dict[str, str], credentials: str) -> tuple[dict[str, Any], int]:
        begun = self.codes.pop(form.get("code", ""), None)
        expected = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET.replace(' ', '%20')}".encode()).decode()
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        )
        if (
            begun is None
            or credentials != expected
            or begun["redirect_uri"] != form["redirect_uri"]
            or (begun["code_challenge_method"], begun["code_challenge"]) != ("S256", challenge)
        ):
            return {"error": "invalid_grant"}, 400
        name, private = next(iter(self.keys.items()))
        claims = self.base(CLIENT) | {"nonce": begun["nonce"]} | self.claims
        token = jwt.encode(claims, private, algorithm="RS256", headers={"kid": name})
        return {"access_token": "x", "token_type": "Bearer", "id_token": token}, 200

    def discovery(self) -> dict[str, Any]:
        places = {"jwks_uri": "keys", "authorization_endpoint": "authorize", "token_endpoint": "token"}
        return {"issuer": self.issuer} | {name: f"{self.issuer}/{place}" for name, place in places.items()}

    def public(self) -> list[dict[str, Any]]:
        return [
            {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}
            for name, key in self.keys.items()
        ]

    @staticmethod
    def send(request: BaseHTTPRequestHandler, value: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(value).encode()
        request.send_response(status)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)
