"""Stages of a search that ask the model write in the running batch of the arm, and write what the study measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from twofold.answering.system import question
from twofold.serving.arms import ServedArms
from twofold.serving.batches import JoinedGenerator, RunningBatches
from twofold.serving.dispatch import Overrides
from twofold.testing import projects
from twofold.types import Answer, Message, Timing


def test_a_rewriter_writes_in_the_batch_what_it_wrote_in_the_study(tmp_path: Path, tiny: Path, own_cache: Path) -> None:
    options = {"model": f"path:{tiny}", "runtime": "openvino", "dtype": "f32", "threads": 2}
    settings = {
        "generation": {"generator": {"name": "local", "options": options}, "max_tokens": 8},
        "retrieval": {"rewriters": [{"name": "multi_query", "options": {"most": 2}}]},
    }
    with projects.make_project(tmp_path / "p", questions=8, settings=settings) as project, RunningBatches(1) as batches:
        project.sync()
        turns = (Message(role="user", content="Where do potatoes grow?"), Message(role="assistant", content="In soil."))
        examples = [question("And at night?", turns), *project.examples[:3]]
        system = project.open_system(arm="rag")
        expected = system.answer(examples)
        system.close()
        arms = ServedArms(project, batches, arms=["rag"], unmeasured=True)
        for example, answer in zip(examples, expected, strict=True):
            *_, live = arms.default.submit(example, filter=None, overrides=Overrides()).pieces()
            assert isinstance(live, Answer)
            assert replace(live, timing=Timing(), trace=()) == replace(answer, timing=Timing(), trace=())
        arm = arms.default.description()
        assert (arm["measured"], arm["byte_equal"], system.generator.byte_equal) == (False, False, True)
        generator = project.workspace.search.parts.generator
        assert generator is not None
        assert isinstance(generator(), JoinedGenerator)
        assert len(batches._weights) == 1, "the rewriter and the arm have the same weights"
        arms.close()
