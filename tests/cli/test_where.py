"""Where a command's work runs."""

from __future__ import annotations

import pytest

from twofold.cli import where
from twofold.cli.session import Run
from twofold.errors import ConfigError


def test_a_place_that_is_named_lies_over_the_settings() -> None:
    run = Run(overrides={"scale": {"workers": 2}})
    assert where.placed(run, "") is run
    assert where.placed(run, "ray").overrides == {"scale": {"workers": 2, "on": "ray"}}
    assert run.overrides == {"scale": {"workers": 2}}


def test_a_place_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="--on 'slurm' is unknown") as refused:
        where.placed(Run(), "slurm")
    assert refused.value.cure == "Choose one of local, ray."
