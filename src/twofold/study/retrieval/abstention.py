"""Measure abstention: the risk-coverage curve on questions that were not calibrated on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twofold.answering import sufficiency
from twofold.answering.system import query
from twofold.assembly.searching import Search
from twofold.assembly.systems import Systems
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.hashing import plain
from twofold.stats import intervals
from twofold.types import Estimate, Example, Json

_POINTS = 40


def abstention(search: Search, systems: Systems, splits: Splits, *, test: Sequence[Example]) -> Json | None:
    """The calibration's record on `test`; None where [retrieval].risk is 0.

    Returns:
        ``off`` (why there is no calibration, or empty) and, when there is one: ``key``, ``risk`` (stated), ``level``,
        ``holds`` (is it shown to hold on dev), ``note`` (that in words, or that no threshold does), ``threshold``,
        ``dev`` (risk, its upper bound, coverage and n on questions that had no part in fitting), ``area`` (mean risk
        over all coverages, lower is better), ``blind`` (the same for answering at random: the share of questions
        without their answer), ``answered`` (share of questions), ``wrong`` (share of those without their answer in the
        passages), ``unanswerable_kept`` (share of the unanswerable that are answered all the same), all with intervals,
        and the ``curve`` as (coverage, risk).
    """
    if not search.config.retrieval.risk:
        return None
    calibration, off = systems.calibration(splits)
    if calibration is None:
        return {"off": off}
    section = search.config.study
    groups = Questions.of(test).groups
    queries = [query(example, search.filter) for example in test]
    retrievals = search.retriever.retrieve(queries, search.config.retrieval.k)
    probabilities = np.array([calibration.probability(q, f) for q, f in zip(queries, retrievals, strict=True)])
    labels = np.array([sufficiency.sufficient(e, f) for e, f in zip(test, retrievals, strict=True)], dtype=float)
    answered = probabilities >= calibration.threshold
    pairs = list(zip(probabilities.tolist(), labels.tolist(), strict=True))

    def mean(values: object, of: object = None) -> Json | None:
        chosen = np.array(values, dtype=float)
        rows = np.ones(len(test), dtype=bool) if of is None else np.array(of)
        if not rows.any():
            return None
        estimate: Estimate = intervals.estimate(chosen[rows], groups[rows], level=section.level)
        interval: Json = plain(estimate)
        return interval

    def mean_risk(items: Sequence[tuple[float, float]]) -> float:
        return sufficiency.area(np.array([p for p, _ in items]), np.array([one for _, one in items]))

    points = sufficiency.curve(probabilities, labels)
    shown = points[:: max(1, len(points) // _POINTS)]
    return {
        "off": "",
        "key": calibration.key,
        "risk": calibration.risk,
        "level": calibration.level,
        "holds": calibration.holds,
        "note": calibration.note,
        "threshold": calibration.threshold,
        "dev": {
            "risk": calibration.reached,
            "bound": calibration.bound,
            "coverage": calibration.coverage,
            "n": calibration.n,
        },
        "area": plain(intervals.pooled(mean_risk, pairs, groups, level=section.level, seed=section.seed)),
        "blind": mean(1 - labels),
        "answered": mean(answered),
        "wrong": mean(1 - labels, answered),
        "unanswerable_kept": mean(answered, [not example.answerable for example in test]),
        "weights": dict(zip(sufficiency.FEATURES, calibration.weights, strict=True)),
        "curve": [(coverage, risk) for _, coverage, risk in shown],
    }
