"""The monitors on a real project: what alarms after a fault, what does not after ordinary work, and what is said."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stand_in_trainer
from data_sets import SAMPLES
from twofold.monitoring.causes import causes
from twofold.monitoring.fingerprints import Fingerprints
from twofold.monitoring.record import Reading
from twofold.monitoring.served import Watched
from twofold.monitoring.signals import monitors
from twofold.monitoring.traffic_rows import stamp
from twofold.plugins import loading
from twofold.project import Project
from twofold.testing.projects import FAST, make_project
from twofold.traffic.record import TrafficRow

START = datetime(2026, 12, 1, 12, tzinfo=UTC)
PRICES = "item,amount,unit,currency,date,source\nprompt_tokens,{},million tokens,EUR,2026-11-30,a list\n"


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("watched") / "project"
    with make_project(directory, questions=120) as project:
        (directory / "prices.csv").write_text(PRICES.format(2), encoding="utf-8")
        project.sync()
        project.study()
    return directory


class Watching:
    """A copy of the studied project, whose days are looked at one after the other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.settings: dict[str, Any] = FAST
        self.rows: list[TrafficRow] | None = None
        self.states: dict[str, Any] = {}
        self.day = 0.0
        self.synced = False
        with self.open() as project:
            self.key = self._watched(project).measured().key
            self.questions = [example.question for example in project.examples]

    def open(self) -> Project:
        return Project.open(self.directory, self.settings)

    def over(self, settings: dict[str, dict[str, Any]]) -> None:
        """Lay settings over those of the project."""
        self.settings = {name: {**self.settings.get(name, {}), **settings.get(name, {})} for name in {*FAST, *settings}}

    def _watched(self, project: Project) -> Watched:
        return Watched(workspace=project.workspace, root=self.directory, splits=lambda: project.splits)

    def look(self, *only: str, days: float = 1) -> dict[str, Reading]:
        """The readings of a look so many days after the last one, by signal; of these monitors, or of all."""
        self.day += days
        readings: dict[str, Reading] = {}
        read = None if self.rows is None else lambda since: (row for row in self.rows or () if row["at"] > since)
        with self.open() as project:
            if not only and not self.synced:
                # A copy's files have other times than those that were synced.
                project.sync()
                self.synced = True
            for monitor in monitors(self._watched(project), read):
                # The search has tests of its own, in `test_probing`.
                if monitor.name == "probes" or (only and monitor.name not in only):
                    continue
                seen = monitor.look(self.states.get(monitor.name), moment=START + timedelta(days=self.day))
                self.states[monitor.name] = json.loads(json.dumps(seen.state))
                readings |= {row["signal"]: row for row in seen.readings}
        return readings

    def serve(self, count: int = 300, *, questions: list[str] | None = None, **changed: Any) -> None:
        """Answers of the next day."""
        chance = np.random.default_rng(int(self.day))
        asked = questions or self.questions
        self.rows = self.rows or []
        for number in range(count):
            row: TrafficRow = {
                "request": f"{self.day}-{number}",
                "number": 0,
                "at": stamp(START + timedelta(days=self.day, seconds=60 + number)),
                "caller": "",
                "arm": "rag",
                "model": "",
                "system": self.key,
                "later_index": False,
                "failed": "",
                "abstained": bool(chance.random() < 0.05),
                "cut": False,
                "citations": 1,
                "unsupported": 0,
                "documents": ["d"],
                "cited": ["d"],
                "prompt_tokens": int(chance.integers(150, 220)),
                "completion_tokens": int(chance.integers(20, 40)),
                "letters": int(chance.integers(60, 160)),
                "retrieval_seconds": float(chance.lognormal(-3, 0.3)),
                "generation_seconds": float(chance.lognormal(0, 0.3)),
                "question": str(chance.choice(asked)),
                "turns": [],
                "answer": "",
                "redacted": {},
            }
            self.rows.append({**row, **changed})  # type: ignore[typeddict-item]


@pytest.fixture
def watching(studied: Path, tmp_path: Path) -> Watching:
    shutil.copytree(studied, tmp_path / "project")
    return Watching(tmp_path / "project")


def alarms(readings: dict[str, Reading]) -> set[str]:
    return {name for name, row in readings.items() if row["state"] == "alarm"}


def cause_of(readings: dict[str, Reading]) -> str:
    return causes(list(readings.values()))[0]["cause"]


