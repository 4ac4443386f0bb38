"""With several processes the files that take longest begin first: one that begins last keeps a single process busy.

``scripts/test --junitxml=RESULTS.xml`` measures, ``python tests/longest_first.py RESULTS.xml`` prints the list.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

LEAST = 9.0
"""Seconds of a file that is listed: shorter ones leave a process idle for no longer than that."""

LONGEST = (
    "generation/test_local.py",
    "retrieval/indexes/test_databases.py",
    "corpus/test_linear_time.py",
    "answering/test_permissions.py",
    "serving/test_degradation.py",
    "serving/pages/test_ask.py",
    "metrics/test_changes.py",
    "stats/test_calibration.py",
    "serving/pages/test_studies_page.py",
    "training/test_fit.py",
    "tuning/test_training_data.py",
    "retrieval/test_index.py",
    "metrics/test_answers_in_linear_time.py",
    "examples/test_loading_examples.py",
    "reports/test_study_page.py",
    "host/test_stopping.py",
    "serving/test_exchange.py",
    "indexing/test_damage.py",
    "serving/test_access_over_http.py",
    "metrics/test_sets.py",
    "generation/test_exporting.py",
    "host/test_fastest.py",
    "training/test_methods.py",
    "retrieval/indexes/test_congruence.py",
    "cli/test_first_use.py",
    "docs/test_documentation.py",
    "tuning/test_forgetting_gate.py",
    "host/test_children.py",
    "training/test_ending.py",
    "study/test_kill.py",
    "study/retrieval/test_sufficiency.py",
    "metrics/test_linear_patterns.py",
    "curation/test_making.py",
    "study/retrieval/test_embedder_tuning.py",
)
"""Files under tests/ that take `LEAST` seconds or more, the longest first.

pytest-xdist would begin with those of the most tests.
"""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests of the longest files to the front; those of a file stay in their order."""

    def place(item: pytest.Item) -> int:
        name = item.nodeid.partition("::")[0].removeprefix("tests/")
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)


def longest(results: Path) -> list[str]:
    """Files that took `LEAST` seconds or more in a run, as pytest has written it in JUnit's format."""
    seconds: Counter[str] = Counter()
    for case in ElementTree.parse(results).iter("testcase"):
        place = case.attrib["classname"].removeprefix("tests.").replace(".", "/")
        seconds[f"{place}.py"] += float(case.attrib["time"])  # type: ignore[assignment] - a counter of parts
    return [name for name, total in seconds.most_common() if total >= LEAST]


if __name__ == "__main__":
    print("\n".join(longest(Path(sys.argv[1]))))
