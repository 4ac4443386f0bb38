"""The first `twofold.toml` of a project, chosen from its documents and examples, each choice with its reason. Pure.

The choices are starting points, written where the user can see and change them: the answer's length from the
references, the wording from their form, the split from what groups there are, the arms from what there is to retrieve.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from twofold.advice.shape import shape
from twofold.examples.checking import tokens_about
from twofold.examples.loading import named_split
from twofold.prompts import Template
from twofold.text import grounding
from twofold.types import Document, Example

FEW = 400
"""Tokens of a few sentences: where 95 % of the references are no longer, these are asked for."""
Form = Literal["structured", "query", "choice", "labels", "short", "long", "text"]
"""The form of the references: JSON, SQL, one of given choices, one of a set of labels, a few words, sentences, or a
text made from an input that is not a question."""

LISTED_TOKENS = 400
"""Labels, or the keys of JSON, are listed in the prompt when they take at most so many tokens, estimated."""
MOST_EXAMPLES = 2000
"""A larger set is sampled to this size at first."""
EPOCHS, OPEN_EPOCHS, QUICK_EPOCHS = 3.0, 2.0, 1.5
"""Of tuning. With documents a step reads passages, six times the tokens: two epochs, some 60 steps on the demo's 300
rows, reached on two cores what a longer training did (see docs/notebook.md)."""
QUICK_EXAMPLES = 120
QUICK_LATENCY_SAMPLE = 16
"""Timing 40 questions an arm took a quarter of a first look of 5 minutes on two cores (see docs/notebook.md)."""
FIRST_EXAMPLES = "data/examples.jsonl"
"""File of the examples in a project that has none yet."""
UNSEEN_TOKENS = 96
"""Longest answer where no reference tells."""
QUOTED_EXAMPLES = 300
"""So many examples are looked at for whether their answers stand in the documents."""
ABOUT = (0.5, 0.4, 0.3, 0.2, 0.1)
"""Settings of ``[prompt].about`` that are tried."""
AROUND = 500
"""Characters before and after a reference that stand for the passage it is in."""
MOST_TOKENS = 4096
"""Longest answer that is asked for by itself."""
ROW_LENGTHS = (1024, 2048, 4096, 8192)
"""Longest training row: the first of these that the rows are likely to fit into."""
LEAST_ROOM = 48
"""Tokens that a short answer may take at least: a model that was not tuned answers in a sentence."""
RESERVED_FROM = 400
"""From so many examples on a tenth is set aside for `--final`; with fewer, each is needed for the verdict itself."""
FEW_GROUPS = 30
"""With fewer source documents than this, a split by document leaves too few groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Paths of the project's files, as its configuration names them."""

    documents: tuple[str, ...] = ("data/documents*",)
    """Documents."""
    ids_from: str = ""
    """Folder that ids of plain files start below."""
    exclude: tuple[str, ...] = ()
    """File names that are no documents."""
    examples: tuple[str, ...] = ("data/examples*",)
    """Examples; empty while there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts about the data on which the choices of `init` rest."""

    form: Form
    """Form of the references."""
    labels: tuple[str, ...]
    """All labels, most frequent first; empty unless `form` is ``labels``."""
    shape: str
    """The keys of the JSON, in words (see `shape.shape`); empty unless `form` is ``structured``."""
    answer_tokens: int
    """95th percentile of the references' length, in tokens, estimated."""
    input_tokens: int
    """95th percentile of the conversations' length, in tokens, estimated."""
    document_characters: int
    """Median length of a document; 0 without documents."""
    sourced: int
    """Examples that name their source documents."""
    quoted: float
    """Median share of a reference's words that stand in its source documents; 1 where none is known."""
    spoken: float
    """The largest of `ABOUT` that nine of ten passages around a reference exceed, in the share of the question's
    words that they hold; 0 where no such passage is known, or none is exceeded so often."""
    source_documents: int
    """Different documents named."""
    unanswerable: int
    """Examples whose right answer is to say so."""
    follow_ups: int
    """Examples in which something was said before the question."""
    divided: bool
    """Do the names of the files divide the examples into train and test or dev?"""
    count: int
    """Examples."""


