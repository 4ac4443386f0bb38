"""Forecast a study's work and cost without doing it: the work is counted, this machine's pace is looked up or measured.

Nothing is written to the project, and nothing is searched for, which may cost money. Rows and prompts are rendered as
they will be, with passages cut from the documents in place of those that will be found; whether a model that learns
from passages is there already, the catalogue knows from when they were found.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any

from twofold import prompts
from twofold.answering.system import Renderer, query, shots_of
from twofold.assembly import rehearsal
from twofold.assembly.adapters import KEYS
from twofold.assembly.prompt_search import budget
from twofold.assembly.whole_documents import WholeDocuments
from twofold.assembly.workspace import Workspace
from twofold.errors import ModelError, TwofoldError
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.forgetting import suite as forgetting
from twofold.host import pace
from twofold.plugins import loading, specs
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import Progress, quiet
from twofold.settings.sections import Part
from twofold.study import calls, latency, looks, planned_trainings, race_plan, racing, repeats, reproof
from twofold.study import plan as planning
from twofold.study.admission import admitted, is_endpoint, require_sound, require_trainable
from twofold.study.confirming import reserve_warnings
from twofold.study.earlier import seen_by, spreads
from twofold.study.plan_record import StudyPlan, TuningPlan
from twofold.study.planned_models import PlannedModel, lacking, planned, slowness
from twofold.study.stand_ins import StandIns, pieces
from twofold.text.arm_names import of_model
from twofold.training import reckoning
from twofold.training.options import FitOptions
from twofold.tuning import training_data as rows
from twofold.tuning.finalize import ALONE, DEV
from twofold.types import Arm, Chunk, Document, Example, Hit, Json, Prompt

_SAMPLE = 40
"""Test questions whose prompts are rendered to learn their length."""
_CUT = 400
"""Documents that are cut into passages."""
_SHORT = (60.0, 48.0)
"""Tokens read and written, at most, of a question of the forgetting gate or of a general prompt."""
_SPEAKS = 0.7
"""Share of its token limit that an untuned model uses, where it was not seen answering."""


def plan(
    workspace: Workspace,
    splits: Splits,
    documents: Sequence[Document],
    *,
    records: Path,
    final: bool = False,
    race: bool = False,
    measure: bool = False,
    progress: Progress = quiet,
) -> StudyPlan:
    """The bill of a study, without doing it: steps, minutes, costs, what it could show, warnings.

    Args:
        workspace: Of the project.
        splits: Its examples.
        documents: Those of [documents].
        records: Directory of finished studies, with the ledger of looks: a study with these arms and this metric tells
            how much their scores differ.
        final: The questions are those of the reserve.
        race: Tell what a race is expected to ask; the steps are those of a race that asks everything.
        measure: Measure this machine for some seconds where nothing is known of its pace.
        progress: Shows measuring.

    Raises:
        StudyError, TooFewExamples, UnknownName, ConfigError: as for the study itself; see `admission.admitted`.
    """
    config = workspace.config
    checked = admitted(workspace, splits, records, final=final, documents=documents, planned=True)
    if race:
        checked = racing.prepared(checked, config, schema=racing.held_to_schemas(workspace, checked.arms))
    arms = (*checked.arms, *checked.diagnostics)
    work, notes, rates = forecast(
        workspace, splits, documents, arms=arms, test=checked.test, measure=measure, progress=progress
    )
    spread = spreads(records, [arm.name for arm in checked.arms], config.study.metric.name)
    rows = looks.ledger(records, workspace.catalogue)
    kinds = looks.kinds_against(promoted=any(workspace.models.chosen(arm) for arm in checked.arms))
    earlier = looks.earlier(rows, looks.asked_digests(checked.test), kinds=kinds)
    level = config.study.level if final else looks.level_of(1 + earlier, config.study.level)
    seen = seen_by(splits, config, arms=len(checked.arms), level=level, final=final, earlier=spread)
    steps, costs = planning.bill(work), [*planning.costs(work), *calls.costs(work.calls)]
    raced = None
    if race:
        raced = race_plan.of_study(workspace, checked, splits, records=records, level=level, steps=steps, costs=costs)
    return StudyPlan(
        steps=steps,
        costs=costs,
        race=raced,
        unpriced=calls.unpriced(work.calls),
        level=level,
        prospect=seen,
        warnings=[
            *planning.no_chance(work),
            *reproof.remarks(records, workspace.catalogue, steps),
            *repeats.remarks(checked.diagnostics),
            *checked.left_out,
            *planning.warnings(
                splits,
                arms,
                questions=checked.test,
                seen=seen,
                looks=earlier,
                config=config,
                final=final,
            ),
            *looks.mixtures(rows, splits),
            *reserve_warnings(splits, rows),
            *notes,
            *checked.notes,
        ],
        policy=planning.policy(splits, config, sealed=checked.test if final else ()),
        arms=[arm.name for arm in arms],
        models=work.models,
        rates=rates,
    )


def tuning_plan(
    workspace: Workspace,
    splits: Splits,
    documents: Sequence[Document],
    *,
    arm: Arm,
    measure: bool = False,
    progress: Progress = quiet,
) -> TuningPlan:
    """The bill of tuning one arm, without doing it; its steps are those of a study's plan.

    Raises:
        ConfigError, StudyError, TooFewExamples: it cannot be trained; see `admission.require_trainable`.
    """
    require_trainable(workspace, splits, arm)
    doubts = require_sound(workspace.search, (*splits.train, *splits.dev), documents if arm.retrieval else ())
    work, notes, rates = forecast(
        workspace, splits, documents, arms=(arm,), test=(), measure=measure, progress=progress
    )
    names = {f"{what} {arm.name}" for what in ("tune", *planning.BESIDE.values())}
    steps = [step for step in planning.bill(work) if step["step"] in names]
    return TuningPlan(steps=steps, warnings=[*planning.no_chance(work), *notes, *doubts], rates=rates)


def forecast(
    workspace: Workspace,
    splits: Splits,
    documents: Sequence[Document],
    *,
    arms: Sequence[Arm],
    test: Sequence[Example],
    measure: bool = False,
    progress: Progress = quiet,
) -> tuple[planning.Work, list[str], str]:
    """The work ahead with the paces of this machine; remarks; and where the paces come from."""
    return _Forecast(workspace, splits, documents, arms=arms, test=test).run(measure=measure, progress=progress)


class _Forecast:
    """Counts the work of one study."""

    def __init__(
        self,
        workspace: Workspace,
        splits: Splits,
        documents: Sequence[Document],
        *,
        arms: Sequence[Arm],
        test: Sequence[Example],
    ) -> None:
        self.workspace, self.splits, self.arms, self.test = workspace, splits, arms, test
        self.config = workspace.config
        self.documents = documents
        indexed = set(workspace.catalogue.documents.digests())
        retrieves = any(arm.retrieval for arm in arms)
        self.stale = [d for d in documents if d.id not in indexed] if retrieves else []
        self.unsynced = bool(self.stale) or not indexed
        self.notes: list[str] = []
        self.failed: set[str] = set()
        self.models: dict[str, PlannedModel] = {}
        """The models of the arms by name; the project's own has the empty name."""
        self.paces: dict[str, float] = {}
        self.answered: set[tuple[str, str]] = set()
        """Model, and kinds of questions that it has answered untuned, or will have for an earlier arm: ``general``,
        ``replay``, ``teacher``."""
        self.busy = False
        """Was a pace measured beside other work?"""

    def run(self, *, measure: bool, progress: Progress) -> tuple[planning.Work, list[str], str]:
        measured = self._generator_paces(measure=measure, progress=progress)
        chunks = self._chunks() if any(arm.retrieval for arm in self.arms) else {}
        self.stand_ins = StandIns(chunks, (*self.splits.train, *self.splits.dev, *self.test))
        tuning: list[planning.TuningWork] = []
        answering: list[planning.Answering] = []
        optimising: list[planning.Answering] = []
        for arm in self.arms:
            item = self._answering(arm, self.test)
            # `ft` and `prompt+ft` answer with one adapter: it is trained for the first of them.
            if arm.tuning and arm.learner not in [other.learner for other in self.arms[: len(answering)]]:
                planned, known = self._tuning(arm, item, measure=measure, progress=progress)
                measured = measured and known
                tuning += planned
            if arm.optimised:
                optimising.append(self._optimising(arm, item))
            answering.append(item)
        self._retrieval_paces(measure=measure, progress=progress)
        whole = sum(len(d.text) for d in self.documents if d.id in chunks) or 1
        per_character = sum(map(len, chunks.values())) / whole
        # No language model is asked for a linear arm.
        speaking = {arm.model for arm in self.arms if not arm.linear}
        work = planning.Work(
            documents=len(self.stale),
            chunks=sum(max(1.0, len(d.text) * per_character) for d in self.stale),
            answering=answering,
            tuning=tuning,
            optimising=optimising,
            paces=self.paces,
            slowness=slowness(),
            examples=len(self.test) * len(self.arms),
            calls=self._calls(answering, tuning, optimising),
            models={name: known.plan() for name, known in self.models.items() if name in speaking},
            allowed=partial(latency.allowed, self.config.study),
            least=latency.LEAST,
        )
        rates = "measured here while the machine was busy" if self.busy else "measured here"
        return work, self.notes, rates if measured else "not measured here: defaults scaled to this CPU"

    # ------------------------------------------------------------ calls of models beside the answers

    def _calls(
        self,
        answering: Sequence[planning.Answering],
        tuning: Sequence[planning.TuningWork],
        optimising: Sequence[planning.Answering],
    ) -> list[calls.Calls]:
        config = self.config
        requests = calls.in_metrics(config, answers=len(self.test) * len(self.arms))
        answers = [(f"answer {item.arm.name}", item, item.requests, item.requests) for item in answering]
        # What is searched for to choose a prompt is searched for once, whatever the number of candidates.
        dev = len(self.splits.dev)
        answers += [(f"{planning.OPTIMISE} {i.arm.name}", i, i.requests, min(dev, i.requests)) for i in optimising]
        for tuned in tuning:
            name = tuned.dev.arm.name
            beside = planning.BESIDE
            alone = round(tuned.answered * tuned.dev.single)  # what the others are asked was searched for to tune
            answers.append((f"{beside['dev']} {name}", tuned.dev, round(tuned.answered * tuned.dev.requests), alone))
            if tuned.candidates:
                taught = tuned.taught
                answers += [(f"{beside['teach']} {name}", taught, taught.requests, taught.requests)] if taught else []
                if tuned.dev.arm.retrieval:
                    both = len(self.splits.train) + len(self.splits.dev)
                    requests += calls.in_retrieval(config, self._questions(f"tune {name}", both))
                asks = round(tuned.candidates * tuned.gate + tuned.gate_first)
                for step, number in ((beside["gate"], asks), (beside["replay"], tuned.replayed)):
                    requests += calls.by_generator(
                        self.models[tuned.dev.arm.model].config,
                        f"{step} {name}",
                        "short questions",
                        number=number,
                        tokens=_SHORT,
                    )
            for training in tuned.trainings:
                if training.elsewhere and not (training.cached or training.price_per_million):
                    requests.append(calls.Calls(step=f"tune {name}", who=f"trainer {training.method}", number=1))
        for step, item, number, searched in answers:
            model = self.models[item.arm.model]
            if number and item.concurrency and not any(item.prices):
                requests += calls.by_generator(model.config, step, "answers", number=number, tokens=(0.0, 0.0))
            if searched and item.arm.retrieval and not (item.arm.oracle or item.arm.whole):
                requests += calls.in_retrieval(config, self._questions(step, searched))
        return requests

    def _questions(self, step: str, number: int) -> calls.QuestionBatch:
        some = self.test or self.splits.dev
        return calls.QuestionBatch(
            step=step,
            number=number,
            tokens=statistics.fmean(len(e.question) for e in some) / reckoning.CHARACTERS if some else 0.0,
            talks=statistics.fmean(len(e.messages) > 1 for e in some) if some else 0.0,
        )

    # ------------------------------------------------------------ paces

    def _generator_paces(self, *, measure: bool, progress: Progress) -> bool:
        for arm in self.arms:
            if arm.model in self.models:
                continue
            mine = [other for other in self.arms if other.model == arm.model]
            parts = self.workspace.of(arm)
            known = planned(parts, mine, measure=measure, note=self._note, progress=progress)
            self.models[arm.model] = known
            self.busy = self.busy or known.busy
            self.answered |= {(arm.model, kind) for kind in known.answered()}
        if "" in self.models:
            self.paces = dict(self.models[""].paces)
        return all(known.known for known in self.models.values())

    def _retrieval_paces(self, *, measure: bool, progress: Progress) -> None:
        if not any(arm.retrieval for arm in self.arms):
            return
        try:
            embedder = self.workspace.search.embedder
            subject = pace.embedding(embedder.fingerprint)
            if measure and lacking(subject, {"chunk"}):
                rehearsal.embedding(embedder, progress=progress)
            known = self._known(subject, {"chunk"} if self.stale else set())
            self.paces |= {{"load": "load embedder"}.get(kind, kind): value for kind, value in known.items()}
            spec = specs.of_retrieval(self.config, embedder=embedder.fingerprint, content="")
            self.paces |= pace.paces(pace.retrieving(spec))
        except TwofoldError as error:
            self._note(error)

    def _trainer_paces(
        self, arm: Arm, method: Part, options: FitOptions, *, measure: bool, progress: Progress
    ) -> dict[str, float]:
        model = options.model or str(self.models[arm.model].description.get("model", ""))
        subject = reckoning.subject(model, options)
        kinds = {"token", "evaluation", "setup"}
        # What failed for one arm fails for the next, which has the same subject: once is enough.
        if measure and subject not in self.failed and lacking(subject, kinds):
            try:
                rehearsal.training(method, model, progress=progress)
            except TwofoldError as error:
                self.failed.add(subject)
                self._note(error)
        return self._known(subject, kinds if measure else set())

    def _known(self, subject: str, kinds: set[str]) -> dict[str, float]:
        """The paces of `subject`; `kinds` are those that the plan needs."""
        self.busy = self.busy or bool(kinds & pace.of_busy(subject))
        return pace.paces(subject)

    def _note(self, error: TwofoldError) -> None:
        note = f"{error} ({error.cure})"
        if note not in self.notes:
            self.notes.append(note)

    # ------------------------------------------------------------ passages

    def _chunks(self) -> dict[str, list[Chunk]]:
        """Passages by document: of those that examples name, and some others."""
        named = set(chain.from_iterable(e.sources for e in (*self.splits.train, *self.splits.dev, *self.test)))
        if not self.documents:
            if self.unsynced:
                return {}
            try:
                chunks = self.workspace.search.index.chunks_of(sorted(named)[:_CUT])
            except TwofoldError as error:
                self._note(error)
                return {}
            by_document: dict[str, list[Chunk]] = {}
            for chunk in chunks:
                by_document.setdefault(chunk.span.document, []).append(chunk)
            return by_document
        drawn = random.Random(0).sample(list(self.documents), len(self.documents))
        # A stable sort: documents that examples name come first, both parts in the order drawn.
        chosen = sorted(drawn, key=lambda document: document.id not in named)[:_CUT]
        split = self._splitter()
        return {document.id: split(document) for document in chosen}

    def _splitter(self) -> Any:
        if self.config.documents.chunker.name == "semantic":  # embeds every sentence
            return pieces
        try:
            return self.workspace.search.chunker.split
        except TwofoldError as error:
            self._note(error)
            return pieces

    # ------------------------------------------------------------ answering

    def _answering(self, arm: Arm, questions: Sequence[Example]) -> planning.Answering:
        sample = list(questions or self.splits.dev)
        sample = random.Random(0).sample(sample, min(_SAMPLE, len(sample)))
        few = rows.few_shots(self.splits.train, arm.shots, seed=self.config.study.seed)
        shots = shots_of(few, self.stand_ins.gold(few) if arm.retrieval else None)
        known = self.models[arm.model]
        read = [reckoning.prompt_tokens(self._prompt(arm, e, shots).messages, known.encoder) for e in sample]
        key = self._system_key(arm)
        digests = set(Questions.of(questions).digests)
        cached = len(digests & set(self.workspace.catalogue.answers.get(key))) if key else 0
        # One of the runs is the arm that is served: its answers are there already.
        cached = len(digests) if arm.run == 1 else cached
        # Nobody could run an oracle, and single runs take as long as the one that is served: these are not timed.
        timed = arm.oracle or arm.run > 0 or (key is not None and self._timed(key, len(questions)))
        item = planning.Answering(
            arm=arm,
            prompt_tokens=statistics.fmean(read) if read else 0.0,
            completion_tokens=self._written(arm, sample),
            questions=len(questions),
            cached=cached,
            single=0 if timed else latency.questions(self.config.study, len(questions)),
            prices=calls.prices(known.config),
            concurrency=int(known.settings.concurrency) if known.remote else 0,
            paces=known.paces if arm.model else None,
        )
        # A linear model takes neither tokens nor an endpoint.
        free = {"prompt_tokens": 0.0, "completion_tokens": 0.0, "prices": (0.0, 0.0), "concurrency": 0}
        return replace(item, **free) if arm.linear else item  # type: ignore[arg-type]

    def _optimising(self, arm: Arm, item: planning.Answering) -> planning.Answering:
        """The search for an arm's prompt: of its answers at most, for how many there will be depends on the scores."""
        parts = self.workspace.of(arm)
        number = budget(parts.config, len(self.workspace.search.readable(self.splits.dev)))
        known = not (arm.retrieval and self.unsynced) and parts.arms.optimised(arm, self.splits)
        return replace(item, questions=number, cached=number if known else 0, single=0)

    def _timed(self, key: str, count: int) -> bool:
        catalogue = self.workspace.catalogue
        spent = float((catalogue.measures.get(key, "answering") or {}).get("seconds", 0.0))
        return latency.enough(latency.timings(catalogue, key), self.config.study, count, answering=spent)

    def _prompt(self, arm: Arm, example: Example, shots: Sequence[prompts.Shot]) -> Prompt:
        return prompts.render(
            example.messages,
            template=self.config.template,
            hits=self._shown(arm, example),
            shots=shots,
            choices=example.choices,
            max_tokens=self.models[arm.model].config.generation.max_tokens,
        )

    def _shown(self, arm: Arm, example: Example) -> Sequence[Hit] | None:
        if arm.whole:
            return WholeDocuments(lambda: self.documents).retrieve([query(example)], 0)[0].hits
        return self.stand_ins.hits(example, self.config.retrieval.k) if arm.retrieval else None

    def _written(self, arm: Arm, sample: Sequence[Example]) -> float:
        """Mean completion tokens: as this model was seen to write, a tuned one about as long as the references."""
        known = self.models[arm.model]
        limit = known.config.generation.max_tokens
        seen = known.paces.get(f"written {'tuned ' if arm.tuning else ''}{pace.shape(arm)}")
        if seen is not None and not arm.schema:
            return seen * limit
        if arm.tuning or arm.shots or arm.schema:
            texts = [e.references[0] if e.references else self.config.template.abstention for e in sample] or [""]
            # The end token; with passages before it the marker of a citation.
            marker = 4 if arm.retrieval else 1
            return min(limit, statistics.fmean(map(len, texts)) / reckoning.CHARACTERS + marker)
        return limit * _SPEAKS

    def _system_key(self, arm: Arm) -> str | None:
        if arm.retrieval and self.unsynced:
            return None
        try:
            return self.workspace.of(arm).arms.known_key(arm, self.splits)
        except ModelError as error:
            self._note(error)
        return None

    # ------------------------------------------------------------ tuning

    def _tuning(
        self, arm: Arm, item: planning.Answering, *, measure: bool, progress: Progress
    ) -> tuple[list[planning.TuningWork], bool]:
        workspace = self.workspace.of(arm)
        section = self.config.tuning
        if workspace.models.chosen(arm):
            return [], True
        trainings = []
        finished = 0
        replays = False
        measured = True
        for run, method in product(workspace.adapters.runs(arm), workspace.adapters.methods):
            options = loading.options("trainers", method.name, method.options)
            try:
                job = self._job(arm, method)
            except ModelError as error:
                self._note(error)
                return [], False
            known = None if arm.retrieval and self.unsynced else run.known_keys(arm.learner, self.splits, method)
            self._doubt(arm, known)
            adapted, trained = (
                known is not None and workspace.artifacts.find(known[name]) is not None
                for name in ("adapter", "trained")
            )
            finished += adapted
            if not isinstance(options, FitOptions):
                elsewhere = is_endpoint("trainers", method.name)
                trainings.append(
                    planned_trainings.other(method, options, job, cached=trained or adapted, elsewhere=elsewhere)
                )
                continue
            replays = replays or options.replay > 0
            needed = measure and not (trained or adapted)
            paces = self._trainer_paces(arm, method, options, measure=needed, progress=progress)
            measured = measured and (bool(paces) or not needed)
            trainings.append(planned_trainings.of_loop(method, options, job, paces=paces, cached=trained or adapted))
        dev = min(DEV, len(workspace.search.readable(self.splits.dev)))
        suite = forgetting.suite()
        asks = 0 if section.gate == "off" else sum(len(one.asks) for one in suite)
        taught = None
        if section.answers == "retrieval" and (arm.model, "teacher") not in self.answered:
            taught = replace(
                self._answering(
                    self.config.arm(of_model("rag", arm.model)), workspace.search.readable(self.splits.train)
                ),
                single=0,
            )
        tuning = planning.TuningWork(
            dev=replace(item, questions=dev, cached=0, single=min(ALONE + 1, dev)),
            trainings=trainings,
            finished=finished,
            replayed=len(forgetting.replay_prompts()) if replays and (arm.model, "replay") not in self.answered else 0,
            taught=taught,
            gate=asks,
            # The base answers all of them, and their first wording once more in another order.
            gate_first=0 if (arm.model, "general") in self.answered or not asks else asks + len(suite),
            shares=1 if section.gate == "off" else 1 + len(section.merge_back),
        )
        if finished < len(trainings):
            wrote = (("general", asks), ("replay", replays), ("teacher", taught))
            self.answered |= {(arm.model, kind) for kind, asked in wrote if asked}
        return [tuning], measured

    def _doubt(self, arm: Arm, known: Json | None) -> None:
        """Say so where a model of the arm is there and nothing tells whether it is the one that would be made."""
        catalogue = self.workspace.catalogue
        if (
            known is None
            and not catalogue.measures.exists(KEYS)
            and any(r["arm"] == arm.name for r in catalogue.models.records().values())
        ):
            self.notes.append(
                f"a model of {arm.name} was made before such plans could tell whether it is this study's: the study "
                "finds that out when it has searched for the training questions"
            )

    def _job(self, arm: Arm, method: Part) -> TrainerJob:
        """The training job, with stand-ins for the passages that are still to be found."""
        if not arm.retrieval:
            return self.workspace.of(arm).adapters.job(arm, self.splits, method)
        config = self.workspace.of(arm).config
        learning = replace(
            self.workspace.search.learning(self.splits, config),
            retriever=lambda: self.stand_ins,
            gold=self.stand_ins.gold,
        )
        renderer = Renderer(
            arm=arm,
            template=config.template,
            max_tokens=config.generation.max_tokens,
            retriever=self.stand_ins,
            k=self.config.retrieval.k,
            gold=self.stand_ins.gold if arm.oracle else None,
            filter=learning.filter,
        )
        return learning.job(arm, method, renderer)
