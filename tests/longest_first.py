"""With several processes the files that take longest begin first: one that begins last keeps a single process busy."""

from __future__ import annotations

import pytest

LONGEST = (
    "generation/test_exporting.py",
    "answering/test_permissions.py",
    "retrieval/indexes/test_databases.py",
    "metrics/test_changes.py",
    "stats/test_calibration.py",
    "training/test_fit.py",
    "generation/test_local.py",
    "study/test_kill.py",
    "host/test_fastest.py",
    "corpus/test_linear_time.py",
    "training/test_caps.py",
    "tuning/test_training_data.py",
    "training/test_methods.py",
    "training/test_ending.py",
    "metrics/test_sets.py",
    "metrics/test_answers_in_linear_time.py",
    "indexing/test_damage.py",
    "retrieval/test_index.py",
    "retrieval/indexes/test_congruence.py",
    "study/retrieval/test_embedder_tuning.py",
    "cli/test_first_use.py",
    "examples/test_loading_examples.py",
    "tuning/test_forgetting_gate.py",
    "reports/test_study_page.py",
    "curation/test_making.py",
)
"""Files under tests/ that take 15 processor seconds or more, the longest first.

pytest-xdist would begin with those of the most tests.
"""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests of the longest files to the front; those of a file stay in their order."""

    def place(item: pytest.Item) -> int:
        name = item.nodeid.partition("::")[0].removeprefix("tests/")
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)
