"""What a project shows without being asked: facts, each with its numbers and where it comes from. Pure.

Shares have 95 % intervals that respect groups (`intervals.estimate`). A fact that the numbers do not settle has no
level: it is shown, and the question stays open.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain, pairwise

from twofold.advice.linear import LinearScore
from twofold.advice.ranking import ProjectFact
from twofold.advice.start import facts as starting_facts
from twofold.advice.start import is_closed_set, quoted_shares
from twofold.examples.checking import tokens_about
from twofold.examples.quality import labels as label_quality
from twofold.files.reading import counted, suffix_of
from twofold.stats import intervals
from twofold.types import Document, Estimate, Example, Json
from twofold.verdict import doubting

CADENCES: tuple[tuple[float, str], ...] = ((2.0, "daily"), (20.0, "weekly"), (200.0, "quarterly"), (math.inf, "yearly"))
"""Days between changes up to which they count as this often: twice the period or more, for syncs miss some."""
FEWEST_GAPS = 3
"""With fewer gaps between days on which syncs found changes, nothing is said of how often documents change."""
HOURLY = 6
"""Changes on a median day with changes from which they count as hourly. Days are counted, not syncs: whoever sets a
project up syncs often for an afternoon."""
FOREIGN = 0.03
"""Share of words that a tokenizer cuts into three pieces or more, from which a field's words count as foreign to the
model. Measured with the tokenizer of SmolLM2: plain English requests .003, tickets of bank customers .001, irrigation
articles .005, Wikipedia .024 (names), COVID articles .049, questions on diseases .118, SQL with a schema .35."""
PIECES = 3
"""A word in so many pieces is one that the tokenizer's corpus seldom had."""
SIZES: tuple[tuple[float, str], ...] = ((1.0, "small"), (15.0, "medium"), (math.inf, "large"))
"""Billions of weights below which a model counts as so large. Measured only at .13: there tuning on 300 examples of the
demo's questions doubled what retrieval alone reached."""
SAMPLED_TEXTS, SAMPLED_CHARACTERS = 200, 2000
"""Texts, and characters of each, that the vocabulary is looked at in."""
QUOTED, UNQUOTED = 0.8, 0.5
"""Median share of a reference's words that stand in its documents: from the first on answers are quotations, below the
second they are other words."""
FEWEST_QUOTES = 6
"""A median of fewer values has no interval."""
SOME_UNANSWERABLE = 0.02
"""Share of unanswerable questions from which declining is a part of the task."""
AMPLE = 20.0
"""Examples for each category from which a linear model on words has enough, about."""
MANY_LARGE = 0.05
"""Share of documents longer than a prompt from which the documents count as large."""
DOUBTED, AGREED = 0.1, 0.05
"""Share of doubtful labels: from the first on (by the interval's lower end) they are poor, below the second (by its
upper end) they are agreed on."""
LINEAR_STRONG, LINEAR_WEAK = 0.75, 0.6
"""Share of labels that a linear model gets right, from which (lower end) it is strong, below which (upper end) it is
weak. Measured on 2,500 examples each: 77 intents of bank customers .81, 150 intents .84; yes, no or maybe to biomedical
questions .54, where the commonest label has .55."""
TELLING = 0.6
"""Share of labels that a linear model gets right, from which a label that it contradicts is worth a doubt. Of 500
questions to be answered yes, no or maybe it doubted a fifth, and got .54 right."""
MOST_JUDGED = 10_000
"""Labels that are judged, in some seconds. Of fewer more would be doubted, for want of likes to learn from: of the
9,992 labels of 77 intents 2.1 % are, of every fourth of them 4.2 %."""
FEWEST_LABELS = 20
"""With fewer examples no agreement, and no set of categories, is judged."""
LABELS_FROM: tuple[tuple[int, str], ...] = ((10_000, "more"), (1_000, "thousands"), (100, "hundreds"), (1, "tens"))
"""Number of examples from which on a level counts."""
SHOWN_KINDS = 12
_ENDING = re.compile(r"\.[a-z0-9]{1,8}")
"""What a file's name may end in for it to be a kind of file, and no part of a name."""
_WORD = re.compile(r"[^\W\d_]{2,}")
_TABLES_AND_PICTURES = frozenset(
    {".csv", ".tsv", ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".parquet"}
)

