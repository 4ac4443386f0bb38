"""The plan: pure estimates with known paces, money, caps; and refusals that are those of the run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from twofold.cli.main import main
from twofold.errors import TwofoldError
from twofold.host import capabilities, pace
from twofold.project import Project
from twofold.reports import archive
from twofold.study import plan as planning
from twofold.study.plan import Answering, Training, TuningWork, Work
from twofold.types import Arm

PACES = {
    "answer plain": 0.001,
    "alone plain": 0.01,
    "load": 5.0,
    "load tuned": 20.0,
    "merge": 7.0,
    "general": 0.1,
}
BASE = Answering(arm=Arm(name="base"), prompt_tokens=40.0, completion_tokens=20.0, questions=100, single=12)
TRAINED = {"token": 0.002, "evaluation": 0.001, "setup": 10.0, "start": 4.0}
LORA = Training(method="lora", paces=TRAINED, steps=60, tokens=150_000, evaluations=3, items=20, item=1000)
FT = replace(BASE, arm=Arm(name="ft", tuning="closed-book"))


def tuned(training: Training = LORA, **more: Any) -> Work:
    dev = replace(FT, questions=40, single=9)
    return Work(
        documents=0,
        chunks=0,
        answering=[FT],
        tuning=[TuningWork(dev=dev, trainings=[training], finished=0, **more)],
        paces=PACES,
    )


def seconds(work: Work) -> dict[str, float]:
    return {step["step"]: step["seconds"] for step in planning.bill(work)}


def test_answers_cost_what_the_kept_paces_say() -> None:
    work = Work(documents=0, chunks=0, answering=[BASE], tuning=[], paces=PACES)
    found = seconds(work)
    assert found["latency of base"] == pytest.approx(5.0 + 12 * (40 + 20 * 20) * 0.01)
    assert found["answer base"] == pytest.approx(5.0 + 100 * (40 + 3 * 20) * 0.001)
    half = replace(work, answering=[replace(BASE, cached=50, single=0)])
    assert seconds(half)["answer base"] == pytest.approx(5.0 + 50 * (40 + 3 * 20) * 0.001)
    done = replace(work, answering=[replace(BASE, cached=100, single=0)])
    assert seconds(done)["answer base"] == 0
    assert "latency of base" not in seconds(done)


def test_an_arm_loads_for_its_answers_and_untuned_arms_once_together_for_their_latency() -> None:
    prompt = replace(BASE, arm=Arm(name="prompt", shots=3))
    found = seconds(replace(tuned(), answering=[BASE, prompt, FT]))
    alone = 12 * (40 + 20 * 20) * 0.01
    assert found["answer ft"] == pytest.approx(20 + 100 * (40 + 3 * 20) * 0.001), "merged and checked"
    assert [found[f"latency of {name}"] for name in ("base", "prompt", "ft")] == pytest.approx(
        [5 + alone, alone, 5 + alone]
    )


def test_tuning_counts_start_steps_evaluations_dev_answers_and_the_gate() -> None:
    found = seconds(tuned(gate=786, gate_first=900))
    assert found["tune ft"] == pytest.approx(10 + 300 + 60)
    batched, alone = 40 * (40 + 3 * 20) * 0.001, 9 * (40 + 20 * 20) * 0.01
    assert found["dev latency of ft"] == pytest.approx(7 + alone + 5 + alone)
    assert found["dev scores of ft"] == pytest.approx(2 * batched)
    assert found["forgetting of ft"] == pytest.approx((786 + 900) * 0.1)
    assert found["latency of ft"] == pytest.approx(5 + 12 * 440 * 0.01)
    off = seconds(tuned())
    assert "forgetting of ft" not in off
    assert off["dev latency of ft"] == pytest.approx(7 + alone)
    assert off["dev scores of ft"] == pytest.approx(batched)


def test_the_evaluations_of_a_training_are_planned_as_it_makes_them() -> None:
    free = seconds(tuned(LORA))["tune ft"]
    assert seconds(tuned(replace(LORA, items=40)))["tune ft"] == pytest.approx(free + 3 * 5), "a quarter of the steps"
    wide = seconds(tuned(replace(LORA, items=40, limit=60.0)))["tune ft"]
    assert wide == pytest.approx(free + 3 * 20), "a cap that leaves time is used for more items"
    short = replace(LORA, steps=2, tokens=5000, evaluations=4, items=40)
    assert seconds(tuned(short))["tune ft"] == pytest.approx(10 + 10 + 2 * 8), "no more evaluations than steps"
    general = replace(LORA, followed=500)
    assert seconds(tuned(general))["tune ft"] == pytest.approx(free + 4 * 0.5), "before the first step too"
    tight = replace(general, followed=50_000, limit=3.0)
    assert seconds(tuned(tight)) == seconds(tuned(replace(LORA, limit=3.0))), "not followed where a cap is tight"


def test_what_the_base_model_writes_for_a_training_has_its_own_line() -> None:
    rag = replace(BASE, arm=Arm(name="rag", retrieval=True), questions=200, single=0)
    found = seconds(tuned(replayed=120, taught=rag))
    assert found["answers to replay for ft"] == pytest.approx(5 + 120 * 0.1 * 2)
    answering = 5 + 200 * ((40 + 3 * 20) * 0.001 + planning.DEFAULTS["retrieve"])
    assert found["answers to learn from for ft"] == pytest.approx(answering)
    assert found["tune ft"] == pytest.approx(seconds(tuned())["tune ft"])
    cached = seconds(tuned(replace(LORA, cached=True), replayed=120, taught=rag))
    assert not {"answers to replay for ft", "answers to learn from for ft"} & set(cached)


def test_what_is_trained_already_is_not_trained_again() -> None:
    assert seconds(tuned(replace(LORA, cached=True)))["tune ft"] == 0


def test_a_cap_is_told_with_the_steps_that_fit_and_warned_about() -> None:
    capped = tuned(replace(LORA, limit=3.0))
    step = next(step for step in planning.bill(capped) if step["step"] == "tune ft")
    assert step["seconds"] == pytest.approx(4 + 180), "the cap does not count the start of the process"
    assert "capped at 3 min: " in step["detail"]
    fitting = planning.affordable_steps(replace(LORA, limit=3.0), capped)
    assert fitting == (180 - 6 - 3 * 9 * 1) // (300 / 60), "three evaluations of nine items are 15 % of the cap"
    (warning,) = planning.no_chance(capped)
    assert warning.startswith("ft will not be given its chance: 3 min are enough for about")
    allowed = int(warning.rpartition("allow ")[2].split()[0])
    assert planning.no_chance(tuned(replace(LORA, limit=float(allowed)))) == []
    assert planning.no_chance(tuned()) == []


def test_a_slower_kind_of_cpu_stretches_only_the_defaults() -> None:
    fast = Work(documents=0, chunks=0, answering=[BASE], tuning=[], paces={})
    slow = replace(fast, slowness=500 / 115)
    assert seconds(slow)["answer base"] / seconds(fast)["answer base"] == pytest.approx(1.8, abs=0.1)
    trains = [replace(tuned(replace(LORA, paces={})), slowness=one) for one in (1.0, 500 / 115)]
    quick, long = (seconds(work)["tune ft"] for work in trains)
    assert 2.3 < long / quick < 4
    measured = replace(fast, paces=PACES)
    assert seconds(replace(measured, slowness=9.0)) == seconds(measured)


def test_an_endpoint_is_never_priced_with_the_times_of_a_local_model() -> None:
    remote = replace(BASE, concurrency=8)
    work = Work(documents=0, chunks=0, answering=[remote], tuning=[], paces={})
    found = {step["step"]: step for step in planning.bill(work)}
    assert "endpoint not measured yet: 1.5 s an answer assumed" in found["answer base"]["detail"]
    assert found["answer base"]["seconds"] == pytest.approx(100 * 1.5 / 8)
    assert found["latency of base"]["seconds"] == pytest.approx(12 * 1.5)
    known = replace(work, paces={"answer plain": 0.002, "alone plain": 0.002})
    assert "assumed" not in planning.bill(known)[1]["detail"]


def test_tokens_and_hours_that_have_a_price_are_lines() -> None:
    priced = replace(BASE, prices=(1.0, 10.0), concurrency=8)
    (row,) = planning.costs(Work(documents=0, chunks=0, answering=[priced], tuning=[], paces={}))
    assert row["step"] == "answer base"
    assert row["amount"] == pytest.approx((100 + 12 + 2) * (40 * 1 + 20 * 10) / 1e6)
    assert "114 requests" in row["detail"]
    (hours,) = planning.costs(tuned(replace(LORA, euros_an_hour=3.6)))
    assert hours["amount"] == pytest.approx(370 / 1000)
    assert planning.costs(tuned()) == []


# ---------------------------------------------------------------- plan and run


def overrides(fast: Callable[..., dict[str, Any]], **sections: dict[str, Any]) -> dict[str, Any]:
    made = fast()
    for name, values in sections.items():
        made[name] = {**made.get(name, {}), **values}
    return made


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"study": {"metric": "f1"}}, "'token_f1'"),
        ({"study": {"metric": {"name": "json_valid", "options": {"jsonschema": ""}}}}, "jsonschema"),
        ({"study": {"arms": ["base", "base"]}}, "names 'base' twice"),
        ({"study": {"arms": ["base", "rags"]}}, "rags"),
        (
            {"documents": {"paths": []}, "study": {"arms": ["base", "prompt", "rag"], "diagnostics": ["oracle"]}},
            "that rag and oracle could read: it names none Leave them out (`twofold study --arms base,prompt`)",
        ),
        ({"documents": {"paths": []}, "study": {"arms": ["rag"], "diagnostics": []}}, "--arms base,prompt"),
        (
            {
                "study": {"arms": ["base", "rag", "ft"]},
                "generation": {"generator": {"name": "openai", "options": {"model": "acme-large"}}},
            },
            "--arms base,rag",
        ),
    ],
)
def test_plan_and_run_refuse_alike(
    project: Project, fast: Callable[..., dict[str, Any]], sections: dict[str, dict[str, Any]], says: str
) -> None:
    told = []
    for what in ("plan", "study"):
        with pytest.raises(TwofoldError) as raised, Project.open(project.directory, overrides(fast, **sections)) as one:
            getattr(one, what)()
        told.append((type(raised.value), raised.value.message, raised.value.cure))
    assert told[0] == told[1]
    assert says in f"{told[0][1]} {told[0][2]}"


def test_plan_and_run_refuse_a_broken_document_alike(project: Project) -> None:
    with (project.directory / "data" / "documents.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"id": "broken", "text": \n')
    told = []
    for what in ("plan", "study"):
        with pytest.raises(TwofoldError) as raised, Project.open(project.directory, project_settings()) as one:
            getattr(one, what)()
        told.append((type(raised.value), raised.value.message))
    assert told[0] == told[1]


def rewritten(project: Project, change: Callable[[dict[str, Any], int], None]) -> None:
    """Change the records of the project's examples, each told with its line."""
    file = project.directory / "data" / "examples.jsonl"
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for line, record in enumerate(records, 1):
        change(record, line)
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def misspelled(record: dict[str, Any], line: int) -> None:
    if line in (5, 9):
        record["doc_ids"] = [record["doc_ids"][0] + ".txt"]


