"""A live question: which arm and tuned model answer it and why, the system that does, and the answer's sources."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, get_args

from twofold import prompts
from twofold.answering import access
from twofold.answering.attribution import CitationTest, citation_tests
from twofold.answering.citing import whereabouts
from twofold.answering.system import System
from twofold.answering.system import question as question_of
from twofold.assembly.calibrations import Calibrations
from twofold.assembly.models import Models
from twofold.assembly.searching import Search
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.corpus import filtering
from twofold.errors import (
    BadRecord,
    ConfigError,
    GenerationError,
    IndexDamaged,
    IndexEmpty,
    StoreError,
    UnknownName,
    UnreadableFile,
)
from twofold.examples.splitting import Splits
from twofold.files.reading import checked, counted, decode, excerpt, parsed
from twofold.hashing import plain
from twofold.indexing import feeds
from twofold.indexing.erasure import RECORDS, Eraser
from twofold.indexing.sync import synced
from twofold.metadata.conditions import Condition
from twofold.reports import archive
from twofold.reports.decisive import decisive, rolled_back
from twofold.reports.measured import was_measured
from twofold.store.model_record import read_everything
from twofold.store.model_registry import model_id
from twofold.text import grounding
from twofold.text.arm_names import model_of, of_model
from twofold.types import Answer, Arm, Citation, Example, Filter, Json, Message, Role

log = logging.getLogger(__name__)

_FORM = 'Write a list of {"role": "user" or "assistant", "content": "…"}, or one such object on each line.'


@dataclass(frozen=True, kw_only=True)
class ChosenArm:
    """The arm that answers, and why it does."""

    arm: Arm
    """The arm that answers."""
    why: str
    """The reason, as a clause about the arm."""
    study: str = ""
    """The study that decides: the latest, or the one before a rollback; empty when there is none."""
    index: str = ""
    """Digest of what the index held in that study; empty when the study retrieved nothing."""
    model: str = ""
    """Key of the tuned model's artifact; empty for an arm without tuning."""
    calibration: str = ""
    """Key of the stored calibration of abstention; empty where there is none."""
    prompt: str = ""
    """Key of the optimised prompt that the study measured; empty for an arm without, or one that was not measured."""


class Provenance(TypedDict):
    """Where an answer comes from."""

    arm: str
    model: str
    """Id of the tuned model, or empty."""
    key: str
    """Of the system."""
    measured: bool
    """A study measured this very system."""
    why: str
    """Why the arm answers."""
    study: str
    """The latest."""
    max_tokens: int
    places: list[str]
    """Page, row or section of each hit (`citing.Whereabouts`)."""
    names: list[str]
    """Name of each hit's document."""
    attached: Json | None
    """A citation that Twofold found and the model did not make."""
    unsupported: str
    """A remark where nothing supports the answer; else empty."""


class AnswerReport(Provenance):
    """The provenance that `Project.ask` returns beside the answer."""

    behind: str
    """A remark on what it does not see, such as files that changed since the last sync; or empty."""
    passed_over: list[str]
    """Remarks on metadata that the conditions cannot compare."""


def chosen(models: Models, calibrations: Calibrations, records: Path, *, arm: str = "", model: str = "") -> ChosenArm:
    """The arm that is named, or whose model is named, or that the latest study chose; else ``rag``, or ``base``.

    A tuned arm answers with the model that is named, else with that of ``[tuning].use``, else with the one that the
    latest study measured, else with the newest that was tuned for the arm.

    Args:
        models: The tuned ones.
        calibrations: The stored ones.
        records: Directory of the studies.
        arm: Name of an arm.
        model: Id or alias of a tuned model.

    Raises:
        ConfigError: both are named, or there is no such arm.
        UnknownName: there is no such model, or none was tuned for the arm.
        StoreError: the model's files are gone or damaged.
    """
    if arm and model:
        raise ConfigError(
            "an arm and a tuned model cannot be combined",
            cure="Name only one of them: a tuned model answers in its own arm.",
        )
    study = decisive(records)
    record: Any = archive.read_record(records / study) if study else {}
    rollback = rolled_back(records)
    since = f", after a rollback from study {_number(rollback['newest'])}" if rollback else ""
    choice = _choice(models, record, study, since=since, arm=arm, model=model)
    measured = record.get("arms", {}).get(choice.arm.name, {})
    calibration = ""
    if choice.arm.retrieval and not choice.arm.whole:
        used = measured.get("description", {}).get("retrieval", {}).get("abstention", "")
        # The newest with today's settings: a changed document must not make a live question calibrate.
        calibration = calibrations.newest(measured=used)
    adapter = _adapter(models, choice.arm, measured.get("training") or {}, model) if choice.arm.tuning else ""
    # The one that was measured: with other examples or documents of today another one might be chosen.
    prompt = str(measured.get("description", {}).get("optimised", {}).get("key", "")) if choice.arm.optimised else ""
    return replace(choice, model=adapter, calibration=calibration, prompt=prompt)


