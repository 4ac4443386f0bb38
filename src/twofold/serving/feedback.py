"""What people say of answers, written to a log that `twofold examples mine` reads."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from twofold.errors import refused
from twofold.files import writing
from twofold.serving.bodies import FeedbackBody
from twofold.serving.conversation import text_of
from twofold.types import Json


class FeedbackLog:
    """A log of feedback in JSON Lines; who gave it is not in it.

    Args:
        path: The file; it and its folder are made with the first line.
        redacted: Takes personal data out of a text before it is written.
    """

    def __init__(self, path: Path, *, redacted: Callable[[str], str] = str) -> None:
        self._path = path
        self._redacted = redacted
        self.failure = ""
        """Why the last line could not be written; empty when it was."""

    def add(self, body: FeedbackBody) -> Json:
        """Write a line, and return its id once the line is on the disk.

        Raises:
            StoreError: the disk refuses; nothing of the line is left in the log.
        """
        name = f"feedback_{secrets.token_hex(8)}"
        record = {
            "id": name,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "messages": [{"role": _role(one.role), "content": self._redacted(text_of(one))} for one in body.messages],
            "answer": self._redacted(body.answer),
            "rating": body.rating,
            "correction": self._redacted(body.correction),
            "conversation": body.conversation,
            "hits": [
                {"document": hit.document, "start": hit.start, "end": hit.end, "text": hit.quote, "title": hit.title}
                for hit in body.hits
            ],
        }
        # Cannot fail: `bodies.Text` refuses halves of surrogate pairs.
        line = json.dumps(record, ensure_ascii=False).encode()
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writing.append(self._path, line, mode=0o600)
        except OSError as error:
            self.failure = f"feedback cannot be written: {error.strerror or error}"
            raise refused(self.failure, error) from error
        self.failure = ""
        return {"id": name, "object": "feedback"}


def _role(role: str) -> str:
    # The newer name of the same role, which examples do not have.
    return "system" if role == "developer" else role
