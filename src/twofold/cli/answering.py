"""Questions of `twofold ask` and its chat, answered by the server that runs for the project, else by the project."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from twofold.cli.session import Run
from twofold.plugins.protocols import Progress, quiet
from twofold.types import Answer

if TYPE_CHECKING:
    from twofold.answering.attribution import CitationTest
    from twofold.asking import AnswerReport, LiveArm
    from twofold.project import Project
    from twofold.serving.bodies import OwnerBody

    Answered = tuple[Answer, AnswerReport]


class Answerer:
    """Answers one asker's questions.

    Args:
        run: The invocation.
        keep: More questions will come: the arm that was opened last stays open for the next one.
        here: Answer in this process, also where a server runs: an answer's citations can then be tested.
    """

    def __init__(self, run: Run, *, keep: bool = False, here: bool = False) -> None:
        self._run, self._keep, self._here = run, keep or here, here
        self._open = ExitStack()
        self._project: Project | None = None
        self._arm: tuple[OwnerBody, LiveArm] | None = None

    def __enter__(self) -> Answerer:
        return self

    def __exit__(self, *_error: object) -> None:
        self._close_arm()
        self._open.close()

    def ask(
        self, question: OwnerBody, *, written: Callable[[str], None] | None = None, progress: Progress = quiet
    ) -> Answered:
        """Answer a question; see `Project.ask`.

        Args:
            question: What is asked, of which arm, by whom.
            written: Gets the answer's words as they come.
            progress: Shows answering until the first word.
        """
        of_server = None if self._here else self._of_server(question, written, progress)
        return of_server or self._of_project(question, written, progress)

    def citation_tests(self, question: OwnerBody, answer: Answer) -> tuple[CitationTest, ...]:
        """Test the citations of the answer to the question that was asked last; see `LiveArm.citation_tests`."""
        if self._arm is None:
            raise ValueError("no arm is open: citations are tested by what answered in this process")
        return self._arm[1].citation_tests(question.text, question.turns, answer=answer)

    def _of_server(
        self, question: OwnerBody, written: Callable[[str], None] | None, progress: Progress
    ) -> Answered | None:
        """The running server's answer; None where none runs, or it cannot answer this."""
        from twofold.serving import presence

        # Before the settings are read: without a server nothing of this is needed.
        if presence.published(self._run.directory) is None:
            return None
        from twofold.serving import warm
        from twofold.settings.loading import load

        server = warm.server(self._run.directory, load(self._run.directory, self._run.overrides))
        if server is None:
            return None
        progress("answer", 0, 1)
        return server.ask(question, written=written)

    def _of_project(self, question: OwnerBody, written: Callable[[str], None] | None, progress: Progress) -> Answered:
        """The answer of the project opened here; the first question in a new project syncs by itself, once."""
        from twofold.errors import IndexEmpty

        if self._project is None:
            self._project = self._open.enter_context(self._run.project())
        ask = self._by_open_arm if self._keep else _by_itself
        try:
            return ask(self._project, question, written, progress)
        except IndexEmpty:
            # Once: if it is empty after that, the error is the answer.
            self._sync(self._project, progress)
            return ask(self._project, question, written, progress)

    def _by_open_arm(
        self, project: Project, question: OwnerBody, written: Callable[[str], None] | None, progress: Progress
    ) -> Answered:
        from twofold import asking
        from twofold.metadata.conditions import conditions

        # What is left names the arm and the asker: with another of these another arm is opened.
        options = question.model_copy(update={"text": "", "history": []})
        if self._arm is None or self._arm[0] != options:
            self._close_arm()
            arm = asking.LiveArm(
                project.workspace,
                lambda: project.splits,
                directory=project.directory,
                named=(question.arm, question.model),
                seen=asking.request_filter(project.config, question.user, question.groups),
                where=conditions(question.where),
            )
            self._arm = options, arm
        progress("answer", 0, 1)
        return self._arm[1].ask(question.text, question.turns, written=written)

    def _sync(self, project: Project, progress: Progress) -> None:
        from twofold.files.reading import counted
        from twofold.indexing.feeds import partly

        note = self._run.note
        if project.config.documents.paths or project.config.sources:
            note("note: no document is indexed yet; they are synced first")
        closed = project.config.access.enabled  # progress names sources, a warning documents: not for all who ask
        report = project.sync() if closed else project.sync(progress=progress)
        for remark in () if closed else (*report["warnings"], *filter(None, [partly(report)])):
            note(f"warning: {remark}")
        if report["failed"]:
            note(f"warning: {counted(report['failed'], 'file')} could not be read; `twofold sync` names them")

    def _close_arm(self) -> None:
        if self._arm:
            self._arm[1].close()
        self._arm = None


def _by_itself(
    project: Project, question: OwnerBody, written: Callable[[str], None] | None, progress: Progress
) -> Answered:
    """The answer to a single question, which leaves nothing open and, where nothing was derived, writes nothing."""
    return project.where(*question.where).ask(
        question.text,
        arm=question.arm,
        model=question.model,
        user=question.user,
        groups=question.groups,
        history=question.turns,
        written=written,
        progress=progress,
    )
