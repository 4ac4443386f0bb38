"""The dashboard and the alerts ask for numbers that a server tells, in words that Grafana and Prometheus read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from twofold.serving.counters import Counters
from twofold.serving.degradation import Breaker
from twofold.serving.numbers import IndexNumbers, log_numbers, watch_numbers
from twofold.types import IndexState

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NAME = re.compile(r"\b(?:twofold|process)_[a-z_]+")


def queries() -> dict[str, str]:
    """Expression of each panel and alert, as Prometheus gets it."""
    dashboard = json.loads((DEPLOY / "grafana" / "twofold.json").read_text())
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    targets = [(panel["title"], target) for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked = {f"{title} {target['refId']}": target["expr"] for title, target in targets}
    asked |= {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}
    return {name: expr.replace("$__rate_interval", "5m") for name, expr in asked.items()}


@contextmanager
def using(arms: list[Any]) -> Iterator[list[Any]]:
    yield arms


def exposed() -> set[str]:
    """Names of all samples, where something is down and something alarms."""
    down = Breaker("the index")
    down.failed("index.down", "gone")
    state = IndexState(version=1, chunks=2, documents=1, content="content:a", fingerprint="a")
    arm = SimpleNamespace(name="rag", waiting=lambda: 1, down=lambda: [down], index=lambda: state)
    version = SimpleNamespace(version=1, at="2026-11-30T10:00:00")
    arms: Any = SimpleNamespace(using=lambda: using([arm]))
    report = {"at": "2026-11-30T10:00:00+00:00", "state": "alarm", "readings": [{"signal": "a.b", "state": "alarm"}]}
    records = SimpleNamespace(last=lambda: report)
    watching: Any = SimpleNamespace(looked=True, records=lambda readonly: using(records))
    looks = [
        IndexNumbers(arms, lambda: [version], clock=lambda: 0.0),
        lambda: log_numbers({"feedback": lambda: "disk full"}),
        lambda: watch_numbers(watching),
    ]
    text = Counters(later=lambda: 0.0, looks=looks).text().decode()
    samples = {line.split("{")[0].split()[0] for line in text.splitlines() if not line.startswith("#")}
    # Counters with labels have no samples yet, and are declared all the same.
    declared = re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE)
    ends = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
    return samples | {name + end for name, kind in declared for end in ends[kind]}


def test_every_query_asks_for_numbers_that_a_server_tells() -> None:
    names = exposed()
    lacking = {panel: set(NAME.findall(query)) - names for panel, query in queries().items()}
    assert not {panel: unknown for panel, unknown in lacking.items() if unknown}
    # And the other way: what is told stands in a panel or an alert, so that somebody sees it.
    shown = set(NAME.findall(" ".join(queries().values())))
    ours = {name for name in names if name.startswith("twofold_") and not name.endswith(("_created", "_sum", "_count"))}
    assert ours - shown <= {"twofold_build_info"}  # by which the dashboard lists the servers


@pytest.mark.parametrize("query", queries().values(), ids=queries())
def test_every_query_is_promql(query: str) -> None:
    assert promql_parser.parse(query) is not None


def test_the_dashboard_is_of_grafanas_own_schema() -> None:
    stored = json.loads((DEPLOY / "grafana" / "twofold.json").read_text())
    again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(stored)))
    assert again["uid"] == "twofold"

    def lost(before: Any, after: Any, where: str) -> Iterator[str]:
        if isinstance(before, dict):
            for key, value in before.items():
                if key not in after and value not in (None, [], {}, "", False):
                    yield f"{where}.{key}"
                elif key in after:
                    yield from lost(value, after[key], f"{where}.{key}")
        elif isinstance(before, list):
            for number, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from lost(one, other, f"{where}[{number}]")
        elif before != after:
            yield where

    assert not list(lost(stored, again, "dashboard")), "a key that Grafana does not know"
    numbers = [panel["id"] for panel in stored["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in stored["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]


def test_the_alerts_alarm_when_they_should() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed here (Debian's package prometheus)")
    words = [promtool, "test", "rules", "alerts_test.yml"]
    done = subprocess.run(words, cwd=DEPLOY / "prometheus", check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    tested = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yml").read_text())["tests"][0]["alert_rule_test"]
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    assert {case["alertname"] for case in tested} == {rule["alert"] for rule in rules}
