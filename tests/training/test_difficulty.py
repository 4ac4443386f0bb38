"""Instruction-following difficulty, measured in a child process, against a plain computation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twofold.plugins.jobs import DifficultyJob
from twofold.training import difficulty
from twofold.training.difficulty import SCORES, Difficulty, DifficultyOptions
from twofold.types import Message, Pair


def rows(count: int) -> tuple[Pair, ...]:
    return tuple(
        Pair(
            messages=(Message(role="user", content=f"What is {n}? " * (n % 5 + 1)),),
            completion=f"It is {n} thing",
            example=f"e{n}",
        )
        for n in range(count)
    )


def test_scores_are_mean_losses_and_a_killed_run_goes_on(tiny: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from twofold.training.encoding import Encoder

    given = rows(70)
    job = DifficultyJob(rows=given, model=f"path:{tiny}")
    measure = Difficulty(DifficultyOptions(dtype="f32", threads=1))
    report = measure.train(job, tmp_path / "whole")
    assert report["rows"] == 70
    lines = (tmp_path / "whole" / SCORES).read_text().splitlines()
    scores = [json.loads(line) for line in lines]
    assert [one["example"] for one in scores] == [row.example for row in given]

    network, encoder = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval(), Encoder(tiny)
    for number in (0, 33, 69):
        for key, messages in (("asked", given[number].messages), ("alone", (Message(role="user", content=""),))):
            row = encoder.row(Pair(messages=messages, completion=given[number].completion), 2048)
            with torch.no_grad():
                logits = network(torch.tensor([row.ids])).logits[0].log_softmax(-1)
            losses = [-float(logits[at - 1, row.ids[at]]) for at in range(row.start, len(row.ids) - 1)]
            assert scores[number][key] == pytest.approx(sum(losses) / len(losses), rel=1e-3)

    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / SCORES).write_text("\n".join(lines[:64]) + "\n" + lines[64][:9])
    done: list[int] = []
    difficulty.score(job, measure.options, tmp_path / "killed", progress=lambda _stage, now, _total: done.append(now))
    assert json.loads((tmp_path / "killed" / "training.json").read_text())["resumed"] == 64
    assert done == [70], "what a child does, without its start"
    assert (tmp_path / "killed" / SCORES).read_text().splitlines() == lines