def no_choice(record: dict[str, Any], line: int) -> None:
    if line == 7:
        record["choices"] = ["neither", "nor"]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (misspelled, ("data.unknown-document", 5, "2 examples name documents that are not there")),
        (no_choice, ("data.bad-record", 7, "is none of its choices")),
    ],
    ids=["unknown document", "answer outside its choices"],
)
def test_plan_study_bench_and_tune_refuse_examples_that_check_calls_wrong(
    project: Project, fast: Callable[..., dict[str, Any]], change: Any, refusal: tuple[str, int, str]
) -> None:
    code, line, says = refusal
    right = json.loads((project.directory / "data" / "examples.jsonl").read_text(encoding="utf-8").splitlines()[4])
    rewritten(project, change)
    for what in (Project.plan, Project.study, lambda one: one.bench({}), lambda one: one.tuning.plan(), Project.tune):
        with Project.open(project.directory, overrides(fast)) as one, pytest.raises(TwofoldError) as raised:
            what(one)
        error = raised.value
        assert (error.code, Path(str(error.file)).name, error.line) == (code, "examples.jsonl", line)
        assert says in error.message
        if change is misspelled:
            assert f"Did you mean {right['doc_ids'][0]!r}?" in error.cure


def test_arms_that_read_no_document_run_without_the_documents_that_examples_name(
    project: Project, fast: Callable[..., dict[str, Any]]
) -> None:
    rewritten(project, misspelled)
    with Project.open(project.directory, overrides(fast, study={"arms": ["base", "prompt"], "diagnostics": []})) as one:
        one.plan()
        assert one.study()["verdict"]["outcome"]


