"""Work on a Ray cluster: each batch is a task, which Ray places, retries where a process or node dies, and counts.

A worker process opens the work at its first batch and keeps it open for the next ones. Ray is imported when an executor
is made, never before.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import platform
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from typing import Any

from twofold.errors import ClusterError, ClusterUnreachable, MissingExtra, TwofoldError, WorkerUnlike
from twofold.errors import install as install_command
from twofold.execution.contract import BatchWork, In, Out
from twofold.execution.telling import Tell, heard_by
from twofold.host import capabilities, package
from twofold.settings.scale import ScaleSection

log = logging.getLogger(__name__)
_AHEAD = 2
"""Batches in flight a worker: one at work and one on its way, so that no worker waits for the network."""
_RETRIES = 3
"""Times that Ray does a batch again whose worker or node died. A batch that kills four workers is at fault itself."""
_PATIENCE = 60.0
"""Seconds without any batch done after which the log says what the cluster has and the work needs."""
_LISTEN = 1.0
"""Seconds between two looks at what workers tell."""
_CONNECT = 10.0
"""Seconds in which a cluster must accept a connection."""
_GIB = 1 << 30


class RayCluster:
    """See `contract.Executor`.

    Args:
        settings: Which cluster, and what each worker gets of it.

    Raises:
        MissingExtra: Ray is not installed.
        ClusterUnreachable: no cluster answers at the address, or none could be started.
        WorkerUnlike: the cluster runs another version of Ray or Python.
        ClusterError: no node has what a worker is to get.
    """

    def __init__(self, settings: ScaleSection) -> None:
        # A busy machine starts a node in more than the half minute that Ray waits; read when Ray is imported.
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
        # Ray would begin a batch that is too large for its node again without end.
        os.environ.setdefault("RAY_task_oom_retries", str(_RETRIES))
        try:
            import ray
        except ImportError as error:
            raise MissingExtra(
                "Ray is not installed, and the work is to run on it", cure=f"Run {install_command('scale')}."
            ) from error
        self._ray: Any = ray
        self._settings = settings
        # It ends, or is left, with the process: starting Ray takes five seconds, and a command has many kinds of work.
        if not ray.is_initialized():
            self._start()
        self._room()
        self._parcels: dict[str, Any] = {}
        self._running: set[str] = set()
        """Keys of the works that are being done now: two threads may each run one."""

    def _start(self) -> None:
        with warnings.catch_warnings():
            # LanceDB warns of forks, and Ray's are followed at once by another program.
            warnings.filterwarnings("ignore", message="lancedb fork support", category=RuntimeWarning)
            self._init()

    def _init(self) -> None:
        s = self._settings
        _require_answer(s.address)
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
        except RuntimeError as error:
            unlike = "ersion mismatch" in str(error)
            kind: type[ClusterError] = WorkerUnlike if unlike else ClusterUnreachable
            raise kind(f"the Ray cluster at {s.address or 'this machine'} refuses: {_first(error)}") from error
        # Ray raises a bare Exception for a node that does not start in time, as on a busy machine.
        except Exception as error:
            raise ClusterUnreachable(f"no Ray cluster at {s.address or 'this machine'}: {_first(error)}") from error

    def _room(self) -> int:
        """Workers that the cluster has room for at a time."""
        s = self._settings
        each = {"CPU": s.cores, "GPU": s.gpus, "memory": s.memory_gib * _GIB}
        # A worker lies on one node: what two nodes have together helps none.
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        room = sum(_times(each, has) for has in nodes)
        if room < 1:
            raise ClusterError(
                f"no node has room for a worker, which is to get {_named(each)}; nodes have "
                f"{' · '.join(map(_named, nodes[:8])) or 'nothing'}",
                cure="Lower cores, gpus or memory_gib in [scale], or add nodes.",
            )
        return room

    @property
    def workers(self) -> int:
        """Batches done at a time: as many as a cluster, which may grow, has room for now, and the settings allow."""
        room = self._room()
        return min(room, self._settings.workers) if self._settings.workers else room

    def run(
        self, work: BatchWork[In, Out], batches: Iterable[In], *, progress: Tell | None = None
    ) -> Iterator[tuple[int, Out]]:
        """See `contract.Executor.run`."""
        ray, s = self._ray, self._settings
        key, parcel = self._sent(work)
        # No core is set aside for who only takes notes.
        notes = ray.remote(num_cpus=0, max_restarts=-1)(_Notes).remote() if progress else None
        options: dict[str, Any] = {
            "num_cpus": s.cores,
            "num_gpus": s.gpus,
            "max_retries": _RETRIES,
            "name": work.label or "work",
        }
        if s.memory_gib:
            options["memory"] = int(s.memory_gib * _GIB)
        # No limit of calls: Ray ends a worker with a GPU after each task, and the next would load the model anew.
        task = ray.remote(max_calls=0)(_done).options(**options)
        waiting, places = iter(enumerate(batches)), dict[Any, int]()
        # Where the settings allow fewer workers than there is room for, nothing but their number holds the others back.
        limit = s.workers if 0 < s.workers < self._room() else self.workers * _AHEAD
        self._running.add(key)
        try:
            while True:
                while len(places) < limit and (following := next(waiting, None)) is not None:
                    place, batch = following
                    running = tuple(self._running)
                    places[task.remote(key, parcel, batch, (notes, running))] = place
                if not places:
                    return
                for result in self._ready(list(places), work.label, notes, progress):
                    yield places.pop(result), self._taken(result, work.label)
        finally:
            # The command stops or fails: what it has not taken is worth nothing.
            for pending in places:
                ray.cancel(pending, force=True)
            self._running.discard(key)

    def _sent(self, work: BatchWork[Any, Any]) -> tuple[str, Any]:
        """Key of a work by its content, and where the cluster keeps it: equal works are opened once a worker."""
        try:
            packed = self._ray.cloudpickle.dumps(work)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            # A plugin that has a connection or a lock open.
            raise ClusterError(
                f"{work.label}: it cannot be sent to a worker: {_first(error)}",
                cure="Let the plugin open its connections and files when it is first used, or run with --on local.",
            ) from error
        key = hashlib.sha256(packed).hexdigest()
        if key not in self._parcels:
            # One object for all batches, so that the work travels once to each node; those of before are let go.
            parcels = {former: self._parcels[former] for former in self._parcels.keys() & self._running}
            self._parcels = {**parcels, key: self._ray.put((_origin(), packed))}
        return key, self._parcels[key]

    def _ready(self, pending: list[Any], label: str, notes: Any, progress: Tell | None) -> list[Any]:
        """Batches that are done, at least one."""
        waited = 0.0
        while True:
            every = _LISTEN if progress else _PATIENCE
            done, _ = self._ray.wait(pending, num_returns=1, timeout=every)
            if progress:
                # Its node may have gone: Ray begins it anew elsewhere, and the work does not wait for what it is told.
                with suppress(self._ray.exceptions.RayError):
                    for note in self._ray.get(notes.taken.remote(), timeout=5 * _LISTEN):
                        progress(*note)
            if done:
                return list(done)
            waited += every
            if waited % _PATIENCE >= every:
                continue
            # Nodes may have gone, and with the last that has room the work would wait for ever.
            self._room()
            if not progress:
                free, there = self._ray.available_resources(), self._ray.cluster_resources()
                log.warning(
                    "%s: nothing was done for %.0f s; %g of the cluster's %g cores are free",
                    label,
                    waited,
                    free.get("CPU", 0),
                    there.get("CPU", 0),
                )

    def _taken(self, result: Any, label: str) -> Any:
        errors = self._ray.exceptions
        try:
            value, error = self._ray.get(result)
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.ObjectLostError) as e:
            raise ClusterError(
                f"{label}: a batch ended {_RETRIES + 1} workers: {_first(e)}",
                cure="Give each worker more memory (cores, memory_gib in [scale]), or lower the batch; then run the "
                "same command again: finished batches are kept.",
            ) from e
        except errors.RayTaskError as e:
            if isinstance(e.cause, ImportError | AttributeError) or "No module named" in str(e):
                # The worker could not even read the task: it lacks a module that the command has.
                raise WorkerUnlike(f"{label}: a worker cannot open the work: {_last(e)}") from e
            raise
        except errors.RayError as e:
            raise ClusterError(f"{label}: {_first(e)}") from e
        if error is not None:
            raise error
        return value


def _require_answer(address: str) -> None:
    """Refuse an address where no head node answers: Ray itself would wait without end, or end this process.

    Raises:
        ClusterUnreachable: nobody listens there, or somebody else.
    """
    where = _resolved(address) if address == "auto" else address
    named = address if address == where else f"{address} ({where})"
    host, colon, port = where.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT).close()
    except (OSError, ValueError) as error:
        raise ClusterUnreachable(f"no Ray cluster at {named}: {_first(error)}") from error
    # Ray's own client gives up by itself; and who answers in TLS cannot be asked without its certificates.
    if not where.startswith("ray://") and not os.environ.get("RAY_USE_TLS"):
        _require_head(where, named, by_itself=address == "auto" and not os.environ.get("RAY_ADDRESS"))


def _resolved(address: str) -> str:
    """The cluster that ``auto`` would join: the last that was started here, even if it is no more."""
    from ray._private import services

    try:
        return str(services.get_ray_address_from_environment(address, None))
    except ConnectionError as error:
        raise ClusterUnreachable(f"no Ray cluster at {address}: {_first(error)}") from error


def _require_head(where: str, named: str, *, by_itself: bool) -> None:
    import grpc
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    with grpc.insecure_channel(where, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            head = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
            head.CheckAlive(gcs_service_pb2.CheckAliveRequest(), timeout=_CONNECT)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                # Ray reads the token by itself where it has found the cluster by itself.
                if by_itself or os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
                    return
                raise ClusterUnreachable(
                    f"the Ray cluster at {named} asks for a token",
                    cure="Set RAY_AUTH_MODE=token, with the head node's ~/.ray/auth_token under the same name here "
                    "or in RAY_AUTH_TOKEN.",
                ) from error
            raise ClusterUnreachable(
                f"the server at {named} is not the head node of a Ray cluster ({error.code().name.lower()})",
                cure="Name the port that `ray start` gave (6379), or ray://HOST:10001 for the one of Ray's client; "
                "--on local does the same work here.",
            ) from error


def _times(each: Mapping[str, float], has: Mapping[str, float]) -> int:
    """Workers that a node has room for, with what each is to get."""
    return min(int(has.get(name, 0) / needs + 1e-9) for name, needs in each.items() if needs)


def _named(resources: Mapping[str, float]) -> str:
    """Resources of a node or worker, in words."""
    parts = [f"{resources.get('CPU', 0):g} cores"]
    if gpus := resources.get("GPU"):
        parts.append(f"{gpus:g} GPUs")
    if memory := resources.get("memory"):
        parts.append(f"{memory / _GIB:.1f} GiB")
    return ", ".join(parts)


class _Notes:
    """An actor: what workers tell, until the command takes it; of each stage only the latest."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[str, int, int]] = {}

    def note(self, stage: str, done: int, total: int) -> None:
        self._latest[stage] = (stage, done, total)

    def taken(self) -> list[tuple[str, int, int]]:
        latest, self._latest = self._latest, {}
        return list(latest.values())


