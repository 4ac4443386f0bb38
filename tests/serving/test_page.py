"""What `docs/how-to/serve.md` tells to type works, word for word."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from serving_process import served

from twofold.cli.main import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "serve.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8321"


def test_every_request_of_the_page_is_answered(
    project_copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    commands = [shlex.split(block.removeprefix("$ ").replace("\\\n", " ")) for block in blocks if "$ curl" in block]
    assert len(commands) == 3
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with served(project_copy) as server, server.client() as client:
        for words in commands:
            url, body = next(word for word in words if word.startswith(ADDRESS)), words[words.index("-d") + 1]
            client.post(url.removeprefix(ADDRESS), json=json.loads(body)).raise_for_status()
        program = [sys.executable, "-c", code.replace(ADDRESS, server.url)]
        printed = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert printed == "Parking costs 4 euros a day. [1]\n[1] parking Parking costs 4 euros a day\n"
    monkeypatch.chdir(project_copy)
    keys = [line.removeprefix("$ twofold ").split() for line in PAGE.splitlines() if line.startswith("$ twofold keys")]
    for command in [*keys, ["examples", "mine"]]:
        assert main(command) == 0, command
    assert "1 new example in mined.jsonl" in capsys.readouterr().out
