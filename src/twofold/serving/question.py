"""A question of the project's owner, answered by an arm that is served: for `twofold ask`, with its whole record."""

from __future__ import annotations

from dataclasses import replace

from twofold import asking
from twofold.answering import system as answering
from twofold.asking import AnswerReport
from twofold.errors import NotServed
from twofold.project import Project
from twofold.serving.arms import ServedArms
from twofold.serving.bodies import OwnerBody
from twofold.serving.dispatch import Overrides
from twofold.serving.exchange import Exchange
from twofold.serving.identity import LOCAL, Caller
from twofold.types import Answer


class LiveQuestion:
    """A question on its way.

    Args:
        project: Of the arm.
        arms: What is served.
        question: What is asked, of whom, for whom.

    Raises:
        NotServed: the question is for another arm or model, or the project chooses another since the arm was opened.
        TwofoldError: as `Project.ask`.
    """

    def __init__(self, project: Project, arms: ServedArms, question: OwnerBody) -> None:
        workspace, root = project.workspace, project.directory
        self._records = project.records
        self._choice = asking.chosen(
            workspace.models, workspace.systems.calibrations, project.records, arm=question.arm, model=question.model
        )
        # The reason apart, which tells how the arm was named.
        plainly = replace(self._choice, why="")
        arm = next((one for one in arms if replace(one.choice, why="") == plainly), None)
        if arm is None:
            raise NotServed(f"the arm {self._choice.arm.name} is not what is served")
        self._workspace, self._system, self._arm = workspace, arm.system, arm
        asking.require_answerable(workspace.search, self._choice, root=root)
        self._user = question.user
        self._seen = asking.request_filter(project.config, question.user, question.groups)
        narrowed = arm.narrowed(self._seen, question.where)
        self._behind = asking.unseen(workspace.search, self._choice, root)
        self._passed_over = asking.remarks(workspace.search, narrowed)
        self._example = answering.question(question.text, question.turns)
        # Last: whatever is refused above must leave nothing under way.
        self.ticket = arm.submit(self._example, filter=narrowed, overrides=Overrides())
        """The answer, on its way."""

    def exchange(self, answer: Answer, *, request: str) -> Exchange:
        """The answer as those who watch are shown it; waits for the index."""
        index = self._arm.index()
        return Exchange(
            request=request,
            caller=Caller(scope="admin", filter=self._seen, name=self._user or LOCAL),
            origin={**self._arm.origin, "later_index": self._arm.later()},
            example=self._example,
            answer=answer,
            making=replace(self.ticket.making, index=index),
        )

    def report(self, answer: Answer) -> AnswerReport:
        """Where the answer comes from, as `Project.ask` reports it."""
        made_by = asking.provenance(
            self._workspace,
            self._system,
            self._example,
            answer=answer,
            choice=self._choice,
            records=self._records,
        )
        return {**made_by, "behind": self._behind, "passed_over": self._passed_over}
