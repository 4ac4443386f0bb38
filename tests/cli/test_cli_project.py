"""The commands on a real project: the bundled questions, with the shipped fakes in place of the models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.cli.main import main
from twofold.improvement.loop import LOCK
from twofold.indexing.erasure import TRIAL
from twofold.project import Project
from twofold.store.lock import ProjectLock

ROOT = Path(__file__).resolve().parents[2]
FAST = [
    "--set=generation.generator.name=echo",
    "--set=retrieval.embedder.name=hashing",
    "--set=retrieval.index.name=memory",
    "--set=retrieval.retriever.options.lexical=0.5",  # choosing it takes longer than all the rest of a sync
    "--set=study.resamples=400",
    "--set=study.latency_sample=2",
]
Call = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cli") / "irrigation"
    assert main(["init", str(directory), "--from", str(ROOT / "src" / "twofold" / "demo"), "--json"]) == 0
    return directory


@pytest.fixture
def call(made: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command on the project with ``--json``; returns exit code, parsed stdout and stderr."""

    def run(*words: str, at: Path = made) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = main([*words, "--json", "-C", str(at), *FAST])
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    return run


def test_init_copies_the_data_and_says_what_it_chose(made: Path) -> None:
    assert (made / "data" / "documents.jsonl").is_file()
    assert (made / "data" / "LICENSE").is_file()
    assert 'metric = "answer_f1"' in (made / "twofold.toml").read_text(encoding="utf-8")


def test_init_never_overwrites_a_project(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(made), "--from", str(ROOT / "src" / "twofold" / "demo")]) == 2
    assert "is already a project" in capsys.readouterr().err


def test_check_is_clean(call: Call) -> None:
    code, value, _ = call("check")
    assert (code, value["errors"]) == (0, 0)


def test_every_value_has_its_origin(call: Call) -> None:
    code, value, _ = call("config")
    assert code == 0
    assert value["generation.generator.name"] == {"value": "echo", "origin": "override"}
    assert value["study.metric"] == {"value": "answer_f1", "origin": "twofold.toml"}
    assert value["examples.seed"] == {"value": 7, "origin": "default"}


def test_sync_embeds_only_what_changed(call: Call) -> None:
    code, first, err = call("sync")
    assert code == 0
    assert first["added"] + first["unchanged"] == 155
    assert ": " in err or first["added"] == 0
    code, second, _ = call("sync")
    assert (code, second["added"], second["changed"], second["unchanged"]) == (0, 0, 0, 155)


def test_sync_groups_what_it_left_out_and_says_the_cure_of_each_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "well.md").write_text("# Wells\n\nThe well is nine metres deep.\n", encoding="utf-8")
    project = tmp_path / "p"
    assert main(["init", str(project), "--from", str(folder)]) == 0
    for name in ("empty.txt", "blank.md", "plan.png", "photo.png", "a.xyz", "b.qqq"):
        text = "" if name == "empty.txt" else " \n"
        (project / "data" / "documents" / name).write_text(text, encoding="utf-8")
    capsys.readouterr()
    assert main(["sync", "-C", str(project), *FAST]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "skipped" in line]
    assert sorted(line.split(": ")[0] for line in lines) == [
        "2 files skipped (a.xyz, …)",
        "2 files skipped (blank.md, …)",
        "2 files skipped (photo.png, …)",
    ]
    told = {line.split("(")[1].split(",")[0]: line for line in lines}
    assert told["blank.md"].endswith("without text")
    assert "[documents].ocr = true" in told["photo.png"]
    assert "Convert the file" in told["a.xyz"]


def test_ask_prints_the_whole_record(call: Call) -> None:
    code, value, _ = call("ask", "--arm", "rag", "what can help guide early season irrigation decisions?")
    assert code == 0
    assert {"text", "citations", "hits", "abstained", "usage", "timing", "failure", "arm", "key", "measured"} <= set(
        value
    )
    assert value["arm"] == "rag"
    assert [h["rank"] for h in value["hits"]] == [1, 2]
    code, value, _ = call("ask", "--arm", "base", "why irrigate?")
    assert (code, value["hits"]) == (0, [])


def test_an_unknown_arm_is_refused(call: Call) -> None:
    code, value, err = call("ask", "--arm", "ragg", "why irrigate?")
    assert code == 2
    assert value["error"]["code"] == "config"
    assert "prompt, optimised, ft, rag, whole" in err


