"""The parts that every command shares: common options, opening the project, printing results.

A command is a plain function ``(run: Run, *, own options)``. `command` gives it the common options and hands them over
as one `Run`, so that no command repeats them. Heavy imports happen inside functions: ``twofold --help`` loads none.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import json
import tomllib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand, TyperOption

from twofold.cli.audited import audited
from twofold.cli.terminal import plain_logs, say, say_json
from twofold.errors import ConfigError

if TYPE_CHECKING:
    from twofold.plugins.protocols import Progress
    from twofold.project import Project

COMMON = "Common options"
"""Title of their panel in the help; `cli.reference` knows the common options by it."""
_Function = TypeVar("_Function", bound=Callable[..., None])


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An invocation of the command line: the common options as given."""

    directory: Path = Path()
    """The project's directory."""
    json: bool = False
    """Print the result as JSON."""
    verbose: bool = False
    """Log what the library does to stderr; show tracebacks."""
    quiet: bool = False
    """No progress."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Nested values of ``--set``."""
    outcome: dict[str, Any] = field(default_factory=dict)
    """Takes the command's result, for the audit log."""

    def require_folder(self) -> None:
        """For commands that need no project: a folder that was named must be there all the same.

        Raises:
            ConfigError: it is not.
        """
        if not self.directory.is_dir():
            raise ConfigError(
                f"there is no folder {str(self.directory)!r}",
                cure="Name a project's folder after -C, or leave -C out: this command needs no project.",
            )

    @contextmanager
    def project(self, **more: Any) -> Iterator[Project]:
        """The project opened with the overrides; `more` are dotted keys (``__`` for the dot) laid over them.

        Raises:
            ProjectMissing: there is no `twofold.toml`.
            ConfigError: it is not valid.
        """
        from twofold.project import Project

        overrides = json.loads(json.dumps(self.overrides))  # a copy: what a command lays over is its own
        for key, value in more.items():
            if value is not None:
                place(overrides, key.split("__"), value)
        with Project.open(self.directory, overrides) as project:
            yield project

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A progress callable: a live display on a terminal, plain lines elsewhere, nothing when quiet."""
        from twofold.cli.progress import showing

        with showing(quiet=self.quiet) as report:
            yield report

    def result(self, value: Any, text: str = "") -> None:
        """The command's result on stdout: `value` as JSON, or `text` for people."""
        self.outcome["result"] = value
        if self.json:
            say_json(value)
        elif text:
            say(text)

    def note(self, text: str) -> None:
        """A remark for people, on stderr."""
        if text and not self.quiet:
            say(text, err=True)


def unread(project: Project, path: Path) -> str:
    """A remark on a written file of examples that the project does not read; empty when it does."""
    if project.curation.reads(path):
        return ""
    return f"note: {path} is not among [examples].paths of {project.directory / 'twofold.toml'}: add it there to use it"


class _Once(TyperCommand):
    """A command that refuses an option given twice: of two values Typer silently takes the last."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Refuse, then parse.

        Raises:
            ConfigError: an option with a value is repeated that takes one value.
        """
        _, _, in_order = self.make_parser(ctx).parse_args(args=list(args))
        seen = set[str]()
        for option in in_order:
            if not isinstance(option, TyperOption) or option.multiple or option.is_flag or option.count:
                continue  # said twice, a switch means what it means
            name = max(option.opts, key=len)
            if name in seen:
                several = f", several in one, as in {name} {option.metavar}" if "," in (option.metavar or "") else ""
                raise ConfigError(f"{name} is given more than once", cure=f"Give {name} once{several}.")
            seen.add(name)
        return super().parse_args(ctx, args)