EXAMPLES = "the project's examples"
DOCUMENTS = "the project's documents"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """How a tokenizer cuts words, and how long a prompt of its model may be."""

    model: str
    """Name of the model."""
    pieces: Callable[[Sequence[str]], Sequence[int]]
    """Texts → number of tokens of each."""
    window: int
    """Tokens of its longest prompt, with the answer."""
    weights: float = 0.0
    """Number of its weights, about; 0 where its configuration does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectData:
    """What facts are read from."""

    documents: Sequence[Document]
    unsynced: bool
    """Are there sources of documents that were never synced?"""
    examples: Sequence[Example]
    learnable: Sequence[Example]
    """Those of them that a model may be fitted to: of train and dev, never of test or reserve."""
    metric: str
    """The deciding metric, which tells whether references are labels or JSON."""
    changes: Sequence[Json]
    """What each sync changed, with its time ``at``, oldest first."""
    vocabulary: Vocabulary | None
    """None: there is no tokenizer to ask."""
    why_no_vocabulary: str
    """Why there is none, in words; empty where there is one."""
    room: int
    """Tokens of a prompt that documents cannot have: instructions, the question, the answer."""
    linear: LinearScore | None
    """How far a linear model comes on the labels; None where they are no closed set."""
    why_no_linear: str
    """Why that is not known, in words; empty where it is, or where it means nothing."""
    must_cite: bool
    """``[study].must_cite``."""
    permissions: bool
    """Is access control, or the study's constraint on permissions, switched on?"""


def gathered(data: ProjectData) -> tuple[ProjectFact, ...]:
    """All facts, those that decide something first."""
    facts = [
        *_form(data),
        *_change(data.changes),
        *_rules(data),
        *_labels(data.examples),
        *_agreement(data),
        *_classes(data.examples),
        *_linear(data),
        *_size(data),
        *_variety(data.documents),
        *_model(data.vocabulary),
        *_vocabulary(data),
        *_unanswerable(data.examples),
        *_quoted(data),
        *_lengths(data),
    ]
    return tuple(sorted(facts, key=lambda fact: not fact.level))


# ---------------------------------------------------------------- task and rules


def _form(data: ProjectData) -> Iterable[ProjectFact]:
    if not data.examples:
        return
    seen = starting_facts((), data.examples, data.metric)
    task = partial(ProjectFact, criterion="task", source=EXAMPLES)
    match seen.form:
        case "labels":
            text = f"the right answers are {len(seen.labels)} labels"
            yield task(level="classification", text=text)
        case "structured":
            yield task(level="structured", text="the right answers are JSON")
        case "query":
            yield task(level="structured", text="the right answers are SQL")
        case form:
            words = {
                "choice": "one of the choices that each question gives",
                "short": "a few words each",
                "long": "whole sentences",
                "text": "texts made from inputs that are no questions",
            }[form]
            # Their form does not tell questions from look-ups or tone, but rules out what has a form of its own.
            against = ("classification", "structured") if form == "short" else ("classification",)
            text = f"the right answers are {words}"
            answerable = [example for example in data.examples if example.answerable]
            sourced = sum(bool(example.sources) for example in answerable)
            if sourced * 2 > len(answerable):
                text += f", and {sourced} of {counted(len(answerable), 'example')} name the document that answers"
                yield task(level="questions", text=text, against=against, tentative=True)
            elif is_closed_set(data.examples, data.metric):
                text = "the right answers are one of the same choices for all questions"
                yield task(level="classification", text=text, tentative=True)
            else:
                yield task(level="", text=text, against=against)


def _change(changes: Sequence[Json]) -> Iterable[ProjectFact]:
    """How often documents change, as far as syncs saw it: at least so often."""
    times = []
    for change in changes:
        if change.get("at") and any(change.get(key) for key in ("added", "changed", "deleted")):
            times.append(datetime.fromisoformat(change["at"]))
    if not times:
        return
    source = "versions of the index"
    times = sorted(times)[1:]  # the first sync finds everything new
    by_day = Counter(time.date() for time in times)
    gaps = [(later - earlier).days for earlier, later in pairwise(sorted(by_day))]
    if len(gaps) < FEWEST_GAPS:
        text = f"syncs found changes on {counted(len(by_day), 'day')} after the first: too few to say how often"
        yield ProjectFact(criterion="change", level="", text=text, source=source)
        return
    middle, low, high = intervals.quantile_interval(gaps, 0.5)
    level = next(level for most, level in CADENCES if middle <= most)
    if level == "daily" and statistics.median(by_day.values()) >= HOURLY:
        level = "hourly"
    ends = f", 95 % from {low:g} to {high:g}" if low is not None and high is not None else ""
    text = f"syncs found changes every {middle:g} days (the median of {len(gaps)} gaps{ends})"
    yield ProjectFact(criterion="change", level=level, text=text, source=source)


