"""The shape of the record: what `study.json` and `answers.jsonl.gz` hold.

The record is the product: the report and `twofold show` read it and nothing else. It is written
once. Fields are added, never renamed; `format` rises when a reader of the old shape would be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from twofold.costs.metering import Metered
from twofold.costs.prices import PriceRow
from twofold.plugins.results import EndpointState
from twofold.types import Json
from twofold.verdict.latency_record import LatencyRecord, QuantileRecord

FORMAT = 1


class EstimateRecord(TypedDict):
    """A `types.Estimate`."""

    mean: float
    low: float
    high: float
    n: int
    failed: int


class EffectRecord(TypedDict):
    """A `types.Effect`."""

    name: str
    estimate: EstimateRecord
    p: float | None
    test: str
    decides: NotRequired[EstimateRecord | None]


class VerdictRecord(TypedDict):
    """A `types.Verdict`; `flips` are ``{condition, outcome, arm}``."""

    outcome: str
    arm: str
    headline: NotRequired[str]
    sentence: str
    because: list[str]
    provisional: list[str]
    more_examples: int | None
    further: NotRequired[Json]
    flips: list[Json]
    looks: int


class FailureRecord(TypedDict):
    """Failed answers of one kind."""

    code: str
    message: str
    count: int


class TrainingRecord(TypedDict):
    """The training of the arm's adapter."""

    key: str
    rows: int
    epochs: float
    steps: int
    best_step: int
    seconds: float
    tokens: int
    tokens_per_second: float
    peak_mib: float
    stopped: str
    """Why it ended, for example ``plan``, ``patience`` or ``minutes``."""
    loss: list[tuple[int, float]]
    """(step, mean training loss since the previous point)."""
    dev: list[tuple[int, float]]
    """(step, dev score in the study's metric)."""
    cached: bool
    cut_prompts: NotRequired[int]
    """Rows whose last message lost its beginning, for they were longer than `max_length`."""
    cut_answers: NotRequired[int]
    """Rows whose answer lost its end."""
    max_length: NotRequired[int]
    """Longest row, tokens."""
    method: NotRequired[str]
    """Name of the trainer."""
    trials: NotRequired[int]
    """Variants tried on the dev split: checkpoints, shares of the change, methods."""
    gate: NotRequired[Json | None]
    """The judgement of `suite.judge`; None where the gate is off."""
    merge_back: NotRequired[Json]
    """``{"coefficient", "because", "reached", "base_dev", "front"}``: the share of the tuned change that was kept."""
    model: NotRequired[str]
    """Id of the tuned model (`store.model_registry.model_id`): what `ask` answers with."""
    runs: NotRequired[list[Json]]
    """Where several runs were trained, a row for each (`finalize.run_row`); one is ``carried``."""
    methods: NotRequired[list[Json]]
    """Where several methods were compared, a row for each (`finalize.method_row`); one is ``carried``."""
    effort: NotRequired[Json | None]
    """How far training came: ``{"planned", "steps", "epochs", "stopped", "limit_minutes", "moved", "rising",
    "dev_first", "dev_best", "chance", "minutes", "minutes_needed"}``; ``chance`` false: no verdict may crown another
    arm over this one. None: unknown."""


class RunsRecord(TypedDict):
    """The training runs of a tuned arm, where several were measured: its scores are their means."""

    names: list[str]
    """The single runs among the record's arms, such as ``ft@1``."""
    seeds: list[int]
    scores: list[float]
    """Mean score of each in the study's metric, failed answers as wrong."""
    deviation: EstimateRecord
    """Standard deviation between runs, with its interval."""
    served: int
    """Number of the run whose adapter answers, from 1, chosen on dev (`finalize.best_of`)."""


