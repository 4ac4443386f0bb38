"""House rules of the design, held by reading the source."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import parsed

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "twofold"
MODULES = sorted(SOURCE.rglob("*.py"))
REFUSED = {"manager", "helper", "util", "utils", "common", "base", "core", "misc", "handler", "engine", "helpers"}
MOST_LINES = 600
MOST_PARAMETERS = 8
IMPURE_IMPORTS = {
    "httpx",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "urllib",
    "twofold.store",
}
"""Packages whose import ends a module's purity: they open files, sockets or processes."""


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def tree(path: Path) -> ast.Module:
    return parsed.module(parsed.text(path))


def functions(body: list[ast.stmt], inside: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Public functions and methods of public classes, with their dotted names."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            yield inside + node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node.body, f"{node.name}.")


def words(name: str) -> set[str]:
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


@parsed.each(MODULES, name_of)
def test_module(path: Path) -> None:
    """Size, docstrings, names and parameters of one module."""
    text = parsed.text(path)
    module = tree(path)
    faults: list[str] = []
    if text.count("\n") > MOST_LINES:
        faults.append(f"{text.count(chr(10))} lines; at most {MOST_LINES}")
    if text.strip() and not ast.get_docstring(module):
        faults.append("the module has no docstring")
    if words(path.stem) & REFUSED:
        faults.append(f"refused module name {path.stem}")
    for node in parsed.nodes(text):
        if isinstance(node, ast.ClassDef) and words(node.name) & REFUSED:
            faults.append(f"refused class name {node.name}")
    for call, name in parsed.calls(text):
        if name == "print":
            faults.append(f"line {call.lineno}: the library never prints")
        if name == "logging.basicConfig" and "cli" not in path.parts:
            faults.append(f"line {call.lineno}: the library never configures logging")
    for node in module.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
            faults.append(f"class {node.name} has no docstring")
    for name, node in functions(module.body):
        if not ast.get_docstring(node) and not _overload(node):
            faults.append(f"{name} has no docstring")
        positional = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in {"self", "cls"}]
        count = len(positional) + len(node.args.kwonlyargs)
        is_command = path.parent.name == "cli" and "run" in positional
        if count > MOST_PARAMETERS and not is_command:
            faults.append(f"{name} has {count} parameters; at most {MOST_PARAMETERS}")
    assert not faults, "\n".join(faults)


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def nested(source: str) -> list[int]:
    """Lines of comprehensions that contain another one."""
    lines = []
    for node in parsed.nodes(source):
        if isinstance(node, COMPREHENSIONS):
            inner = [part for part in ast.walk(node) if isinstance(part, COMPREHENSIONS) and part is not node]
            lines += [node.lineno] if inner else []
    return lines


@parsed.each(MODULES, name_of)
def test_no_comprehension_stands_in_another(path: Path) -> None:
    assert nested(parsed.text(path)) == [], "one idea a line: name the inner one, or write a loop"


def test_a_nested_comprehension_would_be_seen() -> None:
    assert nested("x = [any(c for c in row) for row in rows]\ny = [a for b in c for a in b]\n") == [1]


def unexplained(source: str) -> list[int]:
    """Lines that catch every exception, and neither on nor beside them says a comment why."""
    lines, faults = source.splitlines(), []
    for node in parsed.nodes(source):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "BaseException"
            beside = lines[node.lineno - 2 : node.lineno + 1]
            if caught in {"Exception", "BaseException"} and not any("#" in line for line in beside):
                faults.append(node.lineno)
    return faults


@parsed.each(MODULES, name_of)
def test_who_catches_every_exception_says_why(path: Path) -> None:
    assert unexplained(parsed.text(path)) == [], "it also catches faults of Twofold: name what the library raises"


def test_a_broad_except_without_a_word_would_be_seen() -> None:
    assert unexplained("try:\n    f()\nexcept Exception:\n    pass\n") == [3]
    assert unexplained("try:\n    f()\nexcept Exception:  # nobody else reads it\n    pass\n") == []
    assert unexplained("try:\n    f()\nexcept:\n    pass\n") == [3]