def _choice(models: Models, record: Any, study: str, *, since: str, arm: str, model: str) -> ChosenArm:
    config = models.config
    latest: Json = {"study": study, "index": record.get("retrieval", {}).get("index", {}).get("content", "")}
    unmeasured = "" if study else "; no study has measured it"
    if model:
        named = config.arm(str(models.registry.find(model)["arm"]))
        return ChosenArm(arm=named, why=f"the model {model} was tuned for it{unmeasured}", **latest)
    if arm:
        return ChosenArm(arm=config.arm(arm), why=f"it was named{unmeasured}", **latest)
    verdict = record.get("verdict", {"arm": "", "outcome": ""})
    number = _number(study)
    if verdict["arm"]:
        return ChosenArm(arm=config.arm(verdict["arm"]), why=f"it is the verdict of study {number}{since}", **latest)
    name = "rag" if config.documents.paths or config.sources else "base"
    reason = "it is used because it reads your documents" if name == "rag" else "there are no documents to read"
    before = {"undecided": f"study {number} is undecided", "none acceptable": f"study {number} found no arm acceptable"}
    return ChosenArm(
        arm=config.arm(name), why=f"{before.get(verdict['outcome'], 'no study has been run yet')}; {reason}", **latest
    )


def _number(study: str) -> str:
    return study.partition("-")[0].lstrip("0")


def _adapter(models: Models, arm: Arm, training: Json, model: str) -> str:
    """Key of the tuned model's artifact that answers for a tuned arm, every byte of its files checked."""
    # In the order of the docstring of `chosen`: named, [tuning].use, measured by the latest study, newest.
    if key := models.chosen(arm, model):
        return key
    registry = models.registry
    measured = str(training.get("key", ""))
    if measured and models.artifacts.find(measured) is not None:
        models.artifacts.verify(measured)
        return measured
    # A model that learned from all documents answers only where it is named: no study has measured such a one.
    trained = []
    for record in registry.records():
        fits = record["tuning"] == arm.tuning and model_of(record["arm"]) == arm.model
        if fits and not read_everything(record):
            trained.append(record)
    here = [record["key"] for record in trained if record["here"]]
    if not here:
        missing_note = "; the files of those that were are gone" if trained else ""
        raise UnknownName(
            f"no model is tuned for the arm {arm.name}{missing_note}",
            cure=f"Run `twofold tune --arm {arm.name}`, or a study with that arm; or ask an arm without tuning, such "
            f"as --arm {of_model('rag' if arm.retrieval else 'base', arm.model)}.",
        )
    models.artifacts.verify(here[-1])
    return str(here[-1])


def request_filter(config: Config, user: str, groups: Sequence[str]) -> Filter | None:
    """The filter of a live request; None where access control is off.

    Raises:
        AccessDenied: access control is enabled, but no user is named.
        ConfigError: somebody is named and access control is off.
    """
    if config.access.enabled:
        return Filter(principal=access.principal(user, groups))
    if user or groups:
        raise ConfigError(
            "access control is disabled, so a user or group would protect nothing",
            cure="Set [access].enabled = true in twofold.toml, or ask without --user and --group.",
        )
    return None


def narrowed(search: Search, arm: Arm, which: Filter | None, *, where: Sequence[Condition]) -> Filter | None:
    """The filter of a live request with the request's and the project's conditions; None for one that lets all pass.

    Args:
        search: Of the project.
        arm: What answers.
        which: The asker's filter, if any.
        where: The request's conditions on metadata.

    Raises:
        ConfigError: there are conditions, and the arm reads no documents.
    """
    if where and not arm.retrieval:
        raise ConfigError(
            f"the arm {arm.name} reads no documents, so the filter {where[0]} has nothing to filter",
            cure="Ask an arm that reads documents: --arm rag.",
        )
    every = (*search.filter.conditions, *where)
    return replace(which or Filter(), where=every) if every and arm.retrieval else which


