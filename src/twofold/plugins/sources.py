"""What a source may offer beyond its protocol: to read in an object store."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class ReadsObjectStores(Protocol):
    """A source whose items may be objects; their `Loaded.path` is an address that every worker reads by itself."""

    def reach(self, endpoint: str) -> None:
        """Use the S3-compatible store at this address from now on; empty: as the environment says, else Amazon's."""
        ...