def _overload(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(d).split(".")[-1] in {"overload", "setter"} for d in node.decorator_list)


def test_keyword_only_after_the_third_positional_parameter() -> None:
    """A call with many bare values cannot be read: what a caller may give by position stays short.

    Protocols fix some signatures at three (``search(texts, vectors, k, *, …)``, ``progress(stage, done, total)``).
    """
    faults = []
    for path in MODULES:
        for name, node in functions(tree(path).body):
            bare = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in {"self", "cls"}]
            if len(bare) > 3:
                faults.append(f"{name_of(path)}: {name}({', '.join(bare)})")
    assert not faults, "\n".join(faults)


IMPURE_CALL = re.compile(
    r"^(open|input|print|socket\..*|time\.(time|monotonic|perf_counter|sleep)|(datetime\.)*(now|utcnow|today)"
    r"|datetime\.datetime\.(now|utcnow)|date\.today|os\..*|subprocess\..*|urllib\..*|httpx\..*|sqlite3\..*"
    r"|random\.(random|randint|choice|choices|shuffle|sample|uniform|gauss|seed)"
    r"|(np|numpy)\.random\.(rand|randn|randint|random|choice|shuffle|permutation|seed)"
    r"|.*\.(read_text|read_bytes|write_text|write_bytes|unlink|mkdir|is_file|exists|glob|rglob|iterdir))$"
)
UNSEEDED = re.compile(r"(random\.Random|default_rng)$")


def claim(path: Path) -> str:
    """What a module's docstring claims of purity: ``Pure.``, ``Pure but for one read.``, or nothing."""
    if "Pure" not in parsed.text(path):
        return ""  # asked of every module while tests are collected: no need to parse it
    first = (ast.get_docstring(tree(path)) or "").split("\n\n")[0]
    found = re.search(r"\bPure\b[^.]*\.", " ".join(first.split()))
    return found.group() if found else ""


PURE = [path for path in MODULES if claim(path)]


def test_purity_is_claimed_where_it_is_expected() -> None:
    """The rule, the prompts and the statistics stay pure: a claim that is deleted would be checked by nothing."""
    named = {"prompts.py", "verdict/rule.py", "verdict/wording.py", "stats/intervals.py", "text/wrapping.py"}
    assert named <= set(map(name_of, PURE))
    assert len(PURE) >= 70


@parsed.each(PURE, name_of)
def test_pure_modules_touch_nothing(path: Path) -> None:
    """No file, socket, clock, environment or unseeded chance in the functional core."""
    reads: list[str] = []
    faults: list[str] = []
    for node in parsed.nodes(parsed.text(path)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            faults += [
                f"line {node.lineno}: imports {name}"
                for name in names
                for refused in IMPURE_IMPORTS
                if name == refused or name.startswith(f"{refused}.")
            ]
    for node, called in parsed.calls(parsed.text(path)):
        if re.search(r"\.(read_bytes|open|is_file|glob|rglob|exists|iterdir|read_text)$|^gzip\.", called):
            reads.append(f"line {node.lineno}: {called}")
        elif IMPURE_CALL.match(called) or (UNSEEDED.search(called) and not node.args and not node.keywords):
            faults.append(f"line {node.lineno}: {called}")
    if "read" not in claim(path):
        faults += reads
    assert not faults, "\n".join(faults)


def tracked() -> list[Path]:
    """Text files that git tracks (or would)."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


HOSTS = re.compile("|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "npmjs" + r"\.(org|com)")))
PLACES = re.compile("|".join((r"(?<![\w.])/work" + "/", r"(?<![\w.])/root" + "/", "/tmp" + "/lab")))


def test_no_registry_hosts_and_no_machine_paths() -> None:
    faults = []
    for path in tracked():
        if path.suffix in {".png", ".gz", ".gguf", ".safetensors", ".jsonl"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        faults += [
            f"{path.relative_to(ROOT)}: {found.group(0)}"
            for pattern in (HOSTS, PLACES)
            if (found := pattern.search(text))
        ]
    assert not faults, "\n".join(faults)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
