"""Errors become a message, a cure and an exit code; results and remarks keep to their streams."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from twofold.cli.main import main
from twofold.errors import BadRecord, IndexMismatch, MissingExtra, TwofoldError
from twofold.study.plan_record import StudyPlan
from twofold.types import Problem
from twofold.verdict.power import Prospect
from twofold.verdict.record import BillItem


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Puts a stand-in for the façade under the command line: what it does is told by the test."""

    def put(**methods: Any) -> list[Any]:
        opened: list[Any] = []

        class Stand:
            @classmethod
            def open(cls, directory: Path, overrides: Any = None) -> Any:
                opened.append((directory, overrides))
                return cls()

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                return None

        for name, method in methods.items():
            setattr(Stand, name, method)
        module = ModuleType("twofold.project")
        module.Project = Stand  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "twofold.project", module)
        return opened

    return put


NAMES = ("init", "check", "models", "sync", "ask", "tune", "study", "show", "config", "plugins", "gc", "demo", "doctor")


def raising(error: BaseException) -> Callable[..., Any]:
    def method(*_: Any, **__: Any) -> Any:
        raise error

    return method


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadRecord("not JSON", file="data/examples.jsonl", line=7), 2),
        (MissingExtra("needs openvino", cure="pip install -e '.[local]' in the clone"), 2),
        (IndexMismatch("other vectors"), 3),
    ],
)
def test_an_error_says_place_and_cure(
    project: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str], error: TwofoldError, code: int
) -> None:
    project(check=raising(error))
    assert main(["check"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: {error}\nhelp: {error.cure}\n"


def test_with_json_the_error_is_an_object_on_stdout(
    project: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    project(check=raising(BadRecord("not JSON", file="e.jsonl", line=7, cure="mend it")))
    assert main(["check", "--json"]) == 2
    expected = {"code": "data.bad-record", "message": "not JSON", "cure": "mend it", "file": "e.jsonl", "line": 7}
    assert json.loads(capsys.readouterr().out) == {"error": expected}


def test_interrupted(project: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    project(sync=raising(KeyboardInterrupt()))
    assert main(["sync"]) == 130
    assert capsys.readouterr().err == "stopped: run the same command again, and it resumes where it stopped\n"


def test_a_fault_of_our_own_shows_its_traceback_only_when_asked(
    project: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    project(check=raising(ZeroDivisionError("oops")))
    assert main(["check"]) == 70
    err = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in err
    assert "Traceback" not in err
    assert main(["check", "--verbose", "--json"]) == 70
    out, err = capsys.readouterr()
    assert "Traceback" in err
    assert json.loads(out)["error"]["code"] == "internal"


@pytest.mark.parametrize(
    ("line", "message", "cure"),
    [
        ("study --limit -3", "(got '-3')", "Run `twofold study --help`."),
        ("tune --minutes soon", "(got 'soon')", "Run `twofold tune --help`."),
        ("plugins generators", "unexpected argument 'generators'", "Leave it out: this command takes options only;"),
        ("show one two", "unexpected argument 'two'", "Put quotes around text with spaces"),
        ("bench -C p", "no such option: -C", "Put options after the command: twofold bench COMMAND OPTIONS;"),
        ("-C p study", "no such option: -C", "Put options after the command: twofold COMMAND OPTIONS;"),
        ("tune --size Llama-3.1-8B", "--size needs --plan", "Add --plan."),
        ("tune --gpu H100", "--gpu and --efficiency need --size", "Add --size"),
        ("tune --arm ft --plan --size 9B", "no model size '9B'", "Choose SmolLM2-135M, Llama-3.2-1B"),
        ("tune --arm ft --plan --size qwen2.5-7b --gpu K80", "unknown GPU 'K80'", "Choose H200, H100"),
        ("examples import no.csv --into x.jsonl", "no.csv: there is no such file", "Name a plain file that is there."),
    ],
)
def test_wrong_use_names_the_value_and_a_cure_that_fits(
    capsys: pytest.CaptureFixture[str], line: str, message: str, cure: str
) -> None:
    assert main(line.split()) == 2
    error, help_line = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert error.endswith(message)
    assert help_line.startswith(f"help: {cure}")


@pytest.mark.parametrize(
    "arguments", [["stduy"], ["check", "--no-such"], ["init"], ["study", "--limit", "0"], ["ask"], ["study", "--limit"]]
)
def test_wrong_use_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "--help`" in err


@pytest.mark.parametrize(
    ("arguments", "message", "cure"),
    [
        ("bench retrieval --split tset", "--split 'tset' is unknown", "Did you mean test? Choose one of open, train, "),
        ("bench retrieval --unit page", "--unit 'page' is unknown", "Choose one of document, passage."),
        ("examples make --by modle", "--by 'modle' is unknown", "Did you mean model? Choose one of templates, model."),
        ("examples make --what x", "--what 'x' is unknown", "Choose one of questions, rewordings."),
        ("examples select --budget 9 --by randm", "--by 'randm' is unknown", "Did you mean random? Choose one of "),
        ("examples check --skip copys", "--skip 'copys' is unknown", "Did you mean copies? Choose one of copies, "),
        (
            "study --arms oracle",
            "--arms 'oracle' names no arm that a verdict can choose",
            "oracle is measured beside",
        ),
        (
            "study --arms ,",
            "--arms ',' names no arm that a verdict can choose",
            "Name one or more of base, prompt, rag",
        ),
    ],
)
def test_a_value_that_an_option_does_not_know_is_named_with_those_it_knows(
    arguments: str, message: str, cure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first == f"error: {message}"
    assert second.startswith("help: ")
    assert cure in second


def test_a_file_of_the_command_line_is_not_looked_for_in_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples.jsonl").write_text('{"question": "What?", "answers": ["that"]}\n', encoding="utf-8")
    assert main(["examples", "check", "exmaples.jsonl"]) == 2
    assert capsys.readouterr().err == (
        "error: exmaples.jsonl: there is no such file\n"
        f"help: Looked for 'exmaples.jsonl' in {tmp_path}: did you mean 'examples.jsonl'? Correct the path.\n"
    )


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in NAMES:
        assert f"\n  {name} " in shown
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("twofold 0.")
    assert main([]) == 2


def test_no_project_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "-C", str(tmp_path)]) == 2
    assert "twofold init PROJECT --from FOLDER" in capsys.readouterr().err


def test_check_lists_every_problem_and_fails_on_errors(
    project: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    warning = Problem(severity="warning", code="x", message="odd", cure="look", file="d.jsonl", line=2)
    error = Problem(severity="error", code="y", message="bad", cure="mend")
    project(check=lambda _: [warning, error])
    assert main(["check"]) == 1
    assert capsys.readouterr().out == (
        "d.jsonl:2: warning: odd (look)\nproject: error: bad (mend)\n1 error, 1 warning\n"
    )
    project(check=lambda _: [warning])
    assert main(["check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"][0]["line"] == 2


def test_options_reach_the_project(project: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    opened = project(plan=raising(KeyboardInterrupt()))
    main(
        [
            "study",
            "--plan",
            "-C",
            "p",
            "--set",
            "retrieval.k=5",
            "--limit",
            "9",
            "--arms",
            "base,rag,oracle",
            "--minutes",
            "2",
            "--set",
            "examples.seed=3",
        ]
    )
    assert opened == [
        (
            Path("p"),
            {
                "retrieval": {"k": 5},
                "examples": {"limit": 9, "seed": 3},
                "study": {"arms": ["base", "rag"], "diagnostics": ["oracle"]},
                "tuning": {"trainer": {"options": {"minutes": 2.0}}},
            },
        )
    ]


STEP: BillItem = {
    "step": "answer rag",
    "items": 9,
    "cached": 1,
    "seconds": 75.0,
    "detail": "300 + 9 tokens a question",
}
PLAN = StudyPlan(
    steps=[STEP],
    rates="measured here",
    costs=[
        {"step": "answer rag", "amount": 0.25, "detail": "21 requests, 9000 prompt and 200 completion tokens"},
        {"step": "tune ft", "amount": 0.5, "detail": "30 min at 1 an hour"},
    ],
    unpriced=["plus at most 9 calls to metric strict, repeats of failed ones aside, not priced"],
    level=0.95,
    prospect=Prospect(chances=((0.1, 0.3), (0.2, 0.9)), best=(0.3, 0.9), least=0.1234),
    warnings=["only 3 [groups]"],
    policy={
        "split_by": "document",
        "sentence": "New documents.",
        "seed": 1,
        "train": 4,
        "dev": 1,
        "test": 3,
        "reserve": 0,
        "groups": 3,
        "final": False,
    },
    arms=["rag"],
    leaks={},
)


def lasting(minutes: float) -> StudyPlan:
    """`PLAN` of other steps and warnings."""
    return replace(PLAN, steps=[{**STEP, "seconds": minutes * 60}], warnings=["ft will not be given its chance"])


def test_a_study_needs_leave(
    project: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project(plan=lambda _, **__: PLAN, study=raising(AssertionError("started without leave")))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["study"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    said = (
        "1 min 15 s",
        "a gain of .10 is shown in 3 of 10",
        "only 3 [groups]",
        "New documents.",
        "Add --yes",
        "measured here",
    )
    shown = " ".join(err.split())
    for part in (*said, "costs 0.25 for answer rag: 21 requests", "costs 0.75 in all", PLAN.unpriced[0]):
        assert part in shown
    assert main(["study", "--plan"]) == 0
    assert "1 min 15 s" in capsys.readouterr().out
    assert main(["study", "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"][0]["cached"] == 1


def test_on_a_terminal_the_study_asks(
    project: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    began: list[bool] = []

    def study(_: Any, **__: Any) -> Any:
        began.append(True)
        raise KeyboardInterrupt

    project(plan=lambda _, **__: PLAN, study=study)
    for refusal in ("n\n", "what?\n", ""):  # the last is the end of the input, Ctrl-D
        monkeypatch.setattr("sys.stdin", Terminal(refusal))
        assert main(["study"]) == 0
        assert "nothing was started" in capsys.readouterr().err
    assert not began
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert main(["study"]) == 130
    assert began
    assert capsys.readouterr().out == ""


def test_a_common_option_that_means_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "x", "--from", "y", "-C", "z"]) == 2
    assert main(["models", "list", "--set", "retrieval.k=1"]) == 2
    assert "no such option" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("minutes", "words", "offered"), [(45.0, [], True), (12.0, [], False), (45.0, ["--quick"], False)]
)
def test_the_demo_says_at_the_start_what_it_takes_here_and_offers_the_small_one(
    project: Callable[..., list[Any]],
    *,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    minutes: float,
    words: list[str],
    offered: bool,
) -> None:
    from twofold.cli import doctor_findings
    from twofold.models import hub

    project(check=lambda _: [], plan=lambda _, **__: lasting(minutes), study=raising(KeyboardInterrupt()))
    monkeypatch.setattr(hub, "definitions", dict)
    monkeypatch.setattr(doctor_findings, "demo_plan", lambda quick: lasting(6.0 if quick else minutes))
    (tmp_path / "twofold.toml").write_text("", encoding="utf-8")
    assert main(["demo", "--directory", str(tmp_path), *words]) == 130
    said = capsys.readouterr().err
    assert f"study: rag; about {minutes:.0f} min 0 s here (measured here)" in said
    assert ("`twofold demo --quick` takes about 6 min 0 s" in said) == offered
    assert "warning: ft will not be given its chance" in said


@pytest.mark.parametrize("command", [["doctor"], ["doctor", "--quick"], ["models", "list"]])
def test_a_command_without_a_project_refuses_a_folder_that_is_not_there(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "-C", str(tmp_path / "nowhere")]) == 2
    out, err = capsys.readouterr()
    # At once: nothing was measured or listed for a project that does not exist.
    assert out == ""
    assert err.startswith("error: there is no folder")
    assert f"{tmp_path / 'nowhere'}" in err
