"""The page Ask: answers that come as a stream, their sources, what people say of them, and what goes wrong."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import browsing
import pytest
from playwright.sync_api import Error, Page, Route, expect
from serving_process import Running, served
from test_holdings import STAFF

from small_project import write_project
from twofold.cli.main import main
from twofold.errors import BadKey, Closing, DeadlinePassed, NotServed, QueueFull, TooLong, TwofoldError
from twofold.labelling.labels import LABELS, LabelLog
from twofold.project import Project
from twofold.serving import faults
from twofold.serving.pages import ask
from twofold.serving.pages.layout import environment
from twofold.serving.service import FEEDBACK
from twofold.types import Document, Filter, Place

Window = Callable[..., browsing.Watched]
QUESTION, ANSWER = "What does parking cost?", "Parking costs 4 euros a day."
CHAT = "**/v1/chat/completions"
IN_SIGHT = """selector => [...document.querySelectorAll(selector)].map(one => {
  one.scrollIntoView({block: "nearest", behavior: "instant"});
  const box = one.getBoundingClientRect();
  return [box.top + 3, box.bottom - 3].every((y) => document.elementFromPoint(box.x + box.width / 2, y) === one);
})"""
"""For each element: once it is scrolled into the window, is it seen, with nothing over it?"""


@pytest.fixture(scope="module")
def asked(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A measured project, to be told what people think of its answers."""
    return Path(shutil.copytree(measured, tmp_path_factory.mktemp("asked") / "p"))


@pytest.fixture(scope="module")
def both(asked: Path) -> Iterator[Running]:
    """A server of two arms."""
    with served(asked, "--arm", "rag", "--arm", "base") as running:
        yield running


def put(page: Page, question: str = QUESTION) -> None:
    """Ask, and wait until the answer is complete."""
    expect(page.locator("#first option").first).to_be_attached()
    page.fill("#question", question)
    page.press("#question", "Enter")
    expect(page.locator("#turns")).to_have_attribute("aria-busy", "false")


@pytest.mark.parametrize("size", [browsing.WIDE, browsing.NARROW], ids=["wide", "narrow"])
def test_an_answer_is_read_beside_its_source(window: Window, size: tuple[int, int]) -> None:
    view = window(size=size)
    page = view.open("/ask")
    put(page)
    expect(page.locator(".said")).to_have_text(f"{ANSWER}1")
    expect(page.locator(".sources li")).to_contain_text(["On parking changed "])
    mark = page.locator(".said a.cite")
    mark.hover()
    expect(page.locator("#peek .quoted")).to_have_text("Parking costs 4 euros a day")
    page.locator("#peek .quoted").hover()  # it may be pointed at, to be read and selected
    expect(page.locator("#peek")).to_be_visible()
    assert view.violations() == []
    mark.click()
    expect(page.locator("#beside mark")).to_have_text("Parking costs 4 euros a day")
    expect(page.locator("#beside .text")).to_contain_text("It is free on Sunday.")
    expect(page.locator("#source-title")).to_be_focused()
    assert view.violations() == []
    assert view.sideways() <= 0
    page.keyboard.press("Escape")
    expect(page.locator("#beside")).to_be_hidden()
    expect(mark).to_be_focused()


def test_a_conversation_goes_on_after_a_reload_until_a_new_one_begins(window: Window) -> None:
    page = window().open("/ask")
    put(page)
    put(page, "When does the canteen open?")
    page.reload()
    expect(page.locator(".asked")).to_have_text([QUESTION, "When does the canteen open?"])
    with page.expect_request(CHAT) as sent:
        put(page, "And on Sunday?")
    messages = sent.value.post_data_json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert messages[1]["content"] == ANSWER  # as it was said: the marks are Twofold's
    page.click("#anew")
    expect(page.locator(".turn")).to_have_count(0)
    page.reload()
    expect(page.locator(".turn")).to_have_count(0)


