"""The monitor of the search on a real index: quiet while nothing is lost, loud when it is."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from small_project import write_documents, write_project
from twofold.monitoring import probing
from twofold.monitoring.probing import EXACT, HIT, LEGS, SelfRetrieval
from twofold.monitoring.record import Observation, Reading
from twofold.monitoring.served import Watched
from twofold.project import Project
from twofold.types import Json

NOW = datetime(2026, 12, 1, tzinfo=UTC)
THINGS = [
    "bicycle",
    "canteen",
    "laboratory",
    "parking",
    "printer",
    "visitor",
    "window",
    "elevator",
    "garden",
    "archive",
]
PLACES = ["harbour", "castle", "station", "museum"]
DOCUMENTS = [
    {
        "id": f"{thing}-{place}",
        "title": f"On the {thing} of the {place}",
        "text": f"Whoever needs the {thing} at the {place} asks its porter for the {thing} key number {n}.",
    }
    for n, (thing, place) in enumerate((thing, place) for thing in THINGS for place in PLACES)
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("probed")
    write_project(directory, DOCUMENTS, [("bicycle-harbour", "Whom do I ask?", "the porter")], copies=4, settings="")
    with Project.open(directory) as project:
        project.sync()
    return directory


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "project"))


def look(directory: Path, state: Json | None, **options: Any) -> Observation:
    with Project.open(directory) as project:
        watched = Watched(workspace=project.workspace, root=directory, splits=lambda: project.splits)
        return SelfRetrieval(watched, run_length=1e5, **options).look(state, moment=NOW)


def named(seen: Observation) -> dict[str, Reading]:
    return {row["signal"]: row for row in seen.readings}


def test_an_index_that_nobody_touches_is_quiet(directory: Path) -> None:
    seen = look(directory, None)
    assert {row["state"] for row in seen.readings} == {"learning"}
    for _ in range(6):
        seen = look(directory, seen.state)
    rows = named(seen)
    assert rows[HIT]["state"] == rows[LEGS]["state"] == rows[EXACT]["state"] == "ok"
    assert rows[HIT]["value"] == 0
    assert rows[HIT]["n"] > 50


def test_passages_that_are_crowded_out_alarm_with_what_was_lost(directory: Path) -> None:
    seen = look(directory, None)
    seen = look(directory, seen.state)
    # Near copies, each a little nearer to the probes than the passage itself.
    copies = [
        {**one, "id": f"{one['id']}-{n}", "text": f"{one['title']}. {one['title']}, {n}. {one['text']}"}
        for one in DOCUMENTS[:20]
        for n in range(4)
    ]
    write_documents(directory, [*DOCUMENTS, *copies])
    with Project.open(directory) as project:
        project.sync()
    for _ in range(3):
        seen = look(directory, seen.state)
    row = named(seen)[HIT]
    assert row["state"] == "alarm"
    assert row["value"] is not None
    assert row["value"] > 0.02
    assert row["detail"]["lost"][0]["document"] in {one["id"] for one in DOCUMENTS[:20]}
    assert row["detail"]["lost"][0]["rank"] > 0 == row["detail"]["lost"][0]["now"]
    # They are taken out again: the alarm is over.
    write_documents(directory, DOCUMENTS)
    with Project.open(directory) as project:
        project.sync()
    for _ in range(4):
        seen = look(directory, seen.state)
    assert named(seen)[HIT]["state"] == "ok"


def test_an_index_that_grows_may_lose_more(directory: Path) -> None:
    first = look(directory, None)
    more = [
        {"id": f"new-{n}", "title": f"Rule {n}", "text": f"Rule {n} is about the visitor of house {n}."}
        for n in range(len(DOCUMENTS) // 10)
    ]
    write_documents(directory, [*DOCUMENTS, *more])
    with Project.open(directory) as project:
        project.sync()
    row = named(look(directory, first.state))[HIT]
    assert row["state"] == "ok"
    assert row["detail"]["grown"] == pytest.approx(0.1)
    assert "up to 3.0 % are tolerated, for the index grew by 10 %" in row["why"]
    # What an older version remembered lacks the size: growth counts from now on.
    old = {name: value for name, value in first.state.items() if name != "chunks"}
    row = named(look(directory, old))[HIT]
    assert row["detail"]["grown"] == 0
    assert "up to 2.0 % are tolerated" in row["why"]


def test_documents_that_are_taken_out_are_no_loss(directory: Path) -> None:
    seen = look(directory, look(directory, None).state)
    write_documents(directory, DOCUMENTS[:30])
    with Project.open(directory) as project:
        project.sync()
    for _ in range(4):
        seen = look(directory, seen.state)
    assert named(seen)[HIT]["state"] == "ok"
    assert named(seen)[HIT]["value"] == 0


def test_what_cannot_be_watched_says_so(tmp_path: Path, directory: Path) -> None:
    empty = write_project(tmp_path / "empty", [], [("a", "Who?", "she")], copies=3, settings="")
    assert {row["state"] for row in look(empty, None).readings} == {"unwatched"}
    assert "twofold sync" in look(empty, None).readings[0]["why"]
    seen = look(directory, None)
    shutil.rmtree(directory / ".twofold" / "index")
    after = look(directory, seen.state)
    assert {row["state"] for row in after.readings} == {"unwatched"}
    assert after.state == seen.state


def test_a_slow_look_ends_and_goes_on_at_the_next(directory: Path) -> None:
    seen = look(directory, None, seconds=0.0)
    assert 0 < len(seen.state["reference"]) < 100
    learned = len(seen.state["reference"])
    # The references of the rest are taken at the looks that follow, beside what is known.
    for _ in range(3):
        seen = look(directory, seen.state, sample=5, seconds=0.0)
    assert len(seen.state["reference"]) > learned
    assert named(seen)[HIT]["n"] <= 5


def test_under_access_control_the_detail_names_no_text(directory: Path) -> None:
    with (directory / "twofold.toml").open("a") as file:
        file.write('[access]\nenabled = true\nstudy_user = "ann"\n')
    seen = look(directory, look(directory, None).state)
    assert named(seen)[HIT]["n"] > 0
    assert "porter" not in str(seen.readings)


def test_a_sync_under_way_is_named_and_nothing_is_learned_of_half_an_index(directory: Path) -> None:
    seen = look(directory, None)
    with Project.open(directory) as project, project.writing() as lock:
        lock.telling(lambda _stage, _done, _total: None)("sync", 3, 40)
        meanwhile = look(directory, seen.state)
        assert {row["state"] for row in meanwhile.readings} == {"unwatched"}
        assert "is changing the index" in meanwhile.readings[0]["why"]
        assert meanwhile.state == seen.state
        # Another writer changes no index: a study may run for hours.
        lock.telling(lambda _stage, _done, _total: None)("answer rag", 3, 40)
        assert {row["state"] for row in look(directory, seen.state).readings} == {"ok"}


def test_an_index_that_changes_during_a_look_is_no_loss(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = look(directory, None)
    searched = probing._Searching.run

    def run(searching: Any) -> Any:
        found = searched(searching)
        write_documents(directory, DOCUMENTS[:20])
        with Project.open(directory) as project:
            project.sync()
        return found

    monkeypatch.setattr(probing._Searching, "run", run)
    meanwhile = look(directory, seen.state)
    assert {row["state"] for row in meanwhile.readings} == {"unwatched"}
    assert "while it was searched" in meanwhile.readings[0]["why"]
    assert meanwhile.state == seen.state
