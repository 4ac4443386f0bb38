"""Work on a real Ray cluster of two nodes on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ray_cluster import MEMORY, cluster, on  # noqa: F401 - a fixture
from twofold.errors import BadRecord, ClusterError, ClusterUnreachable, WorkerUnlike
from twofold.execution import cluster as module
from twofold.execution.choosing import executor
from twofold.execution.cluster import RayCluster
from twofold.execution.telling import tell
from twofold.settings.scale import ScaleSection


@dataclass(frozen=True)
class Squares:
    """Each number squared, with the process that did it."""

    dies_of: int = -1
    refuses: int = -1
    marks: str = ""
    pause: float = 0.0
    label: str = "squares"

    def open(self) -> Callable[[int], tuple[int, int]]:
        opened = os.getpid()

        def square(number: int) -> tuple[int, int]:
            if number == self.dies_of and not (mark := Path(self.marks) / "died").exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if number == self.refuses:
                raise BadRecord(f"{number} is refused", cure="Leave it out.", file="numbers.txt", line=number)
            time.sleep(self.pause)
            tell("squares", number, 12)
            return number * number, opened

        return square


@pytest.fixture(autouse=True)
def by_value(cluster: Any) -> Iterator[None]:  # noqa: F811
    """Workers get the classes of this module by value: they do not find it as a module."""
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def workers(cluster: Any) -> RayCluster:  # noqa: F811
    return RayCluster(ScaleSection(**on(cluster)["scale"]))


def test_a_worker_that_is_killed_costs_nothing(workers: RayCluster, tmp_path: Path) -> None:
    done = dict(workers.run(Squares(dies_of=5, marks=str(tmp_path)), range(12)))
    assert (tmp_path / "died").exists()
    assert [done[place][0] for place in range(12)] == [number * number for number in range(12)]
    # Before and after that, the work was opened once a process.
    assert 2 <= len({process for _, process in done.values()}) <= 4


def test_a_node_that_goes_costs_nothing(cluster: Any, tmp_path: Path) -> None:  # noqa: F811
    second = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    workers = RayCluster(ScaleSection(**on(cluster)["scale"]))
    assert workers.workers == 2
    done = {}
    for place, (square, _) in workers.run(Squares(pause=0.1), range(20)):
        done[place] = square
        if len(done) == 6:
            cluster.remove_node(second, allow_graceful=False)
    assert done == {number: number * number for number in range(20)}


def test_batches_are_taken_no_faster_than_results(workers: RayCluster) -> None:
    taken = []

    def batches() -> Iterator[int]:
        for number in range(30):
            taken.append(number)
            yield number

    results = workers.run(Squares(), batches())
    for done in range(1, 11):
        next(results)
        assert len(taken) <= done + module._AHEAD * workers.workers
    results.close()
    assert len(taken) < 30


def test_an_error_of_the_work_arrives_as_it_is(workers: RayCluster) -> None:
    with pytest.raises(BadRecord, match="3 is refused") as refused:
        list(workers.run(Squares(refuses=3), range(5)))
    assert (refused.value.cure, str(refused.value.file), refused.value.line) == ("Leave it out.", "numbers.txt", 3)


def test_progress_is_told_from_where_the_work_runs(workers: RayCluster) -> None:
    told: list[tuple[str, int, int]] = []
    list(workers.run(Squares(pause=0.4), range(12), progress=lambda *note: told.append(note)))
    assert told
    assert {stage for stage, _, _ in told} == {"squares"}
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_a_worker_of_another_version_is_refused(workers: RayCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_origin", lambda: {"twofold": "code:another", "python": "3.11"})
    with pytest.raises(WorkerUnlike, match="runs another twofold") as refused:
        list(workers.run(Squares(label="of another version"), range(3)))
    assert "same environment" in refused.value.cure


def test_work_that_no_node_has_room_for_is_refused(cluster: Any) -> None:  # noqa: F811
    with pytest.raises(ClusterError, match="a worker, which is to get 64 cores; nodes have 1 cores") as refused:
        RayCluster(ScaleSection(**on(cluster)["scale"], cores=64))
    assert "Lower cores" in refused.value.cure


def test_a_worker_that_only_two_nodes_together_have_room_for_is_refused(cluster: Any) -> None:  # noqa: F811
    second = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    with pytest.raises(ClusterError, match="which is to get 2 cores"):
        RayCluster(ScaleSection(**on(cluster)["scale"], cores=2))
    with pytest.raises(ClusterError, match=r"which is to get 1 cores, 5000\.0 GiB"):
        RayCluster(ScaleSection(**on(cluster)["scale"], memory_gib=5000))
    cluster.remove_node(second)


@pytest.mark.slow
def test_work_ends_when_the_last_node_with_room_goes(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(module, "_PATIENCE", 2.0)
    second = cluster.add_node(num_cpus=2, object_store_memory=MEMORY)
    results = RayCluster(ScaleSection(**on(cluster)["scale"], cores=2)).run(Squares(pause=0.5), range(20))
    next(results)
    cluster.remove_node(second, allow_graceful=False)
    with pytest.raises(ClusterError, match="no node has room for a worker"):
        list(results)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no.such.host.invalid:6379", "[::1]:1"])
def test_a_cluster_that_does_not_answer_is_named(address: str) -> None:
    with pytest.raises(ClusterUnreachable, match="no Ray cluster at") as refused:
        module._require_answer(address)
    assert address in refused.value.message
    assert "--on local" in refused.value.cure


def test_auto_names_the_cluster_that_it_found_and_that_is_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ClusterUnreachable, match=r"no Ray cluster at auto \(127\.0\.0\.1:1\)"):
        module._require_answer("auto")


@contextmanager
def listener(*handlers: Any) -> Iterator[str]:
    """The address of a gRPC server that is not the head of a cluster."""
    pytest.importorskip("ray")
    grpc = pytest.importorskip("grpc")
    server = grpc.server(ThreadPoolExecutor(1), handlers=handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def test_another_port_of_ray_is_refused_at_once() -> None:
    with listener() as address, pytest.raises(ClusterUnreachable, match="not the head node of a Ray") as refused:
        module._require_answer(address)
    assert "ray://HOST:10001" in refused.value.cure


def test_a_web_server_is_refused_at_once() -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as web:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = web.accept()
                    with connection:
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(ClusterUnreachable, match="not the head node of a Ray cluster"):
            module._require_answer(f"127.0.0.1:{web.getsockname()[1]}")


def test_a_cluster_that_asks_for_a_token_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    grpc = pytest.importorskip("grpc")

    class Guarded(grpc.GenericRpcHandler):
        def service(self, _details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(
                lambda _request, call: call.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
            )

    with listener(Guarded()) as address:
        monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
        with pytest.raises(ClusterUnreachable, match="asks for a token") as refused:
            module._require_answer(address)
        assert "RAY_AUTH_MODE=token" in refused.value.cure
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        module._require_answer(address)


@pytest.mark.slow
def test_a_batch_that_no_node_has_memory_for_ends_the_work() -> None:
    pytest.importorskip("ray")
    script = """
