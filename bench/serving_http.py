"""`twofold serve` over HTTP, with the demo's documents and the embedded model.

    python bench/serving_http.py [--rounds 3] [overhead] [throughput] [retrieve] [first] [idle] [kill] [soak]
    python bench/serving_http.py --soak 600 soak

Without names every part but the soak runs. The server is a process of its own, as users start it. Ratios are of one
run; the sides take turns, another first in each round, and questions are new to both unless the part says otherwise.

- overhead: 8 answers one after the other, and 16 at once, over the bare generator on the same rendered prompts; also in
  processor seconds of the server and its batch, over those of the bare generator;
- throughput: 16 clients that ask again as soon as they are answered, beside one question at a time by `System.answer`;
- retrieve: first byte of `/v1/retrieve` over the search in process, of new questions;
- first: first text of the stream of a question asked before, with retrieval over without;
- idle: 1,000 streams open at once and not read; meanwhile another client is answered; then all are read to their end;
- kill: a document, feedback and a key are acknowledged, kill -9, seconds until it is ready again, nothing lost;
- soak: 16 clients, a queue of 12, f32, for `--soak` seconds: no error but 429, answers equal to those without load, and
  the memory of the server and its batch from when the key-value cache is full (every question asked once) to the end.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DEMO = Path(__file__).resolve().parents[1] / "src" / "twofold" / "demo"
STREAMS, ALONE, CLOSED_LOOP, SEARCHES, REPEATED, IDLE = 16, 8, 64, 20, 24, 1000
CHAT = "/v1/chat/completions"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that takes requests."""

    process: subprocess.Popen[str]
    url: str
    model: str

    def connection(self) -> http.client.HTTPConnection:
        """A connection that stays open."""
        address = urlsplit(self.url)
        return http.client.HTTPConnection(address.hostname or "", address.port, timeout=600)

    def family(self) -> list[int]:
        """The server and its children."""
        pids = [self.process.pid]
        for children in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            pids += map(int, children.read_text().split())
        return pids

    def processor(self) -> float:
        """Processor seconds of the family (Linux)."""
        ticks = 0
        for pid in self.family():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> list[float]:
        """MiB of the server and of each child."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.family()]
        return [count * os.sysconf("SC_PAGE_SIZE") / 2**20 for count in pages]

    def chat(self, question: str, **fields: Any) -> bytes:
        """The body of one request."""
        messages = [{"role": "user", "content": question}]
        return json.dumps({"model": self.model, "messages": messages, **fields}).encode()


@contextmanager
def served(directory: Path, arm: str, *words: str) -> Iterator[Server]:
    """A server of one arm, in a process of its own."""
    command = [sys.executable, "-m", "twofold", "serve", "-C", str(directory), "--port", "0", "--json", "--unmeasured"]
    with subprocess.Popen([*command, "--arm", arm, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            yield Server(process=process, url=ready["url"], model=arm)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def posted(connection: http.client.HTTPConnection, path: str, body: bytes, key: str = "") -> tuple[int, bytes]:
    """Status and body of a reply."""
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    connection.request("POST", path, body, headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


def answered(server: Server, question: str, connection: http.client.HTTPConnection | None = None) -> str:
    """The text of an answer."""
    status, body = posted(connection or server.connection(), CHAT, server.chat(question))
    assert status == 200, body
    return str(json.loads(body)["choices"][0]["message"]["content"])


def at_once(server: Server, questions: Sequence[str]) -> None:
    """Each in a connection of its own."""
    threads = [threading.Thread(target=answered, args=(server, question)) for question in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def by_clients(server: Server, questions: Sequence[str], count: int = STREAMS) -> None:
    """So many clients, each of which asks on as soon as it is answered."""
    todo, lock = iter(questions), threading.Lock()

    def client() -> None:
        connection = server.connection()
        while True:
            with lock:
                question = next(todo, None)
            if question is None:
                return
            answered(server, question, connection)

    threads = [threading.Thread(target=client) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def seconds_of(work: Callable[[], Any]) -> float:
    """Seconds on the clock."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def overhead(number: int, sides: dict[str, Any], take: Callable[[int], list[Any]]) -> dict[str, float]:
    """Server over bare generator, in seconds and in processor seconds."""
    server, system = sides["rag"], sides["system"]
    row: dict[str, float] = {}
    for name, examples in (("1 stream", take(ALONE)), (f"{STREAMS} streams", take(STREAMS))):
        prompts = [made.prompt for made in system.prepare(examples) if made.prompt is not None]
        questions = [one.question for one in examples]

        def bare(prompts: list[Any] = prompts, name: str = name) -> None:
            if name == "1 stream":
                for prompt in prompts:
                    list(system.generator.stream(prompt))
            else:
                system.generator.generate(prompts)

        def over_http(questions: list[str] = questions, name: str = name) -> None:
            if name == "1 stream":
                connection = server.connection()
                for question in questions:
                    answered(server, question, connection)
            else:
                at_once(server, questions)

        spent: dict[str, tuple[float, float]] = {}
        works = {"bare": (bare, time.process_time), "http": (over_http, server.processor)}
        for side in ("http", "bare") if number % 2 else ("bare", "http"):
            work, clock = works[side]
            before = clock()
            seconds = seconds_of(work)
            spent[side] = seconds, clock() - before
        row[f"overhead, {name}"] = spent["http"][0] / spent["bare"][0]
        row[f"overhead, {name}, processor"] = spent["http"][1] / spent["bare"][1]
    return row


