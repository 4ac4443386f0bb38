"""A row of the traffic log."""

from __future__ import annotations

from typing import TypedDict


class TrafficRow(TypedDict):
    """One served answer. What stands under "full" is there only where the log keeps texts (`[traffic].log`)."""

    request: str
    """Id of the request, as its reply named it."""
    number: int
    """Which of the request's choices."""
    at: str
    """End of the answer, in UTC, ISO 8601 with milliseconds."""
    caller: str
    """Pseudonym of who asked, stable within the log; empty where nobody needs a key."""
    arm: str
    model: str
    """Id of the tuned model; empty without one."""
    system: str
    """Key of the system that answered."""
    later_index: bool | None
    """Was the index a later one than the measured one? None: not known."""
    failed: str
    """Code of the failure; empty where there is an answer."""
    abstained: bool
    cut: bool
    """The answer ended at the token limit."""
    citations: int
    unsupported: int
    """Citations taken out because their passage does not support the answer, with those that named no passage."""
    documents: list[str]
    """Ids of the documents whose passages stood in the prompt, best first, each once."""
    cited: list[str]
    """Ids of the cited documents."""
    prompt_tokens: int
    completion_tokens: int
    letters: int
    """Length of the answer."""
    retrieval_seconds: float
    generation_seconds: float
    question: str
    """Full: the last question, redacted."""
    turns: list[dict[str, str]]
    """Full: the turns before it, redacted, each with ``role`` and ``content``."""
    answer: str
    """Full: the answer, redacted."""
    redacted: dict[str, int]
    """Full: kind of personal data → how many places were redacted."""
