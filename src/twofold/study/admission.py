"""Refusals before a study begins: the same for its plan and for its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from twofold.advice.observing import base_vocabulary
from twofold.answering.readers import readers_now
from twofold.assembly.models import Models
from twofold.assembly.searching import Search
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.errors import (
    BadRecord,
    ConfigError,
    ScorerBroken,
    StudyError,
    TooFewExamples,
    TwofoldError,
    UnknownDocument,
)
from twofold.examples import checking
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.files.reading import counted
from twofold.hashing import digest, plain
from twofold.plugins import loading, protocols, specs
from twofold.plugins.protocols import Doubts, Metric
from twofold.plugins.traits import GeneratorSettings, MetricTraits
from twofold.reports.archive import latest, read_record
from twofold.settings.sections import MetricPart, StudySection
from twofold.store.forgotten import RECEIPTS, Forgotten
from twofold.store.model_record import read_everything
from twofold.study import looks, repeats
from twofold.study.confirming import Hypothesis, hypothesis, unseen
from twofold.study.judging import RightAnswers, right_answers
from twofold.study.schema_checks import outside_schemas
from twofold.study.scorer_check import self_test
from twofold.text.arm_names import model_of, of_model
from twofold.types import Arm, Document, Example, Json, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A study that can begin."""

    arms: tuple[Arm, ...]
    diagnostics: tuple[Arm, ...]
    """Arms beside them, which no verdict chooses: oracles, and the single training runs of tuned arms."""
    metrics: Mapping[str, tuple[Metric, str]]
    """Name → the metric, and its key: of its name, version and options."""
    specs: Mapping[str, Json]
    """Name → what that key is a digest of (`specs.of_part`)."""
    test: Questions
    """The questions: those of the test split, or of the reserve."""
    judged: Questions
    """The same, as their answers are judged: a copy of a right document is as right (`Splits.judged`)."""
    notes: tuple[str, ...]
    """Remarks on faults that only the next sync can show."""
    tests: tuple[Json, ...]
    """What the scorer self-test found of each metric (`scorer_check.self_test`), with its name as ``metric``, and as
    ``planted`` how well it finds errors planted in the project's own right answers, where it has a probability."""
    left_out: tuple[str, ...] = ()
    """Warnings: questions made from what the study's principal may not read, metrics that cannot judge here."""
    hypothesis: Hypothesis | None = None
    """The hypothesis that an opening of the reserve tests; None for an ordinary study."""


