"""Pages under access control: nothing of documents that the caller may not read, and no count of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_process import Running, served

from small_project import write_project
from twofold.project import Project
from twofold.serving.keys import KEYS, Keys
from twofold.study.diagnosing import Scope

SECRETS = {"ann": "zebrafish", "bob": "marmalade"}
Guarded = tuple[Running, dict[str, str]]
PAGES = {
    "ask": (
        "/documents",
        "/documents?words=plan",
        "/documents/sources",
        "/documents/search?question=code+word+of+the+plan",
        "/studies",
        "/studies/0001-project",
    ),
    "curate": ("/examples", "/examples?remarks=1", "/documents/edit"),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Iterator[Guarded]:
    documents = [
        {"id": f"{user}-plan", "title": f"Plan {word}", "text": f"The word is {word}.", "readers": [f"user:{user}"]}
        for user, word in SECRETS.items()
    ]
    directory = tmp_path_factory.mktemp("closed") / "p"
    asked = [(f"{user}-plan", "What is the word?", word) for user, word in SECRETS.items()]
    settings = """
[study]
arms = ["base", "rag"]
diagnostics = []
latency_sample = 0
resamples = 200
[access]
enabled = true
study_user = "ann"
"""
    write_project(directory, documents, asked, copies=10, settings=settings)
    with Project.open(directory) as project:
        project.study()
        project.diagnosis.run(Scope(arms=("base",)))
    keys = Keys(directory / KEYS)
    tokens = {f"{user}-{scope}": keys.add(user, user=user, scope=scope)[1] for user in SECRETS for scope in PAGES}  # type: ignore[arg-type]
    tokens["admin"] = keys.add("admin", user="ann", scope="admin")[1]
    with served(directory, "--arm", "rag", "--unmeasured") as server:
        yield server, tokens


@pytest.mark.parametrize("user", SECRETS)
def test_no_page_shows_what_is_anothers(guarded: Guarded, user: str) -> None:
    server, tokens = guarded
    own, foreign = SECRETS[user], next(word for name, word in SECRETS.items() if name != user)
    shown = ""
    for scope, addresses in PAGES.items():
        with server.client(tokens[f"{user}-{scope}"]) as client:
            for address in addresses:
                reply = client.get(address)
                assert reply.status_code == 200, address
                assert foreign not in reply.text, address
                shown += reply.text
    assert own in shown
    assert "1 document" in shown
    assert "10 examples" in shown


def test_a_closed_document_and_one_that_is_not_there_are_told_alike(guarded: Guarded) -> None:
    server, tokens = guarded
    with server.client(tokens["ann-ask"]) as client:
        closed, missing = (client.get(f"/documents/view?id={name}") for name in ("bob-plan", "nothing"))
        assert closed.status_code == missing.status_code == 404
        assert closed.text == missing.text
        bench = client.get("/documents/search?question=word").text
        assert "no scores" in bench
        assert "bob-plan" not in bench


def test_answers_of_studies_are_for_administrators(guarded: Guarded) -> None:
    server, tokens = guarded
    closed = (
        "/studies/compare",
        "/studies/0001-project/item?id=ann-plan-1",
        "/examples/label?kind=mark",
        "/examples/labels",
    )
    with server.client(tokens["ann-curate"]) as client:
        report = client.get("/studies/0001-project").text
        assert "shown to administrators alone" in report
        assert 'class="said"' not in report
        assert "study_user" not in report
        assert 'id="cost"' not in report
        assert '"cost":null' in report  # nor what its sliders would work with
        # The ledger of the diagnosis is counts alone: its re-runs quote answers, its examples have names.
        assert "add up to 100" in report
        assert 'class="more trials"' not in report
    with server.client(tokens["bob-ask"]) as client:
        report = client.get("/studies/0001-project").text
        assert "ann-plan" not in report  # nor in the ids of examples
        assert "fingerprint" not in report
    with server.client(tokens["ann-curate"]) as client:
        assert [client.get(address).status_code for address in closed] == [403] * 4
    with server.client(tokens["admin"]) as client:
        report = client.get("/studies/0001-project").text
        assert 'class="said"' in report
        assert 'id="cost"' in report
        assert 'class="more trials"' in report
        name = report.split('class="q" id="q=')[1].split('"')[0]
        closed = ("/studies/compare", f"/studies/0001-project/item?id={name}", *closed[2:])
        assert [client.get(address).status_code for address in closed] == [200] * 4


def test_who_only_asks_changes_nothing(guarded: Guarded) -> None:
    server, tokens = guarded
    with server.client(tokens["ann-ask"]) as client:
        for address in ("/examples", "/examples/edit", "/examples/label", "/examples/labels", "/documents/edit"):
            assert client.get(address).status_code == 403, address
        for address in ("/examples/edit", "/examples/label", "/examples/label/undo"):
            assert client.post(address, data={"question": "?"}).status_code == 403, address
        assert "Add a document" not in client.get("/documents").text
