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
from twofold.store.tuned_models import ModelTable


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
        self.notes = Notes(self.database)
        self.systems = SystemRecords(self.database)
        self.measures = Measures(self.database)
        self.answers = Answers(self.database)
        self.scores = Scores(self.database)
        self.studies = Studies(self.database)
        self.models = ModelTable(self.database)
        self.erasure = Erasure(self.database)

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the catalogue is unusable afterwards."""
        self.database.close()
