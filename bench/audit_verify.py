"""How long verifying an audit log takes, and how much memory; lines as a server writes them."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from twofold.audit.log import AuditLog
from twofold.audit.record import AuditEntry
from twofold.audit.verifying import verify

BATCH = 5000


def answer(number: int) -> AuditEntry:
    documents = [f"handbook/section-{(number + step) % 997:04d}.md" for step in range(5)]
    values = {
        "request": f"{number:024x}",
        "choice": 0,
        "name": "support",
        "arm": "rag",
        "model": "",
        "system": f"system:{number % 3:032x}",
        "index": "17",
        "later_index": False,
        "outcome": "answered",
        "documents": [{"id": name, "version": f"text:{number % 7919:032x}"} for name in documents],
        "passages": [f"chunk:{(number * 5 + step):032x}" for step in range(5)],
        "cited": documents[:1],
    }
    time_of_it = f"2026-12-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000+00:00"
    return {"time": time_of_it, "what": "answer", "who": f"key:{number % 50:08x}", "values": values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the lines")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    count = arguments.lines // 20 if arguments.quick else arguments.lines
    figures: dict[str, float] = {"lines": count}
    for name, key in (("unkeyed", b""), ("keyed", b"a key of thirty-two random bytes")):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "audit"
            log = AuditLog(folder, key=key)
            begun = time.perf_counter()
            for start in range(0, count, BATCH):
                log.append([answer(number) for number in range(start, min(start + BATCH, count))])
            figures[f"{name}_write_seconds"] = time.perf_counter() - begun
            figures["bytes_a_line"] = sum(path.stat().st_size for path in folder.glob("*.jsonl")) / (count + 1)
            runs = []
            for _ in range(3):
                begun, cpu = time.perf_counter(), time.process_time()
                assert verify(folder, key=key)["ok"]
                runs.append((time.perf_counter() - begun, time.process_time() - cpu))
            figures[f"{name}_verify_seconds"], figures[f"{name}_verify_cpu_seconds"] = min(runs)
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, value in figures.items():
        sys.stdout.write(f"{name}: {value:.4g}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