def _rules(data: ProjectData) -> Iterable[ProjectFact]:
    if data.must_cite:
        text = "answers must cite"
        yield ProjectFact(criterion="attribution", level="required", text=text, source="[study].must_cite")
    restricted = sum(document.readers is not None for document in data.documents)
    if data.permissions:
        text = "per-document permissions must hold"
        yield ProjectFact(criterion="permissions", level="yes", text=text, source="[access] and [study].permissions")
    elif restricted:
        text = f"{restricted} of {counted(len(data.documents), 'document')} name their readers"
        yield ProjectFact(criterion="permissions", level="yes", text=text, source=DOCUMENTS)


# ---------------------------------------------------------------- examples


def _labels(examples: Sequence[Example]) -> Iterable[ProjectFact]:
    usable = [example for example in examples if example.references or not example.answerable]
    if not usable:
        return
    level = next(level for least, level in LABELS_FROM if len(usable) >= least)
    people = sum(example.origin != "synthetic" for example in usable)
    text = counted(len(usable), "example")
    text += f", {people} of them by people or from logs" if people < len(usable) else ""
    yield ProjectFact(criterion="labels", level=level, text=text, source=EXAMPLES)


def _share(marks: Sequence[bool], examples: Sequence[Example]) -> Estimate:
    groups: dict[str, int] = {}
    numbers = [groups.setdefault(example.group or example.id, len(groups)) for example in examples]
    return intervals.estimate([float(mark) for mark in marks], numbers)


def _percent(share: Estimate) -> str:
    return f"{100 * share.mean:.1f} % (95 % from {100 * share.low:.1f} to {100 * share.high:.1f})"


def _agreement(data: ProjectData) -> Iterable[ProjectFact]:
    """Doubtful labels by cross-validation; without a closed set, questions that were answered twice."""
    examples = data.examples
    if len(examples) < FEWEST_LABELS:
        return
    if data.linear is not None or data.why_no_linear:
        yield _doubts(data)
        return
    answers: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        answers[_normal(_spoken(example))].append(example)
    repeated = [alike for alike in answers.values() if len(alike) > 1]
    torn = [doubting.disagree(alike) for alike in repeated]
    if len(repeated) < FEWEST_LABELS:
        text = f"{counted(len(repeated), 'question')} asked more than once: too few to see whether answers agree"
        if any(torn):
            text += f"; {sum(torn)} of them have answers that contradict each other: `twofold check` names them"
        yield ProjectFact(criterion="agreement", level="", text=text, source=EXAMPLES)
        return
    share = intervals.estimate([float(mark) for mark in torn])
    text = f"{sum(torn)} of {len(torn)} questions that were asked more than once have different answers"
    level = "poor" if share.low >= DOUBTED else "agreed" if share.high <= AGREED else "mixed"
    yield ProjectFact(criterion="agreement", level=level, text=f"{text}: {_percent(share)}", source=EXAMPLES)


