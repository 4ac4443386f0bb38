"""Alerts on their way to people: a webhook and e-mail, delivered at least once.

An alert is stored with the look that made it. It is tried at once, and again at later looks, until it has arrived:
whoever is killed between sending and noting sends it twice, with the same id. A receiver that hangs costs its timeout.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

from twofold.errors import AlertUndelivered, ConfigError, TwofoldError
from twofold.host import certificates
from twofold.monitoring.store import Alert, WatchStore
from twofold.settings.watching import EmailSection, WatchSection, WebhookSection

DAYS = 7
"""After so many days without success an alert is given up: what it says is long in the record of looks."""
_FIRST, _LONGEST = 60.0, 6 * 3600.0
"""Seconds before the second attempt, and the longest pause: doubled with each attempt."""


def channels(section: WatchSection) -> list[str]:
    """Whom alerts are sent to: ``webhook``, ``email``, both or none."""
    return [name for name, part in (("webhook", section.webhook), ("email", section.email)) if part is not None]


def deliver(store: WatchStore, section: WatchSection, *, moment: datetime, name: str) -> list[str]:
    """Send the alerts that wait and are due.

    Args:
        store: With the alerts; what arrives is taken out, what does not is tried again at a later look.
        section: Where to.
        moment: The time now, with a zone.
        name: Of the project, for people.

    Returns:
        Remarks on what did not arrive.
    """
    remarks = []
    # A receiver that hangs is waited for once a look, however many alerts wait for it.
    hanging: set[str] = set()
    for alert in store.waiting():
        if alert.channel in hanging or not _due(alert, moment):
            continue
        try:
            _send(alert, section, moment=moment, name=name)
        except TwofoldError as error:
            hanging.add(alert.channel)
            tried = f"attempt {alert.attempts + 1}"
            age = moment - datetime.fromisoformat(alert.first)
            give_up = age > timedelta(days=DAYS)
            pause = min(_LONGEST, _FIRST * 2.0 ** min(alert.attempts, 20))
            after = (moment.astimezone(UTC) + timedelta(seconds=pause)).isoformat(timespec="seconds")
            store.failed(alert, error.message, after=after, give_up=give_up)
            end = "it is given up" if give_up else "it is tried again at a later look"
            remarks.append(f"an alert by {alert.channel} did not arrive ({tried}): {error.message}; {end}")
        else:
            store.delivered(alert)
    return remarks


def _due(alert: Alert, moment: datetime) -> bool:
    wait = (datetime.fromisoformat(alert.after) - moment).total_seconds()
    # Longer than any pause: the clock was set back since.
    return wait <= 0 or wait > _LONGEST


def _send(alert: Alert, section: WatchSection, *, moment: datetime, name: str) -> None:
    if alert.channel == "webhook" and section.webhook:
        webhook = section.webhook
        _bounded(lambda: _post(alert, webhook, moment=moment, name=name), webhook.timeout, webhook.url)
    elif alert.channel == "email" and section.email:
        email = section.email
        _bounded(lambda: _mail(alert, email, name=name), email.timeout, f"{email.host}:{email.port}")
    else:
        raise ConfigError(f"[watch.{alert.channel}] is no longer in twofold.toml")


def _bounded(send: Callable[[], None], seconds: float, where: str) -> None:
    """Send within a time in all: the limits of sockets are for each byte, and a receiver may drip.

    Raises:
        AlertUndelivered: it took longer, or failed.
    """
    failure: list[Exception] = []

    def sending() -> None:
        try:
            send()
        except Exception as error:  # raised again by who waits
            failure.append(error)

    # A daemon: what hangs must not keep the process.
    thread = threading.Thread(target=sending, daemon=True, name="twofold-alert")
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise AlertUndelivered(f"{where} did not take it within {seconds:g} s")
    if failure and isinstance(failure[0], TwofoldError):
        raise failure[0]
    if failure:
        words = str(failure[0]) or type(failure[0]).__name__
        raise AlertUndelivered(f"{where} did not take it: {words}") from failure[0]


# ------------------------------------------------------------ webhook


def _post(alert: Alert, section: WebhookSection, *, moment: datetime, name: str) -> None:
    import httpx

    body = json.dumps({**alert.body, "project": name, "id": alert.id}, ensure_ascii=False).encode("utf-8", "replace")
    headers = {"content-type": "application/json", **signed(alert.id, body, section.secret_env, moment=moment)}
    with (
        httpx.Client(timeout=section.timeout, verify=certificates.trusted(), follow_redirects=False) as client,
        # Streamed: the reply's body is not read, and may have no end.
        client.stream("POST", section.url, content=body, headers=headers) as reply,
    ):
        status = reply.status_code
    if 300 <= status < 400:
        raise AlertUndelivered(f"{section.url} redirects ({status}), and an alert goes nowhere else")
    if status >= 400:
        raise AlertUndelivered(f"{section.url} answers {status}")


def signed(name: str, body: bytes, secret_env: str, *, moment: datetime) -> dict[str, str]:
    """Headers of a delivery by the specification of Standard Webhooks 1.0 (https://www.standardwebhooks.com).

    Args:
        name: Id of the alert, the same at every attempt.
        body: What is sent.
        secret_env: Environment variable with the secret; empty: no signature.
        moment: The time now.

    Raises:
        ConfigError: the variable is not set, or its ``whsec_`` is followed by no base64.
    """
    seconds = str(int(moment.timestamp()))
    headers = {"webhook-id": name, "webhook-timestamp": seconds}
    if not secret_env:
        return headers
    secret = _secret(secret_env)
    try:
        key = base64.b64decode(secret[6:], validate=True) if secret.startswith("whsec_") else secret.encode()
    except binascii.Error as error:
        raise ConfigError(f"the secret in ${secret_env} is not base64 after whsec_") from error
    content = b".".join([name.encode(), seconds.encode(), body])
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {**headers, "webhook-signature": f"v1,{signature}"}


def _secret(variable: str) -> str:
    secret = os.environ.get(variable, "").strip()
    if not secret:
        raise ConfigError(
            f"the environment variable {variable} is not set", cure=f"Set {variable} for `twofold watch`."
        )
    return secret


# ------------------------------------------------------------ e-mail


def _mail(alert: Alert, section: EmailSection, *, name: str) -> None:
    import smtplib

    letter = EmailMessage()
    # One line: a line break in a name would begin another header.
    title = " ".join(name.split())[:80]
    letter["Subject"] = f"[twofold] {title}: {_subject(alert)}"
    letter["From"] = section.sender
    letter["To"] = ", ".join(section.to)
    letter["Message-ID"] = f"<{alert.id}@{section.sender.rpartition('@')[2]}>"
    letter["Date"] = datetime.fromisoformat(alert.body["at"])
    # Mail programs that answer by themselves must not answer this (RFC 3834).
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(f"{alert.body['text']}\n\nlook {alert.body['look']} of {alert.body['at']}\n")
    with smtplib.SMTP(section.host, section.port, timeout=section.timeout) as server:
        if section.starttls:
            server.starttls(context=certificates.trusted())
        if section.user:
            server.login(section.user, _secret(section.password_env) if section.password_env else "")
        server.send_message(letter)


def _subject(alert: Alert) -> str:
    new, over = [reading["signal"] for reading in alert.body["new"]], alert.body["over"]
    parts = [f"{kind}: {', '.join(names)}" for kind, names in (("alarm", new), ("over", over)) if names]
    return "; ".join(parts) or "nothing could be looked at"
