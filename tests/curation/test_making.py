"""Questions from documents: what is kept stands every check, what is not is counted, a killed run goes on."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import KNOWN, Scripted

from forked import Forked, Nursery
from twofold.cli.main import main
from twofold.curation import templates
from twofold.curation.questions import Recipe
from twofold.curation.templates import Drawn
from twofold.examples.loading import load_examples
from twofold.hashing import digest
from twofold.types import Chunk, Example, Message, Span


def chunk(text: str, *, document: str = "d1", start: int = 0) -> Chunk:
    span = Span(document=document, start=start, end=start + len(text))
    return Chunk(id=digest("chunk", [document, text]), span=span, text=text)


PASSAGE = "Ada Lovelace was\nan English mathematician. She worked with Babbage on the Analytical Engine in 1843."


@pytest.mark.parametrize(
    ("question", "answer", "why"),
    [
        ("What did Lovelace work on?", "the analytical engine", ""),
        ("Who was an  English?", "Ada Lovelace was", ""),
        ("What did Lovelace work on", "the Analytical Engine", "not a question"),
        ("What does the passage say of Lovelace?", "English", "speaks of a passage that is not shown"),
        ("When was it, according to this?", "1843", "speaks of a passage that is not shown"),
        ("What did Lovelace work on?", "the difference engine", "answer not in the passage"),
        ("What did Lovelace work on?", "Engin", "answer not in the passage"),
        ("Who was the English mathematician?", "English mathematician", "answer stands in the question"),
        ("What did Lovelace work on?", ". ", "no answer"),
        ("What did Lovelace work on?", "with Babbage on the Analytical Engine", "answer too long"),
        ("What is the answer to this question?", "1843", "asks about nothing"),
        ("Which colour is grass today?", "1843", "shares no word with its passage"),
    ],
)
def test_what_a_question_must_stand(question: str, answer: str, why: str) -> None:
    drawn = Drawn(question=question, answer=answer, kind="model")
    assert templates.fault_of(drawn, chunk(PASSAGE, start=40), most_words=5) == why


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("Lovelace did work on the Analytical Engine", "on the Analytical Engine"),
        ("the Analytical Engine", "the Analytical Engine"),
        ("Countess Byron sailed north in 1843.", "Countess Byron sailed north in 1843."),
        ("Lovelace did work on a loom", "Lovelace did work on a loom"),
    ],
)
def test_an_answer_that_says_the_question_again_is_cut(answer: str, told: str) -> None:
    assert templates.without_restating(answer, "What did Lovelace work on?", chunk(PASSAGE)) == told


def test_the_reference_is_what_stands_at_the_span() -> None:
    made = templates.example_of(
        Drawn(question="Who?", answer="an english", kind="model"), chunk(PASSAGE, start=40), maker="m"
    )
    span = made.spans[0]
    assert PASSAGE[span.start - 40 : span.end - 40] == "an English" == made.references[0]
    across = templates.place_of(chunk(PASSAGE), "was an English")
    assert across is not None
    assert PASSAGE[across.start : across.end] == "was\nan English"


@given(st.lists(st.sampled_from(["a", "b", "(c)", "d.", "\n", "1,5", "  "]), min_size=1, max_size=12), st.randoms())
@settings(max_examples=80, deadline=None)
def test_a_place_is_always_the_answer_again(words: list[str], chance: random.Random) -> None:
    text = " ".join(words)
    start = chance.randrange(len(text))
    answer = text[start : start + chance.randint(1, 6)]
    found = templates.place_of(chunk(text, start=7), answer)
    if found is not None:
        flat = " ".join(answer.strip(" \t\n.\"'“”").split())
        assert " ".join(text[found.start - 7 : found.end - 7].split()).casefold() == flat.casefold()


def test_an_altered_question_is_told_by_no_passage() -> None:
    chunks = [
        chunk("The Blue River pivot applies 2.5 inches of water in a week of June.", document="d1"),
        chunk("At Grand Island the Platte Valley irrigators saved 3.1 inches.", document="d2"),
        chunk("The Green River pivot applies 7.5 inches of water in a week of June. Near Green River.", document="d3"),
        chunk("Near Green River there is a town.", document="d4"),
        chunk("In the Platte Valley there is another.", document="d2"),
    ]
    asked = Example(
        id="e",
        messages=(Message(role="user", content="How much water does the Blue River pivot apply in a week of June?"),),
        references=("2.5 inches",),
        sources=("d1",),
        maker="m",
        group="d1",
    )
    made = templates.altered(asked, chunks, templates.entity_places(chunks), seed=0)
    assert made is not None
    assert not made.answerable
    assert made.parent == "e"
    assert "Platte Valley" in made.question, "Green River has a pivot that applies water in June: that is answerable"
    only = [one for one in chunks if one.span.document != "d2"]
    assert templates.altered(asked, only, templates.entity_places(only), seed=0) is None


def test_templates_make_checked_examples_that_load_back(opened: Any, tmp_path: Path) -> None:
    with opened() as project:
        made = project.curation.make(Recipe(count=30, unanswerable=0.2))
        documents = {d.id: d.text for d in project.documents}
        again = project.curation.make(Recipe(count=30, unanswerable=0.2))
        other = project.curation.make(Recipe(count=30, unanswerable=0.2, seed=1))
    assert made.examples == again.examples
    assert {e.question for e in made.examples} != {e.question for e in other.examples}
    told = [e for e in made.examples if e.answerable]
    assert (len(told), len(made.examples)) == (24, 30)
    for e in told:
        span = e.spans[0]
        assert " ".join(documents[span.document][span.start : span.end].split()) == e.references[0]
        assert (e.origin, e.maker, e.group) == ("synthetic", "templates", span.document)
    for e in made.examples:
        assert e.answerable or (not e.references and not e.sources)
    path = tmp_path / "made.jsonl"
    path.write_text("".join(json.dumps(templates.as_record(e)) + "\n" for e in made.examples), encoding="utf-8")
    back, problems = load_examples([str(path)], tmp_path)
    assert not problems
    assert [templates.as_record(e) for e in back] == [templates.as_record(e) for e in made.examples]


def test_a_model_writes_question_and_answer_apart_and_every_reason_is_counted(opened: Any) -> None:
    KNOWN.clear()
    model = Scripted()
    with opened(model) as project:
        made = project.curation.make(Recipe(count=25, by="model", unanswerable=0, rank=0))
        known = made.examples[3]
        KNOWN[known.question.removeprefix("Which words follow ").rstrip("?")] = f"It is {known.references[0]}."
        project.workspace.catalogue.systems.put("x", {})
    assert made.maker == "scripted-1"
    assert all(e.maker == "scripted-1" and e.references for e in made.examples)
    reasons = made.counts["discarded"]
    assert reasons["speaks of a passage that is not shown"]
    assert reasons["its passage does not tell"]
    assert reasons["answer not in the passage"]
    assert made.counts["made"] == len(made.examples) > 5
    fresh = Scripted()
    fresh.key = "generator:another"
    with opened(fresh) as project:
        twice = project.curation.make(Recipe(count=25, by="model", unanswerable=0, rank=0))
    assert known.question not in {e.question for e in twice.examples}
    assert twice.counts["discarded"]["answered without the passage"] == 1


def test_a_run_that_was_stopped_goes_on_and_asks_nothing_twice(opened: Any) -> None:
    KNOWN.clear()
    whole = Scripted()
    recipe = Recipe(count=25, by="model", rank=0)
    with opened(whole) as project:
        wanted = project.curation.make(recipe)
        project.workspace.catalogue.notes.put("", "")
        total = len(whole.asked)
        assert len(set(whole.asked)) == total
        rerun = project.curation.make(recipe)
        assert len(whole.asked) == total, "the same run again costs nothing"
        assert rerun.examples == wanted.examples
    first, second = Scripted(die_after=30), Scripted()
    first.key = second.key = "generator:stopped"
    with opened(first) as project, pytest.raises(KeyboardInterrupt):
        project.curation.make(recipe)
    with opened(second) as project:
        made = project.curation.make(recipe)
    assert made.examples == wanted.examples
    assert not set(first.asked) & set(second.asked)
    assert len(first.asked) + len(second.asked) == total


def test_foreign_documents_give_questions_that_the_project_cannot_answer(opened: Any, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for name in ("Erebus", "Terror", "Bird", "Discovery", "Melbourne", "Sidley"):
        (foreign / f"{name}.txt").write_text(
            f"Mount {name} is a volcano in Antarctica. The first to climb Mount {name} were explorers with sledges and "
            f"ponies, who came from Cape {name} on a whaling ship and saw the crater glow at midnight.\n",
            encoding="utf-8",
        )
    with opened() as project:
        made = project.curation.make(Recipe(count=8, unanswerable=0.5), foreign=[str(foreign)])
    outside = [e for e in made.examples if "/foreign/" in e.group]
    assert outside
    assert all(not e.answerable and not e.sources and not e.references for e in outside)


def test_rewordings_keep_meaning_answer_and_side(opened: Any) -> None:
    with opened() as project:
        train = {e.id: e for e in project.splits.train}
        made = project.curation.make(Recipe(count=2, similar=0.5), what="rewordings")
        strict = project.curation.make(Recipe(count=2, similar=0.97), what="rewordings")
    assert made.examples
    assert len(strict.examples) < len(made.examples)
    assert strict.counts["discarded"]["another meaning"]
    for e in made.examples:
        old = train[e.parent]
        assert (e.references, e.sources, e.group, e.maker) == (old.references, old.sources, old.group, "rules")
        assert templates.bare(e.question) != templates.bare(old.question)


def test_the_command_writes_what_was_kept_and_what_was_not(tmp_path: Path, source: Path, capsys: Any) -> None:
    where = str(tmp_path / "project")
    assert main(["init", where, "--from", str(source), "-q"]) == 0
    capsys.readouterr()
    fast = ["-C", where, "--set", "retrieval.embedder.name=hashing", "--set", "generation.generator.name=echo"]
    assert main(["examples", "make", "--count", "12", "--json", *fast]) == 0
    told = json.loads(capsys.readouterr().out)
    kept = Path(told["file"]).read_text(encoding="utf-8").splitlines()
    refused = Path(told["discarded_file"]).read_text(encoding="utf-8").splitlines()
    assert len(kept) == told["made"] == 12
    assert len(refused) == sum(told["discarded"].values())
    assert all(json.loads(line)["why"] for line in refused)
    assert main(["examples", "make", "--what", "poems", *fast]) == 2


def test_making_killed_at_random_moments_and_run_again_makes_the_same_files(
    tmp_path: Path, source: Path, nursery: Nursery
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for where in (whole, killed):
        assert main(["init", str(where), "--from", str(source), "-q"]) == 0
    fast = ["retrieval.embedder.name=hashing", "generation.generator.name=echo"]
    code = "import sys; from twofold.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = ["examples", "make", "--count", "12", "-q"]
    command += [part for setting in fast for part in ("--set", setting)]

    def run(where: Path) -> Forked:
        return nursery.start(code, *command, "-C", str(where))

    assert run(whole).wait() == 0  # the first waits for the imports
    shutil.rmtree(whole)
    assert main(["init", str(whole), "--from", str(source), "-q"]) == 0
    began = time.monotonic()
    assert run(whole).wait() == 0
    took, chance, ends = time.monotonic() - began, random.Random(5), []
    for share in (0.3, 0.6, 0.8, 0.95):
        program = run(killed)
        time.sleep(took * min(1.0, share + 0.1 * chance.random()))
        program.kill()
        ends.append(program.wait())
    assert -signal.SIGKILL in ends
    assert run(killed).wait() == 0
    made = {where: sorted(where.glob("data/*.jsonl")) for where in (whole, killed)}
    assert made[whole]
    assert [path.name for path in made[killed]] == [path.name for path in made[whole]]
    for one, other in zip(made[whole], made[killed], strict=True):
        rows = [json.loads(line) for line in other.read_text(encoding="utf-8").splitlines()]
        assert rows == [json.loads(line) for line in one.read_text(encoding="utf-8").splitlines()]