class ArmRecord(TypedDict):
    """One measured arm."""

    key: str
    """System key: same key, same answers."""
    description: Json
    """Model, runtime, dtype, adapter, retriever, k, shots, template."""
    metrics: dict[str, EstimateRecord]
    latency: LatencyRecord | None
    timing: NotRequired[dict[str, QuantileRecord]]
    """``retrieval`` and ``generation`` → median seconds an answer of the batched run (shares of its batch)."""
    right: NotRequired[list[int]]
    """Answers with at least `StudyRecord.right_from`, and answers scored; left out where that is None."""
    judged_by: NotRequired[dict[str, str]]
    """Metric that judges answers by passages → which passages, in words."""
    cut: NotRequired[list[int]]
    """Answers that ended at the token limit, and answers made."""
    uncited: NotRequired[list[int]]
    """Answers that cite no passage, and answers made, failures and abstentions apart."""
    prompt_tokens: float
    """Mean per question."""
    completion_tokens: float
    tokens_per_second: float
    """Prompt and completion tokens of the batched run per second of generation."""
    seconds: float
    """Answering all test questions, batched (as measured when they were made, also when cached)."""
    peak_mib: float
    endpoints: NotRequired[list[EndpointState]]
    """What each of several endpoints did for its answers, or what a single one refused; else left out."""
    failures: list[FailureRecord]
    training: TrainingRecord | None
    acceptable: bool
    objections: list[str]
    """Constraints that it is shown not to meet."""
    in_question: NotRequired[list[str]]
    """Constraints that it is shown neither to meet nor not to meet."""
    diagnostic: bool
    """Shown for explanation, never chosen."""
    runs: NotRequired[RunsRecord]
    """Of a tuned arm with several training runs. `key`, tokens, latency and training are those of the one that is
    served, `metrics` the means of all."""


class BillItem(TypedDict):
    """One step of the plan, or of the work done."""

    step: str
    items: int
    cached: int
    seconds: float
    """Estimated (plan) or spent (record)."""
    detail: str
    amount: NotRequired[float]
    """Price of the tokens that an endpoint counted for the step, in the currency of the configured prices; in a record,
    where prices are configured."""


class CostRow(TypedDict):
    """A step of a study that has a configured price."""

    step: str
    amount: float
    """In the currency of the configured prices."""
    detail: str


class CauseRow(TypedDict):
    """A cause of wrong answers of one arm, as studies once guessed it from the words of an answer."""

    arm: str
    cause: str
    """Code, such as ``not-found``."""
    label: str
    count: int
    """Number of the arm's answers with this cause."""
    share: float
    """Share of the arm's answers, right ones included."""
    low: float
    high: float
    examples: list[str]
    """Ids of at most five examples."""
    cure: str


class ContrastRow(TypedDict):
    """A share of the answers of one arm, by comparison with another arm's answers to the same questions."""

    arm: str
    beside: str
    """The other arm."""
    share: str
    """``retrieval``, ``reading`` or ``tuning``."""
    label: str
    estimate: Json


class ForecastRow(TypedDict):
    """One prediction beside what was measured."""

    what: str
    """An arm, or a difference ``A - B`` of two."""
    expected: EstimateRecord
    """The prediction, its interval that of a measurement on so many questions."""
    measured: EstimateRecord
    inside: bool
    """Does the measured mean lie within the interval of the prediction?"""


class ForecastCheck(TypedDict):
    """The newest forecast of `twofold advise --probe` before the study, beside what the study measured."""

    key: str
    """Name of the forecast."""
    created: str
    """ISO time, UTC."""
    questions: int
    """Questions that it was made of."""
    level: NotRequired[float]
    """Level of the intervals of the predictions; absent in records of earlier versions."""
    rows: list[ForecastRow]
    left_out: list[str]
    """Predictions that are not compared, each with the reason."""


class LinearReference(TypedDict):
    """What a linear model on the words, trained on the same examples, scores on the same questions: no arm."""

    examples: int
    """Of train and dev, that it has learned from."""
    score: EstimateRecord
    """In the study's metric."""
    arm: str
    """The arm that is compared with it: the chosen one, else the one with the highest score."""
    difference: EstimateRecord | None
    """``arm - linear`` on the same questions, failed answers as wrong; None where one group is all there is."""


