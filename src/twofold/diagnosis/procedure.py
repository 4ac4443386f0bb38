"""The order of interventions, and the one cause that they leave. Pure.

`examined` is the procedure for one wrong answer: it yields the change to try next, gets what came of it, and ends with
a `Cause`. The first change that makes the answer right decides, in this order:

1. Nothing to run: the answer failed; the metric refuses the reference itself; the answer is right by another example
   that asks the same; the question has no answer in the documents.
2. *Asked again* unchanged, where arithmetic depends on the batch: chance.
3. *Limit raised*, where the answer was cut.
4. The *form* constrained, where the answer holds the whole reference with more around it, or is no JSON.
5. With retrieval, along the passage's way into the context: *stated* where the arm may see no source; *uncut* where the
   chunker has cut the answer apart; pipeline stages *undone* and the *gold passage inserted* where it was not shown;
   where it was shown, *no abstention*, another *order*, passages *removed* one at a time, *gold alone*.
6. *No abstention* where it declined, the *form* again for all others, the *adapter off*; without retrieval the gold
   passage.
7. *Stated*, where one of several sources is not indexed. The reference against its own sources: where these do not
   hold it and the arm reads another answer out of them.
8. All passages removed: the same wrong answer means that the weights contradict them.
9. Passages that were inserted in vain before the others, behind them: readers fail now and then, and two causes need
   more than one such failure. 10. Pairs of the changes above. 11. Nothing mends it.

The order goes from the outside in, so that a change that is cheap and certain decides before one that many answers
would profit from: a stated answer mends nearly anything, so it is tried only where the documents are known to lack it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import combinations

from twofold.diagnosis.case import Case
from twofold.diagnosis.causes import REMAINDER, UNDECIDED
from twofold.diagnosis.changes import Change, Trial, moved_last, together
from twofold.diagnosis.content import content
from twofold.text import grounding
from twofold.types import Usage

SUPPORTED = 0.6
"""Share of an answer's words that passages must hold to support it; the default of [prompt].support."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosed:
    """Why one answer is wrong."""

    cause: str
    """A code of `causes.CAUSES`."""
    by: str
    """The intervention that decided, or the observation where nothing had to be run."""
    parts: tuple[str, ...] = ()
    """With the cause ``joint``: its two causes."""
    detail: str = ""
    """More for people: the leg that had the passage, the stage that lost it."""


Step = Generator[Change, Trial, Diagnosed]
"""A procedure that ends with a cause."""
Part = Generator[Change, Trial, Diagnosed | None]
"""A part of it that may leave the cause open."""


def examined(case: Case) -> Step:
    """The whole procedure for one wrong answer; see the module."""
    known = _known(case)
    if known is not None:
        return known
    if not case.example.answerable:
        return (yield from _lured(case))
    if case.arm.rounding and not case.gated:
        trial = yield case.unchanged
        if trial.right:
            return _decided("unstable", trial)
    if case.answer.cut:
        trial = yield case.longer
        if trial.right:
            return _decided("cut", trial)
    trials: list[Trial] = []
    unformed = case.form.contained or case.form.other_kind
    if unformed:
        formed = yield from _formed(case, trials)
        if formed is not None:
            return formed
        # The words are there, and no way to ask for the form at hand brings them out alone.
        if case.form.contained:
            return Diagnosed(cause="form", by="answer trimmed to the reference's words")
    if case.arm.retrieval:
        decided = yield from _on_its_way(case, trials)
        if decided is not None:
            return _with_its_gate(case, decided)
    decided = yield from _in_the_model(case, trials, formed=unformed)
    if decided is not None:
        return _with_its_gate(case, decided)
    decided = yield from _paired(case, trials)
    return decided or Diagnosed(cause=REMAINDER, by=f"none of {len(trials)} changes")


def settled(diagnosed: Diagnosed, trials: Sequence[Trial]) -> Diagnosed:
    """The cause, unless it stands on the failure of re-runs: a change that was never answered did not mend nothing.

    Any other cause was decided by a change that made the answer right, whatever failed before it.
    """
    failed = [trial for trial in trials if trial.failure]
    if not failed or diagnosed.cause not in (REMAINDER, "joint"):
        return diagnosed
    detail = f"{len(failed)} of {len(trials)} re-runs failed, the first with {failed[0].failure}"
    return Diagnosed(cause=UNDECIDED, by=failed[0].change.name, detail=detail)


