"""Faults between examples and documents. Pure."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from typing import Any, Literal

from twofold.examples.leaks import bare, conversation
from twofold.examples.quality import labels
from twofold.examples.quality.text import placeholders
from twofold.examples.spelling import json_answers
from twofold.files.reading import Findings, counted, excerpt
from twofold.text import sanitise
from twofold.text.declining import declines
from twofold.types import Document, Example, Problem

RARE = 0.05
"""So many of the reference answers may be longer than an answer may be; `init` sets the limit by the others."""


def tokens_about(text: str, *, dense: bool = False) -> float:
    """Tokens of a text, estimated from its characters: four to a token, three in code and JSON (`dense`)."""
    # Other scripts have about one and a half tokens a character.
    plain = len(text.encode("ascii", "ignore"))
    return plain / (3.0 if dense else 4.0) + (len(text) - plain) * 1.5


def check(
    documents: Sequence[Document],
    examples: Sequence[Example],
    *,
    max_tokens: int = 0,
    abstention: str = "",
    forgotten: Container[str] = (),
) -> list[Problem]:
    """List faults between examples and documents, and among the examples. Errors stop a study, warnings do not.

    Args:
        documents: The project's.
        examples: The project's.
        max_tokens: Limit of an answer, which references are held against; 0 for none.
        abstention: The sentence that a prompt asks for where the documents do not tell; empty: none.
        forgotten: Ids of documents that `twofold forget` removed: an example that names one is no slip of the pen.
    """
    findings = Findings()
    texts = {d.id: d.text for d in documents}
    # Without documents every name would be unknown: that is said once, below.
    if documents:
        _unknown(examples, texts, forgotten, findings)

    def note(severity: Literal["error", "warning"], code: str, message: str, cure: str, example: Example) -> None:
        findings.add(
            Problem(severity=severity, code=code, message=message, cure=cure, file=example.file, line=example.line)
        )

    for e in examples:
        for span in e.spans:
            text = texts.get(span.document)
            if text is None:
                continue
            if span.end > len(text):
                message = f"example {e.id!r}: span {span.start}–{span.end} lies outside {span.document!r} ({len(text)})"
                note("error", "data.bad-span", message, "Count characters of the document's text, from 0.", e)
        if e.spans and e.references and not _quoted(e, texts):
            message = f"example {e.id!r}: none of its spans shares a word with its answers"
            note("warning", "data.span-answer", message, "Check that the spans count characters, not bytes.", e)
        wrong = [r for r in e.references if r not in e.choices] if e.choices else []
        if wrong and e.answerable:
            message = f"example {e.id!r}: the answer {excerpt(wrong[0], 30)!r} is none of its choices"
            note("error", "data.choices", message, "Write answers exactly as among the choices.", e)
    if examples and not documents and any(e.sources for e in examples):
        note(
            "warning",
            "data.no-documents",
            "examples name documents, but the project has none",
            "Set [documents].paths.",
            next(e for e in examples if e.sources),
        )
    several = [e for e in examples if json_answers(e.references) == "several"]
    if several:
        note(
            "warning",
            "data.json-answers",
            f"{counted(len(several), 'example')} {'has' if len(several) == 1 else 'have'} several JSON answers, "
            f"and each of them alone is right ({several[0].id!r}: {len(several[0].references)})",
            'Leave alternatives as they are. One list that is right as a whole goes into "output".',
            several[0],
        )
    _too_long(examples, max_tokens, note)
    _declining(examples, abstention, note)
    _placeholders(examples, note)
    for problem in labels.spelled_alike(examples):
        findings.add(problem)
    _repeats(examples, note)
    _suspicious(documents, findings)
    if 0 < len(examples) < 50:
        note(
            "warning",
            "data.few-examples",
            f"{counted(len(examples), 'example')} {'is' if len(examples) == 1 else 'are'} few: with fewer than 50 test "
            "examples most comparisons stay undecided",
            "Add examples.",
            examples[0],
        )
    return findings.all()


def _too_long(examples: Sequence[Example], max_tokens: int, note: Any) -> None:
    """Examples none of whose references can be written within the limit, where these are many, as one warning."""
    needed = [(min(map(tokens_about, e.references)), e) for e in examples if e.references]
    over = [(tokens, e) for tokens, e in needed if max_tokens and tokens > max_tokens]
    # A few long references are what `init` expects: it sets the limit by the others.
    if len(over) > RARE * len(needed):
        most, example = max(over, key=lambda pair: pair[0])
        note(
            "warning",
            "data.long-answer",
            f"{len(over)} of {counted(len(needed), 'reference answer')} are longer than [generation].max_tokens = "
            f"{max_tokens}, the longest with about {most:.0f} tokens ({example.id!r}): such answers are cut",
            # Three tenths above the estimate, rounded up to the next ten.
            f"Set max_tokens to {-(-int(most * 1.3) // 10) * 10} or more, or shorten the answers.",
            example,
        )


_SHOWN = 8
"""Lines that a finding names."""


def _placeholders(examples: Sequence[Example], note: Any) -> None:
    """Answers that say nothing, as a table's empty cells are often written: one warning a file."""
    by_file: dict[str, list[Example]] = {}
    for example in placeholders([e for e in examples if e.answerable]):
        by_file.setdefault(example.file, []).append(example)
    for empty in by_file.values():
        lines = ", ".join(str(e.line) for e in empty[:_SHOWN]) + (", …" if len(empty) > _SHOWN else "")
        count = len(empty)
        note(
            "warning",
            "data.placeholder",
            f"{counted(count, 'answer')} {'says' if count == 1 else 'say'} nothing, as "
            f"{excerpt(empty[0].references[0])!r} (line{'' if count == 1 else 's'} {lines}): an arm is right where it "
            "says the same",
            "Write the answer, take the example out, or say that it is not answerable.",
            empty[0],
        )


