"""Stages of the retrieval pipeline that earn their place: each is switched off, and the change is measured.

A stage stays off unless it is shown to help: the lower end of its difference, in an interval that holds for all stages
together, must lie above the margin. Advanced stages often lose when they are measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from twofold.assembly.searching import Search
from twofold.config import Config
from twofold.plugins import loading
from twofold.plugins.protocols import Progress, quiet
from twofold.settings.loading import laid_over
from twofold.study.retrieval.benchmark import METRICS, Rules, compare, opened, titled
from twofold.types import Example, Json

MARGIN = 0.005
"""Half a point of nDCG (times 100): less is not worth a stage."""
_WHOLE = "as configured"
_LISTS = ("rewriters", "rerankers")
"""Keys of [retrieval] that hold a list of stages."""


def stages(config: Config) -> dict[str, Json]:
    """Stage → the values that switch it off, for every stage of the configured pipeline."""
    retrieval = config.retrieval
    switches: dict[str, Json] = {}
    for kind in _LISTS:
        parts = list(getattr(retrieval, kind))
        for place, part in enumerate(parts):
            rest = [other.model_dump() for number, other in enumerate(parts) if number != place]
            same = sum(other.name == part.name for other in parts) > 1  # two of one name need their places to differ
            name = f"{kind[:-1]} {part.name}" + (f" ({place + 1})" if same else "")
            switches[name] = {"retrieval": {kind: rest}}
    return {**switches, **_legs(config)}


def _legs(config: Config) -> dict[str, Json]:
    """The legs of a fused retriever, where there are two."""
    part = config.retrieval.retriever
    options = loading.options("retrievers", part.name, part.options).model_dump()
    if not options.get("lexical") or "fusion" not in options:
        return {}
    legs: dict[str, Json] = {"lexical leg": {"retrieval": {"retriever": {"options": {"lexical": 0}}}}}
    if part.name == "hybrid":
        legs["dense leg"] = {"retrieval": {"retriever": {"name": "lexical"}}}
    return legs


def ablate(
    search: Search,
    examples: Sequence[Example],
    rules: Rules,
    *,
    margin: float = MARGIN,
    progress: Progress = quiet,
) -> Json:
    """Measure the pipeline without each of its stages.

    Returns:
        ``metric``, ``margin``, ``questions``, ``groups``, ``synthetic``, ``level`` and ``stages``: per stage the
        metric ``with`` and ``without`` it, the paired ``difference`` (with − without), ``metrics`` (the difference in
        the others), what it costs in ``ms`` (p50) and ``tokens`` a query, and the ``advice``: ``on`` when it wins,
        else ``off``.
    """
    off = stages(search.config)
    configs = {_WHOLE: search.config, **{f"without {name}": laid_over(search.config, how) for name, how in off.items()}}
    comparison = compare(opened(search, configs, progress=progress), examples, rules, progress=progress)
    whole = comparison["pipelines"][_WHOLE]
    rows = []
    for name in off:
        other = comparison["pipelines"][f"without {name}"]
        lost = {}
        for difference in comparison["differences"]:
            if difference["pipeline"] == f"without {name}":
                lost[difference["metric"]] = _turned(difference["estimate"])
        decides = titled(METRICS[0])
        rows.append(
            {
                "stage": name,
                "with": whole["metrics"][decides],
                "without": other["metrics"][decides],
                "difference": lost[decides],
                "metrics": {metric: value for metric, value in lost.items() if metric != decides},
                "ms": whole["ms"]["p50"] - other["ms"]["p50"] if whole["ms"] and other["ms"] else None,
                "tokens": whole["tokens"] - other["tokens"],
                # Shown to help, not merely not shown to hurt.
                "advice": "on" if lost[decides]["low"] > margin else "off",
                "worse": lost[decides]["high"] < -margin,
            }
        )
    return {
        "metric": titled(METRICS[0]),
        "unit": rules.unit,
        "margin": margin,
        "level": rules.level,
        "questions": comparison["questions"],
        "groups": comparison["groups"],
        "synthetic": comparison["synthetic"],
        "stages": rows,
    }


def _turned(estimate: Json) -> Json:
    return {**estimate, "mean": -estimate["mean"], "low": -estimate["high"], "high": -estimate["low"]}
