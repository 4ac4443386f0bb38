"""`twofold doctor`: it never raises, says what is missing, and ends with what to do."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from twofold.cli import doctor_findings
from twofold.cli.doctor import lines
from twofold.cli.main import main
from twofold.config import Config
from twofold.host import capabilities

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def found() -> dict[str, Any]:
    """Findings of a machine where nothing is to do."""
    return {
        "project": None,
        "machine": {"memory_bytes": 16 * 2**30, "caps": [], "gpus": [], "gpu_used": False},
        "disk": [{"name": "cache", "path": "/c", "free_bytes": 50 * 2**30}],
        "extras": [
            {"extra": "local", "versions": {"openvino": "1"}, "missing": []},
            {"extra": "ocr", "versions": {}, "missing": ["rapidocr"]},
        ],
        "models": [{"pulled": True}],
        "uses": [{"part": "training", "dtype": "f32", "fastest": "f32"}],
        "minutes": {"demo": 15.0, "demo_quick": 3.0, "project": None},
        "failed": [],
    }


_planned_once = functools.cache(doctor_findings.demo_plan)


@pytest.fixture
def demo_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans of the demo, which take seconds, are made once for all tests that change nothing of what these read."""
    monkeypatch.setattr(doctor_findings, "demo_plan", _planned_once)


def test_nothing_to_do_is_said(found: dict[str, Any]) -> None:
    assert doctor_findings.advise(found, Config()) == []


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (
            "extras",
            [{"extra": "train", "versions": {}, "missing": ["torch"]}],
            "pip install -e '.[train]' in the clone",
        ),
        ("models", [{"pulled": False}], "twofold models pull"),
        ("disk", [{"name": "cache", "path": "/c", "free_bytes": 2**30}], "Free disk space"),
        ("uses", [{"part": "training", "dtype": "bf16", "fastest": "f32"}], 'Set the arithmetic of training to "auto"'),
        ("machine", {"memory_bytes": 4 * 2**30}, "Set [tuning.trainer.options].memory_gib = 2"),
        ("machine", {"caps": ["ATEN_CPU_CAPABILITY=avx2"]}, "Unset ATEN_CPU_CAPABILITY"),
        ("machine", {"cpu_quota": 2.0, "cores": 2, "cores_machine": 64, "threads_set": ""}, "Set OMP_NUM_THREADS=2"),
        ("machine", {"gpus": [{"name": "A GPU"}], "gpu_used": False}, "Install a torch built for CUDA"),
        ("minutes", {"demo": 90.0, "demo_quick": 9.0, "project": None}, "Begin with `twofold demo --quick`"),
        ("failed", ["training: it broke"], "Look at the checks that failed"),
    ],
)
def test_each_fault_has_its_cure(found: dict[str, Any], place: str, value: Any, sentence: str) -> None:
    (said,) = doctor_findings.advise({**found, place: value}, Config())
    assert sentence in said


def test_a_light_install_is_told_what_to_install_and_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_name: str) -> str:
        raise doctor_findings.importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(doctor_findings.importlib.metadata, "version", missing)
    # The process has read torch's version already, and remembers it.
    monkeypatch.setattr(doctor_findings.capabilities, "torch_version", lambda: "")
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "none"))
    findings = doctor_findings.examine(tmp_path)
    assert not any(findings["speed"].values())
    assert findings["failed"] == []
    assert findings["todo"][:2] == [
        "Install what answering, embedding and tuning need: pip install -e '.[local,train]' in the clone",
        "Pull the embedded models: twofold models pull",
    ]
    text = "\n".join(lines(findings))
    assert re.search(r"missing .*\bpeft\b", text)
    assert "all-minilm-l6-v2 is not here" in text
    assert "To do:" in text


def test_a_fault_of_a_check_says_its_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_findings, "_machine", lambda: {}["cores"])
    findings = doctor_findings.examine(tmp_path, quick=True)
    assert "machine: KeyError: 'cores'" in findings["failed"]


def test_a_check_that_fails_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("the disk is on fire")

    monkeypatch.setattr(doctor_findings, "_machine", broken)
    monkeypatch.setattr(doctor_findings, "_demo_minutes", broken)
    findings = doctor_findings.examine(tmp_path, quick=True)
    assert findings["failed"] == ["demo: the disk is on fire", "machine: the disk is on fire"]
    assert "failed                 demo: the disk is on fire" in list(lines(findings))