def _declining(examples: Sequence[Example], abstention: str, note: Any) -> None:
    """Answers that decline: an answer in these words is read as an abstention, and scores 0 where one is wanted."""
    declined: list[tuple[str, Example]] = []
    for example in examples:
        # A choice in these words is an answer like any other.
        references = (text for text in example.references if text not in example.choices) if example.answerable else ()
        declined += [(text, example) for text in references if declines(text, abstention)]
    if declined:
        reference, example = declined[0]
        count = len({e.id for _, e in declined})
        lines = list(dict.fromkeys(e.line for _, e in declined if e.line and e.file == example.file))
        where = f" (lines {', '.join(map(str, lines[:_SHOWN]))}{' and more' if len(lines) > _SHOWN else ''})"
        note(
            "warning",
            "data.declining-answer",
            f"{counted(count, 'example')} {'has' if count == 1 else 'have'} an answer that declines, such as "
            f"{excerpt(reference, 60)!r}{where if len(lines) > 1 else ''}: whoever answers so is taken to abstain, "
            "and gets 0 there",
            'Write `"answerable": false` where the documents do not tell; else say the answer in other words, or set '
            'abstention = "" in [prompt].',
            example,
        )


def _unknown(
    examples: Sequence[Example], texts: Mapping[str, str], forgotten: Container[str], findings: Findings
) -> None:
    """Examples that name documents which are not there, as one error."""
    wrong = []
    for example in examples:
        for source in example.sources:
            if source not in texts:
                wrong.append((example, source))
    if not wrong:
        return
    first, name = wrong[0]
    count = len({e.id for e, _ in wrong})
    lead = f"{counted(count, 'example')} {'names a document' if count == 1 else 'name documents'}"
    others = list(dict.fromkeys(source for _, source in wrong if source != name))
    more = f" (and {excerpt(', '.join(map(repr, others)))})" if others else ""
    if name in forgotten:
        cure = "It was forgotten: take out the examples that name it; or `twofold forget DOC --lift` takes it in again."
    else:
        cure = (
            f"{meant(name, nearest(name, texts, 1))}`twofold index documents` lists the ids; correct doc_ids, or add "
        )
        cure += "the documents."
    findings.add(
        Problem(
            severity="error",
            code="data.unknown-document",
            message=f"{lead} that {'is' if count == 1 else 'are'} not there: {name!r} here{more}",
            cure=cure,
            file=first.file,
            line=first.line,
        )
    )


def nearest(name: str, ids: Iterable[str], count: int = 3) -> list[str]:
    """Ids that may be meant by `name`: those that are it but for folder or ending, and those spelled like it."""
    ids = list(ids)
    bare_name = _stem(name)
    alike = [one for one in ids if _stem(one) == bare_name]
    # Looser by the bare name: an id may have a folder and an ending that the name lacks.
    return (alike or get_close_matches(name, ids, count) or get_close_matches(bare_name, ids, count, 0.5))[:count]


