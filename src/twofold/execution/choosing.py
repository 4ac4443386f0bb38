"""The executor that `[scale]` names."""

from __future__ import annotations

from twofold.execution.contract import Executor
from twofold.execution.local import Local
from twofold.settings.scale import ScaleSection


def executor(settings: ScaleSection) -> Executor:
    """An executor, which the caller closes; Ray is imported only where it is asked for.

    Raises:
        MissingExtra, ClusterError: see `cluster.RayCluster`.
    """
    if settings.on == "local":
        return Local()
    from twofold.execution.cluster import RayCluster

    return RayCluster(settings)
