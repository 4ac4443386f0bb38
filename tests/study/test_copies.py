"""The same document under two ids: an answer that cites the one is not blamed because the example names the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twofold.project import Project
from twofold.reports.archive import read_answers

COPY = "a copy of "
"""Sorts before the original, so that it stands for both."""


def test_a_passage_of_a_copy_is_gold_and_citing_it_is_right(
    tmp_path: Path, demo_questions: Callable[[int], Path], fast: Callable[..., dict[str, Any]]
) -> None:
    source = demo_questions(40)
    file = source / "documents.jsonl"
    documents = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    copies = [{**document, "id": COPY + document["id"]} for document in documents]
    file.write_text("".join(json.dumps(one) + "\n" for one in (*documents, *copies)), encoding="utf-8")
    Project.create(tmp_path / "project", source).close()
    settings = fast(mode="quote")
    settings["study"] |= {"arms": ["base", "rag"], "diagnostics": [], "must_cite": True}
    settings["study"] |= {"metrics": ["citation_precision"]}
    with Project.open(tmp_path / "project", settings) as project:
        record = project.study()
        named = {e.id: e.sources for e in project.splits.test}
        rows = read_answers(project.records / record["study"])
    hits = [(row, hit) for row in rows for hit in row["arms"]["rag"]["hits"]]
    assert any(hit["document"].startswith(COPY) for _, hit in hits), "one of two equal passages is shown"
    for row, hit in hits:
        assert hit["gold"] == (hit["document"].removeprefix(COPY) in named[row["id"]])
    cited = [(row, one) for row in rows for one in row["arms"]["rag"]["citations"]]
    right = sum(one["document"].removeprefix(COPY) in named[row["id"]] for row, one in cited)
    assert record["arms"]["rag"]["metrics"]["citation_precision"]["mean"] == right / len(cited)
    assert record["retrieval"]["recall"]["mean"] > 0.8
    assert {row["id"]: tuple(row["sources"]) for row in rows} == named, "a record names no document of its own accord"
