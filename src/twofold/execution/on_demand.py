"""An executor that is opened once there is work for it: a command that finds nothing to do starts no cluster."""

from __future__ import annotations

from twofold.execution.choosing import executor
from twofold.execution.contract import Executor
from twofold.execution.local import Local
from twofold.settings.scale import ScaleSection


class OnDemand:
    """The executor that `[scale]` names, this process until `call`.

    Args:
        settings: Where work is to run.
    """

    def __init__(self, settings: ScaleSection) -> None:
        self.settings = settings
        self._executor: Executor = Local()
        self.elsewhere = False
        """Work runs on a cluster now."""

    @property
    def executor(self) -> Executor:
        """The executor in use."""
        return self._executor

    def call(self) -> Executor:
        """Open the executor that is named, and use it from now on.

        Raises:
            MissingExtra, ClusterError: see `cluster.RayCluster`.
        """
        if self.settings.on != "local" and not self.elsewhere:
            self._executor, self.elsewhere = executor(self.settings), True
        return self._executor
