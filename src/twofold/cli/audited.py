"""Commands that change or show something, in the project's audit log: when they begin, and what came of them.

The one place where commands and the log meet: `session.command` runs every command within `audited`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Exit

from twofold.errors import AuditUnwritable, ConfigError, StoreError, TwofoldError
from twofold.text.masking import masked_text

if TYPE_CHECKING:
    from twofold.types import Json

SILENT = frozenset(
    [
        *("audit verify", "audit show", "audit export", "audit head", "check", "config", "plugins", "doctor", "show"),
        *("cost", "verify", "advise", "compare", "demo", "init", "keys list", "index documents", "index log"),
        *("index diff", "models list", "models show", "models diff", "models log", "models path", "bench retrieval"),
        *("examples check", "examples card"),
    ]
)
"""Commands that only read settings and records: all others are logged, also those that are yet to come."""
_TOLD = frozenset(
    [
        *("id", "name", "scope", "user", "document", "lifted", "receipt", "arm", "model", "alias", "before", "after"),
        *("study", "rolled_back", "restored", "version", "added", "changed", "moved", "deleted", "unchanged", "failed"),
        *("chunks", "embedded", "removed", "bytes", "revoked", "expires", "path"),
    ]
)
"""Members of a command's result that are logged where they are short: ids, versions and counts. A list of what may be
written, since a result may hold what may not, such as a new API key."""
_TEXTS = frozenset(["question", "why", "note"])
"""Arguments that are texts of people: not logged."""
_SHORT = 200


@contextmanager
def audited(
    name: str, directory: Path, options: Mapping[str, Any], *, overrides: Mapping[str, Any], note: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Log a command where the project has an audit log.

    Args:
        name: The command's words, such as ``keys add``.
        directory: Of the project.
        options: Its arguments and options as they were parsed.
        overrides: Nested values of ``--set``.
        note: Says a remark.

    Yields:
        A dictionary in which the command's result is put, under ``result``.

    Raises:
        ConfigError: ``--set`` names a value of [audit], or that section or the log's key is wrong.
        AuditUnwritable: the log cannot be written, and the settings say that nothing is done without it.
    """
    if "audit" in overrides:
        raise ConfigError(
            "--set cannot change [audit]: whoever runs a command must not choose whether it is logged",
            cure="Change [audit] in twofold.toml, which the log notices.",
        )
    done: dict[str, Any] = {}
    if name in SILENT or not _enabled(directory):
        yield done
        return
    journal = _Journal(directory, note=note)
    began = _options(options)
    journal.write("command.begun", {"command": name, "options": began})
    outcome = "internal"
    try:
        yield done
        outcome = "done"
    except TwofoldError as error:
        outcome = error.code
        raise
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    except SystemExit as error:
        outcome = f"exit {error.code or 0}"
        raise
    except Exit as error:
        # Typer's way to end a command with a code.
        outcome = f"exit {error.exit_code}" if error.exit_code else "done"
        raise
    # A fault of this program, which is raised again.
    except Exception as error:
        outcome = type(error).__name__
        raise
    finally:
        values: Json = {"command": name, "outcome": outcome, "began": journal.began}
        # Of a command such as `sync --watch` that of its last result.
        journal.write("command.ended", {**values, "result": _result(done.get("result"))}, strict=False)


def _enabled(directory: Path) -> bool:
    """Does the project have an audit log? Read without the whole settings: most commands of most projects have none."""
    try:
        values = tomllib.loads((directory / "twofold.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False  # the command itself says what is wrong
    section = values.get("audit")
    return isinstance(section, dict) and section.get("enabled") is not False and bool(section)


class _Journal:
    """Writes the lines of one command."""

    def __init__(self, directory: Path, *, note: Callable[[str], None]) -> None:
        from twofold.audit.keys import key_of
        from twofold.project.auditing import audit_log
        from twofold.project.places import Places
        from twofold.settings.loading import load
        from twofold.store.model_registry import user

        self.began = ""
        """Number of the line that says that the command began; empty where it could not be written."""
        self._directory, self._note = directory, note
        config = load(directory)
        self._settings = config.audit
        self._log = None
        if self._settings.enabled:
            key = key_of(self._settings, directory)
            self._log = audit_log(directory, Places.of(directory, config).shared, key)
        self._who = f"os:{user()}"

    def write(self, what: str, values: Json, *, strict: bool = True) -> None:
        """Write a line.

        Args:
            what: The event.
            values: Its values.
            strict: Refuse the command where the line cannot be written and the settings say so. The end of a command is
                noted, and its work is done all the same.

        Raises:
            AuditUnwritable: as `strict` says.
        """
        from twofold.audit.record import AuditEntry
        from twofold.hashing import digest_file

        if self._log is None:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            config = digest_file("config", self._directory / "twofold.toml")
            place = self._log.append([AuditEntry(time=time, what=what, who=self._who, values=values)], config=config)
            self.began = self.began or place.partition(":")[0]
        except (StoreError, OSError) as error:
            words = error.message if isinstance(error, StoreError) else str(error)
            if strict and self._settings.on_failure == "refuse":
                raise AuditUnwritable(f"{words}; nothing was done") from error
            self._note(f"note: this is not in the audit log: {words}")


def _options(options: Mapping[str, Any]) -> Json:
    """The arguments and options that were given, as JSON; texts of people and empty values are left out."""
    plain = {
        name: value for name, value in options.items() if name not in _TEXTS and value not in (None, False, "", [])
    }
    return {name: _value(value) for name, value in plain.items()}


def _value(value: Any) -> Any:
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_value(item) for item in value[:100]]
    return masked_text(str(value))[:_SHORT]


def _result(result: Any) -> Json:
    if not isinstance(result, Mapping):
        return {}
    short = (bool, int, float, str)
    return {name: _value(result[name]) for name in sorted(_TOLD & result.keys()) if isinstance(result[name], short)}