def admitted(
    workspace: Workspace,
    splits: Splits,
    records: Path,
    *,
    final: bool = False,
    documents: Sequence[Document] | None = None,
    planned: bool = False,
) -> Admitted:
    """Check what is asked for, before anything is spent.

    Args:
        workspace: Of the project.
        splits: Its examples.
        records: Directory of finished studies, with the ledger of looks.
        final: Open the reserve: only the two arms of the hypothesis answer, and only questions that no study used.
        documents: Those of [documents].paths, where the sources were not synced just now.
        planned: Only a plan is wanted, which spends nothing: metrics that ask a model at an endpoint are not tested.

    Raises:
        StudyError: no arm, one named twice, a diagnostic without retrieval, an arm that needs weights which an
            endpoint keeps, or a model that learned from test questions or their documents; or the reserve is to be
            opened and must not be (see `confirming`).
        ConfigError: an arm is to read documents, and the project has none.
        TooFewExamples: an arm is to be tuned or shows examples, and the train or dev split is empty.
        UnknownDocument: examples name documents that do not exist, and an arm retrieves.
        BadRecord: an example has another fault that makes its scores wrong: a span outside its document, an answer that
            is none of its choices.
        UnknownName: a metric of [study], or an arm, that nobody defined.
        ConfigError: the documents do not fit into the prompt of an arm that shows all of them.
        ConfigError: a schema that no training answer satisfies, or that cannot be inferred from them.
        ConfigError: an option that a metric does not have, or a bad value of one; a metric that cannot decide, or that
            scores none of the questions.
        ScorerBroken: gold answers do not score 1, or shuffled gold does, by a metric that the project's answers do not
            calibrate.
    """
    config = workspace.config
    arms = tuple(config.arm(name) for name in config.study.arms)
    # An arm that decides needs no second measurement for explanation.
    diagnostics = tuple(arm for arm in map(config.arm, config.study.diagnostics) if arm not in arms)
    _require_arms(arms, diagnostics)
    require_apart(config, (*arms, *diagnostics))
    _require_models(workspace, (*arms, *diagnostics))
    known = workspace.catalogue.documents.digests() if documents is None else documents or config.sources
    if lacking := nothing_to_read(config, has_documents=bool(known)):
        raise lacking
    metrics, described, right = _metrics(workspace.search, splits, documents=bool(known) and not planned)
    specs.decider(config.study, pooled=True)
    test = splits.test
    stated = None
    runs = repeats.runs_of(workspace, arms)
    if final:
        # An opening that was killed, or had failed answers, may be run to its end: it does not unseal its own
        # questions.
        rows = []
        for row in looks.ledger(records, workspace.catalogue):
            if row.kind != "final" or _finished(records, row):
                rows.append(row)
        test = Questions(unseen(splits.reserve, rows))
        stated = hypothesis(latest(records), config)
        arms = tuple(map(config.arm, (stated.rival, stated.arm)))
        diagnostics, runs = (), repeats.runs_of(workspace, arms)
    # Counted before: the questions that the principal may not read are left out, and said to be.
    every = len(test)
    test = _open(workspace.search, test)
    if not test:
        closed = "; those there are were made from documents that the study's principal may not read" if every else ""
        raise TooFewExamples(f"the test split is empty: there is no question to measure with{closed}")
    unused = [f"{error.message}: {error.cure}" for error in unused_models(config)]
    idle = repeats.idle(config, arms, runs)
    left_out = f"{counted(every - len(test), 'question')} left out: made from what the study's principal may not read"
    _require_shots(splits, arms)
    unlabelled: list[str] = []
    for model in dict.fromkeys(arm.model for arm in (*arms, *diagnostics)):
        mine = [arm for arm in (*arms, *diagnostics) if arm.model == model]
        parts = workspace.of(mine[0])
        unlabelled += outside_schemas(parts.systems, splits, mine, test=test)
        _require_room(workspace.search, parts.config, mine, test=test, documents=documents)
    for arm in arms:
        if arm.linear:  # refuses answers that are no labels
            workspace.systems.generator(arm, lambda: splits)
    _require_kept_out(workspace.models, splits, test)
    _require_tunable(workspace, splits, (*arms, *diagnostics))
    examples = (*splits.train, *splits.dev, *splits.test, *splits.reserve)
    retrieves = any(arm.retrieval for arm in (*arms, *diagnostics))
    notes = require_sound(workspace.search, examples, documents if retrieves else ())
    tests, blind = _tested(metrics, test, section=config.study, right=right, planned=planned)
    return Admitted(
        arms=arms,
        diagnostics=(*diagnostics, *runs),
        metrics={name: metric for name, metric in metrics.items() if name not in blind},
        specs=described,
        test=test,
        judged=splits.judged(test),
        tests=tests,
        notes=notes,
        left_out=(*([left_out] if every > len(test) else []), *unlabelled, *blind.values(), *unused, *idle),
        hypothesis=stated,
    )


def _metrics(
    search: Search, splits: Splits, *, documents: bool
) -> tuple[dict[str, tuple[Metric, str]], dict[str, Json], RightAnswers]:
    """The metrics of [study] and those always reported beside one of them, by name, each with its key.

    Args:
        search: Of the project.
        splits: Its examples.
        documents: The index may be read: right answers are looked up in it where a metric wants them.

    Returns:
        The metrics, what their keys are digests of, and the right answers that were looked up.
    """
    parts = {part.name: part for part in search.config.study.scored}
    for name in list(parts):
        for other in MetricTraits.of(loading.find("metrics", name)).beside:
            parts.setdefault(other, MetricPart(name=other))
    right = RightAnswers(examples=(), answers=())
    metrics: dict[str, tuple[Metric, str]] = {}
    described: dict[str, Json] = {}
    for configured in parts.values():
        loading.options("metrics", configured.name, configured.options, where=f"study: options of {configured.name}")
        # A metric of labels must know those that no test question has, too: an answer may name them (all splits).
        part = specs.informed(configured, (*splits.train, *splits.dev, *splits.test, *splits.reserve))
        metric: Metric = loading.make("metrics", part.name, part.options)
        if isinstance(metric, Doubts) and documents:
            # Never test examples: the threshold must not be chosen on what is measured.
            right = right if right.answers else right_answers(search, (*splits.train, *splits.dev))
            part = right.calibrated(part, metric)
            metric = loading.make("metrics", part.name, part.options)
        described[part.name] = specs.of_part("metrics", part)
        metrics[part.name] = (metric, digest("metric", described[part.name]))
    return metrics, described, right


