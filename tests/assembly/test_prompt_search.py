"""The part ``optimised``: the prompt is chosen on dev, stored, measured, served, and found again after a kill."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import ConfigError, GenerationError, StoreError, TooFewExamples
from twofold.plugins import loading
from twofold.plugins.protocols import Progress
from twofold.project import Project
from twofold.reports import prompt_lines
from twofold.reports.study_page import render, render_summary
from twofold.testing.fact_generator import FactGenerator
from twofold.types import Completion, Prompt

Fast = Callable[..., dict[str, Any]]
OWN = {"closed": "Reply to the customer.", "abstention": ""}
"""An instruction with which the reading generator answers in a sentence, and none of its answers is exact."""


class Killed(FactGenerator):
    """Ends as a killed process does, after so many prompts."""

    answered = 0
    most = 0

    def generate(self, prompts: Sequence[Prompt], *, progress: Progress | None = None) -> list[Completion]:
        type(self).answered += len(prompts)
        if self.most and self.answered > self.most:
            raise KeyboardInterrupt
        return super().generate(prompts, progress=progress)


@pytest.fixture
def facts() -> Iterator[type[Killed]]:
    Killed.answered, Killed.most = 0, 0
    with loading.registered("generators", "facts", Killed):
        yield Killed


def opened(
    tmp_path: Path, fast: Fast, *, prompt: dict[str, str] = OWN, count: int = 90, examples: Any = None, **study: Any
) -> Project:
    """A project of questions whose answers the generator knows, and gives as the instruction wants them."""
    chance = random.Random(7)
    # Words of their own: near copies of a test question would be left out of train.
    asks = [
        "What is " + " ".join("".join(chance.choices("abcdefghijklmnop", k=7)) for _ in range(6)) for _ in range(count)
    ]
    known = {f"{text}?": f"Fact{number}" for number, text in enumerate(asks)}
    if not (tmp_path / "project").is_dir():
        source = tmp_path / "source"
        source.mkdir(parents=True)
        rows = [{"id": f"t{n}", "question": ask, "answers": [fact]} for n, (ask, fact) in enumerate(known.items())]
        (source / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        Project.create(tmp_path / "project", source).close()
    values = fast()
    section = {"arms": ["prompt", "optimised"], "diagnostics": [], "metric": "exact_match", "metrics": []}
    values["study"] = {**values["study"], **section, **study}
    values["generation"] = {**values["generation"], "generator": {"name": "facts", "options": {"knows": known}}}
    values |= {"examples": examples} if examples else {}
    return Project.open(tmp_path / "project", {**values, "prompt": prompt})


def test_an_instruction_that_helps_is_found_measured_shown_and_served(
    tmp_path: Path, fast: Fast, facts: type[Killed]
) -> None:
    with opened(tmp_path, fast) as project:
        planned = {step["step"]: step for step in project.plan().steps}
        record = project.study()
        again = {step["step"]: step for step in project.plan().steps}
        answer, provenance = project.ask(project.splits.test[0].question, arm="optimised")
        kept = project.models.gc(dry_run=True)
    scores = {name: arm["metrics"]["exact_match"]["mean"] for name, arm in record["arms"].items()}
    assert scores == {"prompt": 0.0, "optimised": 1.0}
    assert record["verdict"]["arm"] == "optimised"
    search = record["arms"]["optimised"]["description"]["optimised"]
    assert "as few words as possible" in search["instruction"]
    assert (search["origin"], search["default"]) == ("pool", False)
    step = planned["optimise the prompt of optimised"]
    assert search["spent"] <= search["budget"] == step["items"] == search["looks"] * search["dev"]
    assert (step["cached"], again[step["step"]]["cached"]) == (0, step["items"])
    billed = next(row for row in record["bill"] if row["step"] == step["step"])
    assert (billed["items"], billed["cached"]) == (search["spent"], 0)
    asked = sum(candidate["asked"] for candidate in search["candidates"])
    assert asked == search["spent"]
    test = {example.id for example in project.splits.test}
    assert not test & {shot for candidate in search["candidates"] for shot in candidate["shots"]}
    text, page = render_summary(record), render(record, [])
    assert search["instruction"] in text
    for told in (text, page):
        assert "none of them is a result" in told
    assert "chosen</span>" in page
    assert prompt_lines.found_nothing(record) == []
    assert (answer.text, provenance["measured"], provenance["key"]) == (
        project.splits.test[0].references[0],
        True,
        record["arms"]["optimised"]["key"],
    )
    assert search["key"] not in kept["removed"]


def test_where_nothing_is_better_the_own_prompt_stands_and_is_not_asked_twice(
    tmp_path: Path, fast: Fast, facts: type[Killed]
) -> None:
    with opened(tmp_path, fast, prompt={"closed": "Answer in few words."}) as project:
        record = project.study()
    arms = record["arms"]
    assert arms["optimised"]["key"] == arms["prompt"]["key"]
    assert next(row for row in record["bill"] if row["step"] == "answer optimised")["cached"] == len(
        project.splits.test
    )
    (warning,) = [line for line in record["warnings"] if "was not improved" in line]
    assert "add dev examples, raise [study].shots, or write an instruction of your own in [prompt]" in warning
    assert f"warning: {warning}"[:80] in render_summary(record)
    assert record["order"] == ["prompt", "optimised"], "the simpler of two arms that answer alike comes first"


def test_a_killed_search_goes_on_where_it_stopped(tmp_path: Path, fast: Fast, facts: type[Killed]) -> None:
    with opened(tmp_path / "whole", fast) as project:
        whole = project.study()
    every = facts.answered
    facts.answered, facts.most = 0, every // 3
    with opened(tmp_path / "killed", fast) as project, pytest.raises(KeyboardInterrupt):
        project.study()
    before = facts.answered
    facts.answered, facts.most = 0, 0
    with opened(tmp_path / "killed", fast) as project:
        record = project.study()
    same = [one["arms"]["optimised"]["description"]["optimised"] for one in (whole, record)]
    assert same[0] == same[1]
    # The batch that was killed is asked again, and the model is loaded by a question once more.
    assert facts.answered < every
    assert facts.answered + before <= every + 64 + 8


def test_an_arm_without_its_prompt_or_an_example_of_it_is_refused_with_a_cure(
    tmp_path: Path, fast: Fast, facts: type[Killed]
) -> None:
    with opened(tmp_path, fast) as project:
        with pytest.raises(StoreError, match="no prompt is optimised for the arm optimised") as lacking:
            project.ask("What is it?", arm="optimised")
        project.study()
        search = project.study()["arms"]["optimised"]["description"]["optimised"]
    assert "--arms optimised" in lacking.value.cure
    assert "ask the arm prompt" in lacking.value.cure
    data = next((tmp_path / "project" / "data").glob("*.jsonl"))
    rows = [
        line for line in data.read_text(encoding="utf-8").splitlines() if json.loads(line)["id"] != search["shots"][0]
    ]
    data.write_text("\n".join(rows), encoding="utf-8")
    with opened(tmp_path, fast) as project, pytest.raises(StoreError, match="shows 1 of its") as lost:
        project.ask("What is it?", arm="optimised")
    assert "optimises the prompt anew" in lost.value.cure


def test_without_dev_questions_the_arm_is_refused_before_anything_is_asked(
    tmp_path: Path, fast: Fast, facts: type[Killed]
) -> None:
    shares = {"train": 0.6, "dev": 0.0, "test": 0.4}
    with (
        opened(tmp_path, fast, examples=shares) as project,
        pytest.raises(TooFewExamples, match="the arm optimised chooses its prompt by"),
    ):
        project.plan()
    assert facts.answered == 0


def test_a_model_that_answers_nothing_ends_the_search_with_its_failure(tmp_path: Path, fast: Fast) -> None:
    with opened(tmp_path, fast) as project:
        pass
    values = fast(fail_every=1)
    values["study"] = {
        **values["study"],
        "arms": ["optimised"],
        "diagnostics": [],
        "metric": "exact_match",
        "metrics": [],
    }
    with (
        Project.open(tmp_path / "project", values) as project,
        pytest.raises(GenerationError, match="no dev question was answered for the arm optimised: failed on purpose"),
    ):
        project.study()


def test_an_adapter_takes_no_other_prompt(tmp_path: Path, fast: Fast, facts: type[Killed]) -> None:
    with (
        opened(tmp_path, fast, arms=["optimised+ft"]) as project,
        pytest.raises(ConfigError, match="no other") as refused,
    ):
        project.plan()
    assert "Write prompt+ft" in refused.value.cure
