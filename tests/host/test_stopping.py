"""Ctrl-C and SIGTERM on the command line, in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import PROMISED, Start, alive, until

from twofold.cli import stopping
from twofold.project import Project
from twofold.store.lock import ProjectLock

LINE = "stopped: run the same command again, and it resumes where it stopped\n"
COMMAND = """
import sys
import twofold.training.difficulty as difficulty
difficulty._CHILD = "slow_scores"
from twofold.cli.main import main
sys.exit(main())
"""
SCORES = """
import json, os, signal, sys, time
from pathlib import Path

place, here = Path(sys.argv[1]), Path(__file__).parent
if not (here / "go").exists():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
scores = place / "scores.jsonl"
rows = json.loads((place / "job.json").read_text())["job"]["rows"]
done = len(scores.read_text().splitlines()) if scores.exists() else 0
for row in rows[done:]:
    with scores.open("a") as out:
        out.write(json.dumps({"example": row["example"], "asked": 0.5, "alone": 1.0}) + "\\n")
    with (here / "scored").open("a") as out:
        out.write(row["example"] + "\\n")
    (here / "pid").write_text(str(os.getpid()))
    while not (here / "go").exists():
        time.sleep(0.02)
(place / "training.json").write_text("{}")
"""
LOCKED = """
import sys
from pathlib import Path
from twofold.host.children import running
from twofold.cli import main; from twofold.cli import session
from twofold.store.lock import ProjectLock

place = Path(sys.argv[1])

def project(self, **more):
    with ProjectLock(place / "lock"), running("stand_in", [str(place)], stdout=None, stderr=None):
        while not (place / "pid-0").exists():
            pass
        (place / "held").touch()
        work()

session.Run.project = project
sys.argv[1:] = ["check", *sys.argv[2:]]
sys.exit(main.main())
"""
WATCHED = """
import hashlib, threading, time
from concurrent.futures import ThreadPoolExecutor

def watch():  # a tenth of a second of processor time can only be spent in the native call: everything before is short
    began = time.process_time()
    while time.process_time() - began < 0.1:
        time.sleep(0.01)
    (place / "busy").touch()

def native():
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # one call that no signal handler breaks into
"""
NATIVE = (
    WATCHED
    + """
def work():
    threading.Thread(target=watch, daemon=True).start()
    native()
"""
)
WAITED_FOR = (
    WATCHED
    + """
def work():
    threading.Thread(target=watch, daemon=True).start()
    with ThreadPoolExecutor() as pool:
        pool.submit(native).result()
"""
)

LOADING = """
import sys, time
from pathlib import Path

class Slow:
    def find_spec(self, name, *rest):
        if name == "twofold.cli.commands":
            Path(sys.argv[1], "loading").touch()
            time.sleep(60)

sys.meta_path.insert(0, Slow())
from twofold.cli.main import main
sys.exit(main())
"""

ANSWERED = """
import sys, time
from pathlib import Path
from twofold.plugins import loading as plugin_loading
from twofold.cli import main; from twofold.cli import session
from twofold.types import Message; from twofold.types import Prompt

place, model, first = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def generator():
    return plugin_loading.make("generators", "local", {"model": f"path:{model}", "runtime": "openvino", "dtype": "f32"})

def answer():
    made = generator()
    made.generate([Prompt(messages=(Message(role="user", content="When does the pump start?"),), max_tokens=4)])
    made.close()

def embed():
    plugin_loading.make("embedders", "minilm", {}).embed(["When does the pump start?"])

def project(self, **more):
    for work in (embed, answer, embed) if first == "embedder" else (answer, answer):
        work()
    (place / "held").touch()
    time.sleep(60)