def _tested(
    metrics: Mapping[str, tuple[Metric, str]],
    test: Sequence[Example],
    *,
    section: StudySection,
    right: RightAnswers,
    planned: bool,
) -> tuple[tuple[Json, ...], dict[str, str]]:
    """The self-test of every metric: a broken scorer, or one that scores nothing, must not cost a study.

    Returns:
        What was found, and name → warning of each metric that the project's answers of now make useless.
    """
    tests: list[Json] = []
    blind: dict[str, str] = {}
    decides = section.metric.name
    for name, (metric, _) in metrics.items():
        # A plan spends nothing: a judge at an endpoint is tried in the run only.
        if not (planned and is_endpoint("metrics", name)):
            area = right.planted(metric, level=section.level)
            planted = {} if area is None else {"planted": plain(area)}
            try:
                report = self_test(metric, test, name=name)
            except ScorerBroken as error:
                # Its threshold comes from the project's answers. Documents that moved on from these must not stop the
                # study that is to show it.
                if not isinstance(metric, Doubts):
                    raise
                blind[name] = (
                    f"{name} is left out: {error.message}; its threshold is chosen by the right answers of train and "
                    "dev, so correct those that the documents no longer say (`twofold check`)"
                )
                continue
            tests.append({"metric": name, **report, **planted})
    if any(row["metric"] == decides and not row["n"] for row in tests):
        raise ConfigError(
            f"[study].metric {decides!r} scores none of the {counted(len(test), 'test question')}",
            cure="Decide by a metric that fits the answers of your examples: `twofold init` chooses one, and "
            "answer_f1 fits short answers of any kind.",
        )
    return tuple(tests), blind


def _open(search: Search, test: Sequence[Example]) -> Questions:
    """The questions that a record of this study may show: not those made from documents closed to its principal."""
    who = search.filter.principal
    if who is None:
        return Questions.of(test)
    named = sorted(set(chain.from_iterable(example.sources for example in test)))
    readers = readers_now(search.catalogue.documents, search.config.access.rules, named)
    # A record shows questions and answers: what was made from a closed document would show that document.
    shut = {name for name, own in readers.items() if not set(own or ()) & set(who)}
    return Questions(example for example in test if not shut & set(example.sources))


def require_sound(
    search: Search, examples: Sequence[Example], documents: Sequence[Document] | None = None
) -> tuple[str, ...]:
    """Refuse examples that `twofold check` calls wrong: they would be scored wrongly.

    Args:
        search: Of the project.
        examples: Those that are used.
        documents: Those of [documents].paths, before a sync; empty where nothing retrieves; None for the synced ones.

    Returns:
        Remarks on documents that may be in sources which are not synced yet.

    Raises:
        UnknownDocument, BadRecord: the first fault, and how many more there are.
    """
    catalogue = search.catalogue
    named = set(chain.from_iterable(example.sources for example in examples))
    known = {document.id: document for document in documents or ()}
    later = bool(documents) and bool(search.config.sources)
    if documents is None or later:
        synced = set(catalogue.documents.digests())
        document_ids = sorted(named) if named <= synced | set(known) else None  # all, so that the nearest can be told
        known = {document.id: document for document in catalogue.documents.get(document_ids)} | known
    used = [document for document in known.values() if document.id in named]
    forgotten = Forgotten(search.directory.parent / RECEIPTS).entries()
    problems = checking.check(used if named <= set(known) else list(known.values()), examples, forgotten=forgotten)
    wrong = [problem for problem in problems if problem.severity == "error"]
    unknown = [problem for problem in wrong if problem.code == UnknownDocument.code]
    # Documents that only sources hold come with the next sync: unknown ones are then remarks.
    if wrong and not (later and wrong == unknown):
        raise _refusal(wrong)
    return tuple(
        f"{p.file}:{p.line}: {p.message} ({p.cure}) The sources may have it: run `twofold sync`." for p in unknown
    )


