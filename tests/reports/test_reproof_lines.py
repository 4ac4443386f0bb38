"""The blast radius in words: counts, documents, questions; and why nothing was used again."""

from __future__ import annotations

from typing import Any

from twofold.reports.reproof_lines import reproof_lines, reproof_table


def record(**others: Any) -> Any:
    rows = [{"id": f"q{n}", "change": "worse", "documents": ["leave", "pay"]} for n in range(8)]
    rows += [{"id": "q9", "change": "better", "documents": ["leave"]}, {"id": "q10", "change": "same", "documents": []}]
    arm = {"questions": 96, "shown": 9, "generated": 9, "changes": {"better": 1, "worse": 8, "same": 87}, "rows": rows}
    return {"reproof": {"study": "0003-x", "arms": {"rag": {**arm, **others}}}}


def test_without_an_edit_nothing_is_told() -> None:
    assert reproof_lines({}) == []  # type: ignore[typeddict-item]
    assert reproof_table({}) == []  # type: ignore[typeddict-item]


def test_the_summary_names_counts_documents_and_questions() -> None:
    assert reproof_lines(record()) == [
        "documents edited since 0003-x:",
        "  rag: 96 questions searched for again, 9 shown other passages, 9 answered again; 1 better, 8 worse, 87 same",
        "    documents (questions): leave (9), pay (8)",
        "    worse: q0, q1, q2, q3, q4, q5 and 2 more",
        "    better: q9",
        "",
    ]


def test_an_adapter_trained_again_and_completions_made_anew_are_said() -> None:
    text = "\n".join(reproof_lines(record(retrained=True, anew="its bytes depend on the batch")))
    assert "rag: trained again; 96 questions" in text
    assert "all answered again: its bytes depend on the batch" in text
    assert 'dtype = "f32"' in text


def test_the_page_has_every_question_the_worst_first() -> None:
    (row,) = reproof_table(record())
    assert [question["id"] for question in row["questions"]][-2:] == ["q9", "q10"]
    assert row["documents"] == [("leave", 9), ("pay", 8)]
