"""Every cause has a cure, and every command that is proposed is one that the command line knows."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import typer
from typer.core import TyperGroup

from twofold.cli.commands import app
from twofold.monitoring.proposals import proposals
from twofold.monitoring.record import AlarmCause, CauseName


def cause(name: CauseName) -> AlarmCause:
    return {"cause": name, "signals": ["x"], "evidence": ["x: 1, was 2"], "detail": {"dimensions": ["price"]}}


@pytest.mark.parametrize("name", get_args(CauseName))
def test_every_cause_has_proposals(name: CauseName) -> None:
    made = proposals([cause(name)], tuned=False)
    assert made
    assert all(proposal["cause"] == name and proposal["evidence"] == ["x: 1, was 2"] for proposal in made)
    assert not any(proposal["action"] == "re-tune" for proposal in made)
    for proposal in proposals([cause(name)], tuned=True):
        program, *words = proposal["command"].split()
        assert program == "twofold"
        command: Any = typer.main.get_command(app)
        while isinstance(command, TyperGroup):
            command, words = command.commands[words[0]], words[1:]
        # The whole command is read, and nothing is done: an unknown option raises, and so does a missing argument.
        command.make_context(command.name, words)


def test_training_again_is_proposed_where_a_tuned_model_answers() -> None:
    made = proposals([cause("questions moved")], tuned=True)
    assert [proposal["action"] for proposal in made] == ["re-study", "re-tune"]
    assert made[1]["command"] == "twofold tune --from champion"
    assert proposals([], tuned=True) == []


def test_a_command_is_proposed_once_with_all_its_evidence() -> None:
    expired = cause("verdict expired") | {"evidence": ["the price of a token doubled"]}
    made = proposals([cause("chunking changed"), expired], tuned=False)  # type: ignore[list-item]
    assert [proposal["command"] for proposal in made] == ["twofold sync --rebuild", "twofold study"]
    assert made[1]["cause"] == "chunking changed"
    assert made[1]["evidence"] == ["x: 1, was 2", "the price of a token doubled"]
