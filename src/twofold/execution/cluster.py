"""Work on a Ray cluster: each batch is a task, which Ray places, retries where a process or node dies, and counts.

A worker process opens the work at its first batch and keeps it open for the next ones. Ray is imported when an executor
is made, never before.
"""

from __future__ import annotations

import logging
import platform
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twofold.errors import ClusterError, ClusterFailed, ClusterUnreachable, MissingExtra, TwofoldError, WorkerUnlike
from twofold.errors import install as install_command
from twofold.execution.contract import In, Out, Work
from twofold.host import capabilities, package
from twofold.settings.scale import ScaleSection

log = logging.getLogger(__name__)
_AHEAD = 2
"""Batches in flight a worker: one at work and one on its way, so that no worker waits for the network."""
_RETRIES = 3
"""Times that Ray does a batch again whose worker or node died. A batch that kills four workers is at fault itself."""
_PATIENCE = 60.0
"""Seconds without any batch done after which the log says what the cluster has and the work needs."""
_GIB = 1 << 30


class RayCluster:
    """See `contract.Executor`.

    Args:
        settings: Which cluster, and what each worker gets of it.

    Raises:
        MissingExtra: Ray is not installed.
        ClusterUnreachable: no cluster answers at the address, or none could be started.
        WorkerUnlike: the cluster runs another version of Ray or Python.
        ClusterFailed: no node has what a worker is to get.
    """

    def __init__(self, settings: ScaleSection) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingExtra(
                "Ray is not installed, and the work is to run on it", cure=f"Run {install_command('scale')}."
            ) from error
        self._ray: Any = ray
        self._settings = settings
        self._mine = not ray.is_initialized()
        if self._mine:
            self._start()
        self.workers = self._room()

    def _start(self) -> None:
        s = self._settings
        common = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
        try:
            if s.address:
                self._ray.init(address=s.address, **common)
            else:
                # "local", or a RAY_ADDRESS of the environment would be joined.
                self._ray.init(
                    address="local",
                    num_cpus=max(capabilities.cores(), round(s.cores)),
                    object_store_memory=int(s.object_store_gib * _GIB),
                    include_dashboard=False,
                    **common,
                )
        except (ConnectionError, TimeoutError, OSError, ValueError) as error:
            raise ClusterUnreachable(f"no Ray cluster at {s.address or 'this machine'}: {_first(error)}") from error
        except RuntimeError as error:
            unlike = "ersion mismatch" in str(error)
            kind: type[ClusterError] = WorkerUnlike if unlike else ClusterUnreachable
            raise kind(f"the Ray cluster at {s.address or 'this machine'} refuses: {_first(error)}") from error

    def _room(self) -> int:
        """Workers that the cluster has room for at a time."""
        s, there = self._settings, self._ray.cluster_resources()
        room = int(there.get("CPU", 0) / s.cores + 1e-9)
        if s.gpus:
            room = min(room, int(there.get("GPU", 0) / s.gpus + 1e-9))
        if room < 1:
            needs = f"{s.cores:g} cores" + (f" and {s.gpus:g} GPUs" if s.gpus else "")
            has = f"{there.get('CPU', 0):g} cores and {there.get('GPU', 0):g} GPUs"
            raise ClusterFailed(
                f"the cluster has {has}, and each worker is to get {needs}",
                cure="Lower cores or gpus in [scale], or add nodes.",
            )
        return min(room, s.workers) if s.workers else room

    def run(self, work: Work[In, Out], batches: Iterable[In]) -> Iterator[tuple[int, Out]]:
        """See `contract.Executor.run`."""
        ray, s = self._ray, self._settings
        # One object for all batches, so that the work travels once to each node.
        parcel = ray.put((_origin(), work))
        options: dict[str, Any] = {
            "num_cpus": s.cores,
            "num_gpus": s.gpus,
            "max_retries": _RETRIES,
            "name": work.label or "work",
            # Ray ends a worker with a GPU after each task, and the next would load the model anew.
            "max_calls": 0,
        }
        if s.memory_gib:
            options["memory"] = int(s.memory_gib * _GIB)
        task = ray.remote(_done).options(**options)
        key, waiting, places = uuid.uuid4().hex, iter(enumerate(batches)), dict[Any, int]()
        try:
            while True:
                while len(places) < self.workers * _AHEAD and (following := next(waiting, None)) is not None:
                    place, batch = following
                    places[task.remote(key, parcel, batch)] = place
                if not places:
                    return
                for result in self._ready(list(places), work.label):
                    yield places.pop(result), self._taken(result, work.label)
        finally:
            # The command stops or fails: what it has not taken is worth nothing.
            for pending in places:
                ray.cancel(pending, force=True)

    def _ready(self, pending: list[Any], label: str) -> list[Any]:
        while True:
            done, _ = self._ray.wait(pending, num_returns=1, timeout=_PATIENCE)
            if done:
                return list(done)
            log.warning(
                "%s: nothing was done for %.0f s; the cluster has %s free of %s",
                label,
                _PATIENCE,
                self._ray.available_resources().get("CPU", 0),
                self._ray.cluster_resources().get("CPU", 0),
            )

    def _taken(self, result: Any, label: str) -> Any:
        errors = self._ray.exceptions
        try:
            value, error = self._ray.get(result)
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.ObjectLostError) as e:
            raise ClusterFailed(
                f"{label}: a batch ended {_RETRIES + 1} workers: {_first(e)}",
                cure="Give each worker more memory (cores, memory_gib in [scale]), or lower the batch; then run the "
                "same command again: finished batches are kept.",
            ) from e
        except errors.RayTaskError as e:
            # The worker could not even read the task: it lacks a module that the command has.
            raise WorkerUnlike(f"{label}: a worker cannot open the work: {_last(e)}") from e
        except errors.RayError as e:
            raise ClusterFailed(f"{label}: {_first(e)}") from e
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """Leave the cluster; one that this object has started ends."""
        if self._mine and self._ray.is_initialized():
            self._ray.shutdown()


_OPEN: dict[str, Callable[[Any], Any]] = {}
"""In a worker: what does the batches of the work that was opened last."""


def _done(key: str, parcel: tuple[dict[str, str], Work[Any, Any]], batch: Any) -> tuple[Any, BaseException | None]:
    """A task: do a batch; an error of ours is a result, for Ray would wrap it and lose its class."""
    try:
        if key not in _OPEN:
            origin, work = parcel
            _refuse_others(origin, work.label)
            # Another work's models make room.
            _OPEN.clear()
            _OPEN[key] = work.open()
        return _OPEN[key](batch), None
    except TwofoldError as error:
        return None, error


def _origin() -> dict[str, str]:
    return {"twofold": package.sources_digest(), "python": ".".join(platform.python_version_tuple()[:2])}


def _refuse_others(origin: dict[str, str], label: str) -> None:
    mine = _origin()
    for name, theirs in origin.items():
        if mine[name] != theirs:
            raise WorkerUnlike(
                f"{label}: the worker on {platform.node()} runs another {name} ({mine[name]}) than the command "
                f"({theirs})"
            )


def _first(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__


def _last(error: BaseException) -> str:
    return str(error).strip().rpartition("\n")[2][:300] or type(error).__name__
