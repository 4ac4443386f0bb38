"""What the machines of one project share through an object store: artifacts and records."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypedDict

from twofold.errors import DiskFull, StoreError, refused
from twofold.files import writing
from twofold.settings.scale import ScaleSection
from twofold.store.artifacts import Artifacts
from twofold.store.object_folder import ObjectFolder
from twofold.store.published import PublishedArtifacts
from twofold.store.shared_records import Exchanged, SharedRecords

log = logging.getLogger(__name__)
FOLDER = "store"
"""Folder in a project's derived data: what is known of the object store. It may be deleted."""


class StoreSummary(TypedDict):
    """What a project shares."""

    url: str
    artifacts: int
    """Artifacts in the store."""
    records: int
    """Studies, receipts and lists in the store."""
    pending: list[str]
    """Records that were changed here and are not there yet: the next command that writes brings them."""
    keeps_versions: bool
    """The bucket keeps what is deleted as a former version: what is forgotten, too."""


class Shared:
    """The object store of one project, on one machine.

    Args:
        settings: ``[scale]`` with a `store`.
        name: The project's name: a folder belongs to one project.
        root: The project's directory.
        home: Its derived data.

    Raises:
        MissingExtra: the store's package is not installed.
    """

    def __init__(self, settings: ScaleSection, *, name: str, root: Path, home: Path) -> None:
        self.folder = ObjectFolder(settings.store, endpoint=settings.endpoint)
        self._name = name
        self._root = root
        self._noted = home / FOLDER / "project.json"
        self.records = SharedRecords(self.folder, root, home / FOLDER / "records.json")
        self.artifacts = Artifacts(home / "artifacts", PublishedArtifacts(self.folder, home / FOLDER / "manifests"))

    def pull(self) -> Exchanged:
        """Bring records of other machines here, and see which artifacts they have published.

        Raises:
            StoreError: the store does not answer or refuses, or the folder belongs to another project.
        """
        self._claim()
        return self._seen(self.records.pull())

    def exchange(self, *, locked: bool) -> Exchanged:
        """`pull`, and give other machines what this one has.

        Args:
            locked: The caller has the project's lock (`SharedRecords.exchange`).

        Raises:
            As `pull`.
        """
        self._claim()
        return self._seen(self.records.exchange(locked=locked))

    def summary(self) -> StoreSummary:
        """What the store has, after a look at it; and what this machine has not written there yet.

        Raises:
            As `pull`.
        """
        self.pull()
        published = self.artifacts.published
        return {
            "url": self.folder.url,
            "artifacts": len(published.manifests()) if published is not None else 0,
            "records": self.records.count(),
            "pending": self.records.pending(),
            "keeps_versions": self.folder.keeps_versions(),
        }

    def _seen(self, exchanged: Exchanged) -> Exchanged:
        self.artifacts.refresh()
        published = self.artifacts.published
        if published is not None and exchanged.came:
            # By name: a model that was tuned for a study a moment ago may not be listed yet.
            published.note(sorted(set().union(*(_artifacts_of(self._root / unit) for unit in exchanged.came))))
        return exchanged

    def _claim(self) -> None:
        """Make sure, once a machine, that the folder is this project's."""
        content = json.dumps({"format": 1, "store": self.folder.url, "project": self._name})
        with suppress(OSError):
            if self._noted.read_text(encoding="utf-8") == content:
                return
        if self.folder.create("project.json", content.encode()):
            # The same with a space: a store that writes it all the same would let two machines overwrite each other.
            if self.folder.create("project.json", f"{content} ".encode()):
                raise StoreError(
                    f"{self.folder.url} ignores conditional writes, by which two machines keep apart",
                    cure="Use a store that honours If-None-Match on writes, as Amazon S3 and MinIO do.",
                )
        else:
            self._require_project()
        try:
            # Of another store: what that one had and this one lacks would count as removed, and never come here.
            if self._noted.exists():
                shutil.rmtree(self._noted.parent)
            self._noted.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writing.write(self._noted, content, mode=0o600, shared=True)
        except OSError as error:
            raise refused(f"the store cannot be noted: {error.strerror}", error, file=self._noted) from error

    def _require_project(self) -> None:
        """The folder is this project's, or there is an error."""
        try:
            name = json.loads(self.folder.read("project.json") or b"")["project"]
        except (ValueError, LookupError, TypeError) as error:
            raise StoreError(
                f"{self.folder.place('project.json')} cannot be read", cure="Give [scale].store another folder."
            ) from error
        if name != self._name:
            raise StoreError(
                f"the folder {self.folder.url} belongs to the project {name!r}, and this is {self._name!r}",
                cure="Give [scale].store a folder of its own for each project; machines of one project share its "
                "[project].name.",
            )


class Exchanging:
    """What is done beside the writer's lock of a project that shares its records: they are exchanged at both ends.

    Args:
        exchange: Exchanges them.
    """

    def __init__(self, exchange: Callable[[], object]) -> None:
        self._exchange = exchange

    def __enter__(self) -> Exchanging:
        """Exchange the records.

        Raises:
            StoreError: as `Shared.exchange`: before hours of work, whose result could not be shared.
        """
        try:
            self._exchange()
        except DiskFull as error:  # `gc` makes room, and needs the lock
            log.warning("nothing is shared with other machines now: %s", error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # After a failure what is there goes at the next time: the failure is what must be seen.
        if kind is None:
            self._exchange()


def _artifacts_of(study: Path) -> set[str]:
    """Names of the artifacts that a study's record names."""
    try:
        arms = json.loads((study / "study.json").read_text(encoding="utf-8"))["arms"].values()
        keys = {str(arm["training"]["key"]) for arm in arms if arm["training"]}
        keys |= {str(arm["description"].get("optimised", {}).get("key", "")) for arm in arms}
        keys |= {str(arm["description"].get("retrieval", {}).get("abstention", "")) for arm in arms}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return set()
    return {key.replace(":", "-") for key in keys if key}
