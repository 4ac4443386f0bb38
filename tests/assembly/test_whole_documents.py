"""The part ``whole`` of an arm: every document the asker may read is shown, and nothing is searched for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from small_project import write_documents, write_project
from twofold.assembly.whole_documents import WholeDocuments
from twofold.errors import ConfigError, StudyError
from twofold.project import Project
from twofold.study.diagnosing import Scope
from twofold.types import Document, Filter, Query

DOCUMENTS = [
    {"id": "canteen", "title": "On the canteen", "text": "The canteen opens at seven."},
    {"id": "parking", "title": "On parking", "text": "Parking costs 4 euros a day.\n\nIt is free on Sunday."},
]
ASKED = [("parking", "What does parking cost?", "4 euros"), ("canteen", "When does the canteen open?", "seven")]
STUDY = """
[retrieval]
k = 1
[study]
arms = ["base", "whole", "rag"]
diagnostics = []
latency_sample = 0
resamples = 400
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_project(tmp_path / "p", DOCUMENTS, ASKED, copies=15, settings=STUDY)


def test_all_documents_are_shown_whole_and_can_be_cited(small: Path) -> None:
    with Project.open(small) as project:
        project.sync()
        answer, _ = project.ask("What does parking cost?", arm="whole")
        prompt = (
            project.workspace.arms.system(project.config.arm("whole"), project.splits)[0]
            .prepare([project.splits.test[0]])[0]
            .prompt
        )
        record = project.study()
        warnings = project.plan().warnings
        with pytest.raises(StudyError, match="the arm whole searches for nothing"):
            project.diagnosis.run(Scope(arms=("whole",)))
    assert [hit.chunk.text for hit in answer.hits] == [str(document["text"]) for document in DOCUMENTS], "k is 1"
    assert "Parking costs 4 euros" in answer.text
    [citation] = answer.citations
    assert citation.span.document == "parking"
    assert prompt is not None
    assert re.findall(r"^\[\d\] .*", prompt.messages[-1].content, re.MULTILINE)[0].startswith("[1] The canteen")
    arms = record["arms"]
    assert len({arm["key"] for arm in arms.values()}) == 3
    assert arms["whole"]["failures"] == []
    assert arms["whole"]["prompt_tokens"] > arms["rag"]["prompt_tokens"] > arms["base"]["prompt_tokens"]
    assert record["metered"]["retrieves"] == ["rag"], "no index is kept up for whole documents"
    assert not any("fit" in warning for warning in warnings)


def test_a_changed_document_shows_in_the_next_answer(small: Path) -> None:
    with Project.open(small) as project:
        project.sync()
        before = project.ask("What does parking cost?", arm="whole")[1]
        write_documents(small, [DOCUMENTS[0], {**DOCUMENTS[1], "text": "Parking costs 9 euros a day."}])
        project.sync()
        answer, after = project.ask("What does parking cost?", arm="whole")
    assert "9 euros" in answer.text
    assert before["key"] != after["key"]


def test_only_what_the_asker_may_read_is_shown() -> None:
    documents = [
        Document(id="open", text="For all.", readers=("everyone",)),
        Document(id="closed", text="For Ann.", readers=("user:ann",)),
        Document(id="blank", text="  \n", readers=("everyone",)),
    ]
    retriever = WholeDocuments(lambda: documents)
    for principal, shown in ((("everyone",), ["open"]), (("everyone", "user:ann"), ["open", "closed"])):
        [found] = retriever.retrieve([Query(text="?", filter=Filter(principal=principal))], 1)
        assert [hit.chunk.span.document for hit in found.hits] == shown
        assert [hit.rank for hit in found.hits] == list(range(1, len(shown) + 1))


def test_documents_that_do_not_fit_are_refused_with_counts(small: Path, tiny: Path) -> None:
    write_documents(small, [DOCUMENTS[0], {**DOCUMENTS[1], "text": "Parking costs 4 euros a day. " * 900}])
    changes = {"generation": {"generator": {"name": "local", "options": {"model": f"path:{tiny}"}}}}
    with Project.open(small, changes) as project:
        project.sync()
        with pytest.raises(
            ConfigError, match=r"the 2 documents do not fit .* [\d,]+ tokens, .* takes 2,048"
        ) as refusal:
            project.study()
        assert "Leave that arm out" in refusal.value.cure
