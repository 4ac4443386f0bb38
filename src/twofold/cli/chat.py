"""`twofold ask --chat`: a conversation in the terminal, or line by line from a pipe."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from twofold.cli import stopping
from twofold.cli.answering import Answerer
from twofold.cli.session import Run
from twofold.cli.terminal import json_line, say
from twofold.errors import ConfigError, TwofoldError

if TYPE_CHECKING:
    from twofold.asking import AnswerReport
    from twofold.config import Config
    from twofold.serving.bodies import OwnerBody
    from twofold.types import Answer

FAILED = 3
"""Exit code when a question of the conversation got no answer."""
_PROMPT = "> "


class Chat:
    """A conversation.

    Args:
        run: The invocation.
        config: Settings of the project.
        options: The arm or model, who asks, conditions, and the turns that the conversation begins with.
    """

    def __init__(self, run: Run, config: Config, options: OwnerBody) -> None:
        self._run, self._config, self._options = run, config, options
        self._last: tuple[Answer, AnswerReport] | None = None
        self._failed = self._over = False
        self._commands: dict[str, tuple[str, Callable[[str], None]]] = {
            "/sources": ("the quotes and passages of the last answer", self._sources),
            "/arm": ("which arm answers; /arm NAME asks another from now on", self._arm),
            "/new": ("begin a new conversation", self._new),
            "/save": ("/save FILE writes the conversation, as --history reads it", self._save),
            "/help": ("this list", self._help),
            "/quit": ("leave; so do Ctrl-D, and Ctrl-C twice", self._quit),
        }

    def run(self, first: str = "") -> None:
        """Talk until the input ends, or the person leaves.

        Args:
            first: The first question; empty to read it.

        Raises:
            Exit: no person talks, and a question got no answer.
        """
        # Both: with a file on either side no prompt may stand among what is read or written.
        talking = sys.stdin.isatty() and sys.stdout.isatty() and not self._run.json
        if talking:
            with contextlib.suppress(ImportError):  # Windows has none
                import readline  # noqa: F401 - importing it gives `input` line editing and history
            self._run.note("Ask a question; /help lists the commands.")
        with Answerer(self._run, keep=True) as answering, stopping.conversation() as interrupts:
            line: str | None = first
            while line is not None and not self._over:
                try:
                    if line.strip():
                        # A Ctrl-C during the last answer must not count with one during this.
                        interrupts.clear()
                        self._turn(line.strip(), answering, shown=talking)
                    line = None if self._over else _read(_PROMPT if talking else "")
                except KeyboardInterrupt:
                    say("", err=True)
                    if interrupts.repeated():
                        break
                    self._run.note("stopped; Ctrl-C again leaves")
                    line = ""
        if self._failed and not talking:
            raise typer.Exit(FAILED)

    def _turn(self, line: str, answering: Answerer, *, shown: bool) -> None:
        try:
            if line.startswith("/"):
                self._command(line)
            else:
                self._ask(line, answering, shown=shown)
        except TwofoldError as error:
            # A mistyped command is no question without an answer.
            self._failed = self._failed or not line.startswith("/")
            say(f"error: {error.message}\nhelp: {error.cure}", err=True)
            if self._run.json:
                json_line({"error": {"code": error.code, "message": error.message, "cure": error.cure}})

    # ------------------------------------------------------------ asking

    def _ask(self, question: str, answering: Answerer, *, shown: bool) -> None:
        from twofold.cli import ask
        from twofold.serving.bodies import OwnerTurn

        ask.require_text(question)
        pieces: list[str] = []
        with contextlib.ExitStack() as waiting:

            def write(piece: str) -> None:
                waiting.close()  # the live progress display would break the line that is being written
                pieces.append(piece)
                say(piece, nl=False)

            progress = waiting.enter_context(self._run.progress()) if shown else None
            body = self._options.model_copy(update={"text": question})
            options: dict[str, Any] = {"progress": progress} if progress else {}
            answer, made_by = answering.ask(body, written=write if shown else None, **options)
        if self._run.json:
            json_line({"question": question, **ask.record(answer, made_by)})
        elif answer.failure is None:
            say(ask.short_text(answer, made_by, streamed="".join(pieces)))
        if answer.failure is not None:
            long = answer.failure.code == "generation.too-long"
            cure = "Begin anew with /new." if long else "Check the [generation] section of twofold.toml."
            self._failed = True
            say(f"error: no answer ({answer.failure.code}): {answer.failure.message}\nhelp: {cure}", err=True)
            return
        # Told once, not after every answer.
        if self._last is None or made_by["behind"] != self._last[1]["behind"]:
            self._run.note(f"note: {made_by['behind']}" if made_by["behind"] else "")
        self._last = answer, made_by
        turns = [*self._options.history, OwnerTurn(role="user", content=question)]
        # A question without an answer is no turn of the conversation.
        if answer.text.strip():
            turns.append(OwnerTurn(role="assistant", content=answer.text))
            self._options = self._options.model_copy(update={"history": turns})

    # ------------------------------------------------------------ commands

    def _command(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        if name not in self._commands:
            raise ConfigError(f"there is no command {name}", cure="/help lists the commands.")
        self._commands[name][1](argument.strip())

    def _say(self, text: str) -> None:
        # With --json only records stand on stdout.
        say(text, err=self._run.json)

    def _sources(self, _argument: str) -> None:
        from twofold.cli import ask

        self._say(ask.text(*self._last) if self._last else "There is no answer yet.")

    def _arm(self, name: str) -> None:
        if name:
            # Called for its refusal: an unknown arm is told now, not at the next question.
            self._config.arm(name)
            self._options = self._options.model_copy(update={"arm": name, "model": ""})
            self._say(f"From now on the arm {name} answers.")
        elif self._last:
            made_by = self._last[1]
            self._say(f"{made_by['arm']}: {made_by['why']}")
        else:
            named = self._options.model or self._options.arm
            self._say(f"{named}: it was named" if named else "The arm that the verdict chose; a first answer tells.")

    def _new(self, _argument: str) -> None:
        self._options, self._last = self._options.model_copy(update={"history": []}), None
        self._say("A new conversation.")

    def _save(self, name: str) -> None:
        from twofold.files import writing

        if not name:
            raise ConfigError("no file is named", cure="Write /save FILE.")
        # Nobody asked for a file to be replaced.
        if Path(name).exists():
            raise ConfigError(f"{name} is there already", cure="Name a new file.")
        if not self._options.history:
            raise ConfigError("there is nothing to save yet", cure="Ask something first.")
        rows = [turn.model_dump() for turn in self._options.history]
        writing.save(Path(name), "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        self._say(f"{len(rows)} turns in {name}")

    def _help(self, _argument: str) -> None:
        self._say("\n".join(f"{name:<10}{words}" for name, (words, _) in self._commands.items()))

    def _quit(self, _argument: str) -> None:
        self._over = True


def _read(prompt: str) -> str | None:
    """The next line; None at the end of the input."""
    if prompt:
        try:
            return input(prompt)
        except EOFError:
            say("")
            return None
    return sys.stdin.readline() or None
