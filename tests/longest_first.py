"""With several processes the files that take longest begin first: one that begins last keeps a single process busy."""

from __future__ import annotations

import pytest

LONGEST = (
    "corpus/test_linear_time.py",
    "generation/test_exporting.py",
    "study/test_kill.py",
    "stats/test_calibration.py",
    "host/test_fastest.py",
    "training/test_fit.py",
    "retrieval/indexes/test_congruence.py",
    "training/test_caps.py",
    "tuning/test_training_data.py",
    "answering/test_permissions.py",
    "metrics/test_changes.py",
    "generation/test_local.py",
    "training/test_methods.py",
    "training/test_ending.py",
    "retrieval/indexes/test_databases.py",
    "study/retrieval/test_embedder_tuning.py",
    "cli/test_first_use.py",
    "indexing/test_damage.py",
    "examples/test_loading_examples.py",
    "metrics/test_sets.py",
    "tuning/test_forgetting_gate.py",
    "reports/test_study_page.py",
    "curation/test_making.py",
)
"""Files under tests/ that take half a minute or more. pytest-xdist would begin with those of the most tests."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests of the longest files to the front; those of a file stay in their order."""

    def place(item: pytest.Item) -> int:
        name = item.nodeid.partition("::")[0].removeprefix("tests/")
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)
