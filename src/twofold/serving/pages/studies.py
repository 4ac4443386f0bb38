"""Page: the studies, each with its report, and two of them compared question by question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request  # noqa: TID253
from markupsafe import Markup

from twofold.diagnosis.record import ArmDiagnosis, DiagnosisRecord, LedgerRow, LeverRow
from twofold.errors import BadRequest, NotServed, StudyError, TwofoldError
from twofold.judge.record import JudgementRecord
from twofold.reports import study_page
from twofold.reports.comparison import incomparable, measures_fault, metrics_of, stopped_early
from twofold.reports.differences import differences
from twofold.reports.explorer import segments
from twofold.reports.side_by_side import CHANGES, SideBySide, paired, side_by_side
from twofold.serving.entrance import Asks, Served
from twofold.serving.faults import sentence
from twofold.serving.identity import Caller
from twofold.serving.pages.layout import fragment, page, served
from twofold.serving.service import Service
from twofold.serving.shelf import StudyShelf
from twofold.store import lock
from twofold.study.comparing import statistics
from twofold.types import Estimate, Json
from twofold.verdict.flips import COSTS
from twofold.verdict.racing import SPARED
from twofold.verdict.record import (
    AnswerRow,
    ArmAnswer,
    ArmRecord,
    BillItem,
    CauseRow,
    FailureRecord,
    StudyRecord,
    VerdictRecord,
    asked_text,
    estimate_text,
    number_text,
    true_minus,
)
from twofold.verdict.wording import metric_title, percent

router = APIRouter(include_in_schema=False)
Words = Annotated[str, Query(max_length=500)]
_PAGE = 50


@router.get("/studies")
async def studies(request: Request, service: Served, caller: Asks) -> Any:
    """The list of studies, newest first."""
    rows = await asyncio.to_thread(_listed, service)
    answering = next(iter(await asyncio.to_thread(served, service)), None)
    standing = await asyncio.to_thread(service.verdicts.shown, caller)
    context: Json = {"rows": rows, "answering": answering, "standing": standing}
    return page(request, "studies", caller, writer=writer_seen(service, caller), **context)


@router.get("/studies/progress")
async def progress(service: Served, caller: Asks) -> Any:
    """How far the command is that writes to the project: a part of a page, which asks for it again."""
    return fragment("studies/progress.html", writer=writer_seen(service, caller))


def writer_seen(service: Service, caller: Caller) -> lock.WriterAtWork | None:
    """The command that writes to the project, as far as the caller may know of it."""
    writer = service.project.places.at_work()
    # Stages name sources, which not everybody may know under access control.
    if writer and service.project.config.access.enabled and not caller.covers("admin"):
        return replace(writer, stage="", done=0, total=0)
    return writer


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What an address compares: studies, and an arm of each."""

    first: Words = ""
    second: Words = ""
    before: Words = ""
    after: Words = ""
    metric: Words = ""


Compared = Annotated[Sides, Depends()]