def command(app: typer.Typer, name: str, *, without: Sequence[str] = ()) -> Callable[[_Function], _Function]:
    """Register a command and give it the common options, but for those that would mean nothing to it."""

    def register(function: _Function) -> _Function:
        signature = inspect.signature(function).parameters
        hints = get_type_hints(function, include_extras=True)
        parameters = [
            # Annotations are texts here (`from __future__ import annotations`): Typer needs the types that they name.
            p.replace(annotation=hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY)
            for p in signature.values()
            if p.name != "run"
        ]
        shared = inspect.signature(_options, eval_str=True).parameters.values()
        parameters += [p for p in shared if p.name not in without]
        parameters.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))

        @functools.wraps(function)
        def wrapper(context: typer.Context, **options: Any) -> None:
            # Only those that the command did not leave out (`without`) are there to be taken.
            common = {key: options.pop(key) for key in _SHARED if key in options}
            run = _options(**common)
            # Without the program's name: `keys add`.
            words = context.command_path.partition(" ")[2]
            with audited(words, run.directory, options, overrides=run.overrides, note=run.note) as done:
                function(replace(run, outcome=done), **options)

        # Typer reads both: the command's own options, then the common ones.
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name, cls=_Once)(wrapper)
        return function

    return register


def _options(
    *,
    project: Annotated[
        Path, typer.Option("--project", "-C", metavar="DIR", help="The project's directory.", rich_help_panel=COMMON)
    ] = Path(),
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on stdout.", rich_help_panel=COMMON)
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log to stderr; show tracebacks.", rich_help_panel=COMMON)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print no progress and no remarks.", rich_help_panel=COMMON)
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a value of twofold.toml for this command, such as retrieval.k=5. Write TOML; a table is "
            """written '{type = "object"}'. Repeatable.""",
            rich_help_panel=COMMON,
        ),
    ] = None,
) -> Run:
    plain_logs(verbose=verbose, quiet=quiet)
    return Run(directory=project, json=json, verbose=verbose, quiet=quiet, overrides=parse_settings(settings or []))


_SHARED = tuple(inspect.signature(_options).parameters)


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """``["retrieval.k=5"]`` as nested values. The value is TOML; a bare word is taken as a string.

    Raises:
        ConfigError: there is no ``=``, or the value is neither TOML nor a word.
    """
    nested: dict[str, Any] = {}
    for setting in settings:
        key, mark, text = setting.partition("=")
        if not mark or not key.strip():
            raise ConfigError(
                f"--set {setting!r} is not KEY=VALUE", cure="Write KEY=VALUE, such as --set retrieval.k=5."
            )
        place(nested, key.strip().split("."), _value(text.strip(), setting))
    return nested


def require_known(option: str, value: str, known: Collection[str]) -> None:
    """Refuse a value that is none of an option's.

    Raises:
        ConfigError: with the nearest one, and all.
    """
    if value not in known:
        near = difflib.get_close_matches(value, list(known), 1)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise ConfigError(f"{option} {value!r} is unknown", cure=f"{meant}Choose one of {', '.join(known)}.")


def place(nested: dict[str, Any], path: list[str], value: Any) -> None:
    """Put `value` at a path of nested tables.

    Raises:
        ConfigError: a part of the path is given as a value already.
    """
    here = nested
    # Every part but the last is a section, made here unless an earlier setting made it.
    for part in path[:-1]:
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            raise ConfigError(
                f"--set {'.'.join(path)}: {part!r} is a value, not a section",
                cure="Set either the value or the keys of a section.",
            )
    here[path[-1]] = value


_TABLE = (
    """Write a table with = and without colons: --set 'generation.schema={type = "object", required = ["answer"]}'; """
    "a JSON schema can also be named as a file: --set generation.schema=answer.json."
)


def _value(text: str, setting: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError) as error:  # of which one is that it is no TOML
        # A bare word is a string; what begins like a list, table or quoted string was meant as TOML and is a mistake.
        if not text or text[0] in "[{\"'" or "\n" in text:
            raise ConfigError(
                f"--set {setting!r}: the value is not valid TOML ({error})",
                cure=_TABLE
                if text.startswith("{")
                else 'Write a number, true, false, "text", or a list such as '
                """'["base", "rag"]'.""",
            ) from error
        return text