def throughput(number: int, sides: dict[str, Any], take: Callable[[int], list[Any]]) -> dict[str, float]:
    """Requests a second, of the same questions: how long an answer is decides what a batch can gain."""
    examples = take(CLOSED_LOOP)
    works: dict[str, Callable[[], Any]] = {
        "clients": lambda: by_clients(sides["rag"], [one.question for one in examples]),
        "one by one": lambda: [sides["system"].answer([one]) for one in examples],
    }
    seconds = {name: seconds_of(works[name]) for name in sorted(works, reverse=bool(number % 2))}
    return {
        "requests/s of 16 clients over one at a time": seconds["one by one"] / seconds["clients"],
        "requests/s of 16 clients": CLOSED_LOOP / seconds["clients"],
    }


def retrieve(_number: int, sides: dict[str, Any], take: Callable[[int], list[Any]]) -> dict[str, float]:
    """First byte of `/v1/retrieve` and the search in process, question by question."""
    server, system = sides["rag"], sides["system"]
    connection = server.connection()
    over_http: list[float] = []
    here: list[float] = []
    before = server.processor()
    for place, example in enumerate(take(SEARCHES)):
        body = json.dumps({"query": example.question}).encode()

        def first_byte(body: bytes = body) -> None:
            connection.request("POST", "/v1/retrieve", body, {"content-type": "application/json"})
            connection.getresponse().read()

        works = [(first_byte, over_http), (lambda example=example: system.retrieve([example]), here)]
        for work, seconds in works if place % 2 else works[::-1]:
            seconds.append(seconds_of(work))
    return {
        "retrieve, p50 over search": statistics.median(over_http) / statistics.median(here),
        "retrieve, p50 ms": statistics.median(over_http) * 1000,
        "search, p50 ms": statistics.median(here) * 1000,
        "retrieve, processor ms of the server": (server.processor() - before) / SEARCHES * 1000,
    }


def first_text(server: Server, connection: http.client.HTTPConnection, question: str) -> float:
    """Seconds to the first text of a stream."""
    started = time.perf_counter()
    body = server.chat(question, stream=True, max_tokens=16)
    connection.request("POST", CHAT, body, {"content-type": "application/json"})
    reply = connection.getresponse()
    seconds = 0.0
    for line in reply:
        if not seconds and line.startswith(b"data: {"):
            delta = json.loads(line[6:])["choices"][0]["delta"]
            seconds = time.perf_counter() - started if delta.get("content") else 0.0
    return seconds


def first(number: int, sides: dict[str, Any], _take: Callable[[int], list[Any]]) -> dict[str, float]:
    """First text of repeated questions; the least of three, as other work on the machine only adds."""
    connections = {arm: sides[arm].connection() for arm in ("rag", "base")}
    least: dict[str, list[float]] = {"rag": [], "base": []}
    # Each is asked once before it counts, so it need not be new.
    for question in sides["questions"][number * REPEATED : (number + 1) * REPEATED]:
        for arm, connection in connections.items():
            first_text(sides[arm], connection, question)
            again = [first_text(sides[arm], connection, question) for _ in range(3)]
            least[arm].append(min(again))
    rag, base = statistics.median(least["rag"]), statistics.median(least["base"])
    return {
        "first text, repeated, with retrieval over without": rag / base,
        "first text with retrieval, ms": rag * 1000,
    }


