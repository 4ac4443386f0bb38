"""API keys: made, checked, expired, revoked, rotated, by a file that other processes change."""

from __future__ import annotations

import json
import math
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from twofold.cli.main import main
from twofold.errors import AccessDenied, BadKey, ConfigError, StoreError, UnknownName
from twofold.serving.keys import KEYS, SCOPES, Keys

START = datetime(2031, 4, 2, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path, clock: Clock) -> Keys:
    return Keys(tmp_path / "serving" / "keys.json", now=clock)


def test_no_key_is_needed_until_there_is_one(keys: Keys) -> None:
    assert not keys.required
    key, _ = keys.add("first")
    keys.revoke(key.id)
    assert keys.required, "revoking the last key must not open the server"
    assert keys.usable() == []


def test_only_a_digest_is_stored_and_only_its_owner_reads_it(keys: Keys) -> None:
    key, token = keys.add("first")
    stored = Path(str(keys.place)).read_text(encoding="utf-8")
    assert token.split("-", 2)[2] not in stored
    assert key.digest in stored
    assert Path(str(keys.place)).stat().st_mode & 0o777 == 0o600
    assert keys.check(token) == key


def test_another_process_sees_a_change_at_once(keys: Keys) -> None:
    key, token = keys.add("first")
    server = Keys(Path(str(keys.place)))
    assert server.check(token).name == "first"
    changed, fresh = keys.rotate(key.id)
    assert server.check(fresh).id == changed.id == key.id
    with pytest.raises(BadKey):
        server.check(token)
    keys.revoke(key.id)
    with pytest.raises(BadKey):
        server.check(fresh)
    with pytest.raises(UnknownName):
        keys.rotate(key.id)


def test_a_key_expires(keys: Keys, clock: Clock) -> None:
    _, token = keys.add("first", days=2)
    clock.now = START + timedelta(days=2, seconds=-1)
    keys.check(token)
    clock.now = START + timedelta(days=2)
    with pytest.raises(BadKey):
        keys.check(token)


@pytest.mark.parametrize("change", [lambda t: "", lambda t: "tf", lambda t: t[:-1], lambda t: t + "x", lambda t: "é"])
def test_a_refusal_does_not_say_what_is_wrong(keys: Keys, change) -> None:
    _, token = keys.add("first")
    with pytest.raises(BadKey, match="the API key is unknown, expired or revoked"):
        keys.check(change(token))


def test_a_scope_contains_those_before_it(keys: Keys) -> None:
    covered = [[keys.add(one, scope=one)[0].covers(other) for other in SCOPES] for one in SCOPES]
    assert covered == [[True, False, False], [True, True, False], [True, True, True]]


def test_what_cannot_be_a_key_is_refused(keys: Keys) -> None:
    with pytest.raises(ConfigError):
        keys.add(" ")
    with pytest.raises(ConfigError):
        keys.add("a\nb")
    with pytest.raises(ConfigError):
        keys.add("a", days=-1)
    for days in (math.nan, math.inf, 1e12):
        with pytest.raises(ConfigError, match="a key cannot expire in"):
            keys.add("a", days=days)
    with pytest.raises(AccessDenied):
        keys.add("a", user="group:board")
    with pytest.raises(UnknownName):
        keys.revoke("nobody")


def test_a_damaged_file_lets_nobody_in(keys: Keys) -> None:
    _, token = keys.add("first")
    Path(str(keys.place)).write_text("{", encoding="utf-8")
    with pytest.raises(StoreError):
        keys.check(token)
    with pytest.raises(StoreError):
        _ = keys.required


def test_the_command_line_makes_lists_rotates_and_revokes(
    project_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> dict[str, object]:
        capsys.readouterr()
        assert main(["keys", *words, "-C", str(project_copy), "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    made = run("add", "support", "--scope", "curate", "--user", "ann", "--group", "staff", "--days", "30")
    keys = Keys(project_copy / KEYS)
    assert keys.check(str(made["key"])).groups == ("staff",)
    rotated = run("rotate", str(made["id"]))
    assert keys.check(str(rotated["key"])).user == "ann"
    run("revoke", str(made["id"]))
    (row,) = run("list")["keys"]
    assert row["revoked"]
    assert "digest" not in row
    assert main(["keys", "add", "x", "--scope", "all", "-C", str(project_copy)]) == 2


def test_the_command_line_says_that_there_is_no_key(project_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "list", "-C", str(project_copy)]) == 0
    output = capsys.readouterr()
    assert (output.out, "twofold keys add NAME" in output.err) == ("", True)


def test_a_key_that_names_nobody_is_remarked_upon_under_access_control(
    closed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = shutil.copytree(closed, tmp_path / "p")
    for words, remarked in ((["--scope", "admin"], True), (["--user", "ann"], False), (["--group", "staff"], False)):
        assert main(["keys", "add", "x", *words, "-C", str(directory)]) == 0
        assert ("names nobody" in " ".join(capsys.readouterr().err.split())) is remarked