def _doubts(data: ProjectData) -> ProjectFact:
    """Labels that a model of the others contradicts."""
    fact = partial(ProjectFact, criterion="agreement", source="cross-validated labels")
    if data.linear is None:
        return fact(level="", text=f"whether labels agree is not known: {data.why_no_linear}")
    # Where words do not tell the label, a model of words doubts right ones.
    if data.linear.right.low < TELLING:
        return fact(level="", text="words do not tell the labels, so no label can be doubted by them")
    # Labels are doubted by a model that is fitted to the others, so no test question may be among them.
    examples = data.learnable[:: max(1, -(-len(data.learnable) // MOST_JUDGED))]  # evenly over all files
    doubted = {problem.example for problem in label_quality.noise(examples)}
    share = _share([example.id in doubted for example in examples], examples)
    level = "poor" if share.low >= DOUBTED else "agreed" if share.high <= AGREED else "mixed"
    text = f"{len(doubted)} of {len(examples)} labels of train and dev are doubtful: {_percent(share)}"
    return fact(level=level, text=text)


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def _classes(examples: Sequence[Example]) -> Iterable[ProjectFact]:
    """Entropy of the labels: as many equally frequent ones would be as uncertain."""
    names = label_quality.labels(examples) if len(examples) >= FEWEST_LABELS else []
    if not names:
        return
    counts = Counter(names)
    bits = -sum(n / len(names) * math.log2(n / len(names)) for n in counts.values())
    worth = 2**bits
    each = len(names) / worth
    text = f"{len(counts)} categories, their entropy {bits:.1f} bits: as many as {worth:.0f} of one size, each of "
    text += counted(round(each), "example")
    level = "ample" if each >= AMPLE else "thin"
    yield ProjectFact(criterion="classes", level=level, text=text, source=EXAMPLES)


def _linear(data: ProjectData) -> Iterable[ProjectFact]:
    source = "a linear model on the words, cross-validated on the train and dev examples"
    if data.linear is None:
        if data.why_no_linear:
            text = f"how far a linear model comes is not known: {data.why_no_linear}"
            yield ProjectFact(criterion="linear", level="", text=text, source=source)
        return
    right, commonest = data.linear.right, data.linear.commonest
    text = f"a linear model gets {_percent(right)} of the labels right, the commonest label alone "
    text += f"{100 * commonest:.1f} %"
    level = "strong" if right.low >= LINEAR_STRONG and right.low > commonest else ""
    level = "weak" if right.high < LINEAR_WEAK or right.low <= commonest else level
    yield ProjectFact(criterion="linear", level=level, text=text, source=source)


def _unanswerable(examples: Sequence[Example]) -> Iterable[ProjectFact]:
    if len(examples) < FEWEST_LABELS:
        return
    share = _share([not example.answerable for example in examples], examples)
    level = "some" if share.mean >= SOME_UNANSWERABLE else "none"
    text = f"questions that the documents do not answer: {_percent(share)}"
    yield ProjectFact(criterion="unanswerable", level=level, text=text, source=EXAMPLES)


def _quoted(data: ProjectData) -> Iterable[ProjectFact]:
    # Labels, JSON and SQL are never expected to stand in a document.
    if not data.examples or starting_facts((), data.examples, data.metric).form not in ("short", "long"):
        return
    shares = quoted_shares(data.documents, data.examples)
    if len(shares) < FEWEST_QUOTES:
        return
    middle, low, high = intervals.quantile_interval(shares, 0.5)
    level = "documents" if middle >= QUOTED else "partly" if middle >= UNQUOTED else "elsewhere"
    ends = f", 95 % from {100 * low:.0f} to {100 * high:.0f}" if low is not None and high is not None else ""
    text = f"{100 * middle:.0f} % of a right answer's words stand in its documents (the median of {len(shares)}{ends})"
    yield ProjectFact(criterion="quoted", level=level, text=text, source=f"{EXAMPLES} and their sources")


def _lengths(data: ProjectData) -> Iterable[ProjectFact]:
    for what, texts in (
        ("right answers", [example.references[0] for example in data.examples if example.references]),
        ("questions with what was said before", [_spoken(example) for example in data.examples]),
    ):
        if texts:
            lengths = sorted(tokens_about(text) for text in texts)
            most = lengths[min(len(lengths) - 1, int(0.95 * len(lengths)))]
            text = f"{what}: half have at most about {statistics.median(lengths):.0f} tokens, 95 % at most {most:.0f}"
            yield ProjectFact(criterion="", level="", text=text, source=EXAMPLES)


def _spoken(example: Example) -> str:
    return "\n".join(message.content for message in example.messages)


# ---------------------------------------------------------------- documents


def _size(data: ProjectData) -> Iterable[ProjectFact]:
    source = DOCUMENTS
    if not data.documents:
        if data.unsynced:
            text = "the documents of [sources] are not known before the first `twofold sync`"
            yield ProjectFact(criterion="documents", level="", text=text, source=source)
        elif data.examples:  # a project with neither is only begun
            yield ProjectFact(criterion="documents", level="none", text="there are no documents", source=source)
        return
    number = counted(len(data.documents), "document")
    if data.vocabulary is None:
        text = f"{number} of about {sum(tokens_about(d.text) for d in data.documents):,.0f} tokens in all; "
        text += f"whether they fit into a prompt is not known: {data.why_no_vocabulary}"
        yield ProjectFact(criterion="documents", level="", text=text, source=source)
        return
    room = max(0, data.vocabulary.window - data.room)
    lengths = _tokens([document.text for document in data.documents], data.vocabulary, room)
    whole, larger = sum(lengths), sum(length > room for length in lengths)
    level = "prompt" if whole <= room else "large" if larger >= MANY_LARGE * len(lengths) else "many"
    text = f"{number} of about {whole:,.0f} tokens in all, {larger} of them longer than the {room:,} tokens of a prompt"
    text += f" of {data.vocabulary.model} that are left for documents"
    yield ProjectFact(criterion="documents", level=level, text=text, source=source)


def _tokens(texts: Sequence[str], vocabulary: Vocabulary, room: int) -> list[float]:
    """Tokens of texts: counted where that decides something, estimated from characters where they are far too many."""
    estimated = [tokens_about(text) for text in texts]
    if sum(estimated) > 4 * room:  # no estimate is four times wrong
        return estimated
    return [float(count) for count in vocabulary.pieces(texts)]


def _variety(documents: Sequence[Document]) -> Iterable[ProjectFact]:
    # The end of an address is no kind of file.
    files = [document.source for document in documents if document.source and "://" not in document.source]
    kinds = sorted(filter(_ENDING.fullmatch, {suffix_of(file.rsplit("/", 1)[-1]) for file in files}))
    # Records of one file, and documents of a database, say nothing of the kinds that they were made from.
    if len(documents) < 2 or not kinds or set(kinds) <= {".jsonl", ".parquet", ".json"}:
        return
    level = "uniform" if len(kinds) == 1 else "wild" if _TABLES_AND_PICTURES & set(kinds) else "mixed"
    more = f" and {len(kinds) - SHOWN_KINDS} more" if len(kinds) > SHOWN_KINDS else ""
    text = f"kinds of files: {', '.join(kinds[:SHOWN_KINDS])}{more}"
    yield ProjectFact(criterion="variety", level=level, text=text, source=DOCUMENTS)


def _model(vocabulary: Vocabulary | None) -> Iterable[ProjectFact]:
    if vocabulary is None or not vocabulary.weights:
        return
    billions = vocabulary.weights / 1e9
    level = next(level for most, level in SIZES if billions < most)
    text = f"the base model {vocabulary.model} has about {billions:.2g} billion weights"
    yield ProjectFact(criterion="model", level=level, text=text, source="the model's configuration")


def _vocabulary(data: ProjectData) -> Iterable[ProjectFact]:
    texts = [document.text for document in data.documents] or [_spoken(example) for example in data.examples]
    if not texts:
        return
    if data.vocabulary is None:
        text = f"whether the base model knows the words is not known: {data.why_no_vocabulary}"
        yield ProjectFact(criterion="vocabulary", level="", text=text, source="the model's tokenizer")
        return
    step = max(1, len(texts) // SAMPLED_TEXTS)  # evenly over all, whatever their order
    sample = [_WORD.findall(text[:SAMPLED_CHARACTERS]) for text in texts[::step][:SAMPLED_TEXTS]]
    sample = [words for words in sample if words]
    if not sample:
        return
    pieces = _pieces(sample, data.vocabulary)
    shares, counts = [], []
    for words in sample:
        counts += [pieces[word] for word in words]
        shares.append(statistics.fmean(pieces[word] >= PIECES for word in words))
    share = intervals.estimate(shares)
    text = f"{_percent(share)} of the words are cut into {PIECES} pieces or more by the tokenizer of "
    text += f"{data.vocabulary.model} ({statistics.fmean(counts):.2f} pieces a word)"
    # Where the interval holds the threshold, the words are neither known nor foreign.
    level = "foreign" if share.low >= FOREIGN else "known" if share.high < FOREIGN else ""
    yield ProjectFact(criterion="vocabulary", level=level, text=text, source="the model's tokenizer")


def _pieces(sample: Sequence[Sequence[str]], vocabulary: Vocabulary) -> Mapping[str, int]:
    distinct = sorted(set(chain.from_iterable(sample)))
    # With a space before it, as a word stands within a text.
    return dict(zip(distinct, vocabulary.pieces([f" {word}" for word in distinct]), strict=True))