_OPEN: dict[str, Callable[[Any], Any]] = {}
"""In a worker: what does the batches of works that are being done now."""


def _done(
    key: str, parcel: tuple[dict[str, str], bytes], batch: Any, beside: tuple[Any, tuple[str, ...]]
) -> tuple[Any, BaseException | None]:
    """A task: do a batch; an error of ours is a result, for Ray would wrap it and lose its class.

    Args:
        key: Of the work.
        parcel: Where the work comes from, and the work.
        batch: What it is done to.
        beside: Who takes what the work tells, or None; and the keys of all works that are being done.
    """
    notes, running = beside
    try:
        if key not in _OPEN:
            origin, packed = parcel
            # Before the work is unpacked, which another version may not be able to.
            _refuse_others(origin)
            work: BatchWork[Any, Any] = pickle.loads(packed)
            # The models of works that are done make room.
            for former in _OPEN.keys() - set(running):
                del _OPEN[former]
            _OPEN[key] = work.open()
        with heard_by(notes.note.remote) if notes else nullcontext():
            return _OPEN[key](batch), None
    except TwofoldError as error:
        return None, error


def _origin() -> dict[str, str]:
    return {"twofold": package.sources_digest(), "python": ".".join(platform.python_version_tuple()[:2])}


def _refuse_others(origin: dict[str, str]) -> None:
    mine = _origin()
    for name, theirs in origin.items():
        if mine[name] != theirs:
            raise WorkerUnlike(
                f"the worker on {platform.node()} runs another {name} ({mine[name]}) than the command ({theirs})"
            )


def _first(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__


def _last(error: BaseException) -> str:
    return str(error).strip().rpartition("\n")[2][:300] or type(error).__name__
