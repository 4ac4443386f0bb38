"""Advices are stored once, survive a kill in the middle of a line, and are compared with the verdicts after them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from twofold.advice.history import FILE, Advices, track_record
from twofold.advice.opinion import AdviceRecord, advise
from twofold.advice.questionnaire import UserAnswers
from twofold.advice.wording import lines, track_lines
from twofold.errors import StoreError


def advice(at: str, **levels: str) -> AdviceRecord:
    return advise(UserAnswers(levels=levels), at=f"{at}T00:00:00+00:00", project="p")


RAG = {"task": "questions", "change": "weekly", "documents": "many"}
CLASSIFIER = {"task": "classification", "labels": "thousands", "change": "never"}


def study(name: str, created: str, arm: str, *, arms: str = "base rag ft ft+rag", final: bool = False) -> Any:
    """The parts of a study's record that are compared."""
    return {
        "study": name,
        "created": f"{created}T00:00:00+00:00",
        "policy": {"final": final},
        "verdict": {"outcome": "choose" if arm else "undecided", "arm": arm},
        "arms": {**{key: {"diagnostic": False} for key in arms.split()}, "oracle": {"diagnostic": True}},
    }


def test_an_advice_is_stored_once_and_read_back(tmp_path: Path) -> None:
    stored = Advices(directory=tmp_path)
    assert stored.read() == ([], [])
    first = advice("2026-01-01", **RAG)
    assert stored.store(first)
    assert not stored.store(advice("2026-01-02", **RAG))  # the same answers, facts and weights: nothing new is said
    assert stored.store(advice("2026-01-03", **CLASSIFIER))
    read, damaged = stored.read()
    assert (len(read), damaged) == (2, [])
    assert read[0] == json.loads(json.dumps(first))
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_half_a_line_is_named_and_costs_no_other_advice(tmp_path: Path) -> None:
    stored = Advices(directory=tmp_path)
    stored.store(advice("2026-01-01", **RAG))
    with (tmp_path / FILE).open("ab") as stream:
        stream.write(b'{"format": 1, "id": "adv')
    assert stored.read()[1] == [2]
    assert stored.store(advice("2026-01-03", **CLASSIFIER))
    read, damaged = stored.read()
    assert (len(read), damaged) == (2, [2])
    assert "these lines of the stored advices cannot be read: 2" in track_lines(track_record(read, [], damaged=[2]))[-1]


