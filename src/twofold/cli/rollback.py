"""`twofold rollback`: the verdict of the study before answers again."""

from __future__ import annotations

from typing import Annotated

import typer

from twofold.cli.models import By, Why
from twofold.cli.session import Run
from twofold.cli.terminal import one_line


def rollback(
    run: Run,
    *,
    by: By = "",
    why: Why = "",
    undo: Annotated[bool, typer.Option("--undo", help="Answer with the newest study's verdict again.")] = False,
) -> None:
    """Answer with the verdict of the study before; run again to go back one more. A newer study ends it.

    Commands see it at once and running servers within seconds. A tuned model behind an alias goes back by
    `twofold models rollback`.
    """
    from twofold.reports import archive, decisive
    from twofold.store.model_registry import user

    with run.project() as project:
        records = project.records
        if undo:
            decisive.undo(records)
        else:
            decisive.roll_back(records, who=by or user(), why=why)
        project.sharing.share()
        study = decisive.decisive(records)
        verdict = archive.read_record(records / study)["verdict"]
    arm = (
        f"the arm {verdict['arm']}" if verdict["arm"] else f"an arm by default, as its verdict is {verdict['outcome']}"
    )
    reason = f" (reason: {one_line(why)})" if why and not undo else ""
    run.result(
        {"study": study, "arm": verdict["arm"], "rolled_back": not undo},
        f"study {study} decides what answers: {arm}{reason}",
    )
