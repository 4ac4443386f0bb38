"""Questions from documents by templates, and the checks that every made question must pass. Pure.

A made question is kept when it is a question, speaks of no passage that the reader does not see, and has an answer that
stands word for word in its passage and not already in the question. A question that no document answers is made by
exchanging its name or number for one of another document (Rajpurkar, Jia & Liang 2018 had people do the same).
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from twofold.examples.cloze import cloze, sentences_of
from twofold.examples.leaks import bare
from twofold.text import grounding
from twofold.types import Chunk, Example, Json, Message, Span

TEMPLATES = "templates"
"""The maker of questions made without a model."""
_DEFINED = re.compile(
    r"(?P<the>(?:The|An?) )?(?P<what>[A-Z][\w’'-]*(?: [\w’'-]+){0,4}?) (?P<verb>is|are|was|were) "
    r"(?P<told>(?:an?|the|one of|any|both|either) [^.!?;:]{10,160}?)[.;]?$"
)
"""A sentence that defines a thing: "A clearing house is an institution that …"."""
_POINTING = re.compile(
    r"(It|This|That|These|Those|They|There|He|She|We|You|I|One|Some|Many|Most|All|Here|What|Which|Each|Both|"
    r"Now|Today)\b"
)
"""First words that point to another sentence or to no thing: "This is a rule" defines nothing."""
_HIDDEN = re.compile(
    r"\b(?:the|this|that|above|given|following|provided)\s+(?:\w+\s+)?"
    r"(?:passage|text|paragraph|excerpt|article|document|context|author|sentence|section)s?\b"
    r"|\baccording to (?:it|this)\b",
    re.IGNORECASE,
)
"""Words about the passage itself, which the reader of the question does not see."""
_NAME = re.compile(r"(?<![.!?:\"“]\s)(?<!^)\b[A-Z][\w’-]+(?:\s+[A-Z][\w’-]+){0,3}\b")
"""Up to four capitalised words within a sentence: the first word of a sentence is capitalised whatever it is."""
_NUMBER = re.compile(r"(?<![\w.,])\d++(?:[.,]\d++)*+(?![\w.,]*\d)")
"""A number with its separators; possessive, so that a long row of digits is not tried at each length."""
_GLUE = re.compile(
    r"\b(?:about|above|after|against|and|as|at|before|below|between|but|by|during|for|from|if|in|into|is|it|its|of|on|or|"
    r"per|since|than|that|the|through|to|until|was|which|who|with|within)\b",
    re.IGNORECASE,
)
"""Words that join phrases: an answer across one is no answer to anything ("night at 01:30")."""
_DRAWS = 12
"""Clozes tried for one whose answer holds no word of `_GLUE`."""
_LETTERS = 0.6
"""Share of letters below which a passage is a table, code or a list of numbers."""
FEWEST_WORDS = 20
"""Fewest words of a passage to ask about."""
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese, which set no blanks between words."""
_LETTERS_A_WORD = 2.5
"""Such letters that count as a word: a Chinese word has two, a Thai one four to five with its vowel signs."""
_RESTATED = 0.8
"""Share of an answer's first words that must stand in the question for them to be cut off."""
_ALIKE = 0.5
"""A passage with this share of a question's words, and the exchanged name, may answer the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A question and its answer before they are checked."""

    question: str
    """The question."""
    answer: str
    """The answer, which should stand in the passage."""
    kind: str
    """The way the question was made: ``definition``, ``cloze``, ``model``."""


def worth_asking(chunks: Iterable[Chunk], *, seed: int) -> list[Chunk]:
    """Passages of running text, drawn by seed, the documents taking turns; the same for any order of `chunks`."""
    by_document: defaultdict[str, list[Chunk]] = defaultdict(list)
    for chunk in sorted(chunks, key=lambda c: c.id):
        letters = sum(letter.isalpha() or letter.isspace() for letter in chunk.text)
        if _words(chunk.text) >= FEWEST_WORDS and letters >= _LETTERS * len(chunk.text):
            by_document[chunk.span.document].append(chunk)
    queues = []
    for name in sorted(by_document):
        random.Random(f"{seed}/{name}").shuffle(by_document[name])
        queues.append(by_document[name])
    random.Random(f"{seed}/documents").shuffle(queues)
    longest = max(map(len, queues), default=0)
    # the documents take turns, so that a long document does not fill the budget alone
    passages = []
    for turn in range(longest):
        passages += [queue[turn] for queue in queues if turn < len(queue)]
    return passages


