"""Alerts arrive at a real HTTP server and a real mail server, or stay and say why."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from watched import NOON, ScriptedMonitor, explain

from twofold.config import Config
from twofold.monitoring.alerts import channels, deliver, signed
from twofold.monitoring.store import FILE, WatchStore, opened
from twofold.monitoring.watching import watch
from twofold.settings.watching import EmailSection, WatchSection, WebhookSection

Reply = Callable[[BaseHTTPRequestHandler], None]


class Receiver:
    """A web server that notes what is posted to it."""

    def __init__(self, reply: Reply) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        posts = self.posts

        class Endpoint(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
                reply(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook"


@contextmanager
def receiving(reply: Reply) -> Iterator[Receiver]:
    receiver = Receiver(reply)
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()


def answering(status: int, **headers: str) -> Reply:
    def reply(endpoint: BaseHTTPRequestHandler) -> None:
        endpoint.send_response(status)
        for name, value in {"content-length": "0", **headers}.items():
            endpoint.send_header(name, value)
        endpoint.end_headers()

    return reply


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WatchStore]:
    with opened(tmp_path / FILE) as store:
        yield store


def alarm(store: WatchStore, section: WatchSection, *, hours: float = 0) -> None:
    moment = NOON + timedelta(hours=hours)
    watch([ScriptedMonitor(alarm=True)], store, moment=moment, explain=explain, channels=channels(section))


def webhook(url: str, **more: Any) -> WatchSection:
    return WatchSection(webhook=WebhookSection(url=url, **more))


def test_a_webhook_is_signed_and_posted_once(store: WatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = base64.b64encode(b"k" * 24).decode()
    monkeypatch.setenv("HOOK_SECRET", f"whsec_{secret}")
    with receiving(answering(204)) as receiver:
        section = webhook(receiver.url, secret_env="HOOK_SECRET")
        alarm(store, section)
        assert deliver(store, section, moment=NOON, name="Shop") == []
        assert deliver(store, section, moment=NOON, name="Shop") == []
        alarm(store, section, hours=1)  # the same alarm
        assert deliver(store, section, moment=NOON, name="Shop") == []
    (headers, body), *others = receiver.posts
    assert others == []
    sent = json.loads(body)
    assert (sent["project"], sent["state"]) == ("Shop", "alarm")
    assert [row["signal"] for row in sent["new"]] == ["probes.hit"]
    assert sent["new"][0]["low"] < sent["new"][0]["value"] < sent["new"][0]["high"]
    assert sent["commands"] == ["twofold sync --rebuild", "twofold study"]
    assert sent["id"] == headers["webhook-id"]
    content = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    expected = base64.b64encode(hmac.digest(b"k" * 24, content, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_that_of_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    # The example of the reference libraries (standard-webhooks/libraries).
    monkeypatch.setenv("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    moment = NOON.fromtimestamp(1614265330, NOON.tzinfo)
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", body, "HOOK_SECRET", moment=moment)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (answering(500), "answers 500"),
        (answering(302, location="http://127.0.0.1:1/elsewhere"), "redirects (302), and an alert goes nowhere else"),
    ],
)
def test_a_refused_alert_is_tried_again_with_the_same_id(store: WatchStore, reply: Reply, why: str) -> None:
    replies = [reply, answering(200)]

    def next_reply(endpoint: BaseHTTPRequestHandler) -> None:
        replies.pop(0)(endpoint)

    with receiving(next_reply) as receiver:
        section = webhook(receiver.url)
        alarm(store, section)
        (remark,) = deliver(store, section, moment=NOON, name="Shop")
        assert why in remark
        assert "(attempt 1)" in remark
        assert deliver(store, section, moment=NOON + timedelta(seconds=30), name="Shop") == [], "not before its time"
        assert len(receiver.posts) == 1
        assert deliver(store, section, moment=NOON + timedelta(minutes=2), name="Shop") == []
    assert store.waiting() == []
    assert len({headers["webhook-id"] for headers, _ in receiver.posts}) == 1
    assert len(receiver.posts) == 2


def test_a_receiver_that_hangs_costs_its_timeout_once(store: WatchStore) -> None:
    release = threading.Event()

    def dripping(endpoint: BaseHTTPRequestHandler) -> None:
        # A byte now and then, so that no limit of a single read is ever reached.
        while not release.wait(0.05):
            endpoint.wfile.write(b"x")

    try:
        with receiving(dripping) as receiver:
            section = webhook(receiver.url, timeout=0.4)
            alarm(store, section)
            watch([ScriptedMonitor()], store, moment=NOON, explain=explain, channels=channels(section))
            start = time.monotonic()
            (remark,) = deliver(store, section, moment=NOON, name="Shop")
            assert time.monotonic() - start < 2
            release.set()
    finally:
        release.set()
    assert "did not take it within 0.4 s" in remark
    assert len(store.waiting()) == 2
    assert store.waiting()[0].failure in remark


def test_an_alert_is_given_up_after_a_week(store: WatchStore) -> None:
    section = webhook("http://127.0.0.1:1/")
    alarm(store, section)
    days, remarks = 0.0, [""]
    while store.waiting():
        remarks = deliver(store, section, moment=NOON + timedelta(days=days), name="Shop") or remarks
        days += 0.5
    assert 7 < days < 9
    assert remarks[0].endswith("it is given up")


def test_a_clock_that_is_set_back_holds_no_alert_up(store: WatchStore) -> None:
    section = webhook("http://127.0.0.1:1/")
    alarm(store, section)
    assert deliver(store, section, moment=NOON, name="Shop")
    assert deliver(store, section, moment=NOON, name="Shop") == [], "its pause is not over"
    assert deliver(store, section, moment=NOON - timedelta(days=30), name="Shop")


def test_faults_of_the_settings_are_named(store: WatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    section = webhook("http://127.0.0.1:1/", secret_env="HOOK_SECRET")
    alarm(store, section)
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    assert "the environment variable HOOK_SECRET is not set" in deliver(store, section, moment=NOON, name="Shop")[0]
    monkeypatch.setenv("HOOK_SECRET", "whsec_!!")
    later = NOON + timedelta(hours=1)
    assert "is not base64" in deliver(store, section, moment=later, name="Shop")[0]
    later = NOON + timedelta(hours=2)
    assert "[watch.webhook] is no longer in" in deliver(store, WatchSection(), moment=later, name="Shop")[0]


@pytest.mark.parametrize(
    ("watch_table", "words"),
    [
        ({"every": "15"}, "is no interval"),
        ({"every": "1s"}, "from 10s to 400d"),
        ({"every": "٣m"}, "is no interval"),
        ({"webhook": {"url": "file:///etc/passwd"}}, "url"),
        ({"email": {"host": "mail", "sender": "a@b", "to": []}}, "to"),
        ({"email": {"host": "mail", "sender": "a@b", "to": ["c"]}}, "to"),
        ({"email": {"host": "mail", "sender": "a@b", "to": ["c@d"], "user": "u", "starttls": False}}, "unencrypted"),
        ({"interval": "1d"}, "interval"),
    ],
)
def test_bad_settings_are_refused(watch_table: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Config.model_validate({"watch": watch_table})


# ------------------------------------------------------------ e-mail


class Mailbox:
    """A real mail server of this process."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import AuthResult

        self.letters: list[Any] = []
        self.logins: dict[str, str] = {}
        mailbox = self

        class Box:
            async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - of aiosmtpd
                mailbox.letters.append((envelope, session.ssl is not None))
                return "250 OK"

        def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
            known = mailbox.logins.get(data.login.decode()) == data.password.decode()
            return AuthResult(success=known, handled=known)

        class Listening(Controller):  # type: ignore[misc]
            def _trigger_server(self) -> None:
                # Its own would connect to port 0.
                socket.create_connection(self.server.sockets[0].getsockname()).close()

        options = {"authenticator": check, "auth_require_tls": tls is not None, "tls_context": tls}
        self.controller = Listening(Box(), hostname="127.0.0.1", port=0, require_starttls=tls is not None, **options)
        self.controller.start()

    @property
    def port(self) -> int:
        return int(self.controller.server.sockets[0].getsockname()[1])


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    pytest.importorskip("aiosmtpd")
    mailbox = Mailbox()
    yield mailbox
    mailbox.controller.stop()