def meant(name: str, near: Sequence[str]) -> str:
    """A sentence that asks for the ids that may be meant, empty without one; where the eye sees no difference, why."""
    if not near:
        return ""
    same = [one for one in near if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", name)]
    if not same:
        return f"Did you mean {' or '.join(map(repr, near))}? "
    return f"{same[0]!r} looks the same, but its accents are coded in another way: copy the id from the list. "


def _stem(name: str) -> str:
    name = unicodedata.normalize("NFC", name)
    return name.rsplit("/", 1)[-1].rsplit(".", 1)[0].casefold()


_SUSPICIOUS = {
    "instruction": ("sentences that speak to the model that reads them", "They are withheld from prompts; read them."),
    "control-token": ("control tokens of chat templates", "They are broken in prompts; nothing need be done."),
    "hidden-text": ("runs of invisible characters", "They are left out of prompts; look where the file came from."),
}


def _suspicious(documents: Sequence[Document], findings: Findings) -> None:
    """Documents in which something looks like an attack on the model; one line for each kind."""
    by_kind: defaultdict[str, list[tuple[Document, str]]] = defaultdict(list)
    for document in documents:
        # Backwards, so that the first place of a kind is the one that is quoted.
        seen: dict[str, str] = {
            suspicion.kind: document.text[suspicion.start : suspicion.end]
            for suspicion in reversed(sanitise.findings(document.text))
        }
        for kind, words in seen.items():
            by_kind[kind].append((document, words))
    for kind, affected in sorted(by_kind.items()):
        what, cure = _SUSPICIOUS[kind]
        names = ", ".join(document.id for document, _ in affected[:3]) + (", …" if len(affected) > 3 else "")
        words = excerpt(sanitise.shown(affected[0][1]), 80)
        findings.add(
            Problem(
                severity="warning",
                code="data.hostile-text",
                message=f"{len(affected)} of {len(documents)} documents hold {what}: {names}; the first: {words!r}",
                cure=cure,
                file=affected[0][0].source,
            )
        )


def _quoted(example: Example, texts: Mapping[str, str]) -> bool:
    quotes = [texts[s.document][s.start : s.end] for s in example.spans if s.document in texts]
    words = set(chain.from_iterable(bare(quote).split() for quote in quotes))
    reference_words = [set(bare(r).split()) for r in example.references]
    # Without words on both sides nothing can be compared.
    if not words or not any(reference_words):
        return True
    # A script without blanks has a whole sentence as one word: there the letters decide.
    quoted = bare(" ".join(quotes)).replace(" ", "")
    return any(w & words for w in reference_words) or any(
        bare(r).replace(" ", "") in quoted for r in example.references
    )


def _repeats(examples: Iterable[Example], note: Any) -> None:
    """The same question twice: harmless, contradictory, or not to be told apart without its document."""
    same: defaultdict[str, list[Example]] = defaultdict(list)
    for e in examples:
        same[conversation(e)].append(e)
    for group in same.values():
        first = group[0]
        alike: defaultdict[tuple[str, str, str], list[Example]] = defaultdict(list)
        for e in group[1:]:
            answers = {bare(r) for r in e.references}
            first_answers = {bare(r) for r in first.references}
            apart = bool(first.sources and e.sources and not set(first.sources) & set(e.sources))
            where = f"{first.file}:{first.line}" if first.file else first.id
            shown = excerpt(first.question, 40)
            if first_answers & answers or (not first_answers and not answers):
                message = f"the same question twice, first at {where}: {shown!r}"
                code = "data.repeated-question"
                cure = "Remove one, or keep both in one group."
            elif apart:
                message = f"the same question about another document, first at {where}: {shown!r}"
                code = "data.ambiguous-question"
                cure = "Name the document in the question: retrieval cannot tell which."
            else:
                message = f"the same question with another answer, first at {where}: {shown!r}"
                code = "data.contradiction"
                cure = "List all right answers in one example."
            alike[code, message, cure].append(e)
        for (code, message, cure), others in alike.items():
            more = f" (and {counted(len(others) - 1, 'more example')})" if len(others) > 1 else ""
            note("warning", code, message + more, cure, others[0])
