"""The executor that `[scale]` names."""

from __future__ import annotations

from functools import lru_cache

from twofold.execution.contract import Executor
from twofold.execution.local import Local
from twofold.settings.scale import ScaleSection


@lru_cache(maxsize=4)
def executor(settings: ScaleSection) -> Executor:
    """The executor of these settings, one for the whole process; Ray is imported only where it is asked for.

    Raises:
        MissingExtra, ClusterError: see `cluster.RayCluster`.
    """
    if settings.on == "local":
        return Local()
    from twofold.execution.cluster import RayCluster

    return RayCluster(settings)