def test_a_document_that_may_be_in_a_source_not_synced_yet_is_a_warning_of_the_plan(
    project: Project, fast: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "more").mkdir()
    rewritten(project, misspelled)
    folder = {"kind": "folder", "options": {"paths": [str(tmp_path / "more")]}}
    more = {"sources": {"more": folder}}
    with Project.open(project.directory, overrides(fast, **more)) as one:
        assert any("run `twofold sync`" in warning for warning in one.plan().warnings)
        with pytest.raises(TwofoldError, match="2 examples name documents that are not there"):
            one.study()


def test_a_plan_of_one_test_question_says_so_and_is_json(
    tmp_path: Path, demo_questions: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    Project.create(tmp_path / "p", demo_questions(3)).close()
    settings = ["--set=generation.generator.name=echo", "--set=retrieval.embedder.name=hashing"]
    command = ["study", "--plan", "--arms", "base,rag", "-C", str(tmp_path / "p"), *settings]
    assert main([*command, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["policy"]["groups"] == 1
    assert plan["detectable"] is None
    assert any("1 test question can seldom show any gain: add questions" in warning for warning in plan["warnings"])
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "inf" not in out.replace("info", "")
    assert not re.findall(r"\b1 (?:chunk|question|step|group|token)s\b", out), "one is no plural"


def listing(directory: Path) -> dict[str, tuple[int, int]]:
    """Every path below a folder, with its size and the time of its last change."""
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted((directory, *directory.rglob("*")))}


@pytest.mark.parametrize("sources", [False, True], ids=["documents", "a source only"])
def test_a_plan_writes_nothing_to_a_project_in_which_nothing_was_done(
    project: Project, sources: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["generation.generator.name=echo", "retrieval.embedder.name=hashing"]
    if sources:
        settings += [
            "documents.paths=[]",
            'sources.files={kind = "folder", options = {paths = ["data/documents.jsonl"]}}',
        ]
    words = [word for setting in settings for word in ("--set", setting)]
    before = listing(project.directory)
    assert main(["study", "--plan", *words, "-C", str(project.directory), "--json"]) == 0
    assert listing(project.directory) == before
    assert not project.derived.exists()
    plan = json.loads(capsys.readouterr().out)
    assert math.isfinite(plan["minutes"])


def test_a_plan_of_a_project_that_was_synced_writes_nothing_to_it(project: Project) -> None:
    with project:
        project.sync()
    before = {name: seen for name, seen in listing(project.directory).items() if Path(name).is_file()}
    with Project.open(project.directory, project_settings()) as again:
        plan = again.plan()
    assert {name: seen for name, seen in listing(project.directory).items() if Path(name).is_file()} == before
    steps = {step["step"] for step in plan.steps}
    assert {"latency of base", "answer base", "latency of rag", "score and decide"} <= steps
    assert "embed documents" not in steps


def test_a_study_after_the_plan_of_a_new_project_is_written(project: Project, fast: Callable[..., Any]) -> None:
    with Project.open(project.directory, fast()) as one:
        steps = {step["step"] for step in one.plan().steps}
        assert "embed documents" in steps
        one.study()
        assert one.catalogue.documents.digests()
        assert archive.names(one.records)


def test_a_plan_after_a_study_knows_the_machine(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FILE", str(tmp_path / "paces.json"))
    with project:
        record = project.study()
    with Project.open(
        project.directory, {**project_settings(), "study": {"seed": 3, "arms": ["base", "rag"]}}
    ) as again:
        plan = again.plan()
    assert plan.rates == "measured here"
    assert {item["step"] for item in record["bill"]} >= {"latency of base", "answer base"}


def test_a_first_plan_measures_and_says_when_the_machine_was_busy(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FILE", str(tmp_path / "paces.json"))
    stages: list[str] = []

    def rates(*, crowded: bool) -> str:
        stages.clear()
        monkeypatch.setattr(capabilities, "crowded", lambda: crowded)
        settings = {**project_settings(), "study": {"arms": ["base", "rag"]}}
        with Project.open(project.directory, settings) as opened:
            told: str = opened.plan(measure=True, progress=lambda stage, *_: stages.append(stage)).rates
        return told

    assert rates(crowded=True) == "measured here while the machine was busy"
    assert set(stages) == {"measuring this machine: answers", "measuring this machine: embedding"}
    assert rates(crowded=True) == "measured here while the machine was busy"
    assert stages == [], "it is still busy: nothing better can be measured"
    assert rates(crowded=False) == "measured here"
    assert stages
    assert rates(crowded=True) == "measured here"
    assert stages == [], "what was measured alone is kept"


def project_settings() -> dict[str, Any]:
    return {
        "generation": {"generator": {"name": "echo", "options": {"mode": "quote"}}},
        "retrieval": {"embedder": {"name": "hashing", "options": {}}},
    }


def test_a_slow_arm_is_planned_to_be_timed_no_longer_than_it_is_timed() -> None:
    free = Work(documents=0, chunks=0, answering=[BASE], tuning=[], paces=PACES)  # 4.4 s a question, one at a time
    limits: list[float] = []

    def allowed(answering: float) -> float:
        limits.append(answering)
        return 20.0

    capped = replace(free, allowed=allowed, least=4)
    assert seconds(capped)["latency of base"] == pytest.approx(5 + 20)
    assert limits == pytest.approx([100 * (40 + 3 * 20) * 0.001]), "without the model's loading, as it is measured"
    [line] = [step for step in planning.bill(capped) if step["step"] == "latency of base"]
    assert "up to 12 questions in about 20 s, one at a time" in line["detail"]
    assert seconds(replace(capped, least=6))["latency of base"] == pytest.approx(5 + 6 * 4.4)
    assert seconds(replace(capped, allowed=lambda _: 100.0)) == seconds(free)
