"""The causes of a wrong answer: what each means, and what to do about it. Pure."""

from __future__ import annotations

CAUSES: dict[str, tuple[str, str]] = {
    "failure": (
        "no answer: something failed",
        "Read the failures listed with the arm, remove their cause, and run the study again: only they are redone.",
    ),
    "reference": (
        "scorer or reference at fault: the metric refuses the reference, or the sources contradict it",
        "Correct the example's answer, or choose a metric that accepts its form (`twofold check` tests both).",
    ),
    "should-have-abstained": (
        "the arm answered a question that has no answer in the documents",
        "Add unanswerable examples to train, raise [tuning].unanswerable, or set [retrieval].risk.",
    ),
    "unstable": (
        "right when the same question is asked again unchanged: chance",
        "Set temperature 0, or use a runtime whose arithmetic does not depend on the batch.",
    ),
    "cut": (
        "the answer was cut at the token limit before it was right",
        "Raise [generation].max_tokens.",
    ),
    "form": (
        "the right fact in the wrong form",
        "Constrain the form: [generation].schema, choices, a shorter instruction in [prompt], few-shot examples, or "
        "tuning.",
    ),
    "not-in-documents": (
        "no indexed document holds the answer",
        "Add the document to a source, or check why `twofold sync` left it out (`twofold index documents`).",
    ),
    "hidden": (
        "an indexed document holds the answer, but the arm may not see it",
        "Widen the document's readers ([access]) or [retrieval].where; or leave the question out where that is "
        "meant: for these readers it has no answer.",
    ),
    "split": (
        "the documents hold the answer, but no passage holds it whole",
        "Cut larger passages, or let them overlap: [documents.chunker].",
    ),
    "not-retrieved": (
        "the search did not find the passage that holds the answer",
        "Try the search leg that has it, raise [retrieval].k, or compare retrievers with `twofold bench retrieval`.",
    ),
    "cut-out": (
        "a leg of the search had the passage, but fusion, re-ranking or the budget left it out",
        "Raise [retrieval].k or budget, or switch off the stage named with the answer.",
    ),
    "false-abstention": (
        "the arm declined although the passage was in its context",
        "Lower [tuning].unanswerable or [retrieval].risk, or soften the abstention sentence in [prompt].",
    ),
    "ignored": (
        "the right passage was in the context and not used: with fewer passages or another order the answer is right",
        "Show fewer or better ordered passages ([retrieval].k, a reranker), or tune with passages (ft+rag).",
    ),
    "not-known": (
        "the weights do not know it: without passages wrong, with the right passage right",
        "Give the arm passages (rag, ft+rag), or more train examples about the same documents.",
    ),
    "contradicted": (
        "the weights say otherwise: right without the adapter, or the same wrong answer with and without the passage",
        "Train again with fewer epochs, cleaner or open-book examples; or use a larger model.",
    ),
    "joint": (
        "two causes at once: only two changes together make it right",
        "Mend both causes named with the answer, the first one first.",
    ),
    "unmended": (
        "no change makes it right: it is beyond the model, or the question is at fault",
        "Read these answers; tune where the arm is untuned, or try a larger model.",
    ),
    "undecided": (
        "re-runs failed, so that nothing is known of this answer",
        "Remove the cause of the failures, and run `twofold diagnose` again: what failed is asked again.",
    ),
}
"""Cause → (what it means, what to do). The order is that of the ledger and of its colours."""

REMAINDER = "unmended"
"""The cause of an answer that no change mends."""
UNDECIDED = "undecided"
"""The cause of an answer whose re-runs failed: what they would have shown is not known."""
