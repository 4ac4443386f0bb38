"""Server-sent events of a chat completion, and letters that come in halves. Pure."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator

from twofold.errors import GenerationError
from twofold.plugins.live import TokenChance
from twofold.types import Json


def events(pieces: Iterable[bytes]) -> Iterator[Json]:
    """The objects of a stream; ``[DONE]`` becomes ``{"done": True}``, comments and keep-alives are left out.

    Lines end at line feeds only: an answer may contain other line separators of Unicode.

    Raises:
        GenerationError: the endpoint streamed an error, or data that is no event.
    """
    name = ""
    for line in _lines(pieces):
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:") and (data := line[5:].strip()):
            yield {"done": True} if data == "[DONE]" else _event(data, name)


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    # bytes, since a piece may end within a line, or within a character
    pending = b""
    for piece in pieces:
        *lines, pending = (pending + piece).split(b"\n")
        yield from (line.decode("utf-8", "replace").rstrip("\r") for line in lines)
    yield pending.decode("utf-8", "replace")


def _event(data: str, name: str) -> Json:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise GenerationError(f"the endpoint streamed something that is not JSON: {data[:80]!r}") from error
    if not isinstance(event, dict):
        raise GenerationError(f"the endpoint streamed something that is no event: {data[:80]!r}")
    # an endpoint can fail after it began to answer with status 200
    if event.get("error") or event.get("object") == "error" or name == "error":
        raise GenerationError(f"the endpoint failed while answering: {event.get('error') or event}")
    return event


def chances_in(choice: Json) -> list[TokenChance]:
    """The probabilities of the tokens of a choice; none where the endpoint sent none that can be read."""
    chances: list[TokenChance] = []
    try:
        for token in (choice.get("logprobs") or {}).get("content") or ():
            alternatives = [(str(other["token"]), float(other["logprob"])) for other in token.get("top_logprobs") or ()]
            chances.append(
                TokenChance(
                    token=str(token["token"]), logprob=float(token["logprob"]), alternatives=tuple(alternatives)
                )
            )
    except (AttributeError, KeyError, TypeError, ValueError):
        return []
    return chances


class Letters:
    """Text in pieces whose surrogate pairs may be split: halves are joined, and a lone half becomes U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-16-le")("replace")

    def take(self, piece: str, *, last: bool = False) -> str:
        """Add a piece and return the text that is complete; `last`: no piece follows."""
        return self._decoder.decode(piece.encode("utf-16-le", "surrogatepass"), last)
