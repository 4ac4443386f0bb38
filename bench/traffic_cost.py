"""What the traffic log costs a server: answers a second and processor time with `log` off, metadata and full.

    python bench/traffic_cost.py [--rounds 7] [--answers 400]

The demo's documents, the hashing embedder and the echo generator, which answers in no time: the share that the log
takes of a real model's answer is far smaller. Three servers are up at once; in each round every server is asked the
same questions by 8 clients, another server first. Ratios are of one round; printed are their median, lowest and
highest. The last line is of the log alone, in this process: what redacting and storing an answer of the demo's length
and one of 1,850 letters take of a processor.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

DEMO = Path(__file__).resolve().parents[1] / "src" / "twofold" / "demo"
MODES = ("off", "metadata", "full")
CLIENTS = 8
SETTINGS = """
[documents]
paths = ["documents.jsonl"]
[retrieval.embedder]
name = "hashing"
[generation.generator]
name = "echo"
[serving]
arms = ["rag"]
"""


@contextmanager
def server(directory: Path, mode: str) -> Iterator[tuple[str, int]]:
    """Address and process of a server with this log."""
    directory.mkdir()
    (directory / "documents.jsonl").write_bytes((DEMO / "documents.jsonl").read_bytes())
    (directory / "twofold.toml").write_text(f'{SETTINGS}\n[traffic]\nlog = "{mode}"\n')
    command = [sys.executable, "-m", "twofold"]
    subprocess.run([*command, "sync", "-C", str(directory), "--quiet"], check=True, stdout=subprocess.DEVNULL)
    words = ["serve", "-C", str(directory), "--port", "0", "--json", "--arm", "rag", "--unmeasured"]
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], process.pid
        finally:
            process.terminate()


def processor(pid: int) -> float:
    """Processor seconds of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def asked(url: str, questions: list[str]) -> None:
    """Ask one question after the other over one connection."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    for question in questions:
        body = {"model": "rag", "messages": [{"role": "user", "content": question}]}
        connection.request(
            "POST", "/v1/chat/completions", body=json.dumps(body), headers={"content-type": "application/json"}
        )
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200, reply.status
    connection.close()


def measured(url: str, pid: int, questions: list[str]) -> tuple[float, float]:
    """Seconds and processor milliseconds of an answer."""
    begin, before = time.perf_counter(), processor(pid)
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda number: asked(url, questions[number::CLIENTS]), range(CLIENTS)))
    seconds = time.perf_counter() - begin
    # What waits to be written is part of the cost.
    time.sleep(1.0)
    return seconds / len(questions), (processor(pid) - before) / len(questions) * 1000


def alone(letters: int, *, answers: int = 2000) -> float:
    """Processor milliseconds in which an answer of so many letters is redacted and stored."""
    from twofold.serving.exchange import Exchange
    from twofold.serving.identity import Caller
    from twofold.serving.traffic_writer import TrafficWriter
    from twofold.settings.traffic import TrafficSection
    from twofold.types import Answer, Example, Message

    texts = [json.loads(line)["text"] for line in (DEMO / "documents.jsonl").read_text(encoding="utf-8").splitlines()]
    text = " ".join(texts)
    exchanges = []
    for number in range(answers):
        start = number * 97 % (len(text) - letters)
        question = Example(id="", messages=(Message(role="user", content=text[start : start + 60]),), references=())
        exchanges.append(
            Exchange(
                request=str(number),
                caller=Caller(scope="ask", filter=None, id=f"key_{number % 7}"),
                origin={"arm": "rag", "model": "", "key": "system:1", "later_index": False},
                example=question,
                answer=Answer(text=text[start : start + letters]),
            )
        )
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        writer = TrafficWriter(TrafficSection(log="full"), Path(folder))
        for exchange in exchanges:
            writer.witness(exchange)
        writer.close()
        assert writer.lost == 0
        return (time.process_time() - begin) / answers * 1000


def main() -> None:
    """Print a line for each mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--answers", type=int, default=400)
    chosen = parser.parse_args()
    lines = (DEMO / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in lines]
    results: dict[str, list[tuple[float, float]]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {mode: stack.enter_context(server(Path(folder) / mode, mode)) for mode in MODES}
        for number in range(chosen.rounds + 1):
            part = [f"{questions[n % len(questions)]} ({number})" for n in range(chosen.answers)]
            for place in range(len(MODES)):
                mode = MODES[(number + place) % len(MODES)]
                result = measured(*servers[mode], part)
                if number:  # the first round warms up
                    results[mode].append(result)
    for mode in MODES:
        seconds, cpu = zip(*results[mode], strict=True)
        print(
            f"{mode:9} {1 / statistics.median(seconds):7.1f} answers/s, {statistics.median(cpu):.2f} ms processor each"
        )
    for mode in MODES[1:]:
        for place, what in enumerate(("seconds", "processor")):
            ratios = [mine[place] / off[place] for mine, off in zip(results[mode], results["off"], strict=True)]
            print(f"{mode} / off, {what}: {statistics.median(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}]")
    for letters in (60, 1850):
        each = [alone(letters) for _ in range(chosen.rounds)]
        print(f"alone, {letters} letters: {statistics.median(each):.3f} ms [{min(each):.3f}, {max(each):.3f}]")


if __name__ == "__main__":
    main()
