"""A server says that the verdict by which it answers no longer holds: where it starts, to programs and on its pages."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from serving_process import served

from small_project import write_documents
from twofold.project import Project
from twofold.serving.keys import KEYS, Keys


def page(client: httpx.Client, address: str) -> str:
    return client.get(address, headers={"accept": "text/html"}).text


def test_a_verdict_that_expires_while_the_server_runs_is_said_on_every_face(project_copy: Path) -> None:
    with served(project_copy) as server, server.client() as client:
        assert client.get("/readyz").json()["remarks"] == []
        assert client.get("/v1/models/rag").json()["validity"] == {"state": "holds", "because": []}
        assert "no longer holds" not in page(client, "/studies") + page(client, "/studies/0001-project")
        # The region can be read while it holds.
        assert "Within what the verdict holds" in page(client, "/studies/0001-project")
        report = (project_copy / "studies" / "0001-project" / "report.html").read_bytes()
        write_documents(
            project_copy,
            [
                {"id": "parking", "title": "On parking", "text": "Parking is free all week."},
                {"id": "canteen", "title": "On the canteen", "text": "The canteen is closed for good."},
            ],
        )
        with Project.open(project_copy) as project:
            project.sync()
        remarks = client.get("/readyz").json()["remarks"]
        because = "no longer holds because documents that it was measured on have changed"
        assert any(because in remark for remark in remarks)
        model = client.get("/v1/models").json()["data"][0]
        assert model["validity"] == {"state": "expired", "because": ["documents"]}
        for address in ("/studies", "/studies/0001-project", "/watch"):
            assert "The verdict no longer holds" in page(client, address)
            assert "2 documents of 2 that the study stands on changed" in page(client, address)
        assert because in page(client, "/ask")
        # The report is written once.
        assert (project_copy / "studies" / "0001-project" / "report.html").read_bytes() == report


def test_who_is_no_administrator_reads_no_number_and_no_setting(project_copy: Path) -> None:
    record = project_copy / "studies" / "0001-project" / "study.json"
    stored = json.loads(record.read_text(encoding="utf-8"))
    stored["config"]["retrieval"]["k"] = 7
    record.write_text(json.dumps(stored), encoding="utf-8")
    key = Keys(project_copy / KEYS).add("ann", scope="ask")[1]
    with served(project_copy) as server, server.client(key) as client:
        text = page(client, "/studies/0001-project")
        assert "documents are searched otherwise" in text
        assert "k 7, now 3" not in text
        assert "Within what the verdict holds" not in text