session.Run.project = project
sys.argv[1:] = ["check", "--json"]
sys.exit(main.main())
"""


def stopped(program: subprocess.Popen[str], number: signal.Signals) -> tuple[float, str, str]:
    """Signal the whole group, as a terminal does; seconds until the program ended, and what it wrote."""
    began = time.monotonic()
    os.killpg(program.pid, number)
    program.wait(timeout=60)
    took = time.monotonic() - began
    out, err = program.communicate(timeout=60)
    return took, out, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"])
def test_a_program_that_still_loads_its_commands_is_stopped_with_its_line(
    number: signal.Signals, code: int, place: Path, start: Start
) -> None:
    program = start(LOADING, str(place))
    until((place / "loading").exists)
    took, _, err = stopped(program, number)
    assert took < 3
    assert (program.returncode, err) == (code, "stopped: run the same command again, and it resumes where it stopped\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"])
def test_a_command_that_trains_is_stopped_and_goes_on_when_it_is_run_again(
    number: signal.Signals, code: int, place: Path, start: Start, demo_questions: Callable[[int], Path]
) -> None:
    (place / "slow_scores.py").write_text(SCORES, encoding="utf-8")
    (place / "model").mkdir()
    (place / "model" / "config.json").write_text("{}", encoding="utf-8")
    Project.create(place / "project", demo_questions(30)).close()
    model = f'generation.generator={{name="local", options={{model="path:{place / "model"}"}}}}'
    command = ["examples", "select", "--budget", "4", "--by", "difficulty", "-C", str(place / "project")]
    command += ["--set", model]
    program = start(COMMAND, *command)
    # The file is there before it is written.
    until(lambda: (place / "pid").exists() and bool((place / "pid").read_text(encoding="utf-8")))
    child = int((place / "pid").read_text(encoding="utf-8"))
    took, out, err = stopped(program, number)
    assert (program.returncode, out) == (code, "")
    assert took < PROMISED
    assert not alive(child)
    assert "Traceback" not in err
    assert err.count(LINE) == 1
    assert err.endswith(LINE)
    (place / "go").touch()
    again = start(COMMAND, *command)
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert out.startswith("4 of ")
    scored = (place / "scored").read_text(encoding="utf-8").splitlines()
    assert len(scored) == len(set(scored)) > 4


@pytest.mark.parametrize("work", [NATIVE, WAITED_FOR], ids=["native", "thread"])
@pytest.mark.parametrize(
    ("number", "code", "patience"),
    # the patience that users have is waited for in full with one of the signals
    [(signal.SIGINT, 130, stopping.PATIENCE), (signal.SIGTERM, 143, 0.2), (signal.SIGHUP, 129, 0.2)],
    ids=["int", "term", "hup"],
)
def test_a_command_in_native_code_is_stopped(
    *, work: str, number: signal.Signals, code: int, patience: float, place: Path, start: Start
) -> None:
    (place / "job.json").write_text('{"how": "deaf"}', encoding="utf-8")
    shortened = f"from twofold.cli import stopping\nstopping.PATIENCE = {patience}\n"
    program = start(shortened + work + LOCKED, str(place), "--json")
    until((place / "busy").exists)
    child = int((place / "pid-0").read_text(encoding="utf-8"))
    took, out, err = stopped(program, number)
    assert (program.returncode, err) == (code, LINE)
    assert json.loads(out)["error"]["code"] == "interrupted"
    assert patience <= took < PROMISED
    assert until(lambda: not alive(child)) + took < PROMISED
    with ProjectLock(place / "lock"):
        pass


@pytest.mark.parametrize("first", ["generator", "embedder"])
def test_a_command_that_has_answered_with_openvino_is_stopped_with_its_line(
    first: str, place: Path, start: Start, tiny: Path
) -> None:
    program = start(ANSWERED, str(place), str(tiny), first)
    until(lambda: (place / "held").exists() or program.poll() is not None)
    took, out, err = stopped(program, signal.SIGTERM)
    assert (program.returncode, err.endswith(LINE)) == (143, True), err
    assert json.loads(out)["error"]["code"] == "interrupted"
    assert took < PROMISED


def test_a_second_signal_does_not_break_into_the_end(place: Path, start: Start) -> None:
    (place / "job.json").write_text('{"how": "deaf"}', encoding="utf-8")
    program = start("import time\nwork = lambda: time.sleep(60)\n" + LOCKED, str(place))
    until((place / "held").exists)
    os.killpg(program.pid, signal.SIGINT)
    time.sleep(0.1)
    took, _, err = stopped(program, signal.SIGTERM)
    assert (program.returncode, err) == (130, LINE)
    assert took < PROMISED
    assert not alive(int((place / "pid-0").read_text(encoding="utf-8")))
