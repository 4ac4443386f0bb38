"""The order of interventions: which change decides, what is never run, and how many re-runs it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.diagnosis.case import ArmFacts, Case, FormFacts, PassageFacts
from twofold.diagnosis.causes import CAUSES
from twofold.diagnosis.changes import Change, Trial
from twofold.diagnosis.procedure import Diagnosed, at_most, examined
from twofold.types import Answer, Chunk, Example, Failure, Hit, Message, Span


def chunk(name: str, text: str = "") -> Chunk:
    text = text or f"passage {name}"
    return Chunk(id=name, span=Span(document=f"doc {name}", start=0, end=len(text)), text=text)


GOLD = chunk("gold", "The limit is 60 percent.")
OTHERS = (chunk("a"), chunk("b"))
ASKED = Example(
    id="e",
    messages=(Message(role="user", content="What is the limit?"),),
    references=("60 percent",),
    sources=("doc gold",),
    group="g",
)
ARM = ArmFacts(retrieval=True, tuned=False, tokens=16, k=3)


def hits(*chunks: Chunk) -> tuple[Hit, ...]:
    return tuple(Hit(chunk=one, score=1.0 / rank, rank=rank) for rank, one in enumerate(chunks, 1))


def case(**changes: Any) -> Case:
    shown = PassageFacts(sourced=True, gold=(GOLD,), holding=(GOLD,), shown=True, supported=True)
    start = {"answer": Answer(text="by half", hits=hits(OTHERS[0], GOLD, OTHERS[1])), "passages": shown, "arm": ARM}
    return Case(**{"example": ASKED, "score": 0.0, "form": FormFacts(), **start, **changes})


def run(subject: Case, outcomes: Mapping[str, Any]) -> tuple[Diagnosed, list[Change]]:
    """Walk through the procedure; `outcomes`: change → True, or fields of its trial. All others are wrong."""
    steps, changes = examined(subject), []
    try:
        change = next(steps)
        while True:
            changes.append(change)
            outcome = outcomes.get(change.name, False)
            fields: Any = outcome if isinstance(outcome, dict) else {"right": outcome}
            trial = {"change": change, "right": False, "score": 0.0, "text": f"by {change.name}", **fields}
            change = steps.send(Trial(**trial))
    except StopIteration as end:
        return end.value, changes


def test_nothing_is_run_where_the_cause_is_known() -> None:
    failed = case(answer=Answer(text="", failure=Failure(code="generation.timeout", message="")), score=None)
    for subject, cause in (
        (failed, "failure"),
        (case(accepted=False), "reference"),
        (case(contradicted_by="other"), "reference"),
    ):
        diagnosed, changes = run(subject, {})
        assert diagnosed.cause == cause
        assert changes == []


def test_the_first_change_that_makes_it_right_decides() -> None:
    everything = dict.fromkeys(("gold passage put first", "short answer demanded", "passage 1 removed"), True)
    diagnosed, changes = run(case(), everything)
    assert (diagnosed.cause, diagnosed.by) == ("ignored", "gold passage put first")
    assert len(changes) == 1


def test_an_answer_that_holds_the_reference_is_a_matter_of_form_before_retrieval_is_looked_at() -> None:
    lost = PassageFacts(sourced=True, gold=(GOLD,), holding=(GOLD,), shown=False)
    subject = case(form=FormFacts(contained=True), passages=lost)
    diagnosed, changes = run(subject, {"gold passage inserted": True})
    assert (diagnosed.cause, diagnosed.by) == ("form", "answer trimmed to the reference's words")
    assert [change.name for change in changes] == ["short answer demanded"]
    assert run(subject, {"short answer demanded": True})[0].by == "short answer demanded"


def test_a_passage_that_was_not_shown_names_the_leg_that_has_it() -> None:
    lost = PassageFacts(sourced=True, gold=(GOLD,), holding=(GOLD,), shown=False, ranks={"dense": 7, "lexical": None})
    subject = case(answer=Answer(text="by half", hits=hits(*OTHERS)), passages=lost)
    diagnosed, changes = run(subject, {"gold passage inserted": True})
    assert diagnosed.cause == "not-retrieved"
    assert diagnosed.detail == "dense rank 7, lexical not among the first"
    assert changes[-1].passages == (GOLD, *OTHERS)
    fused = replace(lost, lost="the fusion of the legs")
    assert run(replace(subject, passages=fused), {"gold passage inserted": True})[0].cause == "cut-out"
    undone = replace(lost, undone={"rewriting": (GOLD,)})
    diagnosed, _ = run(replace(subject, passages=undone), {"rewriting undone": True})
    assert (diagnosed.cause, diagnosed.by) == ("not-retrieved", "rewriting undone")


def test_an_abstention_without_the_passage_is_no_false_one() -> None:
    lost = PassageFacts(sourced=True, gold=(GOLD,), holding=(GOLD,), shown=False)
    declined = Answer(text="The documents do not say.", abstained=True, hits=hits(*OTHERS))
    both = {"gold passage inserted": True, "abstention not offered": True}
    assert run(case(answer=declined, passages=lost), both)[0].cause == "not-retrieved"
    declined = replace(declined, hits=hits(GOLD))
    assert run(case(answer=declined), both)[0].cause == "false-abstention"


def test_the_same_wrong_answer_with_the_passage_and_without_any_is_the_weights_own() -> None:
    same = {"text": "by half"}
    diagnosed, changes = run(case(), {"gold passages alone": same, "all passages removed": same})
    assert (diagnosed.cause, diagnosed.by) == ("contradicted", "all passages removed")
    assert changes[-1].closed
    diagnosed, _ = run(case(), {"gold passages alone": same})
    assert diagnosed.cause == "unmended"
    # Beginnings are alike whatever the answers would have said.
    begun = same | {"cut": True}
    assert run(case(), {"gold passages alone": begun, "all passages removed": begun})[0].cause == "unmended"


def test_a_reference_that_its_sources_do_not_hold_is_at_fault_where_they_say_something_else() -> None:
    unsupported = case(
        example=replace(ASKED, references=("three weeks",)),
        answer=Answer(text="60 percent", hits=hits(OTHERS[0], GOLD, OTHERS[1])),
        passages=PassageFacts(sourced=True, gold=(GOLD,), holding=(GOLD,), shown=True, supported=False),
    )
    read = {"gold passages alone": {"text": "60 percent"}}
    assert run(unsupported, read)[0].cause == "reference"
    # Sources that say nothing at all are no evidence against the reference: the documents lack it.
    silent = {"gold passages alone": {"abstained": True}, "answer stated in a passage": True}
    assert run(unsupported, silent)[0].cause == "not-in-documents"


def test_where_the_context_was_gold_alone_the_answer_itself_is_what_comes_of_it() -> None:
    lacking = PassageFacts(sourced=True, gold=(GOLD,), holding=(GOLD,), shown=True, supported=False)
    subject = case(answer=Answer(text="60 percent", hits=hits(GOLD)), passages=lacking)
    # A short answer was demanded of that context, which is another change: that one declined, the measured arm did not.
    declined = {"short answer demanded": {"abstained": True}, "answer stated in a passage": True}
    diagnosed, changes = run(subject, declined)
    assert diagnosed.cause == "unmended"
    assert "gold passages alone" not in [change.name for change in changes], "nothing would be changed"
    # Read once is not read twice: the one context does not confirm itself, under whatever wording.
    assert run(subject, {"short answer demanded": {"text": "60 percent"}})[0].cause == "unmended"
    same = {"all passages removed": {"text": "60 percent"}, "short answer demanded": {"text": "no more"}}
    assert run(subject, same)[0].cause == "contradicted"


def test_an_arm_that_declined_unasked_is_asked_with_gold_alone() -> None:
    gated = Answer(text="The documents do not say.", abstained=True, hits=hits(GOLD), trace=({"abstains": True},))
    diagnosed, changes = run(case(answer=gated), {"asked in spite of thin evidence": True})
    assert diagnosed.cause == "false-abstention"
    assert changes[0].passages == (GOLD,)
    assert not changes[0].obliged
    # The sentence to decline with is withheld only then.
    assert [change.obliged for change in run(case(answer=gated), {})[1]][:2] == [False, True]


def test_two_changes_that_only_together_make_it_right_are_a_joint_cause() -> None:
    lost = PassageFacts(sourced=True, gold=(GOLD,), holding=(GOLD,), shown=False)
    subject = case(answer=Answer(text="by half", hits=hits(*OTHERS)), passages=lost)
    diagnosed, _ = run(subject, {"gold passages alone + short answer demanded": True})
    assert (diagnosed.cause, diagnosed.parts) == ("joint", ("not-retrieved", "form"))
    diagnosed, _ = run(subject, {"gold passages alone": True})
    assert (diagnosed.cause, diagnosed.parts) == ("joint", ("not-retrieved", "ignored"))


def test_inserted_passages_are_tried_in_another_order_before_two_causes_are_named() -> None:
    lost = PassageFacts(sourced=True, gold=(GOLD,), holding=(GOLD,), shown=False)
    subject = case(answer=Answer(text="by half", hits=hits(*OTHERS)), passages=lost)
    diagnosed, changes = run(subject, {"gold passages alone": True, "gold passage inserted last": True})
    assert (diagnosed.cause, diagnosed.by) == ("not-retrieved", "gold passage inserted last")
    assert changes[-1].passages == (*OTHERS, GOLD)
    absent = replace(subject, passages=PassageFacts(sourced=True))
    diagnosed, changes = run(absent, {"answer stated in a passage last": True})
    assert diagnosed.cause == "not-in-documents"
    assert [chunk.id for chunk in changes[-1].passages] == ["a", "b", "stated:e"]
    # What is said of the passage is the same wherever it was inserted.
    ranks = {"dense": 7}
    for passages, mended, detail in (
        (PassageFacts(sourced=True, ranks=ranks), "answer stated in a passage", "no source of the example is indexed"),
        (
            PassageFacts(sourced=True, hidden="kept from ann", ranks=ranks),
            "answer stated in a passage",
            "kept from ann",
        ),
        (replace(lost, lost="the budget", ranks=ranks), "gold passage inserted", "lost by the budget; dense rank 7"),
        (replace(lost, ranks=ranks), "gold passage inserted", "dense rank 7"),
    ):
        for where in ("", " last"):
            assert run(replace(subject, passages=passages), {mended + where: True})[0].detail == detail


def test_an_arm_that_shows_no_passages_lacks_knowledge_and_no_retrieval() -> None:
    closed = ArmFacts(retrieval=False, tuned=True, tokens=16, k=3)
    subject = case(answer=Answer(text="by half"), arm=closed, passages=PassageFacts(sourced=True, gold=(GOLD,)))
    assert run(subject, {"gold passages alone": True})[0].cause == "not-known"
    assert run(subject, {"gold passages alone": True, "adapter off": True})[0].cause == "contradicted"


def test_a_question_without_an_answer_names_the_passage_that_lured_the_arm() -> None:
    subject = case(example=replace(ASKED, answerable=False, references=(), sources=()), passages=PassageFacts())
    diagnosed, _ = run(subject, {"passage 2 removed": True})
    assert (diagnosed.cause, diagnosed.by) == ("should-have-abstained", "passage 2 removed")
    assert run(subject, {})[0].cause == "should-have-abstained"


def test_where_answers_depend_on_the_batch_they_are_asked_again_first() -> None:
    subject = case(arm=replace(ARM, rounding=True))
    assert run(subject, {"asked again": True, "gold passage put first": True})[0].cause == "unstable"


flags = st.booleans()


class Drawn(dict[str, Any]):
    """Outcomes that hypothesis draws when they are asked for."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data

    def get(self, _name: str, _default: Any = None) -> Any:
        return {"right": self.data.draw(flags), "abstained": self.data.draw(flags), "text": "x"}


