"""The file by which commands of this machine find a project's running server, and the proof that it is that server.

The file lies in the project, readable by its owner alone. Its secret never travels before the server has proved that it
knows it, too: a stale file, another project's server on that port, or a program that took the port, gets no question.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import logging
import os
import secrets
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from twofold import __version__
from twofold.config import Config
from twofold.files import writing
from twofold.hashing import digest

log = logging.getLogger(__name__)

FILE = "serving/server.json"
"""The file in a project."""
_PROOF_SECONDS = 2.0
"""Time in which a server proves itself; one that is that busy is no quicker than the command itself."""


def settings(config: Config) -> str:
    """Digest of what makes an answer, apart from the project's own state: all settings, and Twofold's version."""
    # The version too: after an upgrade a server that still runs would answer with the old code.
    return digest("settings", [__version__, config])


@dataclass(frozen=True, kw_only=True)
class Presence:
    """A running server, as its file describes it."""

    directory: str
    """The project, as a whole path: a copy of a project has this file too, and not this server."""
    url: str
    """Address, as this machine reaches it."""
    settings: str
    """See `settings`."""
    pid: int = field(default_factory=os.getpid)
    """The server's process."""
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """ISO time."""
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    """Of this start of the server; whoever can read it can read the project."""

    def publish(self) -> None:
        """Write the file; where the disk refuses it, commands answer by themselves."""
        path = Path(self.directory, FILE)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writing.write(path, json.dumps(asdict(self), indent=1) + "\n", mode=0o600)
        except OSError as error:
            log.warning("commands will not find this server: %s cannot be written: %s", FILE, error.strerror or error)

    def withdraw(self) -> None:
        """Remove the file, unless a server that started later has written its own."""
        if (present := published(Path(self.directory))) and present.secret == self.secret:
            Path(self.directory, FILE).unlink(missing_ok=True)

    def proof(self, challenge: str) -> str:
        """What only a holder of the secret answers to a challenge."""
        return hmac.new(self.secret.encode(), challenge.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def trusts(self, token: str) -> bool:
        """Is this the secret?"""
        # As bytes: of strings `compare_digest` takes ASCII alone, and raises at others.
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.secret.encode())

    def connection(self, seconds: float) -> http.client.HTTPConnection:
        """A connection; no proxy is asked."""
        parts = urlsplit(self.url)
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)

    def proves(self) -> bool:
        """Does the server answer at its address, and is it this one?"""
        challenge = secrets.token_hex(16)
        try:
            with closing(self.connection(_PROOF_SECONDS)) as connection:
                connection.request("GET", f"/healthz?challenge={challenge}")
                # Bounded: whatever has taken over the port may send without an end.
                proof = json.loads(connection.getresponse().read(10_000)).get("proof")
        # AttributeError: valid JSON that is no object, from another program at this port.
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            log.info("the server of %s does not answer: %s", self.url, error)
            return False
        return isinstance(proof, str) and hmac.compare_digest(proof.encode(), self.proof(challenge).encode())


def published(directory: Path) -> Presence | None:
    """What a project's file says of its server; it may have ended since. None where there is no usable file."""
    try:
        present = Presence(**json.loads((directory / FILE).read_text(encoding="utf-8")))
        return present if Path(present.directory) == directory.resolve() else None
    except FileNotFoundError:
        return None
    # TypeError: a file of another version, with other fields.
    except (OSError, ValueError, TypeError) as error:
        log.info("%s is not usable: %s", FILE, error)
        return None
