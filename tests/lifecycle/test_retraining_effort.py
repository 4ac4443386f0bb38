"""A candidate that was not given its chance is neither promoted nor rejected, and costs no look at the questions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

from twofold.cli.commands import app
from twofold.models.tensors import write_safetensors
from twofold.plugins import loading, protocols
from twofold.plugins.jobs import TrainerJob
from twofold.project import Project
from twofold.training.schedule import effort


class Cut:
    """Trains nothing; tells the losses of `done` of 40 steps and that `stopped` ended them."""

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        done: int = 4
        stopped: str = "minutes"
        slope: float = 0.05
        minutes: float = 2.0
        euros: float = 0.0
        max_length: int = 0
        epochs: float = 1.0

    def __init__(self, options: Any) -> None:
        self.options = options

    def provenance(self, model: str) -> dict[str, str]:
        return {"weights": "none"}

    def train(self, job: TrainerJob, directory: Path, *, progress: Any = None) -> dict[str, Any]:
        options = self.options
        (directory / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 1.0}))
        values = np.full((1, 4), float(options.done), dtype=np.float32)
        name = "base_model.model.model.layers.0.self_attn.q_proj"
        tensors = [(f"{name}.lora_A.weight", "", values), (f"{name}.lora_B.weight", "", values.T.copy())]
        write_safetensors(directory / "adapter_model.safetensors", tensors)
        known = effort(
            planned=40,
            losses=[3.0 - options.slope * step for step in range(options.done)],
            epochs=1.0,
            stopped=options.stopped,
            dev=[(options.done, 0.2)],
            seconds=120.0,
            needed=1500.0,
            limit=options.minutes,
        )
        return {
            **{"rows": len(job.rows[0]), "epochs": 1.0, "steps": options.done, "best_step": options.done},
            **{"seconds": 120.0, "tokens": 9, "tokens_per_second": 9.0, "peak_mib": 1.0, "stopped": options.stopped},
            **{"loss": [(1, 1.0)], "trainable": 1, "dev": [(options.done, 0.2)], "effort": known},
        }


@pytest.fixture(autouse=True)
def trainer() -> Iterator[None]:
    with loading.registered("trainers", "cut", Cut):
        yield


@pytest.fixture
def opened(tmp_path: Path, folder: Path, fast: Callable[..., dict[str, Any]]) -> Callable[..., Project]:
    Project.create(tmp_path / "project", folder, forgetting=False).close()

    def open_(**options: Any) -> Project:
        settings = fast()
        settings["tuning"] = {"trainer": {"name": "cut", "options": options}, "gate": "off"}
        return Project.open(tmp_path / "project", settings)

    return open_


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stopped": "minutes"}, "was stopped by its time limit after 4 of 40 steps (about 25 minutes are needed"),
        ({"stopped": "euros", "euros": 0.1}, "was stopped by its money limit after 4 of 40 steps"),
        ({"stopped": "plan", "done": 40, "slope": 0.0}, "training loss did not move (40 steps)"),
    ],
)
def test_a_candidate_without_its_chance_is_undecided(
    opened: Callable[..., Project], options: dict[str, Any], says: str
) -> None:
    with opened(**options) as project:
        told = project.tuning.retrain(arm="ft").retrained
        assert told
        assert told.outcome == "undecided"
        assert says in told.because
        assert "not given its chance" in told.because
        assert told.comparison is None
        assert told.effort["chance"] is False
        assert project.catalogue.models.aliases() == {}, "no alias moves"
        assert project.catalogue.models.comparisons(told.candidate) == {}
        assert "ft" not in {
            row.get("arm") for row in project.catalogue.systems.descriptions().values() if "split" not in row
        }
        again = project.tuning.retrain(arm="ft").retrained
        assert again
        assert (again.outcome, again.cached) == ("undecided", True)


def test_with_its_plan_done_the_same_candidate_is_compared(opened: Callable[..., Project]) -> None:
    with opened(stopped="plan", done=40) as project:
        told = project.tuning.retrain(arm="ft").retrained
        assert told
        assert told.outcome == "kept", "weights that change nothing are not better"
        assert set(project.catalogue.models.aliases()) == {"candidate"}


def test_the_command_says_so_and_ends_with_1(opened: Callable[..., Project]) -> None:
    with opened() as project:
        directory = project.directory
    settings = ["--set=generation.generator.name=echo", "--set=retrieval.embedder.name=hashing"]
    settings += ["--set=tuning.trainer.name=cut", "--set=tuning.gate=off"]
    done = CliRunner().invoke(app, ["tune", "--from", "champion", "--arm", "ft", "-C", str(directory), *settings])
    assert done.exit_code == 1, done.output
    said = " ".join(done.output.split())
    assert "undecided: " in said
    assert "after 4 of 40 steps" in said
    assert "Raise or remove the cap (--minutes or minutes in [tuning.trainer.options])" in said