def _refusal(wrong: Sequence[Problem]) -> UnknownDocument | BadRecord:
    """The first problem as an error."""
    first = wrong[0]
    others = len(wrong) - 1
    kind = UnknownDocument if first.code == UnknownDocument.code else BadRecord
    more = f" `twofold check` lists {counted(others, 'more error')}." if others else ""
    return kind(first.message, cure=first.cure + more, file=first.file, line=first.line)


def require_trainable(workspace: Workspace, splits: Splits, arm: Arm) -> None:
    """Refuse to train weights for an arm that has none, or for which there is nothing to train with.

    Raises:
        ConfigError: the arm is not tuned, or it reads documents and the project has none.
        StudyError: the trainer needs weights, and the model is at an endpoint.
        TooFewExamples: the train or dev split is empty.
    """
    if not arm.tuning:
        raise ConfigError(
            f"the arm {arm.name!r} has nothing to train",
            cure=f"Name an arm that is tuned: {of_model('ft', arm.model)} or {of_model('ft+rag', arm.model)}.",
        )
    config = workspace.config
    if arm.retrieval and not (config.documents.paths or config.sources or config.tools):
        raise ConfigError(
            f"the project has no documents that the arm {arm.name!r} could learn to read",
            cure=f"Train the arm without retrieval, by --arm {of_model('ft', arm.model)}, or name documents in "
            "[documents].paths.",
        )
    _require_tunable(workspace, splits, (arm,))


def nothing_to_read(config: Config, *, has_documents: bool) -> ConfigError | None:
    """Why a study cannot be: an arm is to read documents and there is none. It would decline every question, and lose.

    Args:
        config: In force; an arm that has tools reads those.
        has_documents: Is there a document, or a source whose documents are known after the next sync?
    """
    arms = dict.fromkeys((*config.study.arms, *config.study.diagnostics))
    reading = [name for name in arms if config.arm(name).retrieval]
    if has_documents or config.tools or not reading:
        return None
    others = ",".join(name for name in arms if name not in reading)
    named = "none of those it names is left" if config.documents.paths or config.sources else "it names none"
    return ConfigError(
        f"the project has no documents that {' and '.join(reading)} could read: {named}",
        cure=f"Leave {'it' if len(reading) == 1 else 'them'} out (`twofold study --arms {others or 'base,prompt'}`), "
        "or name a folder of documents in [documents].paths of twofold.toml.",
    )


def _require_tunable(workspace: Workspace, splits: Splits, arms: tuple[Arm, ...]) -> None:
    """Refuse arms that are to be tuned and cannot be."""
    tuned = [arm for arm in arms if arm.tuning and not workspace.models.chosen(arm)]
    if not tuned:
        return
    _require_trained_base(workspace, tuned)
    part = workspace.config.generation.generator
    local = [method.name for method in workspace.adapters.methods if not is_endpoint("trainers", method.name)]
    # Of further models it was found out above.
    tuned = [arm for arm in tuned if not arm.model]
    if not tuned:
        local = []
    settings = GeneratorSettings.of(loading.options("generators", part.name, part.options))
    if is_endpoint("generators", part.name) and local and not settings.weights:
        names = ", ".join(arm.name for arm in tuned)
        others = ",".join(arm.name for arm in arms if not arm.tuning) or "base,prompt"
        model = str(part.options.get("model", part.name))
        raise StudyError(
            f"the trainer {local[0]!r} needs weights for {names}, and {model!r} is a model at an endpoint",
            cure=f"Measure the other arms by `twofold study --arms {others}`, or tune at the endpoint: "
            '[tuning.trainer] name = "openai"; where it serves weights that are here, name them as `weights` in '
            "[generation.generator.options].",
        )
    for name, examples in (("train", splits.train), ("dev", splits.dev)):
        if not examples:
            raise splits.lack(name, "tuning needs examples")


