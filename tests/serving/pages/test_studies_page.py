"""The page of studies in a browser: the report's parts live, and two studies compared."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import browsing
import pytest

from twofold.plugins.protocols import quiet
from twofold.project import Project
from twofold.serving.pages.studies import Sides, _public, chosen, unpriced, without_costs
from twofold.serving.shelf import StudyShelf
from twofold.settings.sections import StudySection
from twofold.verdict.flips import _cost
from twofold.verdict.racing import sentences
from twofold.verdict.rule import VerdictFacts

Window = Callable[..., browsing.Watched]
ADDRESSES = (
    "/documents",
    "/documents?words=nowhere",
    "/documents/sources",
    "/documents/search",
    "/documents/search?question=What+does+parking+cost",
    "/documents/view?id=parking",
    "/documents/edit",
    "/examples",
    "/examples?remarks=1",
    "/examples/edit",
    "/examples/edit?file=data/examples.jsonl&line=1",
    "/examples/label?kind=pair",
    "/examples/label?kind=pair&by=Ann",
    "/examples/label?kind=mark&by=Ann",
    "/examples/labels",
    "/examples/feedback",
    "/studies",
    "/studies/0001-project",
    "/studies/compare",
    "/studies/0001-project/item?id=canteen-6",
)


@pytest.mark.parametrize(("size", "dark"), [(browsing.WIDE, False), (browsing.NARROW, True)], ids=["wide", "narrow"])
def test_no_page_has_a_fault_that_axe_finds(window: Window, workbench: Any, size: tuple[int, int], dark: bool) -> None:
    view = window(workbench.server.url, size=size, dark=dark)
    for address in ADDRESSES:
        view.open(address)
        assert view.refused == [], address
        assert view.violations() == [], address
        assert view.sideways() <= 0, address


def test_who_may_not_see_prices_sees_those_of_levers_neither() -> None:
    lever: Any = {"lever": "retrieval", "tokens": 100.0, "price": 0.5}
    diagnosis: Any = {"study": "0001-project", "arms": {"rag": {"arm": "rag", "levers": [lever]}}}
    assert unpriced(diagnosis)["arms"]["rag"]["levers"] == [{**lever, "price": None}]
    assert lever["price"] == 0.5


def test_who_may_not_see_prices_sees_no_condition_that_names_a_cost() -> None:
    costs: Any = {"a": (3.0, 4.0), "b": (1.0, 2.0)}
    facts = VerdictFacts(policy="", cost_per_1000=costs, cost_terms="EUR, at 2,000 answers a month")
    dear = [condition for condition, _, _ in _cost(StudySection(), facts)]
    assert len(dear) == 2
    flips = [{"condition": condition, "outcome": "choose", "arm": "b"} for condition in (*dear, "if latency mattered")]
    race: Any = {"planned": 80, "questions": 40, "answers": {"a": 40, "b": 40}, "crowned": "a", "looks": [{}]}
    reasons, _ = sentences({**race, "saved": {"answers": 80, "seconds": 90.0, "amount": 0.3}})
    assert any(".3" in reason for reason in reasons)
    verdict: Any = {"outcome": "choose", "arm": "a", "flips": flips, "because": reasons}
    public = without_costs(verdict)
    assert public == {**verdict, "flips": flips[-1:], "because": [*reasons[:-1]]}
    record: Any = {"config": {}, "bill": [], "verdict": verdict, "race": {**race, "saved": {"amount": 0.3}}}
    assert "0.3" not in json.dumps(_public(record, closed=False))


def test_which_study_answers_is_said(window: Window, workbench: Any) -> None:
    page = window(workbench.server.url).open("/studies")
    assert "rag answers now: it was named." in page.locator("main").inner_text()
    # An arm that the operator named is not changed by a rollback of verdicts.
    assert "twofold rollback" not in page.locator("main").inner_text()


def test_how_far_a_running_study_is_shows_and_that_it_has_ended(window: Window, workbench: Any) -> None:
    view = window(workbench.server.url)
    with Project.open(workbench.directory) as project, project.writing() as writing:
        writing.telling(quiet)("answer rag", 64, 129)
        page = view.open("/studies")
        assert "is at work: answer rag, 64 of 129." in page.locator("#writer").inner_text()
        assert view.violations() == []
    with workbench.server.client() as client:
        assert "The command has ended" in client.get("/studies/progress").text


def test_the_report_lives_in_the_page(window: Window, workbench: Any) -> None:
    page = window(workbench.server.url).open("/studies")
    page.get_by_role("link", name="0001-project").click()
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.locator(".report svg.chart").count() > 0
    page.locator("details.q summary").first.click()
    page.locator("details.q[open] .passage").first.wait_for()
    page.get_by_placeholder("words in question or answers").fill("no such words")
    assert page.locator("#shown").inner_text().startswith("0 of ")
    # The sliders of its costs work here, too.
    page.get_by_label("wrong answer per answer").fill("0.5")
    assert page.locator("#u-volume").get_attribute("aria-valuetext") == "10,000"
    # Its style sheet stays within: the header is still that of the pages.
    assert page.locator("header.bar").evaluate("node => getComputedStyle(node).position") == "sticky"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"format": 1, "arms": ', "The study's diagnosis cannot be read"),
        ('{"format": 1, "notes": [], "arms": {"rag": {"arm": "rag"}}}', "its arm rag has no "),
        ('{"format": 99}', "The diagnosis was written by a newer Twofold"),
    ],
    ids=["cut", "lacking", "newer"],
)
def test_a_damaged_diagnosis_hides_no_study(workbench: Any, text: str, fault: str) -> None:
    path = workbench.directory / "studies" / "0001-project" / "diagnosis.json"
    path.write_text(text, encoding="utf-8")
    try:
        with workbench.server.client() as client:
            study = client.get("/studies/0001-project")
            item = client.get("/studies/0001-project/item?id=canteen-6")
            compared = client.get(
                "/studies/compare/item?first=0001-project&second=0002-project&before=base&after=rag&id=canteen-6"
            )
    finally:
        path.unlink()
    cure = "Upgrade Twofold." if "newer" in fault else "Run twofold diagnose again."
    for reply in (study, item, compared):
        assert reply.status_code == 200, reply.text
        shown = html.unescape(re.sub(r"<[^>]+>", "", reply.text)).replace("’", "'")
        assert fault in shown
        assert cure in shown
    assert "Question by question" in study.text, "the rest of the report stands"


def test_a_judge_is_shown_with_the_study_and_a_damaged_one_hides_nothing(workbench: Any) -> None:
    path = workbench.directory / "studies" / "0001-project" / "judgement.json"
    score: Any = {"mean": 0.7, "low": 0.6, "high": 0.8, "n": 30, "failed": 0}
    bar: Any = {"name": "repeats", "title": "share", "estimate": score, "bar": 0.5, "passed": True, "needed": None}
    counts = dict.fromkeys(("questions", "cached", "unreadable", "failed", "tokens", "seconds", "amount", "tries"), 1)
    judgement: Any = {
        **counts,
        **{"format": 1, "study": "0001-project", "created": "", "twofold": "", "model": "big", "generator": {}},
        **{"mode": "rubric", "rubric": "", "references": True, "constrained": True, "level": 0.95, "people": ["ann"]},
        **{"marks": 30, "marked": 30, "items": 60, "passed": True, "sentence": "the judge big passed", "doubts": []},
        "bars": [{**bar, "detail": ""}],
        "fingerprint": "",
        "arms": {"rag": {"score": score, "people": score, "weight": 0.5, "judged": 60}},
    }
    shown = []
    try:
        for text in (json.dumps(judgement), '{"format": 1}', '{"format": 99}'):
            path.write_text(text, encoding="utf-8")
            with workbench.server.client() as client:
                reply = client.get("/studies/0001-project")
            assert reply.status_code == 200, reply.text
            shown.append(html.unescape(re.sub(r"<[^>]+>", "", reply.text)).replace("’", "'"))
    finally:
        path.unlink()
    assert "The judge big passed" in shown[0]
    assert "30 answers of 60 marked by 1 person" in shown[0]
    assert "The study's judgement cannot be read: it has no" in shown[1]
    assert "The judgement was written by a newer Twofold" in shown[2]
    assert all("Question by question" in text for text in shown)


def test_two_studies_are_compared_question_by_question(window: Window, workbench: Any) -> None:
    page = window(workbench.server.url).open("/studies/compare")
    assert page.get_by_label("Study").first.input_value() == "0001-project"
    assert "paired difference .000 [" in page.locator("main").inner_text()
    # The level is that of the later study's look, which no reader can guess.
    assert " % intervals)" in page.locator(".verdict-line").inner_text()
    page.locator("#first-arm").select_option("base")
    page.get_by_role("button", name="Compare").click()
    assert "better" in page.locator(".verdict-line").inner_text()
    page.get_by_role("navigation", name="Which questions").get_by_role("link", name="better").click()
    page.locator("tbody a").first.click()
    heads = page.locator("h2.arm").all_inner_texts()
    assert heads == ["0001-project: base", "0002-project: rag"]
    assert page.locator("blockquote.cited mark").count() > 0
    assert "Right answer" in page.locator("main").inner_text()
    page.get_by_role("link", name="The comparison").click()
    assert page.locator("#first-arm").input_value() == "base"


@pytest.mark.parametrize("arm", ["", "base", "rag"])
def test_within_a_study_what_came_after_is_the_chosen_arm_else_the_last(
    workbench: Any, tmp_path: Path, arm: str
) -> None:
    shutil.copytree(workbench.directory / "studies" / "0001-project", tmp_path / "0001-project")
    file = tmp_path / "0001-project" / "study.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    record["verdict"]["arm"] = arm
    file.write_text(json.dumps(record), encoding="utf-8")
    pair, _ = chosen(StudyShelf(tmp_path, guarded=False), Sides())
    assert (pair.before, pair.after) == (("rag", "base") if arm == "base" else ("base", "rag"))


@pytest.mark.parametrize(
    "address",
    [
        "/studies/0009",
        "/studies/..%2f..%2ftwofold.toml",
        "/studies/0001-project/item?id=nothing",
        "/studies/compare?first=0007",
        "/studies/compare?before=nobody",
        "/studies/compare?metric=nothing",
        "/studies/compare/item?id=nothing",
        "/documents/view?id=nothing",
        "/documents/edit?id=nothing",
        "/examples/edit?file=twofold.toml&line=1",
        "/examples/edit?file=data/examples.jsonl&line=999",
        "/examples/label?study=0009&by=Ann",
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(workbench: Any, address: str) -> None:
    with workbench.server.client() as client:
        reply = client.get(address, headers={"accept": "text/html"})
    assert reply.status_code == 404
    assert "<h1>There is nothing here</h1>" in reply.text


@pytest.mark.parametrize("address", [a for a in ADDRESSES if "?" not in a])
def test_every_page_has_the_policy_that_lets_nothing_in(workbench: Any, address: str) -> None:
    with workbench.server.client() as client:
        reply = client.get(address)
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert " style=" not in reply.text
    assert " onclick=" not in reply.text
