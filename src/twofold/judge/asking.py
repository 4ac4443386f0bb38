"""Questions put to a judge: each is asked once, whichever process asked it, and its reply is kept in the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from twofold.answering.cached import committed
from twofold.hashing import digest
from twofold.judge.prompts import VERSION
from twofold.plugins.protocols import Generator, Progress, quiet
from twofold.store.catalogue import Catalogue
from twofold.text.wrapping import answer_text
from twofold.types import Answer, Completion, Prompt, Timing


@dataclass(kw_only=True)
class Tally:
    """What asking took."""

    questions: int = 0
    """Different questions."""
    cached: int = 0
    """Of these, with a reply of an earlier run."""
    failures: list[str] = field(default_factory=list)
    """Of these, what failed, in words."""
    tokens: int = 0
    """Read and written, of all replies."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A generator that judges."""

    generator: Generator
    """Asked; without an adapter."""
    catalogue: Catalogue
    """Keeps the replies."""
    constrained: bool
    """Hold replies to the prompts' schemas, where the generator can."""
    batch: int
    """Questions asked and committed at a time: a killed process loses at most so many."""

    def key(self, repetition: int) -> str:
        """Key of the replies; what is asked the same again has a place of its own."""
        return digest("judge", {"generator": self.generator.key, "repetition": repetition, "version": VERSION})

    @property
    def held_to_schema(self) -> bool:
        """Are replies held to a schema?"""
        return self.constrained and self.generator.follows_schema

    def missing(self, prompts: Sequence[Prompt], *, repetition: int = 0) -> int:
        """How many different questions have no reply yet."""
        return len({self._name(prompt) for prompt in prompts} - self.catalogue.answers.get(self.key(repetition)).keys())

    def replies(
        self,
        prompts: Sequence[Prompt],
        *,
        tally: Tally,
        repetition: int = 0,
        stage: str = "judge",
        progress: Progress = quiet,
    ) -> list[Answer]:
        """The judge's replies in order; missing ones are generated now, and a failed one carries its `Failure`.

        Args:
            prompts: What is asked; equal prompts are one question.
            tally: Gets what this took.
            repetition: 0; another number asks the same again.
            stage: Name of the stage that `progress` shows.
            progress: Called after each batch.

        Raises:
            GenerationError: the generator as a whole cannot work.
        """
        names = [self._name(prompt) for prompt in prompts]
        questions = dict(zip(names, map(self._sent, prompts), strict=True))
        answers, key = self.catalogue.answers, self.key(repetition)
        todo = [(name, prompt) for name, prompt in questions.items() if name not in answers.get(key)]
        tally.questions += len(questions)
        tally.cached += len(questions) - len(todo)
        while todo:
            self.catalogue.systems.put(key, {"judges": "answers", "generator": self.generator.description})
            self._ask(todo, repetition, stage=stage, total=len(questions), progress=progress)
            # An endpoint that refused a field answers under another key; what it answered before is asked again.
            before, key = key, self.key(repetition)
            known = answers.get(key)
            todo = [item for item in questions.items() if item[0] not in known] if key != before else []
        stored = answers.get(key, include_failures=True)
        for reply in map(stored.__getitem__, questions):
            tally.tokens += reply.usage.prompt_tokens + reply.usage.completion_tokens
            if reply.failure is not None:
                tally.failures.append(reply.failure.message)
        return [stored[name] for name in names]

    def _ask(
        self, todo: Sequence[tuple[str, Prompt]], repetition: int, *, stage: str, total: int, progress: Progress
    ) -> None:
        count = total - len(todo)
        progress(stage, count, total)

        def count_done(answers: Sequence[Answer]) -> None:
            nonlocal count
            count += len(answers)
            progress(stage, count, total)

        committed(
            self.catalogue.answers,
            lambda: self.key(repetition),
            todo,
            answer=self._answer,
            batch=self.batch,
            done=count_done,
        )

    def _name(self, prompt: Prompt) -> str:
        """Digest of everything that the judge is asked."""
        return digest("judged", [prompt.messages, self._sent(prompt).schema, prompt.max_tokens])

    def _sent(self, prompt: Prompt) -> Prompt:
        # A generator that cannot write by a schema refuses the prompt; its instruction says the form all the same.
        return prompt if self.held_to_schema else replace(prompt, schema="")

    def _answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        return [_read(completion) for completion in self.generator.generate(prompts)]


def _read(completion: Completion) -> Answer:
    return Answer(
        text="" if completion.failure else answer_text(completion.text),
        raw=completion.text,
        cut=completion.finish == "length",
        usage=completion.usage,
        timing=Timing(generation=completion.seconds),
        failure=completion.failure,
    )
