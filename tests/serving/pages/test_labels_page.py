"""Answers labelled blind in a browser, with the keyboard alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import browsing
import pytest
from playwright.sync_api import Page

Window = Callable[..., browsing.Watched]


@pytest.fixture(autouse=True)
def no_labels(workbench: Any) -> Any:
    yield
    (workbench.directory / "serving" / "labels.jsonl").unlink(missing_ok=True)


def lines(workbench: Any) -> list[dict[str, Any]]:
    text = (workbench.directory / "serving" / "labels.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def question(page: Page) -> str:
    return page.locator("h2.question").inner_text()


def begun(window: Window, workbench: Any, kind: str = "Compare blind", name: str = "Ann") -> Page:
    page = window(workbench.server.url).open("/examples")
    page.get_by_role("link", name=kind).click()
    page.get_by_label("Your name").fill(name)
    page.keyboard.press("Enter")
    page.locator("#label").wait_for()
    page.wait_for_load_state()  # a key that is pressed before the scripts run is lost
    return page


def test_two_answers_are_compared_with_the_keyboard_and_the_last_is_undone(window: Window, workbench: Any) -> None:
    page = begun(window, workbench)
    first = question(page)
    page.keyboard.press("2")
    page.keyboard.press("b")
    page.keyboard.press("n")
    page.keyboard.type("says 1 of 2")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.get_by_text("1 of ").wait_for()
    second = question(page)
    assert second != first
    (label,) = lines(workbench)
    assert (label["by"], label["kind"], label["choice"], label["reasons"]) == ("Ann", "pair", "second", ["incomplete"])
    assert (label["note"], label["question"], label["study"]) == ("says 1 of 2", first, "0002-project")
    shown = {answer["arm"] for answer in label["answers"]}
    assert shown == {"base", "rag"}

    page.wait_for_load_state()
    page.keyboard.press("s")
    page.wait_for_function("before => document.querySelector('h2.question')?.innerText !== before", arg=second)
    page.wait_for_load_state()
    assert question(page) not in (first, second)
    page.keyboard.press("u")
    page.wait_for_url("**item=**")
    assert question(page) == first
    assert lines(workbench)[1]["undoes"] == label["id"]
    assert page.get_by_role("status").inner_text().startswith("0 of ")


def test_nothing_on_the_page_says_whose_answers_they_are(window: Window, workbench: Any) -> None:
    page = begun(window, workbench)
    content = page.locator("main").inner_html()
    assert ">base<" not in content
    assert "rag" not in content.replace("paragraph", "")
    assert page.get_by_role("heading", name="Answer 1").is_visible()


def test_shortcuts_can_be_turned_off_and_stay_off(window: Window, workbench: Any) -> None:
    page = begun(window, workbench, "Mark blind")
    page.get_by_label("Keyboard shortcuts").uncheck()
    page.locator("body").press("1")
    assert page.locator("input[name=choice]:checked").count() == 0
    page.reload()
    assert not page.get_by_label("Keyboard shortcuts").is_checked()
    page.get_by_label("Partly right").check()
    page.get_by_role("button", name="Store and go on").click()
    page.get_by_text("1 of ").wait_for()
    assert [(one["kind"], one["choice"]) for one in lines(workbench)] == [("mark", "partly")]


def test_labels_say_how_far_people_and_the_metric_agree(window: Window, workbench: Any) -> None:
    view = window(workbench.server.url)
    assert view.open("/examples/labels").get_by_role("heading", name="No label yet").is_visible()
    for name in ("Ann", "Ben"):
        page = begun(window, workbench, "Mark blind", name)
        for _ in range(3):
            page.wait_for_load_state()
            before = page.url
            page.keyboard.press("1")
            page.keyboard.press("Enter")
            # Not the question: that of the next item may be the same, answered by another arm.
            page.wait_for_url(lambda url, before=before: url != before and "after=" in url)
    page = view.open("/examples/labels")
    text = page.locator("main").inner_text()
    assert "6 labels by Ann, Ben" in text
    assert "Two people agree in 1.000 [" in text
    assert page.locator("table").last.locator("tbody tr").count() == 6
    assert view.violations() == []


def test_a_label_without_a_choice_or_a_name_is_refused(workbench: Any) -> None:
    with workbench.server.client() as client:
        page = client.get("/examples/label?kind=mark&by=Ann").text
        item = page.split('name="item" value="')[1].split('"')[0]
        form = {"kind": "mark", "study": "0002-project", "item": item, "by": "Ann"}
        assert client.post("/examples/label", data={**form, "choice": "first"}).status_code == 400
        assert client.post("/examples/label", data={**form, "choice": "right", "by": " "}).status_code == 400
        assert client.post("/examples/label", data={**form, "choice": "right", "item": "0"}).status_code == 404
        assert client.post("/examples/label", data={**form, "choice": "right"}).status_code == 303
        foreign = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
        assert client.post("/examples/label", data={**form, "choice": "right"}, headers=foreign).status_code == 403
    assert len(lines(workbench)) == 1
