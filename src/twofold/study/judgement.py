"""A judge of a finished study: put on probation by answers that people marked, and used only if it passes.

What people marked is asked three times: once, the other way round, and once more. Only a judge that passes is asked
about the other answers: one that is refused costs no more than its probation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from twofold import __version__
from twofold.assembly.models import Models
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.errors import ConfigError, StudyError
from twofold.files.reading import MIB, decode, read_bytes
from twofold.hashing import digest
from twofold.host import pace
from twofold.host.meter import Meter
from twofold.judge import probation, scoring
from twofold.judge.asking import Judge, Tally
from twofold.judge.items import WORDS, HumanMark, JudgeItem, Name
from twofold.judge.probation import MarkedTrial, settled
from twofold.judge.prompts import PREFERENCE, RUBRIC, VERSION, Rubric
from twofold.judge.record import FORMAT, JudgementRecord
from twofold.labelling import items as blind
from twofold.labelling.labels import BlindLabel, Kind
from twofold.plugins.protocols import Progress, quiet
from twofold.reports import archive
from twofold.study import calls
from twofold.types import Answer, Json, Message, Prompt
from twofold.verdict.certificate import REMOVED
from twofold.verdict.record import AnswerRow, StudyRecord, counted

MOST_FAILED = 0.05
"""Share of the questions that may fail, as of a study's answers; prompts beyond the model's context fail for ever."""
_TOKEN = 4
"""Characters of a token, for the plan."""
_MARK = 12
"""Tokens of a reply that is a mark and no more, for the plan."""
_NAME = 255
"""Bytes of the longest name of a file."""
_TELLING = 10
"""Marks from which a word that is not among them is worth a remark."""
_WORDS = {"neither": "same"}
"""What people say of a pair → what a judge may say."""


@dataclass(frozen=True, kw_only=True)
class JudgedStudy:
    """A study opened for its judge."""

    record: StudyRecord
    """Its record."""
    items: tuple[JudgeItem, ...]
    """All that there is to judge."""
    marks: tuple[HumanMark, ...]
    """What people said of some."""
    failed: Mapping[str, int]
    """Arm → its failed answers."""
    rubric: Rubric
    """How the judge is asked."""
    model: str
    """Name of the judge's model in the configuration; empty: the project's own."""

    @property
    def judge(self) -> str:
        """The judge's name for people."""
        return self.model or "[generation]"

    @property
    def marked(self) -> list[JudgeItem]:
        """The items that people marked."""
        names = {mark.item for mark in self.marks}
        return [item for item in self.items if item.name in names]

    @property
    def rest(self) -> list[JudgeItem]:
        """The items that nobody marked."""
        names = {mark.item for mark in self.marks}
        return [item for item in self.items if item.name not in names]

    def asked_at_once(self, items: Sequence[JudgeItem]) -> list[list[Prompt]]:
        """What is asked of items for their marks: of pairs both orders."""
        orders = (False,) if self.rubric.mode == "rubric" else (False, True)
        columns = []
        for turned in orders:
            columns.append([self.rubric.prompt(item, turned=turned) for item in items])
        return columns


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePlan:
    """What judging a study would ask, at most."""

    study: str
    judge: str
    """Name of the judge's model."""
    mode: str
    items: int
    """Answers, or pairs, to judge."""
    marked: int
    """Of these, marked by people."""
    probation: int
    """Questions of the probation that were not asked before."""
    rest: int
    """Questions that follow if the judge passes, and were not asked before."""
    tokens: int
    """Read and written by these questions, by the length of the prompts."""
    seconds: float | None
    """What they would take by the pace that the model had here; None: it never answered on this machine."""
    amount: float
    """Their highest price, in the currency of the configured prices; 0: none is configured."""
    unpriced: list[str]
    """Sentences on calls without a price."""


