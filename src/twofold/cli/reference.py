"""``docs/reference/`` written from the code: ``python -m twofold.cli.reference [--check] [--to DIR]``.

Configuration keys with defaults and docstrings, every command's options, error codes, plugins with their options, and
the fields of the records. The docstring under a field is read from the source, so there is one place to write it.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin

import typer

from twofold.cli import reference_map, stopping
from twofold.errors import MissingExtra
from twofold.hashing import plain

PLACE = Path("docs") / "reference"
"""Below the working directory, the root of the repository."""
NOTICE = "<!-- Written from the code by scripts/docs. Do not edit. -->\n"


def pages() -> dict[str, Callable[[], str]]:
    """File name → writer of its text."""
    return {
        "commands.md": commands,
        "configuration.md": configuration,
        "errors.md": error_codes,
        "map.md": reference_map.page,
        "map.svg": reference_map.picture,
        "plugins.md": plugins,
        "records.md": records,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or with ``--check`` name those that are not up to date (exit code 1)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    place = Path(words[words.index("--to") + 1]) if "--to" in words else PLACE
    stale = []
    for name, write in pages().items():
        text, path = NOTICE + "\n" + write(), place / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in words:
            stale.append(path)
        else:
            place.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            typer.echo(f"wrote {path}", err=True)
    for path in stale:
        typer.echo(f"error: {path} is not up to date", err=True)
    if stale:
        typer.echo("help: Run scripts/docs and commit what it writes.", err=True)
    return 1 if stale else 0


# ---------------------------------------------------------------- pages


def commands() -> str:
    """Every command with its arguments and options."""
    from twofold.cli import commands as assembled
    from twofold.cli import main

    program: Any = typer.main.get_command(assembled.app)
    lines = ["# Commands", "", *_paragraphs(inspect.getdoc(main) or ""), ""]
    for path, command in _walk("twofold", program):
        arguments = " ".join(_metavar(p) for p in _arguments(command))
        lines += [f"## `{path}{' ' + arguments if arguments else ''}`", "", *_paragraphs(command.help or ""), ""]
        options = []
        for parameter in command.params:
            if parameter.param_type_name == "option" and not _is_common(parameter) and parameter.name != "help":
                options.append(parameter)
        rows = [(f"`{_metavar(p)}`", p.help or "", "") for p in _arguments(command)]
        rows += [(_flags(p), p.help or "", _default(p)) for p in options]
        lines += _table(("argument or option", "meaning", "default"), rows)
    # `check` leaves none of them out.
    common = [p for p in program.commands["check"].params if _is_common(p)]
    lines += [
        "## Common options",
        "",
        "Every command takes these; `init`, `models`, `plugins` and `demo` leave out what means nothing to them.",
        "",
    ]
    lines += _table(("option", "meaning", "default"), [(_flags(p), p.help or "", _default(p)) for p in common])
    return _joined(lines)


def configuration() -> str:
    """Every key of `twofold.toml`."""
    from twofold import config, prompts
    from twofold.settings import sections

    notes = _field_notes(sections)
    wording = _field_notes(prompts)["Template"]
    lines = ["# Configuration: `twofold.toml`", "", *_paragraphs(inspect.getdoc(config) or ""), ""]
    lines += [
        'A plugin is named in its section (`[retrieval.retriever]`, `name = "hybrid"`); its options stand in '
        "`[retrieval.retriever.options]` and are listed in [plugins](plugins.md).",
        "",
    ]
    for section, field in config.Config.model_fields.items():
        model: Any = field.annotation
        # A section such as [sources.NAME] maps names to one model.
        named = get_origin(model) is dict
        if named:
            model = get_args(model)[1]
        lines += [f"## `[{section}{'.NAME' if named else ''}]`", "", *_paragraphs(inspect.getdoc(model) or ""), ""]
        rows = []
        for key, value in model.model_fields.items():
            default = value.get_default(call_default_factory=True)
            shown = default.name if isinstance(default, sections.Part) else default
            kind = _source_type(model, key)
            # In TOML a plugin is a table with a name, whatever class holds it.
            kind = "plugin" if isinstance(default, sections.Part) and kind == "Part" else kind
            documented = [notes[owner.__name__] for owner in model.__mro__ if owner.__name__ in notes]
            note = next((known[key] for known in documented if key in known), "")
            note = note or (wording.get(key, "") if section == "prompt" else "")
            shown_default = (
                "required" if value.is_required() else f"`{json.dumps(shown, ensure_ascii=False, default=plain)}`"
            )
            if model is sections.ModelSection:
                shown_default = "as in `[generation]`"
            rows.append((f"`{value.alias or key}`", f"`{kind}`", shown_default, note))
        lines += _table(("key", "type", "default", "meaning"), rows)
    return _joined(lines)


def error_codes() -> str:
    """Every error with code, cure and exit code."""
    from twofold import errors

    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.TwofoldError)]
    lines = [
        "# Errors",
        "",
        "Every error is printed as `error: …` with the place and `help: …` with what to do; with `--json` it is also "
        'an object `{"error": {"code", "message", "cure", "file", "line"}}` on stdout.',
        "",
    ]
    rows = [
        (f"`{c.code}`", f"`{c.__name__}`", _first(c), c.cure, str(c.exit_code))
        for c in sorted(classes, key=lambda c: (c.code != "twofold", c.code))
    ]
    rows += [
        ("`usage`", "", "A command, option or argument is wrong.", "Run `twofold COMMAND --help`.", "2"),
        ("`interrupted`", "", "Stopped by Ctrl-C, SIGTERM or SIGHUP.", stopping.CURE, "130; 143; 129"),
        ("`internal`", "", "A fault of Twofold's own.", "Run again with --verbose and report the traceback.", "70"),
    ]
    lines += _table(("code", "class", "meaning", "help", "exit code"), rows)
    lines += ["## Exit codes", "", *_paragraphs("Exit codes" + (errors.__doc__ or "").split("Exit codes")[1]), ""]
    return _joined(lines)


def plugins() -> str:
    """Every installed plugin with its options."""
    from twofold.plugins import loading
    from twofold.plugins import protocols as doors

    lines = ["# Plugins", "", *_paragraphs(inspect.getdoc(doors) or ""), ""]
    for kind in doors.KINDS:
        protocol: Any = getattr(doors, {"indexes": "Index"}.get(kind, kind[:-1].capitalize()))
        lines += [f"## {kind.capitalize()}", "", _first(protocol), "", *_beyond(kind)]
        for name in loading.names(kind):
            try:
                plugin = loading.find(kind, name)
            except MissingExtra as error:
                # Half of the plugins documented would look like all of them.
                raise SystemExit(f"error: {error}\nhelp: the reference is written with everything installed") from error
            lines += [f"### `{name}`", "", f"{_first(plugin)} Version {plugin.version}.", ""]
            notes = _notes_of(plugin.Options)
            rows = []
            for key, field in plugin.Options.model_fields.items():
                rows.append((f"`{key}`", f"`{_source_type(plugin.Options, key)}`", _shown(field), notes.get(key, "")))
            lines += _table(("option", "type", "default", "meaning"), rows)
    return _joined(lines)


_BEYOND: dict[str, tuple[str, ...]] = {
    "readers": ("ReadsPlaces", "ReaderTraits"),
    "embedders": ("TokenEmbedder", "CountsUnknown", "EmbedderSettings"),
    "indexes": ("Discards",),
    "retrievers": ("RetrieverSettings",),
    "rewriters": ("RewriterTraits", "RewriterSettings"),
    "generators": ("Converses", "Remembers", "Exports", "Batches", "Likelihoods", "GeneratorSettings"),
    "trainers": ("Cancels", "KnowsProvenance", "TrainerSettings"),
    "metrics": ("Pools", "Wants", "Doubts", "Explains", "MetricTraits"),
}
"""Kind → what one of its plugins may offer beyond its protocol: optional protocols, and records of `traits`."""


def _beyond(kind: str) -> list[str]:
    """Members that a plugin of this kind may offer beyond its protocol, a line each."""
    from twofold.plugins import protocols, traits

    rows: list[tuple[str, str, str, str]] = []
    for name in _BEYOND.get(kind, ()):
        stated: Any = vars(traits).get(name)
        if stated is None:
            protocol = vars(protocols)[name]
            members = [member for member in vars(protocol) if not member.startswith("_")]
            rows += [
                (f"`{member}()`", "method", "", f"{_first(protocol)} See `protocols.{name}`.") for member in members
            ]
        else:
            where = "class variable" if name.endswith("Traits") else "option"
            notes = _notes_of(stated)
            rows += [(f"`{f.name}`", where, f"`{f.default!r}`", notes[f.name]) for f in dataclasses.fields(stated)]
    return ["It may offer more:", "", *_table(("member", "kind", "default", "meaning"), rows)] if rows else []


def records() -> str:
    """The frozen records, the fields of `study.json`, and the results of `Project`."""
    from twofold import types
    from twofold.diagnosis import record as diagnosis
    from twofold.judge import record as judgement
    from twofold.lifecycle import record as lifecycle
    from twofold.study import plan_record
    from twofold.verdict import certificate, latency_record, record

    lines = ["# Records", ""]
    for title, module in (
        ("In code: `twofold.types`", types),
        ("On disk: `study.json` and `answers.jsonl.gz`", record),
        ("On disk: the seconds in `study.json`", latency_record),
        ("On disk: `verdict.json`, the certificate of a study", certificate),
        ("On disk: `diagnosis.json`, beside a study that was diagnosed", diagnosis),
        ("On disk: `judgement.json`, beside a study that was judged", judgement),
        ("Returned by `Project.plan` and `Project.tuning.plan`", plan_record),
        ("Returned by `Project.tune` and `Project.tuning.retrain`", lifecycle),
    ):
        lines += [f"## {title}", "", *_paragraphs(inspect.getdoc(module) or ""), ""]
        notes = _field_notes(module)
        for name, fields in notes.items():
            record_class = getattr(module, name)
            lines += [f"### `{name}`", "", *_paragraphs(inspect.getdoc(record_class) or ""), ""]
            rows = [(f"`{key}`", f"`{_source_type(record_class, key)}`", note) for key, note in fields.items()]
            lines += _table(("field", "type", "meaning"), rows)
    return _joined(lines)


# ---------------------------------------------------------------- reading the code


def _field_notes(module: ModuleType) -> dict[str, dict[str, str]]:
    """Class → field → the docstring under it, in source order, for the public classes of a module."""
    source = ast.parse(inspect.getsource(module))
    return {n.name: _notes(n) for n in source.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")}


def _notes_of(cls: type) -> dict[str, str]:
    merged: dict[str, str] = {}
    # Parents first, so that a subclass's own note wins.
    for parent in reversed(cls.__mro__):
        if parent.__module__.startswith("twofold"):
            node = ast.parse(textwrap.dedent(inspect.getsource(parent))).body[0]
            merged |= _notes(node) if isinstance(node, ast.ClassDef) else {}
    return merged


def _notes(node: ast.ClassDef) -> dict[str, str]:
    notes: dict[str, str] = {}
    for here, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            notes[here.target.id] = " ".join(str(text).split())
    return notes


def _source_type(cls: type, key: str) -> str:
    """The annotation as written."""
    for parent in cls.__mro__:
        if key in vars(parent).get("__annotations__", {}):
            written = vars(parent)["__annotations__"][key]
            return str(getattr(written, "__forward_arg__", written))  # a TypedDict keeps references, not texts
    return ""


def _shown(field: Any) -> str:
    from pydantic_core import PydanticUndefined, to_jsonable_python

    value = field.get_default(call_default_factory=True)
    return (
        "required" if value is PydanticUndefined else f"`{json.dumps(to_jsonable_python(value), ensure_ascii=False)}`"
    )


def _first(thing: Any) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


# ---------------------------------------------------------------- commands


def _walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from _walk(f"{path} {name}", child)
    else:
        yield path, command


def _arguments(command: Any) -> list[Any]:
    return [p for p in command.params if p.param_type_name == "argument"]


def _is_common(parameter: Any) -> bool:
    from twofold.cli.session import COMMON

    return getattr(parameter, "rich_help_panel", None) == COMMON


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _flags(parameter: Any) -> str:
    flags = ", ".join(f"`{flag}`" for flag in parameter.opts)
    if parameter.is_flag:
        return flags
    return f"{flags} `{parameter.metavar or 'VALUE'}`"


def _default(parameter: Any) -> str:
    default = parameter.default
    if parameter.required:
        return "required"
    # Typer marks "no default" with a sentinel of its own class; none of these says anything to a reader.
    if default in (None, False, "", [], ()) or "Sentinel" in type(default).__name__:
        return ""
    return f"`{default}`"


# ---------------------------------------------------------------- Markdown


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in rows:
        cells = (cell.replace("|", r"\|") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _paragraphs(text: str) -> list[str]:
    """Docstring text as Markdown: double back-quotes become single ones."""
    return textwrap.dedent(text).strip().replace("``", "`").splitlines()


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines).replace("``", "`").rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