def _words(text: str) -> float:
    """Words of a text, estimated where the script sets no blanks between them."""
    return max(len(text.split()), len(_UNSPACED.findall(text)) / _LETTERS_A_WORD)


def by_template(chunk: Chunk, *, seed: int) -> Drawn | None:
    """A question for a definition, or a sentence with words taken out; None where the passage yields neither."""
    chance = random.Random(f"{seed}/{chunk.id}")
    definitions = list(_definitions(chunk.text))
    # half of the passages that define something are asked for it, so that neither kind of question prevails
    if definitions and chance.random() < 0.5:
        return chance.choice(definitions)
    drawn = (cloze(chunk.text, chance) for _ in range(_DRAWS))
    blanked = next((one for one in drawn if one and not _GLUE.search(one[1])), None)
    if blanked is None:
        return chance.choice(definitions) if definitions else None
    return Drawn(question=blanked[0], answer=blanked[1], kind="cloze")


def _definitions(text: str) -> Iterator[Drawn]:
    for sentence in sentences_of(text):
        match = _DEFINED.fullmatch(sentence)
        if match and not _POINTING.match(sentence):
            the = (match["the"] or "").lower()
            question = f"What {match['verb']} {the}{match['what']}?"
            yield Drawn(question=question, answer=match["told"].strip(), kind="definition")


def place_of(chunk: Chunk, answer: str) -> Span | None:
    """The span of the answer, which stands in the passage but for case and white space; None where it does not."""
    words = answer.strip(" \t\n.\"'“”").split()
    if not words:
        return None
    inner = r"\s+".join(re.escape(word) for word in words)
    match = re.search(rf"(?<!\w){inner}(?!\w)", chunk.text, re.IGNORECASE)
    if match is None:
        return None
    start = chunk.span.start
    return Span(document=chunk.span.document, start=start + match.start(), end=start + match.end())


def without_restating(answer: str, question: str, chunk: Chunk) -> str:
    """The answer without the question's words before it: "10" of "The limit for a card is 10".

    The first words are cut off where the question has them and the rest stands in the passage; otherwise the answer
    stays as it is.
    """
    if place_of(chunk, answer) is not None:
        return answer
    words = answer.split()
    for at in range(1, len(words)):
        head, tail = " ".join(words[:at]), " ".join(words[at:])
        if place_of(chunk, tail) is not None and grounding.checkable(tail):
            return tail if grounding.share(head, [question]) >= _RESTATED else answer
    return answer


def fault_of(drawn: Drawn, chunk: Chunk, *, most_words: int) -> str:
    """The reason to discard a question, in words; empty for a question without a fault."""
    question = drawn.question.strip()
    words = question.split()

    if not question.endswith("?") or not 3 <= len(words) <= 60 or "\n" in question:
        return "not a question"
    if not grounding.checkable(question):
        return "asks about nothing"
    if _HIDDEN.search(question):
        return "speaks of a passage that is not shown"
    answer = bare(drawn.answer)
    if not re.search(r"\w", answer):
        return "no answer"
    if len(answer.split()) > most_words:
        return "answer too long"
    if place_of(chunk, drawn.answer) is None:
        return "answer not in the passage"
    if f" {answer} " in f" {bare(question)} ":
        return "answer stands in the question"
    if drawn.kind == "model" and not grounding.share(
        question, [f"{chunk.title} {' '.join(chunk.headings)} {chunk.text}"]
    ):
        return "shares no word with its passage"
    return ""