def _require_trained_base(workspace: Workspace, tuned: Sequence[Arm]) -> None:
    """Refuse to tune a further model where the configured trainers would change other weights than it answers with."""
    for arm in tuned:
        parts = workspace.of(arm)
        part = parts.config.generation.generator
        elsewhere = is_endpoint("generators", part.name)
        settings = GeneratorSettings.of(loading.options("generators", part.name, part.options))
        model = settings.model
        for method in parts.adapters.methods if arm.model else ():
            at_endpoint = is_endpoint("trainers", method.name)
            base = specs.base_model(parts.config, method)
            if elsewhere and not at_endpoint and not settings.weights:
                why = f"{model!r} is at an endpoint, and the trainer {method.name!r} needs weights"
            elif at_endpoint and not elsewhere:
                why = f"{model!r} answers on this machine, and the trainer {method.name!r} tunes at an endpoint"
            elif base != settings.base:
                why = f"the trainer {method.name!r} is set to tune {base!r}, and {model or part.name!r} answers"
            else:
                continue
            raise StudyError(
                f"{arm.name}: this generator cannot be tuned here: {why}",
                cure=f"Measure {arm.model} untuned, as {of_model('rag' if arm.retrieval else 'base', arm.model)}, or "
                f"set [tuning.trainer] to one that tunes the model of [models.{arm.model}].",
            )


def require_apart(config: Config, arms: Sequence[Arm]) -> None:
    """Refuse two models that answer alike under two names: their arms would be one, measured twice.

    Raises:
        ConfigError: the generators differ in nothing but defaults that one of them spells out.
    """
    known: dict[str, str] = {}
    for model in dict.fromkeys(arm.model for arm in arms):
        section = config.of(model).generation
        spelled = section.model_dump(mode="json", exclude={"batch", "generator"})
        key = digest("model", {**spelled, "generator": specs.of_part("generators", section.generator)})
        name = f"[models.{model}]" if model else "[generation]"
        if key in known:
            raise ConfigError(
                f"{name} and {known[key]} are the same model with the same options",
                cure="Remove one of the two, or give it the model and options that it is to have.",
            )
        known[key] = name


def _require_models(workspace: Workspace, arms: Sequence[Arm]) -> None:
    """Refuse models whose options differ, but in nothing that decides an answer, such as a timeout or a price.

    Raises:
        ConfigError: two generators have the same key, and the same limits of their answers.
    """
    known: dict[str, str] = {}
    # With one model there is nothing to compare, and no generator to open.
    for model, arm in {arm.model: arm for arm in arms}.items() if len({arm.model for arm in arms}) > 1 else ():
        parts = workspace.of(arm)
        try:
            generator = parts.models.generator(here=True)
        except TwofoldError:  # what lacks is said where the model is needed
            continue
        spelled = parts.config.generation.model_dump(mode="json", exclude={"batch", "generator"})
        key = digest("model", {**spelled, "generator": generator.key})
        generator.close()
        name = f"[models.{model}]" if model else "[generation]"
        if key in known:
            raise ConfigError(
                f"{name} and {known[key]} are the same model: what differs in their options decides no answer",
                cure="Remove one of the two, or give it the model and options that it is to have.",
            )
        known[key] = name


def unused_models(config: Config) -> list[ConfigError]:
    """Warnings of models that are described and answer in no arm of the study or the server."""
    used = {model_of(name) for name in (*config.study.arms, *config.study.diagnostics, *config.serving.arms)}
    return [
        ConfigError(
            f"the model {model} answers in no arm",
            cure=f"Name one of its arms in [study].arms, such as {model}/base, or remove [models.{model}].",
        )
        for model in config.models
        if model not in used
    ]


