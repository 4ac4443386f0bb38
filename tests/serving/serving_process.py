"""A server in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from forked import Forked

SECONDS = 120


def started(words: Sequence[str]) -> subprocess.Popen[str]:
    """The command with these words, as users start it."""
    command = [sys.executable, "-m", "twofold", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})


start: Callable[[Sequence[str]], subprocess.Popen[str] | Forked] = started
"""How the servers of this session are started: `conftest.forked_servers` puts a fork in the place of an interpreter."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that takes requests."""

    process: subprocess.Popen[str] | Forked
    ready: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    def client(self, key: str = "", **options: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        # Reading the certificates of all authorities takes longer than a request.
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=False, **options)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


@contextmanager
def served(directory: Path, *words: str) -> Iterator[Running]:
    process = start(["serve", "-C", str(directory), "--port", "0", "--json", *words])
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith('{"url"'):
            raise AssertionError("\n".join([line, *process.communicate()]))
        yield Running(process=process, ready=json.loads(line))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        process.wait()
