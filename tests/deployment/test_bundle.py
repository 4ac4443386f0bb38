"""A bundle installs where there is no network, and what it installs answers as before."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from quoting_project import SETTINGS

from twofold.cli.main import main
from twofold.deployment import bundle, installer, programs
from twofold.deployment.bundle import Contents
from twofold.errors import ConfigError, StoreError
from twofold.host.cache import cache_root, taken, witnessed
from twofold.plugins import loading
from twofold.project import Project
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.testing.projects import make_project

NAMESPACE = ["unshare", "-rn"]
"""A network namespace without an interface, not even this machine's own."""


def _no_namespaces() -> bool:
    try:
        return subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode != 0
    except OSError:
        return True


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bundled") / "project"
    make_project(place, questions=40).close()
    with (place / "twofold.toml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    with Project.open(place) as project:
        project.sync()
    return place


def made(directory: Path, path: Path, **contents: Any) -> bundle.BundleReport:
    return bundle.bundle(directory, path, Contents(**{"programs": False, "arm": "rag", **contents}))


@pytest.fixture(scope="module")
def plain(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "p.tar"
    made(directory, path)
    return path


@pytest.mark.skipif(_no_namespaces(), reason="this system makes no network namespace for its users")
def test_it_installs_without_a_network_and_answers_as_before(plain: Path, tmp_path: Path) -> None:
    with tarfile.open(plain) as files:
        files.extract("install.py", tmp_path, filter="data")
    (tmp_path / "home").mkdir()
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "TWOFOLD_CACHE": str(tmp_path / "none")}
    script = [sys.executable, str(tmp_path / "install.py"), str(plain), str(tmp_path / "there"), "--no-programs"]
    done = subprocess.run([*NAMESPACE, *script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the answer and the system's key are the same as before" in done.stdout
    assert (tmp_path / "there" / "project" / "twofold.toml").is_file()
    assert not (tmp_path / "there" / "project" / "data" / "documents.jsonl").exists()


def test_an_installation_goes_on_after_unpacking_and_overwrites_nothing(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer, "_ask", lambda *_: True)
    lines: list[str] = []
    for _ in range(2):
        assert installer.install(plain, tmp_path / "there", key=None, programs=False, say=lines.append)
    assert [line for line in lines if line.startswith("unpacking")] == lines
    assert len(lines) == 1
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(installer.Unusable, match="not empty"):
        installer.install(plain, tmp_path / "full", key=None, programs=False, say=lines.append)
    with pytest.raises(installer.Unusable, match="no programs"):
        installer.install(plain, tmp_path / "new", key=None, programs=True, say=lines.append)


def test_the_same_project_is_the_same_bytes(directory: Path, plain: Path, tmp_path: Path) -> None:
    report = made(directory, tmp_path / "again.tar")
    assert report.sha256 == hashlib.sha256(plain.read_bytes()).hexdigest()
    assert report.check is not None
    assert report.check["arm"] == "rag"
    assert [entry["what"] for entry in report.left_out] == ["data"]


def test_parts_go_along_only_where_they_are_chosen(directory: Path, tmp_path: Path) -> None:
    (directory / "serving").mkdir(exist_ok=True)
    (directory / "serving" / "keys.json").write_text("{}", encoding="utf-8")
    (directory / "traffic").mkdir(exist_ok=True)
    (directory / "traffic" / "log.jsonl").write_text("{}\n", encoding="utf-8")
    try:
        made(directory, tmp_path / "without.tar")
        made(directory, tmp_path / "with.tar", parts=("data", "keys"))
    finally:
        (directory / "serving" / "keys.json").unlink()
        (directory / "traffic" / "log.jsonl").unlink()
        (directory / "traffic").rmdir()
    without = set(installer.manifest_of(tmp_path / "without.tar")["files"])
    chosen = set(installer.manifest_of(tmp_path / "with.tar")["files"])
    assert chosen - without == {
        "project/serving/keys.json",
        "project/data/documents.jsonl",
        "project/data/examples.jsonl",
    }
    with pytest.raises(ConfigError, match="takes examples"):
        made(directory, tmp_path / "shots.tar", arm="prompt")


def test_a_bundle_for_another_platform_is_named_with_a_cure(directory: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    for tag in ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", "py3-none-any"):
        (folder / f"some_{len(tag)}-1.0-{tag}.whl").write_bytes(b"a wheel")
    made(directory, tmp_path / "b.tar", programs=True, wheels=folder)
    manifest = installer.manifest_of(tmp_path / "b.tar")
    assert manifest["requirement"].startswith("twofold[local,serve]==")
    there = manifest["platform"]
    assert (there["native"], there["glibc"]) == (True, "2.17")
    for change, words in (
        ({"machine": "sparc"}, "on sparc"),
        ({"system": "Plan 9"}, "for Plan 9"),
        ({"python": "3.9"}, "3.9"),
        ({"glibc": "9.99"}, "glibc 9.99"),
    ):
        fault = installer.why_not_here({"platform": {**there, **change}})
        assert fault is not None
        assert words in str(fault)
        assert fault.cure
    (folder / "other-1.0-cp311-cp311-win_amd64.whl").write_bytes(b"a wheel")
    with pytest.raises(ConfigError, match=r"win_amd64\.whl is for another platform"):
        made(directory, tmp_path / "c.tar", programs=True, wheels=folder)
    assert not (tmp_path / "c.tar").exists()


def test_a_signature_by_another_key_is_refused(directory: Path, tmp_path: Path) -> None:
    for name in ("mine", "other"):
        made_key = installer.ssh_keygen(["-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], b"")
        assert made_key.returncode == 0
    made(directory, tmp_path / "b.tar", key=tmp_path / "mine")
    assert bundle.verified(tmp_path / "b.tar", key=tmp_path / "mine.pub").signed
    with pytest.raises(StoreError, match=r"not signed by the key of other\.pub"):
        bundle.verified(tmp_path / "b.tar", key=tmp_path / "other.pub")
    made(directory, tmp_path / "unsigned.tar")
    with pytest.raises(StoreError, match="is not signed"):
        bundle.verified(tmp_path / "unsigned.tar", key=tmp_path / "mine.pub")


def test_a_damaged_bundle_leaves_nothing_behind(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(plain.read_bytes())
    content[-20_000] ^= 1
    (tmp_path / "p.tar").write_bytes(content)
    assert installer.main([str(tmp_path / "p.tar"), str(tmp_path / "there"), "--no-programs"]) == 3
    assert not (tmp_path / "there").exists()
    assert "help: " in capsys.readouterr().err


def test_the_wheel_of_the_program_has_all_of_it(tmp_path: Path) -> None:
    path = programs.own_wheel(tmp_path)
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        entry_points = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert {"twofold/__init__.py", "twofold/models/models.toml", "twofold/demo/documents.jsonl"} <= names
    assert "twofold.cli.main:main" in entry_points
    assert not [name for name in names if "__pycache__" in name]


def test_what_is_taken_from_the_cache_is_seen(tmp_path: Path) -> None:
    with witnessed() as outer:
        taken(tmp_path / "a")
        with witnessed() as inner:
            taken(tmp_path / "b")
    taken(tmp_path / "c")
    assert (outer, inner) == ({tmp_path / "a", tmp_path / "b"}, {tmp_path / "b"})


class CachedEmbedder(HashingEmbedder):
    """Takes weights from the cache when it is opened, as embedders do."""

    def __init__(self, options: HashingEmbedder.Options) -> None:
        super().__init__(options)
        taken(cache_root() / "models" / "some")


def test_the_weights_that_an_answer_takes_go_along(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    for name in ("some", "other"):
        (tmp_path / "cache" / "models" / name).mkdir(parents=True)
        (tmp_path / "cache" / "models" / name / "weights.bin").write_bytes(b"weights")
    with loading.registered("embedders", "hashing", CachedEmbedder):
        report = made(directory, tmp_path / "b.tar")
    names = [name for name in installer.manifest_of(tmp_path / "b.tar")["files"] if name.startswith("cache/")]
    assert names == ["cache/models/some/weights.bin"]
    assert report.bytes["cache"] == 7


def test_the_command_warns_of_secrets(directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = directory / "twofold.toml"
    before = toml.read_text(encoding="utf-8")
    try:
        toml.write_text(f'{before}\n[documents.passwords]\n"*.pdf" = "hunter2"\n', encoding="utf-8")
        code = main(
            ["bundle", str(tmp_path / "b.tar"), "-C", str(directory), "--no-programs", "--arm", "rag", "--json"]
        )
    finally:
        toml.write_text(before, encoding="utf-8")
    said = capsys.readouterr()
    assert code == 0
    assert "is a secret" in said.err
    assert "hunter2" not in said.err + said.out
    assert json.loads(said.out)["bytes"]["wheels"] == 0
    assert main(["bundle", str(tmp_path / "b.tar"), "--verify"]) == 0
    out = capsys.readouterr().out
    assert "whole" in out
    assert "signature not checked: --key PUBLIC" in out
    assert "install.py --no-programs b.tar FOLDER" in out, "what is to be typed works"


@pytest.mark.slow
@pytest.mark.skipif(_no_namespaces(), reason="this system makes no network namespace for its users")
def test_with_its_programs_it_installs_into_an_empty_machine(directory: Path, tmp_path: Path) -> None:
    """The wheels are fetched by pip, so that this test needs its index; the installation needs nothing."""
    made(directory, tmp_path / "b.tar", programs=True)
    with tarfile.open(tmp_path / "b.tar") as files:
        files.extract("install.py", tmp_path, filter="data")
    (tmp_path / "home").mkdir()
    python = Path(sys.base_prefix) / "bin" / "python3"
    environment = {"HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    script = [str(python), str(tmp_path / "install.py"), str(tmp_path / "b.tar"), str(tmp_path / "there")]
    done = subprocess.run([*NAMESPACE, *script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the answer and the system's key are the same as before" in done.stdout
    assert not str(cache_root()).startswith(str(tmp_path / "there"))
