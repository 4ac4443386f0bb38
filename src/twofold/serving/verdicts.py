"""Whether the verdicts of a project still hold, for a server: looked at when asked, worked out when a file changes."""

from __future__ import annotations

import logging

from twofold.errors import TwofoldError
from twofold.project import Project
from twofold.serving.identity import Caller
from twofold.types import Json
from twofold.verdict.validity import Validity, bound_text, brief, lines

log = logging.getLogger(__name__)


class StandingVerdicts:
    """The validity of the verdicts of one project; no fault of it stops a page.

    Args:
        project: Open for as long as this is used.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def finding(self, study: str = "") -> Validity | None:
        """The validity of a study, by default of the one that answers; None: there is none, or it cannot be told."""
        try:
            validity = self._project.validity
            return validity.cached(study) if study else validity.decisive()
        except TwofoldError as error:
            log.warning("whether the verdict still holds cannot be told: %s", error)
            return None

    def remark(self) -> str:
        """Why the verdict that answers no longer holds, without numbers and names; empty while it does."""
        finding = self.finding()
        return brief(finding) if finding else ""

    def described(self, model: Json) -> Json:
        """A served arm as `/v1/models` shows it, with the validity of the verdict by which it answers."""
        finding = self.finding()
        if finding is None or model.get("study") != finding["study"]:
            return model
        reasons = list(dict.fromkeys(reason["dimension"] for reason in finding["reasons"]))
        return {**model, "validity": {"state": finding["state"], "because": reasons}}

    def shown(self, caller: Caller, study: str = "") -> Json | None:
        """What a page shows of a study's validity; None where there is none.

        Prices, settings and numbers of documents are an administrator's; others read why in general words.
        """
        finding = self.finding(study)
        if finding is None:
            return None
        if not caller.covers("admin"):
            words = brief(finding)
            return {
                "state": finding["state"],
                "study": finding["study"],
                "lines": [words] if words else [],
                "region": [],
            }
        region = [{**bound, "range": bound_text(bound)} for bound in finding["region"]]
        return {
            "state": finding["state"],
            "study": finding["study"],
            "lines": lines(finding),
            "notes": finding["notes"],
            "region": region,
            "assumed": finding["assumed"],
        }
