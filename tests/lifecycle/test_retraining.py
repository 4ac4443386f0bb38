"""Training again, end to end: a project, an endpoint that tunes and answers on this machine, paired comparisons."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tuning_endpoint import Endpoint, served
from twofold.cli.main import main
from twofold.errors import TooFewExamples
from twofold.examples.loading import example_digest
from twofold.examples.splitting import split
from twofold.lifecycle.retraining import WORN, fair, reasons
from twofold.project import Project
from twofold.settings.sections import ExamplesSection, RetrainingSection
from twofold.store.lock import ProjectLock
from twofold.study import looks
from twofold.types import Example, Message


def example(number: int, group: str = "") -> Example:
    return Example(
        id=f"e{number}",
        messages=(Message(role="user", content=f"Which colour has item number {number} of the {number % 7} shelf?"),),
        references=(f"colour {number}",),
        group=group or f"g{number // 2}",
    )


# ---------------------------------------------------------------- fair splits


def test_no_question_that_the_champion_saw_is_held_out() -> None:
    examples = [example(n) for n in range(120)]
    old = split(examples[:80], ExamplesSection(split_by="document"))
    learned = {name: {example_digest(e) for e in getattr(old, name)} for name in ("train", "dev")}
    known = learned["train"] | learned["dev"]
    today = split(examples[5:], ExamplesSection(split_by="document", seed=99))
    made, counts = fair(today, learned, near=True)
    assert counts["moved"] > 0, "another seed puts some of what was learned into the test"
    assert not {example_digest(e) for e in (*made.test, *made.reserve)} & known
    sides = {e.group for e in (*made.train, *made.dev)}
    assert not sides & {e.group for e in made.test}, "a group stays on one side"
    assert {e.split for e in made.train} == {"train"}
    assert len(made.train) + len(made.dev) + len(made.test) + counts["dropped"] == len(examples[5:])
    assert counts["gone"] == len(known - {example_digest(e) for e in examples[5:]})
    assert counts["new"] + counts["old"] == len(made.train) + len(made.dev)
    assert fair(made, learned, near=True)[1]["moved"] == 0
    same, counts = fair(today, {}, near=True)
    assert (counts["moved"], counts["dropped"], counts["old"]) == (0, 0, 0), (
        "a model that learned nothing moves nothing"
    )
    assert (same.train, same.dev, same.test, same.reserve) == (today.train, today.dev, today.test, today.reserve)


def test_nothing_left_to_compare_on_is_said() -> None:
    today = split([example(n) for n in range(40)], ExamplesSection(split_by="question"))
    learned = {"train": [example_digest(e) for e in (*today.train, *today.test)], "dev": []}
    with pytest.raises(TooFewExamples, match="no question is left to compare on"):
        fair(today, learned, near=True)


# ---------------------------------------------------------------- triggers


def test_triggers_are_data() -> None:
    moment = datetime(2026, 5, 1, tzinfo=UTC)
    champion = {"made": (moment - timedelta(days=30)).isoformat(), "base": {"weights": "w1"}, "template": "t1"}
    facts = {"new": 49, "gone": 1, "base": "w1", "template": "t1", "alarms": 0}

    def due(section: RetrainingSection, **changed: Any) -> list[str]:
        rows = reasons(section, champion, facts=facts | changed, moment=moment)
        return [row["reason"] for row in rows if row["due"]]

    assert due(RetrainingSection()) == []
    assert due(RetrainingSection(min_new_examples=50, max_age_days=31)) == []
    assert due(RetrainingSection(min_new_examples=49, max_age_days=30)) == ["new examples", "days old"]
    assert due(RetrainingSection(), base="w2", template="t2") == ["another base", "another template"]
    assert due(RetrainingSection(on=()), base="w2") == []
    assert due(RetrainingSection(on=("gone",))) == ["examples taken out"]
    assert due(RetrainingSection(), alarms=1) == [], "not before it is asked for"
    assert due(RetrainingSection(on=("alarm",))) == []
    assert due(RetrainingSection(on=("alarm",)), alarms=1) == ["open proposals of alarms"]
    assert [r["due"] for r in reasons(RetrainingSection(), None, facts=facts, moment=moment)] == [True]


# ---------------------------------------------------------------- the whole way


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with served() as one:
        one.polls_until_done = 1
        yield one


@pytest.fixture
def directory(tmp_path: Path, endpoint: Endpoint) -> Path:
    """A project whose arm ft is tuned at the endpoint and answers from there."""
    folder = tmp_path / "shop"
    (folder / "data").mkdir(parents=True)
    write(folder, range(100))
    options = f'model = "small-1"\nbase_url = "{endpoint.url}"\n'
    (folder / "twofold.toml").write_text(
        f"""
