"""What people say of answers, written to a log that `twofold examples mine` reads."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from twofold.errors import StoreError
from twofold.serving.bodies import FeedbackBody
from twofold.serving.conversation import text_of
from twofold.store.kept_texts import FileLines, Lines
from twofold.types import Json


class FeedbackLog:
    """A log of feedback in JSON Lines; who gave it is not in it.

    Args:
        place: The log, or its file; made with the first line.
        redacted: Takes personal data out of a text before it is written.
    """

    def __init__(self, place: Path | Lines, *, redacted: Callable[[str], str] = str) -> None:
        self._lines: Lines = FileLines(place) if isinstance(place, Path) else place
        self._redacted = redacted
        self.failure = ""
        """Why the last line could not be written; empty when it was."""

    def add(self, body: FeedbackBody) -> Json:
        """Write a line, and return its id once the line is stored.

        Raises:
            StoreError: disk or database refuse; nothing of the line is left in the log.
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
            self._lines.append(line)
        except StoreError as error:
            self.failure = f"feedback cannot be written: {error.message}"
            raise
        self.failure = ""
        return {"id": name, "object": "feedback"}


def _role(role: str) -> str:
    # The newer name of the same role, which examples do not have.
    return "system" if role == "developer" else role