@router.get("/studies/compare")
async def compare(
    request: Request,
    service: Served,
    caller: Asks,
    *,
    sides: Compared,
    change: Words = "",
    number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1,
) -> Any:
    """An arm of one study beside an arm of another."""
    sides, metrics = chosen(service.studies, sides)
    shelf = service.studies
    first, second = shelf.record(sides.first), shelf.record(sides.second)

    def compared() -> SideBySide:
        # Refused here under access control: answers quote documents.
        parts = [(record, shelf.answers(record["study"], caller)) for record in (first, second)]
        arms, fault = (sides.before, sides.after), measures_fault(second, sides.metric)
        statistic = statistics(parts[0], parts[1], directory=shelf.records / second["study"])(arms, sides.metric)
        return side_by_side(parts[0], parts[1], arms, metric=sides.metric, lower_is_better=fault, statistic=statistic)

    result = await asyncio.to_thread(compared)
    answers = [answer for answer in result.answers if change in ("", answer.change)]
    pages = max(1, -(-len(answers) // _PAGE))
    number = min(number, pages)
    link = urlencode(asdict(sides))
    context: Json = {**asdict(sides), "result": result, "change": change, "changes": CHANGES, "link": link}
    context |= {"metrics": metrics, "arms": [list(first["arms"]), list(second["arms"])], "names": shelf.names()[::-1]}
    context |= {"answers": answers[(number - 1) * _PAGE : number * _PAGE], "number": number, "last": pages}
    context |= {"onward": f"/studies/compare?{link}&{urlencode({'change': change})}&page="}
    # What only an administrator sees of a study is compared for nobody else.
    seen = [record if caller.covers("admin") else _public(record, closed=True) for record in (first, second)]
    context |= {"differs": differences(seen[0], seen[1], (sides.before, sides.after))}
    early = stopped_early((first, second), (sides.before, sides.after))
    context |= {"refusal": incomparable((first, second), sides.metric), "early": early}
    context |= {"estimate": _estimate, "score": _score, "title_of": metric_title, "level": percent(result.level)}
    return page(request, "studies/compare", caller, **context)


@router.get("/studies/compare/item")
async def compared_item(
    request: Request,
    service: Served,
    caller: Asks,
    *,
    sides: Compared,
    name: Annotated[str, Query(alias="id", max_length=1000)],
) -> Any:
    """One question with both answers, what each was given to read, and what each cites."""
    sides, _ = chosen(service.studies, sides)
    stored = []
    for study, arm in ((sides.first, sides.before), (sides.second, sides.after)):
        answered = await asyncio.to_thread(service.studies.answers, study, caller)
        stored.append([row for row in answered if arm in row["arms"]])
    rows = next((pair for pair in paired(*stored) if pair[0]["id"] == name), None)
    if rows is None:
        raise NotServed("the two studies have no such question in common", cure="Choose one of the comparison.")
    views = []
    faults: dict[str, None] = {}
    for row, study, arm in zip(rows, (sides.first, sides.second), (sides.before, sides.after), strict=True):
        diagnosis, fault = diagnosed(service.studies, study)
        faults |= {fault: None} if fault else {}
        views.append(_view(f"{study}: {arm}", row["arms"][arm], _cause(diagnosis, arm, row)))
    back = {"href": f"/studies/compare?{urlencode(asdict(sides))}", "text": "The comparison"}
    return _item(request, caller, rows[1], views, back=back, faults=[*faults])


@router.get("/studies/{study}")
async def study(request: Request, service: Served, caller: Asks, *, study: str) -> Any:
    """The report of a study."""
    record = service.studies.record(study)
    shown = service.studies.shows_answers(caller)

    def body() -> str:
        rows = service.studies.answers(record["study"], caller) if shown else []
        diagnosis, fault = diagnosed(service.studies, record["study"])
        if diagnosis is not None and not shown:
            diagnosis = _counts_alone(diagnosis)
        if diagnosis is not None and not caller.covers("admin"):
            diagnosis = unpriced(diagnosis)
        judgement, damaged = _judged(service.studies, record["study"])
        visible = record if caller.covers("admin") else _public(record, closed=not shown)
        faults = " ".join(filter(None, (fault, damaged)))
        return study_page.render_body(visible, rows, diagnosis, judgement=judgement, unreadable=faults)

    text = await asyncio.to_thread(body)
    # Beside the report, which is written once: whether the verdict holds is a matter of today.
    standing = await asyncio.to_thread(service.verdicts.shown, caller, record["study"])
    # Rendered by a template of its own, which escapes what the record holds.
    context: Json = {"record": record, "report": Markup(text), "shown": shown, "standing": standing}
    return page(request, "studies/study", caller, **context)


@router.get("/studies/{study}/item")
async def item(
    request: Request,
    service: Served,
    caller: Asks,
    *,
    study: str,
    name: Annotated[str, Query(alias="id", max_length=1000)],
) -> Any:
    """One question of a study with every arm's answer."""
    record = service.studies.record(study)
    row = await _row(service, caller, record["study"], name)
    diagnosis, fault = diagnosed(service.studies, record["study"])
    names = [arm for arm in record["arms"] if arm in row["arms"]]
    views = [_view(arm, row["arms"][arm], _cause(diagnosis, arm, row)) for arm in names]
    back = {"href": f"/studies/{record['study']}", "text": f"The study {record['study']}"}
    return _item(request, caller, row, views, back=back, faults=[fault] if fault else [])


def diagnosed(studies: StudyShelf, study: str) -> tuple[DiagnosisRecord | None, str]:
    """The diagnosis of a study, if any, and why one that is there cannot be read: the study is shown all the same."""
    try:
        return studies.diagnosis(study), ""
    except StudyError as error:
        words = sentence(error.message, error.cure)
        return None, words[:1].upper() + words[1:]


def _judged(studies: StudyShelf, study: str) -> tuple[JudgementRecord | None, str]:
    """The judgement of a study, if any, and why one that is there cannot be read."""
    try:
        return studies.judgement(study), ""
    except StudyError as error:
        words = sentence(error.message, error.cure)
        return None, words[:1].upper() + words[1:]


def _item(
    request: Request, caller: Caller, row: AnswerRow, views: Sequence[Json], *, back: Json, faults: Sequence[str]
) -> Any:
    context: Json = {"row": row, "views": views, "back": back, "faults": faults}
    return page(request, "studies/item", caller, **context, score=_score, title_of=metric_title)


def _listed(service: Service) -> list[Json]:
    rows: list[Json] = []
    for name in reversed(service.studies.names()):
        try:
            record = service.studies.record(name)
        # One damaged record must not hide the others.
        except TwofoldError as error:
            rows.append({"name": name, "fault": f"{error.message}. {error.cure}"})
            continue
        verdict, arm = record["verdict"], record["verdict"]["arm"]
        measured = record["arms"][arm]["metrics"].get(record["metric"]) if arm in record["arms"] else None
        rows.append(
            {
                "name": record["study"],
                "fault": "",
                "at": record["created"],
                "outcome": verdict["outcome"],
                "arm": arm,
                "headline": true_minus(verdict.get("headline", "") or verdict["sentence"]),
                "asked": asked_text(record["policy"]),
                "metric": metric_title(record["metric"]),
                "value": true_minus(estimate_text(measured)) if measured else "",
                "final": record["policy"]["final"],
            }
        )
    return rows


def _public(record: StudyRecord, *, closed: bool) -> StudyRecord:
    """A record without what only an administrator sees.

    Args:
        record: Of a study.
        closed: Without what names or counts documents and examples, too.
    """
    # Chosen, not removed: a section that is new stays closed until somebody opens it.
    config = {key: value for key, value in record["config"].items() if key == "study"}
    public: StudyRecord = {**record, "config": config, "environment": {}}
    # Prices are a matter of contracts, and the section on cost stands on them.
    public.pop("prices", None)
    public.pop("metered", None)
    # Digests of documents tell whether somebody else's is the same: nothing that is shown needs them.
    public.pop("documents", None)
    public["verdict"] = without_costs(record["verdict"])
    if "race" in record:
        hidden = ("amount", "currency", "unpriced", "arms")
        saved = {key: value for key, value in record["race"]["saved"].items() if key not in hidden}
        public["race"] = {**record["race"], "saved": saved}
    public["bill"] = [_without_amount(item) for item in record["bill"]]
    if not closed:
        return public
    arms: dict[str, ArmRecord] = {}
    for name, arm in record["arms"].items():
        # Messages quote questions and documents.
        failures: list[FailureRecord] = [{**failure, "message": ""} for failure in arm["failures"]]
        arms[name] = {**arm, "description": {}, "failures": failures}
    causes: list[CauseRow] = [{**cause, "examples": []} for cause in record.get("diagnosis", [])]
    retrieval = {**record["retrieval"], "index": {}} if record["retrieval"] else {}
    return {**public, "arms": arms, "diagnosis": causes, "retrieval": retrieval, "warnings": [], "bill": []}


def without_costs(verdict: VerdictRecord) -> VerdictRecord:
    """A verdict without the conditions and reasons that name a cost, from which the price of a token follows."""
    flips = [flip for flip in verdict["flips"] if not flip["condition"].startswith(COSTS)]
    because = [reason for reason in verdict["because"] if not reason.startswith(SPARED)]
    return {**verdict, "flips": flips, "because": because}


def _without_amount(item: BillItem) -> BillItem:
    public: BillItem = {**item}
    public.pop("amount", None)
    return public


def unpriced(diagnosis: DiagnosisRecord) -> DiagnosisRecord:
    """A diagnosis without the price of a lever's tokens, from which that of a token follows."""
    arms: dict[str, ArmDiagnosis] = {}
    for name, arm in diagnosis["arms"].items():
        levers: list[LeverRow] = [{**lever, "price": None} for lever in arm["levers"]]
        arms[name] = {**arm, "levers": levers}
    return {**diagnosis, "arms": arms}


def _counts_alone(diagnosis: DiagnosisRecord) -> DiagnosisRecord:
    """A diagnosis without what names examples or quotes answers and documents."""
    arms: dict[str, ArmDiagnosis] = {}
    for name, arm in diagnosis["arms"].items():
        ledger: list[LedgerRow] = [{**row, "examples": []} for row in arm["ledger"]]
        arms[name] = {**arm, "ledger": ledger, "rows": []}
    # Notes name examples that contradict each other.
    return {**diagnosis, "arms": arms, "notes": []}


def chosen(studies: StudyShelf, sides: Sides) -> tuple[Sides, list[str]]:
    """What is compared, and the metrics that both studies have.

    By default the arms that the two latest studies chose, in the later one's metric; with one study alone its first
    arm, and after it the chosen one, else the last.
    """
    names = studies.names()
    if not names:
        raise NotServed("there is no study yet", cure="Run `twofold study`.")
    first = studies.record(sides.first or names[max(0, len(names) - 2)])
    second = studies.record(sides.second or names[-1])
    before = sides.before
    alone = first["study"] == second["study"]
    after = _arm(second, sides.after, tuple(reversed(second["arms"])) if alone else ())
    if not before and alone:
        before = next((name for name in first["arms"] if name != after), after)
    both = [name for name in metrics_of(second) if name in metrics_of(first)]
    if not both:
        raise BadRequest("the two studies have no metric in common", cure="Compare studies that share one.")
    metric = sides.metric or (second["metric"] if second["metric"] in both else both[0])
    if metric not in both:
        raise NotServed(f"the two studies do not share the metric {metric[:60]!r}", cure="Choose one of the list.")
    before = _arm(first, before, (after,))
    pair = Sides(first=first["study"], second=second["study"], before=before, after=after, metric=metric)
    return pair, both


def _arm(record: StudyRecord, named: str, instead: Sequence[str]) -> str:
    """The arm of that name, else the verdict's, else the first of `instead` that the study has, else its first."""
    known = [name for name in (record["verdict"]["arm"], *instead, *record["arms"]) if name in record["arms"]]
    if named and named not in record["arms"]:
        raise NotServed(f"the study {record['study']} has no arm {named[:60]!r}", cure="Choose one of the list.")
    return named or known[0]


async def _row(service: Service, caller: Caller, study: str, name: str) -> AnswerRow:
    rows = await asyncio.to_thread(service.studies.answers, study, caller)
    row = next((row for row in rows if row["id"] == name), None)
    if row is None:
        raise NotServed("the study has no such question", cure="Choose one of the study's page.")
    return row


def _cause(diagnosis: DiagnosisRecord | None, arm: str, row: AnswerRow) -> str:
    """The cause of an arm's answer and the change that showed it; empty where none is known."""
    if diagnosis is not None and arm in diagnosis["arms"]:
        for diagnosed in diagnosis["arms"][arm]["rows"]:
            if diagnosed["id"] == row["id"]:
                return f"{diagnosed['cause']}: {diagnosed['by']}"
    return row["arms"][arm].get("cause", "")


def _view(title: str, answer: ArmAnswer, cause: str) -> Json:
    """An answer with its passages, each in pieces: text, and is it quoted?"""
    cited = {citation["number"] for citation in answer["citations"]}
    passages = []
    for hit in answer["hits"]:
        quotes = []
        for citation in answer["citations"]:
            where = (citation["document"], citation["start"], citation["end"])
            if citation["quote"] and where == (hit["document"], hit["start"], hit["end"]):
                start, end = citation["quote"]
                # In characters of the passage; the citation counts in the document.
                quotes.append((start - hit["start"], end - hit["start"], ""))
        pieces, at = [], 0
        for low, high, _ in segments(len(hit["text"]), quotes):
            pieces += [(hit["text"][at:low], False), (hit["text"][low:high], True)]
            at = high
        pieces.append((hit["text"][at:], False))
        passages.append({**hit, "pieces": pieces, "cited": hit["number"] in cited})
    return {"title": title, **answer, "passages": passages, "cause": cause}


def _estimate(value: Estimate) -> str:
    text: Any = {key: part for key, part in asdict(value).items() if key in ("mean", "low", "high")}
    return true_minus(estimate_text(text))


def _score(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "–"
    return true_minus(f"{'+' if signed and value > 0 else ''}{number_text(value, 2)}")
