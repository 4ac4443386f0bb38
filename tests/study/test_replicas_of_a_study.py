"""A study, and a server, whose model answers at several addresses: the same answers, and what each address did."""

from __future__ import annotations

import json
from pathlib import Path

from replica_servers import Replica, running
from twofold.project import Project
from twofold.reports.study_page import render_summary


def project(directory: Path, *replicas: Replica) -> Path:
    (directory / "data").mkdir(parents=True)
    rows = [{"id": f"e{n}", "question": f"Which code has item {n}?", "answers": [f"code {n}"]} for n in range(90)]
    (directory / "data" / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    urls = json.dumps([replica.url for replica in replicas[1:]])
    (directory / "twofold.toml").write_text(f"""
[project]
name = "codes"
[documents]
paths = []
[examples]
split_by = "question"
[generation.generator]
name = "openai"
options = {{ model = "m", base_url = "{replicas[0].url}", replicas = {urls}, backoff = 0.01 }}
[study]
arms = ["base", "prompt"]
diagnostics = []
resamples = 200
latency_sample = 2
""")
    return directory


def test_a_study_over_replicas_has_the_record_of_one_and_says_what_each_did(tmp_path: Path) -> None:
    failing = Replica(status=500)
    with running(Replica(), Replica(), failing) as replicas:
        place = project(tmp_path / "p", *replicas)
        with Project.open(place) as opened:
            record = opened.study()
        alone = {"generation": {"generator": {"options": {"replicas": []}}}}
        asked = [len(replica.names) for replica in replicas]
        with Project.open(place, alone) as opened:
            single = opened.study()
        assert [len(replica.names) for replica in replicas] == asked, "no answer is made again without the replicas"
    base = record["arms"]["base"]
    assert base["failures"] == []
    assert {row["address"] for row in base["endpoints"]} == {replica.url for replica in replicas}
    assert sum(row["answered"] for row in base["endpoints"]) >= 30
    assert next(row for row in base["endpoints"] if row["address"] == failing.url)["answered"] == 0
    for name, arm in single["arms"].items():
        assert arm["key"] == record["arms"][name]["key"]
        assert arm["metrics"] == record["arms"][name]["metrics"]
    summary = render_summary(record)
    assert f"  - base: {failing.url} answered 0 requests" in summary
    assert "requests failed; down: ordered fault" in summary
    assert 'id="endpoints"' in (place / "studies" / record["study"] / "report.html").read_text()