def test_a_writer_that_is_killed_leaves_only_whole_advices_or_one_damaged_line(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        from pathlib import Path
        from twofold.advice.history import Advices
        from twofold.advice.opinion import advise
        from twofold.advice.questionnaire import QUESTIONNAIRE, UserAnswers
        stored = Advices(directory=Path({str(tmp_path)!r}))
        for inquiry in QUESTIONNAIRE * 100:
            for value in inquiry.values:
                answers = UserAnswers(levels={{inquiry.name: value}})
                stored.store(advise(answers, at="2026-01-01T00:00:00+00:00", project="p"))
    """)
    writer = subprocess.Popen([sys.executable, "-c", program])
    try:
        while not (tmp_path / FILE).exists() or not (tmp_path / FILE).read_bytes():
            assert writer.poll() is None
            time.sleep(0.01)
        time.sleep(0.05)
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    read, damaged = Advices(directory=tmp_path).read()
    assert read
    assert len(damaged) <= 1
    assert Advices(directory=tmp_path).store(advice("2026-01-03", **CLASSIFIER))


def test_an_advice_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    stored = Advices(directory=tmp_path)
    stored.store({**advice("2026-01-01", **RAG), "format": 99})
    with pytest.raises(StoreError, match="newer Twofold"):
        stored.read()


def test_advices_are_compared_with_later_studies_alone() -> None:
    advices = [advice("2026-02-01", **RAG)]
    record = track_record(
        advices,
        [
            study("0001-p", "2026-01-01", "ft"),
            study("0002-p", "2026-02-02", "rag"),
            study("0003-p", "2026-02-03", "ft", final=True),
        ],
    )
    assert [(row["study"], row["result"]) for row in record["rows"]] == [("0002-p", "hit")]
    assert (record["hit"], record["miss"], record["undecided"], record["waiting"]) == (1, 0, 0, 0)
    assert record["right"] is not None
    assert (record["right"]["low"], record["right"]["high"]) == (0.0, 1.0)  # one study tells next to nothing


def test_a_later_study_that_chose_counts_before_one_that_did_not() -> None:
    advices = [advice("2026-02-01", **RAG)]
    undecided = study("0002-p", "2026-02-03", "")
    assert track_record(advices, [undecided])["undecided"] == 1
    assert track_record(advices, [undecided])["right"] is None
    record = track_record(advices, [study("0001-p", "2026-02-02", "ft+rag"), undecided])
    assert (record["hit"], record["miss"], record["undecided"]) == (0, 1, 0)


def test_what_no_study_measures_is_neither_hit_nor_miss() -> None:
    record = track_record([advice("2026-02-01", **CLASSIFIER)], [study("0001-p", "2026-03-01", "ft")])
    (row,) = record["rows"]
    assert (row["first"], row["compared"], row["result"]) == ("classifier", "ft", "first not measured")
    assert (record["hit"], record["miss"], record["unmeasured"], record["waiting"]) == (0, 0, 1, 0)
    assert record["right"] is None
    line, counts = track_lines(record)
    assert "advised classifier (of the ways measured ft)" in line
    assert "neither hit nor miss: 0001-p did not measure classifier; it chose ft" in line
    assert "1 whose first way no later study measured" in counts


def test_a_study_that_measured_the_first_way_decides_over_one_that_did_not() -> None:
    without = study("0002-p", "2026-02-03", "ft", arms="base ft")
    record = track_record([advice("2026-02-01", **RAG)], [study("0001-p", "2026-02-02", "rag"), without])
    assert [row["result"] for row in record["rows"]] == ["hit", "first not measured"]
    assert (record["hit"], record["miss"], record["unmeasured"]) == (1, 0, 0)


@pytest.mark.parametrize("arms", ["rag", "", "oracle"])
def test_a_study_of_fewer_than_two_ways_compares_nothing(arms: str) -> None:
    record = track_record([advice("2026-02-01", **RAG)], [study("0001-p", "2026-03-01", "rag", arms=arms)])
    assert [row["result"] for row in record["rows"]] == ["not compared"]
    assert (record["waiting"], record["right"]) == (1, None)


def test_advices_that_one_study_judges_are_one_group() -> None:
    advices = [
        advice(f"2026-01-0{day}", **RAG, volume=volume) for day, volume in enumerate(("low", "medium", "high"), 1)
    ]
    one = track_record(advices, [study("0001-p", "2026-03-01", "rag")])
    assert one["hit"] == 3
    assert one["right"] is not None
    assert (one["right"]["low"], one["right"]["high"]) == (0.0, 1.0)


def test_the_advice_reads_as_an_opinion_with_its_reasons_and_what_would_turn_it() -> None:
    text = "\n".join(lines(advice("2026-01-01", **RAG, labels="thousands")))
    assert text.startswith("Start with rag: retrieval.")
    assert "This is an opinion" in text
    assert "task = questions: answers stand in documents" in text
    assert "[your answer]" in text
    assert "ruled out: classifier" in text
    assert "What would turn the ranking round:" in text
    assert "twofold study --arms rag,ft+rag --limit 200" in text


def test_nothing_known_and_nothing_left_are_told_apart() -> None:
    assert "Nothing is known yet" in advice("2026-01-01")["sentence"]
    nothing = advice("2026-01-01", attribution="required", documents="none")
    assert nothing["sentence"].startswith("No way is left")
    assert [row["about"] for row in nothing["contradictions"]] == [["attribution", "documents"]]
    assert "there are no documents to name" in "\n".join(lines(nothing))


def test_what_cannot_turn_the_ranking_and_what_is_left_out_are_said_in_full() -> None:
    stated = advice("2026-01-01", **RAG, labels="thousands")
    text = "\n".join(lines(stated))
    assert "alone would not turn the ranking round: " in text.replace("\n    ", " ")
    assert "more weight" not in text
    bound = stated["weight_flips"][0]
    text = "\n".join(lines({**stated, "weight_flips": [bound] * 10}))
    assert text.count(f"the weight of {bound['criterion']} ") == 8
    assert "\n  and 2 more weights (--json)" in text
