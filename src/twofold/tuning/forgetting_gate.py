"""The forgetting gate: a base model and its tuned copies answer the suite of `forgetting`, through the ordinary path.

Answers are committed batch by batch under a key made of generator and suite: what was answered before, by whatever
process, is not answered again, and the base model answers once a project.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from twofold.answering import cached
from twofold.answering.system import System
from twofold.examples.questions import Questions
from twofold.forgetting import suite
from twofold.forgetting.suite import Scores, SuiteItem
from twofold.hashing import digest
from twofold.host import pace
from twofold.plugins.protocols import Generator, Progress
from twofold.prompts import BARE
from twofold.store.catalogue import Catalogue
from twofold.types import Adapter, Answer, Arm, Example, Json

_BATCH = 128
_PACED = 100
"""Answers made at once from which a pace is kept: loading the model weighs little among them."""


@dataclass(frozen=True, kw_only=True)
class ForgettingGate:
    """Judges adapters of one base model."""

    catalogue: Catalogue
    """Keeps the answers."""
    generator: Callable[[Adapter | None], Generator]
    """Makes the base model's generator, or a tuned one's."""
    threshold: float
    """Drop allowed where the noise floor is lower."""
    progress: Progress
    """Shown while answering."""

    def judge(self, adapter: Adapter) -> Json:
        """Judge the adapter by `suite.judge`, with ``seconds`` spent now."""
        began = time.monotonic()
        base = self.scores(None)
        judged = suite.judge(base, self.scores(adapter), again=self._again(), threshold=self.threshold)
        return {**judged, "seconds": time.monotonic() - began}

    def scores(self, adapter: Adapter | None) -> Scores:
        """Scores of shape (items, wordings); NaN where an answer failed."""
        items = suite.suite()
        wordings = len(items[0].asks)
        pairs = [(item, item.example(wording)) for item, wording in product(items, range(wordings))]
        return self._answered(adapter, pairs, "").reshape(len(items), wordings)

    def _again(self) -> Scores:
        """The base model's first wording once more, last item first."""
        pairs = [(item, item.example(0)) for item in suite.suite()]
        # In another order, so that batches differ: the noise of batching is part of the noise floor.
        return self._answered(None, pairs[::-1], "again")[::-1]

    def _answered(self, adapter: Adapter | None, pairs: Sequence[tuple[SuiteItem, Example]], run: str) -> Scores:
        generator = self.generator(adapter)
        try:
            asks: Json = {"suite": suite.suite_digest(), "template": BARE.digest, "run": run}
            key = digest("general", {"generator": generator.key, **asks})
            self.catalogue.systems.put(key, {"arm": "general", "generator": generator.description})
            existing = self.catalogue.answers.get(key)
            done = len(existing)
            names = Questions(example for _, example in pairs).digests
            missing = [(name, *pair) for name, pair in zip(names, pairs, strict=True) if name not in existing]
            began = time.monotonic()
            stage = _stage(adapter, run)

            def count_done(answers: Sequence[Answer]) -> None:
                nonlocal done
                done += len(answers)
                self.progress(stage, done, len(pairs))

            if missing:
                self.progress(stage, done, len(pairs))
            # One system a length limit: a batch is generated to one limit.
            for size in sorted({item.max_tokens for _, item, _ in missing}):
                system = _system(generator, key, size)
                todo = [(name, example) for name, item, example in missing if item.max_tokens == size]
                cached.committed(
                    self.catalogue.answers,
                    lambda: key,
                    todo,
                    answer=system.answer,
                    batch=_BATCH,
                    done=count_done,
                )
            # Few answers would measure the loading of the model.
            if len(missing) >= _PACED:
                seconds = (time.monotonic() - began) / len(missing)
                pace.keep(pace.answering(generator.description), {"general": seconds})
            existing = self.catalogue.answers.get(key, include_failures=True)
        finally:
            generator.close()
        answers = [existing[name] for name in names]
        passed: list[float] = []
        for (item, _), answer in zip(pairs, answers, strict=True):
            # A failed answer is no measurement: neither passed nor forgotten.
            passed.append(np.nan if answer.failure is not None else float(suite.passes(item, answer.text)))
        return np.array(passed)


def _stage(adapter: Adapter | None, run: str) -> str:
    if adapter is not None:
        return "general ability"
    return "general ability of the base" + (", again" if run else "")


def _system(generator: Generator, key: str, max_tokens: int) -> System:
    return System(
        arm=Arm(name="general"),
        key=key,
        description={},
        generator=generator,
        template=BARE,
        max_tokens=max_tokens,
    )
