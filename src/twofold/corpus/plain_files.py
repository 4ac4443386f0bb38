"""Files → documents in this process, problems listed instead of raised."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from twofold import plugins
from twofold.corpus.loading import _readers
from twofold.errors import BadRecord, DataError, MissingExtra
from twofold.identity import digest
from twofold.reading import MIB, Findings, read_bytes, suffix_of
from twofold.types import Document, Loaded, Problem


class FileReader:
    """Interim."""

    def __init__(self, max_mib: float) -> None:
        self._limit = int(max_mib * MIB)
        self._readers = _readers()
        self.fingerprint = digest(
            "readers", [(n, plugins.find("readers", n).version) for n in plugins.names("readers")]
        )

    def __enter__(self) -> FileReader:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        pass

    def read(self, loaded: Loaded) -> tuple[list[Document], list[Problem]]:
        """Read."""
        findings, documents = Findings(), []
        reader = self._readers.get(suffix_of(loaded.name))
        if reader is None or isinstance(reader, MissingExtra):
            problem = Problem(
                severity="warning", code="data.no-reader", message="no reader", cure="Convert it.", file=loaded.name
            )
            return [], [problem]
        try:
            data = read_bytes(Path(loaded.path), limit=self._limit, name=loaded.name) if loaded.path else loaded.data
            path = Path(loaded.name)
            for _, made in (
                reader.places(path, data) if hasattr(reader, "places") else ((0, d) for d in reader.read(path, data))
            ):
                if isinstance(made, BadRecord):
                    findings.error(made)
                elif made.text.strip():
                    documents.append(made)
        except DataError as error:
            findings.error(error)
        return documents, findings.all()
