"""A forgotten document is in no file of the project but the user's own, whatever of it was asked, said and labelled."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from serving_process import served

from twofold.cli.main import main
from twofold.labelling.labels import LABELS, LabelledAnswer, LabelLog
from twofold.project import Project
from twofold.serving.keys import KEYS, Keys
from twofold.store.model_registry import short
from twofold.traffic.log import FILE, TrafficLog

CANARY = "quillfish"
TEXT = f"The code word of the night shift in the old harbour is {CANARY}, and it changes each spring."
CHAT = "/v1/chat/completions"


def holding(directory: Path) -> set[str]:
    """Files of a project with the canary in their bytes, or in what they hold compressed."""
    files = set()
    for path in directory.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            data += gzip.decompress(data) if data[:2] == b"\x1f\x8b" else b""
            if CANARY.encode() in data:
                files.add(str(path.relative_to(directory)))
    return files


def test_no_file_but_the_users_has_it(project_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, secret = Keys(project_copy / KEYS).add("clinic", scope="admin")
    question = "What is the code word of the night shift?"
    turns = [{"role": "user", "content": question}]
    with (
        served(project_copy, "--set", "traffic.log=full", "--unmeasured") as server,
        server.client(secret) as client,
    ):
        # Before the document is there: nothing of this row is taken.
        client.post(CHAT, json={"model": "rag", "messages": [{"role": "user", "content": "What does parking cost?"}]})
        client.post("/v1/documents", json={"id": "shift", "text": TEXT}).raise_for_status()
        reply = client.post(CHAT, json={"model": "rag", "messages": turns}).raise_for_status()
        answer = reply.json()["choices"][0]["message"]["content"]
        assert CANARY in answer
        # A turn later, about another document: what quotes it are the turns before.
        later = [*turns, {"role": "assistant", "content": TEXT}, {"role": "user", "content": "And parking?"}]
        client.post(CHAT, json={"model": "rag", "messages": later}).raise_for_status()
        hits = [{"document": "pushed:shift", "quote": TEXT}]
        said = {"messages": turns, "answer": answer, "rating": "up", "hits": hits}
        client.post("/v1/feedback", json=said).raise_for_status()
        client.post("/v1/feedback", json={**said, "answer": f"I think: {TEXT}", "hits": []}).raise_for_status()
        client.post("/v1/feedback", json={**said, "answer": "4 euros", "hits": []}).raise_for_status()
        assert server.end() == 0
    labels = LabelLog(project_copy / LABELS)
    labels.add("mark", [LabelledAnswer(arm="rag", text=TEXT)], "right", by="ann", question=question)
    labels.add("mark", [LabelledAnswer(arm="rag", text="4 euros")], "right", by="ann", question="Parking?")
    with Project.open(project_copy) as project:
        project.ask(question, arm="rag")
    (project_copy / "mined.jsonl").write_text(json.dumps({"question": question, "answers": [TEXT]}) + "\n")
    before = holding(project_copy)
    assert before >= {FILE, "serving/feedback.jsonl", LABELS, "mined.jsonl"}
    capsys.readouterr()

    assert main(["forget", "pushed:shift", "--yes", "--json", "-C", str(project_copy)]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert receipt["logs"] == {"traffic": 2, "feedback": 2, "labels": 1, "edits": 0}
    assert receipt["quoted_in"] == ["mined.jsonl:1"]
    source = f"serving/documents/{Path(receipt['source']['file']).name}"
    assert holding(project_copy) - {"mined.jsonl"} <= {source}
    with TrafficLog(project_copy / FILE, readonly=True) as log:
        rows = list(log.rows())
    assert [bool(row["question"]) for row in rows] == [True, False, False]
    assert not any("pushed:shift" in row["documents"] for row in rows)
    assert len(labels.all()) == 1


def test_tuned_models_that_saw_it_are_named_with_the_command_that_trains_again(
    tuned: tuple[Path, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    directory, first, second = tuned
    with Project.open(directory) as project:
        registry = project.models.registry
        manifest = project.workspace.search.artifacts.manifest(registry.find(first)["key"])
        document = manifest["documents"][0]
        naming = [example.id for example in project.examples if document in example.sources]
    capsys.readouterr()
    assert main(["forget", document, "--yes", "-C", str(directory)]) == 0
    text = capsys.readouterr().out
    for name in (first, second):
        assert f"tuned model {short(name)}" in text
    assert "(champion): trained with it: yes" in text
    assert "`twofold tune --arm ft+rag`" in text
    assert naming[0] in text