def _with_its_gate(case: Case, decided: Diagnosed) -> Diagnosed:
    """A cause that was seen behind the gate for thin evidence is joint with it: every re-run passes that gate."""
    if not (case.gated and case.passages.shown) or decided.cause not in ("ignored", "form", "contradicted"):
        return decided
    parts = ("false-abstention", decided.cause)
    return Diagnosed(cause="joint", by=decided.by, parts=parts, detail=" and ".join(parts))


def _known(case: Case) -> Diagnosed | None:
    """The cause where nothing has to be run."""
    if case.answer.failure is not None:
        return Diagnosed(cause="failure", by=case.answer.failure.code)
    if not case.accepted:
        return Diagnosed(cause="reference", by="reference scored", detail="the metric refuses the reference itself")
    if case.contradicted_by:
        detail = f"example {case.contradicted_by} asks the same and wants this answer"
        return Diagnosed(cause="reference", by="scored by the other reference", detail=detail)
    return None


def _lured(case: Case) -> Step:
    """A question without an answer in the documents: which passage, if any, or the adapter led to the answer."""
    changes = case.without_each if case.arm.retrieval else []
    changes += [case.untuned] if case.arm.tuned else []
    for change in changes:
        trial = yield change
        if trial.right:
            return _decided("should-have-abstained", trial)
    return Diagnosed(cause="should-have-abstained", by="the example has no answer")


def _formed(case: Case, trials: list[Trial]) -> Part:
    for change in case.forms:
        trial = yield change
        trials.append(trial)
        if trial.right:
            return _decided("form", trial)
    return None


def _on_its_way(case: Case, trials: list[Trial]) -> Part:
    """Where the passage that holds the answer was lost on its way from the documents into the context."""
    facts = case.passages
    if not facts.sourced:
        return None
    if not facts.gold:
        trial = yield case.stated
        trials.append(trial)
        cause = _absent(case)[0]
        return _decided(cause, trial, detail=_whereabouts(case, cause)) if trial.right else None
    if not facts.whole and case.uncut is not None:
        trial = yield case.uncut
        trials.append(trial)
        if trial.right:
            return _decided("split", trial)
    if facts.shown:
        return (yield from _read(case, trials))
    for stage, change in case.undone:
        trial = yield change
        trials.append(trial)
        if trial.right:
            cause = "not-retrieved" if stage.startswith("rewrit") else "cut-out"
            return _decided(cause, trial, detail=f"lost by {stage}")
    trial = yield case.gold
    trials.append(trial)
    if trial.right:
        cause = "cut-out" if facts.lost else "not-retrieved"
        return _decided(cause, trial, detail=_whereabouts(case, cause))
    return None


def _whereabouts(case: Case, cause: str) -> str:
    """Where the passage was that the arm did not show, by the cause of that, however it was inserted."""
    if cause in ("hidden", "not-in-documents"):
        return _absent(case)[1]
    if cause == "cut-out":
        return f"lost by {case.passages.lost}; {legs(case)}"
    return legs(case) if cause == "not-retrieved" else ""


def _absent(case: Case) -> tuple[str, str]:
    """Cause and detail where the arm could see no passage of the example's sources."""
    hidden = case.passages.hidden
    return ("hidden", hidden) if hidden else ("not-in-documents", "no source of the example is indexed")


def legs(case: Case) -> str:
    """Which leg of the search would have had the passage: ``dense rank 7, lexical not among the first``."""
    places = []
    for leg, rank in case.passages.ranks.items():
        places.append(f"{leg} rank {rank}" if rank else f"{leg} not among the first")
    return ", ".join(places)


def _read(case: Case, trials: list[Trial]) -> Part:
    """The passage was in the context: what kept the model from reading it."""
    if case.answer.abstained:
        for change in [case.ungated, case.obliged] if case.gated and case.context else [case.obliged]:
            trial = yield change
            trials.append(trial)
            if trial.right:
                return _decided("false-abstention", trial)
    changes = [case.first] if case.first else []
    changes += case.without_each
    # With nothing but gold in the context the last change would be none.
    if case.gold_alone.passages != case.context:
        changes.append(case.gold_alone)
    for change in changes:
        trial = yield change
        trials.append(trial)
        if trial.right:
            return _decided("ignored", trial)
    return None