def edit(directory: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    (path,) = directory.rglob("documents.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in change(rows)), encoding="utf-8")


def first_half(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows[: len(rows) // 2]


def with_copies(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*rows, *({**row, "id": f"{row['id']}-2", "text": f"{row['text']} More."} for row in rows)]


def test_a_project_that_nothing_happened_to_is_quiet(watching: Watching) -> None:
    first = watching.look()
    assert alarms(first) == set()
    assert first["fingerprints.model"]["state"] == first["index.vectors"]["state"] == "ok"
    for _ in range(4):
        watching.serve()
        last = watching.look()
        assert alarms(last) == set()
    assert last["answers.abstained"]["state"] == last["questions.drift"]["state"] == "ok"
    assert "the study" in last["questions.drift"]["why"]
    # An alarm ends the verdict of the study that it compares with, also where the same day has no second test.
    again = watching.look("questions", days=0.1)
    assert last["questions.drift"]["detail"]["study"] == again["questions.drift"]["detail"]["study"] == "0001-project"


def test_without_a_traffic_log_each_signal_of_it_says_so(watching: Watching) -> None:
    readings = watching.look("traffic", "questions")
    assert {readings[name]["state"] for name in ("answers.failed", "questions.drift", "served.system")} == {"unwatched"}
    assert "[traffic].log" in readings["latency.retrieval"]["why"]


def test_a_log_without_texts_leaves_only_the_questions_unwatched(watching: Watching) -> None:
    watching.serve(question="")
    readings = watching.look("traffic", "questions")
    assert readings["questions.drift"]["state"] == "unwatched"
    assert "no texts" in readings["questions.drift"]["why"]
    assert readings["answers.failed"]["state"] == "learning"


def test_half_of_the_index_by_another_embedder(watching: Watching) -> None:
    watching.look()
    with watching.open() as project:
        index = project.workspace.search.index
        chunks, vectors = index.vectors_of(sorted(index.documents())[::2])
        index.upsert(chunks, -vectors)
    readings = watching.look()
    assert alarms(readings) == {"index.vectors"}
    assert readings["index.vectors"]["detail"]["lowest"] == pytest.approx(-1, abs=0.01)
    assert cause_of(readings) == "embedder changed"


def test_another_embedder_in_the_settings(watching: Watching) -> None:
    watching.look()
    watching.over({"retrieval": {"embedder": {"name": "hashing", "options": {"dimension": 64}}}})
    readings = watching.look()
    assert alarms(readings) == {"fingerprints.embedder"}
    assert readings["index.vectors"]["state"] == "unwatched"
    assert cause_of(readings) == "embedder changed"


@pytest.mark.slow
def test_weights_that_are_not_those_of_the_tuned_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained"))
    tuned = {"study": {"arms": ["base", "ft+rag"]}, "tuning": {"methods": [{"name": "stand-in"}]}}
    with loading.registered("trainers", "stand-in", stand_in_trainer.StandIn):
        with make_project(tmp_path / "tuned", questions=160, settings=tuned) as project:
            project.sync()
            assert project.study()["verdict"]["arm"] == "ft+rag"
        watching = Watching(tmp_path / "tuned")
        watching.over(tuned)
        assert alarms(watching.look("fingerprints")) == set()
        (weights,) = watching.directory.rglob("artifacts/adapter-*/adapter_model.safetensors")
        stand_in_trainer.write_adapter(weights.parent, 7.0)
        readings = watching.look("fingerprints")
    assert alarms(readings) == {"fingerprints.adapter"}
    assert "is damaged" in readings["fingerprints.adapter"]["why"]
    assert cause_of(readings) == "model changed"


def test_an_index_of_an_older_form_is_no_other_embedder(tmp_path: Path) -> None:
    with tarfile.open(SAMPLES / "stored_project.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    with Project.open(tmp_path / "stored_project") as project:
        watched = Watched(workspace=project.workspace, root=project.directory, splits=lambda: project.splits)
        rows = Fingerprints(watched).look(None, moment=START).readings
    assert {row["signal"] for row in rows if row["state"] == "alarm"} == {"fingerprints.search"}
    assert "sync --rebuild" in rows[0]["why"]


def test_another_chunker_before_and_after_the_sync(watching: Watching) -> None:
    watching.look()
    watching.over({"documents": {"chunker": {"name": "tokens", "options": {"max_tokens": 24}}}})
    readings = watching.look()
    assert alarms(readings) == {"fingerprints.chunker", "index.chunks"}
    with watching.open() as project:
        project.sync()
    after = watching.look()
    assert alarms(after) == {"fingerprints.chunker"}
    assert cause_of(after) == "chunking changed"


def test_another_k_and_another_template(watching: Watching) -> None:
    watching.over({"retrieval": {"k": 5}, "prompt": {"question": "{question} In French."}})
    readings = watching.look()
    assert alarms(readings) == {"fingerprints.search", "fingerprints.prompt"}
    assert "(k)" in readings["fingerprints.search"]["why"]
    assert cause_of(readings) == "model changed"


def test_documents_that_are_removed(watching: Watching) -> None:
    watching.look()
    edit(watching.directory, first_half)
    with watching.open() as project:
        project.sync()
    readings = watching.look()
    assert alarms(readings) == {"documents.removed", "documents.sources"}
    assert readings["documents.removed"]["value"] == pytest.approx(0.5, abs=0.02)
    assert cause_of(readings) == "documents removed"


def test_a_flood_of_near_copies(watching: Watching) -> None:
    watching.look()
    edit(watching.directory, with_copies)
    with watching.open() as project:
        project.sync()
    readings = watching.look()
    assert alarms(readings) == {"documents.duplicates"}
    assert cause_of(readings) == "near duplicates"


def test_a_change_that_is_not_synced_alarms_after_a_day_and_not_before(watching: Watching) -> None:
    watching.look()
    edit(watching.directory, with_copies)
    assert alarms(watching.look()) == set()
    assert alarms(watching.look(days=0.5)) == set()
    readings = watching.look(days=0.6)
    assert alarms(readings) == {"staleness.behind"}
    assert "1.1 days" in readings["staleness.behind"]["why"]
    assert cause_of(readings) == "stale documents"
    with watching.open() as project:
        project.sync()
    assert "staleness.behind" not in alarms(watching.look())


def test_answers_that_cite_what_has_changed_at_its_source(watching: Watching) -> None:
    watching.look()
    edit(watching.directory, first_half)
    with watching.open() as project:
        (cited, *_) = project.catalogue.documents.digests()
    watching.serve(100, cited=[cited], citations=1)
    assert alarms(watching.look("staleness")) == set()
    watching.serve(100, cited=["another"])
    assert alarms(watching.look("staleness")) == {"staleness.behind"}
    watching.serve(100, cited=[cited])
    readings = watching.look("staleness")
    assert alarms(readings) == {"staleness.behind", "staleness.cited"}
    assert readings["staleness.cited"]["detail"]["documents"] == [cited]
    assert cause_of(readings) == "stale documents"


def test_a_source_that_is_missing(watching: Watching) -> None:
    watching.look()
    (path,) = watching.directory.rglob("documents.jsonl")
    path.rename(path.with_name("unmounted"))
    readings = watching.look()
    assert "staleness.source" in alarms(readings)
    assert cause_of(readings) == "source missing"


@pytest.mark.parametrize(
    ("changed", "signal", "cause"),
    [
        ({"retrieval_seconds": 0.4}, "latency.retrieval", "slow part"),
        ({"abstained": True}, "answers.abstained", "answers degraded"),
        ({"failed": "generation.timeout"}, "answers.failed", "answers degraded"),
        ({"system": "system:other", "model": "m2"}, "served.system", "model changed"),
        ({"prompt_tokens": 900}, "tokens.prompt", "cost moved"),
        ({"questions": [f"What is the weather in town {n}?" for n in range(99)]}, "questions.drift", "questions moved"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_traffic_that_changes(watching: Watching, changed: dict[str, Any], signal: str, cause: str) -> None:
    for _ in range(4):
        watching.serve(100)
        assert alarms(watching.look("traffic", "questions")) == set()
    watching.serve(**changed)
    readings = watching.look("traffic", "questions")
    assert signal in alarms(readings)
    assert cause_of(readings) == cause


def test_traffic_that_never_resembled_the_study_is_a_remark_and_no_alarm(watching: Watching) -> None:
    others = [f"What is the weather in town {n}?" for n in range(200)]
    for _ in range(5):
        watching.serve(questions=others)
        readings = watching.look("questions")
        assert "questions.drift" not in alarms(readings)
    assert readings["questions.drift"]["state"] == "ok"
    assert "did not resemble the study" in readings["questions.drift"]["why"]
    assert len(json.dumps(watching.states["questions"])) < 150_000
    assert not any(question in json.dumps(watching.states) for question in others)


def test_a_price_that_moved(watching: Watching) -> None:
    assert watching.look("prices")["costs.prices"]["state"] == "ok"
    (watching.directory / "prices.csv").write_text(PRICES.format(3), encoding="utf-8")
    readings = watching.look("prices")
    assert alarms(readings) == {"costs.prices"}
    assert "prompt_tokens 2 → 3 EUR" in readings["costs.prices"]["why"]
    assert cause_of(readings) == "cost moved"


def test_a_clock_that_was_set_back_and_missing_days_raise_nothing(watching: Watching) -> None:
    watching.serve()
    watching.look()
    watching.look(days=-2)
    watching.look(days=12)
    watching.serve()
    assert alarms(watching.look()) == set()


def test_an_empty_project_is_unwatched_and_no_error(tmp_path: Path) -> None:
    with make_project(tmp_path / "new", questions=40) as project:
        watched = Watched(workspace=project.workspace, root=project.directory, splits=lambda: project.splits)
        looks = [monitor.look(None, moment=START) for monitor in monitors(watched, None)]
    states = {row["state"] for look in looks for row in look.readings}
    assert states == {"unwatched"}