class PolicyRecord(TypedDict):
    """The split of the examples: the claim about the future under which the verdict holds."""

    split_by: str
    sentence: str
    seed: int
    train: int
    dev: int
    test: int
    reserve: int
    groups: int
    """Independent groups among the questions asked: of the test split, or of the reserve where that was opened."""
    groups_worth: NotRequired[float]
    """How many groups of equal size these are worth (`intervals.kish`)."""
    final: bool
    """True when the reserve split was opened (`--final`)."""
    raced: NotRequired[int]
    """Test questions that a race asked of any arm."""


class RaceLook(TypedDict):
    """One look of a race at its answers."""

    shard: int
    """From 1."""
    answered: list[str]
    """Arms that answered for this look."""
    questions: int
    """Questions asked so far, whichever arm was asked them."""
    leader: str
    """Arm with the highest mean among those that were asked all of them."""
    crowned: str
    """Arm that won; empty: the race goes on."""
    going: list[str]
    """Arms to be asked next."""
    wealth: dict[str, list[float]]
    """``A - B`` → the largest wealth so far of the bets that A is better, and that B is, as powers of ten."""


class RaceRecord(TypedDict):
    """A race (`study --race`): how far it went, and every look that was taken."""

    planned: int
    """Questions of the test split."""
    questions: int
    """Questions asked of any arm."""
    shards: int
    """Planned."""
    alpha: float
    """Probability of a false choice that race and final test may spend, half each."""
    stopped: str
    """``crown``, or ``end``: all shards were asked and none was crowned."""
    crowned: str
    """Arm that won; empty: none."""
    answers: dict[str, int]
    """Arm → questions that it was asked."""
    saved: Json
    """``answers`` planned that were not made, the ``seconds`` that they would have taken by the arms' own means, and,
    where there are prices, their ``amount``, in the currency of the generator's options, or in ``currency`` where the
    table of prices tells it, without the arms in ``unpriced`` (no price, or no count of tokens); ``arms``: the first
    three of each arm."""
    looks: list[RaceLook]


class ReproofRow(TypedDict):
    """One question that documents edited since the earlier study have to do with."""

    id: str
    change: str
    """``better``, ``worse``, ``other words``, ``same`` or ``not comparable`` (`side_by_side.CHANGES`)."""
    documents: list[str]
    """Documents whose passages came into the prompt, left it, or moved in it; empty where the same was shown."""


class ReproofArm(TypedDict):
    """What became of one arm's answers."""

    questions: int
    """Asked in both studies."""
    shown: int
    """Of them, questions with other passages in the prompt, or in another order."""
    generated: int
    """Answers of this study that were generated; the others were read from completions of the same prompts."""
    changes: dict[str, int]
    """Change → number of questions."""
    rows: list[ReproofRow]
    """Questions with other passages, or another answer."""
    retrained: NotRequired[bool]
    """Its training examples are rendered otherwise now, so that its adapter is another."""
    anew: NotRequired[str]
    """Why no completion was used again."""


class ReproofRecord(TypedDict):
    """What edits of the documents changed since an earlier study with the same settings."""

    study: str
    """The earlier one."""
    arms: dict[str, ReproofArm]