def opened(
    config: Config, directory: Path, *, records: Path, labels: Sequence[BlindLabel], study: str = ""
) -> JudgedStudy:
    """Find the study, what is to be judged, and what people said of it.

    Args:
        config: In force.
        directory: The project, in which the rubric's file is looked for.
        records: Directory of finished studies.
        labels: What people human, all in force.
        study: Name or number; empty: the latest.

    Raises:
        StudyError: there is no such study, nothing in it to judge, or nobody marked any of it.
        ConfigError: there is no such model, or the rubric cannot be read.
    """
    section = config.judge
    if section.model and section.model not in config.models:
        known = f"Name one of them: {', '.join(config.models)}." if config.models else "The project describes none."
        raise ConfigError(
            f"[judge].model names {section.model!r}, which is no model of [models]",
            cure=f"{known} Describe another as [models.{section.model}].",
        )
    record = archive.find_record(records, study)
    rows = archive.read_answers(records / record["study"])
    kind: Kind = "mark" if section.mode == "rubric" else "pair"
    items = [_item(item) for item in blind.items(record, rows, kind, secret="")]
    if not items:
        what = "no answer" if kind == "mark" else "no two different answers to one question"
        raise StudyError(f"study {record['study']} has {what} to judge", cure="Run `twofold study` with other arms.")
    marks = human_marks(labels, items, record["study"], kind=kind)
    if not marks:
        other = f"; {counted(len(labels), 'label')} are of other studies, kinds or answers" if labels else ""
        raise StudyError(
            f"nobody has marked {'an answer' if kind == 'mark' else 'a pair of answers'} of study {record['study']}: "
            f"a judge cannot be compared with people{other}",
            cure=f"Mark some 50 with `twofold label --kind {kind}`, or on the server's page of labels.",
        )
    failed: Counter[str] = Counter()
    for row in rows:
        failed.update(name for name, answer in row["arms"].items() if answer["failure"])
    return JudgedStudy(
        record=record,
        items=tuple(items),
        marks=tuple(marks),
        failed=failed,
        rubric=Rubric(
            mode=section.mode,
            text=_rubric_text(config, directory),
            references=section.references,
            max_tokens=section.max_tokens,
        ),
        model=section.model,
    )


def human_marks(labels: Sequence[BlindLabel], items: Sequence[JudgeItem], study: str, *, kind: Kind) -> list[HumanMark]:
    """What people said of these items; labels of other studies, kinds and answers are passed over."""
    known = {item.name: item for item in items}
    marks: list[HumanMark] = []
    for label in blind.of_study(labels, study, kind):
        texts = {answer.arm: answer.text for answer in label.answers}
        item = known.get((label.example, *sorted(texts)))
        # A study made anew under one name has other answers, which nobody has marked.
        if item is None or item.texts != tuple(texts[arm] for arm in item.arms):
            continue
        word = _WORDS.get(label.choice, label.choice)
        if label.preferred:
            word = "first" if label.preferred == item.arms[0] else "second"
        marks.append(HumanMark(item=item.name, by=label.by, word=word))
    return marks


def _item(item: blind.BlindItem) -> JudgeItem:
    row: AnswerRow = item.row
    arms = tuple(sorted(item.arms))
    return JudgeItem(
        example=row["id"],
        group=row["group"],
        turns=tuple(Message(role=turn["role"], content=turn["content"]) for turn in row["messages"]),
        references=tuple(row["references"]),
        answerable=row["answerable"],
        arms=arms,
        texts=tuple(row["arms"][arm]["text"] for arm in arms),
    )


def _rubric_text(config: Config, directory: Path) -> str:
    stated = config.judge.rubric.strip()
    if not stated:
        return RUBRIC if config.judge.mode == "rubric" else PREFERENCE
    path = directory / stated
    # A rubric is a sentence; one word with an ending is a file. Some scripts have no blanks: what no system takes for
    # a file's name is a sentence of theirs.
    if "\n" in stated or " " in stated or "." not in stated.rstrip(".") or len(stated.encode()) > _NAME:
        return stated
    if not path.is_file():
        raise ConfigError(
            f"[judge].rubric names the file {stated!r}, which is not there",
            cure="Write the rubric into [judge].rubric, or name a text file relative to the project.",
        )
    text = decode(read_bytes(path, limit=MIB), name=stated).strip()
    if not text:
        raise ConfigError(f"the rubric {stated!r} is empty", cure="Write into it what makes an answer good.")
    return text


def _judge(workspace: Workspace, study: JudgedStudy) -> Judge:
    generation = workspace.config.of(study.model).generation
    part = generation.generator
    # Greedy, whatever the model does elsewhere: chance in the marks would pass for chance in the answers. None stays:
    # it is for an endpoint that takes no temperature.
    if part.options.get("temperature"):
        part = part.model_copy(update={"options": {**part.options, "temperature": 0.0}})
    config = workspace.config.model_copy(update={"generation": generation.model_copy(update={"generator": part})})
    models = Models(
        directory=workspace.directory,
        config=config,
        catalogue=workspace.catalogue,
        artifacts=workspace.artifacts,
    )
    return Judge(
        generator=models.generator(),
        catalogue=workspace.catalogue,
        constrained=workspace.config.judge.constrained,
        batch=generation.batch,
    )


