"""Nothing that only POSIX systems have is used without a way around it in the same function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import parsed
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


def belongs_to_posix(node: ast.AST) -> bool:
    """Whether this imports or names what only POSIX systems have."""
    match node:
        case ast.Import(names=names):
            return bool(MODULES & {alias.name for alias in names})
        case ast.ImportFrom(module=name):
            return name in MODULES
        case ast.Attribute(value=value, attr=name):
            return name in WORDS or (isinstance(value, ast.Name) and name in CALLS.get(value.id, "").split())
        case ast.keyword(arg=name):
            return name in WORDS
    return False


def faults(text: str) -> Iterator[str]:
    """What in this source is POSIX's alone and has no way around it in its function (or module)."""
    if not any(map(belongs_to_posix, parsed.nodes(text))):
        return  # so in nearly every module: what each function contains is worked out where it matters
    module = parsed.module(text)
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
            if id(node) in nested or not belongs_to_posix(node):
                continue
            ways = WAYS_AROUND_MODULES if isinstance(node, (ast.Import, ast.ImportFrom)) else WAYS_AROUND
            if not any(way in said for way in ways):
                yield f"line {node.lineno}: {ast.unparse(node)} is not on every system"


@parsed.each(sorted(SOURCE.rglob("*.py")), lambda path: path.relative_to(SOURCE).as_posix())
def test_what_only_posix_has_has_a_way_around_it(path: Path) -> None:
    assert not list(faults(parsed.text(path)))


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
        for node, _ in parsed.calls(parsed.text(path)):
            if not isinstance(node.func, (ast.Attribute, ast.Name)):
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
