"""Training rows from examples, rendered exactly as live requests are. The seed is an argument.

Closed-book rows are question and answer. Open-book rows follow RAFT (Zhang et al. 2024, arXiv:2403.10131): the arm's
own retriever's hits, shuffled, the gold passage put in where the retriever missed it, and for a share of rows taken
out and answered by the abstention text; the passage used is cited. Each variant has its own order and its own share
without gold. Examples with the same gold passage are shown the same passages, those found for one of them, so that
the trainer reads them once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path

from twofold import prompts
from twofold.answering.system import as_hits, question
from twofold.errors import TooFewExamples
from twofold.examples import feedback
from twofold.examples.cloze import cloze
from twofold.examples.grouping import group_name
from twofold.examples.leaks import bare, leaks
from twofold.examples.splitting import Splits
from twofold.prompts import Template
from twofold.settings.sections import TuningSection
from twofold.types import Chunk, Example, Hit, Pair, Span


def closed_rows(train: Sequence[Example], template: Template) -> tuple[Pair, ...]:
    """One row an example."""
    rows: list[Pair] = []
    for example in train:
        prompt = prompts.render(example.messages, template=template, choices=example.choices)
        # An example without a reference is one that cannot be answered: abstaining is what it teaches.
        completion = example.references[0] if example.references else template.abstention
        rows.append(prompts.pair(prompt, completion, example))
    return tuple(rows)


def few_shots(train: Sequence[Example], count: int, *, seed: int) -> tuple[Example, ...]:
    """So many examples to show in a prompt: short ones, drawn by seed, no two from one group while groups last."""
    if not count:
        return ()
    # The shorter half: shots are paid for with every request.
    pool = sorted(train, key=lambda e: (len(e.question), e.id))[: max(count, len(train) // 2)]
    random.Random(seed).shuffle(pool)
    # The first of every group come before the second ones; `sorted` keeps the drawn order among equals.
    earlier: dict[str, int] = {}
    in_group: Counter[str] = Counter()
    for e in pool:
        earlier[e.id] = in_group[e.group]
        in_group[e.group] += 1
    return tuple(sorted(pool, key=lambda e: earlier[e.id])[:count])


def preferred_rows(
    path: Path, splits: Splits, template: Template, *, without: Container[str] = frozenset(), near: bool = True
) -> tuple[Pair, ...]:
    """One row a preference of the file, with the passages that both of its answers were given with.

    What an example outside train asks, or gives away (see `leaks`), and what is of its group, is left out.

    Args:
        path: The file.
        splits: Train, and what must not be learned from.
        template: The wording.
        without: Documents that must not be seen: an answer given with one of them is left out.
        near: Leave out near copies of questions outside train too.

    Raises:
        TooFewExamples: there is no such file.
        BadRecord: a line is not a preference.
    """
    if not path.is_file():
        raise TooFewExamples(
            "preference tuning needs pairs of a better and a worse answer; there are none",
            file=path,
            cure="Run `twofold examples mine`, or write lines with question, chosen and rejected.",
        )
    preferences = feedback.preferences(path.read_text(encoding="utf-8"), name=path.name)
    # A preference is training data: it must not hold what dev, test or reserve ask.
    kept_from = (*splits.dev, *splits.test, *splits.reserve)
    later_questions = {bare(example.question) for example in kept_from}
    groups = set()
    for example in kept_from:
        if name := splits.author_groups.get(example.id):
            groups.add(name)
    # As examples, so that the one search for leaks looks at preferences too.
    as_examples = [
        Example(id=str(n), messages=one.messages, references=(one.chosen,), sources=one.sources)
        for n, one in enumerate(preferences)
    ]
    leaking = {int(name) for name, _ in leaks(as_examples, kept_from, near=near).pairs}
    rows: list[Pair] = []
    for n, preference in enumerate(preferences):
        # Both answers were written with these passages: they are read where the row is learned.
        seen = (*preference.sources, *(hit.chunk.span.document for hit in preference.hits))
        if (
            n in leaking
            or bare(preference.messages[-1].content) in later_questions
            or group_name(preference.group) in groups
            or any(document in without for document in seen)
        ):
            continue
        rows.append(
            Pair(
                messages=prompts.render(preference.messages, template=template, hits=preference.hits or None).messages,
                completion=preference.chosen,
                rejected=preference.rejected,
                example=preference.id,
            )
        )
    return tuple(rows)


def open_rows(
    train: Sequence[Example],
    hit_lists: Sequence[Sequence[Hit]],
    golds: Sequence[Sequence[Chunk]],
    *,
    template: Template,
    tuning: TuningSection,
    k: int,
) -> tuple[tuple[Pair, ...], ...]:
    """Rows of every variant.

    Args:
        train: The examples.
        hit_lists: Hits of each, more than `k`.
        golds: Gold passages of each, best evidence first.
        template: The wording.
        tuning: Variants, the share without gold, cloze questions, seed.
        k: Passages shown.
    """
    together: dict[str, list[int]] = {}
    for number, gold in enumerate(golds):
        together.setdefault(gold[0].id if gold else f"alone {number}", []).append(number)
    variants = []
    for variant in range(tuning.variants):
        chance = random.Random(f"{tuning.seed}/{variant}")
        rows = []
        for members in together.values():
            # Examples of one gold passage borrow one member's hits, another's in each variant: read once, not the same.
            lender = members[variant % len(members)]
            shown, cited = _raft(hit_lists[lender], golds[lender], k=k, without=tuning.unanswerable, chance=chance)
            for example in (train[number] for number in members):
                # Without its gold passage a question is answered by the abstention, unless its source is not known.
                answered = example.answerable and (cited is not None or not example.sources)
                text = example.references[0] if answered and example.references else template.abstention
                prompt = prompts.render(example.messages, template=template, hits=shown, choices=example.choices)
                completion = prompts.completion_text(text, template=template, number=cited if answered else None)
                rows.append(prompts.pair(prompt, completion, example))
            rows += _cloze_rows(shown, chance, template=template, number=tuning.cloze)
        variants.append(tuple(rows))
    return tuple(variants)


def _cloze_rows(shown: Sequence[Hit], chance: random.Random, *, template: Template, number: int) -> list[Pair]:
    rows = []
    for _ in range(number if shown else 0):
        place = chance.randrange(len(shown)) + 1
        gap = cloze(shown[place - 1].chunk.text, chance)
        if gap is not None:
            example = question(gap[0])
            prompt = prompts.render(example.messages, template=template, hits=shown)
            completion = prompts.completion_text(gap[1], template=template, number=place)
            rows.append(prompts.pair(prompt, completion, example))
    return rows


def _raft(
    hits: Sequence[Hit], gold: Sequence[Chunk], *, k: int, without: float, chance: random.Random
) -> tuple[list[Hit], int | None]:
    """Passages of one open-book row, shuffled, and the number of the gold one (None when it is left out).

    An example whose sources are unknown keeps its hits as they are, and cites nothing.
    """
    if not gold:
        return list(hits[:k]), None
    bad = {chunk.span.document for chunk in gold}
    first = gold[0].span
    # By document: another chunk of a gold document may hold the answer as well.
    distractors = [hit for hit in hits if hit.chunk.span.document not in bad]
    if chance.random() < without:
        shown = distractors[:k]
        chance.shuffle(shown)
        return shown, None
    holding = (hit for hit in hits[:k] if _within(first, hit.chunk.span))  # a stage may show more than the chunk
    best = next(holding, None) or as_hits(gold[:1])[0]
    # Not twice: a copy of its document has the same passage.
    others = [hit for hit in hits if hit.chunk.id != best.chunk.id and hit.chunk.text != best.chunk.text]
    shown = [best, *others][:k]
    chance.shuffle(shown)  # else the first passage would always be the one to cite
    return shown, shown.index(best) + 1


def _within(inner: Span, outer: Span) -> bool:
    return inner.document == outer.document and outer.start <= inner.start and inner.end <= outer.end