def facts(documents: Sequence[Document], examples: Sequence[Example], metric: str) -> Facts:
    """Look at the data; the deciding metric tells whether references are JSON or labels."""
    references = [example.references[0] for example in examples if example.references]
    form, labels = _form(examples, references, metric)
    input_tokens = []
    follow_ups = 0
    for example in examples:
        input_tokens.append(sum(tokens_about(m.content) for m in example.messages))
        follow_ups += any(m.role == "assistant" for m in example.messages)
    return Facts(
        form=form,
        labels=labels,
        shape=shape(references, _listable) if form == "structured" else "",
        answer_tokens=_percentile95([tokens_about(text, dense=form in {"structured", "query"}) for text in references]),
        input_tokens=_percentile95(input_tokens),
        document_characters=round(statistics.median(len(d.text) for d in documents)) if documents else 0,
        sourced=sum(1 for example in examples if example.sources),
        quoted=_quotable(documents, examples),
        spoken=_spoken(documents, examples),
        source_documents=len(set(chain.from_iterable(example.sources for example in examples))),
        unanswerable=sum(1 for example in examples if not example.answerable),
        follow_ups=follow_ups,
        divided=_divided(examples),
        count=len(examples),
    )


def _divided(examples: Sequence[Example]) -> bool:
    named = {named_split(example.file) for example in examples}
    return "train" in named and None not in named and bool(named & {"test", "dev"})


def _quotable(documents: Sequence[Document], examples: Sequence[Example]) -> float:
    shares = quoted_shares(documents, examples)
    return statistics.median(shares) if shares else 1.0


def quoted_shares(documents: Sequence[Document], examples: Sequence[Example]) -> list[float]:
    """Share of each reference's words that stand in its source documents, of the first `QUOTED_EXAMPLES` examples.

    Examples without a known source, and references too short to tell, are passed over.
    """
    texts = {document.id: document.text for document in documents}
    shares = []
    for example in examples[:QUOTED_EXAMPLES]:
        passages = [texts[source] for source in example.sources if source in texts]
        if passages and example.references and grounding.checkable(example.references[0], example.choices):
            shares.append(grounding.share(example.references[0], passages))
    return shares


def _spoken(documents: Sequence[Document], examples: Sequence[Example]) -> float:
    texts = {document.id: document for document in documents}
    shares = []
    for example in (e for e in examples[:QUOTED_EXAMPLES] if e.references and len(e.messages) == 1):
        reference = example.references[0]
        for document in (texts[source] for source in example.sources if source in texts):
            at = document.text.find(reference)
            if at >= 0:
                passage = document.text[max(0, at - AROUND) : at + len(reference) + AROUND]
                shares.append(grounding.about(example.question, f"{document.title}\n{passage}", answer=reference))
                break
    for threshold in ABOUT if shares else ():
        if sum(share > threshold for share in shares) >= 0.9 * len(shares):
            return threshold
    return 0.0