def idle(directory: Path) -> dict[str, float]:
    """Streams that are open, and not read."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4 * IDLE, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with served(directory, "rag", "--set", f"serving.queue={IDLE + 16}", "--set", "serving.seconds=900") as server:
        body = server.chat("When is barley sown?", stream=True, max_tokens=8)
        before = sum(server.memory())
        connections = [server.connection() for _ in range(IDLE)]
        for connection in connections:
            connection.request("POST", CHAT, body, {"content-type": "application/json"})
        healthy = seconds_of(lambda: answered(server, "What is a drill?"))
        held = sum(server.memory())
        ended = sum(connection.getresponse().read().endswith(b"[DONE]\n\n") for connection in connections)
        return {"streams": IDLE, "ended": ended, "MiB more": held - before, "another answer meanwhile, s": healthy}


def kill(directory: Path) -> dict[str, float]:
    """What was acknowledged before kill -9."""
    from twofold.serving.keys import KEYS, Keys
    from twofold.serving.service import FEEDBACK

    _, key = Keys(directory / KEYS).add("bench", scope="admin")
    feedback = {"messages": [{"role": "user", "content": "x"}], "answer": "y", "rating": "up"}
    document = {"id": "bench", "text": "The sauna is heated to 85 degrees."}
    with served(directory, "rag") as server:
        connection = server.connection()
        assert posted(connection, "/v1/documents", json.dumps(document).encode(), key)[0] == 201
        status, reply = posted(connection, "/v1/feedback", json.dumps(feedback).encode(), key)
        assert status == 200, reply
        server.process.kill()
    started = time.perf_counter()
    with served(directory, "rag") as server:
        seconds = time.perf_counter() - started
        body = json.dumps({"query": "sauna degrees", "k": 1}).encode()
        status, found = posted(server.connection(), "/v1/retrieve", body, key)
    kept = status == 200 and json.loads(found)["data"][0]["document"] == "pushed:bench"
    kept = kept and json.loads(reply)["id"] in (directory / FEEDBACK).read_text(encoding="utf-8")
    (directory / KEYS).unlink()
    return {"ready again, s": seconds, "all there": float(kept)}


def soak(directory: Path, questions: Sequence[str], seconds: float) -> dict[str, Any]:
    """Saturation."""
    words = ("--set", "serving.queue=12", "--set", "generation.generator.options.dtype=f32")
    with served(directory, "rag", *words) as server:
        alone = {question: answered(server, question) for question in questions[:24]}
        # The runtime touches its key-value cache bit by bit: memory is comparable only once all of it was used.
        by_clients(server, questions, count=8)
        filled = server.memory()
        counts: Counter[str] = Counter()
        end, lock = time.monotonic() + seconds, threading.Lock()

        def client(number: int) -> None:
            connection, place = server.connection(), number
            while time.monotonic() < end:
                question = list(alone)[place % len(alone)]
                place += 7
                status, body = posted(connection, CHAT, server.chat(question))
                same = status == 200 and json.loads(body)["choices"][0]["message"]["content"] == alone[question]
                with lock:
                    counts["equal" if same else "other text" if status == 200 else str(status)] += 1
                if status == 429:
                    time.sleep(0.25)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(STREAMS)]
        for thread in threads:
            thread.start()
        samples = []
        while time.monotonic() < end:
            time.sleep(min(10.0, seconds / 20))
            samples.append([round(part) for part in server.memory()])
        for thread in threads:
            thread.join()
    return {
        "replies": dict(counts),
        "MiB of the server and its batch, cache full": [round(part) for part in filled],
        "MiB on the way": samples,
        "growth": sum(samples[-1]) / sum(filled) - 1,
    }


def main() -> None:
    """Measure the parts, and print the table."""
    rounds: dict[str, Any] = {"overhead": overhead, "throughput": throughput, "retrieve": retrieve, "first": first}
    once: dict[str, Any] = {"idle": idle, "kill": kill}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join((*rounds, *once, "soak")))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", type=float, default=600, help="seconds")
    given = parser.parse_args()
    parts = given.parts or [*rounds, *once]
    if unknown := set(parts) - {*rounds, *once, "soak"}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    from twofold.project import Project

    table: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "demo"
        with Project.create(directory, DEMO) as project:
            project.sync()
            questions = list(project.examples)
            if set(parts) & set(rounds):
                table |= in_rounds(project, questions, [rounds[name] for name in rounds if name in parts], given.rounds)
            texts = [one.question for one in questions]
        for name, part in once.items():
            if name in parts:
                table[name] = part(directory)
        if "soak" in parts:
            table["soak"] = soak(directory, texts, given.soak)
    print(json.dumps(table, indent=1))


def in_rounds(project: Any, questions: list[Any], parts: Sequence[Any], count: int) -> dict[str, Any]:
    """Each part so many times: median, least and most."""

    def take(number: int) -> list[Any]:
        taken, questions[:number] = questions[:number], []
        assert len(taken) == number, "too few questions for so many rounds"
        return taken

    rows: list[dict[str, float]] = []
    system = project.open_system(arm="rag")
    with served(project.directory, "rag") as rag, served(project.directory, "base") as base:
        sides = {"system": system, "rag": rag, "base": base, "questions": [one.question for one in questions]}
        warm = take(1)
        system.answer(warm)
        for arm in ("rag", "base"):
            answered(sides[arm], warm[0].question)
        for number in range(count):
            row: dict[str, float] = {}
            for part in parts:
                row |= part(number, sides, take)
            rows.append(row)
            print(f"round {number + 1}: {row}", file=sys.stderr)
    system.close()
    table: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        table[name] = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {"rounds": count, **table}


if __name__ == "__main__":
    main()
