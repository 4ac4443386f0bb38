"""The page Models: what was tuned, what it was made of, and moving the champion."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browsing
import pytest
from playwright.sync_api import expect
from serving_process import Running, served

from twofold.project import Project
from twofold.serving.pages.models import abilities, ancestry, because, gate_of
from twofold.store.model_registry import short

Window = Callable[..., browsing.Watched]
STORED = Path(__file__).parents[2] / "samples" / "stored_project_2.tar.xz"


@pytest.fixture(scope="module")
def tuned(tuned_once: tuple[Path, str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A copy for the tests of this file, which move the champion and put it back."""
    directory, first, second = tuned_once
    return Path(shutil.copytree(directory, tmp_path_factory.mktemp("models") / "p")), first, second


@pytest.fixture(scope="module")
def models(tuned: tuple[Path, str, str]) -> Iterator[Running]:
    """A server of the project with models."""
    with served(tuned[0], "--unmeasured") as running:
        yield running


def test_a_model_becomes_the_champion_and_is_taken_back(
    window: Window, models: Running, tuned: tuple[Path, str, str]
) -> None:
    directory, first, second = tuned
    view = window(models.url)
    page = view.open("/models")
    expect(page.locator("tbody").first.locator("tr")).to_have_count(2)
    assert view.violations() == []
    page.get_by_role("link", name=short(second)).first.click()
    expect(page.locator("h1")).to_have_text(short(second))
    expect(page.locator("figure svg").first).to_be_visible()
    assert view.violations() == []
    page.get_by_label("Reason, for the log").fill("<b>quicker</b>")
    page.get_by_role("button", name="Promote").click()
    expect(page.locator(".head .badge", has_text="champion")).to_be_visible()
    with Project.open(directory) as project:
        assert project.catalogue.models.aliases() == {"champion": second}
    with models.client() as client:
        page.wait_for_timeout(100)
        expect(page.get_by_text("served now")).to_have_count(0)
        _followed(client, second)
    page.goto(f"{models.url}/models")
    expect(page.get_by_text("<b>quicker</b>")).to_be_visible()
    page.get_by_text("Roll back", exact=True).click()
    assert view.violations() == []
    page.get_by_role("button", name=f"Roll back to {short(first)}").click()
    # The newest move, which stands first: moves of before may have been taken back, too.
    newest = page.locator("tr", has=page.locator("time")).first
    expect(newest.get_by_text("rolled back")).to_be_visible()
    with Project.open(directory) as project:
        assert project.catalogue.models.aliases() == {"champion": first}


def _followed(client: Any, model: str) -> None:
    """Wait until the server serves the model."""
    import time

    end = time.monotonic() + 30
    while model not in {row["model"] for row in client.get("/v1/models").json()["data"]}:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_what_cannot_be_promoted_changes_nothing_and_says_why(models: Running, tuned: tuple[Path, str, str]) -> None:
    people = {"accept": "text/html"}
    with models.client() as client, Project.open(tuned[0]) as project:
        before = project.catalogue.models.aliases()
        for form, status, words in (
            ({"model": "none", "alias": "champion"}, 404, "Unknown tuned model"),
            ({"model": tuned[1], "alias": "Not An Alias"}, 409, "Invalid alias"),
            ({}, 409, "Invalid alias"),
        ):
            reply = client.post("/models/promote", data=form, headers=people)
            assert (reply.status_code, words in reply.text) == (status, True), form
        reply = client.post("/models/rollback", data={"alias": "nobody"}, headers=people)
        assert (reply.status_code, "has no previous model" in reply.text) == (409, True)
        assert client.get("/models/none", headers=people).status_code == 404
        foreign = client.post(
            "/models/promote", data={"model": tuned[2], "alias": "champion"}, headers={"origin": "http://evil.example"}
        )
        assert foreign.status_code == 403
        assert project.catalogue.models.aliases() == before


def test_a_project_without_models_says_how_to_get_one(window: Window) -> None:
    view = window()
    page = view.open("/models")
    expect(page.locator(".empty h2")).to_have_text("No model was tuned here yet")


def record(name: str, parent: str = "") -> Any:
    return {"id": name, "lineage": {"from": parent} if parent else {}}


def test_ancestry_goes_back_to_the_first_and_on_to_what_came_of_it() -> None:
    records = [record("a"), record("b", "a"), record("c", "b"), record("d", "c"), record("e", "gone")]
    line = ancestry(records, "c")
    assert [one["id"] for one in line.before] == ["a", "b"]
    assert [one["id"] for one in line.after] == ["d"]
    assert ancestry(records, "e").before == ()
    looped = [record("a", "b"), record("b", "a")]
    assert [one["id"] for one in ancestry(looped, "a").before] == ["a", "b"]


def test_how_much_was_forgotten_is_said_in_words() -> None:
    gates: list[Any] = [None, {"passed": True}, {"passed": False, "failed": False}, {"passed": False, "failed": True}]
    assert [gate_of({"gate": gate}) for gate in gates] == [  # type: ignore[typeddict-item]
        ("not measured", "plain"),
        ("within the limit", "good"),
        ("undecided", "warn"),
        ("too much", "bad"),
    ]


def test_why_a_gate_did_not_pass_names_the_ability_in_words() -> None:
    estimates = {"base": {}, "tuned": {}, "drop": {}}
    gate: Any = {"general": {**estimates, "because": "a drop of 0.2"}, "refusal": {**estimates, "because": ""}}
    assert because(gate) == ["general ability: a drop of 0.2"]
    assert [row["title"] for row in abilities(gate)] == ["general ability", "refusing and abstaining"]
    assert because({"because": "an earlier version's text"}) == ["an earlier version's text"]
