"""A study as a line of the ledger of looks: what it decides by, what was answered, and the how-manieth look it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from twofold.assembly.models import Models
from twofold.hashing import digest
from twofold.host import capabilities
from twofold.study import confirming, looks
from twofold.study.admission import Admitted
from twofold.study.measure import MeasuredArm
from twofold.types import Example


def look_of(
    models: Models,
    by_arm: Mapping[str, MeasuredArm],
    checked: Admitted,
    *,
    dev: Sequence[Example],
    rows: Sequence[looks.Look],
    name: str,
    planned: Sequence[Example] = (),
) -> looks.Look:
    """This study as a line of the ledger; `planned` are all questions of a race, whichever it asked.

    Raises:
        StudyError: the reserve was opened before, by another study than this one begun anew.
    """
    decided = {run.arm.name: run for arm in checked.arms for run in by_arm[arm.name].each}
    # In an order that ids do not change: a look is known by its questions and answers.
    places = sorted(range(len(checked.test)), key=lambda place: looks.question(checked.test[place]))
    texts = {}
    for arm, item in decided.items():
        answers = item.over_all(item.answers)
        texts[arm] = [answer.raw for place in places if (answer := answers[place]) and answer.failure is None]
    look = looks.Look(
        kind="final" if checked.hypothesis else "study",
        name=name,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        identity=identity(
            models,
            checked,
            {arm: item.system for arm, item in decided.items()},
            examples=planned or checked.test,
            race=bool(planned),
        ),
        answers=digest("answers", texts),
        failed=sum(1 for item in decided.values() for answer in item.answers if answer.failure is not None),
        look=0,
        asked=looks.asked_digests(checked.test),
        dev=looks.asked_digests(dev),
    )
    if checked.hypothesis:
        confirming.require_sealed(rows, look)
    kinds = looks.kinds_against(promoted=any(models.chosen(arm) for arm in checked.arms))
    # A race might have asked any of its questions: its level is theirs.
    counted_for = replace(look, asked=looks.asked_digests(planned)) if planned else look
    return replace(look, look=looks.number(rows, counted_for, kinds=kinds))


def identity(
    models: Models, checked: Admitted, systems: Mapping[str, str], *, examples: Sequence[Example], race: bool
) -> str:
    """Digest of what a study decides by (`looks.identity_of`).

    Args:
        models: Of the project.
        checked: The study.
        systems: Arm → system key.
        examples: Those asked; of a race those planned.
        race: Is it a race?
    """
    section = models.config.study
    _, metric = checked.metrics[section.metric.name]
    return looks.identity_of(
        section,
        systems,
        metric=metric,
        examples=examples,
        gated=models.config.tuning.gate == "enforce" and any(arm.tuning for arm in checked.arms),
        machine=capabilities.fingerprint() if section.max_latency_p95 else "",
        race=race,
    )
