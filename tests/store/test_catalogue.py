from __future__ import annotations

from pathlib import Path

from twofold.store.catalogue import Catalogue
from twofold.store.documents import KnownDocument, KnownItem
from twofold.store.shared import Place
from twofold.types import Answer, Chunk, Completion, Document, Failure, Hit, Span, Usage


def test_documents(place: Place) -> None:
    a = Document(id="a", text="Ä text", title="A", source="s", metadata={"lang": "de"})
    b = Document(id="b", text="other")
    with Catalogue(place) as catalogue:
        catalogue.sync.record([(a, KnownDocument(digest="document:1")), (b, KnownDocument(digest="document:2"))], [])
        catalogue.sync.record([(b, KnownDocument(digest="document:3"))], [])
        assert catalogue.documents.digests() == {"a": "document:1", "b": "document:3"}
        assert catalogue.documents.get() == [a, b]
        assert catalogue.documents.get(["b", "unknown", "a"]) == [b, a]
        assert catalogue.documents.get([]) == []
        catalogue.sync.record([], [], deleted=["a", "unknown"])
        assert list(catalogue.documents.digests()) == ["b"]
    with Catalogue(place) as catalogue:
        assert catalogue.documents.get() == [b]


def test_many_documents_are_found_by_id(place: Place) -> None:
    with Catalogue(place) as catalogue:
        catalogue.sync.record([(Document(id=str(i), text="t"), KnownDocument(digest="d")) for i in range(1300)], [])
        assert len(catalogue.documents.get([str(i) for i in range(1300)])) == 1300


def test_an_answer_stays_and_a_failure_is_tried_again(place: Place) -> None:
    good, later = Answer(text="yes", usage=Usage(prompt_tokens=3)), Answer(text="no")
    failed = Answer(text="", failure=Failure(code="generation.timeout", message="too slow"))
    with Catalogue(place) as catalogue:
        catalogue.answers.put("system:1", [("e1", good), ("e2", failed)])
        assert catalogue.answers.get("system:1") == {"e1": good}
        assert catalogue.answers.get("system:1", include_failures=True) == {"e1": good, "e2": failed}
        catalogue.answers.put("system:1", [("e1", failed), ("e2", later)])
        assert catalogue.answers.get("system:1") == {"e1": good, "e2": later}, "a failure never replaces an answer"
        catalogue.answers.put("system:1", [("e1", later)])
        assert catalogue.answers.get("system:1")["e1"] == good
        assert catalogue.answers.get("system:2") == {}


def test_scores_measures_systems(place: Place) -> None:
    with Catalogue(place) as catalogue:
        catalogue.scores.put("s", "f1:1", [("e1", 0.5), ("e2", None)])
        catalogue.scores.put("s", "em:1", {"e1": 1.0})
        catalogue.scores.put("s", "f1:1", [("e1", 0.75)])
        assert catalogue.scores.get("s", "f1:1") == {"e1": 0.75, "e2": None}
        assert catalogue.scores.get("s", "em:1") == {"e1": 1.0}
        assert catalogue.scores.get("t", "em:1") == {}
        catalogue.measures.put("s", "latency", {"p50": 0.25, "n": 12})
        catalogue.measures.put("s", "latency", {"p50": 0.5, "n": 12})
        assert catalogue.measures.get("s", "latency") == {"p50": 0.5, "n": 12}
        assert catalogue.measures.get("s", "tokens") is None
        catalogue.systems.put("s", {"arm": "rag"})
        catalogue.systems.put("s", {"arm": "rag", "k": 3})
        assert catalogue.systems.descriptions() == {"s": {"arm": "rag", "k": 3}}


def test_studies_are_listed_oldest_first(place: Place) -> None:
    with Catalogue(place) as catalogue:
        for number in (1, 2, 3):
            catalogue.studies.put(f"000{number}-x", {"study": number}, "test:a" if number < 3 else "test:b")
        catalogue.studies.put("0001-x", {"study": 1}, "test:a")
        assert [row["study"] for row in catalogue.studies.records()] == [1, 2, 3]


def test_documents_without_their_texts_and_who_may_read_them(place: Place) -> None:
    closed = Document(id="a", text="secret", source="wiki", readers=("board",), metadata={"lang": "de"})
    with Catalogue(place) as catalogue:
        catalogue.sync.record([(d, KnownDocument(digest="d")) for d in (closed, Document(id="b", text="open"))], [])
        described = list(catalogue.documents.without_texts())
        assert [(d.id, d.text, d.readers, d.metadata) for d in described] == [
            ("a", "", ("board",), {"lang": "de"}),
            ("b", "", None, {}),
        ]
        assert catalogue.documents.readers_of(["b", "a", "unknown"]) == {"a": ("wiki", ("board",)), "b": ("", None)}


