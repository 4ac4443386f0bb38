"""Failed answers, empty evidence and weak arms: what is counted, and what is not said."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twofold.config import Config
from twofold.settings.sections import PromptSection, StudySection
from twofold.stats.intervals import kish
from twofold.types import Arm, Estimate, Example, Message
from twofold.verdict.doubting import labels_left_out, unseen_labels
from twofold.verdict.outcome import Verdict
from twofold.verdict.rule import VerdictFacts, applies, decide

BASE, RAG, FT = Arm(name="base"), Arm(name="rag", retrieval=True), Arm(name="ft", tuning="closed-book")
LOST = float("nan")


def marks(right: int, of: int, failed: int = 0) -> Any:
    """Scores: so many right, the rest wrong, then so many failed."""
    return np.array([1.0] * right + [0.0] * (of - right) + [LOST] * failed)


def verdict(
    columns: dict[Arm, Any],
    *,
    groups: Any = None,
    metric: str = "exact_match",
    right: float | None = 0.5,
    **section: Any,
) -> Verdict:
    count = len(next(iter(columns.values())))
    lost = {arm.name: float(np.isnan(column).mean()) for arm, column in columns.items()}
    return decide(
        arms=tuple(columns),
        scores={arm.name: column for arm, column in columns.items()},
        groups=np.arange(count) if groups is None else groups,
        metric=metric,
        section=StudySection(resamples=600, **section),
        objections={},
        facts=VerdictFacts(failed_share=lost, right=right),
    )[0]


def test_a_question_that_every_arm_failed_counts_as_wrong_for_all() -> None:
    both = {BASE: marks(10, 40, 40), RAG: marks(36, 40, 40)}
    found = verdict(both, max_failed=0.6)
    assert found.headline == "rag answers 36 of 80 questions right; base 10."
    gap = re.search(r"better than base by (\.\d+)", found.sentence)
    assert gap is not None
    assert float(gap[1]) == pytest.approx(26 / 80, abs=1e-3)
    assert "exact match .900 [" in found.sentence
    assert "of the 40 questions it answered (.450 with 40 failed as wrong)" in found.sentence
    assert "of the 40 questions it answered (.125 with 40 failed as wrong) for base" in found.sentence


def test_a_question_counts_unless_an_arm_answered_it_and_the_metric_gave_no_score() -> None:
    scores = {"base": [1.0, None, None, None], "rag": [0.0, 1.0, None, None]}
    failed = {"base": [False, True, True, False], "rag": [False, False, True, False]}
    assert applies(scores, failed).tolist() == [True, True, True, False]


def test_the_least_score_is_asked_of_all_questions_and_not_of_those_an_arm_managed() -> None:
    columns = {BASE: marks(40, 80), RAG: marks(36, 40, 40)}
    found = verdict(columns, max_failed=0.6, min_score=0.65)
    assert found.outcome == "none acceptable"
    assert "its score .450 [.344, .561] with 40 failed answers as wrong lies below" in found.sentence
    for flip in verdict(columns, max_failed=0.6).flips:
        assert flip.arm != "rag", "rag answers fewer questions right than base"


def test_an_arm_without_a_right_answer_is_never_advised() -> None:
    for right in (1, 3, 5):
        found = verdict({BASE: marks(0, 20), RAG: marks(right, 20)})
        assert found.outcome == "undecided"
        assert found.headline.startswith("No arm can be recommended. base answers 0 of 20 questions right; rag ")
        assert "keep base" not in found.headline + found.sentence
        assert "no arm was shown better than base, which answers no question right; rag may be better by up to" in (
            found.sentence
        )
    found = verdict({BASE: marks(1, 20), RAG: marks(0, 20)})
    assert found.headline == "No arm was shown better; keep base. base answers 1 of 20 questions right; rag 0."


@pytest.mark.parametrize("groups", [1, 2])
def test_so_few_groups_that_nothing_is_excluded_advise_nothing(groups: int) -> None:
    chance = np.random.default_rng(2)
    columns = {BASE: chance.permutation(marks(4, 40)), RAG: chance.permutation(marks(38, 40))}
    found = verdict(columns, groups=np.arange(40) % groups)
    assert found.outcome == "undecided"
    assert found.headline.startswith("No arm can be recommended. base answers 4 of 40 questions right; rag 38;")
    assert "rag may be better by up to 1.000 (95 %)" in found.sentence


def test_a_group_that_holds_most_questions_is_named_as_what_limits_the_study() -> None:
    chance = np.random.default_rng(1)
    columns = {BASE: chance.permutation(marks(30, 100)), RAG: chance.permutation(marks(45, 100))}
    found = verdict(columns, groups=np.r_[np.zeros(30, dtype=int), np.arange(1, 71)])
    few = "few independent groups: 71, worth 10.3 of equal size, because one contains 30 % of the questions: add "
    assert any(doubt.startswith(f"{few}questions of other groups") for doubt in found.provisional)
    assert found.sentence.endswith(
        "Only new groups help: one group contains 30 % of the questions, and more questions of that group show "
        "hardly more."
    )
    even = verdict(columns)
    assert "new groups" not in even.sentence
    assert not any("few independent groups" in doubt for doubt in even.provisional)


def test_arms_that_are_shown_worse_are_called_so() -> None:
    chance = np.random.default_rng(5)
    columns = {arm: (chance.uniform(size=1000) < share) * 1.0 for arm, share in ((BASE, 0.6), (RAG, 0.4), (FT, 0.3))}
    found = verdict(columns)
    assert "; every more complex arm is shown worse (95 %, for this choice)." in found.sentence
    assert found.headline.startswith(f"base answers {int(columns[BASE].sum())} of 1,000 questions right")
    two = verdict({arm: columns[arm] for arm in (BASE, RAG)})
    assert "; rag is shown worse (95 %, for this choice)." in two.sentence
    everyone = {arm: np.ones(1200) for arm in (BASE, RAG)}
    assert verdict(everyone).headline == "base answers 1,200 of 1,200 questions right; rag 1,200."


def test_an_arm_that_would_be_chosen_without_a_right_answer_is_named() -> None:
    found = verdict({BASE: marks(0, 400), RAG: marks(1, 400)})
    assert (found.outcome, found.arm) == ("none acceptable", "")
    start = "No arm is acceptable: the rule would choose"
    assert found.headline.startswith(f"{start} base, which answers no question right. rag ")
    graded = {BASE: np.r_[np.ones(30), np.zeros(70)], FT: 0.45 + 0.04 * np.random.default_rng(0).uniform(size=100)}
    found = verdict(graded)
    assert found.headline.startswith(f"{start} ft, which answers no question right. base ")
    assert "ft would be chosen by its exact match .4" in found.sentence


def test_a_choice_says_what_margin_it_stands_on() -> None:
    chance = np.random.default_rng(5)
    columns = {arm: (chance.uniform(size=300) < share).astype(float) for arm, share in ((BASE, 0.4), (RAG, 0.55))}
    found = verdict(columns, margin=0.35)
    assert found.arm == "base"
    assert "; differences up to .35 do not matter (95 %, for this choice)." in found.sentence
    assert any("base is shown worse, by at most the .35 that do not matter here" in reason for reason in found.because)


def test_one_arm_alone_is_called_so_and_an_arm_of_little_use_is_doubted() -> None:
    found = verdict({RAG: marks(1, 60)})
    assert found.headline == "rag answers 1 of 60 questions right; no other arm was measured."
    assert "no other arm was measured, so nothing is compared" in found.sentence
    assert any("rag answers 1 of 60 questions right: of little use" in doubt for doubt in found.provisional)


def test_every_interval_of_a_later_look_has_the_level_of_that_look() -> None:
    columns = {BASE: marks(20, 80), RAG: marks(60, 80)}
    settings: dict[str, Any] = {
        "arms": (BASE, RAG),
        "scores": {arm.name: column for arm, column in columns.items()},
        "groups": np.arange(80),
        "metric": "exact_match",
        "section": StudySection(resamples=600),
        "objections": {},
        "facts": VerdictFacts(),
    }
    _, _, first, usual = decide(**settings)
    _, _, later, strict = decide(**settings, alpha=0.005)
    for name in ("base", "rag"):
        assert strict[name].low < usual[name].low < usual[name].high < strict[name].high
    assert later[0].estimate.low < first[0].estimate.low
    assert later[0].decides is not None
    assert later[0].decides.low == pytest.approx(later[0].estimate.low), "of one pair, both intervals are the same"


def test_examples_to_collect_pay_for_the_next_look() -> None:
    chance = np.random.default_rng(7)
    columns = {arm: (chance.uniform(size=200) < 0.5).astype(float) for arm in (BASE, RAG)}
    settings: dict[str, Any] = {
        "arms": (BASE, RAG),
        "scores": {arm.name: column for arm, column in columns.items()},
        "groups": np.arange(200),
        "metric": "exact_match",
        "section": StudySection(resamples=600),
        "objections": {},
    }
    same, later = (decide(**settings, facts=VerdictFacts(next_level=level))[0] for level in (0.0, 0.9925))
    assert same.more_examples is not None
    assert later.more_examples is not None
    assert later.more_examples > 1.2 * same.more_examples


def test_where_all_is_right_no_gain_is_said_to_have_been_visible_that_was_not() -> None:
    found = verdict({BASE: marks(60, 60), RAG: marks(60, 60)})
    assert found.outcome == "undecided"
    assert "would have been shown" not in found.sentence, "three of sixty questions show nothing"


def test_where_counts_and_scores_name_another_second_arm_the_first_line_names_both() -> None:
    prompt = Arm(name="prompt", shots=4)
    columns = {BASE: np.r_[np.full(40, 0.5), np.zeros(60)], prompt: np.full(100, 0.45), RAG: np.full(100, 0.9)}
    found = verdict({BASE: columns[BASE], prompt: columns[prompt], RAG: columns[RAG]})
    assert found.arm == "rag"
    assert found.headline.endswith("; the best of the others (base) 40, the best by its score (prompt) 0.")
    assert "against .450 [" in found.sentence


def graded(*means: float, of: int = 60) -> dict[Arm, Any]:
    """Scores of long answers, spread a little around each mean."""
    wave = np.sin(np.arange(of)) / 20
    return dict(zip((BASE, RAG, FT), (mean + wave for mean in means), strict=False))


def overlapping(columns: dict[Arm, Any], **section: Any) -> Verdict:
    """The verdict by ROUGE-L, which has no score from which an answer is right."""
    return verdict(columns, metric="rouge_l", right=None, **section)


def test_by_a_metric_of_shared_words_low_scores_of_good_long_answers_are_no_reason_to_refuse_all_arms() -> None:
    found = overlapping(graded(0.12, 0.3))
    assert (found.outcome, found.arm) == ("choose", "rag")
    start = (
        r"rag scores ROUGE-L \.3\d\d \[\.\d+, \.\d+\]; base \.12\d \[\.\d+, \.\d+\]\. ROUGE-L does not tell whether "
    )
    assert re.match(
        start + r"answers are good enough: set \[study\]\.min_score, or decide by .* plugin of your own\.$",
        found.headline,
    )
    assert not any("of little use" in one for one in found.provisional)
    assert not re.search(r"\d of \d+ questions", found.headline)


def test_where_a_least_score_is_set_it_says_what_is_good_enough_and_the_first_line_does_not_ask_for_one() -> None:
    assert "good enough" not in overlapping(graded(0.12, 0.3), min_score=0.2).headline
    assert overlapping(graded(0.12, 0.3), min_score=0.5).outcome == "none acceptable"


def test_answers_that_share_no_word_with_any_reference_are_not_acceptable_by_any_metric() -> None:
    found = overlapping({BASE: np.zeros(40), RAG: np.zeros(40)})
    assert found.outcome == "none acceptable"
    assert found.headline.startswith("Every arm scores 0 on every question (40 questions).")


def test_every_arm_that_is_refused_is_named_with_the_score_it_has_itself() -> None:
    low = {BASE: np.r_[0.2, 0.1, np.zeros(38)], RAG: np.r_[np.full(10, 0.4), np.zeros(30)]}
    found = verdict(low)
    assert found.outcome == "none acceptable"
    assert re.search(r"is \.00\d \[[^\]]+\] for base; exact match is \.100 \[[^\]]+\] for rag", found.sentence)


def test_arms_whose_prompt_names_no_label_are_not_compared_with_tuned_weights_without_a_doubt() -> None:
    labels = [f"topic-{number}" for number in range(40)]
    examples = [
        Example(id=str(n), messages=(Message(role="user", content=f"Message {n}"),), references=(labels[n % 40],))
        for n in range(120)
    ]
    blind = Config(study=StudySection(metric="accuracy"))
    listed = Config(study=StudySection(metric="accuracy"), prompt=PromptSection(closed="One of: " + ", ".join(labels)))
    offered = [replace(example, choices=tuple(labels)) for example in examples]
    assert labels_left_out(blind, examples) == 40
    assert labels_left_out(listed, examples) == labels_left_out(blind, offered) == 0
    assert labels_left_out(Config(study=StudySection(metric="answer_f1")), examples) == 0
    prompt = Arm(name="prompt", shots=4)
    (doubt,) = unseen_labels(40, (BASE, prompt, RAG, FT))
    assert doubt.startswith("the prompt of base, rag names none of the 40 labels, which only tuned weights learn")
    assert unseen_labels(40, (BASE, RAG)) == unseen_labels(0, (BASE, FT)) == []
    told = decide(
        arms=(BASE, FT),
        scores={"base": marks(10, 40), "ft": marks(38, 40)},
        groups=np.arange(40),
        metric="accuracy",
        section=StudySection(resamples=300),
        objections={},
        facts=VerdictFacts(labels=40),
    )[0]
    assert any("names none of the 40 labels" in one for one in told.provisional)


def test_no_number_of_examples_is_told_from_a_handful_of_questions() -> None:
    found = verdict({BASE: marks(7, 15), RAG: np.roll(marks(8, 15), 4)})
    assert found.outcome == "undecided"
    assert found.more_examples is None
    assert "collect many more examples than can be told from so few." in found.sentence
    assert not re.search(r"\d more examples", found.sentence)


def test_an_open_verdict_counts_the_arms_that_may_be_chosen() -> None:
    rng = np.random.default_rng(4)
    columns = {arm: (rng.uniform(size=60) < mean).astype(float) for arm, mean in ((BASE, 0.3), (RAG, 0.4), (FT, 0.9))}
    cited = {"rag": Estimate(mean=0.5, low=0.3, high=0.7, n=60, failed=0)}
    both = {**columns, Arm(name="prompt+rag", retrieval=True, shots=4): columns[RAG]}
    asked = decide(
        arms=tuple(both),
        scores={arm.name: column for arm, column in both.items()},
        groups=np.arange(60),
        metric="exact_match",
        section=StudySection(resamples=300, must_cite=True),
        objections={},
        facts=VerdictFacts(citing={**cited, "prompt+rag": cited["rag"]}),
    )[0]
    assert asked.headline.startswith("Whether rag and prompt+rag are acceptable is not shown. ")
    assert "ft" not in asked.headline


def test_an_arm_that_failed_on_everything_was_not_measured() -> None:
    found = verdict({BASE: marks(20, 40), RAG: marks(0, 0, 40)})
    assert found.outcome == "undecided"
    assert found.headline == "Whether rag is acceptable is not shown. base answers 20 of 40 questions right."


def test_an_unfinished_arm_that_nothing_else_can_replace_is_still_counted() -> None:
    columns = {BASE: marks(2, 60), FT: marks(4, 60)}
    late = {"steps": 1, "planned": 6, "stopped": "minutes", "moved": True, "chance": False, "epochs": 0.1}
    found = decide(
        arms=tuple(columns),
        scores={arm.name: column for arm, column in columns.items()},
        groups=np.arange(60),
        metric="exact_match",
        section=StudySection(resamples=300, min_score=0.5),
        objections={},
        facts=VerdictFacts(effort={"ft": late}),
    )[0]
    assert found.outcome == "undecided"
    assert "So far ft answers 4 of 60 questions right" in found.headline


NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d*\.\d+|\d+)(?![\w])")
FOUR = (BASE, Arm(name="prompt", shots=4), RAG, FT)


@pytest.mark.parametrize("seed", range(12))
def test_every_number_of_the_verdict_stands_in_the_record(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, graded = int(rng.integers(12, 90)), seed % 2
    columns: dict[Arm, Any] = {}
    for arm in FOUR[: 2 + seed % 3]:
        column = (rng.uniform(size=n) < rng.uniform(0.05, 0.95)).astype(float)
        columns[arm] = np.where(rng.uniform(size=n) < 0.3, rng.uniform(size=n), column) if graded else column
    lost = {}
    if seed % 4 == 3 and RAG in columns:
        columns[RAG] = np.where(rng.uniform(size=n) < 0.04, LOST, columns[RAG])
        lost = {"rag": float(np.isnan(columns[RAG]).mean())}
    section = StudySection(
        resamples=300, margin=float(rng.choice([0.02, 0.1])), min_score=0.3 if seed % 5 == 0 else 0.0
    )
    found, _, comparisons, estimates = decide(
        arms=tuple(columns),
        scores={arm.name: column for arm, column in columns.items()},
        groups=np.arange(n) // (1 + seed % 3),
        metric="answer_f1",
        section=section,
        objections={},
        facts=VerdictFacts(failed_share=lost, questions=n),
    )
    known = {0.5, 8.0, 10.0, 95.0, section.margin, section.min_score, section.max_failed, 100 * section.max_failed}
    known |= {
        round(kish(np.bincount(np.arange(n) // (1 + seed % 3))), 1),
        *(100 * share for share in lost.values()),
    } | {20.0, 30.0, 50.0, 0.0, n / (1 + seed % 3), *map(float, range(n + 1))}
    of = [*estimates.values(), *(one.decides for one in comparisons if one.decides)]
    for one in of:
        whole = one.n / (one.n + one.failed)
        known |= {one.mean, one.low, one.high, *(end * whole for end in (one.mean, one.low, one.high))}
    told = found.further
    for part in (told.get("to_see"), told.get("to_bound")):
        known |= {float(part[key]) for key in ("likely", "low", "high") if part and part[key] is not None}
    known |= {float(told["gain"])} if told else set()
    text = " ".join([found.headline, found.sentence, *found.because, *found.provisional])
    for number in NUMBER.findall(text.replace("answer F1", "").replace("%", " %")):
        value = float(number.replace(",", ""))
        assert any(abs(abs(value) - abs(one)) < 6e-4 or round(abs(one)) == value for one in known), (number, text)


def test_an_unfinished_arm_that_never_answered_keeps_the_verdict_open_and_is_told() -> None:
    columns = {BASE: marks(3, 3, 3), FT: marks(0, 0, 6)}
    effort = {"chance": False, "steps": 1, "planned": 6, "stopped": "minutes", "moved": True, "epochs": 0.2}
    found = decide(
        arms=tuple(columns),
        scores={arm.name: column for arm, column in columns.items()},
        groups=np.arange(6),
        metric="exact_match",
        section=StudySection(resamples=200),
        objections={},
        facts=VerdictFacts(failed_share={"base": 0.5, "ft": 1.0}, effort={"ft": effort}),
    )[0]
    assert found.outcome == "undecided"
    assert found.headline == "ft has not been given a fair chance. So far base answers 3 of 6 questions right."