def check_where(search: Search) -> None:
    """Warn of what [retrieval].where passes over among the documents of a study or measurement.

    Raises:
        BadFilter: as `remarks`.
    """
    for remark in remarks(search, search.filter):
        log.warning("[retrieval].where: %s", remark)


def remarks(search: Search, which: Filter | None) -> list[str]:
    """Remark on the readable documents whose metadata a filter's conditions cannot compare.

    Raises:
        BadFilter: no document has a field, or none a value that a condition compares with.
    """
    if which is None or not which.conditions:
        return []
    rules = search.config.access.rules
    section = search.config.access
    documents = search.catalogue.documents.without_texts()
    if section.enabled:
        names = set(which.principal or ())
        documents = (one for one in documents if names.intersection(access.ruled(one, rules).readers or ()))
    return filtering.remarks_on(which.conditions, (one.metadata for one in documents))


def open_system(workspace: Workspace, choice: ChosenArm, splits: Callable[[], Splits], *, root: Path) -> System:
    """The chosen arm made ready to answer, for as long as the caller wants: nothing is synced, trained or written.

    Args:
        workspace: Of the project.
        choice: The arm, with its tuned model and its calibration.
        splits: The examples, for an arm that takes its few-shot examples or its schema from them.
        root: The project.

    Raises:
        IndexEmpty: the arm reads documents and the project was never synced.
        StoreError: a document is still to be forgotten, or the tuned model's files are gone or damaged.
        TemplateMismatch: the model was trained with another prompt template.
    """
    require_answerable(workspace.search, choice, root=root)
    workspace = workspace.of(choice.arm)
    adapter = workspace.models.load(choice.model) if choice.model else None
    calibration = workspace.systems.calibrations.stored(choice.calibration) if choice.calibration else None
    return workspace.systems.served(choice.arm, splits, adapter=adapter, calibration=calibration, prompt=choice.prompt)


def require_answerable(search: Search, choice: ChosenArm, *, root: Path) -> None:
    """Refuse questions to an arm whose documents cannot be read now.

    Args:
        search: Of the project.
        choice: The arm.
        root: The project.

    Raises:
        IndexEmpty, StoreError: as `open_system`.
        IndexDamaged: the index has nothing of the documents that were synced; its folder may be gone.
    """
    if not choice.arm.retrieval:
        return
    if not synced(search.catalogue):
        raise IndexEmpty(f"the arm {choice.arm.name} reads documents, and none is indexed yet")
    # An index is made where there is none, so a lost one looks like an empty one: it would answer that nothing is said.
    lost = 0 if search.catalogue.notes.get(feeds.RESTORED) else sum(search.catalogue.documents.counts().values())
    if lost and not search.index.state().documents:
        raise IndexDamaged(f"the index is empty, and {counted(lost, 'document')} were synced into it")
    if Eraser(search=search, root=root).due():
        raise StoreError(
            "a document is not completely forgotten yet; no question is answered from the index until then",
            cure="Run `twofold sync` to finish the removal: after the command that is writing now, or on a full disk "
            "after `twofold gc`, which needs no room.",
        )


def unseen(search: Search, choice: ChosenArm, root: Path) -> str:
    """Remark on files that changed since the last sync and on a missing threshold.

    Args:
        search: Of the project.
        choice: The arm that answers.
        root: The project.
    """
    if not choice.arm.retrieval:
        return ""
    if restored := search.catalogue.notes.get(feeds.RESTORED):
        remarks = [f"index version {restored} was restored: changes since then are not seen until `twofold sync`"]
    else:
        remarks = feeds.behind(search, root)
    if search.config.retrieval.risk and not choice.calibration and not choice.arm.whole:
        remarks.append(
            "[retrieval].risk is set and no threshold is calibrated yet: nothing is declined for thin evidence; run "
            "`twofold bench retrieval`, which calibrates it"
        )
    return "; ".join(remarks)


