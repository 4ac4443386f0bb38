"""A question asked of the project's running server, for commands: quicker, as the model is loaded there."""

from __future__ import annotations

import http.client
import json
import logging
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from twofold.config import Config
from twofold.errors import ServingError
from twofold.serving import presence
from twofold.serving.bodies import OwnerBody
from twofold.serving.presence import Presence
from twofold.types import Answer

if TYPE_CHECKING:
    from twofold.asking import AnswerReport

log = logging.getLogger(__name__)

_MARGIN = 10.0
"""Seconds that a server may be silent beyond the time limit of an answer."""


def server(directory: Path, config: Config) -> WarmServer | None:
    """The server that runs for a project with these settings, proved to be that; None where there is none."""
    present = presence.published(directory)
    if present is None:
        return None
    if present.settings != presence.settings(config):
        log.info("the server at %s runs with other settings, and is not asked", present.url)
        return None
    return WarmServer(present, seconds=config.serving.seconds + _MARGIN) if present.proves() else None


class WarmServer:
    """A running server.

    Args:
        present: How it is reached.
        seconds: Longest silence.
    """

    def __init__(self, present: Presence, *, seconds: float) -> None:
        self._present, self._seconds = present, seconds

    def ask(
        self, question: OwnerBody, *, written: Callable[[str], None] | None = None
    ) -> tuple[Answer, AnswerReport] | None:
        """Ask a question, as `Project.ask` does.

        Args:
            question: What is asked, and of what.
            written: Gets the answer's words as they come.

        Returns:
            The answer and its report; None where the server cannot answer this question, and the command must.

        Raises:
            ServingError: the answer ended early, with words of it written already.
        """
        begun = False
        try:
            with closing(self._present.connection(self._seconds)) as connection:
                headers = {"authorization": f"Bearer {self._present.secret}", "content-type": "application/json"}
                connection.request("POST", "/local/ask", question.model_dump_json().encode(), headers)
                reply = connection.getresponse()
                # Also a full queue or another arm: whatever the server refuses the command does by itself, only slower.
                if reply.status != http.client.OK:
                    log.info("the server at %s leaves it to the command: %s", self._present.url, reply.read(10_000))
                    return None
                for item in _events(reply):
                    if "answer" in item:
                        log.info("answered by the server at %s", self._present.url)
                        return _answers().validate_python(item["answer"]), item["report"]
                    if "piece" not in item:
                        fault = item["error"]["message"]
                        break
                    if written is not None:
                        # Before it is written: a second answer would follow half of the first on the screen.
                        begun = True
                        written(item["piece"])
                else:
                    fault = "the connection ended"
        except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
            fault = str(error) or type(error).__name__
        if begun:
            raise ServingError(f"the server's answer ended early: {fault}", cure="Ask again.")
        log.info("the server at %s gave no answer: %s", self._present.url, fault)
        return None


def _events(reply: http.client.HTTPResponse) -> Any:
    # Line by line: `read(n)` would wait until n bytes are there, and words would come late.
    while line := reply.readline():
        if line.startswith(b"data: "):
            yield json.loads(line[len(b"data: ") :])


@cache
def _answers() -> TypeAdapter[Answer]:
    # Built once, and only where a server answers.
    return TypeAdapter(Answer)
