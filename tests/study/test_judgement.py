"""`twofold judge` on a real project: what passes is shown everywhere, what does not is shown nowhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import judged_projects
from judged_projects import figures, mark, settings
from twofold.cli.main import main
from twofold.errors import ConfigError, StudyError
from twofold.labelling.labels import LABELS, LabelLog
from twofold.plugins import loading
from twofold.project import Project
from twofold.reports import archive
from twofold.study import judgement
from twofold.testing.stand_in_judge import StandInJudge

Call = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module", autouse=True)
def stand_in() -> Iterator[None]:
    with loading.registered("generators", "judge", StandInJudge):
        yield


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged_projects.studied(judged_projects.write(tmp_path_factory.mktemp("judged") / "facts"))


@pytest.fixture
def project(studied: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(studied, tmp_path / "facts"))


@pytest.fixture(scope="module")
def marked(studied: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with marks of both kinds; each test of it overwrites the judgement of the one before."""
    directory = Path(shutil.copytree(studied, tmp_path_factory.mktemp("marked") / "facts"))
    mark(directory, 50, by=("ann", "ben"))
    mark(directory, 40, by=("ann", "ben"), mode="pairwise")
    return directory


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: str) -> tuple[int, Any, str]:
        code = main([*arguments, "--json"])
        caught = capsys.readouterr()
        return code, json.loads(caught.out), caught.err

    return run


def test_a_good_judge_passes_and_its_scores_stand_in_record_report_and_show(project: Path, call: Call) -> None:
    mark(project, 60, by=("ann", "ben"), wrongly=0.05)
    directory = project / "studies" / "0001-project"
    before = {name: (directory / name).read_bytes() for name in ("study.json", "verdict.json", "answers.jsonl.gz")}
    code, record, _ = call("judge", "-C", str(project))
    assert (code, record["passed"], record["unreadable"]) == (0, True, 0)
    assert set(record["arms"]) == {"base", "rag"}
    assert record["people"] == ["ann", "ben"]
    for arm in record["arms"].values():
        width = arm["score"]["high"] - arm["score"]["low"]
        assert width <= arm["people"]["high"] - arm["people"]["low"]
    assert record["arms"]["rag"]["weight"] > 0.3
    # What it stands on is untouched, the verdict above all.
    assert before == {name: (directory / name).read_bytes() for name in before}
    report = (directory / "report.html").read_text(encoding="utf-8")
    assert 'id="judge"' in report
    assert "decides nothing" in report
    code, shown, _ = call("show", "-C", str(project))
    assert shown["judgement"]["arms"] == record["arms"]
    assert main(["verify", "-C", str(project), "-q"]) == 0


@pytest.mark.parametrize(
    ("fault", "mode", "failing"),
    [
        ("length", "rubric", {"agreement"}),
        ("constant", "rubric", {"agreement"}),
        ("moody", "rubric", {"repeats", "order", "agreement"}),
        ("nonsense", "rubric", {"repeats", "order", "agreement"}),
        ("first", "pairwise", {"order", "agreement"}),
    ],
)
def test_a_judge_with_a_planted_fault_is_refused_and_no_score_of_it_is_anywhere(
    marked: Path, fault: str, mode: str, failing: set[str]
) -> None:
    with Project.open(marked, settings({"fault": fault}, mode)) as opened:
        record = opened.judging.run()
    assert {name for name, (_, passed) in figures(record).items() if not passed} == failing
    assert (record["passed"], record["arms"]) == (False, {})
    assert "is refused, and no score of it is shown" in record["sentence"]
    # Only the probation was paid for.
    assert record["questions"] == 3 * record["marked"]
    report = (marked / "studies" / "0001-project" / "report.html").read_text(encoding="utf-8")
    assert "is refused" in report
    assert "Judged scores" not in report


def test_pairs_are_judged_in_both_orders(marked: Path) -> None:
    with Project.open(marked, settings({}, "pairwise")) as opened:
        record = opened.judging.run()
    assert record["passed"]
    won = {name: arm["score"]["mean"] for name, arm in record["arms"].items()}
    assert won["rag"] > 0.5 > won["base"]
    assert won["rag"] + won["base"] == pytest.approx(1)
    assert record["questions"] == 3 * record["marked"] + 2 * (record["items"] - record["marked"])


