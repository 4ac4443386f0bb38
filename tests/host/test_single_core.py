"""A language model answers in a process of one core or one thread, whatever the processor multiplies by.

On a processor with AMX, OpenVINO ended such processes by a signal: every worker of Ray, and every small container.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_ANSWERS = """
import os, sys
cores, threads = map(int, sys.argv[1:])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
from twofold.plugins import loading
from twofold.types import Message, Prompt
generator = loading.make("generators", "local", {"threads": threads})
prompt = Prompt(messages=(Message(role="user", content="What is soil?"),), max_tokens=8)
answered = generator.generate([prompt, prompt])
assert [answer.failure for answer in answered] == [None, None]
print(answered[0].text)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds a process to cores")
@pytest.mark.parametrize(("cores", "threads"), [(1, 0), (2, 1)])
def test_one_core_or_one_thread_is_enough(cores: int, threads: int) -> None:
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < cores:
        pytest.skip("this machine has too few cores")
    environment = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    done = subprocess.run(
        [sys.executable, "-c", _ANSWERS, str(cores), str(threads)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "oil" in done.stdout