class StudyRecord(TypedDict):
    """`study.json`."""

    format: int
    study: str
    """Directory name, for example ``0001-agxqa``."""
    project: str
    about: str
    created: str
    """ISO time, UTC."""
    twofold: str
    """Version of Twofold."""
    policy: PolicyRecord
    metric: str
    metric_keys: NotRequired[dict[str, str]]
    """Metric → digest of its name, version and options: scores with another key are not comparable."""
    right_from: NotRequired[float | None]
    """Score in `metric` from which an answer counts as right; None: the metric has none. Older records: 0.5."""
    level: float
    """Of every interval but those of seconds, which have the level of [study], whatever the look."""
    decided_at: NotRequired[float]
    """Level of the intervals of differences, which decide: the more looks at the same questions, the higher. Records
    of before have it beside another `level`, that of the scores."""
    look: NotRequired[Json]
    """The fields by which two looks are the same: ``identity`` (arms, settings, questions), ``answers``, ``failed``."""
    margin: float
    verdict: VerdictRecord
    effects: list[EffectRecord]
    """``retrieval``, ``tuning``, ``interaction`` of each model of which all four cells were measured; those of a
    further model after its name, as ``big/tuning``."""
    comparisons: list[EffectRecord]
    """``A - B`` for every pair of arms, simpler arm as B."""
    order: NotRequired[list[str]]
    """The arms that decide, from simple to complex (`evidence.from_simple`); older records: by their parts alone."""
    arms: dict[str, ArmRecord]
    retrieval: Json
    """``{"k", "recall": EstimateRecord (a gold document among the k hits) or None, "index": IndexState}``, where the
    weight of the words is ``auto`` ``"words"`` (`blend.settle`, without the sketch), and where
    [retrieval].risk is set ``"abstention"`` (`abstention.abstention`); empty without retrieval."""
    diagnosis: NotRequired[list[CauseRow]]
    """In records of before: causes guessed from words. Now `twofold diagnose` writes ``diagnosis.json`` beside."""
    contrasts: NotRequired[list[ContrastRow]]
    """Shares of retrieval and of reading in wrong answers, where an oracle arm was measured (`contrasts.contrasts`)."""
    self_test: list[Json]
    """``{"metric", "gold", "shuffled", "n"}`` of the scorer self-test."""
    leaks: Json
    """``{"exact", "near", "span", "dropped"}`` counts."""
    warnings: list[str]
    bill: list[BillItem]
    seconds: float
    peak_mib: float
    environment: Json
    """Python, platform, cores, memory, package versions."""
    config: Json
    """The whole configuration in force."""
    forecast: NotRequired[ForecastCheck]
    """Where the project had a forecast in the study's metric before the study began to be recorded."""
    linear: NotRequired[LinearReference]
    """Where the answers are a closed set of labels that a linear model can learn."""
    confirmation: NotRequired[Json]
    """Where the reserve was opened: ``{"study", "arm", "rival", "hypothesis", "confirmed", "outcome"}``."""
    metered: NotRequired[Metered]
    """Tokens, seconds and wrong answers of the arms, for costs; records of before have none."""
    prices: NotRequired[list[PriceRow]]
    """The table of prices in force; empty where the project had none."""
    race: NotRequired[RaceRecord]
    """Where the study was a race."""
    reproof: NotRequired[ReproofRecord]
    """Where documents were edited since an earlier study with the same settings."""
    ablation: NotRequired[Json]
    """Gain and cost of each retrieval stage (`ablation.ablate`), where [study].ablation is on."""
    overrides: NotRequired[Json]
    """Values that the command laid over `twofold.toml`, such as ``--arms``, nested; secrets are hidden."""
    documents: NotRequired[dict[str, str]]
    """Of the documents that hold an answer or were shown: digest of the id → its content's (`study.standing`)."""


class HitRow(TypedDict):
    """A passage in the prompt."""

    number: int
    document: str
    title: str
    start: int
    end: int
    text: str
    gold: bool
    """Does it come from a document that holds the answer?"""
    place: NotRequired[str]
    """Place in the document, as a citation says it; empty where unknown."""


class CitationRow(TypedDict):
    """A citation; `quote` is a character range of the document, or None."""

    number: int
    document: str
    start: int
    end: int
    quote: tuple[int, int] | None
    place: NotRequired[str]
    """Page, row, sheet, slide or section of the quoted words; of the passage's beginning where none are."""


class ArmAnswer(TypedDict):
    """One arm's answer to one example."""

    text: str
    raw: str
    abstained: bool
    scores: dict[str, float | None]
    citations: list[CitationRow]
    unsupported_citations: NotRequired[int]
    """Citations taken out because their passage does not hold the answer."""
    invalid_citations: NotRequired[int]
    """Markers that named no passage of the prompt."""
    repointed_citations: NotRequired[int]
    """Citations that name another passage than the model did, which holds the answer."""
    hits: list[HitRow]
    failure: Json | None
    """``{"code", "message"}``."""
    cut: NotRequired[bool]
    """The completion ended at the token limit."""
    reasons: NotRequired[dict[str, str]]
    """Metric that explains itself → why it gives the answer 0."""
    cause: NotRequired[str]
    """In records of before: a cause guessed from the words of a wrong answer, empty when right."""