def test_a_correction_becomes_an_example(window: Window, both: Running, asked: Path) -> None:
    page = window(both.url).open("/ask")
    put(page)
    page.get_by_role("button", name="Helpful", exact=True).click()
    expect(page.get_by_role("button", name="Helpful", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Correct it").click()
    page.get_by_label("The answer it should have been").fill("4 euros a day, nothing on Sunday")
    page.get_by_role("button", name="Save the correction").click()
    expect(page.get_by_role("link", name="Examples, Corrections")).to_have_attribute("href", "/examples/feedback")
    rows = [json.loads(line) for line in (asked / FEEDBACK).read_text(encoding="utf-8").splitlines()]
    assert [(row["rating"], row["correction"]) for row in rows] == [
        ("up", ""),
        ("down", "4 euros a day, nothing on Sunday"),
    ]
    assert rows[1]["answer"] == ANSWER
    assert [hit["document"] for hit in rows[1]["hits"]] == ["parking"]
    assert main(["examples", "mine", str(asked / FEEDBACK), "-C", str(asked)]) == 0
    (example,) = [json.loads(line) for line in (asked / "mined.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (example["origin"], example["answers"]) == ("log", ["4 euros a day, nothing on Sunday"])


def test_two_answers_are_compared_blind(window: Window, both: Running, asked: Path) -> None:
    view = window(both.url)
    page = view.open("/ask")
    expect(page.locator("#pairing")).to_be_visible()
    page.select_option("#second", "base")
    page.check("#blind")
    page.route(CHAT, lambda route: route.continue_() if route.request.post_data_json["model"] == "rag" else None)
    with page.expect_response(CHAT):
        page.fill("#question", QUESTION)
        page.press("#question", "Enter")
    # Who answers first would tell which is which. Not `finished`: for a stream that was intercepted it may never come.
    page.wait_for_timeout(500)
    assert page.locator(".said").all_inner_texts() == ["", ""]
    assert page.locator(".two .answer").all_inner_texts() == [
        f"Answer {letter}\n\nAnswering: both answers appear together" for letter in "AB"
    ]
    page.click("#stop")
    page.unroute(CHAT)
    page.click("#anew")
    put(page)
    assert page.locator(".who").all_inner_texts() == ["Answer A", "Answer B"]
    assert page.locator(".remark").count() == 0, "that one cites nothing is no matter of which is better"
    assert view.violations() == []
    # On a phone the field for the next question must not lie over this one.
    page.set_viewport_size({"width": browsing.NARROW[0], "height": browsing.NARROW[1]})
    assert page.evaluate(IN_SIGHT, ".choice.asking button") == [True] * 4
    page.set_viewport_size({"width": browsing.WIDE[0], "height": browsing.WIDE[1]})
    texts = page.locator(".said").all_inner_texts()
    first = texts[0].startswith("Parking")
    page.get_by_role("button", name="A is better" if first else "B is better").click()
    expect(page.get_by_text("Stored")).to_be_visible()
    assert page.locator(".who").all_inner_texts() == (["rag", "base"] if first else ["base", "rag"])
    assert page.locator("#composer").evaluate("form => getComputedStyle(form).position") == "sticky"
    remark = "What answered reads no documents, and gave no answer."
    assert page.locator(".answer", has_text=ANSWER).locator(".remark").count() == 0
    expect(page.locator(".answer", has_text=remark).locator(".who")).to_have_text("base")
    (label,) = LabelLog(asked / LABELS).all()
    assert (label.preferred, label.by, label.question, label.kind) == ("rag", "local", QUESTION, "pair")
    with page.expect_request(CHAT) as sent:
        put(page, "And on Sunday?")
    assert sent.value.post_data_json["messages"][1]["content"] == ANSWER


@pytest.mark.parametrize("size", [browsing.WIDE, browsing.NARROW], ids=["wide", "narrow"])
def test_an_empty_page_does_not_scroll_under_its_notice(window: Window, workbench: Any, size: tuple[int, int]) -> None:
    page = window(workbench.server.url, size=size).open("/ask")
    expect(page.locator(".strip")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollHeight - innerHeight") <= 0


def test_an_answer_can_be_stopped(window: Window) -> None:
    page = window().open("/ask")
    waiting: list[Route] = []

    def leave(route: Route) -> None:  # a function of Python: the driver takes no built-in method
        waiting.append(route)

    page.route(CHAT, leave)
    expect(page.locator("#first option").first).to_be_attached()
    page.fill("#question", QUESTION)
    page.press("#question", "Enter")
    expect(page.get_by_text("Reading the documents")).to_be_visible()
    page.click("#stop")
    expect(page.get_by_text("You stopped this answer.")).to_be_visible()
    expect(page.locator("#question")).to_be_focused()
    # What is intercepted and never answered may hold up the next page of this session.
    for route in waiting:
        with suppress(Error):  # the page has given it up itself
            route.abort()


def refusal(error: TwofoldError) -> Callable[[Route], None]:
    status, body, headers = faults.of_error(error)
    return lambda route: route.fulfill(status=status, headers=headers, json=body)


def stream(event: object) -> Callable[[Route], None]:
    body = f"data: {json.dumps(event)}\n\n"
    return lambda route: route.fulfill(content_type="text/event-stream", body=body)


@pytest.mark.parametrize(
    ("error", "title", "button"),
    [
        (QueueFull("8 requests wait"), "Many people are asking at the moment", "Ask again in"),
        (Closing("the server is stopping"), "The server takes no questions at the moment", "Ask again in"),
        (DeadlinePassed("no answer within 60 s"), "The answer took too long", "Ask again"),
        (BadKey("the session is over"), "You are signed out", "Sign in"),
        (TooLong("9000 tokens"), "The conversation is too long for the model", "Ask it in a new conversation"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, TwofoldError) else "",
)
def test_what_goes_wrong_is_said_with_what_to_do(window: Window, error: TwofoldError, title: str, button: str) -> None:
    view = window()
    page = view.open("/ask")
    put(page)
    if isinstance(error, QueueFull | Closing):
        # Long enough to be read on a busy machine before it has run down.
        error.retry_after = 15.0
    page.route(CHAT, refusal(error))
    put(page, "And on Sunday?")
    expect(page.locator(".notice.bad .title")).to_have_text(title)
    expect(page.locator(".notice.bad")).to_contain_text(error.message, ignore_case=True)
    # Words for programs: headers, parameters, code between backticks.
    assert not re.search(r"Retry-After|max_tokens|Authorization|`", page.locator(".notice.bad").inner_text())
    words = re.compile(rf"^{button}{' [0-9]+ s' if button == 'Ask again in' else ''}$")
    expect(page.locator(".notice.bad").get_by_text(words)).to_be_visible()
    assert view.violations() == []
    page.unroute(CHAT)
    if button.startswith("Ask"):
        # Waits until the seconds of Retry-After are over.
        page.locator(".notice.bad button:not([disabled])").first.click(timeout=30000)
        expect(page.locator(".notice.bad")).to_have_count(0)
        expect(page.locator(".said").last).to_contain_text("Sunday")


def test_an_answer_that_breaks_off_is_no_answer(window: Window) -> None:
    page = window().open("/ask")
    piece = {"choices": [{"delta": {"content": "Parking"}, "finish_reason": None}]}
    page.route(
        CHAT, lambda route: route.fulfill(content_type="text/event-stream", body=f"data: {json.dumps(piece)}\n\n")
    )
    put(page)
    expect(page.locator(".notice.bad .title")).to_have_text("The answer broke off")
    expect(page.locator(".said")).to_have_text("Parking")  # what came is shown, and is no part of the conversation
    page.unroute(CHAT)
    with page.expect_request(CHAT) as sent:
        put(page, "And on Sunday?")
    assert [turn["content"] for turn in sent.value.post_data_json["messages"]] == ["And on Sunday?"]


def test_beside_an_arm_only_another_can_be_chosen(window: Window, both: Running) -> None:
    page = window(both.url).open("/ask")
    expect(page.locator("#pairing")).to_be_visible()
    expect(page.locator("#second option:not([disabled])")).to_have_text(["nothing else", "base"])
    page.select_option("#second", "base")
    page.select_option("#first", "base")
    expect(page.locator("#second")).to_have_value("")
    expect(page.locator("#second option:not([disabled])")).to_have_text(["nothing else", "rag"])


def test_a_page_that_could_not_learn_what_answers_says_so_until_it_can(window: Window) -> None:
    view = window()
    view.page.route("**/v1/models", refusal(QueueFull("8 requests wait")))
    page = view.open("/ask")
    expect(page.locator("#no-models")).to_contain_text("8 requests wait. Ask again in a moment.")
    page.unroute("**/v1/models")
    page.fill("#question", QUESTION)
    page.press("#question", "Enter")
    expect(page.locator(".said")).to_contain_text("Parking")
    expect(page.locator("#no-models")).to_have_count(0)


def test_parts_that_are_down_are_said_with_the_answer(window: Window) -> None:
    page = window().open("/ask")
    reply = {
        "choices": [{"delta": {"citations": []}, "finish_reason": "stop"}],
        "twofold": {
            "text": "<b>4</b> euros",
            "degraded": [{"part": "the tool prices", "since": "2026-11-30T12:00:00+00:00"}],
            "abstained": False,
        },
    }
    page.route(
        CHAT, lambda route: route.fulfill(content_type="text/event-stream", body=f"data: {json.dumps(reply)}\n\n")
    )
    put(page)
    expect(page.locator(".remark.warn")).to_contain_text("written without the tool prices, which is down since ")
    expect(page.locator(".said")).to_have_text("<b>4</b> euros")  # as text, whatever the model says


def test_a_source_is_a_page_of_its_own_where_it_is_opened_apart(window: Window) -> None:
    view = window()
    page = view.open("/ask/source?document=parking&start=0&end=27")
    expect(page.locator("mark")).to_have_text("Parking costs 4 euros a day")
    assert view.violations() == []
    page.goto(f"{view.url}/ask/source?document=none")
    expect(page.locator("h1")).to_have_text("There is nothing here")


# ------------------------------------------------------------ the document beside the answer


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project of a document for staff, one for the board, and a long one for all; its text looks like a page."""
    documents = [
        {"id": "parking", "text": "<script>alert(1)</script> 4 euros", "readers": ["group:staff"]},
        {"id": "board", "text": "Parking will cost 9 euros.", "readers": ["group:board"]},
        {"id": "long", "text": f"{'a' * ask.ROOM}b{'c' * ask.ROOM}de", "readers": ["group:staff"]},
    ]
    directory = tmp_path_factory.mktemp("library") / "p"
    write_project(directory, documents, [("parking", "What?", "4")], copies=3, settings="[access]\nenabled = true\n")
    with Project.open(directory) as project:
        project.sync()
        yield project


def test_only_who_may_read_a_document_sees_it_beside_an_answer(library: Project) -> None:
    assert ask.viewed(library, STAFF, "parking", start=0, end=8).parts[0].marked == "<script>"
    words = []
    for name, seen in (("board", STAFF), ("none", STAFF), ("parking", Filter(principal=("everyone",)))):
        with pytest.raises(NotServed) as refused:
            ask.viewed(library, seen, name, start=0, end=8)
        words.append(str(refused.value))
    assert len(set(words)) == 1


def test_a_document_that_looks_like_a_page_is_shown_as_text(library: Project) -> None:
    view = ask.viewed(library, STAFF, "parking", start=0, end=8)
    text = environment().get_template("ask/source.html").render(view=view, heading="h2")
    assert "<mark>&lt;script&gt;</mark>alert(1)&lt;/script&gt; 4 euros" in text


def test_of_a_long_document_the_part_around_the_words_is_shown(library: Project) -> None:
    view = ask.viewed(library, STAFF, "long", start=ask.ROOM, end=ask.ROOM + 1)
    (part,) = view.parts
    assert (len(part.before), part.marked, len(part.after)) == (ask.ROOM, "b", ask.ROOM)
    assert (view.cut_before, view.cut_after) == (False, True)
    beyond = ask.viewed(library, STAFF, "long", start=10**9, end=0)
    assert (beyond.cut_before, beyond.cut_after, beyond.parts[-1].marked) == (True, False, "")


def test_pages_are_named_where_they_begin() -> None:

    places = (Place(start=0, label="page 1"), Place(start=10, label="page 2"), Place(start=20, label="page 3"))
    document = Document(id="a", text="0123456789abcdefghijABCDEFGHIJ", places=places)
    parts = list(ask._parts(document, (12, 30), (18, 22)))
    assert [(part.label, part.before, part.marked, part.after) for part in parts] == [
        ("page 2", "cdefgh", "ij", ""),
        ("page 3", "", "AB", "CDEFGHIJ"),
    ]
