"""Studies and rounds: is an arm still the one that was measured, and which study did a killed round leave?"""

from __future__ import annotations

from twofold.hashing import plain
from twofold.plugins.protocols import Progress
from twofold.project import Project
from twofold.reports import archive
from twofold.types import Json


def as_measured(project: Project, study: str, name: str, *, progress: Progress) -> bool:
    """Has nothing changed since that study that decides this arm's answers: settings, documents, examples, weights?

    What changed would be proven with a step. The documents are read first: the study that proves a step reads them,
    too, and would count what an edited one brings as the step's gain.
    """
    arm = project.config.arm(name)
    if arm.retrieval:
        project.sync(progress=progress)
    known = archive.read_record(project.records / study)["arms"][name]["key"]
    return project.workspace.of(arm).arms.known_key(arm, project.splits) == known


def left_by(project: Project, changed: Project, values: Json, *, before: str) -> str:
    """The newest study where a round has run it, and was killed before its name was stored; else empty.

    Args:
        project: As it is.
        changed: With the values of the round.
        values: Of the round.
        before: The study that the round had to beat.
    """
    names = archive.names(project.records)
    if not names or names[-1] <= before:
        return ""
    step = plain(changed.config)
    study = archive.read_record(project.records / names[-1])["config"]
    # With the step's values where the file has others: nothing but the round runs such a study unasked.
    of_the_round = _has(study, values, of=step) and not _has(plain(project.config), values, of=step)
    return names[-1] if of_the_round else ""


def _has(config: Json, values: Json, *, of: Json) -> bool:
    """Has a configuration what another one has, wherever there are `values`?"""
    for key, value in values.items():
        here, there = config.get(key), of.get(key)
        if isinstance(value, dict) and isinstance(here, dict) and isinstance(there, dict):
            if not _has(here, value, of=there):
                return False
        elif here != there:
            return False
    return True
