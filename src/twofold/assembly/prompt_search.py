"""The search for an arm's prompt: candidates answer dev questions, and the best of them is stored.

Only train and dev are seen. Every answer is kept in the catalogue under a key made of the prompt that it was given, and
what the model proposed is kept in the unfinished artifact: a killed search goes on where it stopped.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import numpy as np

from twofold.answering import cached as answer_cache
from twofold.answering.system import System
from twofold.assembly import optimised_prompts
from twofold.assembly.optimised_prompts import OptimisedPrompt
from twofold.assembly.systems import Systems
from twofold.config import Config
from twofold.errors import GenerationError, StudyError
from twofold.examples.grouping import documents_of
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.files import writing
from twofold.hashing import digest, plain
from twofold.host import pace
from twofold.plugins import loading, specs
from twofold.plugins.protocols import Generator, Metric, Progress
from twofold.stats import intervals
from twofold.store.catalogue import Catalogue
from twofold.tuning import finalize, prompt_candidates
from twofold.tuning.prompt_candidates import Candidate
from twofold.tuning.prompt_halving import FEWEST, Outcome, Scores, field_size, halved
from twofold.types import Answer, Arm, Json

PHASE = "optimise"
"""Phase of `pace.Spent` that the search is charged to."""
_PROPOSED = "proposed.json"
"""What the model proposed, in the unfinished artifact."""


def budget(config: Config, dev: int) -> int:
    """Answers to dev questions that a search may take: as many as tuning takes of as many dev questions."""
    return finalize.looks(config.tuning) * min(finalize.DEV, dev)


@dataclass(frozen=True, kw_only=True)
class PromptSearch:
    """Chooses prompts of one project's arms."""

    systems: Systems
    """Make a system of each candidate."""
    catalogue: Catalogue
    """Keeps the answers."""
    spent: pace.Spent
    """Gets the seconds."""

    def run(self, arm: Arm, splits: Splits, *, progress: Progress) -> None:
        """Choose and store the arm's prompt unless it is there.

        Raises:
            TooFewExamples: there is no dev question to choose by.
            GenerationError: the project's own prompt got no answer at all.
            StudyError: the study's metric gives no dev answer a score.
        """
        systems = self.systems
        key = systems.prompt_key(arm, splits)
        artifacts = systems.search.artifacts
        if artifacts.find(key) is not None:
            return
        with self.spent.on(PHASE):
            generator = systems.generator(arm, lambda: splits)
            try:
                prompt = self._chosen(arm, splits, generator, key, progress)
            finally:
                generator.close()
        documents = sorted(set(chain.from_iterable(map(documents_of, splits.train))))
        optimised_prompts.keep(artifacts, key, prompt, documents=documents)

    def _chosen(self, arm: Arm, splits: Splits, generator: Generator, key: str, progress: Progress) -> OptimisedPrompt:
        config, seed = self.systems.config, self.systems.config.study.seed
        learning = self.systems.search.learning(splits)
        train, dev = learning.splits.train, list(learning.splits.dev)
        if not dev:
            raise splits.lack("dev", f"the arm {arm.name} chooses its prompt by the examples")
        # Drawn once: all candidates of a round answer the same questions.
        questions = Questions(random.Random(seed).sample(dev, min(len(dev), finalize.DEV)))
        proposed = self._proposed(train, generator, key, progress)
        instructions: dict[str, Literal["default", "pool", "model"]] = {"": "default"}
        abstention = config.template.abstention
        by_hand = prompt_candidates.pool(train, retrieval=arm.retrieval, abstention=abstention)
        instructions |= dict.fromkeys(by_hand, "pool")
        for text in proposed:
            instructions.setdefault(text, "model")
        sets = prompt_candidates.shot_sets(train, arm.shots, seed=seed)
        # The very shots of the arm without the part, also where the principal may not read all of them.
        sets["default"] = self.systems.shots(arm, splits)
        most = budget(config, len(questions))
        size = field_size(most, len(questions), len(instructions) * len(sets))
        field = prompt_candidates.candidates(instructions, sets, most=size, seed=seed)
        part = specs.informed(config.study.decides, (*splits.train, *splits.dev, *splits.test))
        trial = _Trial(
            search=self,
            arm=arm,
            splits=splits,
            generator=generator,
            metric=loading.make("metrics", part.name, part.options),
            questions=questions,
            progress=progress,
        )
        outcome = halved(
            [candidate.simplicity for candidate in field],
            questions.groups,
            budget=most,
            score=lambda number, count: trial.scores(field[number], count, first=number == 0),
        )
        chosen = field[outcome.chosen]
        report: Json = {
            **_shown(chosen),
            "metric": part.name,
            "looks": finalize.looks(config.tuning),
            "dev": len(questions),
            "budget": most,
            "spent": outcome.spent,
            "proposed": len(proposed),
            "default": outcome.chosen == 0,
            "few": outcome.gain.n < FEWEST,
            "gain": plain(outcome.gain),
            "error": outcome.error,
            "rival": outcome.rival,
            "candidates": _rows(field, outcome, questions),
        }
        digests = Questions.of(chosen.shots).digests
        return OptimisedPrompt(instruction=chosen.instruction, shots=digests, report=report)

    def _proposed(self, train: Questions, generator: Generator, key: str, progress: Progress) -> list[str]:
        """The usable instructions that the model wrote, written once: an endpoint's would differ the next time."""
        path = self.systems.search.artifacts.working(key) / _PROPOSED
        if path.is_file():
            return list(json.loads(path.read_text(encoding="utf-8")))
        progress("instructions", 0, 1)
        requests = prompt_candidates.requests(train, seed=self.systems.config.study.seed)
        texts = prompt_candidates.proposals(generator.generate(requests) if requests else [])
        # Whole or absent: a search that is killed meanwhile could not go on from half a list.
        writing.write(path, json.dumps(texts, ensure_ascii=False))
        progress("instructions", 1, 1)
        return texts


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """Candidates asked dev questions."""

    search: PromptSearch
    arm: Arm
    splits: Splits
    generator: Generator
    metric: Metric
    questions: Questions
    progress: Progress

    def scores(self, candidate: Candidate, count: int, *, first: bool) -> Scores:
        """Scores on the first so many questions, NaN where there is none; `first`: of the project's own prompt."""
        part = Questions(self.questions[:count])
        system = self.search.systems.tried(
            self.arm,
            self.splits,
            generator=self.generator,
            shots=candidate.shots,
            prompt=OptimisedPrompt(
                instruction=candidate.instruction, shots=Questions.of(candidate.shots).digests, report={}
            ),
        )
        answers = self._answers(system, part)
        scores = [None if a.failure else self.metric.score(e, a) for e, a in zip(part, answers, strict=True)]
        values = np.array([np.nan if score is None else score for score in scores], dtype=float)
        if first and not np.isfinite(values).any():
            # Nothing to compare with: the other candidates would be paid for in vain.
            failure = next((answer.failure for answer in answers if answer.failure), None)
            if failure is not None:
                raise GenerationError(f"no dev question was answered for the arm {self.arm.name}: {failure.message}")
            raise StudyError(
                f"the arm {self.arm.name} cannot choose its prompt: {self.search.systems.config.study.metric.name} "
                "gives no dev answer a score",
                cure="Decide by a metric that scores every question, or leave the arm out of [study].arms.",
            )
        return values

    def _answers(self, system: System, questions: Questions) -> list[Answer]:
        catalogue = self.search.catalogue
        # As in `finalize`: dev answers are no answers of a study.
        key = digest("dev", {"system": system.key})
        catalogue.systems.put(key, {"arm": system.arm.name, "split": "dev"})
        # Every candidate is shown the same passages: they are searched for once.
        searches = system.retriever is not None and not system.arm.whole
        reading = replace(system, retriever=self.search.systems.search.gathered) if searches else system
        return answer_cache.answered(
            catalogue.answers, key, questions, system=reading, progress=self.progress, stage="prompts on dev"
        )


def _shown(candidate: Candidate) -> Json:
    return {
        "instruction": candidate.instruction,
        "origin": candidate.origin,
        "draw": candidate.draw,
        "shots": [shot.id for shot in candidate.shots],
    }


def _rows(field: Sequence[Candidate], outcome: Outcome, questions: Questions) -> list[Json]:
    rows: list[Json] = []
    for number, candidate in enumerate(field):
        scores = outcome.scores[number]
        scored = np.isfinite(scores).any()
        dev = plain(intervals.estimate(scores, questions.groups[: len(scores)])) if scored else None
        rows.append({**_shown(candidate), "asked": len(scores), "rounds": outcome.rounds[number], "dev": dev})
    return rows