def test_replies_are_stored_and_another_run_asks_nothing(project: Path) -> None:
    mark(project, 50)
    with Project.open(project) as opened:
        planned = opened.judging.plan()
        assert (planned.marked, planned.probation, planned.rest) == (50, 150, planned.items - 50)
        assert planned.seconds is None, "the stand-in never answered a study here"
        first = opened.judging.run()
        assert (first["passed"], first["cached"]) == (True, 0)
        again = opened.judging.run()
        assert again["cached"] == again["questions"] == first["questions"]
        assert (again["arms"], again["tries"]) == (first["arms"], 1)
        planned = opened.judging.plan()
        assert (planned.probation, planned.rest, planned.tokens) == (0, 0, 0)
        # More marks are another probation; only what they add is asked: of six answers the other order, and again.
        mark(project, 56, by=("ben",))
        more = opened.judging.run()
    assert more["questions"] - more["cached"] == 2 * 6
    assert more["tries"] == 2
    assert any("probation number 2" in doubt for doubt in more["doubts"])


def test_questions_that_fail_leave_the_probation_open_and_are_asked_again(marked: Path, call: Call) -> None:
    fails = "models.judge.generator.options.fault=fails"
    code, record, _ = call("judge", "-C", str(marked), "--set", fails)
    assert (code, record["passed"], record["failed"]) == (1, False, 150)
    assert "is not finished" in record["sentence"]
    assert any("150 questions failed (failed on purpose)" in doubt for doubt in record["doubts"])
    with Project.open(marked, settings({"fault": "fails"})) as opened:
        assert opened.judging.run()["cached"] == 0


def test_a_few_questions_that_fail_for_ever_do_not_keep_the_probation_open(marked: Path) -> None:
    log = LabelLog(marked / LABELS)
    question = next(label.question for label in log.all() if label.kind == "mark")
    with Project.open(marked, settings({"too_long": question})) as opened:
        record = opened.judging.run()
    assert 3 <= record["failed"] <= 7
    assert record["marked"] in (48, 49), "what failed is no trial"
    assert record["passed"]
    assert any("the prompt is too long" in doubt for doubt in record["doubts"])


def test_marks_of_one_person_and_a_judge_of_its_own_answers_are_doubts(project: Path) -> None:
    mark(project, 30)
    with Project.open(project, {"judge": {"model": ""}}) as opened:
        record = opened.judging.run()
    assert not record["passed"], "the generator of the study says what is listed first"
    doubts = " ".join(record["doubts"])
    assert "all marks are of one person" in doubts
    # The model has a pace, for it answered the study.
    with Project.open(project, {"judge": {"model": "", "rubric": "Is it kind?"}}) as opened:
        planned = opened.judging.plan()
        assert planned.seconds is not None
        assert planned.seconds > 0
    assert "the judge is the model that wrote the answers of base, rag" in doubts


def test_an_endpoint_with_prices_is_told_before_it_is_asked(marked: Path) -> None:
    prices = {"price_per_million_prompt": 2.0, "price_per_million_completion": 8.0}
    options = {"base_url": "http://127.0.0.1:9/v1", "model": "big", **prices}
    judge = {"models": {"judge": {"generator": {"name": "openai", "options": options}}}}
    with Project.open(marked, judge) as opened:
        planned = opened.judging.plan()
    assert planned.probation == 150
    assert planned.amount > 0
    assert planned.amount == pytest.approx(
        (planned.tokens * 2 + (planned.probation + planned.rest) * 64 * 6) / 1e6, rel=0.01
    )


def test_forgetting_a_document_keeps_the_judgement_in_the_report(marked: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(marked, tmp_path / "facts"))
    with Project.open(directory) as opened:
        opened.judging.run()
    study = directory / "studies" / "0001-project"
    assert archive.redact(study, "parking", [])
    assert 'id="judge"' in (study / "report.html").read_text(encoding="utf-8")


