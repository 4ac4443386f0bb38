"""The terminal's summary and the picture for a README."""

from __future__ import annotations

import copy
import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

from twofold.reports import archive
from twofold.reports.study_page import render, render_summary, verdict_picture
from twofold.verdict.record import estimate_text, true_minus

CASES = ["choose", "undecided", "none", "two arms", "one arm", "labels", "worldwide"]


@pytest.mark.parametrize("case", CASES)
def test_summary_holds_verdict_arms_effects_doubts_and_bill(case, made) -> None:
    record = made(case)[0]
    text = render_summary(record)
    assert text.startswith(record["verdict"]["headline"])
    assert text.index(record["policy"]["sentence"]) < text.index("\n  arm ")
    for arm in record["arms"].values():
        for value in arm["metrics"].values():
            assert true_minus(estimate_text(value)) in text
    assert all(f"  - {doubt}" in text for doubt in record["verdict"]["provisional"])
    assert [line for line in text.splitlines() if line.startswith("  retrieval")] or not record["effects"]
    assert re.search(r"^bill: .*, \d+ items \(0 cached\), peak 312[01] MiB$", text, re.M)
    chosen = [line.split()[1] for line in text.splitlines() if line.startswith("* ") and "chosen" not in line]
    assert chosen == [record["verdict"]["arm"]] * bool(record["verdict"]["arm"])
    assert not re.search(r"<[a-z/]|\[bold|\x1b", text)


def test_a_difference_and_a_negative_number_have_a_true_minus_and_a_list_its_hyphen(made) -> None:
    record = copy.deepcopy(made("undecided")[0])  # the sample is shared by all tests of the session
    record["verdict"]["because"] = ["rag - base -.04 [-.09, .01]: nothing is shown; see ft+rag, 2026-11-28"]
    record["effects"][0]["estimate"].update(mean=-0.25)
    text = render_summary(record)
    assert "  - rag \u2212 base \u2212.04 [\u2212.09, .01]: nothing is shown; see ft+rag, 2026-11-28" in text
    assert re.search(r"retrieval +\u2212\.250 ", text)
    assert not re.search(r"\s-\.\d|\w - \w", text)


def test_summary_columns_are_aligned(made) -> None:
    lines = render_summary(made("none")[0]).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("  arm "))
    place = lines[start].index("exact match")
    table = lines[start + 1 : start + 7]
    assert [line.split()[1] if line[0] == "!" else line.split()[0] for line in table] == list(made("none")[0]["arms"])
    assert all(re.match(r"\u2212?\d?\.\d", line[place:]) and line[place - 2 : place] == "  " for line in table)
    failed = lines[start].index("failed")
    assert [line[failed:].split()[0] for line in table] == ["0", "0", "12", "0", "0", "0"]


@pytest.mark.parametrize("case", CASES)
def test_the_picture_stands_alone(case, made) -> None:
    record = made(case)[0]
    picture = verdict_picture(record)
    root = ElementTree.fromstring(picture)
    width, height = (float(v) for v in root.attrib["viewBox"].split()[2:])
    assert width == 900
    assert 420 <= height <= 620
    shown = " ".join(node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text"))
    for name, arm in record["arms"].items():
        assert name in shown
        assert estimate_text(arm["metrics"][record["metric"]]) in shown
    headline = " ".join(n.text for n in root.iter("{http://www.w3.org/2000/svg}text") if n.get("class") == "headline")
    assert headline == record["verdict"]["headline"]
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def test_the_script_draws_the_picture_of_the_latest_study(made, tmp_path) -> None:
    record = made("choose")[0]
    for number, name in enumerate(("undecided", "choose"), 1):
        archive.write_record(tmp_path / "studies" / f"{number:04d}-x", *made(name)[:2])
    script = runpy.run_path(str(Path(__file__).resolve().parents[2] / "scripts" / "picture"))
    script["main"](tmp_path, tmp_path / "verdict.svg")
    assert (tmp_path / "verdict.svg").read_text(encoding="utf-8") == verdict_picture(record)


def test_a_study_on_the_reserve_prints_the_number_of_reserve_questions_with_their_groups(made) -> None:
    record, answers = made("choose")[:2]
    opened = record | {"policy": record["policy"] | {"final": True, "test": 129, "reserve": 41, "groups": 18}}
    for said in (render(opened, answers), verdict_picture(opened)):
        assert "41 reserve questions in 18 independent groups" in said
        assert "129 test questions in" not in said
    usual = record | {"policy": record["policy"] | {"final": False, "test": 129, "reserve": 41, "groups": 56}}
    assert "129 test questions in 56 independent groups" in render(usual, answers)


def test_an_arm_in_question_is_named_with_its_reason(made) -> None:
    record, answers = made("choose")[:2]
    arms = {name: arm | {"in_question": []} for name, arm in record["arms"].items()}
    arms["ft"] = arms["ft"] | {"in_question": ["its latency was not measured"], "objections": []}
    assert "<b>ft</b> is in question: its latency was not measured." in render(record | {"arms": arms}, answers)


def test_where_no_score_says_that_an_answer_is_right_summary_and_page_count_none_and_mark_each_with_its_score(made):
    record, answers = made("choose")[:2]
    free = record | {
        "right_from": None,
        "arms": {name: {k: v for k, v in arm.items() if k != "right"} for name, arm in record["arms"].items()},
    }
    page, text = render(free, answers), render_summary(free)
    assert not re.search(r"^ *arm.*\bright\b|right: ", text, re.M)
    assert "does not say which answers are right" in page
    assert not re.search(r"\d+ of \d+ right|\u2713", page)
    assert "\u2713" in render(record, answers)
    assert re.search(r'class="mark scored"><bdi>rag</bdi> (1|\.\d+)<', page)


def test_a_metric_that_the_settings_name_and_no_arm_has_a_value_of_is_shown_as_a_dash(made) -> None:
    record, answers = made("choose")[:2]
    config = record["config"] | {"study": record["config"]["study"] | {"metrics": ["abstention_f1"]}}
    asked = record | {"config": config}
    lines = render_summary(asked).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("  arm "))
    place = lines[start].index("abstention F1")
    assert {line[place:].split()[0] for line in lines[start + 1 : start + 7]} == {"-"}
    assert '<th scope="col">abstention F1</th>' in render(asked, answers)


def test_where_arms_were_timed_on_different_numbers_of_answers_the_summary_says_why(made) -> None:
    record = made("choose")[0]
    why = "a slow arm is timed on fewer, for 20 seconds or a tenth of its answering time"
    assert why not in render_summary(record)
    slow = record["arms"]["rag"] | {"latency": record["arms"]["rag"]["latency"] | {"n": 5}}
    assert why in render_summary(record | {"arms": record["arms"] | {"rag": slow}})
