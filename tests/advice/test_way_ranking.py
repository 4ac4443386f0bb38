"""Plain situations and the way that practitioners would start with; what is ruled out; what contradicts itself."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.advice.questionnaire import INQUIRIES, QUESTIONNAIRE, UserAnswers
from twofold.advice.ranking import CONSTRAINTS, ProjectFact, Ranking, rank, situation
from twofold.advice.weights import WAYS, shipped


def ranking(levels: Mapping[str, str], facts: tuple[ProjectFact, ...] = ()) -> Ranking:
    return rank(situation(UserAnswers(levels=levels), facts), shipped())


def place(ranked: Ranking, way: str) -> int:
    """Place among the ways that may be chosen, from 1; a way that is ruled out comes after all of them."""
    order = [placement.way for placement in ranked.eligible]
    return order.index(way) + 1 if way in order else len(ranked.placements)


def words(text: str) -> dict[str, str]:
    return dict(part.split("=") for part in text.split())


# Each row is what a practitioner hears from a colleague, and where they would start. Order: change, form, tone, both.
SCENARIOS = [
    ("task=questions change=hourly attribution=required documents=many", "rag"),
    ("task=questions change=live documents=many labels=hundreds risk=medium", "rag"),
    ("task=questions change=daily documents=large team=software upfront=little labels=none", "rag"),
    ("task=questions change=weekly documents=many labels=tens team=software upfront=little", "rag"),
    ("task=lookup change=weekly attribution=required risk=high documents=large", "rag"),
    (
        "task=lookup change=quarterly attribution=required risk=high documents=large labels=hundreds privacy=private",
        "rag",
    ),
    ("task=summaries change=live documents=many", "rag"),
    ("task=questions change=weekly permissions=yes documents=many labels=thousands", "rag"),
    ("task=several permissions=yes documents=many labels=thousands", "rag"),
    ("task=questions change=weekly privacy=airgap hardware=cpu permissions=yes documents=many", "rag"),
    ("task=questions change=quarterly documents=prompt volume=low team=software privacy=public", "whole"),
    ("task=classification change=never attribution=no labels=thousands agreement=agreed latency=instant", "classifier"),
    ("task=classification change=never labels=thousands privacy=airgap hardware=cpu", "classifier"),
    ("task=classification change=never labels=tens team=software", "prompt"),
    ("task=classification change=never labels=none", "prompt"),
    ("task=classification change=yearly labels=hundreds agreement=poor", "prompt"),
    ("task=tone change=yearly attribution=no labels=thousands agreement=agreed documents=none", "ft"),
    ("task=tone change=never labels=more volume=high latency=instant attribution=no monthly=little", "ft"),
    ("task=tone change=never labels=tens upfront=little team=software", "prompt"),
    ("task=structured change=never labels=thousands agreement=agreed documents=none", "ft"),
    ("task=structured change=never labels=more hardware=gpu team=learning latency=instant", "ft"),
    ("task=structured change=yearly labels=thousands agreement=agreed privacy=private documents=none risk=high", "ft"),
    ("task=structured change=never labels=tens documents=none", "prompt"),
    ("task=several change=weekly labels=thousands documents=many attribution=useful team=data upfront=some", "ft+rag"),
    ("task=several change=hourly labels=thousands documents=many team=learning", "ft+rag"),
    ("task=several labels=none documents=none", "prompt"),
    ("labels=none documents=none team=software upfront=little risk=low", "prompt"),
]


@pytest.mark.parametrize(("levels", "first"), SCENARIOS)
def test_plain_situations_start_where_practitioners_would(levels: str, first: str) -> None:
    assert ranking(words(levels)).first == first


def test_the_scenarios_cover_all_ways_but_the_bare_model() -> None:
    assert {first for _, first in SCENARIOS} == set(WAYS) - {"base"}  # who already knows is found by measuring
    assert len(SCENARIOS) >= 20


@pytest.mark.parametrize(
    ("levels", "out"),
    [
        ("attribution=required", {"base", "prompt", "ft"}),
        ("permissions=yes", {"ft", "ft+rag"}),
        ("change=hourly", {"base", "prompt", "ft"}),
        ("documents=none", {"rag", "ft+rag", "whole"}),
        ("labels=none", {"ft", "ft+rag"}),
        ("documents=large", {"whole"}),
    ],
)
def test_constraints_rule_out_whatever_speaks_for_a_way(levels: str, out: set[str]) -> None:
    name = levels.partition("=")[0]
    for_tuning = "task=tone change=never labels=more volume=high latency=instant team=learning hardware=gpu"
    known = {**words(for_tuning), **words(levels)}
    by_way = {placement.way: placement for placement in ranking(known).placements}
    for way in out:
        assert any(name in sentence for sentence in by_way[way].excluded)


def test_every_constraint_names_levels_and_ways_that_there_are() -> None:
    for constraint in CONSTRAINTS:
        assert constraint.levels <= set(INQUIRIES[constraint.criterion].values)
        assert constraint.ways <= set(WAYS)


def test_special_ways_wait_until_their_case_is_known() -> None:
    open_question = {placement.way: placement.excluded for placement in ranking({"labels": "more"}).placements}
    assert open_question["classifier"] == ("it is not proposed while task is unknown",)
    assert open_question["whole"] == ("it is not proposed while documents is unknown",)


def size(level: str) -> ProjectFact:
    return ProjectFact(criterion="model", level=level, text="the base model's size", source="the model's configuration")


CITED = "task=questions attribution=required change=quarterly documents=many labels=tens risk=medium"


@pytest.mark.parametrize(("level", "first"), [("small", "ft+rag"), ("medium", "rag"), ("large", "rag")])
def test_a_small_model_is_not_credited_with_a_habit_of_citing(level: str, first: str) -> None:
    assert ranking(words(CITED), (size(level),)).first == first
    assert ranking({**words(CITED), "attribution": "no"}, (size(level),)).first == "rag"


def test_citing_follows_from_demand_and_size_and_from_nothing_else() -> None:
    demanded = UserAnswers(levels={"attribution": "required"})
    assert situation(demanded, (size("small"),)).levels["citing"] == "untaught"
    assert situation(demanded, (size("large"),)).levels["citing"] == "usual"
    assert "citing" not in situation(demanded).levels
    assert "citing" not in situation(UserAnswers(levels={}), (size("small"),)).levels
    untaught = next(p for p in ranking({"attribution": "required"}, (size("small"),)).placements if p.way == "rag")
    assert any(reason.ground.criterion == "citing" and reason.points < 0 for reason in untaught.reasons)


def test_nothing_known_is_no_advice() -> None:
    assert ranking({}).first == ""


def test_demands_that_exclude_each_other_leave_nothing() -> None:
    nothing = ranking({"attribution": "required", "documents": "none"})
    assert (nothing.first, nothing.eligible) == ("", ())


ANY = st.fixed_dictionaries({}, optional={inquiry.name: st.sampled_from(inquiry.values) for inquiry in QUESTIONNAIRE})


@settings(max_examples=30, deadline=None)
@given(ANY, st.sampled_from(["ft", "ft+rag"]))
def test_more_labelled_data_never_lowers_tuning(levels: dict[str, str], way: str) -> None:
    if way == "ft":
        places = [place(ranking({**levels, "labels": value}), way) for value in INQUIRIES["labels"].values]
        assert places == sorted(places, reverse=True)
    # Both tuned ways rise with the examples: of ft+rag the order is sure against the ways that learn from none.
    untuned = [way for way in WAYS if not way.startswith("ft") and way != "classifier"]
    ahead = []
    for value in INQUIRIES["labels"].values:
        here = ranking({**levels, "labels": value})
        ahead.append(sum(place(here, other) < place(here, way) for other in untuned))
    assert ahead == sorted(ahead, reverse=True)


@settings(max_examples=30, deadline=None)
@given(ANY)
def test_knowledge_that_changes_more_often_never_lowers_retrieval(levels: dict[str, str]) -> None:
    ahead = []
    for value in INQUIRIES["change"].values:  # from live to never
        here = ranking({**levels, "change": value})
        ahead.append(sum(place(here, other) < place(here, "rag") for other in ("base", "prompt", "classifier", "ft")))
    assert ahead == sorted(ahead)


@settings(max_examples=30, deadline=None)
@given(ANY)
def test_a_stricter_demand_for_sources_never_lowers_retrieval(levels: dict[str, str]) -> None:
    ahead = []
    for value in INQUIRIES["attribution"].values:  # from required to no
        here = ranking({**levels, "attribution": value})
        ahead.append(sum(place(here, other) < place(here, "rag") for other in ("base", "prompt", "classifier", "ft")))
    assert ahead == sorted(ahead)


@settings(max_examples=30, deadline=None)
@given(ANY)
def test_permissions_never_leave_a_tuned_way(levels: dict[str, str]) -> None:
    chosen = [placement.way for placement in ranking({**levels, "permissions": "yes"}).eligible]
    assert not {"ft", "ft+rag"} & set(chosen)


@settings(max_examples=25, deadline=None)
@given(ANY, st.data())
def test_the_spread_holds_every_score_that_an_answer_can_lead_to(levels: dict[str, str], data: st.DataObject) -> None:
    before = {placement.way: placement for placement in ranking(levels).placements}
    more = {**data.draw(ANY), **levels}
    for placement in ranking(more).placements:
        assert before[placement.way].low - 1e-9 <= placement.score <= before[placement.way].high + 1e-9
        assert placement.score == pytest.approx(sum(reason.points for reason in placement.reasons))


def fact(criterion: str, level: str, **more: object) -> ProjectFact:
    return ProjectFact(criterion=criterion, level=level, text="50 examples", source="the project", **more)  # type: ignore[arg-type]


def test_an_answer_that_the_project_contradicts_is_named_and_the_project_counts() -> None:
    known = situation(UserAnswers(levels={"labels": "thousands"}), (fact("labels", "tens"),))
    assert known.levels["labels"] == "tens"
    (contradiction,) = known.contradictions
    assert contradiction.about == ("labels",)
    assert "labels = thousands" in contradiction.message
    assert "50 examples" in contradiction.message
    assert "answer labels with tens" in contradiction.cure


def test_a_demand_beyond_what_the_project_shows_counts_and_contradicts_nothing() -> None:
    known = situation(UserAnswers(levels={"change": "hourly"}), (fact("change", "weekly"),))
    assert (known.levels["change"], known.contradictions) == ("hourly", ())


def test_a_demand_below_what_the_project_shows_is_a_contradiction() -> None:
    known = situation(UserAnswers(levels={"change": "never"}), (fact("change", "weekly"),))
    assert known.levels["change"] == "weekly"
    assert [contradiction.about for contradiction in known.contradictions] == [("change",)]


def test_an_answer_that_the_project_rules_out_is_left_open() -> None:
    known = situation(UserAnswers(levels={"task": "classification"}), (fact("task", "", against=("classification",)),))
    assert "task" not in known.levels
    assert "left out" in known.contradictions[0].message


def test_what_the_project_only_suggests_yields_to_an_answer() -> None:
    suggested = fact("task", "questions", tentative=True)
    assert situation(UserAnswers(levels={}), (suggested,)).levels == {"task": "questions"}
    answered = situation(UserAnswers(levels={"task": "several"}), (suggested,))
    assert (answered.levels, answered.contradictions) == ({"task": "several"}, ())


@pytest.mark.parametrize(
    "levels",
    [
        "privacy=airgap hardware=hosted",
        "task=questions documents=none",
        "attribution=required documents=none",
        "task=lookup attribution=no",
        "task=summaries change=never",
        "change=live documents=none",
        "permissions=yes documents=none",
        "labels=none agreement=agreed",
    ],
)
def test_answers_that_cannot_both_hold_are_named_with_a_cure(levels: str) -> None:
    known = situation(UserAnswers(levels=words(levels)))
    about = [contradiction for contradiction in known.contradictions if set(contradiction.about) == set(words(levels))]
    assert len(about) == 1
    assert all(f"{name} = {value}" in about[0].message for name, value in words(levels).items())
    assert about[0].cure.endswith(".")


@pytest.mark.parametrize("levels", [{"tsak": "tone"}, {"task": "tones"}])
def test_unknown_questions_and_answers_are_refused(levels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"there is no question|has no answer"):
        UserAnswers(levels=levels)


def test_answers_of_an_older_questionnaire_are_left_open() -> None:
    assert UserAnswers.of_record({"task": "tone", "change": "biweekly", "colour": "red"}).levels == {"task": "tone"}
