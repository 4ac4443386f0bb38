"""A foreign program computes, and does nothing else: each of these tries something, and none gets it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from twofold.errors import ScorerBroken
from twofold.host import confined

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="programs are confined on Linux only")


def run(program: str, tests: str = "", *, seconds: int = 1, memory_mib: int = 64) -> confined.ProgramEnd:
    return confined.run(program, tests, seconds=seconds, memory_mib=memory_mib)


@LINUX
def test_a_program_and_its_tests_run_in_one_namespace() -> None:
    assert run("import collections, datetime\nx = collections.Counter('aa')", "assert x['a'] == 2").passed
    assert run("from datetime import datetime\nd = datetime.strptime('2021', '%Y')", "assert d.year == 2021").passed


@LINUX
def test_nothing_outside_is_reached(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x", encoding="utf-8")
    attempts = (
        f"open({str(secret)!r})",
        f"open({str(tmp_path / 'new')!r}, 'w')",
        "import os\nos.listdir('/')",
        "import os\nos.system('true') and 1/0",
        "import os\nos.fork()",
        "import os\nos.kill(os.getppid(), 9)",
        "import _socket\n_socket.socket()",
        "import sys\n1 / (1 + sys.modules['ctypes'].CDLL(None).open(b'/etc/hosts', 0))",
        f"import os\nos.unlink({str(secret)!r})",
        "import os\nos.execv('/bin/true', ['true'])",
    )
    # All in one process: each is to raise, and the last line counts them.
    program = "count = 0\n"
    for attempt in attempts:
        body = "\n    ".join(attempt.split("\n"))
        program += f"try:\n    {body}\nexcept (OSError, ImportError, ZeroDivisionError, KeyError):\n    count += 1\n"
    end = run(program, f"assert count == {len(attempts)}, count")
    assert end.passed, end.reason
    assert secret.read_text(encoding="utf-8") == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@LINUX
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("while True: pass", "more than 1 s of processor time"),
        ("x = 'a' * 10**9", "MemoryError"),
        ("def f(): f()\nf()", "RecursionError"),
        ("raise SystemExit(0)", "SystemExit"),
        ("import os\nos._exit(0)", "ended with code 0 before its tests did"),
        ("import os\nos._exit(3)", "ended with code 3 before its tests did"),
        ("import os\nwhile True: os.write(1, b'x' * 10**6)", "before its tests did"),
        ("import os\nwhile True: os.write(2, b'x' * 10**6)", "OSError: [Errno 27]"),
        ('import os\nos.write(1, b\'["", ""]\')\nos._exit(0)', "before its tests did"),
        ("x = (", "no Python"),
        ("1/0", "the answer, line 1: ZeroDivisionError: division by zero"),
        ("print('x' * 10**6)\nassert False", "AssertionError"),
    ],
)
def test_a_program_that_does_not_end_well_says_why(program: str, reason: str) -> None:
    end = run(program)
    assert not end.passed
    assert reason in end.reason


@LINUX
def test_one_program_has_one_outcome() -> None:
    ends = {run("x = list({'a', 'b', 'c', 'd'})", "raise ValueError(x)").reason for _ in range(3)}
    assert len(ends) == 1


@LINUX
def test_where_it_cannot_be_confined_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Path(confined.__file__).with_name("confined_child.py").read_text(encoding="utf-8")
    refused = script.replace("    arch, allowed = _ALLOWED[platform.machine()]", '    raise OSError("not permitted")')
    assert refused != script
    (tmp_path / "confined_child.py").write_text(refused, encoding="utf-8")
    monkeypatch.setattr(confined, "__file__", str(tmp_path / "confined.py"))
    marker = tmp_path / "ran"
    with pytest.raises(ScorerBroken, match="cannot be confined here: OSError: not permitted") as found:
        run(f"open({str(marker)!r}, 'w')")
    assert "Linux" in found.value.cure
    assert not marker.exists()


def test_another_system_is_an_error_and_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined.sys, "platform", "darwin")
    with pytest.raises(ScorerBroken, match="cannot be confined on darwin"):
        run("x = 1")
