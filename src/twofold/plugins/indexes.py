"""What an index may offer beyond its protocol: to lie in an object store, and to take very many chunks at once."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from twofold.files.remote import RemoteFolder


@runtime_checkable
class Remote(Protocol):
    """An index *class* that takes a `RemoteFolder` as its ``directory``; its writer has the folder's lease."""

    def fence(self, folder: RemoteFolder) -> None:
        """A class method that makes every change of the index fail that was begun before, whoever makes it."""
        ...


@runtime_checkable
class Loads(Protocol):
    """An index that can put off what makes searching fast until much was put into it."""

    def loading(self) -> AbstractContextManager[None]:
        """A block of many upserts: graphs and the like are made at its end, once.

        After a kill within the block the index holds what was committed, answers slowly, and the next block ends it.
        """
        ...
