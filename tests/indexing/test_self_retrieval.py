"""Self-retrieval questions: made of documents, kept in step with them by sync, gone with them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from small_project import write_documents, write_project
from twofold.indexing.self_retrieval import questions_of
from twofold.project import Project
from twofold.types import Chunk, Document, Span

TEXT = (
    "The canteen of the harbour opens at seven in the morning and closes at three. "
    "Cyclists lock their bicycles to the railing behind building forty two near the gate.\n"
    "Visitors register with the porter before they enter the laboratory on the ground floor."
)


def chunks_of(document: Document, size: int = 90) -> list[Chunk]:
    pieces = []
    for start in range(0, len(document.text), size):
        end = min(start + size, len(document.text))
        span = Span(document=document.id, start=start, end=end)
        pieces.append(
            Chunk(id=f"{document.id}-{start}", span=span, text=document.text[start:end], headings=("On the site",))
        )
    return pieces


@given(st.text(max_size=600), st.text(max_size=40), st.integers(20, 200))
def test_every_question_names_a_place_of_its_document(text: str, title: str, size: int) -> None:
    document = Document(id="a", text=text, title=title)
    questions = questions_of(document, chunks_of(document, size))
    for question in questions:
        assert 0 <= question.start < question.end <= len(text)
        assert question.text.strip()
    assert questions == questions_of(document, chunks_of(document, size))
    assert len({question.id for question in questions}) == len(questions) <= 4


def test_a_sentence_loses_the_word_that_gives_it_away() -> None:
    document = Document(id="a", text="In the year 1932 the bridge over the river was closed to carts and horses.")
    (question,) = questions_of(document, [whole(document)])
    assert question.text == "In the year the bridge over the river was closed to carts and horses."


def whole(document: Document) -> Chunk:
    span = Span(document=document.id, start=0, end=len(document.text))
    return Chunk(id="a", span=span, text=document.text)


def test_they_follow_their_documents(tmp_path: Path) -> None:
    first, second = (
        {"id": "a", "title": "The harbour", "text": TEXT},
        {"id": "b", "title": "A café in Köln", "text": TEXT[::-1]},
    )
    directory = write_project(tmp_path, [first, second], [("a", "When?", "seven")], copies=3, settings="")

    def questions() -> set[str]:
        with Project.open(directory) as project:
            project.sync()
            return {f"{row[1]}: {row[3]}" for row in project.catalogue.self_questions.rows(100)}

    before = questions()
    assert "a: The harbour" in before
    assert {text for text in before if text.startswith("a: ")} > {"a: The harbour"}
    write_documents(directory, [{**first, "title": "The port of today"}, second])
    after = questions()
    assert "a: The port of today" in after
    assert "a: The harbour" not in after
    assert {text for text in after if text.startswith("b: ")} == {text for text in before if text.startswith("b: ")}
    write_documents(directory, [second])
    assert not [text for text in questions() if text.startswith("a: ")]


def test_those_of_an_older_index_are_made_by_the_next_sync_and_bounded(tmp_path: Path) -> None:
    documents = [{"id": f"d{n}", "title": f"The harbour {n}", "text": f"{TEXT} Number {n}."} for n in range(5)]
    directory = write_project(tmp_path, documents, [("d0", "When?", "seven")], copies=3, settings="")
    with Project.open(directory) as project:
        project.sync()
        stored = project.catalogue.self_questions.rows(100)
        # As a catalogue of an older version was: documents, no questions, no note.
        project.catalogue.self_questions.put({document["id"]: [] for document in documents})
        project.catalogue.notes.put("self-questions", "")
        project.sync()
        assert project.catalogue.self_questions.rows(100) == stored
        project.catalogue.self_questions.bound(7)
        assert project.catalogue.self_questions.rows(100) == stored[:7]


def test_a_forgotten_document_leaves_none(tmp_path: Path) -> None:
    secret = "Quetzalcoatlus keepers feed the pterosaur behind the northern aviary every other Tuesday evening."
    documents = [{"id": "a", "title": "The harbour", "text": TEXT}, {"id": "b", "title": "Of beasts", "text": secret}]
    directory = write_project(tmp_path, documents, [("a", "When?", "seven")], copies=3, settings="")
    with Project.open(directory) as project:
        project.sync()
        write_documents(directory, documents[:1])
        project.versions.forget("b")
        assert {row[1] for row in project.catalogue.self_questions.rows(100)} == {"a"}
    left = [path for path in (directory / ".twofold").rglob("*") if path.is_file() and b"aviary" in path.read_bytes()]
    assert left == []
