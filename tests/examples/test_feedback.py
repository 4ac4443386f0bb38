"""Feedback → examples and preferences: corrections win, votes count, nobody's name is kept."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.cli.main import main
from twofold.curation.templates import as_record
from twofold.errors import BadRecord, TooFewExamples, UnreadableFile
from twofold.examples.feedback import Interaction, interactions, mined, preference_record, preferences
from twofold.examples.feedback_logs import mine
from twofold.examples.loading import load_examples


def log(*rows: dict[str, Any]) -> list[Interaction]:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    found = list(interactions(text, name="log.jsonl"))
    assert not [one for one in found if isinstance(one, BadRecord)]
    return [one for one in found if isinstance(one, Interaction)]


def test_a_correction_is_an_example_and_beside_the_answer_a_preference() -> None:
    hit = {"document": "d", "start": 5, "end": 40, "text": "The office opens at nine on weekdays."}
    made = mined(
        log({"id": "1", "question": "When?", "answer": "At ten.", "correction": "at nine", "hits": [hit, "e"]})
    )
    example, preference = made.examples[0], made.preferences[0]
    assert (example.references, example.origin, example.sources) == (("at nine",), "log", ("d",))
    assert (preference.chosen, preference.rejected) == ("at nine", "At ten.")
    assert preference.hits[0].chunk.text == hit["text"]
    back = preferences(json.dumps(preference_record(preference)) + "\n", name="p.jsonl")
    assert back == [preference]


def test_a_disliked_answer_is_paired_with_a_liked_one_to_the_same_question() -> None:
    made = mined(
        log(
            {"question": "When does it open?", "answer": "At ten.", "rating": "down"},
            {"question": "when does it open", "answer": "At nine.", "rating": 1},
            {"question": "Where?", "answer": "Here.", "rating": -1},
            {"question": "Why?", "answer": "So."},
        )
    )
    assert [(p.chosen, p.rejected) for p in made.preferences] == [("At nine.", "At ten.")]
    assert [e.references for e in made.examples] == [("At nine.",)]
    assert made.counts["discarded"] == {
        "rated down, and no better answer is known": 1,
        "nobody said whether it was right": 1,
    }


def test_people_who_disagree_and_corrections_that_were_corrected() -> None:
    made = mined(
        log(
            {"question": "a?", "answer": "x", "rating": "up"},
            {"question": "a?", "answer": "x", "rating": "down"},
            {"question": "b?", "answer": "x", "correction": "y"},
            {"question": "b?", "answer": "y", "correction": "z"},
        )
    )
    assert [(e.question, e.references) for e in made.examples] == [("b?", ("z",))]
    assert {(p.chosen, p.rejected) for p in made.preferences} == {("z", "x"), ("z", "y")}
    assert made.counts["discarded"]["people disagree"] == 1
    assert made.counts["discarded"]["corrected otherwise later"] == 1


def test_a_right_abstention_is_an_unanswerable_example() -> None:
    made = mined(log({"question": "a?", "answer": "At nine.", "correction": "The documents do not say."}),
                 abstention="The documents do not say.")  # fmt: skip
    assert not made.examples[0].answerable
    assert not made.examples[0].references
    assert made.preferences[0].chosen == "The documents do not say."


ratings = st.sampled_from(["up", "down", None, 1, -1])
rows = st.fixed_dictionaries(
    {
        "question": st.sampled_from(["a?", "A", "b?", "c? d"]),
        "answer": st.sampled_from(["x", "X.", "y", ""]),
        "rating": ratings,
        "correction": st.sampled_from(["", "x", "z", "w"]),
    }
)


@given(st.lists(rows, max_size=12))
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_and_no_preference_prefers_an_answer_to_itself(given_rows: list[dict[str, Any]]) -> None:
    made = mined(log(*given_rows))
    assert all(as_record(e)["answers"] for e in made.examples)
    assert len({e.question.strip("? ").casefold() for e in made.examples}) == len(made.examples), "one a question"
    for p in made.preferences:
        assert p.chosen.strip(".").casefold() != p.rejected.strip(".").casefold()
        assert p.rejected
    questions = {row["question"].strip("? ").casefold() for row in given_rows}
    told = {e.question.strip("? ").casefold() for e in made.examples}
    told |= {str(one["question"]).strip("? ").casefold() for one in made.discarded}
    assert questions == told


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": "a?", "answer": "x", "rating": 4}, "up or down"),
        ({"answer": "x", "rating": "up"}, "no question"),
        ({"question": "a?", "answer": ["x"]}, "must be a string"),
        ({"question": "a?", "answer": "x", "hits": [{"start": 1}]}, "document"),
        ({"question": "a?", "answer": "x", "at": "yesterday"}, "ISO"),
        ({"messages": [{"role": "assistant", "content": "x"}], "answer": "x"}, "user's"),
    ],
)
def test_bad_lines_say_where(row: dict[str, Any], words: str) -> None:
    fault = next(interactions("\n" + json.dumps(row) + "\n", name="log.jsonl"))
    assert isinstance(fault, BadRecord)
    assert words in fault.message
    assert fault.line == 2


def test_logs_on_disk_with_a_torn_line_and_personal_data(tmp_path: Path) -> None:
    good = {"question": "Mail me at jane@example.org?", "answer": "No.", "correction": "Call 402-555-0134."}
    with gzip.open(tmp_path / "a.jsonl.gz", "wt", encoding="utf-8") as out:
        out.write(json.dumps(good) + "\n" + '{"question": "torn')
    made = mine(["*.jsonl.gz"], tmp_path)
    text = json.dumps([as_record(e) for e in made.examples] + [preference_record(p) for p in made.preferences])
    assert "jane" not in text
    assert "0134" not in text
    assert made.counts["masked"] >= 2
    assert "malformed" in str(made.discarded[0]["why"])
    assert "jane" in json.dumps([as_record(e) for e in mine(["*.jsonl.gz"], tmp_path, mask=False).examples])
    (tmp_path / "b.jsonl").write_text('{"question": "a?", "answer": "x"}\n')
    with pytest.raises(TooFewExamples, match="nobody said"):
        mine(["b.jsonl"], tmp_path)


def test_the_command_writes_examples_that_load(
    tmp_path: Path, demo_questions: Callable[[int], Path], capsys: Any
) -> None:
    source = demo_questions(120)
    where = tmp_path / "project"
    assert main(["init", str(where), "--from", str(source), "-q"]) == 0
    (where / "log.jsonl").write_text(json.dumps({"question": "a?", "answer": "x", "correction": "y"}) + "\n")
    capsys.readouterr()
    assert main(["examples", "mine", "log.jsonl", "-C", str(where), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["examples"], told["preferences"]) == (1, 1)
    assert load_examples(["mined.jsonl"], where)[0][0].references == ("y",)


@pytest.mark.parametrize("name", ["feedbak.jsonl", "feedbak*.jsonl"])
def test_a_log_that_is_not_there_is_no_fault_of_the_configuration(tmp_path: Path, name: str) -> None:
    (tmp_path / "feedback.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(UnreadableFile, match=r"no (such )?file") as caught:
        mine([name], tmp_path)
    assert str(caught.value).startswith(f"{name}: ")
    assert "did you mean 'feedback.jsonl'? Correct the path" in caught.value.cure
    assert "twofold.toml" not in caught.value.cure
