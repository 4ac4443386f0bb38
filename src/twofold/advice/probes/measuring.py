"""Ask a sample of the questions with and without passages, and with the right passage given.

Only questions of the train and dev splits are asked. A test question would have been looked at before the study that it
is for: whoever then changes a setting has chosen it on the test, and its verdict would be too sure. Nothing is learned
from the questions, so that the whole index is searched, as the study will search it.

Every answer is kept under its system's key as a study's answers are: a probe that was killed goes on where it was, one
with a larger budget asks only what is new, and an arm that is asked the same question later has its answer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from twofold.advice.probes.gain import ProbedQuestion
from twofold.answering import cached
from twofold.answering.scoring import scores
from twofold.answering.system import System, query
from twofold.assembly.searching import Search
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.errors import GenerationError, TooFewExamples
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.hashing import digest
from twofold.plugins import loading, specs
from twofold.plugins.protocols import Metric, Progress, Retriever
from twofold.plugins.traits import MetricTraits
from twofold.store.catalogue import Catalogue
from twofold.types import Answer, Example, Hit
from twofold.verdict.evidence import is_wrong

PILOT = 12
"""Questions by whose seconds the size of the sample is chosen."""
MOST = 150
"""Questions at most: from here on a share is known within ±.08, and a study tells more than a larger probe would."""
COMMITTED = 16
"""Answers committed at a time: a killed probe loses no more."""
LEGS = ("dense", "lexical")
"""Retrievers that the configured one is compared with: each leg alone."""


@dataclass(frozen=True, kw_only=True)
class Decider:
    """The deciding metric."""

    metric: Metric
    name: str
    key: str
    """Of its name, version and options: the scores of a study of now have the same."""
    right: float | None
    """Score from which an answer is right."""

    @classmethod
    def of(cls, config: Config, splits: Splits) -> Decider:
        """The metric that [study] decides by; see `specs.decider` for what it refuses."""
        specs.decider(config.study)
        # A metric of labels must know those of all splits, as the study's does.
        examples = (*splits.train, *splits.dev, *splits.test, *splits.reserve)
        part = specs.informed(config.study.decides, examples)
        metric: Metric = loading.make("metrics", part.name, part.options)
        key = digest("metric", specs.of_part("metrics", part))
        return cls(metric=metric, name=part.name, key=key, right=MetricTraits.of(metric).right)


@dataclass(frozen=True, kw_only=True)
class Probed:
    """The sample, and what was measured on it."""

    questions: Questions
    rows: tuple[ProbedQuestion, ...]
    """One for each question, in order."""
    systems: dict[str, str]
    """Arm → key of the system that was asked."""
    hits: dict[str, tuple[bool | None, ...]]
    """Retriever → is a right document among its k hits, question by question; None where no right one is known."""
    pool: int
    """Questions that could have been asked."""
    splits: tuple[str, ...]
    """Splits that they are of."""
    failed: int
    """Questions of which an answer failed."""
    seconds: float
    """What the answers took."""


def drawn(search: Search, splits: Splits) -> tuple[Questions, tuple[str, ...]]:
    """The questions that may be asked, in the order in which they are, and the splits that they are of.

    Raises:
        TooFewExamples: these splits are empty.
    """
    embedder = str(search.config.retrieval.embedder.options.get("model", ""))
    # An embedder that was tuned here knows the train questions: they would be found too well.
    names = ("dev",) if embedder.startswith("artifact:") else ("train", "dev")
    sides = {"train": splits.train, "dev": splits.dev}
    pool: list[Example] = []
    for name in names:
        pool += search.readable(sides[name])
    if not pool:
        raise TooFewExamples(
            f"there is no question to probe with: {' and '.join(names)} have none",
            cure="Add examples, or give [examples].train and [examples].dev a larger share of them.",
        )
    # By content: the same questions are asked whatever the order of the files is, and with more time these and more.
    by_digest = sorted(zip(Questions.of(pool).digests, pool, strict=True), key=lambda pair: pair[0])
    random.Random(search.config.study.seed).shuffle(by_digest)
    return Questions(example for _, example in by_digest), names


def probe(
    workspace: Workspace, splits: Splits, decider: Decider, *, reads: bool, minutes: float, progress: Progress
) -> Probed:
    """Ask a sample, as large as the minutes allow; what an earlier call has answered is not asked again.

    Args:
        workspace: Of the project, synced.
        splits: Its examples.
        decider: Scores the answers.
        reads: Ask with passages as well: the index has documents, and an arm of the study is shown them. An index of
            an earlier sync alone is not enough: what the study will not measure is not forecast.
        minutes: Time for answering.
        progress: Shows it.

    Raises:
        TooFewExamples: there is nothing to ask.
        GenerationError: every answer of an arm failed.
    """
    pool, names = drawn(workspace.search, splits)
    if reads:
        workspace.search.retriever.pin(workspace.search.index.state().version)
    generator = workspace.models.generator(here=True)
    try:
        with closing(generator):
            systems = {}
            names_asked = ("base", "rag", "oracle") if reads else ("base",)
            # Use of the right passage is a share of right answers, which this metric does not know.
            for name in names_asked if decider.right is not None else names_asked[:2]:
                arm = workspace.config.arm(name)
                calibration = workspace.systems.calibration(splits)[0] if arm.retrieval else None
                # One generator for all of them: its weights are loaded once.
                systems[name] = workspace.systems.assembled(arm, generator=generator, shots=(), calibration=calibration)
            asking = _Asking(workspace.catalogue, systems, splits, decider=decider, progress=progress)
            asking.open(pool)
            asking.ask(Questions(pool[:PILOT]))
            count = _affordable(asking.seconds(), min(PILOT, len(pool)), len(pool), minutes=minutes)
            asking.ask(Questions(pool[:count]))
            hits = _hits(workspace.search, splits.judged(asking.questions)) if reads else {}
            return asking.probed(hits, pool=len(pool), splits=names)
    finally:
        if reads:
            workspace.search.retriever.pin(None)


def _affordable(seconds: float, pilot: int, pool: int, *, minutes: float) -> int:
    """Questions that the minutes allow, by the seconds of the first ones, and never fewer than those.

    The seconds are those that were measured when the answers were made, and are kept with them: a run that goes on
    after a kill chooses the same sample.
    """
    affordable = int(60 * minutes * pilot / seconds) if seconds > 0 else MOST
    return min(pool, MOST, max(pilot, affordable))


def _hits(search: Search, judged: Questions) -> dict[str, tuple[bool | None, ...]]:
    """What each leg alone finds, as `Probed.hits`: k hits of the whole index."""
    hits = {}
    queries = [query(example, search.filter) for example in judged]
    for leg in LEGS:
        retriever: Retriever = loading.make("retrievers", leg, {}, parts=search.parts)
        retrievals = retriever.retrieve(queries, search.config.retrieval.k)
        hits[leg] = tuple(_right_among(e, one.hits) for e, one in zip(judged, retrievals, strict=True))
    return hits


def _right_among(example: Example, hits: Sequence[Hit]) -> bool | None:
    """Is a right document among these? None where no right one is known, or there is none."""
    if not example.sources or not example.answerable:
        return None
    return any(hit.chunk.span.document in example.sources for hit in hits)


class _Asking:
    """Asks questions of several systems, and reads what their answers say.

    Args:
        catalogue: Keeps answers and scores.
        systems: Arm → system. ``oracle`` is asked the questions that ``base`` answers wrong.
        splits: Know the copies of documents.
        decider: Scores.
        progress: Shows answering.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        systems: dict[str, System],
        splits: Splits,
        *,
        decider: Decider,
        progress: Progress,
    ) -> None:
        self.questions = Questions()
        self._catalogue = catalogue
        self._systems = systems
        self._splits = splits
        self._decider = decider
        self._progress = progress
        self._answers: dict[str, list[Answer | None]] = {}
        self._scores: dict[str, list[float | None]] = {}

    def open(self, pool: Questions) -> None:
        """Load the model where something is to be answered, so that no answer's seconds hold that."""
        base = self._systems["base"]
        if cached.missing(self._catalogue.answers, base.key, pool[:PILOT]):
            self._progress("load", 0, 1)
            base.answer([pool[-1]])
            self._progress("load", 1, 1)
        # An endpoint that refused an option sends others from now on: answers are kept under the key of what was sent.
        self._systems = {name: system.as_sent() for name, system in self._systems.items()}
        for system in self._systems.values():
            self._catalogue.systems.put(system.key, system.description)

    def ask(self, questions: Questions) -> None:
        """Every system's answers to the questions, and their scores.

        Raises:
            GenerationError: every answer of an arm failed.
        """
        self.questions = questions
        judged = self._splits.judged(questions)
        for name, system in self._systems.items():
            places = [
                place for place, example in enumerate(judged) if name != "oracle" or self._mendable(place, example)
            ]
            chosen = Questions(questions[place] for place in places)
            answers = cached.answered(
                self._catalogue.answers,
                system.key,
                chosen,
                system=system,
                progress=self._progress,
                stage=f"probe {name}",
                batch=COMMITTED,
            )
            self._require_answers(name, answers)
            values = scores(
                self._catalogue.scores,
                Questions(judged[place] for place in places),
                answers,
                keys=(system.key, self._decider.key),
                metric=self._decider.metric,
                name=self._decider.name,
            )
            self._answers[name], self._scores[name] = [None] * len(questions), [None] * len(questions)
            for place, answer, value in zip(places, answers, values, strict=True):
                self._answers[name][place], self._scores[name][place] = answer, value

    def _mendable(self, place: int, example: Example) -> bool:
        """Is the answer without passages wrong, and is a right document known?"""
        score = self._scores["base"][place]
        return bool(
            example.sources and example.answerable and score is not None and is_wrong(score, self._decider.right)
        )

    def seconds(self) -> float:
        """What the answers took when they were made."""
        spent = 0.0
        for answers in self._answers.values():
            spent += sum(a.timing.retrieval + a.timing.generation for a in answers if a is not None)
        return spent

    def probed(self, hits: dict[str, tuple[bool | None, ...]], *, pool: int, splits: tuple[str, ...]) -> Probed:
        """What was measured; `hits` are those of single legs."""
        nothing: list[float | None] = [None] * len(self.questions)
        read = self._answers.get("rag", [None] * len(self.questions))
        shown: list[bool | None] = []
        for example, answer in zip(self._splits.judged(self.questions), read, strict=True):
            # A failed answer has no hits to judge.
            shown.append(_right_among(example, answer.hits) if answer and answer.failure is None else None)
        rows = []
        for place, group in enumerate(self.questions.groups.tolist()):
            rows.append(
                ProbedQuestion(
                    group=group,
                    closed=self._scores["base"][place],
                    read=self._scores.get("rag", nothing)[place],
                    gold=self._scores.get("oracle", nothing)[place],
                    hit=shown[place],
                )
            )
        failed = set()
        for answers in self._answers.values():
            failed |= {place for place, answer in enumerate(answers) if answer and answer.failure is not None}
        return Probed(
            questions=self.questions,
            rows=tuple(rows),
            systems={name: system.key for name, system in self._systems.items()},
            hits={"configured": tuple(shown), **hits} if hits else {},
            pool=pool,
            splits=splits,
            failed=len(failed),
            seconds=self.seconds(),
        )

    def _require_answers(self, name: str, answers: Sequence[Answer]) -> None:
        failures = [answer.failure for answer in answers if answer.failure is not None]
        if failures and len(failures) == len(answers):
            raise GenerationError(
                f"every answer of the probe failed ({name}, {len(answers)} of {len(answers)}): {failures[0].message} "
                f"[{failures[0].code}]",
                cure="Correct [generation.generator], then run the same command again.",
            )
