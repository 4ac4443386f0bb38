"""The catalogue: all records of a project in one SQLite file, with a part for each kind of record.

Every method of a part commits before it returns, and stores its arguments in one transaction, so that a kill at any
moment loses only the batch that was not yet handed over.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from twofold.store.answers import Answers, Measures, Scores, Studies, SystemRecords
from twofold.store.database import Database
from twofold.store.documents import Documents, Notes, SyncState
from twofold.store.erasure import Erasure
from twofold.store.self_questions import SelfQuestions
from twofold.store.tuned_models import ModelTable

_TAKEN = (
    "INSERT OR IGNORE INTO systems SELECT * FROM copy.systems",
    # As `Answers.put`: only failed answers are replaced. `WHERE true` keeps SQLite from reading ON as a join's.
    "INSERT INTO answers (system, example, failed, record, prompt, completion) "
    "SELECT system, example, failed, record, prompt, completion FROM copy.answers WHERE true "
    "ON CONFLICT (system, example) DO UPDATE SET failed = excluded.failed, record = excluded.record, "
    "prompt = excluded.prompt, completion = excluded.completion WHERE answers.failed = 1",
    "INSERT OR IGNORE INTO scores SELECT * FROM copy.scores",
    "INSERT OR IGNORE INTO measures SELECT * FROM copy.measures",
    "INSERT OR IGNORE INTO models SELECT * FROM copy.models",
    "INSERT OR IGNORE INTO comparisons SELECT * FROM copy.comparisons",
    "INSERT OR IGNORE INTO studies (name, test_digest, record) SELECT name, test_digest, record FROM copy.studies "
    "ORDER BY number",
)
"""What `Catalogue.take` takes, models before what refers to them."""


class Catalogue:
    """Documents, systems, answers, scores, measurements, studies and tuned models of one project.

    Args:
        path: The SQLite file; created if missing. None: an empty catalogue in memory, which writes nothing to the disk.
        readonly: Open an existing file for reading only; a writing method then raises `StoreError`.

    Raises:
        StoreError: the file is damaged, missing (when `readonly`), or written by a newer Twofold.
    """

    def __init__(self, path: Path | None, *, readonly: bool = False) -> None:
        self.database = Database(path, readonly=readonly)
        self.documents = Documents(self.database)
        self.sync = SyncState(self.database)
        self.self_questions = SelfQuestions(self.database)
        self.notes = Notes(self.database)
        self.systems = SystemRecords(self.database)
        self.measures = Measures(self.database)
        self.answers = Answers(self.database)
        self.scores = Scores(self.database)
        self.studies = Studies(self.database)
        self.models = ModelTable(self.database)
        self.erasure = Erasure(self.database)

    def copy_to(self, path: Path) -> None:
        """Write a copy of the whole catalogue to a new file.

        Raises:
            StoreError: the file exists already, or the disk refuses.
        """
        with self.database.session() as connection:
            connection.execute("VACUUM INTO ?", (str(path),))

    def take(self, path: Path) -> None:
        """Take over what a copy of this catalogue has learned since: answers, scores, measurements, studies, models.

        Documents, items and notes are those of an index, and stay where they are. Safe to repeat.

        Args:
            path: File of the copy, which nobody has open.

        Raises:
            StoreError: the copy is damaged, or the disk refuses.
        """
        with self.database.session() as connection:
            connection.execute("ATTACH DATABASE ? AS copy", (str(path),))
            try:
                with self.database.transaction():
                    for statement in _TAKEN:
                        connection.execute(statement)
            finally:
                connection.execute("DETACH DATABASE copy")

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the catalogue is unusable afterwards."""
        self.database.close()