def starting_config(
    name: str,
    documents: Sequence[Document],
    examples: Sequence[Example],
    *,
    quick: bool = False,
    forgetting: bool = True,
    metric: str = "",
    metrics: Sequence[str] = (),
    paths: Paths = Paths(),
) -> str:
    """The text of a commented `twofold.toml`.

    Args:
        name: The project's name.
        documents: Its documents; none means that nothing can be retrieved.
        examples: Its examples; none means that questions are still to be made.
        quick: Settings for a first look in minutes.
        forgetting: Measure what tuning forgets, some minutes an adapter; never in a first look.
        metric: The deciding metric; chosen from the examples when empty.
        metrics: Reported beside it.
        paths: Where the files lie.
    """
    if not metric:
        from twofold.metrics.choosing import suitable

        metric, metrics = suitable(examples)
    seen = facts(documents, examples, metric)
    blocks = [
        [
            "# The one file to edit. `twofold config` prints every value in force; an unknown key is an error.",
            "",
            "[project]",
            f"name = {_quoted(name)}",
        ],
        _documents(seen, paths),
        _examples(seen, paths, quick=quick),
        _prompt(seen),
        _retrieval(seen),
        _generation(seen),
        _tuning(seen, quick=quick, forgetting=forgetting and not quick),
        _study(seen, metric, metrics, quick=quick),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


# ---------------------------------------------------------------- the sections


def _documents(seen: Facts, paths: Paths) -> list[str]:
    if not seen.document_characters:
        return ["[documents]", "# There are no documents: nothing is retrieved.", "paths = []"]
    lines = ["[documents]", f"paths = {_listed(paths.documents)}"]
    if paths.ids_from:
        lines += [
            "# A plain file's id is its path below this folder, such as hr/leave.md, wherever the folder lies.",
            f"ids_from = {_quoted(paths.ids_from)}",
        ]
    if paths.exclude:
        lines += ["# Files of questions, which are no documents.", f"exclude = {_listed(paths.exclude)}"]
    return lines


def _examples(seen: Facts, paths: Paths, *, quick: bool) -> list[str]:
    if not seen.count:
        return [
            "[examples]",
            "# No questions yet: `twofold examples make` makes some from the documents and writes them there.",
            f"paths = [{_quoted(FIRST_EXAMPLES)}]",
            "# One maker may not write for training and for the test, so all that it makes is test. With questions by",
            "# people, take these three lines out.",
            "train = 0",
            "dev = 0",
            "test = 1",
        ]
    lines = ["[examples]", f"paths = {_listed(paths.examples)}"]
    if seen.divided:
        lines += [
            "# The names of the files say what trains and what tests.",
            'split_by = "given"',
        ]
    # By document only where most questions name theirs, and where there are groups enough for an interval.
    elif seen.sourced * 2 > seen.count - seen.unanswerable and seen.source_documents >= FEW_GROUPS:
        lines += [
            "# Test questions are about documents that no training example is about. If future questions will be",
            '# about the same documents as the training examples, "question" is the fairer claim.',
            'split_by = "document"',
        ]
    else:
        lines += ["# Each question is split by itself (or by its `group` field).", 'split_by = "question"']
    most = QUICK_EXAMPLES if quick else MOST_EXAMPLES
    if seen.count > most:
        lines += [
            f"# Of {seen.count} examples, drawn by seed; 0 for all: slower, narrower intervals.",
            f"limit = {most}",
        ]
    if min(seen.count, most) >= RESERVED_FROM and not seen.divided:
        lines += [
            "# A tenth stays sealed until `twofold study --final`, which confirms the verdict on it, once.",
            "train = 0.45",
            "dev = 0.1",
            "test = 0.35",
            "reserve = 0.1",
        ]
    return lines


def _prompt(seen: Facts) -> list[str]:
    closed, opened = _wording(seen)
    lines = [
        "# The wording of every prompt, for training, study and live requests alike. A better instruction helps the",
        "# arms without tuning most: improve it before you trust a verdict for tuning.",
        "[prompt]",
    ]
    if seen.labels and not _listing(seen.labels):
        lines += [
            f"# There are {len(seen.labels)} labels, too many for `init` to list: arms without tuning do not see them.",
            "# For a fair comparison list them here, if your model can read so long a prompt.",
        ]
    lines.append(f"closed = {_quoted(closed)}")
    if seen.document_characters:
        lines.append(f"open = {_quoted(opened)}")
        if _cites_nothing(seen):
            lines += ["# A citation inside would break the answer's form.", 'cite = "none"']
        elif seen.quoted < Template().support:
            lines += [
                "# The reference answers are in other words than their documents, so citations cannot be checked.",
                "support = 0",
            ]
        elif seen.spoken:
            lines += [
                "# A citation stays only when its passage holds more than this share of the question's words, and its",
                "# numbers, as 9 of 10 right ones do here. 0: a passage about something else may be cited.",
                f"about = {seen.spoken:g}",
            ]
    if seen.form == "text":
        lines.append('question = "Input: {question}"')
    return lines


def _listing(labels: Sequence[str]) -> str:
    """All labels, or nothing when they are too many for a prompt."""
    text = "; ".join(sorted(labels))
    return text if _listable(text) else ""


def _listable(text: str) -> bool:
    return tokens_about(text) <= LISTED_TOKENS


def _wording(seen: Facts) -> tuple[str, str]:
    listed = f" The labels are: {_listing(seen.labels)}." if _listing(seen.labels) else ""
    keys = f" The keys are: {seen.shape}." if seen.shape else ""
    task = {
        "structured": f"Turn the request into JSON. Answer with one JSON object and nothing else.{keys}",
        "query": "Write the SQL query for the request. Answer with SQL and nothing else.",
        "choice": "Answer the question with one of the choices and nothing else.",
        "labels": f"Answer with the label of the message and nothing else.{listed}",
        "short": "Answer the question in as few words as possible.",
        "long": "Answer the question in a few sentences."
        if seen.answer_tokens <= FEW
        else "Answer the question in full.",
        "text": "Write the text that belongs to the input. Answer with that text and nothing else.",
    }[seen.form]
    unknown = " If no passage tells, say: {abstention}"
    if _cites_nothing(seen):
        return task, f"{task} The passages may help."
    if seen.form == "labels":
        return task, f"{task} The passages may help. Begin with the number of the passage used, such as [1]."
    body = task.rstrip(".") + ", from the passages."
    return task, f"{body} Begin with the number of the passage used, such as [1].{unknown}"


def _retrieval(seen: Facts) -> list[str]:
    if not seen.document_characters:
        return []
    size = seen.document_characters
    kind = "short" if size <= 1500 else "long"
    lines = ["[retrieval]", f"# Passages shown; the documents are {kind} (median {size} characters)."]
    if _k(seen) == 2:
        lines.append("# A small model reads few passages best, and tuning on them is quick; a larger one can take 5.")
    if seen.follow_ups * 4 > seen.count:
        lines += [
            "# Many questions are follow-ups: words of earlier turns are searched for, too. `twofold sync` chooses the",
            "# weight of those words on train and dev questions.",
            'preset = "advanced"',
        ]
    return [*lines, f"k = {_k(seen)}"]


def _k(seen: Facts) -> int:
    if not 300 <= seen.document_characters <= 1500:
        return 5
    return 2 if seen.form == "short" else 3


def _generation(seen: Facts) -> list[str]:
    if not seen.count:
        return ["[generation]", "# No reference tells how long answers are.", f"max_tokens = {UNSEEN_TOKENS}"]
    lines = ["[generation]", f"# 95 % of the reference answers have at most about {seen.answer_tokens} tokens."]
    if seen.form == "short":
        lines.append("# Models that were not tuned need more: they answer in sentences. A longer answer is cut here.")
    if seen.answer_tokens > MOST_TOKENS:
        lines.append(
            "# More than `init` sets by itself: longer answers are cut here. Raise it for a model that writes so much."
        )
    return [*lines, f"max_tokens = {_max_tokens(seen)}"]


def _tuning(seen: Facts, *, quick: bool, forgetting: bool) -> list[str]:
    passages = 5 * 220 if seen.document_characters else 0
    listed = math.ceil(tokens_about(_listing(seen.labels) + seen.shape))
    needed = seen.input_tokens + passages + _max_tokens(seen) + 120 + listed
    length = next((size for size in ROW_LENGTHS if needed <= size), ROW_LENGTHS[-1])
    lines = ["[tuning]"]
    if not forgetting:
        lines += ['# What tuning forgets is not measured, to save time: "report" measures it.', 'gate = "off"']
    else:
        lines += [
            '# What tuning forgets is measured and reported; "enforce" refuses a model that forgets too much.',
            "# merge_back = [0.8, 0.6, 0.4, 0.2] takes part of the change back if the gain stays: minutes more.",
            'gate = "report"',
            "merge_back = []",
        ]
    lines += [
        "",
        "[tuning.trainer.options]",
        "# Training ends by its steps, the same on every machine. `minutes = 9` would cap it, at a price:",
        "# no verdict is given about an adapter that did not get its steps.",
        f"epochs = {QUICK_EPOCHS if quick else OPEN_EPOCHS if seen.document_characters else EPOCHS:g}",
        "# Longest training row in tokens; longer ones lose the beginning of their last message.",
        f"max_length = {length}",
    ]
    if forgetting:
        lines += ["# General prompts with the base model's own answers mixed in: less is forgotten.", "replay = 0.5"]
    return lines


_FAIRER = {
    "structured": (
        '# The answers are JSON: to compare tuning with constrained decoding, too, add the arm "schema", which takes',
        "# some minutes more.",
    ),
    "labels": (
        "# The answers are labels: to compare tuning with constrained decoding and with a classifier that needs no",
        '# language model, add the arms "schema" and "linear", which take some minutes more.',
    ),
}
"""Form of the references → arms that a first look does without, and that a study to decide by should have."""


def _study(seen: Facts, metric: str, metrics: Sequence[str], *, quick: bool) -> list[str]:
    lines = ["[study]"]
    lines += _FAIRER.get(seen.form, ())
    if not seen.count:
        lines += [
            "# Without training examples nothing is tuned or shown.",
            'arms = ["base", "rag"]',
            "diagnostics = []",
        ]
    elif seen.document_characters:
        lines.append('arms = ["base", "prompt", "rag", "ft", "ft+rag"]')
        if seen.sourced:
            lines += [
                "# oracle is given the right passage: it shows which wrong answers better retrieval might mend.",
                'diagnostics = ["oracle"]',
            ]
        else:
            lines += ["# No example names its source, so there is no gold passage to show.", "diagnostics = []"]
    else:
        lines += [
            "# Without documents there is nothing to retrieve.",
            'arms = ["base", "prompt", "ft"]',
            "diagnostics = []",
        ]
    if seen.sourced and seen.document_characters and seen.quoted >= Template().support:
        metrics = [*metrics, "citation_support"]
    if _cites_nothing(seen) or not seen.document_characters:
        metrics = [other for other in metrics if not other.startswith("citation_")]
    lines += [
        "# `metric` decides, `metrics` are reported beside it.",
        f"metric = {_quoted(metric)}",
        f"metrics = [{', '.join(_quoted(other) for other in metrics if other != metric)}]",
        *(
            ["# Beside field_f1 token_f1 says nothing new: of JSON it is the same number."]
            if metric == "field_f1"
            else []
        ),
        "# Smaller differences do not matter to you: ties go to the simpler arm.",
        "margin = 0.02",
    ]
    if quick:
        lines += [
            "# Questions that each arm answers singly, for its latency; 40 narrow the interval of p95.",
            f"latency_sample = {QUICK_LATENCY_SAMPLE}",
        ]
    return lines


# ---------------------------------------------------------------- looking at the references


def is_closed_set(examples: Sequence[Example], metric: str) -> bool:
    """Is the answer one of a set that is the same for all questions: a label, or one of the same choices?"""
    form = facts((), examples, metric).form if examples else ""
    return form == "labels" or (form == "choice" and len({frozenset(example.choices) for example in examples}) == 1)


def _form(examples: Sequence[Example], references: Sequence[str], metric: str) -> tuple[Form, tuple[str, ...]]:
    if metric in {"field_f1", "json_valid"}:
        return "structured", ()
    if metric in {"accuracy", "macro_f1"}:
        if sum(1 for example in examples if example.choices) * 2 > len(examples):
            return "choice", ()
        return "labels", tuple(label for label, _ in Counter(references).most_common())
    if not references:
        return "short", ()
    if _share(references, _is_query) >= 0.9:
        return "query", ()
    question_share = _share([example.question for example in examples], _is_question)
    # Inputs that are mostly no questions, and about no document: a text is made from each.
    if question_share < 0.3 and not any(example.sources for example in examples):
        return "text", ()
    return ("long" if statistics.median(map(len, references)) > 120 else "short"), ()


def _share(texts: Sequence[str], test: Callable[[str], bool]) -> float:
    return sum(1 for text in texts if test(text)) / len(texts)


def _is_query(text: str) -> bool:
    return text.lstrip().upper().startswith(("SELECT ", "WITH "))


_ASKING = ("what", "who", "when", "where", "which", "why", "how", "is ", "are ", "does", "do ", "can ", "did", "was ")


def _is_question(text: str) -> bool:
    bare = text.strip().casefold()
    return bare.endswith(("?", "？")) or (len(bare) < 300 and bare.startswith(_ASKING))


def _percentile95(values: Sequence[float]) -> int:
    if not values:
        return 0
    return math.ceil(sorted(values)[min(len(values) - 1, int(len(values) * 0.95))])


def _cites_nothing(seen: Facts) -> bool:
    return seen.form in {"structured", "query", "text"}


_AROUND = {"structured": 16, "query": 16, "labels": 8}
"""Tokens that models write around an answer of a form, about."""


def _max_tokens(seen: Facts) -> int:
    marker = 6 if seen.document_characters else 0
    # Besides the answer: a fence around JSON or a query, "The label is" before a label, which untuned models write.
    room = math.ceil(seen.answer_tokens * 1.3) + _AROUND.get(seen.form, 0)
    if seen.form == "short":  # of the demo's untuned rag answers 19 % were cut at 1.3 × p95, 6 % at 60 tokens (p95 29)
        room = max(LEAST_ROOM, math.ceil(seen.answer_tokens * 1.5) + 16)
    return max(16, min(MOST_TOKENS, room + marker))


def _listed(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _quoted(text: str) -> str:
    # TOML forbids DEL in a text, which JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
