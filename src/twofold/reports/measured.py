"""Which systems a finished study, or a comparison after a retraining, has measured."""

from __future__ import annotations

from pathlib import Path

from twofold.reports import archive
from twofold.store.catalogue import Catalogue
from twofold.types import Json


def measured_systems(catalogue: Catalogue, records: Path, *, model: str = "") -> dict[str, Json]:
    """Key → description of each system that a finished study measured.

    The catalogue knows more systems: those of a study that was interrupted or still runs, of a probe, of a trial on
    train and dev. Nothing was decided about them. A tuned model that was compared with its champion after a
    retraining counts as measured by that comparison.

    Args:
        catalogue: Of the project.
        records: Directory of the studies.
        model: Id of the tuned model that answers; may be empty.
    """
    known = catalogue.systems.descriptions()
    compared = _compared(catalogue, model)
    if compared is None:
        return known
    measured = {key: known[key] for key in compared if key in known}
    for described in archive.systems(records):
        # A record outlives the catalogue, so it has the description as well.
        measured |= {key: known.get(key, description) for key, description in described.items()}
    return measured


def was_measured(catalogue: Catalogue, records: Path, key: str, *, model: str = "") -> bool:
    """Is a system among the `measured_systems`? For every question: nothing is read that has not changed.

    Args:
        catalogue: Of the project.
        records: Directory of the studies.
        key: Of the system.
        model: Id of the tuned model that answers; may be empty.
    """
    compared = _compared(catalogue, model)
    if (compared is None or key in compared) and catalogue.systems.knows(key):
        return True
    return compared is not None and any(key in described for described in archive.systems(records))


def _compared(catalogue: Catalogue, model: str) -> set[str] | None:
    """Keys of the systems that comparisons of a tuned model measured; None: any that answered with it may be one."""
    comparisons = catalogue.models.comparisons(model).values()
    # Before comparisons named their system.
    if any("system" not in comparison for comparison in comparisons):
        return None
    return {str(comparison["system"]) for comparison in comparisons}
