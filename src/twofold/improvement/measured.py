"""Is an arm still the one that a study measured? What changed since would be proven with a step."""

from __future__ import annotations

from twofold.plugins.protocols import Progress
from twofold.project import Project
from twofold.reports import archive


def as_measured(project: Project, study: str, name: str, *, progress: Progress) -> bool:
    """Has nothing changed since that study that decides this arm's answers: settings, documents, examples, weights?

    The documents are read first: the study that proves a step reads them, too, and would count what an edited one
    brings as the step's gain.
    """
    arm = project.config.arm(name)
    if arm.retrieval:
        project.sync(progress=progress)
    known = archive.read_record(project.records / study)["arms"][name]["key"]
    return project.workspace.arms.known_key(arm, project.splits) == known
