"""Examples: read, checked, split, and searched for leaks. Pure but for the one read in `load_examples`.

Splitting is a claim about the future, so the policy comes back in words. Everything is drawn by hashing seed and ids:
the same examples in another order, or in other files, give the same splits.
"""

from __future__ import annotations

from twofold.dataset.checking import check
from twofold.dataset.cloze import cloze
from twofold.dataset.examples import example_digest, load_examples
from twofold.dataset.leaking import Leaks, drop_leaks, leak_error, leaks
from twofold.dataset.preparing import paraphrase_problem, paraphrases, prepared
from twofold.dataset.questions import Questions
from twofold.dataset.self_retrieval import self_questions
from twofold.dataset.splitting import Splits, split
from twofold.dataset.twins import same_documents

__all__ = [
    "Leaks",
    "Questions",
    "Splits",
    "check",
    "cloze",
    "drop_leaks",
    "example_digest",
    "leak_error",
    "leaks",
    "load_examples",
    "paraphrase_problem",
    "paraphrases",
    "prepared",
    "same_documents",
    "self_questions",
    "split",
]
