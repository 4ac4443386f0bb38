"""Page: the tuned models, what they were made of, which of them answers, and the way back to the one before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request  # noqa: TID253
from fastapi.responses import RedirectResponse  # noqa: TID253

from twofold.errors import ConfigError, Conflict, NotServed, StoreError, UnknownName
from twofold.forgetting import suite
from twofold.project import Project
from twofold.reports.model_card import DescribedModel, level_text
from twofold.reports.training_plots import TrainingPlot, training_plots
from twofold.serving import faults
from twofold.serving.entrance import Administers, Served
from twofold.serving.exchange import note
from twofold.serving.identity import Caller
from twofold.serving.pages.forms import Form, form_of
from twofold.serving.pages.layout import page, served
from twofold.serving.pages.prose import lasting
from twofold.store.model_record import ModelRecord
from twofold.store.model_registry import short
from twofold.types import Json
from twofold.verdict.record import estimate_text, number_text, true_minus
from twofold.verdict.wording import metric_title

router = APIRouter(include_in_schema=False)
Sent = Annotated[Form, Depends(form_of)]
Badge = tuple[str, Literal["plain", "good", "warn", "bad"]]
"""Words, and how they look."""
_GATES: dict[suite.Outcome, Badge] = {
    "passed": ("within the limit", "good"),
    "open": ("undecided", "warn"),
    "failed": ("too much", "bad"),
}
"""Outcome of the forgetting gate → how much the model forgot, in words."""
_MEASURED = ("base", "tuned", "drop")
_ABILITIES = {"general": "general ability", "refusal": "refusing and abstaining"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestry:
    """Where a model comes from, and what came of it."""

    before: tuple[ModelRecord, ...]
    """The models in whose place it was trained, the oldest first."""
    after: tuple[ModelRecord, ...]
    """The models that were trained in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasState:
    """An alias, and where a rollback would lead."""

    name: str
    model: str
    """Id of the model that it points to."""
    before: str
    """Id of the model before that; empty without one."""


@router.get("/models")
def models(request: Request, service: Served, caller: Administers) -> Any:
    """All models, newest first, with the aliases and their moves."""
    project = service.project
    # Nothing is made by looking: a project before its first sync has no catalogue.
    listed = project.models.listing() if project.derived.is_dir() else []
    context: Json = {
        "models": listed[::-1],
        "gates": {model["id"]: gate_of(model) for model in listed},
        "aliases": aliases(project),
        "moves": project.catalogue.models.alias_moves()[::-1] if listed else [],
        "serving": {arm["model"] for arm in served(service)},
        "short": short,
        "estimate": score_text,
        "title_of": metric_title,
    }
    return page(request, "models", caller, **context)


@router.get("/models/{name}")
def model(name: str, *, request: Request, service: Served, caller: Administers) -> Any:
    """One model."""
    with _refusals():
        described = service.project.models.show(name)
    context: Json = {
        "model": described,
        "gate": gate_of(described),
        "plots": plots(service.project, described),
        "ancestry": ancestry(service.project.models.registry.records(), described["id"]),
        "aliases": aliases(service.project),
        "serving": {arm["model"] for arm in served(service)},
        "abilities": abilities(described["gate"]) if described["gate"] else [],
        "because": because(described["gate"]) if described["gate"] else [],
        "short": short,
        "estimate": score_text,
        "level_text": level_text,
        "number": number_text,
        "title_of": metric_title,
        "lasting": lasting,
    }
    return page(request, "models/model", caller, **context)


@router.post("/models/promote")
def promote(service: Served, form: Sent, caller: Administers) -> Any:
    """Point an alias to a model; running servers serve it within seconds."""
    registry = service.project.models.registry
    with _refusals():
        move = registry.promote(form.text("model"), alias=form.text("alias"), who=_name(caller), why=form.text("why"))
    note(alias=form.text("alias"), model=move["after"], before=move["before"])
    return RedirectResponse(f"/models/{short(move['after'])}", 303)


@router.post("/models/rollback")
def rollback(service: Served, form: Sent, caller: Administers) -> Any:
    """Point an alias to the model before; running servers serve it within seconds."""
    with _refusals():
        move = service.project.models.registry.rollback(
            alias=form.text("alias"), who=_name(caller), why=form.text("why")
        )
    note(alias=form.text("alias"), model=move["after"], before=move["before"])
    return RedirectResponse("/models", 303)


def gate_of(record: ModelRecord) -> Badge:
    """How much a model forgot by its tuning, in words, as the forgetting gate found."""
    return ("not measured", "plain") if record["gate"] is None else _GATES[suite.outcome(record["gate"])]


def score_text(estimate: Json) -> str:
    """An estimate as all pages print it: ``.412 [.351, .470]``."""
    return true_minus(estimate_text(estimate))


def because(gate: Json) -> list[str]:
    """Why the gate decided as it did: a sentence for each ability that did not pass."""
    lines = [(title, gate.get(name)) for name, title in _ABILITIES.items()]
    reasons = [f"{title}: {line['because']}" for title, line in lines if isinstance(line, dict) and line.get("because")]
    # A record of an earlier version has them in one text.
    return reasons or [str(reason) for reason in ([gate["because"]] if gate.get("because") else [])]


def abilities(gate: Json) -> list[Json]:
    """The measured abilities: ``title``, and the estimates ``base``, ``tuned`` and ``drop``; ``limit`` of the drop."""
    rows = []
    for name, title in _ABILITIES.items():
        line = gate.get(name)
        if isinstance(line, dict) and "drop" in line:
            rows.append({"title": title, "limit": line.get("limit"), **{key: line[key] for key in _MEASURED}})
    return rows


def aliases(project: Project) -> list[AliasState]:
    """The aliases of a project, each with where a rollback would lead."""
    states = []
    for name, target in sorted(project.catalogue.models.aliases().items()) if project.derived.is_dir() else ():
        history = project.models.registry.history(name)
        states.append(AliasState(name=name, model=target, before=history[-2] if len(history) > 1 else ""))
    return states


def ancestry(records: Sequence[ModelRecord], name: str) -> Ancestry:
    """Where a model comes from, and what came of it.

    Args:
        records: All models.
        name: Id of the model.
    """
    known = {record["id"]: record for record in records}
    before: list[ModelRecord] = []
    parent = known[name]["lineage"].get("from", "")
    # The second look: records that name each other would be followed for ever.
    while parent in known and known[parent] not in before:
        before.insert(0, known[parent])
        parent = known[parent]["lineage"].get("from", "")
    after = [record for record in records if record["lineage"].get("from") == name]
    return Ancestry(before=tuple(before), after=tuple(after))


def plots(project: Project, model: DescribedModel) -> list[TrainingPlot]:
    """The curves of a model's training; none where its files are gone."""
    if not model["here"]:
        return []
    report = project.workspace.artifacts.manifest(model["key"])["report"]
    metric = model["dev"]["metric"] if model["dev"] else project.config.study.metric.name
    return training_plots(report, name=short(model["id"]), metric=metric)


@contextmanager
def _refusals() -> Iterator[None]:
    """What a form asks for and cannot be had is no fault of the server."""
    try:
        yield
    except UnknownName as error:
        raise NotServed(error.message, cure=error.cure) from error
    except (ConfigError, StoreError) as error:
        # Those with a status of their own, such as a full disk, keep it.
        if faults.status_of(error) != 500:
            raise
        raise Conflict(error.message, cure=error.cure) from error


def _name(caller: Caller) -> str:
    """Who decides, for the audit; the operating system's user where no key is needed."""
    return caller.name if caller.id else ""
