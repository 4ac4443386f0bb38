"""The section `[scale]` of `twofold.toml`: where work runs, and where what is stored lies, past one machine."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from twofold.settings.sections import Section

_LOGIN = re.compile(r"://[^/@]*:[^/@]*@|password\s*=", re.IGNORECASE)
Bucket = Annotated[str, Field(pattern=r"^((s3|gs|az|abfs|memory|file)://[^\s?#]+)?$")]
"""A folder in an object store, as fsspec and Lance name it; empty for none."""


class ScaleSection(Section):
    """One machine and its disk unless something is set here. Nothing of it changes an answer, a score or a key."""

    on: Literal["local", "ray"] = "local"
    """Where sync, studies, diagnoses, sweeps and training run: ``local`` in this process, ``ray`` on a Ray cluster."""
    address: str = ""
    """The cluster: empty for a Ray of this machine that ends with the command, ``auto`` for the one that runs here,
    ``HOST:6379`` for its head node, ``ray://HOST:10001`` from outside of it."""
    workers: int = Field(default=0, ge=0)
    """Workers at a time; 0: as many as the cluster has room for."""
    cores: float = Field(default=1.0, gt=0)
    """Processor cores of each worker."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs of each worker; a share of one lets several workers use it."""
    memory_gib: float = Field(default=0.0, ge=0)
    """Memory that Ray sets aside for each worker, in GiB; 0: it is not counted."""
    object_store_gib: float = Field(default=0.5, gt=0.07)
    """Memory for what is on its way between workers, in GiB, where the command starts Ray itself."""
    index: Bucket = ""
    """Folder in an object store where the index lies, ``s3://BUCKET/FOLDER``; empty: in the project."""
    store: Bucket = ""
    """Folder in an object store for artifacts and records, ``s3://BUCKET/FOLDER``; empty: in the project."""
    endpoint: Annotated[str, Field(pattern=r"^(https?://[^\s/?#@]+)?$")] = ""
    """Address of an S3-compatible store that is not Amazon's; empty: as AWS_ENDPOINT_URL says, else Amazon's."""
    database: Annotated[str, Field(pattern=r"^(postgres(ql)?://[^\s]+)?$")] = ""
    """A PostgreSQL database for the catalogue and what servers share, without the password; empty: files in the
    project."""
    database_password_env: str = ""
    """Environment variable with the database's password; empty: as PGPASSWORD or ~/.pgpass says."""
    name: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]{0,39})?$")] = ""
    """Name of this project in the database: a schema of its own; empty: ``twofold``."""

    @field_validator("database")
    @classmethod
    def _no_password(cls, url: str) -> str:
        if _LOGIN.search(url):
            raise ValueError("leave the password out: name an environment variable in database_password_env")
        return url
