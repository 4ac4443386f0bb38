"""llama.cpp's server as tests start it: a real engine that speaks the OpenAI API."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

SERVER = Path(__file__).parent / "generation" / "llama_server.py"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A server that takes requests."""

    process: subprocess.Popen[str]
    url: str

    @property
    def busy(self) -> int:
        """Requests that it computes now."""
        return sum(slot["is_processing"] for slot in httpx.get(f"{self.url}/slots", timeout=30).json())


@contextmanager
def started(model: Path, port: int = 0, *, adapter: Path | None = None) -> Iterator[Engine]:
    """The server of a GGUF file, and of a LoRA adapter on it; port 0 chooses a free one."""
    # one thread: several wait for each other in loops, which is slow beside other tests
    command = [sys.executable, str(SERVER), str(model), str(port), "2", "1", *([str(adapter)] if adapter else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield Engine(process=process, url=process.stdout.readline().strip())
        finally:
            process.kill()
