"""Planted faults in data of other shapes: long pages, choices, JSON, answers that need two documents."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

import planted
from twofold.diagnosis.arm import diagnose_arm
from twofold.plugins import loading
from twofold.testing.fact_generator import FactGenerator
from twofold.types import Completion, Document, Prompt, Span


def causes(world: planted.World, directory: Path) -> Counter[str]:
    subject, reruns = planted.opened(world, directory)
    return Counter(row["cause"] for row in diagnose_arm(subject, reruns, level=0.95)["rows"])


def pages() -> planted.World:
    """Facts of a place on one page, a passage each; the place of each answer is marked."""
    world = planted.world()
    examples, documents = [], []
    for place in planted.PLACES:
        text = ""
        pieces = []
        for example, document in zip(world.examples, world.documents, strict=True):
            if example.group == place:
                span = example.spans[0]
                start = len(text)
                text += document.text + " "
                pieces.append((start, len(text)))
                marked = Span(document=place, start=start + span.start, end=start + span.end)
                examples.append(replace(example, sources=(place,), spans=(marked,)))
        documents.append(Document(id=place, text=text, title=place))
        world.pieces[place] = pieces
    world.examples, world.documents = examples, documents
    return world


def choices() -> planted.World:
    """The values of all facts are the choices."""
    world = planted.world()
    values = tuple(example.references[0] for example in world.examples)
    world.examples = [replace(example, choices=values) for example in world.examples]
    return world


def structured() -> planted.World:
    """Answers are JSON, which the documents quote."""
    world = planted.world()
    for place, example in enumerate(world.examples):
        value = example.references[0]
        answer = json.dumps({"value": value})
        document = world.documents[place]
        world.documents[place] = replace(document, text=document.text.replace(value, answer))
        world.examples[place] = replace(example, references=(answer,), spans=())
    return world


@pytest.mark.parametrize("shape", [pages, choices, structured])
def test_shuffled_references_are_seen_in_data_of_other_shapes(
    shape: Callable[[], planted.World], tmp_path: Path
) -> None:
    assert causes(shape(), tmp_path / "sound") == {}
    world = shape()
    planted.shuffled_references(world)
    assert causes(world, tmp_path / "shuffled") == {"reference": 20}


def test_of_a_long_page_that_nothing_marks_the_likeliest_passages_are_inserted(tmp_path: Path) -> None:
    world = pages()
    world.k = 1
    for place, example in enumerate(world.examples):
        # The documents say it in other words, so that no passage holds the reference word for word.
        text = example.references[0].replace(" ", ", ")
        world.examples[place] = replace(example, references=(text,), spans=())
    world.metric = loading.make("metrics", "answer_f1", {})
    assert causes(world, tmp_path / "sound") == {}
    for example in world.examples:
        text = f"What of the {example.id}: {example.id} {example.id}"
        world.documents.append(Document(id=f"flood {example.id}", text=text))
    assert causes(world, tmp_path / "flooded") == {"not-retrieved": 40}


def test_one_of_two_documents_that_an_answer_needs_is_missed(tmp_path: Path) -> None:
    world = planted.world()
    for place in planted.affected(world):
        example = world.examples[place]
        # What is indexed quotes the reference and does not answer.
        note = Document(id=f"note: {example.id}", text=f"Somebody wrote {example.references[0]} on a wall.")
        world.documents.append(note)
        world.examples[place] = replace(example, sources=(*example.sources, note.id))
    assert causes(world, tmp_path / "sound") == {}
    planted.dropped_documents(world)
    assert causes(world, tmp_path / "dropped") == {"not-in-documents": 20}


def test_a_cause_behind_the_gate_for_thin_evidence_is_joint_with_it(tmp_path: Path) -> None:
    world = planted.world()
    planted.distractors(world)
    planted.thin_evidence(world)
    subject, reruns = planted.opened(world, tmp_path)
    rows = {row["id"]: row for row in diagnose_arm(subject, reruns, level=0.95)["rows"]}
    for place, example in enumerate(world.examples):
        row = rows[example.id]
        if place % 2:
            assert row["cause"] == "false-abstention"
        elif row["cause"] == "joint":
            assert row["parts"] == ["false-abstention", "ignored"]
        else:
            assert row["cause"] == "cut-out", "the distractor took the passage's place"


def test_thin_evidence_and_a_low_limit_are_named_together(tmp_path: Path) -> None:
    world = planted.world()
    planted.thin_evidence(world)
    planted.lower_limit(world)
    subject, reruns = planted.opened(world, tmp_path)
    rows = diagnose_arm(subject, reruns, level=0.95)["rows"]
    assert {(row["cause"], *row["parts"]) for row in rows} == {("joint", "false-abstention", "cut")}


def test_a_reader_that_fails_one_prompt_in_five_hides_few_causes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the answers that only the fault makes wrong: one in five of the re-runs that would show it fails by chance."""
    complete = FactGenerator._complete

    def failing(self: FactGenerator, prompt: Prompt) -> Completion:
        text = "\n".join(message.content for message in prompt.messages)
        # The same prompt is always read alike; another one of the same question is read afresh.
        unlucky = sha256(text.encode()).digest()[0] < 256 / 5
        completion = complete(self, prompt)
        return replace(completion, text="Wrongham 7") if unlucky else completion

    monkeypatch.setattr(FactGenerator, "_complete", failing)
    sound, _ = planted.opened(planted.world(), tmp_path / "sound")
    already = {case.example.id for case in sound.wrong.values()}
    assert 4 <= len(already) <= 14
    right = total = 0
    with loading.registered("rerankers", "backwards", planted.Backwards):
        for number, (fault, (cause, plant)) in enumerate(planted.FAULTS.items()):
            if fault not in ("strange metric", "no passages"):
                world = planted.world()
                plant(world)
                hit = {world.examples[place].id for place in planted.affected(world)} - already
                subject, reruns = planted.opened(world, tmp_path / str(number))
                rows = diagnose_arm(subject, reruns, level=0.95)["rows"]
                found_causes = [row["cause"] for row in rows if row["id"] in hit]
                right += found_causes.count(cause)
                total += len(found_causes)
    assert total > 150
    assert right >= 0.93 * total, f"{right} of {total}"
