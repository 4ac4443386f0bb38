"""Whatever is done to the bytes of an audit log is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from audit_logs import KEY, entry, kinds, verified, with_content, written
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.audit.chain import check_of
from twofold.audit.log import AuditLog
from twofold.audit.verifying import verify
from twofold.errors import ConfigError

COUNT = 9


@pytest.fixture(scope="module", params=[b"", KEY], ids=["unkeyed", "keyed"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    return written(tmp_path_factory.mktemp("log") / "audit", COUNT, key=request.param), request.param


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changed") / "audit"


def content(log: Path) -> bytes:
    return (log / "000001.jsonl").read_bytes()


def test_an_untouched_log_verifies(log: tuple[Path, bytes]) -> None:
    report = verify(log[0], key=log[1])
    assert report["ok"]
    assert (report["lines"], report["keyed"]) == (COUNT + 1, bool(log[1]))


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_any_bit_that_is_changed_is_found(log: tuple[Path, bytes], place: Path, at: int, bit: int) -> None:
    changed = bytearray(content(log[0]))
    changed[at % len(changed)] ^= 1 << bit
    line = content(log[0])[: at % len(changed)].count(b"\n") + 1
    try:
        report = verify(with_content(log[0], place, bytes(changed)), key=log[1])
    except ConfigError:
        # The first line says which key it is: changed there, the key is the wrong one.
        assert line == 1
    else:
        assert not report["ok"]
        assert report["faults"][0]["line"] in (line, line + 1)


@settings(max_examples=30, deadline=None)
@given(at=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_any_bit_of_the_head_that_is_changed_is_found(log: tuple[Path, bytes], place: Path, at: int, bit: int) -> None:
    head = bytearray((log[0] / "head.json").read_bytes())
    head[at % len(head)] ^= 1 << bit
    assert kinds(verify(with_content(log[0], place, content(log[0]), head=bytes(head)), key=log[1])) == ["head"]


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 10**9))
def test_a_log_cut_at_any_byte_is_found(log: tuple[Path, bytes], place: Path, size: int) -> None:
    whole = content(log[0])
    assert not verify(with_content(log[0], place, whole[: size % len(whole)]), key=log[1])["ok"]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_lines_that_are_removed_doubled_or_exchanged_are_found(
    log: tuple[Path, bytes], place: Path, data: st.DataObject
) -> None:
    lines = content(log[0]).splitlines(keepends=True)
    one, other = data.draw(st.lists(st.integers(1, COUNT), min_size=2, max_size=2, unique=True))
    how = data.draw(st.sampled_from(["removed", "doubled", "exchanged"]))
    if how == "removed":
        del lines[one]
    elif how == "doubled":
        lines.insert(other, lines[one])
    else:
        lines[one], lines[other] = lines[other], lines[one]
    found_kinds = verified(with_content(log[0], place, b"".join(lines)), key=log[1])
    expected = {"removed": {"missing", "truncated"}, "doubled": {"reordered", "missing"}, "exchanged": {"reordered"}}
    assert expected[how] & set(found_kinds)


def test_two_logs_behind_each_other_are_found(log: tuple[Path, bytes], place: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "audit", 3, key=log[1])
    joined = with_content(log[0], place, content(log[0]) + content(other), head=(other / "head.json").read_bytes())
    assert "foreign" in verified(joined, key=log[1])


def test_a_file_in_the_middle_that_is_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.audit.log.FILE_BYTES", 200)
    appending = AuditLog(tmp_path)
    for number in range(6):
        appending.append([entry(number)])
    assert len(list(tmp_path.glob("*.jsonl"))) > 3
    assert verify(tmp_path)["ok"]
    (tmp_path / "000002.jsonl").unlink()
    report = verify(tmp_path)
    assert [fault["file"] for fault in report["faults"]] == ["000002.jsonl", "000003.jsonl"]
    assert kinds(report) == ["missing", "missing"]
    (tmp_path / "000003.jsonl").write_bytes((tmp_path / "000003.jsonl").read_bytes()[:-9])
    assert "cut" in verified(tmp_path)


def test_a_tail_that_is_removed_with_its_head_is_found_by_a_head_noted_elsewhere(tmp_path: Path) -> None:
    noted = AuditLog(written(tmp_path / "audit", 4)).append([entry(5)])
    _number, _, digest = noted.partition(":")
    for anchor in (noted, digest, noted.upper()):
        assert verify(tmp_path / "audit", anchor=anchor)["ok"]
    assert kinds(verify(tmp_path / "audit", anchor=f"3:{digest}")) == ["truncated"]
    shorter = with_content(tmp_path / "audit", tmp_path / "cut", content(tmp_path / "audit"))
    lines = content(shorter).splitlines(keepends=True)[:-1]
    (shorter / "000001.jsonl").write_bytes(b"".join(lines))
    last = json.loads(lines[-1])
    # Whoever can write the folder can write a head of the log without a key.
    head = {"number": last["number"], "hash": last["hash"], "config": ""}
    head["check"] = check_of(f"{head['number']}:{head['hash']}:", b"")
    (shorter / "head.json").write_text(json.dumps(head))
    assert verify(shorter)["ok"]
    assert kinds(verify(shorter, anchor=noted)) == ["truncated"]


def test_a_head_that_is_removed_is_found_also_after_the_next_line(tmp_path: Path) -> None:
    (written(tmp_path, 3) / "head.json").unlink()
    assert verified(tmp_path) == ["head"]
    AuditLog(tmp_path).append([entry(4)])
    assert verified(tmp_path) == ["head"]


def test_lines_that_went_missing_stay_missing_after_the_next_line(tmp_path: Path) -> None:
    lines = content(written(tmp_path, 5)).splitlines(keepends=True)
    (tmp_path / "000001.jsonl").write_bytes(b"".join(lines[:3]))
    assert verified(tmp_path) == ["truncated"]
    assert AuditLog(tmp_path).append([entry(9)]).startswith("8:")
    report = verify(tmp_path)
    assert kinds(report) == ["missing"]
    assert report["faults"][0]["message"] == "lines 4 to 6 are missing before line number 7"


@pytest.mark.parametrize(
    ("begun", "used", "words"),
    [(b"", KEY, "without a key"), (KEY, b"", "with a key"), (KEY, b"other", "another key")],
)
def test_a_key_that_is_not_the_logs_is_refused(tmp_path: Path, begun: bytes, used: bytes, words: str) -> None:
    written(tmp_path, 2, key=begun)
    for act in (lambda: verify(tmp_path, key=used), lambda: AuditLog(tmp_path, key=used).append([entry(3)])):
        with pytest.raises(ConfigError, match=words):
            act()
