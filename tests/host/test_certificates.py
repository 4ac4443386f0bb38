"""One set of trusted authorities for all connections of a process."""

from __future__ import annotations

import ssl

import pytest

from twofold.corpus.fetching import Fetcher
from twofold.host import certificates
from twofold.plugins import loading


def test_servers_must_prove_who_they_are() -> None:
    context = certificates.trusted.__wrapped__()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] > 50


def test_clients_read_the_certificates_once(monkeypatch: pytest.MonkeyPatch) -> None:
    certificates.trusted()

    def read(*_: object, **__: object) -> None:
        raise AssertionError("the certificates of all authorities are read again")

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", read)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", read)
    loading.make("generators", "openai", {"base_url": "http://127.0.0.1:9/v1", "model": "m"}, adapter=None).close()
    Fetcher(seconds=1, limit=1).close()