import sys, time
import ray
from twofold.errors import ClusterError
from twofold.execution.cluster import RayCluster
from twofold.settings.scale import ScaleSection

class Idle:
    label = "idle"
    def open(self):
        return time.sleep

ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
try:
    list(RayCluster(ScaleSection(on="ray", object_store_gib=0.1)).run(Idle(), [5, 5]))
except ClusterError as error:
    print(error.message)
"""
    limits = {**os.environ, "RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "200"}
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, env=limits, capture_output=True, text=True, timeout=300, check=False)
    assert "a batch ended 4 workers" in ended.stdout, ended.stderr


def test_ray_is_imported_only_where_it_is_named() -> None:
    script = (
        "import sys\nfrom twofold.execution.choosing import executor\nfrom twofold.settings.scale import ScaleSection\n"
        "executor(ScaleSection())\nprint('ray' in sys.modules)\n"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "False"


def test_equal_settings_share_an_executor() -> None:
    assert executor(ScaleSection()) is executor(ScaleSection())


def test_no_more_workers_are_at_work_than_the_settings_say(cluster: Any) -> None:  # noqa: F811
    second = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    settings = {**on(cluster)["scale"], "workers": 1}
    began = time.monotonic()
    assert len(list(RayCluster(ScaleSection(**settings)).run(Squares(pause=0.3), range(6)))) == 6
    assert time.monotonic() - began >= 1.8
    cluster.remove_node(second)


def test_work_that_cannot_be_sent_is_named(workers: RayCluster) -> None:
    class Locked(Squares):
        def __init__(self) -> None:
            super().__init__(label="score with a lock")
            object.__setattr__(self, "lock", threading.Lock())

    with pytest.raises(ClusterError, match="score with a lock: it cannot be sent to a worker") as refused:
        list(workers.run(Locked(), range(3)))
    assert "--on local" in refused.value.cure
