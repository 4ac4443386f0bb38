"""The Helm chart, rendered by Helm's own library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CHART = DEPLOY / "helm" / "twofold"


def rendered(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    helm = pytest.importorskip("helm_python", reason="Helm's library has no wheel for this machine")
    with helm.Chart.load(str(CHART)) as chart:
        templates = chart.render(values, name="a", namespace="b")
    for name, text in templates.items():
        if name.endswith(".yaml"):
            yield from filter(None, yaml.safe_load_all(text))
