"""Git sources against real repositories: what is read, and that nothing in a repository names a program or a server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sync_project import by_file, held, sync


class Repository:
    """A repository with two files in `docs`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "trunk")
        (folder / "docs").mkdir()
        for name in ("a", "b"):
            (folder / "docs" / f"{name}.md").write_text(f"# {name}\n\nWater of {name}.")
        self.commit()

    def git(self, *words: str) -> str:
        own = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(["git", *own, *words], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "state")

    def lose(self, name: str) -> None:
        """Delete the object of a tree or file, as a disk fault or an interrupted fetch does."""
        blob = self.git("rev-parse", f"HEAD:{name}").strip()
        (self.folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def daemon(tmp_path: Path, repository: Repository) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The repository, served as ``git://``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--listen=127.0.0.1", f"--port={port}", f"--base-path={tmp_path}", "--export-all"]
    program = Path(subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip())
    if not (program / "git-daemon").exists():
        pytest.skip("this git has no daemon to serve a repository with")
    server = subprocess.Popen([str(program / "git-daemon"), *where])
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"git://127.0.0.1:{port}/repository", server
    server.terminate()
    server.wait()


def _section(address: object) -> str:
    return f'[sources.code]\nkind = "git"\nrepository = "{address}"\npaths = ["docs/*"]\ntimeout = 20.0'


@pytest.mark.parametrize("as_address", [False, True], ids=["folder", "file address"])
def test_a_commit_costs_the_reading_of_what_it_changed(
    make: Callable[..., Path], repository: Repository, as_address: bool
) -> None:
    directory = make(_section(repository.folder.as_uri() if as_address else repository.folder))
    assert (sync(directory)["added"], sync(directory)["chunks"]) == (2, 0)
    (repository.folder / "docs" / "b.md").unlink()
    repository.commit()
    assert sync(directory)["deleted"] == 1
    assert held(directory).keys() == {"code:docs/a.md"}


def test_a_remote_repository_is_mirrored_and_brought_up_to_date(
    make: Callable[..., Path], repository: Repository, daemon: tuple[str, subprocess.Popen[bytes]]
) -> None:
    address, server = daemon
    directory = make(_section(address))
    assert sync(directory)["added"] == 2
    (repository.folder / "docs" / "c.md").write_text("# c\n\nWater of c.")
    repository.commit()
    assert sync(directory)["added"] == 1
    server.terminate()
    server.wait()
    report = sync(directory)
    assert (report["sources"][0]["failure"]["code"], report["deleted"]) == ("source.unreachable", 0)


def test_settings_of_a_mirror_that_came_with_a_project_start_no_program(
    make: Callable[..., Path], tmp_path: Path, daemon: tuple[str, subprocess.Popen[bytes]]
) -> None:
    directory = make(_section(daemon[0]))
    sync(directory)
    (mirror,) = directory.glob(".twofold/**/mirror-*.git")
    proxy = tmp_path / "proxy.sh"
    proxy.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    proxy.chmod(0o755)
    with (mirror / "config").open("a") as settings:
        settings.write(f"[core]\n\tgitProxy = {proxy}\n")
    assert sync(directory)["failed"] == 0
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("address", "setting"),
    [("{up}", "remote.origin.uploadpack"), ("ssh://localhost/none", "core.sshCommand"), ("{up}", "core.fsmonitor")],
)
def test_a_repository_that_lacks_a_file_names_no_program_to_fetch_it(
    make: Callable[..., Path], tmp_path: Path, repository: Repository, address: str, setting: str
) -> None:
    shutil.copytree(repository.folder, tmp_path / "up")
    for name, value in {
        "core.repositoryformatversion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": address.format(up=tmp_path / "up"),
        "protocol.file.allow": "always",
        setting: f"touch {tmp_path}/executed;",
    }.items():
        repository.git("config", name, value)
    repository.lose("docs/b.md")
    report = sync(make(_section(repository.folder)))
    assert (report["added"], report["failed"]) == (1, 1)
    assert not (tmp_path / "executed").exists()


def test_a_repository_that_lost_an_object_deletes_nothing(make: Callable[..., Path], repository: Repository) -> None:
    directory = make(_section(repository.folder))
    sync(directory)
    repository.lose("docs/a.md")
    report = sync(directory)
    assert (report["deleted"], len(held(directory))) == (0, 2), "it is unchanged by its name, and read already"
    repository.lose("docs")
    report = sync(directory)
    assert (report["sources"][0]["failure"]["code"], report["deleted"]) == ("source.unreachable", 0)
    assert "git fsck" in report["sources"][0]["failure"]["cure"]
    assert len(held(directory)) == 2


def test_the_environment_of_a_git_hook_names_no_other_repository(
    make: Callable[..., Path], tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repository(tmp_path / "other")
    (other.folder / "docs" / "secret.md").write_text("# secret\n\nOf the other.")
    other.commit()
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "0")
    assert by_file(sync(make(_section(repository.folder)))).keys() == {"docs/a.md", "docs/b.md"}
    assert "GIT_DIR" in os.environ


def test_a_folder_within_a_repository_is_not_taken_for_it(make: Callable[..., Path], repository: Repository) -> None:
    report = sync(make(_section(repository.folder / "docs")))
    assert "is not a git repository" in report["sources"][0]["failure"]["message"]
