"""The page of examples in a browser: found, edited, added; what is typed is never lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import browsing
import pytest
from playwright.sync_api import expect

Window = Callable[..., browsing.Watched]


def records(directory: Path) -> list[dict[str, Any]]:
    text = (directory / "data" / "examples.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


@pytest.fixture(autouse=True)
def as_it_was(workbench: Any) -> Any:
    path = workbench.directory / "data" / "examples.jsonl"
    before = path.read_bytes()
    yield
    path.write_bytes(before)


def test_examples_are_filtered_and_those_that_cannot_be_used_say_why(window: Window, workbench: Any) -> None:
    page = window(workbench.server.url).open("/examples")
    assert page.get_by_role("status").inner_text() == "30 examples"
    page.get_by_label("Words of question").fill("canteen open (3)")
    page.get_by_role("button", name="Find").click()
    assert page.get_by_role("status").inner_text() == "1 example"
    page.goto(workbench.server.url + "/examples?split=test")
    assert set(page.locator("tbody td[data-h=Split]").all_inner_texts()) == {"test"}
    page.get_by_label("Records").select_option("1")
    page.get_by_label("Split").select_option("")
    page.get_by_role("button", name="Find").click()
    row = page.locator("tbody tr").inner_text()
    assert "No answer" in row
    assert "Give it answers" in row


def test_an_example_is_edited_in_its_line(window: Window, workbench: Any) -> None:
    before = records(workbench.directory)
    page = window(workbench.server.url).open("/examples?words=" + before[4]["question"].replace(" ", "+"))
    page.locator("tbody th a").click()
    page.wait_for_load_state()  # what is typed before the scripts run adds no field
    answers = page.locator("#answers textarea")
    assert answers.count() == 2
    answers.nth(1).fill("four euros")
    expect(answers).to_have_count(3)  # there is room for another one
    page.get_by_role("button", name="Store it").click()
    assert "Stored:" in page.get_by_role("status").first.inner_text()
    after = records(workbench.directory)
    assert after[4] == {**before[4], "answers": [*before[4]["answers"], "four euros"]}
    assert after[:4] + after[5:] == before[:4] + before[5:]


def test_a_conflict_is_told_and_what_was_typed_stays(window: Window, workbench: Any) -> None:
    path = workbench.directory / "data" / "examples.jsonl"
    page = window(workbench.server.url).open("/examples/edit?file=data/examples.jsonl&line=2")
    page.get_by_label("Question").fill("Mine?")
    theirs = path.read_text(encoding="utf-8").splitlines()
    theirs[1] = json.dumps({**json.loads(theirs[1]), "question": "Theirs?"})
    path.write_text("\n".join(theirs), encoding="utf-8")
    page.get_by_role("button", name="Store it").click()
    assert "Somebody changed this example while you did" in page.get_by_role("alert").last.inner_text()
    assert page.get_by_label("Question").input_value() == "Mine?"
    assert page.get_by_role("link", name="What it says now").is_visible()
    assert records(workbench.directory)[1]["question"] == "Theirs?"


def test_an_example_is_added_and_one_without_an_answer_is_not(window: Window, workbench: Any) -> None:
    view = window(workbench.server.url)
    page = view.open("/examples/edit")
    page.get_by_label("Question").fill("Who swims?")
    page.get_by_role("button", name="Store it").click()
    assert "The example has no right answer" in page.get_by_role("alert").last.inner_text()
    assert page.get_by_label("Question").input_value() == "Who swims?"
    assert view.refused == [400]
    page.get_by_label("The documents do not say").check()
    page.get_by_role("button", name="Store it").click()
    assert "Stored:" in page.get_by_role("status").first.inner_text()
    added = records(workbench.directory)[-1]
    assert (added["question"], added["answerable"], added["origin"]) == ("Who swims?", False, "human")


def test_an_example_is_taken_out_and_all_others_keep_their_line(window: Window, workbench: Any) -> None:
    path = workbench.directory / "data" / "examples.jsonl"
    before = path.read_text(encoding="utf-8").splitlines()
    view = window(workbench.server.url)
    page = view.open("/examples/edit?file=data/examples.jsonl&line=3")
    page.get_by_text("Take this example out").click()
    assert view.violations() == []
    page.get_by_role("button", name="Take it out").click()
    assert "Taken out: data/examples.jsonl:3" in page.get_by_role("status").first.inner_text()
    assert path.read_text(encoding="utf-8").splitlines() == [*before[:2], "", *before[3:]]


def test_an_example_that_names_no_document_is_not_stored(window: Window, workbench: Any) -> None:
    before = records(workbench.directory)
    page = window(workbench.server.url).open("/examples/edit?file=data/examples.jsonl&line=3")
    page.get_by_label("Documents that hold").fill("parkin")
    page.get_by_role("button", name="Store it").click()
    expect(page.get_by_text("No document that you may read has the id 'parkin'.")).to_be_visible()
    expect(page.get_by_label("Documents that hold")).to_have_value("parkin")
    assert records(workbench.directory) == before


def test_a_correction_is_looked_at_and_becomes_an_example(window: Window, workbench: Any) -> None:
    said = {
        "messages": [
            {"role": "user", "content": "When does the canteen open?"},
            {"role": "assistant", "content": "At seven."},
            {"role": "user", "content": "And what is there on Fridays?"},
        ],
        "answer": "I do not know.",
        "correction": "Fish.",
    }
    view = window(workbench.server.url)
    page = view.open("/examples/feedback")
    expect(page.locator(".empty h2")).to_have_text("No correction yet")
    with workbench.server.client() as client:
        assert client.post("/v1/feedback", json=said).status_code == 200
    page.reload()
    assert view.violations() == []
    page.get_by_role("link", name="Look and store").click()
    expect(page.locator(".turns")).to_contain_text("At seven.")
    expect(page.locator("#answers textarea").first).to_have_value("Fish.")
    page.get_by_role("button", name="Store it").click()
    added = records(workbench.directory)[-1]
    assert (added["messages"], added["answers"], added["origin"]) == (said["messages"], ["Fish."], "log")
    page.goto(workbench.server.url + "/examples/feedback")
    expect(page.locator("tbody tr")).to_contain_text(["asked already"])