class LiveArm:
    """An arm of a project opened for the questions of one asker, one after the other.

    Args:
        workspace: Of the project.
        splits: The examples, for an arm that takes its few-shot examples or its schema from them.
        directory: The project.
        named: An arm, and a tuned model; see `chosen`.
        seen: What the asker may see; see `request_filter`.
        where: The asker's conditions on metadata.

    Raises:
        ConfigError, UnknownName, IndexEmpty, StoreError, TemplateMismatch: as `chosen`, `narrowed` and `open_system`.
    """

    def __init__(
        self,
        workspace: Workspace,
        splits: Callable[[], Splits],
        *,
        directory: Path,
        named: tuple[str, str],
        seen: Filter | None,
        where: Sequence[Condition] = (),
    ) -> None:
        self._workspace, self._directory = workspace, directory
        calibrations = workspace.systems.calibrations
        self._choice = chosen(workspace.models, calibrations, directory / RECORDS, arm=named[0], model=named[1])
        self._filter = narrowed(workspace.search, self._choice.arm, seen, where=where)
        self._system = open_system(workspace, self._choice, splits, root=directory)

    def ask(
        self, question: str, history: Sequence[Message] = (), *, written: Callable[[str], None] | None = None
    ) -> tuple[Answer, AnswerReport]:
        """Answer a question; see `Project.ask`.

        Raises:
            AccessDenied: access control is enabled, and the asker may not ask this arm.
            BadFilter: a condition can find nothing.
            GenerationError: the generator failed while it streamed.
        """
        behind = unseen(self._workspace.search, self._choice, self._directory)
        passed_over = remarks(self._workspace.search, self._filter)
        example = question_of(question, history)
        answer = answered(self._system, example, filter=self._filter, written=written)
        made_by = provenance(
            self._workspace,
            self._system,
            example,
            answer=answer,
            choice=self._choice,
            records=self._directory / RECORDS,
        )
        return answer, {**made_by, "behind": behind, "passed_over": passed_over}

    def citation_tests(
        self, question: str, history: Sequence[Message] = (), *, answer: Answer
    ) -> tuple[CitationTest, ...]:
        """Test the citations of an answer of this arm; see `attribution.citation_tests`.

        Raises:
            GenerationError: the generator tells no likelihoods, or a prompt does not fit into the context.
        """
        return citation_tests(self._system, question_of(question, history), answer, filter=self._filter)

    def close(self) -> None:
        """Free the model."""
        self._system.close()


def answered(
    system: System, example: Example, *, filter: Filter | None, written: Callable[[str], None] | None
) -> Answer:
    """The system's answer; where `written` is given it gets the pieces as they come.

    Raises:
        GenerationError: the generator failed.
    """
    if written is None:
        return system.answer([example], filter=filter)[0]
    for piece in system.stream(example, filter=filter):
        if isinstance(piece, Answer):
            return piece
        written(piece)
    raise GenerationError("the stream ended without an answer")


def provenance(
    workspace: Workspace, system: System, example: Example, *, answer: Answer, choice: ChosenArm, records: Path
) -> Provenance:
    """The provenance of an answer.

    Args:
        workspace: Of the project.
        system: What answered.
        example: The question.
        answer: Its answer.
        choice: Why that system.
        records: Directory of the studies.
    """
    citation = attached(system, answer, example)
    shown = whereabouts(workspace.catalogue.documents, answer, (citation,) if citation else ())
    # An endpoint may have refused a parameter: the key is then that of what was sent.
    system = system.as_sent()
    model = model_id(workspace.artifacts.manifest(choice.model)) if choice.model else ""
    measured = was_measured(workspace.catalogue, records, system.key, model=model)
    why = choice.why
    number = _number(choice.study)
    if (
        choice.study
        and system.arm.retrieval
        and choice.index
        and workspace.search.index.state().content != choice.index
    ):
        why += f"; documents changed since study {number}"
    elif choice.study and not measured:
        why += f"; study {number} did not measure it with these settings"
    return {
        "arm": system.arm.name,
        "model": model,
        "key": system.key,
        "measured": measured,
        "why": why,
        "study": choice.study,
        "max_tokens": system.max_tokens,
        "places": [one.place for one in shown],
        "names": [one.name for one in shown],
        "attached": plain(citation),
        "unsupported": "" if citation else _unsupported(workspace.config, system, answer),
    }


