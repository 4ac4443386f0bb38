"""The search bench: what each leg and stage says, and what it keeps to itself under access control."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from small_project import write_project
from twofold.errors import AccessDenied
from twofold.project import Project
from twofold.serving.stages import staged
from twofold.types import Filter

DOCUMENTS = [
    {"id": "parking", "title": "On parking", "text": "Parking costs 4 euros a day.", "readers": ["group:staff"]},
    {"id": "board", "title": "Minutes", "text": "Parking will cost 9 euros a day.", "readers": ["group:board"]},
    {"id": "canteen", "title": "On the canteen", "text": "The canteen opens at seven.", "readers": ["everyone"]},
]
RERANKED = '\n[retrieval]\nk = 2\n[[retrieval.rerankers]]\nname = "mmr"\n'


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("stages") / "p"
    write_project(directory, DOCUMENTS, [("parking", "What does parking cost?", "4 euros")], copies=3, settings="")
    with Project.open(directory) as project:
        project.sync()
    return directory


def configured(synced: Path, tmp_path: Path, settings: str) -> Path:
    directory = Path(shutil.copytree(synced, tmp_path / "p"))
    with (directory / "twofold.toml").open("a", encoding="utf-8") as file:
        file.write(settings)
    return directory


def test_every_stage_has_its_column_and_the_last_is_what_is_shown(synced: Path, tmp_path: Path) -> None:
    from twofold.types import Query

    with Project.open(configured(synced, tmp_path, RERANKED)) as project:
        search = project.workspace.search
        table = staged(search, "What does parking cost?", None)
        assert table.stages == ("meaning", "words", "search hybrid", "rerank mmr", "shown")
        shown = search.retriever.retrieve([Query(text="What does parking cost?")], 2)[0].hits
        assert [row.chunk.id for row in table.rows[: table.shown]] == [hit.chunk.id for hit in shown]
    assert len(table.rows) == 3
    first = table.rows[0].cells
    assert first[0] is not None
    assert first[0].score is not None
    assert [step["step"] for step in table.trace] == ["search hybrid", "rerank mmr"]
    by_document = {row.chunk.span.document: row.cells for row in table.rows}
    assert by_document["canteen"][1] is None  # no word of the question stands in it


def test_what_is_found_and_not_shown_has_its_rank_too(synced: Path, tmp_path: Path) -> None:
    with Project.open(configured(synced, tmp_path, "\n[retrieval]\nk = 1\n")) as project:
        table = staged(project.workspace.search, "What does parking cost?", None)
    assert table.stages == ("meaning", "words", "search hybrid", "shown")
    assert table.shown == 1
    ranks = [[cell.rank if cell else None for cell in row.cells[2:]] for row in table.rows]
    assert ranks == [[1, 1], [2, None], [3, None]]


def test_closed_documents_leave_no_trace_and_no_score(synced: Path, tmp_path: Path) -> None:
    with Project.open(configured(synced, tmp_path, "\n[access]\nenabled = true\n")) as project:
        search = project.workspace.search
        table = staged(search, "What does parking cost?", Filter(principal=("everyone", "group:staff", "staff")))
        with pytest.raises(AccessDenied):
            staged(search, "What does parking cost?", None)
    assert {row.chunk.span.document for row in table.rows} == {"parking", "canteen"}
    assert all(cell is None or cell.score is None for row in table.rows for cell in row.cells)
    assert table.trace == ()
