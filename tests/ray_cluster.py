"""A real Ray cluster on this machine, for tests of what runs on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

MEMORY = 80 << 20
"""Bytes of a node's object store: the least that Ray takes."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with one core; what a test adds is another node."""
    # A busy machine starts a node in more than the half minute that Ray waits; read when Ray is imported.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    from twofold.execution.choosing import executor

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": MEMORY})
    yield started
    executor.cache_clear()
    ray.shutdown()
    started.shutdown()


def on(cluster: Any) -> dict[str, Any]:
    """Settings by which work runs on it."""
    return {"scale": {"on": "ray", "address": cluster.address, "object_store_gib": 0.1}}
