"""A live question: which arm answers it and why, an answer while another process writes, and the answer's sources."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from twofold import access, filtering, prompts, support
from twofold.answering import System
from twofold.build import Builder
from twofold.citing import whereabouts
from twofold.conditions import Condition
from twofold.config import Config
from twofold.dataset import Splits
from twofold.errors import BadRecord, ConfigError, DiskFull, GenerationError, ProjectLocked, UnreadableFile
from twofold.identity import plain
from twofold.plugins import Progress
from twofold.reading import excerpt
from twofold.store.forgotten import RECEIPTS, Forgotten
from twofold.study import archive
from twofold.types import Answer, Arm, Example, Filter, Json, Message, Role

log = logging.getLogger(__name__)

_FORM = 'Write a list of {"role": "user" or "assistant", "content": "…"}, or one such object on each line.'


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The arm that answers, and why it does."""

    arm: Arm
    """Which."""
    why: str
    """The reason, as a clause about the arm."""
    study: str = ""
    """The latest study; empty when there is none."""
    index: str = ""
    """Digest of what the index latest in that study; empty when the study retrieved nothing."""


def chosen(builder: Builder, records: Path, studies: Sequence[str], *, arm: str = "", model: str = "") -> Choice:
    """The arm that is named, or whose model is named, or that the latest study chose; else ``rag``, or ``base``.

    Args:
        builder: Of the project.
        records: Directory of the studies.
        studies: Their names, oldest first.
        arm: Name of an arm.
        model: Id or alias of a tuned model.

    Raises:
        ConfigError: both are named, or there is no such arm.
        UnknownName: there is no such model.
    """
    if arm and model:
        raise ConfigError("an arm and a tuned model are named", cure="Name one: a model answers in its own arm.")
    config = builder.config
    record: Any = archive.read_record(records / studies[-1]) if studies else {}
    latest: Json = {"study": studies[-1] if studies else ""}
    latest["index"] = record.get("retrieval", {}).get("index", {}).get("content", "")
    unmeasured = "" if studies else "; no study has measured it"
    if model:
        named = config.arm(str(builder.registry.checked(model)["arm"]))
        return Choice(arm=named, why=f"the model {model} was tuned for it{unmeasured}", **latest)
    if arm:
        return Choice(arm=config.arm(arm), why=f"it was named{unmeasured}", **latest)
    verdict = record.get("verdict", {"arm": "", "outcome": ""})
    number = latest["study"].split("-")[0].lstrip("0")
    if verdict["arm"]:
        return Choice(arm=config.arm(verdict["arm"]), why=f"it is the verdict of study {number}", **latest)
    name = "rag" if config.documents.paths or config.sources else "base"
    reason = "it is used because it reads your documents" if name == "rag" else "there are no documents to read"
    before = {"undecided": f"study {number} is undecided", "none acceptable": f"study {number} found no arm acceptable"}
    return Choice(
        arm=config.arm(name), why=f"{before.get(verdict['outcome'], 'no study has been run yet')}; {reason}", **latest
    )


def request_filter(config: Config, user: str, groups: Sequence[str]) -> Filter | None:
    """The filter of a live request; None where access control is off.

    Raises:
        AccessDenied: access control is on and nobody is named.
        ConfigError: somebody is named and access control is off.
    """
    if config.access.enabled:
        return Filter(principal=access.principal(user, groups))
    if user or groups:
        raise ConfigError(
            "access control is off, so naming who asks would protect nothing",
            cure="Set [access].enabled = true in twofold.toml, or ask without --user and --group.",
        )
    return None


