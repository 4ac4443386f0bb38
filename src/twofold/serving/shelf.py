"""The studies of a project for pages: each read once, and again when its files change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twofold.diagnosis.record import FILE, DiagnosisRecord
from twofold.errors import Forbidden, NotServed, StudyError
from twofold.judge import record as judge_record
from twofold.judge.record import JudgementRecord
from twofold.reports import archive
from twofold.serving.identity import Caller
from twofold.verdict.record import AnswerRow, StudyRecord

_MOST = 8
"""Records and files of answers that are kept in memory."""


class StudyShelf:
    """The finished studies.

    Args:
        records: Their directory.
        guarded: Access control is enabled: answers are shown to administrators alone, for they quote documents that
            not everybody may read.
    """

    def __init__(self, records: Path, *, guarded: bool) -> None:
        self.records = records
        self._guarded = guarded
        self._read: OrderedDict[Path, tuple[object, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Names of the studies, oldest first."""
        return archive.names(self.records)

    def record(self, study: str = "") -> StudyRecord:
        """The record of a study, by default of the latest.

        Raises:
            NotServed: there is none of that name.
            StudyError: it is damaged.
        """
        directory = self.records / self._name(study)
        record: StudyRecord = self._cached(directory / "study.json", lambda: archive.read_record(directory))
        return record

    def diagnosis(self, study: str) -> DiagnosisRecord | None:
        """The diagnosis of a study; None where it was not diagnosed. Its rows quote answers: see `shows_answers`.

        Raises:
            NotServed: there is no such study.
            StudyError: the file is damaged.
        """
        directory = self.records / self._name(study)
        path = directory / FILE
        diagnosis: DiagnosisRecord | None = self._cached(path, lambda: archive.read_diagnosis(directory))
        return diagnosis

    def judgement(self, study: str) -> JudgementRecord | None:
        """What a judge of a study is worth; None where none was tried.

        Raises:
            NotServed: there is no such study.
            StudyError: the file is damaged.
        """
        directory = self.records / self._name(study)
        path = directory / judge_record.FILE
        judgement: JudgementRecord | None = self._cached(path, lambda: archive.read_judgement(directory))
        return judgement

    def shows_answers(self, caller: Caller) -> bool:
        """May the caller see what was answered?"""
        return not self._guarded or caller.covers("admin")

    def answers(self, study: str, caller: Caller) -> list[AnswerRow]:
        """The stored answers of a study.

        Raises:
            Forbidden: access control is enabled and the caller is no administrator.
            NotServed: there is no such study.
            StudyError: the file is missing or damaged.
        """
        if not self.shows_answers(caller):
            raise Forbidden(
                "answers of studies quote documents that not everybody may read", cure="Use a key of the scope admin."
            )
        directory = self.records / self._name(study)
        rows: list[AnswerRow] = self._cached(directory / "answers.jsonl.gz", lambda: archive.read_answers(directory))
        return rows

    def _name(self, study: str) -> str:
        try:
            return archive.named(self.names(), study)
        except StudyError as error:
            # Not the study's own error: here the address is at fault.
            raise NotServed(error.message, cure=error.cure) from error

    def _cached(self, path: Path, read: Callable[[], Any]) -> Any:
        try:
            seen = path.stat()
            state: object = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
        except OSError:
            return read()
        with self._lock:
            before, value = self._read.get(path, (None, None))
        if before != state:
            # Without the lock: a large study takes seconds. Two that read it at once do no harm.
            value = read()
        with self._lock:
            self._read[path] = (state, value)
            self._read.move_to_end(path)
            while len(self._read) > _MOST:
                self._read.popitem(last=False)
        return value
