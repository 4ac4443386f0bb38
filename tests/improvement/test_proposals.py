"""Steps for causes: which are proposed, in which order, and from whose questions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twofold.config import Config
from twofold.errors import StudyError
from twofold.examples.splitting import split
from twofold.improvement import proposals
from twofold.improvement.proposals import Cause
from twofold.improvement.record import Step
from twofold.settings.sections import ExamplesSection
from twofold.types import Example, Message

RAG, BOTH, BASE = (Config().arm(name) for name in ("rag", "ft+rag", "base"))


def causes(**counts: int) -> list[Cause]:
    out = []
    for code, count in counts.items():
        out += [Cause(question=f"{code}-{n}", cause=code.replace("_", "-")) for n in range(count)]
    return out


def names(steps: list[Step]) -> list[str]:
    return [step.name for step in steps]


def test_no_wrong_answer_leads_to_no_step() -> None:
    assert proposals.proposals([], Config(), RAG, diagnosed=20, tried=()) == []


def test_each_cause_leads_to_steps_that_address_it() -> None:
    steps = proposals.proposals(causes(not_retrieved=4, cut=2, form=1), Config(), RAG, diagnosed=20, tried=())
    assert {"show 6 passages", "allow 96 tokens", "tune (ft+rag)"} <= set(names(steps))
    shares = {step.name: step.share for step in steps}
    assert shares["show 6 passages"] == pytest.approx(0.2)
    assert shares["allow 96 tokens"] == pytest.approx(0.1)
    assert shares["tune (ft+rag)"] == pytest.approx(0.05)
    assert [step.share for step in steps] == sorted((step.share for step in steps), reverse=True)


def test_what_only_a_person_can_do_comes_last_and_changes_nothing() -> None:
    steps = proposals.proposals(causes(not_in_documents=9, reference=3, cut=1), Config(), RAG, diagnosed=20, tried=())
    assert names(steps) == ["allow 96 tokens", "add documents", "correct references"]
    assert [step.for_a_person for step in steps] == [False, True, True]
    assert steps[1].questions == tuple(f"not_in_documents-{n}" for n in range(9))


def test_steps_that_were_tried_are_not_proposed_again() -> None:
    steps = proposals.proposals(causes(cut=2), Config(), RAG, diagnosed=20, tried={"allow 96 tokens"})
    assert steps == []


def test_a_tuned_arm_is_tuned_on_questions_for_its_gaps() -> None:
    steps = proposals.proposals(causes(ignored=3), Config(), BOTH, diagnosed=20, tried=())
    assert "tune on questions made for the gaps" in names(steps)
    assert next(step for step in steps if step.gaps).values == {}
    bare = Config.model_validate({"documents": {"paths": []}})
    assert names(proposals.proposals(causes(form=3), bare, Config().arm("ft"), diagnosed=20, tried=())) == []


def test_an_arm_that_is_not_tuned_is_tuned_on_its_examples_before_on_questions_for_its_gaps() -> None:
    config = Config.model_validate({"documents": {"paths": ["data"]}})
    steps = proposals.proposals(causes(unmended=3), config, RAG, diagnosed=20, tried=())
    assert [(step.name, step.gaps) for step in steps] == [
        ("tune (ft+rag)", False),
        ("tune on questions made for the gaps (ft+rag)", True),
    ]
    assert steps[0].values == steps[1].values
    without = Config.model_validate({"documents": {"paths": []}})
    assert names(proposals.proposals(causes(unmended=3), without, RAG, diagnosed=20, tried=())) == ["tune (ft+rag)"]


def test_questions_are_made_for_what_an_arm_without_passages_does_not_know() -> None:
    assert "not-known" in proposals.of_gaps(Config().arm("ft"))
    assert "not-known" not in proposals.of_gaps(BOTH)
    # The price counts two questions for each answer that the step is for: these must be those that are asked about.
    config = Config.model_validate({"documents": {"paths": ["data"]}})
    steps = proposals.proposals(causes(not_known=3, unmended=1), config, BASE, diagnosed=20, tried=())
    shares = {step.name: step.share for step in steps}
    assert shares["tune on questions made for the gaps (ft)"] == pytest.approx(0.2)
    assert shares["tune (ft)"] == pytest.approx(0.05)


def test_an_arm_without_passages_gets_them() -> None:
    step = proposals.proposals(causes(not_known=3), Config(), BASE, diagnosed=20, tried=())[0]
    assert (step.arm, step.name) == ("rag", "answer with passages")
    assert "rag" in step.values["study"]["arms"]


def test_settings_are_within_their_limits() -> None:
    config = Config.model_validate({"retrieval": {"k": 12}, "generation": {"max_tokens": 1024}})
    steps = proposals.proposals(causes(not_retrieved=4, cut=2), config, RAG, diagnosed=20, tried=())
    assert not [name for name in names(steps) if name.startswith(("show 24", "allow"))]


def test_a_cheap_step_comes_before_a_dear_one_of_the_same_share() -> None:
    step = proposals.proposals(causes(cut=2), Config(), RAG, diagnosed=20, tried=())[0]
    cheap, dear = replace(step, name="cheap", minutes=1.0), replace(step, name="dear", minutes=30.0)
    person = replace(step, name="person", values={}, share=1.0)
    assert names(proposals.ranked([person, dear, cheap])) == ["cheap", "dear", "person"]
    gaps = replace(step, name="gaps", values={}, gaps=True, minutes=5.0)
    assert names(proposals.ranked([person, dear, gaps, cheap])) == ["cheap", "gaps", "dear", "person"]


def test_causes_of_held_out_questions_are_refused() -> None:
    examples = [
        Example(id=f"e{n}", messages=(Message(role="user", content=f"Which colour has {n}?"),), references=("red",))
        for n in range(40)
    ]
    splits = split(examples, ExamplesSection(split_by="question"))
    proposals.require_train_side([Cause(question=splits.train[0].id, cause="cut")], splits)
    with pytest.raises(StudyError, match=splits.test[0].id):
        proposals.require_train_side([Cause(question=splits.test[0].id, cause="cut")], splits)
