"""Training rows that a model wrote: the base model's own answers, replayed, and the retrieval arm's, to be learned.

Both are greedy answers through the ordinary path, kept in the catalogue, so that a rerun learns from the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from twofold import prompts
from twofold.answering import cached
from twofold.answering.system import System, question
from twofold.errors import GenerationError, TooFewExamples
from twofold.forgetting import suite
from twofold.hashing import digest
from twofold.plugins.protocols import Generator, Progress
from twofold.store.catalogue import Catalogue
from twofold.types import Answer, Arm, Example, Json, Pair

_TOKENS = 96
"""Longer answers are not replayed."""


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """Answers that models write for training."""

    catalogue: Catalogue
    """Keeps the answers."""
    generator: Callable[[], Generator]
    """Makes the untuned generator."""
    retrieval: Callable[[], System]
    """Makes the untuned retrieval arm ready."""
    distils: bool
    """The retrieval arm writes the training answers."""
    replays: bool
    """General prompts are rehearsed."""

    def spec(self) -> Json:
        """Name what decides the texts that a model will write; empty where none is written."""
        identity: Json = {}
        if self.distils:
            system = self.retrieval()
            identity["teacher"] = system.key
            system.close()
        if self.replays:
            generator = self.generator()
            identity["replay"] = _replay_key(generator)
            generator.close()
        return identity

    def distilled(self, train: Sequence[Example], *, progress: Progress) -> tuple[tuple[Example, ...], Json]:
        """The examples with the retrieval arm's answers instead of their own (Snell et al. 2022, arXiv:2209.15189).

        What it did not answer, could not finish, or declined though the example has an answer, is left out.

        Args:
            train: The examples.
            progress: Shown while answering.

        Returns:
            Those that are left; and counts: ``asked``, ``kept``, ``failed``, ``cut`` (too long), ``abstained``.

        Raises:
            TooFewExamples: nothing is left.
        """
        system = self.retrieval()
        try:
            key = digest("teacher", {"system": system.key})
            self.catalogue.systems.put(key, {**system.description, "arm": "teacher"})
            answers = cached.answered(
                self.catalogue.answers,
                key,
                train,
                system=system,
                progress=progress,
                stage="answers of the retrieval arm",
            )
        finally:
            system.close()
        counts = {"asked": len(answers), "kept": 0, "failed": 0, "cut": 0, "abstained": 0}
        left = []
        for example, answer in zip(train, answers, strict=True):
            # where nothing answers the question, abstaining is the right answer to learn
            why = "abstained" if answer.abstained and example.answerable else _unfit(answer)
            counts[why or "kept"] += 1
            if not why:
                references = () if answer.abstained else (answer.text,)
                left.append(replace(example, references=references, origin="synthetic"))
        if not left:
            raise TooFewExamples(
                f"the retrieval arm gave no usable training answer: {counts}",
                cure='Set [tuning].answers = "examples", or raise [generation].max_tokens.',
            )
        return tuple(left), counts

    def replayed(self, *, progress: Progress) -> tuple[Pair, ...]:
        """General prompts (``forgetting/data/replay.jsonl``) with what the untuned generator answers: rehearsal.

        Rows that a model wrote itself hold it to where it was about as well as those it once learned from (Huang et al.
        2024, arXiv:2403.01244). The forgetting gate asks none of them. Unfinished answers are left out.

        Raises:
            GenerationError: no answer could be used.
        """
        generator = self.generator()
        try:
            key = _replay_key(generator)
            self.catalogue.systems.put(key, {"arm": "replay", "generator": generator.description})
            system = System(
                arm=Arm(name="replay"),
                key=key,
                description={},
                generator=generator,
                template=prompts.BARE,
                max_tokens=_TOKENS,
            )
            prompt_examples = []
            for number, text in enumerate(suite.replay_prompts()):
                prompt_examples.append(replace(question(text), id=f"replay/{number}"))
            answers = cached.answered(
                self.catalogue.answers,
                key,
                prompt_examples,
                system=system,
                progress=progress,
                stage="answers to replay",
            )
        finally:
            generator.close()
        rows: list[Pair] = []
        for example, answer in zip(prompt_examples, answers, strict=True):
            if not _unfit(answer):
                prompt = prompts.render(example.messages, template=prompts.BARE)
                rows.append(prompts.pair(prompt, answer.text, example))
        if not rows:
            raise GenerationError(
                "the base model answered none of the prompts to replay",
                cure="Check [generation], or set [tuning.trainer.options].replay = 0.",
            )
        return tuple(rows)


def _replay_key(generator: Generator) -> str:
    asks: Json = {"tokens": _TOKENS, "template": prompts.BARE.digest, "prompts": list(suite.replay_prompts())}
    return digest("replay", {"generator": generator.key, **asks})


def _unfit(answer: Answer) -> str:
    if answer.failure is not None or not answer.text.strip():
        return "failed"
    return "cut" if answer.cut else ""
