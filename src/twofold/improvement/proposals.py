"""What may mend the wrong answers of an arm: causes found on train and dev → steps, the most promising first. Pure.

A step is a change of the configuration, so that a study under it proves it and undoing it is leaving it out. Only
causes of train-side answers are read: a step that was made for test questions would prove nothing on them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from twofold.config import Config
from twofold.errors import StudyError
from twofold.examples.splitting import Splits
from twofold.improvement.record import Step
from twofold.text.arm_names import of_model
from twofold.types import Arm, Json
from twofold.verdict.record import counted

RETRIEVAL = ("not-retrieved", "cut-out")
"""Causes that other or more passages may mend."""
CUTTING = ("split", *RETRIEVAL)
"""Causes that passages of another size may mend."""
READING = ("ignored", "contradicted", "form", "false-abstention", "should-have-abstained", "joint", "unmended")
"""Causes that tuning on passages may mend."""
KNOWLEDGE = ("not-known",)
"""The cause of an arm without passages that passages mend, and more training data may."""
LIMIT = ("cut",)
"""The cause that a higher limit mends."""
OVERABSTAINING = ("false-abstention",)
"""The arm declines what it could answer."""
UNDERABSTAINING = ("should-have-abstained",)
"""The arm answers what the documents do not tell."""
FOR_PEOPLE = {
    "not-in-documents": (
        "add documents",
        "no document holds the answer: add one to [documents].paths, and sync",
    ),
    "hidden": (
        "widen what the arm may see",
        "the document that holds the answer is closed to whom the arm answers for, or [retrieval].where leaves it out: "
        "widen its readers or the condition, unless it must stay so",
    ),
    "reference": (
        "correct references",
        "another right answer, or a reference that is wrong: correct the example, or choose a metric that accepts it",
    ),
    "undecided": (
        "remove what failed in the diagnosis",
        "re-runs failed, so that the cause is unknown: remove the cause of the failures, and run this again",
    ),
    "failure": ("remove what failed", "the arm gave no answer: read the failures of the study's report"),
}
"""Cause → name and explanation of a step that only a person can take."""
_MOST_PASSAGES = 12
"""Passages beyond which small models read worse than before, whatever is found (docs/notebook.md, retrieval)."""
_MOST_TOKENS = 1024
"""Limit of an answer that is not raised further: what is cut there is not in the wanted form."""
_LARGEST_CHUNK = 400
"""Tokens of a chunk that are not exceeded: the embedded embedder reads no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The cause of one wrong answer to a train-side question."""

    question: str
    """Id of the example."""
    cause: str
    """Code of the cause."""


def require_train_side(causes: Sequence[Cause], splits: Splits) -> None:
    """Refuse causes of questions that prove steps.

    Raises:
        StudyError: one is of a test or reserve question, or of none of the splits.
    """
    allowed = {example.id for example in (*splits.train, *splits.dev)}
    for cause in causes:
        if cause.question not in allowed:
            raise StudyError(
                f"the question {cause.question!r} is not one of train or dev: a step made for it would prove nothing "
                "on the test questions",
                cure="Diagnose answers to train and dev questions only.",
            )


def proposals(
    causes: Sequence[Cause], config: Config, arm: Arm, *, diagnosed: int, tried: Collection[str]
) -> list[Step]:
    """Steps that may mend these causes, without those that were tried; each with the share it could mend at most.

    Args:
        causes: Of the wrong answers to train-side questions.
        config: The configuration in force.
        arm: The arm that gave the answers.
        diagnosed: Number of train-side questions that were diagnosed.
        tried: Names of steps that are not proposed again.

    Returns:
        The largest share first; steps that only a person can take come last.
    """
    by_cause: dict[str, list[str]] = {}
    for cause in causes:
        by_cause.setdefault(cause.cause, []).append(cause.question)
    drafts = [*_retrieval(config, arm), *_limit(config, arm), *_abstention(config, arm), *_tuning(config, arm)]
    steps = []
    for draft, addressed in drafts:
        questions = [question for code in addressed for question in by_cause.get(code, ())]
        if not questions or draft.name in tried:
            continue
        counts = Counter({code: len(by_cause[code]) for code in addressed if code in by_cause})
        named = ", ".join(f"{number} {code}" for code, number in counts.most_common())
        why = f"{counted(len(questions), 'wrong answer')} of {diagnosed} by causes that it may mend: {named}"
        steps.append(replace(draft, why=why, share=len(questions) / diagnosed, questions=tuple(questions)))
    # Stable: among equals the cheaper kind, which stands first above.
    steps.sort(key=lambda step: -step.share)
    for code, (name, explanation) in FOR_PEOPLE.items():
        if questions := by_cause.get(code, []):
            why = f"{counted(len(questions), 'wrong answer')} of {diagnosed}: {explanation}"
            steps.append(_person(name, why, arm, share=len(questions) / diagnosed, questions=questions))
    return steps


def more_examples(arm: Arm, why: str) -> list[Step]:
    """The step of a person that more training data is, with what it is predicted to gain; none for an arm without it.

    Args:
        arm: The arm that gives the answers.
        why: The predicted gain with its interval, or why it is not known; empty for an arm that learns from no example.
    """
    return [_person("add training examples", why, arm, share=0.0, questions=())] if why else []


def ranked(steps: Sequence[Step]) -> list[Step]:
    """Steps by what they could mend for a minute of work; those of a person last.

    A minute is added to each price: below it the order would hang on the noise of the forecast.
    """

    def place(step: Step) -> tuple[bool, float]:
        # The steps of a person have no minutes: they stay as they are.
        gain = 0.0 if step.for_a_person else step.share / (1.0 + (step.minutes or 0.0))
        return step.for_a_person, -gain

    return sorted(steps, key=place)


_Draft = tuple[Step, tuple[str, ...]]
"""A step without its counts, and the causes that it addresses."""


def of_gaps(arm: Arm) -> tuple[str, ...]:
    """Causes of the answers for which training questions are made.

    An arm without passages has learned too little of what it does not know; one with passages is to be shown them.
    """
    return READING if arm.retrieval else (*READING, *KNOWLEDGE)


def _draft(name: str, values: Json, arm: str, causes: tuple[str, ...], *, gaps: bool = False) -> _Draft:
    return Step(name=name, why="", values=values, arm=arm, share=0.0, questions=(), gaps=gaps), causes


def _person(name: str, why: str, arm: Arm, *, share: float, questions: Sequence[str]) -> Step:
    return Step(name=name, why=why, values={}, arm=arm.name, share=share, questions=tuple(questions))


def _retrieval(config: Config, arm: Arm) -> list[_Draft]:
    """More passages, other stages, other chunks."""
    if not arm.retrieval:
        # Without passages, knowledge is what lacks: the arm that has them is the step.
        name = of_model("rag", arm.model)
        return [_draft("answer with passages", _with_arm(config, name), name, KNOWLEDGE)]
    section = config.retrieval
    drafts = []
    more = min(2 * section.k, _MOST_PASSAGES)
    if more > section.k:
        drafts.append(_draft(f"show {more} passages", {"retrieval": {"k": more}}, arm.name, RETRIEVAL))
    if section.retriever.name not in ("hybrid", "agentic"):
        hybrid = {"retrieval": {"retriever": {"name": "hybrid"}}}
        drafts.append(_draft("search by words and by meaning", hybrid, arm.name, RETRIEVAL))
    limit = int(config.documents.chunker.options.get("max_tokens", 200))
    # Larger passages hold more of an answer's surroundings; smaller ones are found more exactly.
    for size in (2 * limit, limit // 2):
        if 40 <= size <= _LARGEST_CHUNK:
            chunker = {"name": config.documents.chunker.name, "options": {"max_tokens": size}}
            values = {"documents": {"chunker": chunker}}
            drafts.append(_draft(f"cut passages of {size} tokens", values, arm.name, CUTTING))
    fewer = section.k // 2
    if fewer:
        # Read, but not used: distractors beside it are one reason.
        drafts.append(_draft(f"show {fewer} passages", {"retrieval": {"k": fewer}}, arm.name, ("ignored",)))
    return drafts


def _limit(config: Config, arm: Arm) -> list[_Draft]:
    tokens = 2 * config.generation.max_tokens
    # A further model with a limit of its own does not follow that of [generation].
    stated = bool(arm.model) and "max_tokens" in config.models[arm.model].model_fields_set
    if stated or tokens > _MOST_TOKENS:
        return []
    return [_draft(f"allow {tokens} tokens", {"generation": {"max_tokens": tokens}}, arm.name, LIMIT)]


def _abstention(config: Config, arm: Arm) -> list[_Draft]:
    drafts = []
    if arm.tuning and arm.retrieval:
        share = config.tuning.unanswerable
        more, less = min(2 * share + 0.05, 0.5), share / 2
        drafts.append(
            _draft(
                f"train on {more:.0%} unanswerable rows", {"tuning": {"unanswerable": more}}, arm.name, UNDERABSTAINING
            )
        )
        drafts.append(
            _draft(
                f"train on {less:.0%} unanswerable rows", {"tuning": {"unanswerable": less}}, arm.name, OVERABSTAINING
            )
        )
    elif arm.retrieval and not config.retrieval.risk:
        drafts.append(
            _draft("abstain on weak evidence", {"retrieval": {"risk": 0.1}}, arm.name, UNDERABSTAINING),
        )
    elif arm.retrieval:
        drafts.append(_draft("answer on weak evidence", {"retrieval": {"risk": 0.0}}, arm.name, OVERABSTAINING))
    return drafts


def _tuning(config: Config, arm: Arm) -> list[_Draft]:
    """Tune on passages, on the examples that are there or on questions made for the gaps as well."""
    gaps = "tune on questions made for the gaps"
    # Questions are made on documents.
    readable = bool(config.documents.paths or config.sources)
    if arm.tuning:
        return [_draft(gaps, {}, arm.name, of_gaps(arm), gaps=True)] if readable else []
    name = of_model("ft+rag" if arm.retrieval else "ft", arm.model)
    values = _with_arm(config, name)
    drafts = [_draft(f"tune ({name})", values, name, READING)]
    if readable:
        # Where few examples are there, these alone may be too little to learn from: the weights stay as they are.
        drafts.append(_draft(f"{gaps} ({name})", values, name, of_gaps(arm), gaps=True))
    return drafts


def _with_arm(config: Config, name: str) -> Json:
    return {"study": {"arms": [*dict.fromkeys((*config.study.arms, name))]}}