@pytest.mark.usefixtures("demo_planned_once")
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (("[study]", "[study"), ("twofold.toml", "invalid TOML")),
        (('metric = "answer_f1"', 'metric = "answer_f2"'), ("'answer_f2'", "'answer_f1'")),
        (("k = 2", "kk = 2"), ("'retrieval.kk'", "did you mean")),
        (('["data/documents.jsonl"]', '["data/dokuments.jsonl"]'), ("data/dokuments.jsonl", "did you mean")),
    ],
    ids=["not TOML", "unknown metric", "unknown key", "no such file"],
)
def test_what_is_wrong_with_the_project_comes_first_with_its_cure_and_no_demo_is_recommended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, broken: Any, says: Any
) -> None:
    monkeypatch.setattr(doctor_findings, "QUICK_ABOVE", 0.0)
    demo = str(ROOT / "src" / "twofold" / "demo")
    assert main(["init", str(tmp_path / "p"), "--from", demo, "--quick", "--json"]) == 0
    settings = tmp_path / "p" / "twofold.toml"
    text = settings.read_text(encoding="utf-8")
    assert broken[0] in text
    settings.write_text(text.replace(*broken, 1), encoding="utf-8")
    capsys.readouterr()
    command = ["doctor", "--quick", "-C", str(tmp_path / "p"), "--set=retrieval.embedder.name=hashing"]
    assert main([*command, "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    told = findings["project"]
    assert all(words in f"{told['file']} {told['message']} {told['cure']}" for words in says)
    assert findings["todo"][0].startswith("Mend this project first: ")
    assert told["message"] in findings["todo"][0]
    assert told["cure"] in findings["todo"][0]
    assert not [sentence for sentence in findings["todo"] if "demo" in sentence or "checks that failed" in sentence]
    shown = list(lines(findings))
    assert shown[0].startswith("project ")
    assert shown[shown.index("To do:") + 1].startswith("  - Mend this project first: ")


def test_a_model_that_is_not_here_is_to_be_pulled_and_the_project_needs_no_mending(found: dict[str, Any]) -> None:
    wrong = {"code": "model.not-pulled", "message": "…", "cure": "twofold models pull big", "file": "", "line": 0}
    (said,) = doctor_findings.advise({**found, "project": wrong}, Config())
    assert said == "Pull the model that this project names: twofold models pull big"


@pytest.mark.usefixtures("demo_planned_once")
def test_the_command_tells_the_time_of_the_project_and_what_is_configured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = str(ROOT / "src" / "twofold" / "demo")
    assert main(["init", str(tmp_path / "p"), "--from", demo, "--json"]) == 0
    capsys.readouterr()
    settings = ["--set=tuning.trainer.options.dtype=f32", "--set=retrieval.embedder.name=hashing"]
    assert main(["doctor", "--quick", "--json", "-C", str(tmp_path / "p"), *settings]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert findings["minutes"]["project"] > 0
    assert findings["machine"]["cores"] == capabilities.cores()
    (training,) = (row for row in findings["uses"] if row["part"] == "training")
    assert training["dtype"] == "f32"
    assert training["because"].startswith('dtype = "f32" is configured')
    assert main(["doctor", "--quick", "-C", str(tmp_path / "p"), *settings]) == 0
    text = capsys.readouterr().out
    assert "this project's study: about" in text
    assert f"\n{'':22} ({findings['minutes']['paces']})\n" in text
    assert text.rstrip().splitlines()[-1].startswith(("Nothing to do.", "  - "))


@pytest.mark.slow
def test_training_and_answering_are_measured_by_the_real_ones(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_findings, "_generator", lambda: f"path:{tiny}")
    trained = doctor_findings.training()
    assert trained["tokens_per_second"] > 0
    assert trained["tokens"] > 500
    assert trained["dtype"] == capabilities.arithmetic().dtype
    answered = doctor_findings.answering()
    assert answered["completion_tokens_per_second"] > 0
    assert doctor_findings.embedding()["chunks_per_second"] > 0