@given(
    st.builds(ArmFacts, retrieval=flags, tuned=flags, tokens=st.just(16), k=st.integers(1, 4), other_wording=flags),
    st.builds(
        PassageFacts,
        sourced=flags,
        gold=st.sampled_from([(), (GOLD,)]),
        holding=st.sampled_from([(), (GOLD,)]),
        whole=flags,
        uncut=st.sampled_from([None, GOLD]),
        shown=flags,
        missing=st.sampled_from([(), ("doc x",)]),
        supported=st.sampled_from([None, False, True]),
    ),
    st.builds(FormFacts, contained=flags, labels=st.sampled_from([(), ("yes", "no")])),
    st.builds(
        Answer,
        text=st.just("by half"),
        cut=flags,
        abstained=flags,
        hits=st.sampled_from([hits(*OTHERS, GOLD), hits(GOLD)]),
        trace=st.sampled_from([(), ({"abstains": True},)]),
    ),
    st.data(),
)
def test_whatever_comes_every_answer_has_one_cause_within_the_planned_re_runs(
    arm: ArmFacts, passages: PassageFacts, form: FormFacts, answer: Answer, data: st.DataObject
) -> None:
    answer = replace(answer, hits=answer.hits[: arm.k] if arm.retrieval else ())
    subject = case(arm=arm, passages=passages, form=form, answer=answer)
    outcomes = Drawn(data)
    diagnosed, changes = run(subject, outcomes)
    assert diagnosed.cause in CAUSES
    assert len(changes) <= at_most(subject)


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_says_what_it_means_and_what_to_do(cause: str) -> None:
    meaning, cure = CAUSES[cause]
    assert meaning
    assert cure.endswith(".")


def test_sources_that_do_not_hold_the_reference_may_take_one_rerun_more_than_cut_answers_do() -> None:
    lacking = PassageFacts(sourced=True, gold=(GOLD,), holding=(GOLD,), shown=True, supported=False)
    subject = case(passages=lacking)
    outcomes = {"gold passages alone": {"abstained": True}, "gold passage put first": {"cut": True}}
    _, changes = run(subject, outcomes)
    assert "answer stated in a passage" in {change.name for change in changes}
    assert len(changes) == at_most(subject)