def test_vectors_are_taken_over_from_a_document_with_chunks_only(place: Place) -> None:
    known = {"a": KnownDocument(digest="1", content="same"), "b": KnownDocument(digest="2", content="same", sealed="x")}
    with Catalogue(place) as catalogue:
        catalogue.sync.record([(Document(id=name, text="t"), row) for name, row in known.items()], [])
        assert catalogue.documents.known() == known
        assert catalogue.documents.with_contents(["same", "other"]) == {"same": "b"}


def test_a_renewed_sync_takes_every_document_for_a_new_one_and_keeps_it_until_then(place: Place) -> None:
    item = KnownItem(source="wiki", item="a", state="1", recipe="r", content="c", chunks=2)
    with Catalogue(place) as catalogue:
        catalogue.sync.record([(Document(id="a", text="t"), KnownDocument(digest="1"))], [item], notes={"vectors": "v"})
        assert (catalogue.sync.sources(), catalogue.sync.items("wiki")) == (["", "wiki"], {"a": item})
        catalogue.sync.renew()
        assert (catalogue.documents.known(), catalogue.sync.items("wiki")) == ({}, {})
        assert catalogue.notes.get("vectors") == "none"
        assert len(catalogue.documents.get()) == 1
        catalogue.sync.drop_renewed()
        assert catalogue.documents.get() == []


def test_erasing_a_document_takes_the_answers_that_show_it_and_their_scores(place: Place) -> None:
    chunk = Chunk(id="c1", span=Span(document="a", start=0, end=8), text="xyzzyplugh")
    shown = Answer(text="xyzzyplugh", hits=(Hit(chunk=chunk, score=1.0, rank=1),))
    with Catalogue(place) as catalogue:
        texts = {"a": "xyzzyplugh", "b": "water"}
        catalogue.sync.record([(Document(id=n, text=t), KnownDocument(digest=n)) for n, t in texts.items()], [])
        written = {
            name: (f"prompt:{name}", Completion(text=text)) for name, text in (("e1", "xyzzyplugh"), ("e2", "w"))
        }
        catalogue.answers.put("s", [("e1", shown), ("e2", Answer(text="water"))], written)
        catalogue.scores.put("s", "em", {"e1": 1.0, "e2": 0.0})
        assert catalogue.erasure.erase("a", chunks=["c1"]) == {"documents": 1, "answers": 1, "scores": 1}
        assert list(catalogue.answers.get("s")) == list(catalogue.scores.get("s", "em")) == ["e2"]
        assert [document.id for document in catalogue.documents.get()] == ["b"]
        assert list(catalogue.answers.completions(["prompt:e1", "prompt:e2"])) == ["prompt:e2"]
    if isinstance(place, Path):
        assert b"xyzzyplugh" not in place.read_bytes(), "what it took up is overwritten"


def test_the_first_completion_of_a_prompt_is_found_and_comes_with_a_copy(place: Place, tmp_path: Path) -> None:
    first, later = (Completion(text=text, usage=Usage(completion_tokens=3), finish="length") for text in ("one", "two"))
    with Catalogue(place) as catalogue:
        catalogue.answers.put("s1", [("e1", Answer(text="one")), ("e2", Answer(text="plain"))], {"e1": ("p:1", first)})
        catalogue.copy_to(tmp_path / "copy.sqlite")
        with Catalogue(tmp_path / "copy.sqlite") as copy:
            copy.answers.put("s2", [("e1", Answer(text="one"))], {"e1": ("p:1", later)})
            copy.answers.put("s3", [("e1", Answer(text="x"))], {"e1": ("p:2", later)})
        catalogue.take(tmp_path / "copy.sqlite")
        # More names than one statement takes; an answer without a prompt is found by none.
        many = [f"p:{number}" for number in range(1200)]
        assert catalogue.answers.completions([*many, ""]) == {"p:1": first, "p:2": later}
        assert catalogue.answers.reused("s2") == {"e1"}
        assert catalogue.answers.reused("s1") == catalogue.answers.reused("s3") == set()
        assert [catalogue.answers.reusable(key) for key in ("s1", "s2", "s4")] == [True, True, False]


def test_the_prompt_of_a_failed_answer_comes_with_the_one_that_replaces_it(place: Place) -> None:
    failed = Answer(text="", failure=Failure(code="generation.timeout", message="late"))
    with Catalogue(place) as catalogue:
        catalogue.answers.put("s", [("e", failed)])
        catalogue.answers.put("s", [("e", Answer(text="now"))], {"e": ("p:1", Completion(text="now"))})
        assert catalogue.answers.completions(["p:1"]) == {"p:1": Completion(text="now")}
        catalogue.answers.put("s", [("e", Answer(text="later"))], {"e": ("p:2", Completion(text="later"))})
        assert catalogue.answers.completions(["p:1", "p:2"]) == {"p:1": Completion(text="now")}
