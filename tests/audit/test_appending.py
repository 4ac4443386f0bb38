"""The audit log goes on after kills, on full disks, and with several writers; what was acknowledged stays."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from audit_logs import entry, kinds, verified, written

from forked import Nursery
from twofold.audit.chain import entry_of
from twofold.audit.log import AuditLog
from twofold.audit.verifying import verify
from twofold.errors import DiskFull, StoreError

ENDLESS = """
import sys
from pathlib import Path
from twofold.audit.log import AuditLog
log = AuditLog(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    values = {"writer": sys.argv[2], "of": number}
    entry = {"time": "2026-12-01T00:00:00.000+00:00", "what": "answer", "who": "local", "values": values}
    print(log.append([entry, entry]), flush=True)
"""


def entries(folder: Path) -> list[dict]:
    lines = b"".join(path.read_bytes() for path in sorted(folder.glob("*.jsonl"))).splitlines()
    return [one for line in lines if (one := entry_of(line))]


def test_lines_are_for_their_owner_alone(tmp_path: Path) -> None:
    written(tmp_path / "audit", 1)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "audit").iterdir()}
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o700
    assert (modes["000001.jsonl"], modes["head.json"]) == (0o600, 0o600)


def test_a_line_is_canonical_and_names_who_and_what(tmp_path: Path) -> None:
    written(tmp_path, 1)
    line = (tmp_path / "000001.jsonl").read_bytes().splitlines()[1]
    assert list(json.loads(line)) == ["hash", "number", "time", "values", "what", "who"]
    # Also of texts that are no characters, of which JSON knows some.
    AuditLog(tmp_path).append([entry(1, name="half a pair \ud800, a line\nbreak \u2028 and ü")])
    assert verify(tmp_path)["lines"] == 3


@pytest.mark.parametrize("torn", [b'{"hash":"0123', b"\x00" * 4096, b"{"])
def test_a_torn_line_is_set_aside_and_named(tmp_path: Path, torn: bytes) -> None:
    written(tmp_path, 3)
    with (tmp_path / "000001.jsonl").open("ab") as file:
        file.write(torn)
    assert verified(tmp_path) == ["cut"]
    AuditLog(tmp_path).append([entry(3)])
    report = verify(tmp_path)
    assert report["ok"]
    assert f"{len(torn)} bytes of a torn line" in report["remarks"][0]
    aside = next(one["values"]["aside"] for one in entries(tmp_path) if one["what"] == "log.torn")
    assert (tmp_path / aside).read_bytes() == torn


def test_a_file_cut_within_a_line_that_was_whole_is_named_and_nothing_else_is_lost(tmp_path: Path) -> None:
    lines = (written(tmp_path, 6) / "000001.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "000001.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:50])
    report = verify(tmp_path)
    assert kinds(report) == ["cut", "truncated"]
    assert (report["faults"][0]["file"], report["faults"][0]["line"]) == ("000001.jsonl", 5)
    assert "copy" in report["faults"][0]["cure"]
    AuditLog(tmp_path).append([entry(9)])
    assert kinds(verify(tmp_path)) == ["missing"]
    assert (tmp_path / "000001.jsonl").read_bytes().startswith(b"".join(lines[:4]))
    assert [path.read_bytes() for path in (tmp_path / "torn").iterdir()] == [lines[4][:50]]


def test_writers_that_are_killed_again_and_again_lose_nothing_acknowledged(tmp_path: Path, nursery: Nursery) -> None:
    acknowledged: list[str] = []
    for turn in range(4):
        child = nursery.start(ENDLESS, str(tmp_path), str(turn), "100000")
        assert child.stdout is not None
        for _ in range(3 + turn):
            acknowledged.append(child.stdout.readline().strip())
        child.send_signal(signal.SIGKILL)
        acknowledged += [line for line in child.communicate()[0].splitlines() if line.count(":") == 1]
        child.wait()
        report = verify(tmp_path)
        # Cut lines are of the write that the kill ended.
        assert set(kinds(report)) <= {"cut"}
    AuditLog(tmp_path).append([entry(0)])
    assert verify(tmp_path)["ok"]
    numbered = {one["number"]: one["hash"] for one in entries(tmp_path)}
    whole = [line.partition(":") for line in acknowledged if len(line.rpartition(":")[2]) == 64]
    assert len(whole) > 12
    assert all(numbered[int(number)] == digest for number, _, digest in whole)


def test_several_processes_write_one_chain(tmp_path: Path, nursery: Nursery) -> None:
    children = [nursery.start(ENDLESS, str(tmp_path), str(number), "20") for number in range(3)]
    for child in children:
        child.communicate()
        assert child.wait() == 0
    report = verify(tmp_path)
    assert report["ok"]
    assert report["lines"] == 3 * 20 * 2 + 1
    for writer in "012":
        assert [one["values"]["of"] for one in entries(tmp_path) if one["values"].get("writer") == writer][::2] == list(
            range(20)
        )


def test_a_full_disk_leaves_no_half_of_a_line(tmp_path: Path) -> None:
    appending = AuditLog(written(tmp_path, 3))
    appending.append([entry(3)])
    size = (tmp_path / "000001.jsonl").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file that may not grow further is what a full disk is to a writer: a part of the bytes, then an error.
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))
        with pytest.raises(StoreError, match="the audit log cannot be written"):
            appending.append([entry(4)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, kept)
    assert (tmp_path / "000001.jsonl").stat().st_size == size
    assert verify(tmp_path)["ok"]
    assert appending.append([entry(5)]).startswith("6:")
    assert verify(tmp_path)["ok"]


@pytest.mark.slow
def test_a_really_full_disk(tmp_path: Path) -> None:
    """On a small file system of its own, which an ordinary user may mount in a namespace of theirs."""
    script = f"""
mount -t tmpfs -o size=256k tmpfs {tmp_path} && exec {sys.executable} - {tmp_path} <<'END'
import sys
from pathlib import Path
from twofold.audit.log import AuditLog
from twofold.audit.verifying import verify
from twofold.errors import DiskFull
folder = Path(sys.argv[1]) / "audit"
log = AuditLog(folder)
line = {{"time": "2026-12-01T00:00:00.000+00:00", "what": "a", "who": "b", "values": {{"x": "y" * 3000}}}}
try:
    while True:
        last = log.append([line])
except DiskFull as error:
    print(error.message)
assert verify(folder)["ok"], verify(folder)
print("whole", verify(folder)["head"] == last)
END"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["unshare", "-rm", "sh", "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if "Operation not permitted" in done.stderr:
        pytest.skip("no namespaces for ordinary users here")
    assert done.stdout.splitlines()[-1] == "whole True", done.stderr
    assert DiskFull.code == "store.full"


def test_a_clock_that_is_set_back_is_noted_and_numbers_rise(tmp_path: Path) -> None:
    appending = AuditLog(written(tmp_path, 1))
    appending.append([{**entry(1), "time": "2026-12-01T12:00:00.000+00:00"}])
    appending.append([{**entry(2), "time": "2026-12-01T11:00:00.000+00:00"}])
    report = verify(tmp_path)
    assert report["ok"]
    assert report["remarks"] == ["2026-12-01T11:00:00.000+00:00: the clock was set back by 3600 s"]
    assert [one["number"] for one in entries(tmp_path)] == list(range(1, report["lines"] + 1))


def test_settings_that_changed_are_noted_once(tmp_path: Path) -> None:
    for config in ("config:a", "config:a", "config:b", "config:b"):
        AuditLog(tmp_path).append([entry(1)], config=config)
    changes = [one for one in entries(tmp_path) if one["what"] == "config.changed"]
    assert [one["values"] for one in changes] == [{"before": "config:a", "after": "config:b"}]
    assert changes[0]["who"] == "key:ab12cd34"


def test_a_last_line_that_cannot_be_read_is_gone_on_from_by_the_head(tmp_path: Path) -> None:
    lines = (written(tmp_path, 3) / "000001.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "000001.jsonl").write_bytes(b"".join(lines[:-1]) + b"nonsense\n")
    AuditLog(tmp_path).append([entry(4)])
    assert verified(tmp_path) == ["altered"]
    (tmp_path / "000001.jsonl").write_bytes(b"nonsense\n")
    (tmp_path / "head.json").unlink()
    with pytest.raises(StoreError, match="its head is missing"):
        AuditLog(tmp_path).append([entry(5)])