def example_of(drawn: Drawn, chunk: Chunk, *, maker: str) -> Example:
    """The example of a question that passed the checks; its reference is in the passage's own words."""
    span = place_of(chunk, drawn.answer)
    assert span is not None, "only for what stood the checks"
    start = chunk.span.start
    return Example(
        # named by its passage: another run gives it the same id
        id=f"made/{chunk.id.rpartition(':')[2][:12]}/{drawn.kind}",
        messages=(Message(role="user", content=drawn.question.strip()),),
        references=(" ".join(chunk.text[span.start - start : span.end - start].split()),),
        sources=(span.document,),
        spans=(span,),
        group=span.document,
        origin="synthetic",
        maker=maker,
    )


# ---------------------------------------------------------------- questions without an answer


def entities(text: str) -> list[str]:
    """The names within sentences and the numbers of a text, in order, each once."""
    matches = [*_NAME.finditer(text), *_NUMBER.finditer(text)]
    return list(dict.fromkeys(match.group() for match in sorted(matches, key=lambda m: m.start())))


def entity_places(chunks: Sequence[Chunk]) -> dict[str, set[int]]:
    """Name or number → places in `chunks` of the passages that hold it."""
    places: defaultdict[str, set[int]] = defaultdict(set)
    for number, chunk in enumerate(chunks):
        for entity in entities(chunk.text):
            places[entity].add(number)
    return dict(places)


def altered(example: Example, chunks: Sequence[Chunk], places: Mapping[str, set[int]], *, seed: int) -> Example | None:
    """The question with another name or number, such that no passage answers it; None where there is no such name.

    The new name has the old one's shape. It stands in other documents only, and in no passage that holds half of the
    question's other words.
    """
    chance = random.Random(f"{seed}/{example.id}/altered")
    question = example.question
    # a name that stands twice may mean two things
    old = [entity for entity in entities(question) if question.count(entity) == 1]
    chance.shuffle(old)
    # a capitalised word of one passage only may be a chance capital; sorted, for one draw in any order of the passages
    pool = sorted(entity for entity, held in places.items() if len(held) > 1 or entity[0].isdigit())
    chance.shuffle(pool)
    for entity in old:
        tried = [new for new in pool if new != entity and _shape(new) == _shape(entity) and new not in question][:20]
        for new in tried:
            variant = question.replace(entity, new)
            holding = [chunks[number] for number in places[new]]
            # the document asked about may tell of both names
            if any(chunk.span.document in example.sources for chunk in holding):
                continue
            rest = variant.replace(new, " ")
            if all(grounding.share(rest, [f"{c.title} {c.text}"]) < _ALIKE for c in holding):
                return Example(
                    id=f"{example.id}/altered",
                    messages=(Message(role="user", content=variant),),
                    references=(),
                    answerable=False,
                    group=example.group,
                    origin="synthetic",
                    maker=example.maker,
                    parent=example.id,
                )
    return None


def _shape(entity: str) -> str:
    if entity[0].isdigit():
        # a year for a year, a price for a price
        return re.sub(r"\d", "0", entity)
    return f"{len(entity.split())} names"


def told_by(answer: str, chunks: Iterable[Chunk]) -> bool:
    """Does a passage hold all of the answer's words and numbers?"""
    return any(grounding.share(answer, [chunk.text]) >= 1 or bare(answer) in bare(chunk.text) for chunk in chunks)


# ---------------------------------------------------------------- records


def as_record(example: Example) -> Json:
    """An example as the JSON object that `load_examples` reads back as the same example, without its empty fields."""
    alone = len(example.messages) == 1
    record: Json = {"id": example.id}
    if alone:
        record["question"] = example.question
    else:
        record["messages"] = [{"role": m.role, "content": m.content} for m in example.messages]
    record["answers"] = list(example.references)
    if not example.answerable:
        record["answerable"] = False
    rest: Json = {
        "doc_ids": list(example.sources),
        "spans": [[span.document, span.start, span.end] for span in example.spans],
        "grades": dict(example.grades),
        "choices": list(example.choices),
        "group": example.group,
        "origin": example.origin,
        "maker": example.maker,
        "parent": example.parent,
        "at": example.at,
        "tests": example.tests,
        "split": example.split,
    }
    return {**record, **{key: value for key, value in rest.items() if value}}