[project]
name = "shop"
[documents]
paths = []
[examples]
split_by = "question"
[generation.generator]
name = "openai"
[generation.generator.options]
{options}
[tuning]
gate = "off"
[tuning.trainer]
name = "openai"
[tuning.trainer.options]
{options}poll_seconds = 0.01
[retraining]
min_new_examples = 20
[study]
arms = ["base", "ft"]
resamples = 400
latency_sample = 0
""",
        encoding="utf-8",
    )
    return folder


def write(folder: Path, numbers: range) -> None:
    rows = [
        {"id": f"e{n}", "question": example(n).question, "answers": [f"colour {n}"], "group": f"g{n}"} for n in numbers
    ]
    text = "\n".join(json.dumps(row) for row in rows)
    (folder / "data" / "examples.jsonl").write_text(text + "\n", encoding="utf-8")


def skilled(endpoint: Endpoint, **share: float) -> None:
    """Jobs answer rightly so often; the base model never does."""

    def reply(model: str, question: str) -> str:
        number = int(question.split("number ")[1].split(" ", maxsplit=1)[0])
        right = number % 10 < 10 * share.get(model.rpartition(":")[2].replace("-", "_"), 0)
        return f"colour {number}" if right else "I cannot say"

    endpoint.reply = reply


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = main([*words, "--json", "--quiet"])
    out = capsys.readouterr().out
    return code, json.loads(out)


def test_the_first_then_a_better_then_a_worse(
    directory: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ("-C", str(directory))
    tune = ("tune", "--arm", "ft", *here)
    skilled(endpoint, ftjob_1=0.3, ftjob_2=0.9, ftjob_3=0.8)

    (directory / ".twofold").mkdir(exist_ok=True)
    with ProjectLock(directory / ".twofold" / "lock"):
        code, told = run(capsys, *tune, "--if-due", "--plan")  # it only reads
    assert (code, told["outcome"]) == (1, "due")
    assert not endpoint.jobs, "a plan trains nothing"
    code, first = run(capsys, *tune, "--if-due", "--by", "cron")
    assert (code, first["outcome"]) == (0, "promoted"), first
    assert first["against"] == "the arm base, which is not tuned"
    assert first["difference"]["low"] > 0
    assert any("not gated" in note for note in first["notes"])

    code, told = run(capsys, *tune, "--if-due")
    assert (code, told["outcome"], len(endpoint.jobs)) == (0, "not due", 1)
    code, told = run(capsys, *tune, "--from", "champion")
    assert (code, told["outcome"], len(endpoint.jobs)) == (0, "nothing new", 1), "the same data makes the champion"

    write(directory, range(5, 160))
    code, second = run(capsys, *tune, "--if-due")
    assert (code, second["outcome"]) == (0, "promoted"), second
    assert second["champion"] == first["candidate"]
    assert second["data"]["new"] >= 20
    assert second["data"]["gone"] > 0
    assert second["test"]["n"] == second["difference"]["n"]
    tested = endpoint.files[endpoint.jobs["ftjob-2"]["training_file"]].decode()
    with Project.open(directory) as project:
        registry = project.workspace.models.registry
        learned = registry.learned(registry.find(first["candidate"]))
        assert registry.find(second["candidate"])["lineage"]["from"] == first["candidate"]
        known = {*learned["train"], *learned["dev"]} if learned else set()
        still = [e for e in project.examples if example_digest(e) in known]
        inside = [e for e in still if f"number {e.id[1:]} " in tested]
        assert len(inside) >= 0.8 * len(still), "it starts from the base with the old data too"

    write(directory, range(5, 200))
    code, third = run(capsys, *tune, "--from", "champion")
    assert (code, third["outcome"]) == (1, "kept"), third
    assert "not shown to be better" in third["because"] or "worse" in third["because"]
    code, again = run(capsys, *tune, "--from", "champion")
    assert (again["outcome"], again["difference"], len(endpoint.jobs)) == ("kept", third["difference"], 3)
    assert again["test"]["looks"] == third["test"]["looks"], "the same comparison is one look"

    levels = [told["level"] for told in (first, second, third)]
    assert levels == [0.97, 0.9925, 0.9967], "each candidate on the same questions must show more"
    assert [told["test"]["looks"] for told in (first, second, third)] == [0, 1, 2]
    with Project.open(directory) as project:
        assert [row.kind for row in looks.read(project.records)] == ["retraining"] * 3
        (project.records / looks.FILE).unlink()
        restored = looks.ledger(project.records, project.catalogue)
        assert [row.look for row in restored] == [1, 2, 3], "deleting the ledger renews no question"

    _aliases_and_audit(capsys, endpoint, here, [first["candidate"], second["candidate"], third["candidate"]])


def _aliases_and_audit(
    capsys: pytest.CaptureFixture[str], endpoint: Endpoint, here: tuple[str, str], ids: list[str]
) -> None:
    """What `twofold models` tells and does after three trainings, of which the second was promoted last."""
    first, second, third = ids
    code, rows = run(capsys, "models", "list", *here)
    tuned = {row["name"]: row["aliases"] for row in rows if row["kind"] == "tuned"}
    assert tuned == {first: [], second: ["champion"], third: ["candidate"]}
    code, moves = run(capsys, "models", "log", *here)
    champions = [(m["after"], m["action"]) for m in moves if m["alias"] == "champion"]
    assert champions == [(first, "promote"), (second, "promote")]
    assert moves[0]["who"] == "cron"
    code, told = run(capsys, "models", "diff", first, "champion", *here)
    assert told["examples"]["only_after"] > 0
    assert told["comparison"]["outcome"] == "promoted"
    with Project.open(Path(here[1])) as project, project.writing():  # as while a long study runs
        code, move = run(capsys, "models", "rollback", "--by", "ada", "--why", "complaints", *here)
    assert (move["before"], move["after"]) == (second, first)

    asked = len(endpoint.asked_of)
    code, answer = run(
        capsys, "ask", "which colour has item number 2 of it?", "--arm", "ft", "--set", "tuning.use=champion", *here
    )
    assert code == 0
    assert endpoint.asked_of[asked:] == ["ft:small-1:ftjob-1"], "what is promoted is what answers"
    assert answer["text"] == "colour 2"
    assert answer["measured"], "by its comparison"

    with Project.open(Path(here[1])) as project:
        (project.workspace.artifacts.working("adapter:half") / "x").write_text("half made")
    code, done = run(capsys, "models", "gc", *here)
    assert done["removed"] == ["adapter:half"], "aliases, what a rollback needs, and their ancestors stay"
    code, page = run(capsys, "models", "show", second, *here)
    assert {row["source"] for row in page["measured"]} >= {f"against {first}"}
    assert all({"mean", "low", "high", "n"} <= set(row["estimate"]) for row in page["measured"])
    levels = {row["source"]: row["level"] for row in page["measured"]}
    # The second candidate on these questions: its look is decided at 99.25 %, dev scores have 95 %.
    assert (levels["dev"], round(levels[f"against {first}"], 4)) == (0.95, 0.9925)
    card = Path(here[1]) / "cards" / "model.md"
    code, _ = run(capsys, "models", "show", second, "--card", str(card), *here)
    assert (code, second in card.read_text(encoding="utf-8")) == (0, True), "its folder is made"
    assert "95 % interval" not in card.read_text(encoding="utf-8"), "not all of them have that level"
    code, refusal = run(capsys, "models", "show", second, "--card", str(card / "below a file"), *here)
    assert (code, refusal["error"]["code"]) == (3, "store"), "a failed write is no unreadable file"
    assert "cannot be written" in refusal["error"]["message"]


def test_what_is_worn_is_said_before_it_decides_everything(
    directory: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ledger of three candidates on these questions: the fourth is judged at 99.82 %, and renewal is asked for."""
    skilled(endpoint, ftjob_1=0.9)
    with Project.open(directory) as project:
        asked = looks.asked_digests(project.splits.test)
        for number in range(1, WORN):
            looks.write(project.records, tried(number, asked))
        other = looks.asked_digests([example(n) for n in range(900, 950)])
        for number in range(20, 30):
            looks.write(project.records, tried(number, other))
    shutil.rmtree(directory / ".twofold", ignore_errors=True)
    _, told = run(capsys, "tune", "--arm", "ft", "--from", "champion", "-C", str(directory))
    assert told["level"] == looks.level_of(WORN, 0.95) == 0.9982
    assert any(f"candidate {WORN} on these questions" in note and "renew" in note for note in told["notes"])