def _in_the_model(case: Case, trials: list[Trial], *, formed: bool) -> Part:
    """What is left when the passage's way is clear: abstention, form, weights, and the reference itself."""
    tried = {trial.change.name for trial in trials}
    if case.answer.abstained and case.obliged.name not in tried:
        trial = yield case.obliged
        trials.append(trial)
        if trial.right:
            return _decided("false-abstention", trial)
    if not formed:
        decided = yield from _formed(case, trials)
        if decided is not None:
            return decided
    if case.arm.tuned:
        trial = yield case.untuned
        trials.append(trial)
        if trial.right:
            return _decided("contradicted", trial)
    if not case.passages.gold:
        return None
    alone = _alone(case, trials)
    if alone is None:
        alone = yield case.gold_alone
        trials.append(alone)
        if not case.arm.retrieval:
            # Shown twice: a reader that fails now and then would else not know what it knows when it is shown.
            for change in [] if alone.right or case.place is None else [case.place]:
                trial = yield change
                trials.append(trial)
                if trial.right:
                    return _decided("not-known", trial)
            if alone.right:
                return _decided("not-known", alone)
    if case.arm.retrieval and case.passages.missing and not alone.right:
        stated = yield case.stated
        trials.append(stated)
        if stated.right:
            detail = f"of its sources {', '.join(case.passages.missing)} is not indexed"
            return _decided("not-in-documents", stated, detail=detail)
    decided = yield from _against_its_sources(case, trials, alone)
    if decided is not None or not case.arm.retrieval or alone.right:
        return decided
    closed = yield case.closed
    trials.append(closed)
    # The first words of cut answers are alike whatever they would have said ("The answer to this question is").
    whole = not (closed.cut or alone.cut or case.answer.cut) and bool(closed.text) and not closed.abstained
    unmoved = _same(closed.text, alone.text) or _readings(case, trials, closed.text) >= 2
    if whole and _same(closed.text, case.answer.text) and unmoved:
        detail = "the same answer with the right passage and without any"
        return _decided("contradicted", closed, detail=detail)
    return None


def _readings(case: Case, trials: Sequence[Trial], text: str) -> int:
    """How often this text was given with a passage that holds the answer, under the arm's own weights."""
    holding = {chunk.id for chunk in case.passages.holding}
    count = int(case.passages.shown and _same(case.answer.text, text))
    for trial in trials:
        shown = any(chunk.id in holding for chunk in trial.change.passages)
        count += shown and not trial.change.untuned and _same(trial.text, text)
    return count


def _alone(case: Case, trials: Sequence[Trial]) -> Trial | None:
    """What came of the gold passages alone, where that is known already.

    A trial of those passages under other settings (a form, no abstention) is another change. Where the arm's context
    was nothing but gold, the measured answer is what came of it, unless the arm declined before the model was asked.
    """
    change, answer = case.gold_alone, case.answer
    for trial in trials:
        if trial.change.passages == change.passages and trial.change.settings == change.settings:
            return trial
    if case.context != change.passages or case.gated:
        return None
    return Trial(
        change=change,
        right=False,
        score=case.score,
        text=answer.text,
        abstained=answer.abstained,
        cut=answer.cut,
        usage=answer.usage,
    )


def _against_its_sources(case: Case, trials: Sequence[Trial], alone: Trial) -> Part:
    """The reference does not stand in its own sources: do these say something else, or nothing?"""
    if case.passages.supported is not False or alone.right or alone.cut:
        return None
    text = _read_twice(case, trials, alone)
    says = content(text)
    texts = [chunk.text for chunk in case.passages.gold]
    if grounding.checkable(says) and grounding.share(says, texts) >= SUPPORTED:
        detail = f"its sources do not hold it, and support {text[:80]!r} instead"
        return _decided("reference", alone, detail=detail)
    # Stated in vain where a source is missing: it would be the same re-run.
    if alone.abstained and not (case.arm.retrieval and case.passages.missing):
        stated = yield case.stated
        if stated.right:
            return _decided("not-in-documents", stated, detail="its sources are indexed, and do not say it")
    return None


def _read_twice(case: Case, trials: Sequence[Trial], alone: Trial) -> str:
    """What was read in most contexts, and in two at least: once could be any sentence of the document; else empty.

    Only contexts with a passage of the sources count, each once, whatever else was changed beside it.
    """
    sources = {chunk.span.document for chunk in case.passages.gold}
    readings: dict[tuple[str, ...], str] = {}  # ids of the passages → what was read
    attempts = [] if case.answer.abstained or case.answer.cut else [(case.context, case.answer.text)]
    for trial in (alone, *trials):
        if trial.text and not (trial.abstained or trial.cut or trial.failure or trial.change.untuned):
            attempts.append((trial.change.passages, trial.text))
    for passages, text in attempts:
        if any(chunk.span.document in sources for chunk in passages):
            readings.setdefault(tuple(chunk.id for chunk in passages), text)
    texts = list(readings.values())
    for text in texts:
        same = sum(1 for other in texts if _same(other, text))
        # The sources alone, and once more; or else most contexts, where the sources alone were not read.
        if same >= 2 and (_same(text, alone.text) or 2 * same > len(texts)):
            return text
    return ""


