"""What answers have cost: tokens of all stored answers at the configured prices."""

from __future__ import annotations

from twofold.project import Project
from twofold.study import calls


def metered(project: Project) -> float:
    """Cost of all answers that the project has stored, in the currency of the configured prices; 0 without a price.

    The difference of two calls is what was spent between them: answers of studies, of trials and of diagnoses alike.
    """
    read, written = calls.prices(project.config)
    usage = project.catalogue.answers.usage()
    return (usage.prompt_tokens * read + usage.completion_tokens * written) / 1e6
