"""What answers now, and what the study behind it measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twofold.assembly.workspace import Workspace
from twofold.examples.splitting import Splits
from twofold.indexing.erasure import RECORDS
from twofold.reports import archive
from twofold.reports.decisive import decisive
from twofold.store.lock import WriterAtWork
from twofold.store.shared_lock import writer_of
from twofold.types import Answer, Arm, Json
from twofold.verdict.record import StudyRecord


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A project as its monitors see it. They only read."""

    workspace: Workspace
    root: Path
    """The project's folder."""
    splits: Callable[[], Splits]
    """The examples, for an arm that shows some or infers its schema from them."""

    @property
    def records(self) -> Path:
        """Directory of the studies."""
        return self.root / RECORDS

    def at_work(self) -> WriterAtWork | None:
        """The process that writes to the project, here or on another machine; None where none does."""
        workspace = self.workspace
        return writer_of(workspace.directory / "lock", workspace.catalogue.database.shared)

    def measured(self) -> AnsweringArm:
        """What the study whose verdict answers measured of the arm that answers.

        Raises:
            StudyError: the study's record is damaged.
            ConfigError: its arm is no longer configured.
        """
        config = self.workspace.config
        study = decisive(self.records)
        record: StudyRecord | None = archive.read_record(self.records / study) if study else None
        fallback = "rag" if config.documents.paths or config.sources else "base"
        name = (record["verdict"]["arm"] if record else "") or fallback
        return AnsweringArm(arm=config.arm(name), study=study, record=record)

    def answers(self, measured: AnsweringArm) -> list[Answer]:
        """The stored answers of the study's system; empty where nothing is stored."""
        if not measured.key:
            return []
        return list(self.workspace.catalogue.answers.get(measured.key, include_failures=True).values())

    def questions(self, measured: AnsweringArm) -> list[str]:
        """The distinct questions that the study asked, by its record; empty where there is none.

        Raises:
            StudyError: the record is damaged.
        """
        # Not the splits of today: they may be others, and looking for leaks between them takes seconds.
        if not measured.study:
            return []
        rows = archive.read_answers(self.records / measured.study)
        return list(dict.fromkeys(row["question"] for row in rows))


@dataclass(frozen=True, kw_only=True)
class AnsweringArm:
    """The arm that answers, as a study measured it."""

    arm: Arm
    study: str
    """Name of the study; empty: none was run."""
    record: StudyRecord | None

    @property
    def part(self) -> Any:
        """The arm's part of the record; empty where it was not measured."""
        return self.record["arms"].get(self.arm.name, {}) if self.record else {}

    @property
    def key(self) -> str:
        """Of the measured system; empty where there is none."""
        return str(self.part.get("key", ""))

    @property
    def description(self) -> Json:
        """Of the measured system."""
        return dict(self.part.get("description", {}))

    @property
    def model(self) -> str:
        """Id of the measured tuned model; empty without one."""
        return str((self.part.get("training") or {}).get("model", ""))
