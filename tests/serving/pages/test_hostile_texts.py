"""No text of documents, examples or labels becomes part of a page's markup, whatever page shows it."""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from serving_process import served

from small_project import write_project
from twofold.project import Project

HOSTILE = "\"'></title></textarea></script><script>document.title=1</script><img src=x onerror=alert(1)>{{1234*5678}}"
STUDY = """
[study]
arms = ["base", "rag"]
diagnostics = []
latency_sample = 0
resamples = 400
"""


def test_every_page_that_can_be_reached_escapes_what_it_shows(tmp_path: Path) -> None:
    directory = tmp_path / "p"
    documents = [
        {
            "id": f"parking{HOSTILE}",
            "title": HOSTILE,
            "text": f"Parking costs 4 euros {HOSTILE} a day.",
            "topic": HOSTILE,
        },
        {"id": "canteen", "title": "On the canteen", "text": f"The canteen opens at seven. {HOSTILE}"},
    ]
    questions = [
        (f"parking{HOSTILE}", f"What does parking cost? {HOSTILE}", f"4 euros {HOSTILE}"),
        ("canteen", "When does the canteen open?", "seven"),
    ]
    write_project(directory, documents, questions, copies=15, settings=STUDY)
    with Project.open(directory) as project:
        project.study()
    seen: dict[str, str] = {}
    with served(directory) as server, server.client(follow_redirects=True) as client:
        label = {"by": HOSTILE, "note": HOSTILE, "kind": "mark"}
        client.post("/examples/label", data=label, headers={"origin": server.url})
        client.post("/v1/feedback", json={"messages": [{"role": "user", "content": HOSTILE}], "rating": "down"})
        said = {"messages": [{"role": "user", "content": f"Why? {HOSTILE}"}], "answer": "Because."}
        client.post("/v1/feedback", json={**said, "correction": HOSTILE}).raise_for_status()
        waiting = [
            "/examples/feedback",
            "/ask",
            "/documents",
            "/documents/sources",
            "/examples",
            "/examples/labels",
            "/studies",
            "/models",
        ]
        waiting += ["/settings", "/documents/bench?query=parking", f"/documents?words={HOSTILE}"]
        waiting += [
            f"/examples?words={HOSTILE}",
            f"/studies/{HOSTILE}",
            f"/{HOSTILE}",
            f"/documents/bench?query={HOSTILE}",
        ]
        while waiting and len(seen) < 150:
            address = waiting.pop(0)
            if address in seen:
                continue
            reply = client.get(address, headers={"accept": "text/html"})
            assert reply.status_code < 500, address
            if not reply.headers.get("content-type", "").startswith("text/html"):
                continue
            seen[address] = reply.text
            for link in re.findall(r'href="([^"]*)"', reply.text):
                onward = urljoin(str(reply.url), html.unescape(link))
                parts = urlsplit(onward)
                assert parts.scheme in ("http", "https"), link
                if onward.startswith(server.url) and not parts.path.startswith("/static/"):
                    waiting.append(onward[len(server.url) :].partition("#")[0])
    for address, text in seen.items():
        for piece in ("<script>document.title", "<img src=x", "7006652"):
            assert piece not in text, (address, piece)
    # the texts were shown, and on pages of each kind
    assert "&lt;script&gt;" in seen["/examples/feedback"]
    shown = {urlsplit(address).path.split("/")[1] for address, text in seen.items() if "&lt;script&gt;" in text}
    assert {"documents", "examples", "studies"} <= shown
