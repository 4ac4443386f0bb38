"""Re-runs: answers of changed systems, through the one answering path and the cached answer-and-commit loop.

All cases walk through their procedures at once: in each round the changes that they ask for are grouped by what they
change of the system, and each group is one batch. What was answered before is read from the store, so that a killed
diagnosis loses one batch, and a repeated one runs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from twofold.answering import completing
from twofold.answering.cached import committed_as_done
from twofold.answering.system import System
from twofold.diagnosis.case import Case
from twofold.diagnosis.changes import Change, Trial
from twofold.diagnosis.procedure import Diagnosed, Step, settled
from twofold.examples.questions import Questions
from twofold.hashing import digest
from twofold.plugins.protocols import Metric, Progress, quiet
from twofold.prompts import Template
from twofold.store.answers import Answers, Scores
from twofold.types import Answer, Chunk, Example, Filter
from twofold.verdict.evidence import is_wrong

VERSION = 1
"""Raised when the same change would ask for another answer."""
_SCORED = "scored for diagnosis"
"""The place of a system's key in the table of scores: these scores belong to no system."""
_SHORT = (
    "Write the answer only: the name, number, date or phrase that is asked for, in the words of the source, "
    "without a sentence around it."
)


class PaidScores:
    """Scores of a metric that is paid for each answer: equal answers to equal examples are scored once.

    Args:
        table: Keeps them.
        key: Of the metric with its options.
    """

    def __init__(self, table: Scores, key: str) -> None:
        self._table = table
        self._key = key
        self._known: dict[str, float | None] | None = None

    def score(self, metric: Metric, example: Example, answer: Answer) -> float | None:
        """The score, from the table where it is there."""
        if self._known is None:
            self._known = self._table.get(_SCORED, self._key)
        # Everything of an answer that a metric may read: tokens, seconds and trace are none of it.
        shown = [hit.chunk.seal for hit in answer.hits]
        content = [answer.text, answer.raw, answer.abstained, answer.citations, shown]
        name = digest("scored", [*Questions([example]).digests, content])
        if name not in self._known:
            self._known[name] = metric.score(example, answer)
            # At once: what was paid for is not lost with the process.
            self._table.put(_SCORED, self._key, {name: self._known[name]})
        return self._known[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """The metric by which an answer is right."""

    metric: Metric
    """The study's deciding metric."""
    right: float | None
    """Score from which an answer counts as right."""
    paid: PaidScores | None = None
    """Keeps the scores of a metric that is paid; None where scoring is free."""

    def score(self, example: Example, answer: Answer) -> float | None:
        """The score; None where the answer failed or the metric does not apply."""
        if answer.failure is not None:
            return None
        return self.paid.score(self.metric, example, answer) if self.paid else self.metric.score(example, answer)

    def is_right(self, score: float | None) -> bool:
        """Does the score count as right?"""
        return score is not None and not is_wrong(score, self.right)


@dataclass(kw_only=True)
class Reruns:
    """Asks changed systems; what is in the store is not asked again."""

    system: System
    """The arm as it was measured."""
    untuned: Callable[[], System]
    """Opens the same arm without its adapter; called at most once."""
    answers: Answers
    """Where answers are kept."""
    scorer: Scorer
    """Scores the new answers."""
    batch: int = 64
    """Answers made and committed at a time."""
    count: int = 0
    """Re-runs that were made."""
    cached: int = 0
    """Re-runs that the store had."""
    _plain: System | None = field(default=None, init=False)

    def examine(
        self, steps: Mapping[str, Step], cases: Mapping[str, Case], *, progress: Progress = quiet
    ) -> Examination:
        """Run the procedures of all cases to their ends.

        Args:
            steps: Name of a case → its procedure, not begun.
            cases: The cases by the same names.
            progress: Called with the number of cases decided, and with the re-runs of each round.
        """
        outcome = Examination()
        due: dict[str, Change] = {}

        def advance(name: str, trial: Trial | None) -> None:
            if trial is not None:
                outcome.trials.setdefault(name, []).append(trial)
            try:
                due[name] = next(steps[name]) if trial is None else steps[name].send(trial)
            except StopIteration as end:
                outcome.causes[name] = settled(end.value, outcome.trials.get(name, []))

        for name in steps:
            advance(name, None)
        while due:
            progress("diagnose", len(outcome.causes), len(steps))
            round_, due = due, {}
            trials = self.run([(cases[name].example, change) for name, change in round_.items()], progress=progress)
            for name, trial in zip(round_, trials, strict=True):
                advance(name, trial)
        progress("diagnose", len(outcome.causes), len(steps))
        return outcome

    def run(self, items: Sequence[tuple[Example, Change]], *, progress: Progress = quiet) -> list[Trial]:
        """Answer each example under its change, in order.

        Args:
            items: Examples as their answers are judged, each with its change.
            progress: Called with the number of items answered.
        """
        batches: dict[tuple[str, bool], list[int]] = {}
        for place, (_, change) in enumerate(items):
            # Apart: where passages are given for none, the arm goes its own way, which may be without any search.
            batches.setdefault((change.batch, bool(change.passages)), []).append(place)
        trials: dict[int, Trial] = {}
        for members in batches.values():
            part = [items[place] for place in members]
            before = len(trials)

            def answered(count: int, before: int = before) -> None:
                progress("re-run", before + count, len(items))

            for place, answer in zip(members, self._answered(part, answered), strict=True):
                trials[place] = self._trial(*items[place], answer)
            progress("re-run", len(trials), len(items))
        return [trials[place] for place in range(len(items))]

    def close(self) -> None:
        """Free the model without the adapter, where one was opened; the measured system is its owner's."""
        if self._plain is not None:
            self._plain.close()

    def _trial(self, example: Example, change: Change, answer: Answer) -> Trial:
        score = self.scorer.score(example, answer)
        return Trial(
            change=change,
            right=self.scorer.is_right(score),
            score=score,
            text=answer.text,
            abstained=answer.abstained,
            cut=answer.cut,
            failure=answer.failure.code if answer.failure else "",
            usage=answer.usage,
        )

    def _answered(self, items: Sequence[tuple[Example, Change]], progress: Callable[[int], None]) -> list[Answer]:
        """Answers to items whose changes have the same settings; `progress` gets the number answered so far."""
        change = items[0][1]
        if change.untuned and self._plain is None:
            self._plain = self.untuned()
        source = self._plain if change.untuned and self._plain is not None else self.system
        system = changed(source, change)
        key = digest("diagnosis", {"system": source.key, "change": change.settings, "version": VERSION})
        names = []
        digests = Questions(example for example, _ in items).digests
        for (_, item_change), example_name in zip(items, digests, strict=True):
            # The passages by their seals: the same words under another title are another prompt.
            seals = [chunk.seal for chunk in item_change.passages]
            names.append(digest("rerun", [example_name, seals]))
        existing = self.answers.get(key)
        # By name: two examples that ask the same are answered once.
        todo = {name: item for name, item in zip(names, items, strict=True) if name not in existing}
        self.cached += len(items) - len(todo)
        count = len(items) - len(todo)

        def done(answers: Sequence[Answer]) -> None:
            nonlocal count
            count += len(answers)
            self.count += len(answers)
            progress(count)

        committed_as_done(
            self.answers,
            lambda: key,
            list(todo.items()),
            answers=lambda batches: _answers(system, batches),
            batch=self.batch,
            done=done,
        )
        answered = self.answers.get(key, include_failures=True)
        return [answered[name] for name in names]


@dataclass(slots=True, kw_only=True)
class Examination:
    """What the procedures ended with."""

    causes: dict[str, Diagnosed] = field(default_factory=dict)
    """Name of a case → its cause."""
    trials: dict[str, list[Trial]] = field(default_factory=dict)
    """Name of a case → its re-runs in order."""


def changed(system: System, change: Change) -> System:
    """The system with the change's settings; its passages are set by item (`_answers`)."""
    template = system.template
    if change.form == "wording":
        standard = Template()
        template = replace(template, closed=standard.closed, open=standard.open, question=standard.question)
    elif change.form == "short":
        template = replace(template, closed=_SHORT, open=f"{_SHORT} {template.open}")
    if change.obliged:
        # An empty sentence: nothing is offered, and nothing that is said counts as declining.
        template = replace(template, open=_unoffered(template), abstention="")
    schema = system.schema
    if change.form == "structure":
        schema = change.schema
    elif change.form == "labels" and _follows(system):
        schema = json.dumps({"type": "string", "enum": list(change.labels)}, ensure_ascii=False)
    return replace(
        system,
        template=template,
        schema=schema,
        max_tokens=change.tokens or system.max_tokens,
        retriever=None if change.closed else system.retriever,
        calibration=None if change.obliged else system.calibration,
        gold=None,
        # Inserted passages are of no collection, and answer no condition on metadata; who may read them still counts.
        filter=replace(system.filter, where=(), collections=()) if system.filter != Filter() else system.filter,
    )


def _follows(system: System) -> bool:
    return system.generator.follows_schema


def _unoffered(template: Template) -> str:
    """The instruction with passages, without the sentences that offer to decline."""
    sentences = template.open.split(". ")
    offering = [sentence for sentence in sentences if "{abstention}" in sentence]
    if not offering:
        return template.open
    remaining = ". ".join(sentence for sentence in sentences if sentence not in offering).rstrip(". ")
    return f"{remaining}. Every question has an answer in the passages.".lstrip(". ")


def _answers(system: System, batches: Iterable[Sequence[tuple[Example, Change]]]) -> Iterator[tuple[int, list[Answer]]]:
    """The place of each batch with the system's answers, each item with its own passages and labels."""
    labelled: list[bool] = []

    def shown() -> Iterator[tuple[System, list[Example]]]:
        for items in batches:
            labelled.append(bool(items[0][1].labels) and bool(system.schema))
            yield _shown(system, items)

    for place, answers in completing.answered(system, shown()):
        yield place, [_unquoted(answer) for answer in answers] if labelled[place] else answers


def _shown(system: System, items: Sequence[tuple[Example, Change]]) -> tuple[System, list[Example]]:
    """The system that shows each item its passages, and the questions."""
    examples = []
    passages: list[list[Chunk]] = []
    for example, change in items:
        examples.append(replace(example, choices=change.labels) if change.labels else example)
        passages.append([_readable(chunk, system) for chunk in change.passages])
    if not any(passages):
        return system, examples
    most = max(map(len, passages))
    # Called with these very examples: passages go by place. Where an item has none, the arm searches as ever.
    return replace(system, gold=lambda _: passages, k=max(most, system.k)), examples


def _readable(chunk: Chunk, system: System) -> Chunk:
    """A passage made for the diagnosis, with the readers of whom the arm answers for: it holds nothing of others."""
    return replace(chunk, readers=system.filter.principal) if not chunk.span.document else chunk


def _unquoted(answer: Answer) -> Answer:
    """A label that was written as a JSON string, without its quotes."""
    try:
        value = json.loads(answer.text)
    except ValueError:
        return answer
    return replace(answer, text=value) if isinstance(value, str) else answer
