"""`twofold keys`: what the list says of each key."""

from __future__ import annotations

from pathlib import Path

import pytest

from small_project import write_project
from twofold.cli.main import main


def test_the_list_says_what_limits_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_project(tmp_path / "p", [], [], copies=0, settings="")
    here = ["-C", str(directory)]
    assert main(["keys", "list", *here]) == 0
    assert "Make one with `twofold keys add NAME`" in capsys.readouterr().err
    limits = ["--requests-per-minute", "60", "--tokens-per-day", "0"]
    assert main(["keys", "add", "pilot", *limits, *here]) == 0
    assert main(["keys", "add", "plain", *here]) == 0
    capsys.readouterr()
    assert main(["keys", "list", *here]) == 0
    pilot, plain = capsys.readouterr().out.splitlines()
    assert "expires never  at most 60 requests a minute; no limit of tokens a day  0 requests" in pilot
    assert "expires never  0 requests" in plain


def test_a_key_that_would_open_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = '[access]\nenabled = true\nstudy_groups = ["staff"]\n'
    here = ["-C", str(write_project(tmp_path / "p", [], [], copies=0, settings=settings))]
    assert main(["keys", "add", "nobody", *here]) == 0
    assert "it neither searches nor" in capsys.readouterr().err
    assert main(["keys", "add", "ann", "--user", "ann", *here]) == 0
    assert "neither searches" not in capsys.readouterr().err
