"""The commands assembled into one application, and errors turned into messages and exit codes (see `main`)."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from twofold import __version__
from twofold.cli import (
    advise,
    ask,
    audit,
    backup,
    bench,
    bundle,
    check,
    compare,
    config,
    cost,
    demo,
    diagnose,
    doctor,
    examples,
    forget,
    gc,
    improve,
    index,
    init,
    judge,
    keys,
    label,
    mcp,
    models,
    plugins,
    rollback,
    serve,
    show,
    study,
    sync,
    traffic,
    tune,
    verify,
    watch,
)
from twofold.cli.session import command
from twofold.cli.stopping import INTERRUPTED
from twofold.cli.terminal import say, say_json
from twofold.errors import StoreError, TwofoldError, refused
from twofold.text.masking import masked_text

INTERNAL = 70
"""Exit code of an unexpected exception (EX_SOFTWARE of sysexits.h)."""

app = typer.Typer(
    name="twofold",
    help="Should your language model know more (retrieval), behave differently (fine-tuning), or both? "
    "Measured on your own documents and examples.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
# In the order of use, which is the order of the help.
command(app, "init", without=("project", "settings"))(init.init)
command(app, "check")(check.check)
command(app, "advise")(advise.advise)
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")
app.add_typer(examples.app, name="examples")
command(app, "sync")(sync.sync)
app.add_typer(index.app, name="index")
command(app, "forget")(forget.forget)
command(app, "ask")(ask.ask)
command(app, "tune")(tune.tune)
command(app, "study")(study.study)
command(app, "label")(label.label)
command(app, "diagnose")(diagnose.diagnose)
command(app, "judge")(judge.judge)
command(app, "serve")(serve.serve)
command(app, "mcp")(mcp.mcp)
app.add_typer(keys.app, name="keys")
command(app, "traffic")(traffic.traffic)
command(app, "show")(show.show)
command(app, "compare")(compare.compare)
command(app, "verify")(verify.verify)
command(app, "watch")(watch.watch)
app.add_typer(audit.app, name="audit")
command(app, "improve")(improve.improve)
command(app, "cost")(cost.cost)
command(app, "rollback")(rollback.rollback)
command(app, "config")(config.config)
command(app, "plugins", without=("project", "settings"))(plugins.plugins)
command(app, "gc")(gc.gc)
command(app, "bundle")(bundle.bundle)
command(app, "backup")(backup.backup)
command(app, "restore", without=("project", "settings"))(backup.restore)
command(app, "demo", without=("project",))(demo.demo)
command(app, "doctor")(doctor.doctor)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"twofold {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Should your language model know more (retrieval), behave differently (fine-tuning), or both?"""


def run(arguments: list[str], *, as_json: bool, verbose: bool) -> int:
    """Run one command; returns its exit code, and prints what stopped it.

    Args:
        arguments: The arguments after the program's name.
        as_json: Print an error as JSON too.
        verbose: Show the traceback of an error.
    """
    usage: Any = importlib.import_module(typer.BadParameter.__module__)  # Typer ships its own copy of click, or uses it
    try:
        # Not standalone: Typer would print its own errors and end the process; here they become messages with a cure.
        code = app(args=arguments, prog_name="twofold", standalone_mode=False)
    except TwofoldError as error:
        if verbose:
            say(masked_text(traceback.format_exc()), err=True)
        return report(error, as_json=as_json)
    except usage.NoArgsIsHelpError as error:
        say(error.format_message(), err=True)
        return 2
    except usage.ClickException as error:
        return report(_wrong_use(error), as_json=as_json, code="usage", exit_code=2)
    except typer.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever reads has seen enough (`| head`): no error. Closed, so that Python does not complain at exit.
        sys.stderr.close()
        return 0
    except OSError as error:  # the machine's: a full disk, a missing right, a descriptor too many
        if verbose:
            say(masked_text(traceback.format_exc()), err=True)
        return report(_refused(error), as_json=as_json)
    # A fault of Twofold's own: whatever is not among the errors it raises on purpose.
    except Exception as error:
        if verbose:
            say(masked_text(traceback.format_exc()), err=True)
        fault = TwofoldError(
            f"internal error ({type(error).__name__}: {error})",
            cure="Run again with --verbose and report the traceback with `twofold --version`.",
        )
        return report(fault, as_json=as_json, code="internal", exit_code=INTERNAL)
    return code if isinstance(code, int) else 0


def _refused(error: OSError) -> StoreError:
    """An error of the operating system as Twofold's own, with a cure."""
    return refused(f"the system refuses: {error.strerror or error or type(error).__name__}", error, file=error.filename)


def report(error: TwofoldError, *, as_json: bool, code: str = "", exit_code: int | None = None) -> int:
    """Print an error for people on stderr, and as JSON on stdout where that was asked for; returns the exit code."""
    say(f"error: {error}", err=True)
    say(f"help: {error.cure}", err=True)
    if as_json:
        body = {
            "code": code or error.code,
            "message": error.message,
            "cure": error.cure,
            "file": error.file,
            "line": error.line,
        }
        say_json({"error": body})
    return error.exit_code if exit_code is None else exit_code


def _wrong_use(error: Any) -> TwofoldError:
    """A usage error of Typer with the value at fault and a cure that fits the command that was called."""
    # An error at the top has no context.
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "twofold"
    message, cure = _sentence(error.format_message()), f"Run `{where} --help`."
    if isinstance(error.__cause__, ValidationError):
        message += f" (got {error.__cause__.errors()[0]['input']!r})"
    extra = re.fullmatch(r"got unexpected extra argument\(s\) \((.*)\)", message)
    if extra and context:
        message = f"unexpected argument {extra[1]!r}"
        takes = any(param.param_type_name == "argument" for param in context.command.params)
        cure = (
            f'Put quotes around text with spaces, as in "how long is a shift?"; or run `{where} --help`.'
            if takes
            else f"Leave it out: this command takes options only; `{where} --help` lists them."
        )
    elif context and isinstance(context.command, TyperGroup) and message.startswith("no such option"):
        cure = f"Put options after the command: {where} COMMAND OPTIONS; `{where} --help` lists the commands."
    return TwofoldError(message, cure=cure)


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return text[:1].lower() + text[1:]
