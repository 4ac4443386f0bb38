"""Run a command line once on each of several nodes of a Ray cluster, as `srun` does on Slurm.

    python on_nodes.py --nodes 2 --cores 8 --gpus 1 -- COMMAND...

Cores and GPUs are set aside on each node for as long as the command runs there. In the command line HEAD becomes the
address of the first node, ADDRESS that of each, FIRST `true` on the first and `false` on the others. Each node's
standard output comes here; its standard error goes to Ray's log of the worker and, at the end, here. Exit status: the
first that is not 0. Where one node's command fails, or this process is ended, those of the other nodes are ended too.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

PASSED_ON = ("OMP_", "TORCH_", "NCCL_", "GLOO_", "TWOFOLD_", "PYTHONUNBUFFERED", "PYTHONPATH", "TOKENIZERS_", "GOMP_")
"""Beginnings of the names of environment variables that the command gets from here."""


def address() -> str:
    """This node's address."""
    import ray

    return str(ray.util.get_node_ip_address())


def filled(command: list[str], **values: str) -> list[str]:
    """The command line with the values of its placeholders."""
    for name, value in values.items():
        command = [word.replace(name, value) for word in command]
    return command


def lines(command: list[str], environment: dict[str, str], folder: str) -> Iterator[tuple[str, Any]]:
    """Run the command here: ``("line", text)`` as it writes, at the end ``("end", (status, host, last errors))``."""
    # a group of its own, so that it is ended with all that it has started
    child = subprocess.Popen(
        filled(command, ADDRESS=address()),
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    errors: list[str] = []

    def drain() -> None:
        for line in child.stderr or ():
            sys.stderr.write(line)
            errors.append(line)
            del errors[:-40]

    reading = threading.Thread(target=drain, daemon=True)
    reading.start()
    try:
        for line in child.stdout or ():
            yield "line", line
        status = child.wait()
        reading.join(5)
        yield "end", (status, socket.gethostname(), "".join(errors))
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)


def started(options: argparse.Namespace, nodes: Any) -> list[Any]:
    """The command line's lines, a stream for each node."""
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    def place(number: int) -> dict[str, Any]:
        strategy = PlacementGroupSchedulingStrategy(nodes, placement_group_bundle_index=number)
        # A command that was lost with its node is not run again by itself: torchrun decides that.
        return {
            "scheduling_strategy": strategy,
            "num_cpus": options.cores,
            "num_gpus": options.gpus,
            "max_retries": 0,
        }

    head = ray.get(ray.remote(address).options(**place(0)).remote())
    environment = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    work = ray.remote(lines)
    return [
        work.options(**place(number), num_returns="streaming").remote(
            filled(options.command, HEAD=head, FIRST=str(number == 0).lower()), environment, os.getcwd()
        )
        for number in range(options.nodes)
    ]


def follow(stream: Any, statuses: list[int], failed: threading.Event) -> None:
    """Write a node's lines here, and at the end its status into `statuses`."""
    import ray

    status = 1
    try:
        for result in stream:
            kind, value = ray.get(result)
            if kind == "line":
                sys.stdout.write(value)
                sys.stdout.flush()
            else:
                status, host, errors = value
                sys.stderr.write("".join(f"{host}: {line}\n" for line in errors.splitlines()))
    except ray.exceptions.RayError as error:
        sys.stderr.write(f"a node was lost: {str(error).splitlines()[0]}\n")
    statuses.append(status)
    if status:
        failed.set()


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="auto", help="the cluster; `auto`: the one that runs here")
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--cores", type=float, default=1)
    parser.add_argument("--gpus", type=float, default=0)
    parser.add_argument("--wait", type=float, default=600, help="seconds to wait for the nodes to be free")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.command[:1] == ["--"]:
        del options.command[0]

    import ray
    from ray.util.placement_group import placement_group

    ray.init(address=options.address, log_to_driver=False, configure_logging=False)
    # SIGTERM as an error, so that the nodes are given back
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    share = {"CPU": options.cores, **({"GPU": options.gpus} if options.gpus else {})}
    nodes = placement_group([share] * options.nodes, strategy="STRICT_SPREAD")
    if not nodes.wait(options.wait):
        sys.stderr.write(f"no {options.nodes} nodes with {share} came free within {options.wait:g} s\n")
        return 1
    statuses: list[int] = []
    failed = threading.Event()
    streams = started(options, nodes)
    threads = [threading.Thread(target=follow, args=(s, statuses, failed), daemon=True) for s in streams]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not failed.wait(0.2):
        pass
    if failed.is_set():
        # torchrun on the others notices by itself; it is given the time to say why
        for thread in threads:
            thread.join(30)
        for stream in streams:
            ray.cancel(stream, force=True)
    ray.util.remove_placement_group(nodes)
    return next((status for status in statuses if status), 0)


if __name__ == "__main__":
    sys.exit(main())
