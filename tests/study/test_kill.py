"""kill -9 at random moments, rerun: nothing lost, nothing done twice, the same record."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from forked import Nursery
from twofold.project import Project
from twofold.study import looks

CHILD = """
import json, sys
from pathlib import Path
from twofold.project import Project
with Project.open(Path(sys.argv[1]), json.loads(sys.argv[2])) as project:
    print(json.dumps(project.study()))
"""


def answers(directory: Path) -> dict[tuple[str, str], str]:
    if not (directory / ".twofold" / "catalogue.sqlite").exists():
        return {}
    with closing(sqlite3.connect(directory / ".twofold" / "catalogue.sqlite")) as connection:
        if not connection.execute("SELECT name FROM sqlite_master WHERE name = 'answers'").fetchall():
            return {}
        rows = connection.execute("SELECT system, example, record FROM answers").fetchall()
    found = {(system, example): json.loads(value)["text"] for system, example, value in rows}
    assert len(found) == len(rows)
    return found


def stored(directory: Path) -> int:
    """How many answers are stored: looked at fifty times a second, so they are not read."""
    file = directory / ".twofold" / "catalogue.sqlite"
    if not file.exists():
        return 0
    with closing(sqlite3.connect(file)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'answers'").fetchone():
            return 0
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])


def test_a_study_killed_at_random_moments_ends_as_one_that_was_not(
    tmp_path: Path, folder: Path, fast: Callable[..., dict[str, Any]], nursery: Nursery
) -> None:
    settings = fast(stall_seconds=0.02)
    settings["generation"]["batch"] = 4
    Project.create(tmp_path / "whole", folder).close()
    Project.create(tmp_path / "killed", folder).close()
    with Project.open(tmp_path / "whole", settings) as project:
        expected = json.loads(json.dumps(project.study()))
    chance, kills, held = random.Random(11), 0, 0
    total = len(answers(tmp_path / "whole"))
    for quarter in range(4):  # a random moment of each quarter of the answers, the last one too
        child = nursery.start(CHILD, str(tmp_path / "killed"), json.dumps(settings))
        moment = quarter * total // 4 + chance.randrange(1, 1 + total // 4)
        wanted, deadline = max(held + 1, moment), time.monotonic() + 60
        while child.poll() is None and time.monotonic() < deadline and stored(tmp_path / "killed") < wanted:
            time.sleep(0.02)
        if child.poll() is None:
            child.kill()
            kills += 1
        child.communicate()
        child.wait()
        now = len(answers(tmp_path / "killed"))
        assert now >= held
        held = now
    assert kills >= 2
    last = nursery.run(CHILD, str(tmp_path / "killed"), json.dumps(settings))
    assert last.returncode == 0, last.stderr
    record = json.loads(last.stdout)
    assert answers(tmp_path / "killed") == answers(tmp_path / "whole")
    del record["verdict"]["flips"], expected["verdict"]["flips"]  # they name measured latencies
    assert record["verdict"] == expected["verdict"]
    assert {n: a["metrics"] for n, a in record["arms"].items()} == {
        n: a["metrics"] for n, a in expected["arms"].items()
    }
    studies = tmp_path / "killed" / "studies"
    assert sorted(p.name for p in studies.iterdir()) == [record["study"], looks.FILE]
    assert len(looks.read(studies)) == 1, "however often it was killed, it is one look"
