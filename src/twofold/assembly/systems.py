"""Arm + parts that exist → `System`, with a key made of everything that can change an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twofold.answering.sufficiency import Calibration
from twofold.answering.system import Renderer, System
from twofold.assembly import optimised_prompts
from twofold.assembly.calibrations import Calibrations
from twofold.assembly.label_writer import LabelWriter
from twofold.assembly.models import Models
from twofold.assembly.optimised_prompts import OptimisedPrompt
from twofold.assembly.schemas import require_support
from twofold.assembly.searching import Search
from twofold.config import Config
from twofold.examples import answer_schemas
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.hashing import digest
from twofold.plugins import specs
from twofold.plugins.protocols import Generator
from twofold.tuning import finalize
from twofold.tuning.prompt_candidates import instructed
from twofold.tuning.training_data import few_shots
from twofold.types import Adapter, Arm, Example, Filter, Json

_VERSION = 3
"""Raised when systems are made differently from the same parts, or read the same completion as another answer."""
_PROMPTS = 1
"""Raised when another prompt may be chosen of the same examples: other candidates, or another rule."""


@dataclass(kw_only=True, eq=False)
class Systems:
    """Makes systems of one project; trains nothing."""

    config: Config
    """The configuration in force."""
    search: Search
    """Finds passages."""
    models: Models
    """Answer."""

    def equipped(self, arm: Arm, splits: Splits, *, adapter: Adapter | None, brief: bool = False) -> System:
        """An arm made ready with this adapter, its abstention calibrated unless the store has that.

        With `brief` it only measures a candidate (see `Models.generator`), and sees what learning may see.
        """
        generator = self.generator(arm, lambda: splits, adapter=adapter, brief=brief)
        # Where nothing is searched for, no evidence tells whether the answer was found.
        calibration = self.calibration(splits)[0] if arm.retrieval and not arm.whole else None
        # A candidate must not be chosen with the help of documents that only the test is about.
        seen = self.search.learning(splits).filter if brief else self.search.filter
        prompt = self.prompt(arm, splits) if arm.optimised else None
        return self.assembled(
            arm,
            generator=generator,
            shots=prompt.examples(splits.train, arm=arm.name) if prompt else self.shots(arm, splits),
            calibration=calibration,
            filter=seen,
            schema=self.schema(arm, splits),
            prompt=prompt,
        )

    def tried(
        self,
        arm: Arm,
        splits: Splits,
        *,
        generator: Generator,
        shots: tuple[Example, ...],
        prompt: OptimisedPrompt,
    ) -> System:
        """The system of an arm with a prompt that may be chosen, which sees what learning may see.

        Args:
            arm: The arm.
            splits: The examples.
            generator: Answers, for all candidates.
            shots: Examples shown.
            prompt: The candidate.
        """
        return self.assembled(
            arm,
            generator=generator,
            shots=shots,
            calibration=self.calibration(splits)[0] if arm.retrieval and not arm.whole else None,
            filter=self.search.learning(splits).filter,
            schema=self.schema(arm, splits),
            prompt=prompt,
        )

    def served(
        self,
        arm: Arm,
        splits: Callable[[], Splits],
        *,
        adapter: Adapter | None,
        calibration: Calibration | None,
        prompt: str = "",
    ) -> System:
        """An arm made ready of parts that are there: nothing is trained, calibrated, retrieved or written.

        Args:
            arm: The arm.
            splits: The examples, which are read only for an arm that shows some or infers its schema from them.
            adapter: Its tuned weights.
            calibration: When it abstains.
            prompt: Key of its optimised prompt, the one that was measured; empty: the one of today's settings.

        Raises:
            StoreError: its prompt is to be an optimised one, and none is stored, or an example that it shows is gone.
        """
        chosen = self.prompt(arm, splits(), key=prompt) if arm.optimised else None
        shots: tuple[Example, ...] = ()
        if arm.shots:
            # Of all splits: another example that was removed may have moved it, and the prompt is the measured one.
            known = splits()
            every = (*known.train, *known.dev, *known.test, *known.reserve)
            shots = chosen.examples(every, arm=arm.name) if chosen else self.shots(arm, known)
        return self.assembled(
            arm,
            generator=self.generator(arm, splits, adapter=adapter, here=True),
            shots=shots,
            calibration=calibration,
            schema=self.schema(arm, splits()) if arm.schema else self.models.schema,
            prompt=chosen,
        )

    def prompt(self, arm: Arm, splits: Splits, *, key: str = "") -> OptimisedPrompt:
        """The stored prompt of an arm: of this key, else of the examples, documents and settings in force.

        Raises:
            StoreError: there is none.
        """
        return optimised_prompts.stored(self.search.artifacts, key or self.prompt_key(arm, splits), arm=arm.name)

    def prompt_key(self, arm: Arm, splits: Splits) -> str:
        """Name of the prompt that is, or would be, chosen for an arm."""
        config, learning = self.config, self.search.learning(splits)
        # Exact, as for a tuned model: what an endpoint refused does not decide which prompt is chosen.
        generator = self.models.generator(brief=True, exact=True)
        metric = specs.informed(config.study.decides, (*splits.train, *splits.dev, *splits.test))
        made_of: Json = {
            "arm": {"retrieval": arm.retrieval, "oracle": arm.oracle, "whole": arm.whole, "schema": arm.schema},
            "shots": arm.shots,
            "generator": generator.key,
            "template": config.template.digest,
            "max_tokens": config.generation.max_tokens,
            "schema": self.schema(arm, splits),
            "train": list(splits.train.digests),
            "dev": list(learning.splits.dev.digests),
            "metric": [metric.name, metric.options],
            "looks": finalize.looks(config.tuning),
            "seed": config.study.seed,
            "principal": learning.filter.principal,
            "version": _PROMPTS,
        }
        generator.close()
        if arm.retrieval:
            made_of["retrieval"] = {**self.search.spec(), "without": sorted(learning.filter.without)}
        return digest("prompt", made_of)

    def generator(
        self,
        arm: Arm,
        splits: Callable[[], Splits],
        *,
        adapter: Adapter | None = None,
        brief: bool = False,
        here: bool = False,
    ) -> Generator:
        """What writes an arm's answers: the configured generator (see `Models.generator`), or a linear model.

        Raises:
            ConfigError: the arm is ``linear``, and the answers of train and dev are no labels.
            MissingExtra: the arm is ``linear``, and scikit-learn is not installed.
        """
        if not arm.linear:
            return self.models.generator(adapter, brief=brief, here=here)
        # Dev too: nothing is chosen on it here, and other arms use it to choose their weights.
        learned = self.search.readable((*splits().train, *splits().dev))
        renderer = self.renderer(arm, self.search.filter)
        return LabelWriter(
            learned,
            lambda example: renderer.prompt(example, None, shots=()),
            embedder=self.search.embedder,
            abstention=self.config.template.abstention,
        )

    @property
    def calibrations(self) -> Calibrations:
        """The stored calibrations of abstention."""
        return Calibrations(
            artifacts=self.search.artifacts, risk=self.config.retrieval.risk, retrieval=self.search.spec
        )

    def calibration(self, splits: Splits) -> tuple[Calibration | None, str]:
        """When to abstain for want of evidence, or None, and why; see `Calibrations.calibrated`."""
        return self.calibrations.calibrated(self.search.learning(splits))

    def shots(self, arm: Arm, splits: Splits) -> tuple[Example, ...]:
        """Few-shot examples of an arm, from train."""
        return few_shots(splits.train, arm.shots, seed=self.config.study.seed) if arm.shots else ()

    def schema(self, arm: Arm, splits: Splits) -> str:
        """The JSON schema of an arm's answers as text; empty where there is none, or each question has its choices.

        It is inferred from examples that the study's principal may read: an enumeration of answers shows them.

        Raises:
            ConfigError: it is to be inferred, and the training examples' answers have no form in common.
        """
        if not arm.schema:
            return self.models.schema
        return self.models.configured_schema or answer_schemas.inferred(
            self.search.readable(splits.train), abstention=self.config.template.abstention
        )

    def renderer(self, arm: Arm, filter: Filter) -> Renderer:
        """An arm's prompts without its model: for rows and dev items, of documents that the filter lets be seen."""
        reading = self._reading(arm, filter)
        if arm.retrieval:
            # Each train and dev question is searched for once, whatever is made of its passages.
            reading["retriever"] = self.search.gathered
        return Renderer(arm=arm, **reading)

    def _reading(self, arm: Arm, filter: Filter) -> dict[str, Any]:
        """The fields that a `Renderer` and a `System` of an arm have in common."""
        return {
            "template": self.config.template,
            "max_tokens": self.config.generation.max_tokens,
            "retriever": (self.search.whole if arm.whole else self.search.retriever) if arm.retrieval else None,
            "k": self.config.retrieval.k,
            "gold": self.search.gold if arm.oracle else None,
            "filter": filter,
            "guarded": self.config.access.enabled,
            "sources": self.search.gold,
        }

    def assembled(
        self,
        arm: Arm,
        *,
        generator: Generator,
        shots: tuple[Example, ...],
        calibration: Calibration | None = None,
        filter: Filter | None = None,
        schema: str | None = None,
        prompt: OptimisedPrompt | None = None,
    ) -> System:
        """The system of an arm with just these parts; filter, schema and prompt are the project's unless given."""
        filter = filter or self.search.filter
        schema = self.models.schema if schema is None else schema
        # A label is no JSON, whatever form the other arms' answers have.
        schema = "" if arm.linear else schema
        template = instructed(self.config.template, prompt.instruction if prompt else "")
        parts: Json = {
            "arm": arm.name,
            "generator": generator.description,
            "template": template.digest,
            "max_tokens": self.config.generation.max_tokens,
            "shots": list(Questions.of(shots).digests),
        }
        if schema or arm.schema:
            require_support(generator, arm=f"the arm {arm.name}" if arm.schema else "")
            # Also where it is empty: the choices of each question are then its schema.
            parts["schema"] = schema
        if arm.schema:
            parts["unquoted"] = True
        if self.config.access.enabled:
            # Another principal sees other passages, and so gives other answers.
            parts["principal"] = list(self.search.filter.principal or ())
        if arm.retrieval:
            parts["retrieval"] = {**self.search.spec(), "oracle": arm.oracle, "nothing_found": "abstain"}
            if arm.whole:
                parts["retrieval"]["whole"] = True
            if shots:
                # Which passage that is, `content` decides: the index is part of the search's spec.
                parts["retrieval"]["shots"] = "the best passage of each"
            if calibration is not None:
                parts["retrieval"]["abstention"] = calibration.key
            # Only where something is left out: keys of systems that see all documents stay as they were.
            if filter.without:
                parts["retrieval"]["without"] = digest("without", filter.without)
        # The key names what decides an answer; the description below also says which version of the index it was.
        # Without the arm's name: arms that differ in nothing else give the same answers.
        made_of = {**parts, "generator": generator.key, "arm": "", "version": _VERSION}
        if arm.retrieval:
            parts["retrieval"] = {**parts["retrieval"], "index_version": self.search.index.state().version}
        if prompt and prompt.report:
            # Only in the description: how a prompt was chosen changes no answer, and the project's own has its own key.
            parts["optimised"] = dict(prompt.report)
        return System(
            arm=arm,
            key=digest("system", made_of),
            description=parts,
            generator=generator,
            schema=schema,
            # A generator may learn at its first call what its endpoint refuses: the key is then of what was sent.
            keyed=lambda writer: digest("system", {**made_of, "generator": writer}),
            shots=shots,
            calibration=calibration,
            **{**self._reading(arm, filter), "template": template},
        )
