"""Feedback on answers → examples and preferences. Pure.

A line of a log is one answered question: ``question`` or ``messages``, ``answer``, and what people said of it:
``rating`` (up or down) or ``correction`` (the answer it should have been). Optional are ``id``, ``at``,
``conversation`` and ``hits`` (document ids, or objects with ``document``, ``start``, ``end``, ``text``, ``title``). A
correction is an example; beside the answer it replaces it is a preference (Rafailov et al. 2023 learn from such pairs).
Who asked is not read, so that it cannot be kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from twofold.errors import BadRecord
from twofold.examples.leaks import bare
from twofold.examples.loading import moment_of
from twofold.files.reading import excerpt, kind, records
from twofold.hashing import digest
from twofold.text import grounding
from twofold.types import Chunk, Example, Hit, Json, Message, Role, Span

_UP = frozenset({"up", "1", "+1", "good", "true", "like", "thumbs_up"})
_DOWN = frozenset({"down", "-1", "bad", "false", "dislike", "thumbs_down"})
_NONE = frozenset({"", "0", "none", "null"})
_HOLDS = 0.8
"""Share of an answer's words from which a passage counts as its source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One answered question of a log."""

    id: str
    """Its own, or a digest of what it says."""
    messages: tuple[Message, ...]
    """The conversation; the last message is the user's."""
    answer: str
    """The answer that was given."""
    rating: int
    """1 up, -1 down, 0 not rated."""
    correction: str
    """The answer that should have been given; empty when nobody corrected."""
    hits: tuple[Hit, ...]
    """Passages the answer was given with."""
    conversation: str
    """Groups the turns of one conversation."""
    at: str
    """ISO date; may be empty."""
    place: str
    """``file:line``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """Two answers to one conversation, one of which people found better."""

    id: str
    """Unique in its file."""
    messages: tuple[Message, ...]
    """The conversation; the last message is the user's."""
    chosen: str
    """The better answer."""
    rejected: str
    """The worse one."""
    hits: tuple[Hit, ...] = ()
    """Passages that both answers were given with, in the order shown; empty for answers without retrieval."""
    sources: tuple[str, ...] = ()
    """Documents they came from."""
    group: str = ""
    """Unit of splitting: the conversation."""
    at: str = ""
    """ISO date; may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disliked:
    """A question whose answer people rated down, and to which no better one is known."""

    question: str
    """The last message of a conversation of one."""
    answer: str
    """The answer that they rated down."""
    at: str
    """ISO date; may be empty."""


@dataclass(kw_only=True)
class Mined:
    """The examples and preferences mined from feedback."""

    examples: list[Example] = field(default_factory=list)
    """Corrected and approved answers."""
    preferences: list[Preference] = field(default_factory=list)
    """Better and worse answers to one question."""
    discarded: list[Json] = field(default_factory=list)
    """Lines that were not used: ``question``, ``at`` (its place in the log), ``why``."""
    disliked: list[Disliked] = field(default_factory=list)
    """Of the discarded lines, those that a person has to answer."""
    masked: int = 0
    """Texts that personal data or secrets were taken out of."""

    @property
    def counts(self) -> Json:
        """Counts of the mined results."""
        reasons = Counter(str(entry["why"]) for entry in self.discarded)
        return {
            "examples": len(self.examples),
            "preferences": len(self.preferences),
            "masked": self.masked,
            "discarded": dict(reasons.most_common()),
        }


def interactions(text: str, *, name: str) -> Iterator[Interaction | BadRecord]:
    """The lines of a log; a fault comes as the error it is, naming its line."""
    for record in records(text, name=name):
        if isinstance(record.value, BadRecord):
            yield record.value
            continue
        try:
            yield _interaction(record.value, name, record.line)
        except BadRecord as error:
            yield error


def mined(log: Sequence[Interaction], *, abstention: str = "", mask: Callable[[str], str] | None = None) -> Mined:
    """Examples and preferences from a log.

    The latest correction of a question counts, and makes what was said before the worse answer. An answer that as many
    people liked as disliked is not used. An answer rated down is paired with a better one to the same question, if
    there is one.

    Args:
        log: In order of time.
        abstention: The text that says that the documents do not tell: where that is right, the example is unanswerable.
        mask: Takes personal data out of a text.
    """
    out = Mined()

    def hide(text: str) -> str:
        changed = mask(text) if mask else text
        out.masked += changed != text
        return changed

    same: defaultdict[str, list[Interaction]] = defaultdict(list)
    for interaction in log:
        same["\n".join(bare(m.content) for m in interaction.messages if m.role != "system")].append(interaction)
    for same_question in same.values():
        _of_one_question(same_question, out, abstention=abstention, hide=hide)
    return out


def _of_one_question(
    answered: Sequence[Interaction], out: Mined, *, abstention: str, hide: Callable[[str], str]
) -> None:
    def discard(interaction: Interaction, why: str) -> None:
        # What is discarded is listed for people, and masked as all else is.
        out.discarded.append({"question": hide(interaction.messages[-1].content), "at": interaction.place, "why": why})

    votes: Counter[str] = Counter()
    first: dict[str, Interaction] = {}
    corrected = []
    for candidate in answered:
        if candidate.correction and bare(candidate.correction) != bare(candidate.answer):
            corrected.append(candidate)
    for interaction in answered:
        # A correction that repeats the answer says that it was right.
        vote = interaction.rating or (1 if interaction.correction and interaction not in corrected else 0)
        if interaction in corrected:
            vote = -1
        elif vote == 0:
            discard(interaction, "nobody said whether it was right")
            continue
        if not interaction.answer.strip():
            discard(interaction, "empty answer")
            continue
        if bare(interaction.answer) in first and interaction not in corrected:
            discard(interaction, "the same answer to the same question")
        first.setdefault(bare(interaction.answer), interaction)
        votes[bare(interaction.answer)] += vote
    for interaction in corrected[:-1]:
        if bare(interaction.correction) != bare(corrected[-1].correction):
            discard(interaction, "corrected otherwise later")
    liked = [interaction for text, interaction in first.items() if votes[text] > 0]
    for text, interaction in first.items():
        if votes[text] == 0:
            discard(interaction, "people disagree")
    # A correction counts before any answer that was liked; of several the latest.
    best = corrected[-1] if corrected else liked[-1] if liked else None
    disliked = [interaction for text, interaction in first.items() if votes[text] < 0]
    if best is None:
        for interaction in disliked:
            discard(interaction, "rated down, and no better answer is known")
            # A later turn is not understood alone.
            if len(interaction.messages) == 1:
                question, answer = hide(interaction.messages[0].content), hide(interaction.answer)
                out.disliked.append(Disliked(question=question, answer=answer, at=interaction.at))
        return
    right = best.correction if corrected else best.answer
    out.examples.append(_example(best, right, abstention=abstention, hide=hide))
    for interaction in disliked:
        if bare(interaction.answer) != bare(right):
            out.preferences.append(_preference(interaction, right, hide=hide))


def _example(interaction: Interaction, right: str, *, abstention: str, hide: Callable[[str], str]) -> Example:
    declines = bool(abstention) and bare(right) == bare(abstention)
    holding = []
    for hit in interaction.hits:
        if hit.chunk.text and grounding.share(right, [hit.chunk.text]) >= _HOLDS:
            holding.append(hit.chunk.span.document)
    return Example(
        id=f"log/{interaction.id}",
        messages=_hidden(interaction.messages, hide),
        references=() if declines else (hide(right.strip()),),
        sources=() if declines else tuple(dict.fromkeys(holding)),
        answerable=not declines,
        group=interaction.conversation,
        origin="log",
        at=interaction.at,
    )


def _preference(interaction: Interaction, right: str, *, hide: Callable[[str], str]) -> Preference:
    return Preference(
        id=f"log/{interaction.id}",
        messages=_hidden(interaction.messages, hide),
        chosen=hide(right.strip()),
        rejected=hide(interaction.answer.strip()),
        hits=interaction.hits,
        sources=tuple(dict.fromkeys(hit.chunk.span.document for hit in interaction.hits)),
        group=interaction.conversation,
        at=interaction.at,
    )


def _hidden(messages: Sequence[Message], hide: Callable[[str], str]) -> tuple[Message, ...]:
    return tuple(replace(message, content=hide(message.content)) for message in messages)


# ---------------------------------------------------------------- records


def preference_record(preference: Preference) -> Json:
    """A preference as the JSON object that `preferences` reads back."""
    record: Json = {
        "id": preference.id,
        "messages": [{"role": m.role, "content": m.content} for m in preference.messages],
        "chosen": preference.chosen,
        "rejected": preference.rejected,
        "hits": [
            {
                "document": hit.chunk.span.document,
                "start": hit.chunk.span.start,
                "end": hit.chunk.span.end,
                "text": hit.chunk.text,
                "title": hit.chunk.title,
            }
            for hit in preference.hits
        ],
        "sources": list(preference.sources),
        "group": preference.group,
        "at": preference.at,
    }
    return {key: value for key, value in record.items() if value}


def preferences(text: str, *, name: str) -> list[Preference]:
    """The preferences of a JSON Lines file: ``question`` or ``messages``, ``chosen``, ``rejected``; optional the rest.

    Raises:
        BadRecord: naming the line.
    """
    pairs = []
    for record in records(text, name=name):
        if isinstance(record.value, BadRecord):
            raise record.value
        value, line = record.value, record.line
        chosen, rejected = (_text(value, key, name, line) for key in ("chosen", "rejected"))
        if not chosen or not rejected or bare(chosen) == bare(rejected):
            raise BadRecord(
                '"chosen" and "rejected" must be two different answers',
                file=name,
                line=line,
                cure="A preference needs the better and the worse answer; remove lines without both.",
            )
        hits = _hits(value.get("hits") or [], name, line)
        messages = _messages(value, name, line)
        pairs.append(
            Preference(
                id=_text(value, "id", name, line) or f"{name}#{line or record.number}",
                messages=messages,
                chosen=chosen,
                rejected=rejected,
                hits=hits,
                sources=tuple(str(s) for s in value.get("sources") or ()) or tuple(h.chunk.span.document for h in hits),
                group=_text(value, "group", name, line),
                at=_text(value, "at", name, line),
            )
        )
    return pairs


def _interaction(value: Json, name: str, line: int) -> Interaction:
    messages = _messages(value, name, line)
    answer, correction = _text(value, "answer", name, line), _text(value, "correction", name, line)
    at = _text(value, "at", name, line)
    if at and moment_of(at) is None:
        raise BadRecord(
            f'"at" is not an ISO date: {excerpt(at, 20)!r}', file=name, line=line, cure="Write the date as 2025-01-31."
        )
    # Without an id one made of the line: a log that is mined twice gives the same ids.
    fingerprint = digest("log", [[(m.role, m.content) for m in messages], answer, correction, at])
    return Interaction(
        id=_text(value, "id", name, line) or fingerprint.partition(":")[2][:12],
        messages=messages,
        answer=answer,
        rating=_rating(value.get("rating"), name, line),
        correction=correction,
        hits=_hits(value.get("hits") or [], name, line),
        conversation=_text(value, "conversation", name, line),
        at=at,
        place=f"{name}:{line}",
    )


def _rating(value: Any, name: str, line: int) -> int:
    rating = "" if value is None else str(value).strip().lower()
    if rating in _NONE:
        return 0
    if rating not in _UP | _DOWN:
        raise BadRecord(
            f'"rating" must be up or down, not {excerpt(rating, 20)!r}',
            file=name,
            line=line,
            cure="Write up, down, 1 or -1; decide which numbers of stars mean up.",
        )
    return 1 if rating in _UP else -1


def _text(value: Json, key: str, name: str, line: int) -> str:
    item = value.get(key)
    if item is None:
        return ""
    if isinstance(item, bool) or not isinstance(item, (str, int, float)):
        raise BadRecord(f'"{key}" must be a string, not {kind(item)}', file=name, line=line)
    return str(item).strip()


def _messages(value: Json, name: str, line: int) -> tuple[Message, ...]:
    turns = value.get("messages")
    if not turns:
        question = _text(value, "question", name, line)
        if not question:
            raise BadRecord("no question: neither question nor messages", file=name, line=line)
        return (Message(role="user", content=question),)
    messages = []
    for turn in turns if isinstance(turns, list) else [None]:
        role: Any = turn.get("role") if isinstance(turn, dict) else None
        content = turn.get("content") if isinstance(turn, dict) else None
        if role not in get_args(Role) or not isinstance(content, str):
            raise BadRecord('"messages" must be a list of objects with "role" and "content"', file=name, line=line)
        messages.append(Message(role=role, content=content))
    if messages[-1].role != "user":
        raise BadRecord(
            "the last message must be the user's: the logged answer replies to this message", file=name, line=line
        )
    return tuple(messages)


def _hits(items: Any, name: str, line: int) -> tuple[Hit, ...]:
    if not isinstance(items, list):
        raise BadRecord(f'"hits" must be a list, not {kind(items)}', file=name, line=line)
    hits = []
    for rank, item in enumerate(items, 1):
        value = {"document": item} if isinstance(item, str) else item
        if not isinstance(value, dict) or not isinstance(value.get("document"), str):
            raise BadRecord('a hit must be a document id, or an object with "document"', file=name, line=line)
        start, end = value.get("start", 0), value.get("end", 0)
        if not isinstance(start, int) or not isinstance(end, int):
            raise BadRecord('"start" and "end" of a hit must be numbers of characters', file=name, line=line)
        span = Span(document=value["document"], start=start, end=end)
        text = str(value.get("text") or "")
        chunk = Chunk(id=digest("chunk", [span, text]), span=span, text=text, title=str(value.get("title") or ""))
        # A log tells the order of hits only.
        hits.append(Hit(chunk=chunk, score=0.0, rank=rank))
    return tuple(hits)
