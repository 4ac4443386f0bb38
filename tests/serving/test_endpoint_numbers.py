"""Numbers of the endpoints that write a server's answers."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from replica_servers import Replica, running
from twofold.plugins import loading
from twofold.serving.numbers import endpoint_numbers
from twofold.testing.conformance_generator import prompt


def test_each_endpoint_of_the_served_models_has_its_numbers_once() -> None:
    with running(Replica(), Replica(status=500)) as (good, bad):
        options = {"model": "m", "base_url": good.url, "replicas": [bad.url], "backoff": 0.01}
        generators = [loading.make("generators", "openai", options) for _ in range(2)]
        for generator in generators:
            generator.generate([prompt(f"p{n}") for n in range(20)])
        arms = [
            SimpleNamespace(system=SimpleNamespace(generator=one)) for one in (*generators, generators[0], object())
        ]
        served: Any = SimpleNamespace(using=lambda: nullcontext(arms))
        numbers = list(endpoint_numbers(served))
        for generator in generators:
            generator.close()
    found = {(number.name, number.labels["endpoint"]): number.value for number in numbers}
    assert len(found) == len(numbers) == 2 * 9, "two generators of a model add up, a third is one of them"
    assert found["twofold_endpoint_answered", good.url] == 40
    assert found["twofold_endpoint_answered", bad.url] == 0
    assert found["twofold_endpoint_failed", bad.url] >= 3
    assert found["twofold_endpoint_up", good.url] == 1
    assert found["twofold_endpoint_up", bad.url] == 0
    assert {number.labels["model"] for number in numbers} == {"m"}