def test_a_document_that_is_forgotten_is_in_no_label_of_its_answers(marked: Path, tmp_path: Path, call: Call) -> None:
    directory = Path(shutil.copytree(marked, tmp_path / "facts"))
    assert "free on a Sunday" in (directory / LABELS).read_text(encoding="utf-8")
    before = LabelLog(directory / LABELS).all()
    _, receipt, _ = call("forget", "parking", "--yes", "-C", str(directory))
    stored = {row["id"] for row in archive.read_answers(directory / "studies" / "0001-project")}
    after = LabelLog(directory / LABELS).all()
    assert "free on a Sunday" not in (directory / LABELS).read_text(encoding="utf-8")
    assert after == [label for label in before if label.example in stored]
    assert receipt["labels"] == len(before) - len(after) > 0
    code, record, _ = call("judge", "-C", str(directory))
    assert (code, record["passed"]) == (0, True)
    assert any("removed, for a document was forgotten" in doubt for doubt in record["doubts"])


def test_without_marks_nothing_is_asked(project: Path) -> None:
    with Project.open(project) as opened, pytest.raises(StudyError, match="nobody has marked an answer") as caught:
        opened.judging.run()
    assert "twofold label --kind mark" in caught.value.cure
    # Labels of other answers are no marks of these.
    mark(project, 5)
    lines = (project / LABELS).read_text(encoding="utf-8").replace('"text": "', '"text": "Another answer: ')
    (project / LABELS).write_text(lines, encoding="utf-8")
    with Project.open(project) as opened, pytest.raises(StudyError, match="5 labels are of other studies"):
        opened.judging.run()


@pytest.mark.parametrize(
    ("settings", "problem", "cure"),
    [
        ({"model": "big"}, r"\[judge\].model names 'big'", "Name one of them: judge"),
        ({"rubric": "rubric.md"}, "names the file 'rubric.md', which is not there", "Write the rubric into"),
        ({"rubric": "empty.md"}, "the rubric 'empty.md' is empty", "Write into it"),
    ],
)
def test_settings_that_cannot_work_are_refused(project: Path, settings: Any, problem: str, cure: str) -> None:
    mark(project, 5)
    (project / "empty.md").write_text("\n", encoding="utf-8")
    with Project.open(project, {"judge": settings}) as opened, pytest.raises(ConfigError, match=problem) as caught:
        opened.judging.plan()
    assert cure in caught.value.cure


def test_the_rubric_can_be_a_file_and_is_another_judge(project: Path) -> None:
    mark(project, 10)
    (project / "rubric.md").write_text("An answer is right if it is in euros.\n", encoding="utf-8")
    with Project.open(project) as opened:
        opened.judging.run()
    with Project.open(project, {"judge": {"rubric": "rubric.md"}}) as opened:
        assert opened.judging.plan().probation == 30
        record = opened.judging.run()
    assert record["rubric"] == "An answer is right if it is in euros."
    assert record["tries"] == 2


def test_a_rubric_without_blanks_that_no_file_can_be_called_is_a_text(marked: Path) -> None:
    text = "答案与参考答案一致则正确，误差不超过0.5则部分正确，其他情况均为错误。" * 5
    with Project.open(marked, {"judge": {"rubric": text}}) as opened:
        assert opened.judging.run()["rubric"] == text


def test_judged_scores_of_a_race_are_said_to_be_of_each_arms_own_questions(marked: Path) -> None:
    with Project.open(marked) as opened:
        labels = LabelLog(marked / LABELS).all()
        study = judgement.opened(opened.config, marked, records=opened.records, labels=labels)
        race: Any = {"looks": []}
        raced = replace(study, record={**study.record, "race": race})
        plain, other = (judgement.judge(opened.workspace, each) for each in (study, raced))
    assert not any("was a race" in doubt for doubt in plain["doubts"])
    assert any("was a race" in doubt for doubt in other["doubts"])


def test_a_damaged_judgement_is_said_and_replaced(marked: Path, call: Call) -> None:
    path = marked / "studies" / "0001-project" / "judgement.json"
    path.write_text('{"format": 1}', encoding="utf-8")
    code, shown, err = call("show", "-C", str(marked))
    assert code == 0
    assert "judgement" not in shown
    assert "the study's judgement cannot be read: it has no" in err
    path.write_text("[" * 100_000, encoding="utf-8")
    code, shown, err = call("show", "-C", str(marked))
    assert (code, "judgement" in shown) == (0, False)
    with Project.open(marked) as opened:
        opened.judging.run()
    assert archive.read_judgement(path.parent) is not None