def plan(workspace: Workspace, study: JudgedStudy) -> JudgePlan:
    """What judging would ask at most; nothing is asked."""
    judge = _judge(workspace, study)
    marked = study.marked
    first = [study.rubric.prompt(item) for item in marked]
    turned = [study.rubric.prompt(item, turned=True) for item in marked]
    with closing(judge.generator):
        tried = sum(judge.missing(prompts) for prompts in (first, turned)) + judge.missing(first, repetition=1)
        rest = study.asked_at_once(study.rest)
        further = sum(judge.missing(prompts) for prompts in rest)
        pace_here = pace.paces(pace.answering(judge.generator.description)).get("answer plain")
    every = [*first, *turned, *first, *(prompt for prompts in rest for prompt in prompts)]
    length = sum(len(message.content) for prompt in every for message in prompt.messages) / _TOKEN / len(every)
    config = workspace.config.of(study.model)
    tokens = (length, float(study.rubric.max_tokens))
    requests = calls.by_generator(config, "judge", f"judge {study.judge}", number=tried + further, tokens=tokens)
    return JudgePlan(
        study=study.record["study"],
        judge=study.judge,
        mode=study.rubric.mode,
        items=len(study.items),
        marked=len(marked),
        probation=tried,
        rest=further,
        tokens=round((tried + further) * sum(tokens)),
        seconds=None if pace_here is None else (tried + further) * pace_here * pace.batched(length, _MARK),
        amount=sum(each.amount for each in requests),
        unpriced=calls.unpriced(requests),
    )