def _require_shots(splits: Splits, arms: Sequence[Arm]) -> None:
    """Refuse arms that show examples where there is none to show: each would be the arm without, under another name."""
    for arm in arms:
        if arm.shots and not splits.train:
            raise splits.lack("train", f"the arm {arm.name} shows {arm.shots} examples, which it takes from those")
        if arm.optimised and not splits.dev:
            raise splits.lack("dev", f"the arm {arm.name} chooses its prompt by the examples")
        if arm.linear and not splits.train:
            raise splits.lack("train", f"the arm {arm.name} learns its labels from those")


def _require_room(
    search: Search,
    config: Config,
    arms: Sequence[Arm],
    *,
    test: Sequence[Example],
    documents: Sequence[Document] | None,
) -> None:
    """Refuse an arm that shows all documents where these are longer than a prompt of the model may be.

    At an endpoint nothing tells how tokens are counted: there an answer that does not fit fails, and says so.
    """
    whole = [arm.name for arm in arms if arm.whole]
    if not whole:
        return
    vocabulary, _ = base_vocabulary(config)
    if vocabulary is None:
        return
    every = search.catalogue.documents.get() if documents is None else documents
    read = sum(vocabulary.pieces([document.text for document in every]))
    question = max(vocabulary.pieces([example.question for example in test]), default=0)
    written = config.generation.max_tokens
    if read + question + written > vocabulary.window:
        raise ConfigError(
            f"the {counted(len(every), 'document')} do not fit into a prompt of the arm {whole[0]}: {read:,} tokens, "
            f"with {question:,} of the longest question and {written:,} to write, and {vocabulary.model} takes "
            f"{vocabulary.window:,}",
            cure="Leave that arm out, use a model with a longer context, or name fewer documents in [documents].paths.",
        )


def _require_arms(arms: Sequence[Arm], diagnostics: Sequence[Arm]) -> None:
    """Refuse a study without an arm, one that names an arm twice, and a diagnostic that finds nothing to look into."""
    if not arms:
        raise StudyError("[study].arms is empty", cure="Name at least one in [study].arms, such as base and rag.")
    names = [arm.name for arm in arms]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise StudyError(f"[study].arms names {twice!r} twice", cure="Name each arm of [study].arms once.")
    closed = next((arm.name for arm in diagnostics if not arm.retrieval), "")
    if closed:
        raise StudyError(
            f"the diagnostic arm {closed!r} retrieves nothing: a diagnostic says what better retrieval would gain",
            cure=f"Name only arms that retrieve in [study].diagnostics, such as oracle, and {closed} in [study].arms.",
        )


def _require_kept_out(models: Models, splits: Splits, test: Sequence[Example]) -> None:
    """Refuse a model that learned from questions of the test, or has read documents that only they are about."""
    named = models.config.tuning.use
    registry = models.registry
    if not named:
        return
    model = registry.find(named)
    if read_everything(model):
        raise StudyError(
            f"the model {named!r} learned from all documents, also those of the test questions: its study would say "
            "nothing about new documents",
            cure="Remove [tuning].use, or name a model that was tuned without --all-documents.",
        )
    # By digest, not id: an example that was renamed is the same question.
    known = set(chain.from_iterable((registry.learned(model) or {}).values()))
    learned = sum(name in known for name in Questions.of(test).digests)
    read = len(splits.hidden & set(models.artifacts.manifest(model["key"]).get("documents", ())))
    reasons = [f"learned from {learned} of the {len(test)} test questions"] if learned else []
    reasons += [f"has read {counted(read, 'document')} that only test questions are about"] if read else []
    if reasons:
        raise StudyError(
            f"the model {named!r} {' and '.join(reasons)}: it was tuned under another split of the examples",
            cure="Remove [tuning].use, so that the arm is tuned anew, or restore the examples and [examples] it was "
            "tuned with.",
        )


def _finished(records: Path, row: looks.Look) -> bool:
    """Is this opening of the reserve over? One that was killed, or had failed answers, may be run to its end."""
    directory = records / row.name
    return not row.failed and (directory / "study.json").is_file() and read_record(directory)["policy"]["final"]


def is_endpoint(kind: protocols.Kind, name: str) -> bool:
    """Does this plugin work over HTTP at an address of its options?"""
    # Every plugin that calls an address names the option so.
    return "base_url" in loading.find(kind, name).Options.model_fields
