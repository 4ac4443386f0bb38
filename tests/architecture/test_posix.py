"""Nothing that only POSIX systems have is used without a way around it in the same function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "twofold"
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "select", "syslog", "termios", "tty"}
"""`select` is everywhere, but takes no pipes on Windows."""
CALLS = {
    "os": "fork forkpty getuid geteuid getgid killpg setsid setpgid getpgid nice mkfifo statvfs uname wait4 pread "
    "pwrite sysconf sched_getaffinity sched_setaffinity getloadavg posix_fadvise set_blocking O_DIRECTORY O_CLOEXEC "
    "O_NOFOLLOW",
    "signal": "SIGKILL SIGHUP SIGUSR1 SIGUSR2 SIGALRM SIGSTOP SIGCHLD alarm setitimer pthread_sigmask",
}
WORDS = {"preexec_fn", "pass_fds", "symlink_to"}
WAYS_AROUND = ("hasattr(", "sys.platform", "except (AttributeError", "except AttributeError", "except OSError")
WAYS_AROUND_MODULES = ("except ImportError", "suppress(ImportError", "sys.platform")


def faults(text: str) -> Iterator[str]:
    """What in this source is POSIX's alone and has no way around it in its function (or module)."""
    module = ast.parse(text)
    scopes: list[ast.AST] = [module]
    for scope in scopes:
        inner = [
            n for n in ast.walk(scope) if n is not scope and isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
        ]
        if scope is module:
            scopes += inner
        nested = {id(part) for one in inner for part in ast.walk(one)}
        said = "\n".join(ast.unparse(n) for n in ast.iter_child_nodes(scope) if id(n) not in nested)
        for node in ast.walk(scope):
            if id(node) in nested:
                continue
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            if MODULES & set(names) and not any(way in said for way in WAYS_AROUND_MODULES):
                yield f"line {node.lineno}: {', '.join(names)} is not on every system"
            attribute = isinstance(node, ast.Attribute) and (
                node.attr in WORDS or node.attr in CALLS.get(ast.unparse(node.value), "").split()
            )
            word = isinstance(node, ast.keyword) and node.arg in WORDS
            if (attribute or word) and not any(way in said for way in WAYS_AROUND):
                yield f"line {node.lineno}: {ast.unparse(node)} is not on every system"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_what_only_posix_has_has_a_way_around_it(path: Path) -> None:
    assert not list(faults(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "text",
    [
        "import fcntl",
        "from resource import getrusage",
        "import os\nos.fork()",
        "import signal\ndef f():\n    signal.alarm(1)",
        "import subprocess\nsubprocess.run([], preexec_fn=None)",
        "import sys, os\ndef f():\n    return sys.platform\ndef g():\n    return os.sysconf('x')",
    ],
)
def test_what_has_none_is_found(text: str) -> None:
    assert list(faults(text))


def test_what_has_one_is_not() -> None:
    assert not list(faults("import os\ndef f():\n    return os.sysconf('x') if hasattr(os, 'sysconf') else 0"))
    assert not list(faults("try:\n    import fcntl\nexcept ImportError:\n    fcntl = None"))


def test_every_text_file_is_opened_as_utf8() -> None:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, (ast.Attribute, ast.Name)):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            given = {one.arg for one in node.keywords}
            if name in ("read_text", "write_text") and "encoding" not in given and len(node.args) < 2:
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {name}")
            modes = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            text = modes and modes[0] in ("r", "w", "a", "x", "rt", "wt", "r+", "w+", "a+")
            if name == "open" and text and "encoding" not in given:
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: open")
    assert not found
