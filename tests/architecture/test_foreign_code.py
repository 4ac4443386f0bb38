"""No model directory runs code of its own: transformers is told so wherever it opens one."""

from __future__ import annotations

import re
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "src" / "twofold"
_OPENS = re.compile(r"Auto\w+\.from_(?:pretrained|config)\((?P<arguments>[^()]*(?:\([^()]*\)[^()]*)*)\)")


def test_transformers_never_runs_code_of_a_model() -> None:
    opened = [
        (path.name, found["arguments"])
        for path in sorted(SOURCES.rglob("*.py"))
        for found in _OPENS.finditer(path.read_text(encoding="utf-8"))
    ]
    assert len(opened) >= 10
    assert not [name for name, arguments in opened if "trust_remote_code=False" not in arguments]
