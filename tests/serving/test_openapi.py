"""The OpenAPI document describes every address, and what fits it is never answered by a 500."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from serving_process import Running, served

from lazily import Lazily

schemathesis = Lazily("schemathesis")


def test_whatever_fits_the_document_is_never_a_500(project_copy: Path) -> None:
    with served(project_copy) as running:
        check(running)


def check(running: Running) -> None:
    schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    asked = []
    for operation in (result.ok() for result in schema.get_all_operations()):

        @settings(
            max_examples=8,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            reply = case.call()
            assert reply.status_code < 500, (case.as_curl_command(), reply.text)
            asked.append(reply.status_code)

        ask()
    assert len(asked) >= 16
    assert 200 in asked


def test_every_address_is_described(server: Running) -> None:
    with server.client() as client:
        document = client.get("/openapi.json").json()
    addresses = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert addresses == {
        "DELETE /v1/documents/{name}",
        "GET /healthz",
        "GET /metrics",
        "GET /readyz",
        "GET /v1/documents",
        "GET /v1/documents/{name}",
        "GET /v1/models",
        "GET /v1/models/{model}",
        "POST /v1/chat/completions",
        "POST /v1/completions",
        "POST /v1/documents",
        "POST /v1/embeddings",
        "POST /v1/feedback",
        "POST /v1/responses",
        "POST /v1/retrieve",
        "PUT /v1/documents",
    }
    for methods in document["paths"].values():
        for route in methods.values():
            assert "FaultReply" in str(route["responses"]["400"])
