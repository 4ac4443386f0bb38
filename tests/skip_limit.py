"""A full run fails where more than `LIMIT` tests would be skipped on a fresh clone, which has no whole data sets."""

from __future__ import annotations

from typing import Any

import pytest

from data_sets import DATA, NO_DATA

LIMIT = 40
FAULTS = pytest.StashKey[list[str]]()
NEEDING = pytest.StashKey[int]()
"""Tests that need the whole sets, as a process that runs a part of the tests has counted them; each collects all."""


class Parts:
    """What the processes say that run the tests' parts (pytest-xdist); nothing where there is one process."""

    def pytest_testnodedown(self, node: Any) -> None:
        """Keep what a process has counted."""
        node.config.stash[NEEDING] = getattr(node, "workeroutput", {}).get("needing", 0)


def pytest_configure(config: pytest.Config) -> None:
    """Listen to the processes, where there are several."""
    if config.pluginmanager.has_plugin("dsession"):
        config.pluginmanager.register(Parts())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Count at the end of a run of all tests; a run of some proves nothing about the number."""
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["needing"] = needing_data(session.items)
        return
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS or config.option.keyword or session.shouldfail:
        return
    reports = config.pluginmanager.get_plugin("terminalreporter").stats.get("skipped", [])
    reasons = [str(report.longrepr[2]) for report in reports]
    skipped = len(reasons)
    faults = []
    if DATA.is_dir():
        skipped += config.stash[NEEDING] if NEEDING in config.stash else needing_data(session.items)
        faults += [f"skipped although the data are there: {reason}" for reason in reasons if NO_DATA in reason]
    if skipped > LIMIT:
        faults.append(f"{skipped} tests are skipped on a fresh clone, {LIMIT} may be: use the bundled set or a sample")
    config.stash[FAULTS] = faults
    if faults and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what is wrong with the skips."""
    for fault in terminalreporter.config.stash.get(FAULTS, []):
        terminalreporter.write_line(f"FAILED skips: {fault}", red=True)


def needing_data(items: list[pytest.Item]) -> int:
    """Skips without the whole sets: parametrised cases of one test are one."""
    cases = {item.nodeid.split("[")[0] for item in items if item.get_closest_marker("whole_sets")}
    return len(cases) + sum("data_root" in getattr(item, "fixturenames", ()) for item in items)