class AnswerRow(TypedDict):
    """One line of `answers.jsonl.gz`."""

    id: str
    group: str
    question: str
    messages: list[Json]
    references: list[str]
    sources: list[str]
    answerable: bool
    judged: NotRequired[Json]
    """What scoring read beside these fields, where there is any: ``choices``, ``spans``, ``grades``, and ``sources``
    where copies of a right document are as right."""
    arms: dict[str, ArmAnswer]


def estimate_text(value: EstimateRecord | Any, digits: int = 3) -> str:
    """``.412 [.351, .470]``: the only way an estimate is printed."""
    mean, low, high = (number_text(value[key], digits) for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def number_text(value: float, digits: int = 3) -> str:
    """``.412``, ``-.05`` or ``1.500``: the only way a score or a difference is printed; never a negative zero."""
    value = round(value, 10)  # so that the order in which scores were added up does not turn a half
    text = f"{round(value, digits) + 0.0:.{digits}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def plain_number(value: float) -> str:
    """A setting (a margin, a limit) with as many digits as it has: ``.02``, ``1.5``."""
    text = f"{value:.4g}"
    return text.replace("0.", ".", 1) if 0 < abs(value) < 1 else text


def counted(count: float, thing: str, plural: str = "") -> str:
    """``1 example``, ``2 examples``: a count and its noun."""
    shown = f"{count:,.0f}" if float(count).is_integer() else f"{count:g}"
    return f"{shown} {thing if count == 1 else plural or thing + 's'}"


def true_minus(text: str) -> str:
    """Text for people: a true minus (U+2212) before numbers and between the arms of a difference."""
    # Hyphens within names (`gpt-4`) and ranges stay what they are.
    return re.sub(r"(?<![\w\]-])-(?=\.?\d)|(?<=\S )-(?= \S)", "\u2212", text)


def asked_text(policy: PolicyRecord) -> str:
    """``129 test questions in 56 independent groups``; of a study on the sealed reserve, the reserve questions.

    Of a race ``34 of 129 test questions, asked in a race``.
    """
    if "raced" in policy:
        return f"{policy['raced']:,} of {counted(policy['test'], 'test question')}, asked in a race"
    what, number = ("reserve", policy["reserve"]) if policy["final"] else ("test", policy["test"])
    return f"{counted(number, f'{what} question')} in {counted(policy['groups'], 'independent group')}"


def turns_text(arms: Mapping[str, Any]) -> str:
    """In what order the arms were timed: in turns over all of them, or only over those of one model."""
    timed = [arm["latency"] for arm in arms.values() if arm["latency"]]
    if all(one.get("in_turns", True) for one in timed):
        return "in turns over the arms"
    return "in turns over the arms of one model, models one after the other (no room for all in memory)"


def timed_failures(arms: Mapping[str, Any]) -> int:
    """Answers that failed while the arms were timed; they count at the time limit."""
    return sum(arm["latency"].get("failed", 0) for arm in arms.values() if arm["latency"])


def paid_text(bill: Sequence[BillItem]) -> str:
    """What the answers cost; empty where no price is configured or nothing was requested."""
    amount = sum(item.get("amount", 0.0) for item in bill)
    return f"answers cost {price_text(amount)} in the currency of the configured prices" if amount else ""


def price_text(amount: float) -> str:
    """``0.0034``, ``0.12``, ``1,234.50``: an amount of money in the user's currency."""
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.2g}"


def share_text(count: int, total: int) -> str:
    """``3 of 40 (8 %)``: a share with the count that it stands on."""
    return f"{count} of {total} ({100 * count / total:.0f} %)" if total else f"{count} of {total}"
