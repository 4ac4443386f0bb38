"""`bench/scale_model.py`: its queues agree with what is proven of them, its laws with what made the points."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"


@pytest.fixture(scope="module")
def model() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scale_model", BENCH / "scale_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale_model"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("cores", "load"), [(1, 0.5), (1, 0.8), (4, 0.7)])
def test_the_mean_wait_is_that_of_erlang(model: ModuleType, cores: int, load: float) -> None:
    """M/M/c (Erlang 1917): exponential services, one queue."""
    rate = load * cores
    seconds = model.searching(lambda chance, count: chance.exponential(1.0, count), rate, cores, requests=60_000)
    offered = rate
    last = offered**cores / math.factorial(cores) / (1 - load)
    waits = last / (sum(offered**k / math.factorial(k) for k in range(cores)) + last)
    assert np.mean(seconds) == pytest.approx(1 + waits / (cores - rate), rel=0.1)


def test_fixed_services_wait_half_as_long(model: ModuleType) -> None:
    """M/D/1 (Pollaczek and Khinchine): half the wait of exponential services."""
    seconds = model.searching(lambda _, count: np.ones(count), 0.8, 1, requests=60_000)
    assert np.mean(seconds) == pytest.approx(1 + 0.8 / (2 * (1 - 0.8)), rel=0.1)


def test_an_engine_of_one_is_a_queue_of_one(model: ModuleType) -> None:
    """Geometric lengths of a hundred tokens are nearly exponential: M/M/1."""
    engine = model.Engine(step=0.01, each=0.0, prompt=0.0, most=1)
    seconds = model.answering(engine, 0.6, 100, requests=30_000)
    assert np.mean(seconds) == pytest.approx(1 / (1 - 0.6), rel=0.12)


def test_an_engine_without_end_shares_equally(model: ModuleType) -> None:
    """Where a step costs as much for each request in hand, it is processor sharing, whose mean is that of M/M/1."""
    engine = model.Engine(step=0.0, each=0.01, prompt=0.0, most=10_000)
    seconds = model.answering(engine, 0.6, 100, requests=30_000)
    assert np.mean(seconds) == pytest.approx(1 / (1 - 0.6), rel=0.12)


def test_a_full_engine_answers_at_its_rate(model: ModuleType) -> None:
    engine = model.Engine(step=0.02, each=0.001, prompt=0.05, most=8)
    seconds = model.answering(engine, 1000.0, 40, requests=2000)
    # All ask at once: the last tenth has waited for all but its own share of the work.
    assert max(seconds) == pytest.approx(2000 / engine.rate(40), rel=0.05)


def test_what_one_machine_bears_keeps_the_limit(model: ModuleType) -> None:
    service = model.lognormal(0.01, 0.03)
    rate = model.borne(lambda rate: model.searching(service, rate, 4), 0.1, 400)
    assert 200 < rate < 400
    assert np.percentile(model.searching(service, rate, 4), 95) <= 0.1
    assert model.borne(lambda rate: model.searching(service, rate, 4), 0.001, 400) == pytest.approx(0.0, abs=0.2)


@pytest.mark.parametrize(
    ("form", "amount"),
    [
        ("linear", lambda n: 500 + 2 * n),
        ("n log n", lambda n: 3 * n * math.log(n)),
        ("power", lambda n: 0.2 * n**1.3),
        ("log", lambda n: 1 + 2 * math.log(n)),
    ],
)
def test_a_law_finds_what_made_its_points(model: ModuleType, form: str, amount: Any) -> None:
    points = {n: amount(n) for n in (1e4, 3e4, 1e5, 3e5)}
    assert model.fitted(points, form)(1e8) == pytest.approx(amount(1e8), rel=1e-6)
    assert all(ratio == pytest.approx(1) for ratio in model.left_out(points, form).values())


def test_a_law_says_where_it_is_wrong(model: ModuleType) -> None:
    points = {1e4: 1e4, 3e4: 3e4, 1e5: 2e5}  # the last is twice what the others say
    ratios = model.left_out(points, "linear")
    assert ratios[1e5] == pytest.approx(0.5)
    assert model.left_out({1e4: 1.0, 1e5: 2.0}, "linear") == {}


def test_the_engine_gives_back_its_two_measurements(model: ModuleType) -> None:
    engine = model.engine_of(alone=44.0, together=151.6, most=16, tokens=64, prompt=0.036)
    assert 64 / (engine.prompt + 64 * (engine.step + engine.each)) == pytest.approx(44.0)
    full = 16 * engine.prompt + 64 * (engine.step + 16 * engine.each)
    assert 16 * 64 / full == pytest.approx(151.6)


def test_the_tables_are_made_of_the_stored_points(
    model: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = json.loads((BENCH / "scale_points.json").read_text())
    for name, entry in points["ways"].items():
        assert entry.get("memory law", next(iter(points["amounts"]))) in points["amounts"], name
    for limit, *_ in points["limits"]:
        assert limit in points["amounts"]
    monkeypatch.setattr(sys, "argv", ["scale_model.py", "--machine", "cores=8,gib=32"])
    assert model.main() == 0
    text = capsys.readouterr().out
    for size in ("1e+06", "1e+08", "1e+10"):
        assert size in text
    assert "of 8 cores and 32 GiB" in text
    assert "assumed" in text
    assert "nan" not in text


def test_a_wrong_setting_is_named(model: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scale_model.py", "--prices", "gpus=3"])
    with pytest.raises(SystemExit, match="'gpus=3' is none of cores"):
        model.main()