@pytest.fixture
def encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mail server that takes letters by STARTTLS alone; its certificate is trusted in this test."""
    pytest.importorskip("aiosmtpd")
    certificate, key = self_signed(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr("twofold.host.certificates.trusted", lambda: trusting)
    mailbox = Mailbox(tls)
    yield mailbox
    mailbox.controller.stop()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Files of a certificate of this machine, and of its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(made.public_bytes(pem))
    form, open_key = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, open_key))
    return folder / "certificate.pem", folder / "key.pem"


def by_mail(port: int, **more: Any) -> WatchSection:
    letter = {"host": "127.0.0.1", "port": port, "sender": "watch@example.org", "to": ("ann@example.org",)}
    return WatchSection(email=EmailSection(**{**letter, "starttls": False, **more}))


def test_an_alert_arrives_by_mail(store: WatchStore, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox.logins["twofold"] = "pass"
    monkeypatch.setenv("MAIL_PASSWORD", "wrong")
    section = by_mail(
        mailbox.port, user="twofold", password_env="MAIL_PASSWORD", to=("ann@example.org", "bob@example.org")
    )
    alarm(store, section)
    (remark,) = deliver(store, section, moment=NOON, name="Shop\r\nBcc: eve@example.org")
    assert "535" in remark
    monkeypatch.setenv("MAIL_PASSWORD", "pass")
    assert deliver(store, section, moment=NOON + timedelta(hours=1), name="Shop\r\nBcc: eve@example.org") == []
    ((envelope, _),) = mailbox.letters
    assert envelope.rcpt_tos == ["ann@example.org", "bob@example.org"]
    letter = message_from_bytes(envelope.content, policy=policy.default)
    assert letter["Subject"] == "[twofold] Shop Bcc: eve@example.org: alarm: probes.hit"
    assert letter["Bcc"] is None
    assert letter["Message-ID"].endswith("@example.org>")
    text = letter.get_content()
    assert "alarm: probes.hit: fewer probes find their passage" in text
    assert "to do: twofold sync --rebuild" in text


def test_mail_is_encrypted_unless_the_server_cannot(store: WatchStore, mailbox: Mailbox, encrypted: Mailbox) -> None:
    section = by_mail(mailbox.port, starttls=True)
    alarm(store, section)
    (remark,) = deliver(store, section, moment=NOON, name="Shop")
    assert "STARTTLS" in remark
    assert mailbox.letters == [], "not sent in the clear"
    section = by_mail(encrypted.port, starttls=True)
    assert deliver(store, section, moment=NOON + timedelta(hours=1), name="Shop") == []
    assert [secure for _, secure in encrypted.letters] == [True]


def test_a_mail_server_that_nobody_vouches_for_gets_nothing(
    store: WatchStore, encrypted: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twofold.host.certificates.trusted", ssl.create_default_context)
    section = by_mail(encrypted.port, starttls=True)
    alarm(store, section)
    (remark,) = deliver(store, section, moment=NOON, name="Shop")
    assert "certificate" in remark.lower()
    assert encrypted.letters == []
