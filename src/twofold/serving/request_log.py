"""A record for each request: which answers it got, by which system, prompt and passages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite

from twofold.hashing import digest
from twofold.host.tracing import trace_parent
from twofold.serving.exchange import Ended, Exchange
from twofold.types import Json


class RequestLog:
    """Writes a record for each request once its reply was sent; a `Watcher`.

    No record has words of a question, a prompt, an answer or a document.

    Args:
        write: Gets the records; must neither raise nor wait.
        now: The time, in UTC.
    """

    def __init__(self, write: Callable[[Json], object], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._write = write
        self._now = now
        self._open: dict[str, tuple[str, list[Json]]] = {}

    def begun(self, request: str, *, method: str, path: str, headers: Mapping[bytes, bytes]) -> None:  # noqa: ARG002
        """A request came."""
        # Version, trace, span, flags. The trace is known by now where a watcher before this one records it.
        parts = trace_parent().split("-")
        self._open[request] = parts[1] if len(parts) == 4 else "", []

    def exchange(self, exchange: Exchange) -> None:
        """An answer: noted for the record of its request."""
        noted = self._open.get(exchange.request)
        if noted is None:
            # An agent's question may be answered in a task that began with an earlier request, which has ended.
            self._write({"at": self._at(), "event": "answer", "request": exchange.request, **answer_record(exchange)})
        else:
            noted[1].append(answer_record(exchange))

    def ended(self, request: str, end: Ended) -> None:
        """A reply was sent: the record is written."""
        trace, answers = self._open.pop(request, ("", []))
        self._write(
            {
                "at": self._at(),
                "event": "request",
                "request": request,
                "trace": trace,
                "method": end.method,
                "route": end.route,
                "status": end.status,
                "seconds": round(end.seconds, 6),
                "answers": answers,
            }
        )

    def _at(self) -> str:
        return self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")


def answer_record(exchange: Exchange) -> Json:
    """What leads from an answer to its system, prompt, index and passages; without any text of them."""
    answer, making, origin = exchange.answer, exchange.making, exchange.origin
    index = making.index if making else None
    prompt = making.prompt if making else None
    return {
        "number": exchange.number,
        "arm": origin["arm"],
        "model": origin["model"],
        "system": origin["key"],
        "study": origin.get("study", ""),
        "index_version": index.version if index else None,
        "index_content": index.content if index else "",
        "later_index": origin["later_index"],
        "template": making.template if making else "",
        "prompt": digest("prompt", prompt.messages) if prompt else "",
        "hits": [
            {"chunk": hit.chunk.id, "document": hit.chunk.span.document, "rank": hit.rank, "score": _finite(hit.score)}
            for hit in answer.hits
        ],
        "cited": [citation.number for citation in answer.citations],
        "unsupported": answer.unsupported_citations + answer.invalid_citations,
        "abstained": answer.abstained,
        "cut": answer.cut,
        "failed": answer.failure.code if answer.failure else "",
        "withheld": exchange.withheld,
        "prompt_tokens": answer.usage.prompt_tokens,
        "completion_tokens": answer.usage.completion_tokens,
        "retrieval_seconds": round(answer.timing.retrieval, 6),
        "generation_seconds": round(answer.timing.generation, 6),
    }


def _finite(score: float) -> float | None:
    # JSON has no other numbers, and a plugin may give any.
    return float(score) if isfinite(score) else None
