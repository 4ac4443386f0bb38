"""The curves of a training: its loss, and the metric on dev with the step that was taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from twofold.reports import charts
from twofold.verdict.wording import metric_title


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlot:
    """One curve."""

    title: str
    svg: Markup


def training_plots(training: Mapping[str, Any], *, name: str, metric: str) -> list[TrainingPlot]:
    """The curves that a training report has points for.

    Args:
        training: The report: ``loss`` and ``dev`` as ``[[step, value], …]``, ``best_step``.
        name: Of the arm or model.
        metric: Its values are those of ``dev``.
    """
    plots = []
    for key, title in (("loss", "training loss"), ("dev", f"dev {metric_title(metric)}")):
        # A loss that is not finite (a run that diverged) has no place on a scale.
        points = [(float(step), float(value)) for step, value in training[key] if math.isfinite(value)]
        if points:
            best = float(training["best_step"]) if key == "dev" else None
            drawn = charts.line_plot(points, title=f"{name}: {title}", x_axis="step", best=best)
            plots.append(TrainingPlot(title=title, svg=Markup(drawn)))
    return plots