def tried(number: int, asked: tuple[str, ...]) -> looks.Look:
    return looks.Look(
        kind="retraining", name=f"m{number}", at="2026-01-01", identity=f"i{number}", answers="", failed=0,
        look=number, asked=asked,
    )  # fmt: skip


def test_a_gain_below_the_margin_promotes_nothing(
    directory: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    skilled(endpoint, ftjob_1=0.9)
    words = ("--set", "study.margin=0.95", "-C", str(directory))
    code, told = run(capsys, "tune", "--arm", "ft", "--from", "champion", *words)
    assert (code, told["outcome"]) == (1, "kept")
    assert told["difference"]["low"] > 0
    assert "better, but by less than the margin" in told["because"]


def test_what_forgets_is_not_promoted(
    directory: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from twofold.store import model_registry as registry

    skilled(endpoint, ftjob_1=0.9)
    real = registry._facts
    failed = {"passed": False, "because": ["general: 0.30 less"]}
    monkeypatch.setattr(registry, "_facts", lambda name, manifest: real(name, {**manifest, "gate": failed}))
    code, told = run(capsys, "tune", "--arm", "ft", "--from", "champion", "-C", str(directory))
    assert (code, told["outcome"]) == (1, "kept")
    assert told["difference"]["low"] > 0
    assert "the forgetting gate failed: general: 0.30 less" in told["because"]
    with Project.open(directory) as project:
        assert set(project.catalogue.models.aliases()) == {"candidate"}


def test_a_gain_that_is_the_others_failures_promotes_nothing(
    directory: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are right wherever they answer, and the model in use fails on four of ten questions."""

    def reply(model: str, question: str) -> str:
        number = int(question.split("number ")[1].split(" ", maxsplit=1)[0])
        return "" if not model.startswith("ft:") and number % 10 < 4 else f"colour {number}"

    endpoint.reply = reply
    code, told = run(capsys, "tune", "--arm", "ft", "--from", "champion", "-C", str(directory))
    assert told["difference"]["low"] > 0, "counted as wrong they make a gain"
    assert (code, told["outcome"]) == (1, "kept")
    assert "that rests on failed answers (0 of its own, " in told["because"]


def test_a_candidate_that_fails_too_often_stays_one(
    directory: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(model: str, question: str) -> str:
        number = int(question.split("number ")[1].split(" ", maxsplit=1)[0])
        return "I cannot say" if not model.startswith("ft:") else "" if number % 10 < 2 else f"colour {number}"

    endpoint.reply = reply
    code, told = run(capsys, "tune", "--arm", "ft", "--from", "champion", "-C", str(directory))
    assert told["difference"]["low"] > 0
    assert (code, told["outcome"]) == (1, "kept")
    assert "of its answers failed, and [study].max_failed allows 5 %" in told["because"]
    code, told = run(
        capsys, "tune", "--arm", "ft", "--from", "champion", "--set", "study.max_failed=0.5", "-C", str(directory)
    )
    assert (code, told["outcome"]) == (0, "promoted")


def test_killed_after_each_step_nothing_is_done_twice(
    directory: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from twofold.store.model_record import AliasMove
    from twofold.store.tuned_models import ModelTable

    skilled(endpoint, ftjob_1=0.9)
    real, stopped = ModelTable.move_alias, []

    def dying(self: ModelTable, move: AliasMove, *, expected: str) -> None:
        if move["alias"] not in stopped:
            stopped.append(move["alias"])
            raise KeyboardInterrupt
        real(self, move, expected=expected)

    monkeypatch.setattr(ModelTable, "move_alias", dying)
    words = ("tune", "--arm", "ft", "--from", "champion", "-C", str(directory))
    assert run(capsys, *words)[0] == 130
    assert run(capsys, *words)[0] == 130
    answered = len(endpoint.asked_of)
    code, told = run(capsys, *words)
    assert (code, told["outcome"]) == (0, "promoted")
    assert len(endpoint.asked_of) == answered, "every answer was kept"
    assert len(endpoint.jobs) == 1
    with Project.open(directory) as project:
        assert [m["alias"] for m in project.catalogue.models.alias_moves()] == ["candidate", "champion"]


def test_a_champion_that_read_the_documents_of_the_test_is_said_to_be_flattered(
    directory: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from twofold.store import model_registry as registry

    skilled(endpoint, ftjob_1=0.9, ftjob_2=0.9)
    words = ("tune", "--arm", "ft", "--from", "champion", "-C", str(directory))
    real = registry._facts
    with monkeypatch.context() as patched:
        seen = {"everything": True}
        patched.setattr(registry, "_facts", lambda name, manifest: real(name, {**manifest, "seen": seen}))
        _, first = run(capsys, *words)
    assert first["outcome"] == "promoted"
    assert not any("flatters" in note for note in first["notes"])
    write(directory, range(160))
    _, second = run(capsys, *words)
    assert any("the comparison flatters the champion" in note for note in second["notes"])