def test_a_study_from_plan_to_show(made: Path, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    small = ("--limit", "60", "--arms", "base,rag")
    code, plan, _ = call("study", "--plan", *small)
    assert code == 0
    assert plan["arms"] == ["base", "rag"]
    assert sum(plan["policy"][part] for part in ("train", "dev", "test")) <= 60
    code, done, err = call("study", "--yes", *small)
    assert code == 0, err
    assert set(done) == {"verdict", "effects", "arms", "seconds", "peak_mib", "study", "report"}
    assert set(done["arms"]) == {"base", "rag"}
    for metrics in done["arms"].values():
        for estimate in metrics.values():
            assert set(estimate) == {"mean", "low", "high", "n", "failed"}
    assert done["verdict"]["outcome"] in {"choose", "undecided", "none acceptable"}
    assert Path(done["report"]).is_file()
    code, shown, _ = call("show")
    # Shown under the settings of the study, nothing has changed since.
    assert shown.pop("validity")["state"] == "holds"
    assert (code, shown) == (0, done)
    assert main(["show", "-C", str(made), done["study"]]) == 0
    out = capsys.readouterr().out
    assert done["verdict"]["sentence"][:40] in out
    assert done["report"] in out
    rollback = made / "studies" / "rolled-back.json"
    rollback.write_text('{"study": ', encoding="utf-8")
    code, shown, err = call("show", done["study"])
    rollback.unlink()
    assert shown.pop("validity")["state"] == "holds"
    assert (code, shown) == (0, done), "a damaged file beside a whole record does not hide it"
    assert "warning: " in err
    assert "rolled-back.json: the rollback cannot be read" in err
    assert "Delete the file" in err


def test_an_unknown_study_is_named(call: Call) -> None:
    code, value, _ = call("show", "9999")
    assert (code, value["error"]["code"]) == (3, "study")


def test_gc_says_what_it_would_remove(call: Call) -> None:
    code, value, _ = call("gc", "--dry-run")
    assert code == 0
    assert value["removed"] == []


def test_gc_leaves_the_place_of_a_trial_to_a_run_of_improve(made: Path, tmp_path: Path, call: Call) -> None:
    directory = tmp_path / "improved"
    shutil.copytree(made, directory)
    (directory / TRIAL).mkdir()
    (directory / ".twofold").mkdir(exist_ok=True)  # where no test before this one has used the project
    # As a run that only begins to fill it: nothing in it says yet that a round needs it.
    with Project.open(directory) as project, ProjectLock(project.derived / LOCK):
        assert call("gc", at=directory)[1]["removed"] == []
    assert (directory / TRIAL).is_dir()
    history = directory / "studies" / "improvement.json"
    history.parent.mkdir(exist_ok=True)
    history.write_text("{", encoding="utf-8")
    assert call("gc", at=directory)[0] == 3, "whether a round needs it cannot be told"
    assert (directory / TRIAL).is_dir()
    history.unlink()
    assert call("gc", at=directory)[1]["removed"] == [TRIAL]
    history.write_text("{", encoding="utf-8")
    assert call("gc", at=directory)[0] == 0, "without such a place nobody asks the history"


def test_bad_data_is_reported_with_its_line(made: Path, tmp_path: Path, call: Call) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(made, broken, ignore=shutil.ignore_patterns(".twofold", "studies"))
    path = broken / "data" / "examples.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[4] = lines[4][:-7]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    code, value, _ = call("check", at=broken)
    assert code == 1
    assert ("examples.jsonl", 5) in {(Path(p["file"]).name, p["line"]) for p in value["problems"]}
    code, value, err = call("study", "--yes", at=broken)
    assert code == 2
    assert value["error"]["line"] == 5
    assert "examples.jsonl:5: " in err


def test_an_unknown_key_names_the_nearest(call: Call, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-C", str(made), "--set", "retrieval.kk=3"]) == 2
    assert "did you mean 'k'" in capsys.readouterr().err


def test_plugins_lists_all_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["kind"] for row in rows} >= {"readers", "retrievers", "generators", "metrics", "trainers"}
    lora = next(row for row in rows if row["name"] == "lora")
    assert lora["available"]
    assert lora["options"]["rank"] >= 1
