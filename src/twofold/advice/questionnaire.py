"""The questions that practitioners ask before they choose between retrieval and tuning, with possible answers. Pure.

Every question may stay open: an answer that nobody has is unknown, and the advice says what it would change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A possible answer to a question, or a possible fact."""

    value: str
    """The word in files and records."""
    meaning: str
    """The answer in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """A question of the questionnaire."""

    name: str
    """The criterion that it decides; the key in files of answers."""
    text: str
    """The question."""
    levels: tuple[Level, ...]
    """Possible answers, in their order where they have one; unknown is always possible."""
    strict: bool = False
    """Levels go from the strictest to the laxest demand. Where an answer and the project differ, the stricter counts;
    for other questions the project counts."""

    @property
    def values(self) -> tuple[str, ...]:
        """The words of the levels."""
        return tuple(level.value for level in self.levels)

    def meaning(self, value: str) -> str:
        """The level in words."""
        return next(level.meaning for level in self.levels if level.value == value)


def _inquiry(name: str, text: str, levels: Mapping[str, str], *, strict: bool = False) -> Inquiry:
    listed = tuple(Level(value=value, meaning=meaning) for value, meaning in levels.items())
    return Inquiry(name=name, text=text, levels=listed, strict=strict)


QUESTIONNAIRE = (
    _inquiry(
        "task",
        "What is the main task?",
        {
            "questions": "answer questions over documents that are kept current",
            "lookup": "look something up and say where it stands",
            "structured": "write in a fixed form: JSON, SQL, code, a note with sections",
            "classification": "sort into fixed categories",
            "tone": "write in the tone or style of a field or a house",
            "summaries": "summarise what is happening now",
            "several": "several of these, such as knowledge and tone at a support desk",
        },
    ),
    _inquiry(
        "change",
        "How often does the knowledge change that right answers depend on?",
        {
            "live": "all the time: weather, stock, prices",
            "hourly": "hourly",
            "daily": "daily",
            "weekly": "weekly",
            "quarterly": "every few months",
            "yearly": "about once a year",
            "never": "never, or right answers depend on no knowledge that changes",
        },
        strict=True,
    ),
    _inquiry(
        "attribution",
        "Must an answer name its source, for readers or for an audit?",
        {"required": "always", "useful": "good to have", "no": "no"},
        strict=True,
    ),
    _inquiry(
        "permissions",
        "May some people read only some of the documents?",
        {"yes": "yes, permissions go by document", "no": "no, everybody who asks may read all"},
        strict=True,
    ),
    _inquiry(
        "risk",
        "What does a wrong answer do?",
        {
            "high": "harm: health, law, money, safety",
            "medium": "costs trust or time",
            "low": "little: someone sees it and goes on",
        },
        strict=True,
    ),
    _inquiry(
        "labels",
        "How many examples with right answers are there?",
        {
            "none": "none",
            "tens": "fewer than 100",
            "hundreds": "100 to 999",
            "thousands": "1,000 to 9,999",
            "more": "10,000 or more",
        },
    ),
    _inquiry(
        "agreement",
        "Would two people who know the field give these examples the same answers?",
        {"agreed": "nearly always", "mixed": "mostly", "poor": "often not"},
    ),
    _inquiry(
        "documents",
        "How much text is there to answer from?",
        {
            "none": "no documents",
            "prompt": "so little that all of it fits into one prompt",
            "many": "more, but each document fits into a prompt",
            "large": "single documents too long for a prompt",
        },
    ),
    _inquiry(
        "variety",
        "Of how many kinds are the documents?",
        {
            "uniform": "one kind of text",
            "mixed": "several kinds and formats",
            "wild": "many kinds, with tables, scans or pictures",
        },
    ),
    _inquiry(
        "latency",
        "How soon must an answer be there?",
        {"instant": "in less than a second", "seconds": "in some seconds", "relaxed": "later, or in batches"},
    ),
    _inquiry(
        "volume",
        "How many answers are needed a day?",
        {"low": "fewer than 1,000", "medium": "1,000 to 100,000", "high": "more than 100,000"},
    ),
    _inquiry(
        "team",
        "What can the people do who will build and keep it?",
        {
            "software": "software, no machine learning",
            "data": "data analysis, some machine learning",
            "learning": "machine learning, training included",
        },
    ),
    _inquiry(
        "upfront",
        "What may be spent before the first answer (people's time included)?",
        {"little": "days of one person", "some": "weeks", "ample": "months, or several people"},
    ),
    _inquiry(
        "monthly",
        "What may it cost to run, every month?",
        {"little": "as little as possible", "some": "a modest amount", "ample": "what good answers cost"},
    ),
    _inquiry(
        "privacy",
        "Where may questions and documents go?",
        {
            "airgap": "nowhere: there is no network",
            "private": "only to our own machines",
            "public": "to a provider, too",
        },
        strict=True,
    ),
    _inquiry(
        "hardware",
        "On what will it run?",
        {
            "hosted": "a provider's API, no machines of our own",
            "cpu": "our own machines, without a GPU",
            "gpu": "our own machines with a GPU",
        },
    ),
)
"""The questions, in the order in which they are asked."""

INQUIRIES: Mapping[str, Inquiry] = {inquiry.name: inquiry for inquiry in QUESTIONNAIRE}
"""Name → question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAnswers:
    """Answers to the questionnaire; a question that is not among them is unknown.

    Raises:
        ValueError: there is no such question, or it has no such answer.
    """

    levels: Mapping[str, str]
    """Name of a question → word of the chosen answer."""

    def __post_init__(self) -> None:
        for name, value in self.levels.items():
            if name not in INQUIRIES:
                raise ValueError(f"there is no question {name!r}")
            if value not in INQUIRIES[name].values:
                raise ValueError(f"the question {name!r} has no answer {value!r}")

    @classmethod
    def of_record(cls, levels: Mapping[str, str]) -> UserAnswers:
        """The answers of a stored advice; what the questionnaire does not know any more is left open."""
        known = {name: value for name, value in levels.items() if name in INQUIRIES}
        return cls(levels={name: value for name, value in known.items() if value in INQUIRIES[name].values})

    def with_answer(self, name: str, value: str) -> UserAnswers:
        """The same answers but for one; an empty `value` makes it unknown."""
        others = {key: level for key, level in self.levels.items() if key != name}
        return UserAnswers(levels={**others, name: value} if value else others)


