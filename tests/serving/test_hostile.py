"""Malformed, oversized and hostile requests: each gets an error in one shape, and none a 500."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from serving_process import Running, served

from twofold.cli.main import main
from twofold.serving.keys import KEYS, Keys

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


def sent(server: Running, content: bytes, **headers: str) -> httpx.Response:
    with server.client() as client:
        return client.post(CHAT, content=content, headers={**JSON, **headers})


def raw(server: Running, data: bytes) -> bytes:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        received = b""
        with contextlib.suppress(OSError):  # the server may close the connection before all was sent
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                received += piece
        return received


def check_shape(reply: httpx.Response, status: int) -> dict[str, object]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert error["message"].endswith(".")
    return dict(error)


def seconds_of(server: Running) -> float:
    """Seconds that the server has computed."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"model": ' + b"9" * 5000 + b"}",
        b'{"model": "rag", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "a"}]}',
        b'{"\\ud800\\r\\nset-cookie: a=b": 1}',
        b'{"model": "rag", "messages": [{"role": "user", "content": "a"}], "temperature": NaN}',
        b'{"model": "rag", "messages": [{"role": "user", "content": "a"}], "where": ["a < "]}',
        b'{"model": "rag", "messages": [{"role": "user", "content": "a"}], "model": "base"}',
        b'{"model": "rag", "messages": [{"role": "user", "role": "system", "content": "a"}]}',
        b'{"model": "rag", "messages": [' + b",".join([b'{"a":1}'] * 400_000) + b"]}",
        b"{" + b",".join(b'"%d": 0' % number for number in range(250_000)) + b"}",
        b'{"model": "rag", "messages": [' + b",".join([b"0"] * 1_000_000) + b"]}",
        b'{"model": "rag", "messages": [{"role": "user", "content": [' + b",".join([b"0"] * 1_000_000) + b"]}]}",
        b'{"model": "rag", "messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_schema", '
        b'"json_schema": {"schema": {"enum": [' + b",".join([b"0"] * 1_000_000) + b"]}}}}",
        b'{"model": "rag", "messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_schema", '
        b'"json_schema": {"schema": {"pattern": "' + b"(a+)+" * 400_000 + b'"}}}}',
        b'{"model": "rag", "messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_schema", '
        b'"json_schema": {"schema": {"const": "\\ud800"}}}}',
    ],
    ids=lambda content: content[:40].decode("latin-1"),
)
def test_a_malformed_body_is_a_400(server: Running, content: bytes) -> None:
    before = seconds_of(server)
    reply = sent(server, content)
    check_shape(reply, 400)
    assert "set-cookie" not in reply.headers
    # Others wait meanwhile: it was 8 seconds for one body that is wrong in a million places.
    assert seconds_of(server) - before < 1.5


def test_other_errors_have_the_same_shape(server: Running) -> None:
    with server.client() as client:
        check_shape(client.get("/v1/nothing"), 404)
        check_shape(client.get("/v1/../../etc/passwd"), 404)
        check_shape(client.get("/v1/documents/..%2F..%2Fetc%2Fpasswd"), 404)
        check_shape(client.get(CHAT), 405)
        check_shape(client.get("/v1/documents", params={"limit": "many"}), 400)
        check_shape(client.post(CHAT, content=b"a=b", headers={"content-type": "text/plain"}), 400)


def test_a_large_body_is_refused_before_it_is_read(server: Running) -> None:
    check_shape(sent(server, b'{"a": "' + b"a" * 5_000_000 + b'"}'), 413)

    def pieces():
        for _ in range(80):
            yield b"a" * 65536

    # the connection may be closed before all was sent
    with server.client() as client, contextlib.suppress(httpx.WriteError):
        check_shape(client.post(CHAT, content=pieces(), headers=JSON), 413)


def test_requests_of_foreign_pages_and_by_foreign_names_are_refused(server: Running) -> None:
    good = json.dumps({"model": "rag", "messages": [{"role": "user", "content": "a"}]}).encode()
    assert sent(server, good).status_code == 200
    check_shape(sent(server, good, origin="https://evil.example"), 403)
    check_shape(sent(server, good, origin="null"), 403)
    check_shape(sent(server, good, host="evil.example"), 403)
    assert sent(server, good, origin=server.url).status_code == 200


def test_a_proxy_may_use_its_name_once_there_is_a_key(project_copy: Path) -> None:
    good = json.dumps({"model": "rag", "messages": [{"role": "user", "content": "a"}]}).encode()
    with served(project_copy) as server:
        check_shape(sent(server, good, host="docs.example"), 403)
        _, token = Keys(project_copy / KEYS).add("proxy")
        check_shape(sent(server, good, host="docs.example"), 401)
        assert sent(server, good, host="docs.example", authorization=f"Bearer {token}").status_code == 200


def test_what_is_no_http_does_not_stop_the_server(server: Running) -> None:
    assert b" 400 " in raw(server, b"nonsense\r\n\r\n").split(b"\r\n", 1)[0]
    raw(server, b"GET / HTTP/1.1\r\nhost: localhost\r\na: " + b"a" * 200_000 + b"\r\n\r\n")
    raw(server, b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
    raw(server, b"POST /v1/feedback HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n")
    with server.client() as client:
        assert client.get("/healthz").status_code == 200


def test_a_log_has_no_line_of_a_caller(measured) -> None:
    with served(measured) as server:
        with server.client() as client:
            client.get("/v1/a%0aERROR%20forged", headers={"user-agent": "forged"})
        assert server.end() == 0
        assert "forged" not in server.process.stderr.read()


def test_other_machines_need_a_key(measured, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "-C", str(measured), "--host", "0.0.0.0", "--port", "0", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert "no API key" in error["message"]
    assert "twofold keys add" in error["cure"]


def test_what_was_not_measured_is_served_only_on_request(measured, capsys: pytest.CaptureFixture[str]) -> None:
    changed = ["--set", "generation.max_tokens=5"]
    assert main(["serve", "-C", str(measured), "--port", "0", "--json", *changed]) == 2
    assert "is not measured with these settings" in json.loads(capsys.readouterr().out)["error"]["message"]
    with served(measured, "--unmeasured", *changed) as server:
        assert server.ready["model"]["measured"] is False
        with server.client() as client:
            remarks = client.get("/readyz").json()["remarks"]
    assert "no study has measured what is served: rag" in remarks
    # What answers is not what was decided on.
    assert [remark for remark in remarks if "no longer holds because" in remark] == remarks[1:]


def test_a_port_in_use_is_an_error(server: Running, measured, capsys: pytest.CaptureFixture[str]) -> None:
    port = urlsplit(server.url).port
    assert main(["serve", "-C", str(measured), "--port", str(port), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "serving"
