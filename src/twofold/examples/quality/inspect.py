"""Faults of examples, one by one and among each other, each with its place and an action. Pure.

`check` (in `checking`) says what would stop or mislead a study; `inspect` reads every example as somebody does who
will train on it. Both give `Problem` records.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from twofold.examples.checking import check
from twofold.examples.leaks import agree, bare, conversation, figures, wording
from twofold.examples.near_duplicates import NearTexts
from twofold.examples.quality import labels
from twofold.examples.quality import text as findings_text
from twofold.examples.quality.text import note, texts_of
from twofold.prompts import Template
from twofold.text.privacy import private
from twofold.types import Document, Example, Problem

Part = Literal["copies", "private", "encoding", "answers", "length", "language", "noise", "balance", "documents"]
PARTS: Mapping[Part, str] = {
    "copies": "exact and near copies, contradictions, and what stands in two splits",
    "private": "personal data and secrets",
    "encoding": "encoding damage",
    "answers": "empty, placeholder and cut-off answers",
    "length": "lengths far from the others'",
    "language": "other languages than most",
    "noise": "labels that a model of the other examples contradicts",
    "balance": "small and outweighing classes",
    "documents": "questions that stand in the documents word for word",
}
"""Parts of the check, each of which can be left out."""
# Lower is more sealed: of two copies the lower one stays.
_SEALED = {"reserve": 0, "test": 1, "dev": 2, "train": 3, None: 4}
_REPEATS = ("data.repeated-question", "data.contradiction", "data.placeholder")
"""Findings of `check` that this module makes itself, more exactly."""
_SHINGLE = 8
"""Words of a question by which it is looked up in documents."""


def inspect(
    examples: Sequence[Example],
    documents: Sequence[Document] = (),
    *,
    declared: Sequence[str] = (),
    skip: Sequence[str] = (),
    progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None,
) -> list[Problem]:
    """All findings, in order of files and lines; every one has its code, place, severity, cure and action.

    Args:
        examples: As read.
        documents: The index's own documents, to compare with; none to leave that out.
        declared: The only labels there may be; none to take any.
        skip: Parts (`PARTS`) to leave out.
        progress: Told of each part.

    Raises:
        MissingExtra: a part needs a package that is not installed; the message says which, and how to skip it.
    """
    parts: dict[Part, Callable[[], list[Problem]]] = {
        "copies": lambda: copies(examples),
        "private": lambda: privacy(examples),
        "encoding": lambda: findings_text.damage(examples),
        "answers": lambda: findings_text.answers(examples),
        "length": lambda: findings_text.lengths(examples),
        "language": lambda: findings_text.languages(examples),
        "noise": lambda: labels.noise(examples),
        "balance": lambda: labels.balance(examples),
        "documents": lambda: verbatim(examples, documents),
    }
    problems = [p for p in check(documents, examples, abstention=Template().abstention) if p.code not in _REPEATS]
    problems += labels.undeclared(examples, declared) if declared else []
    selected = [part for part in parts if part not in skip]
    for number, part in enumerate(selected):
        progress("looking", number, len(selected))
        problems += parts[part]()
    progress("looking", len(selected), len(selected))
    # Files in the order in which they were read; reversed, so that a file's first example decides.
    places = {e.file: number for number, e in reversed(list(enumerate(examples)))}
    return sorted(problems, key=lambda p: (places.get(p.file, -1), p.line, p.code))


def copies(examples: Sequence[Example]) -> list[Problem]:
    """Copies and near copies of an example that is kept: the one in the most sealed split, else the first.

    The same question with another answer is a contradiction where the answers are labels, or JSON with one; else both
    answers may be right, and the two are merged.
    """
    # The most sealed split first: of two copies the test's stays, and training loses its own.
    order = sorted(range(len(examples)), key=lambda i: (_SEALED[examples[i].split], i))
    plain = [conversation(e) for e in examples]
    given_labels = labels.labels(examples)
    judged = bool(given_labels)
    closed = judged and all(
        label == e.references[0].strip() for label, e in zip(given_labels, examples, strict=True) if label
    )
    texts = NearTexts(plain)
    exact: defaultdict[str, list[int]] = defaultdict(list)
    problems: list[Problem] = []
    for number in order:
        example = examples[number]
        same = [i for i in exact[plain[number]] if not _apart(example, examples[i])]
        problem = _against(example, [examples[i] for i in same], judged) if same else None
        if problem is None and not same:
            others = [examples[i] for i in texts.near(number) if plain[i] != plain[number]]
            problem = _near_to(example, [e for e in others if not _apart(example, e)], closed)
        if problem is not None:
            problems.append(problem)
        # A copy that is dropped or merged is no original for others.
        if problem is None or problem.action == "look":
            exact[plain[number]].append(number)
            texts.add(number)
    return problems


def _apart(first: Example, second: Example) -> bool:
    """The same words asked of different documents, or judged in different ways, are different examples."""
    other_documents = bool(first.sources and second.sources and not set(first.sources) & set(second.sources))
    return (other_documents and not _answers(first) & _answers(second)) or first.answerable != second.answerable


def _answers(example: Example) -> set[str]:
    return {bare(r) for r in example.references}


def _place(example: Example) -> str:
    return f"{example.file}:{example.line}" if example.file and example.line else example.id


def _crossed(first: Example, second: Example) -> bool:
    return bool(first.split and second.split and first.split != second.split)


def _against(example: Example, candidates: Sequence[Example], judged: bool) -> Problem | None:
    mine = _answers(example)
    match = next((e for e in candidates if _answers(e) == mine), None)
    match = match or next((e for e in candidates if _answers(e) & mine), candidates[0])
    where = _place(match)
    agreed = bool(_answers(match) & mine) or not mine
    fields = {"other": where}
    if _crossed(example, match):
        message = f"this {example.split} example stands in {match.split} too, at {where}"
        return note(example, "data.leak", message, cure="Keep the example in one split only.", action="drop", **fields)
    if agreed and _answers(match) >= mine:
        return note(
            example, "data.duplicate", f"the same example as {where}", cure="Drop the example.", action="drop", **fields
        )
    if agreed or not judged:
        message = f"the same question with another answer at {where}"
        cure = "List all right answers in one example; drop a wrong one."
        return note(example, "data.more-answers", message, cure=cure, action="merge", **fields)
    message = f"the same question with another label at {where}: {_shown(example)} here, {_shown(match)} there"
    return note(example, "data.contradiction", message, cure="Keep the right answer.", severity="error", **fields)


def _near_to(example: Example, others: Sequence[Example], closed: bool) -> Problem | None:
    # Questions that differ in a number are filled in from one template, and no copies.
    others = [e for e in others if figures(conversation(e)) == figures(conversation(example))]
    agreeing = [e for e in others if _answers(e) & _answers(example) or not _answers(example)]
    match = next((e for e in others if _crossed(example, e) and agree(example, e)), None)
    if match is not None:
        message = f"nearly the same {example.split} example stands in {match.split}, at {_place(match)}"
        cure = "Keep the example in one split only."
        return note(example, "data.leak", message, cure=cure, action="drop", other=_place(match))
    if agreeing:
        where = _place(agreeing[0])
        message = f"nearly the same example as {where}, with the same answer"
        return note(example, "data.near-duplicate", message, cure="Drop one of the two.", action="drop", other=where)
    if others and closed:
        where = _place(others[0])
        message = (
            f"nearly the same question has another label at {where}: {_shown(example)} here, {_shown(others[0])} there"
        )
        return note(example, "data.near-contradiction", message, cure="Check whether both are intended.", other=where)
    return None


def _shown(example: Example) -> str:
    return repr(example.references[0][:40]) if example.references else "none"


def privacy(examples: Sequence[Example]) -> list[Problem]:
    """Personal data and secrets, one finding for each example and kind; the values themselves are not told."""
    problems: list[Problem] = []
    for example in examples:
        seen: Counter[tuple[str, str, str]] = Counter()
        for what, text in texts_of(example):
            for place in private(text):
                seen[place.sort, place.kind, what] += 1
        for (sort, kind, what), count in seen.items():
            many = f"{count} times " if count > 1 else ""
            message = f"the {what} holds {many}what looks like {'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
            secret = sort == "secret"
            cure = "Revoke it; `clean --mask` takes it out." if secret else "`clean --mask` takes it out."
            code, severity = ("data.secret", "error") if secret else ("data.personal", "warning")
            problems.append(note(example, code, message, cure=cure, action="mask", severity=severity))
    return problems


def verbatim(examples: Sequence[Example], documents: Sequence[Document]) -> list[Problem]:
    """Questions that stand word for word in a document, answer and all: the index holds the examples themselves."""
    by_opening: defaultdict[str, list[int]] = defaultdict(list)
    questions = [wording(e.question).split() for e in examples]
    for number, words in enumerate(questions):
        if len(words) >= _SHINGLE:
            by_opening[" ".join(words[:_SHINGLE])].append(number)
    problems: dict[int, Problem] = {}
    for document in documents if by_opening else ():
        text = wording(document.text)
        words = text.split()
        for at in range(len(words) - _SHINGLE + 1):
            for number in by_opening.get(" ".join(words[at : at + _SHINGLE]), ()):
                example = examples[number]
                whole = words[at : at + len(questions[number])] == questions[number]
                # Soon after the question: further away the answer may stand by chance.
                rest = " ".join(words[at + len(questions[number]) : at + len(questions[number]) + 200])
                if whole and number not in problems and any(a and a in rest for a in _answers(example)):
                    message = f"question and answer stand in the document {document.id!r} one after the other"
                    cure = "Take the examples' file out of the documents, or do not test on it."
                    problems[number] = note(example, "data.in-documents", message, cure=cure, other=document.source)
    return list(problems.values())