def attached(system: System, answer: Answer, example: Example) -> Citation | None:
    """The passage that holds an answer which cites nothing; None where there is none, or one is cited."""
    if system.constrained:
        return None
    # A question that goes on from earlier ones need not name its topic: its words are not asked for.
    follows = any(message.role == "user" for message in example.messages[:-1])
    template = replace(system.template, about=0.0) if follows else system.template
    return prompts.attached(answer, template=template, question=example.question)


def _unsupported(config: Config, system: System, answer: Answer) -> str:
    if answer.failure is not None or answer.citations:
        return ""
    if answer.abstained and not system.arm.retrieval:
        return f"it declined, in the words {excerpt(answer.raw)!r}; the arm {system.arm.name} reads no documents"
    documents = config.documents.paths or config.sources or config.tools
    if answer.abstained and not answer.hits:
        return "no passage was found" if documents else "there are no documents to read"
    if answer.abstained:
        return ""
    none = "no passage of yours supports this answer"
    if not system.arm.retrieval:
        return f"{none}: the arm {system.arm.name} reads none" if documents else "the model's own answer: no passage"
    if not answer.hits:
        return f"{none}: none was found"
    checked = system.template.cite != "none" and system.template.support and not system.constrained
    if not checked or not grounding.checkable(answer.text):
        return "no passage is cited for this answer"
    # The same words about something else: said apart, for whoever looks them up finds them.
    elsewhere = prompts.attached(answer, template=replace(system.template, about=0.0))
    if elsewhere is not None:
        return (
            f"no source: passage [{elsewhere.number}] holds the words of this answer, but too few of the question's; "
            "check it"
        )
    return "no source: none of the passages read holds most words and all numbers of this answer; check it"


def read_history(path: Path) -> tuple[Message, ...]:
    """The turns before a question, from a JSON list or JSON Lines of ``{"role", "content"}``.

    Raises:
        UnreadableFile: the file is missing or not text.
        BadRecord: it is not JSON, it has no turn, a turn is malformed, or the last turn is a question that nobody
            answered.
    """
    try:
        text = decode(path.read_bytes(), name=str(path))
    except OSError as error:
        raise UnreadableFile(
            f"the history cannot be read: {error.strerror or error}",
            file=path,
            cure="Name a plain file that is there and may be read.",
        ) from error
    whole = text.lstrip().startswith("[")
    # Only a line feed ends a line: JSON may hold other separators, such as U+2028, inside a text.
    lines = [(1, text)] if whole else [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    turns: list[tuple[int, Any]] = []
    for number, line in lines:
        try:
            value = parsed(line)
        except (ValueError, RecursionError) as error:
            raise BadRecord(f"the history is not JSON: {error}", file=path, line=number, cure=_FORM) from error
        turns += [(0, turn) for turn in value] if whole else [(number, value)]
    messages: list[Message] = []
    for place, (number, turn) in enumerate(turns, 1):
        fault = _fault(turn, first=place == 1)
        if fault:
            raise BadRecord(f"turn {place} of the history {fault}", file=path, line=number or None, cure=_FORM)
        messages.append(Message(role=turn["role"], content=turn["content"]))
    if not messages:
        raise BadRecord(
            "the history contains no turn", file=path, cure=f"{_FORM} Omit --history to ask without a conversation."
        )
    if messages[-1].role == "user":
        raise BadRecord(
            "the last turn of the history is a question without an answer",
            file=path,
            line=turns[-1][0] or None,
            cure="End the history with the assistant's turn; the new question is the command's argument.",
        )
    return tuple(messages)


def _fault(turn: Any, *, first: bool) -> str:
    """The fault of a turn of a history; empty where the turn is usable."""
    if not isinstance(turn, dict):
        return f"is {_kind(turn)}, not an object"
    for name in ("role", "content"):
        if name not in turn:
            return f"has no {name!r}" + (f" (its keys: {', '.join(map(repr, turn))})" if turn else "")
    if turn["role"] not in get_args(Role):
        return f"has the role {turn['role']!r}; roles are {', '.join(map(repr, get_args(Role)))}"
    if not isinstance(turn["content"], str):
        return f"has {_kind(turn['content'])} as its content, not a text"
    if not turn["content"].strip():
        return "has an empty content"
    if isinstance(bad := checked(turn, "", 0), BadRecord):
        return f"is no text: {bad.message}"
    return "" if first or turn["role"] != "system" else "is of the role 'system', which only the first turn may have"


def _kind(value: Any) -> str:
    """The kind of a JSON value, with its article."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
