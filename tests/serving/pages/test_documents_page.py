"""The page of documents in a browser: list, sources, chunks, the search bench; added, replaced, deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import browsing

Window = Callable[..., browsing.Watched]


def test_a_document_is_found_in_the_list_and_shown_as_it_is_cut(window: Window, workbench: Any) -> None:
    page = window(workbench.server.url).open("/documents")
    page.get_by_label("Words of the title or id").fill("parking")
    page.get_by_role("button", name="Find").click()
    assert page.get_by_role("status").inner_text() == "1 document fits"
    page.get_by_role("link", name="On parking").click()
    chunk = page.locator(".chunk").first
    assert "Parking costs 4 euros a day." in chunk.inner_text()
    assert "tokens" in chunk.inner_text()
    page.get_by_role("navigation", name="Documents").get_by_role("link", name="List").click()
    page.get_by_label("Words of the title or id").fill("nowhere")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="No document fits").wait_for()


def test_sources_say_what_failed_and_what_helps(window: Window, workbench: Any) -> None:
    page = window(workbench.server.url).open("/documents/sources")
    card = page.get_by_label("Source notes")
    assert "1 file failed" in card.inner_text()
    assert "notes/broken.docx" in card.inner_text()
    # A broken file leaves the index; only what cannot be reached stays as it was read before.
    assert "1 file could not be read; its text is not found" in card.inner_text()
    assert "Open the file in its own program and save it again" in card.inner_text()
    assert "all read" in page.get_by_label("Source documents").inner_text()


def test_the_bench_shows_every_stage_of_a_search(window: Window, workbench: Any) -> None:
    page = window(workbench.server.url).open("/documents/search")
    page.get_by_label("A question, or words to search for").fill("What does parking cost?")
    page.keyboard.press("Enter")
    page.locator("thead th").first.wait_for()
    heads = page.locator("thead th").all_inner_texts()
    assert heads == ["Passage", "meaning", "words", "search hybrid", "shown"]
    first = page.locator("tbody tr").first.inner_text()
    assert "On parking" in first
    assert "1." in first


def test_a_document_is_added_found_replaced_and_deleted(window: Window, workbench: Any) -> None:
    view = window(workbench.server.url)
    page = view.open("/documents/edit")

    def send(title: str, text: str, metadata: str = "") -> None:
        page.get_by_label("Title").fill(title)
        page.get_by_label("Text").fill(text)
        page.get_by_label("Metadata").fill(metadata)
        page.locator("form button").click()

    page.get_by_label("Id").fill("rules/sauna")
    send("On the sauna", "The sauna is heated to 85 degrees.", "lang en")
    assert "Write one field a line" in page.get_by_role("alert").inner_text()
    page.get_by_label("Metadata").fill("lang: en")
    page.locator("form button").click()
    page.wait_for_url("**/documents/view**")
    assert page.get_by_role("heading", level=1).inner_text() == "On the sauna"
    assert "lang" in page.locator(".facts").inner_text()

    page.goto(workbench.server.url + "/documents/edit")
    page.get_by_label("Id").fill("rules/sauna")
    send("Mine", "Another text.")
    page.get_by_text("A document with the id rules/sauna was sent before.").wait_for()
    assert (
        page.get_by_role("link", name="Open it in a new window").get_attribute("href")
        == "/documents/edit?id=rules%2Fsauna"
    )
    assert page.get_by_label("Text").input_value() == "Another text."

    page.goto(workbench.server.url + "/documents/view?id=pushed:rules/sauna")
    page.get_by_role("link", name="Replace").click()
    send("On the sauna", "The sauna is heated to 95 degrees.")
    page.wait_for_url("**/documents/view**")
    assert "95 degrees" in page.locator(".chunk").inner_text()
    page.goto(workbench.server.url + "/documents/search?question=sauna+degrees")
    assert "95 degrees" in page.locator("tbody tr").first.inner_text()

    page.get_by_role("link", name="On the sauna").click()
    page.wait_for_load_state()  # before the page's script runs a click on Delete is lost
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Leave it").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete it").click()
    page.wait_for_url("**/documents")
    assert view.open("/documents/view?id=pushed:rules/sauna").get_by_role("heading", level=1).inner_text() == (
        "There is nothing here"
    )


def test_a_document_that_cannot_be_sent_stays_in_the_form_with_the_reason(window: Window, workbench: Any) -> None:
    page = window(workbench.server.url).open("/documents/edit")
    page.get_by_label("Id").fill("pool")
    page.get_by_label("Text").fill("   ")
    page.locator("form button").click()
    page.get_by_text("Its text is empty").wait_for()
    page.route("**/v1/documents", lambda route: route.abort())
    page.get_by_label("Text").fill("The pool is closed.")
    page.locator("form button").click()
    page.get_by_text("Check the connection and that twofold serve runs").wait_for()
    assert page.get_by_label("Text").input_value() == "The pool is closed."