def _paired(case: Case, trials: list[Trial]) -> Part:
    """Two changes together; each pair once, the change of passages first, because it brings the passages."""
    singles: list[tuple[str, Change]] = []
    again: Change | None = None
    cause = ""  # of what was inserted
    if case.arm.retrieval and case.passages.sourced and not case.passages.gold:
        cause = _absent(case)[0]
        singles.append((cause, case.stated))
        again = moved_last(case.stated, 1)
    elif case.arm.retrieval and not case.passages.whole and case.uncut is not None:
        cause = "split"
        singles.append((cause, case.uncut))
        # Beside its own pieces it could be read from these.
        again = case.place
    elif case.passages.gold and not case.arm.retrieval:
        singles.append(("not-known", case.gold_alone))
    elif case.passages.gold:
        cause = "ignored" if case.passages.shown else "cut-out" if case.passages.lost else "not-retrieved"
        alone = _alone(case, trials)
        # Inserting and removing the others are two changes already, and were made together before.
        if not case.passages.shown and alone is not None and alone.right:
            return (yield from _beside_others(case, cause, alone))
        if not case.passages.shown:
            again = moved_last(case.gold, len(case.passages.holding[: case.arm.k]))
        # Behind the gate the passage was there to be read: opening it is the change, and showing it alone is none.
        if case.gated and case.passages.shown:
            singles.append(("false-abstention", case.ungated))
        # A context of nothing but gold stays as it is: together with another change it would be that change alone.
        elif case.context != case.gold_alone.passages or case.gated:
            singles.append((cause, case.gold_alone))
    if again is not None:
        trial = yield again
        trials.append(trial)
        if trial.right:
            return _decided(cause, trial, detail=_whereabouts(case, cause))
    # An answer can be cut, and decline, once something else is mended.
    if case.answer.cut or any(trial.cut for trial in trials):
        singles.append(("cut", case.longer))
    if case.answer.abstained or any(trial.abstained for trial in trials):
        singles.append(("false-abstention", case.obliged))
    singles += [("form", change) for change in case.forms[:1]]
    if case.arm.tuned:
        singles.append(("contradicted", case.untuned))
    for (cause, change), (other_cause, other_change) in combinations(singles, 2):
        if cause == other_cause:
            continue
        trial = yield together(change, other_change)
        if trial.right:
            return _joint((cause, other_cause), trial)
    return None


def _beside_others(case: Case, cause: str, alone: Trial) -> Step:
    """The passage alone makes it right, and did not beside others: are these at fault, or was it chance?

    Two causes are named only where the others mislead in another order as well.
    """
    change = moved_last(case.gold, len(case.passages.holding[: case.arm.k]))
    if change is not None:
        trial = yield change
        if trial.right:
            return _decided(cause, trial, detail=_whereabouts(case, cause))
    return _joint((cause, "ignored"), alone)


def _joint(parts: tuple[str, str], trial: Trial) -> Diagnosed:
    return Diagnosed(cause="joint", by=trial.change.name, parts=parts, detail=" and ".join(parts))


def _decided(cause: str, trial: Trial, *, detail: str = "") -> Diagnosed:
    return Diagnosed(cause=cause, by=trial.change.name, detail=detail)


def _same(text: str, other: str) -> bool:
    return text.casefold().split() == other.casefold().split()


def at_most(case: Case) -> int:
    """The number of re-runs that the procedure takes at most: when none of them is right."""
    counts = []
    for abstained in (False, True):
        steps, count = examined(case), 0
        try:
            change = next(steps)
            while True:
                count += 1
                change = steps.send(
                    Trial(change=change, right=False, score=0.0, abstained=abstained, cut=True, usage=Usage())
                )
        except StopIteration:
            counts.append(count)
    # Its sources said to lack it is tried only where an answer was not cut, and here all are: one more.
    stated = case.arm.retrieval and bool(case.passages.missing)
    return max(counts) + (case.passages.supported is False and bool(case.passages.gold) and not stated)
