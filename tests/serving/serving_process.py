"""A server in a process of its own, as users start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that takes requests."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    def client(self, key: str = "", **options: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **options)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


@contextmanager
def served(directory: Path, *words: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "twofold", "serve", "-C", str(directory), "--port", "0", "--json", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith('{"url"'):
            raise AssertionError("\n".join([line, *process.communicate(timeout=SECONDS)]))
        yield Running(process=process, ready=json.loads(line))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=SECONDS)
