"""The catalogue: all records of a project in one database, with a part for each kind of record.

Every method of a part commits before it returns, and stores its arguments in one transaction, so that a kill at any
moment loses only the batch that was not yet handed over.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import TracebackType

from twofold.store.answers import Answers, Measures, Scores, Studies, SystemRecords
from twofold.store.documents import Documents, Notes, SyncState
from twofold.store.erasure import Erasure
from twofold.store.self_questions import SelfQuestions
from twofold.store.shared import Place, open_database
from twofold.store.transfer import LEARNED, copy_rows
from twofold.store.tuned_models import ModelTable


class Catalogue:
    """Documents, systems, answers, scores, measurements, studies and tuned models of one project.

    Args:
        place: The SQLite file, or a schema in PostgreSQL; created if missing. None: an empty catalogue in memory, which
            writes nothing to the disk.
        readonly: Open an existing one for reading only; a writing method then raises `StoreError`.

    Raises:
        StoreError: the catalogue is damaged, missing (when `readonly`), or written by a newer Twofold.
    """

    def __init__(self, place: Place, *, readonly: bool = False) -> None:
        self.database = open_database(place, readonly=readonly)
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

    def beside(self, path: Path) -> Place:
        """Where another record of the project lies: in the same schema, or, beside a catalogue in a file, in a file."""
        return self.database.shared or path

    def copy_to(self, path: Path) -> None:
        """Write a copy of the whole catalogue to a new SQLite file, wherever the catalogue lies.

        Raises:
            StoreError: the file exists already, or the disk refuses.
        """
        self.database.copy_to(path)

    def take(self, path: Path) -> None:
        """Take over what a copy of this catalogue has learned since: answers, scores, measurements, studies, models.

        Documents, items and notes are those of an index, and stay where they are. Safe to repeat.

        Args:
            path: File of the copy, which nobody has open.

        Raises:
            StoreError: the copy is damaged, or the disk refuses.
        """
        with closing(open_database(path)) as copy:
            copy_rows(copy, self.database, names=LEARNED)

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; the catalogue is unusable afterwards."""
        self.database.close()