UNANSWERED = UserAnswers(levels={})
"""Nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Two answers that cannot both hold, or an answer that the project contradicts."""

    about: tuple[str, ...]
    """Names of the questions."""
    message: str
    """What does not fit."""
    cure: str
    """What to do, an imperative."""


_AT_ODDS: tuple[tuple[tuple[str, frozenset[str]], tuple[str, frozenset[str]], str, str], ...] = (
    (
        ("privacy", frozenset({"airgap", "private"})),
        ("hardware", frozenset({"hosted"})),
        "nothing may leave your machines, and everything is to run at a provider",
        "Name hardware of your own, or allow a provider.",
    ),
    (
        ("task", frozenset({"questions", "lookup"})),
        ("documents", frozenset({"none"})),
        "the task is to answer from documents, and there are none",
        "Name another task, or gather the documents first.",
    ),
    (
        ("attribution", frozenset({"required"})),
        ("documents", frozenset({"none"})),
        "every answer must name its source, and there are no documents to name",
        "Gather the documents, or let answers stand without a source.",
    ),
    (
        ("task", frozenset({"lookup"})),
        ("attribution", frozenset({"no"})),
        "the task is to say where something stands, and no source is needed",
        "Answer attribution with required or useful, or the task with questions.",
    ),
    (
        ("task", frozenset({"summaries"})),
        ("change", frozenset({"yearly", "never"})),
        "the task is to summarise what is happening now, and the knowledge hardly changes",
        "Name another task, or how often the events change.",
    ),
    (
        ("change", frozenset({"live", "hourly"})),
        ("documents", frozenset({"none"})),
        "right answers depend on what changes within the hour, and there is nothing to read it from",
        "Name the live source or the documents that hold it, or answer change with never.",
    ),
    (
        ("permissions", frozenset({"yes"})),
        ("documents", frozenset({"none"})),
        "permissions go by document, and there are no documents",
        "Answer permissions with no, or gather the documents.",
    ),
    (
        ("labels", frozenset({"none"})),
        ("agreement", frozenset({"agreed", "mixed", "poor"})),
        "people agree or disagree about examples, and there are no examples",
        "Leave agreement unknown until there are examples.",
    ),
)
"""Pairs of answers that cannot both hold, why, and the cure."""


def at_odds(levels: Mapping[str, str]) -> Iterator[Contradiction]:
    """The pairs of answers (or of answers and facts) that cannot both hold."""
    for (first, some), (second, others), message, cure in _AT_ODDS:
        if levels.get(first) in some and levels.get(second) in others:
            stated = f"{first} = {levels[first]}, {second} = {levels[second]}"
            yield Contradiction(about=(first, second), message=f"{message} ({stated})", cure=cure)