def narrowed(builder: Builder, arm: Arm, which: Filter | None, *, where: Sequence[Condition]) -> Filter | None:
    """The filter of a live request with the request's and the project's conditions; None for one that lets all pass.

    Args:
        builder: Of the project.
        arm: What answers.
        which: The asker's filter, if any.
        where: The request's conditions on metadata.

    Raises:
        ConfigError: there are conditions, and the arm reads no documents.
    """
    if where and not arm.retrieval:
        raise ConfigError(
            f"the arm {arm.name} reads no documents, so there is nothing to filter ({where[0]})",
            cure="Ask an arm that does: --arm rag.",
        )
    every = (*builder.filter.conditions, *where)
    return replace(which or Filter(), where=every) if every and arm.retrieval else which


def check_where(builder: Builder) -> None:
    """Warn of what [retrieval].where passes over among the documents of a study or measurement.

    Raises:
        BadFilter: as `remarks`.
    """
    for remark in remarks(builder, builder.filter):
        log.warning("[retrieval].where: %s", remark)


def remarks(builder: Builder, which: Filter | None) -> list[str]:
    """What a filter's conditions on metadata pass over among the documents that its principal may read.

    Raises:
        BadFilter: no document has a field, or none a value that a condition compares with.
    """
    if which is None or not which.conditions:
        return []
    rules, section = builder.config.access.rules, builder.config.access
    documents = builder.catalogue.described()
    if section.enabled:
        names = set(which.principal or ())
        documents = (one for one in documents if names.intersection(access.ruled(one, rules).readers or ()))
    return filtering.told(which.conditions, (one.metadata for one in documents))


def ready(builder: Builder, arm: Arm, splits: Splits, *, use: str) -> System | None:
    """The arm made ready where that writes nothing; None where its adapter is to be trained first."""
    adapter = builder.known_adapter(arm, splits, use=use) if arm.tuning else None
    return None if arm.tuning and adapter is None else builder.equipped(arm, splits, adapter=adapter)


def made(builder: Builder, arm: Arm, splits: Splits, *, use: str, progress: Progress) -> System:
    """The arm made ready, its adapter trained now where the store has none; that takes minutes, and a warning says so.

    Args:
        builder: Of the project.
        arm: Which.
        splits: Of the examples.
        use: A tuned model.
        progress: Shows the training.
    """
    adapter = builder.known_adapter(arm, splits, use=use) if arm.tuning else None
    if not arm.tuning or adapter is not None:
        return builder.equipped(arm, splits, adapter=adapter)
    log.warning(
        "there is no adapter of the arm %s for the examples, documents and settings as they are now: one is trained "
        "before the answer, which takes minutes (`twofold study --plan --arms %s` says how many); Ctrl-C stops it",
        arm.name,
        arm.name,
    )
    return builder.system(arm, splits, use=use, progress=progress)[0]


def system_beside(
    builder: Builder, arm: Arm, splits: Splits, *, use: str, searches: bool, busy: ProjectLocked | DiskFull, root: Path
) -> tuple[System, str]:
    """The arm made ready while another process writes, or nothing can be written: nothing is synced or trained.

    Args:
        builder: Of the project.
        arm: Which.
        splits: Of the examples.
        use: A tuned model.
        searches: The answer reads the index.
        busy: Says which process writes, or that the disk is full.
        root: The project.

    Returns:
        The system, and a remark on what the answer does not see; empty where that is nothing.

    Raises:
        ProjectLocked: there is no index yet, the arm's adapter is not made, or a document is being forgotten.
        DiskFull: the same, where that is why.
    """
    wait, refusal = "Wait for that command to finish", type(busy)
    if isinstance(busy, DiskFull):
        wait = "Free disk space (`twofold gc` works on a full disk)"
    if Forgotten(root / RECEIPTS).pending():
        raise refusal(f"{busy.message}, and a document is still to be forgotten", file=busy.file, cure=f"{wait}.")
    if searches and not builder.catalogue.known_documents():
        raise refusal(
            f"{busy.message}, and no document is indexed yet", file=busy.file, cure=f"{wait}, or ask with --arm base."
        )
    adapter = builder.known_adapter(arm, splits, use=use) if arm.tuning else None
    if arm.tuning and adapter is None:
        raise refusal(
            f"{busy.message}, and the adapter of the arm {arm.name} is not trained yet",
            file=busy.file,
            cure=f"{wait}, or ask an arm without tuning, such as --arm {'rag' if arm.retrieval else 'base'}.",
        )
    system = builder.equipped(arm, splits, adapter=adapter, writes=False)
    version = builder.index.state().version if searches else 0
    remark = f"{busy.message}: answered from index version {version}, changes since then are not seen"
    return system, remark if searches else ""


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