def judge(
    workspace: Workspace, study: JudgedStudy, *, earlier: JudgementRecord | None = None, progress: Progress = quiet
) -> JudgementRecord:
    """Put the judge on probation, and let it judge all answers if it passes.

    Args:
        workspace: The project's parts.
        study: The study, opened.
        earlier: The judgement of this study that is there.
        progress: Shows the work.

    Raises:
        GenerationError: the judge as a whole cannot work.
    """
    with closing((model := _judge(workspace, study)).generator):
        tally = Tally()
        level = study.record["level"]
        with Meter() as spent:
            trials, words, unreadable = _tried(model, study, tally=tally, progress=progress)
            rows = probation.bars(study.rubric.mode, trials, level=level) if trials else []
            # What failed may have failed for its difficulty: without much of it nothing is decided.
            finished = bool(trials) and len(tally.failures) <= MOST_FAILED * tally.questions
            passed = finished and all(row["passed"] for row in rows)
            if passed:
                further, lost = _marked(model, study, study.rest, tally=tally, progress=progress)
                words |= further
                unreadable += lost
        description = model.generator.description
        constrained = model.held_to_schema
        key = model.generator.key
    people = sorted({mark.by for mark in study.marks})
    human = _by_item(study.marks)
    named = f"{counted(len(study.marks), 'mark')} of {counted(len(people), 'person', 'people')}"
    settings = [study.rubric.mode, study.rubric.text, study.rubric.references, study.rubric.max_tokens, VERSION]
    fingerprint = digest("judgement", [key, settings, sorted((m.by, m.item, m.word) for m in study.marks)])
    # A judge that is tried often enough passes by chance.
    tries = (earlier["tries"] if earlier else 0) + int(earlier is None or earlier["fingerprint"] != fingerprint)
    arms = scoring.judged_arms(study.items, words, human, failed=study.failed, level=level) if passed else {}
    return {
        "format": FORMAT,
        "study": study.record["study"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "twofold": __version__,
        "model": study.judge,
        "generator": description,
        "mode": study.rubric.mode,
        "rubric": study.rubric.text,
        "references": study.rubric.references,
        "constrained": constrained,
        "level": level,
        "people": people,
        "marks": len(study.marks),
        "marked": len(trials),
        "items": len(study.items),
        "questions": tally.questions,
        "cached": tally.cached,
        "unreadable": unreadable,
        "failed": len(tally.failures),
        "tokens": tally.tokens,
        "seconds": spent.seconds,
        "amount": float(description.get("price", 0.0)),
        "bars": rows,
        "passed": passed,
        "sentence": (
            probation.sentence(study.judge, rows, marks=named)
            if finished
            else f"the probation of the judge {study.judge} is not finished, and no score of it is shown: "
            f"{len(tally.failures)} of {counted(tally.questions, 'question')} failed"
        ),
        "doubts": [
            *_unread(unreadable, tally),
            *_doubts(study, people, description=description, tries=tries, arms=arms),
        ],
        "tries": tries,
        "fingerprint": fingerprint,
        "arms": arms,
    }


def _tried(
    model: Judge, study: JudgedStudy, *, tally: Tally, progress: Progress
) -> tuple[list[MarkedTrial], dict[Name, str], int]:
    """The trials of the marked items, the judge's marks of them, and the number of its replies without one."""
    items, rubric = study.marked, study.rubric
    first = [rubric.prompt(item) for item in items]
    turned = [rubric.prompt(item, turned=True) for item in items]
    answers = (
        model.replies(first, tally=tally, stage="judge", progress=progress),
        model.replies(turned, tally=tally, stage="judge the other way round", progress=progress),
        model.replies(first, tally=tally, repetition=1, stage="judge again", progress=progress),
    )
    human = _by_item(study.marks)
    trials: list[MarkedTrial] = []
    words: dict[Name, str] = {}
    unreadable = 0
    for item, once, other, again in zip(items, *answers, strict=True):
        if any(reply.failure for reply in (once, other, again)):
            continue
        read = (_word(rubric, once), _word(rubric, other, turned=True), _word(rubric, again))
        unreadable += _lost((once, other, again), read)
        trials.append(
            MarkedTrial(group=item.group, first=read[0], turned=read[1], again=read[2], people=tuple(human[item.name]))
        )
        words[item.name] = settled(rubric.mode, read[0], read[1])
    return trials, words, unreadable


def _marked(
    model: Judge, study: JudgedStudy, items: Sequence[JudgeItem], *, tally: Tally, progress: Progress
) -> tuple[dict[Name, str], int]:
    """The judge's marks of items that nobody marked, and the number of its replies without one."""
    columns: list[list[str]] = []
    unreadable = 0
    for number, prompts in enumerate(study.asked_at_once(items)):
        replies = model.replies(prompts, tally=tally, stage="judge the other answers", progress=progress)
        read = [_word(study.rubric, reply, turned=number == 1) for reply in replies]
        unreadable += _lost(replies, read)
        columns.append(read)
    words = {}
    for item, first, turned in zip(items, columns[0], columns[-1], strict=True):
        words[item.name] = settled(study.rubric.mode, first, turned)
    return words, unreadable


def _word(rubric: Rubric, reply: Answer, *, turned: bool = False) -> str:
    return "" if reply.failure else rubric.read(reply.raw, turned=turned)


def _lost(replies: Sequence[Answer], words: Sequence[str]) -> int:
    return sum(not word and reply.failure is None for reply, word in zip(replies, words, strict=True))


def _by_item(marks: Sequence[HumanMark]) -> dict[Name, list[str]]:
    human: dict[Name, list[str]] = {}
    for mark in marks:
        human.setdefault(mark.item, []).append(mark.word)
    return human


def _unread(unreadable: int, tally: Tally) -> list[str]:
    """Remarks on questions without a mark, and what to do."""
    remarks = [
        f"{counted(count, 'question')} failed ({text}) and count for nothing: another run asks them again"
        for text, count in Counter(tally.failures).items()
    ]
    if unreadable:
        remarks.append(
            f"{unreadable} of {counted(tally.questions, 'reply', 'replies')} held no mark and count for nothing: name "
            "a model in [judge] that follows the form, or raise [judge].max_tokens"
        )
    return remarks


def _doubts(
    study: JudgedStudy, people: Sequence[str], *, description: Json, tries: int, arms: Mapping[str, object]
) -> list[str]:
    """Reasons to doubt the judge, whether it passed or not."""
    doubts = []
    if len(people) == 1:
        doubts.append(
            "all marks are of one person: the judge is compared with that person, and how far people agree with each "
            "other is unknown"
        )
    used = {mark.word for mark in study.marks}
    unused = [word for word in WORDS["rubric"] if word not in used]
    # Of a pair the words name places, which mean nothing.
    if study.rubric.mode == "rubric" and unused and len(study.marks) >= _TELLING:
        doubts.append(f"nobody said {' or '.join(unused)}: the judge's marks of that kind are compared with none")
    judging = _model(description)
    mine = [name for name, arm in study.record["arms"].items() if _model(arm["description"]["generator"]) == judging]
    if mine:
        doubts.append(
            f"the judge is the model that wrote the answers of {', '.join(mine)}: models prefer answers of their own"
        )
    if tries > 1:
        doubts.append(f"this is the probation number {tries} on this study: of many tries one passes by chance")
    if arms:
        silent = [name for name, arm in study.record["arms"].items() if not arm["diagnostic"] and name not in arms]
        if silent:
            doubts.append(f"no answer of {', '.join(silent)} was marked by a person: the arm has no judged score")
        doubts += _parts(study.record)
    return doubts


def _parts(record: StudyRecord) -> list[str]:
    """Reasons why judged scores are of other questions than the study's own scores."""
    parts = []
    if any(line.startswith(REMOVED) for line in record["warnings"]):
        parts.append(
            "answers of the study were removed, for a document was forgotten: judged scores are of the others alone"
        )
    if record.get("race") is not None:
        parts.append(
            "the study was a race: judged scores are of each arm's own questions, their intervals do not allow for "
            "stopping early, and the arm that won is flattered"
        )
    return parts


def _model(description: Json) -> tuple[str, ...]:
    """The model behind a generator's description, whatever the options and the adapter."""
    return tuple(str(description.get(key, "")) for key in ("name", "model", "base_url"))