def provenance(builder: Builder, system: System, example: Example, *, answer: Answer, choice: Choice) -> Json:
    """Where an answer comes from.

    Returns:
        ``arm``, ``key``, ``measured`` (a study measured this very system), ``why`` the arm answers, ``study`` (the
        latest), ``max_tokens``; ``places`` and ``names`` (of each hit, see `citing.Whereabouts`), ``attached`` (a
        citation that Twofold found and the model did not make, or None), ``unsupported`` (said where nothing supports
        it).
    """
    follows = any(message.role == "user" for message in example.messages[:-1])
    template = replace(system.template, about=0.0) if follows else system.template
    attached = None if system.schema else prompts.attached(answer, template=template, question=example.question)
    shown = whereabouts(builder.catalogue, answer, (attached,) if attached else ())
    system = system.as_sent()
    measured = system.key in builder.catalogue.systems()
    why, number = choice.why, choice.study.split("-")[0].lstrip("0")
    if choice.study and system.arm.retrieval and choice.index and builder.index.state().content != choice.index:
        why += f"; documents changed since study {number}"
    elif choice.study and not measured:
        why += f"; study {number} did not measure it with these settings"
    return {
        "arm": system.arm.name,
        "key": system.key,
        "measured": measured,
        "why": why,
        "study": choice.study,
        "max_tokens": system.max_tokens,
        "places": [one.place for one in shown],
        "names": [one.name for one in shown],
        "attached": plain(attached),
        "unsupported": "" if attached else _unsupported(builder.config, system, answer),
    }


def _unsupported(config: Config, system: System, answer: Answer) -> str:
    if answer.failure is not None or answer.citations:
        return ""
    if answer.abstained and not system.arm.retrieval:
        return f"it declined, in the words {excerpt(answer.raw)!r}; the arm {system.arm.name} reads no documents"
    if answer.abstained:
        return "" if answer.hits else "no passage was found"
    none = "no passage of yours supports this answer"
    if not system.arm.retrieval:
        documents = config.documents.paths or config.sources
        return f"{none}: the arm {system.arm.name} reads none" if documents else "the model's own answer: no passage"
    if not answer.hits:
        return f"{none}: none was found"
    checked = system.template.cite != "none" and system.template.support and not system.schema
    if not checked or not support.checkable(answer.text):
        return "no passage is cited for this answer"
    return "no source: none of the passages read holds most words and all numbers of this answer; check it"


def read_history(path: Path) -> tuple[Message, ...]:
    """The turns before a question, from a JSON list or JSON Lines of ``{"role", "content"}``.

    Raises:
        UnreadableFile: the file is missing or not UTF-8.
        BadRecord: it is not JSON, it has no turn, a turn is malformed, or the last turn is a question that nobody
            answered.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnreadableFile(f"the history cannot be read: {error.strerror or error}", file=path, cure=_FORM) from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"the history cannot be read: {error}", file=path, cure=_FORM) from error
    whole = text.lstrip().startswith("[")
    lines = [(1, text)] if whole else [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    turns: list[tuple[int, Any]] = []
    for number, line in lines:
        try:
            value = json.loads(line)
        except ValueError as error:
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
            "the history has no turn", file=path, cure=f"{_FORM} Leave --history out to ask without a conversation."
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
    """What is wrong with a turn of a history; empty where it is usable."""
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
    return "" if first or turn["role"] != "system" else "is of the role 'system', which only the first turn may have"


def _kind(value: Any) -> str:
    """What a JSON value is, with its article."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
