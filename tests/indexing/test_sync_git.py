"""Git sources against real repositories: what is read, and that nothing in a repository names a program or a server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sync_project import by_file, held, sync

from twofold.corpus.sources.git import GitSource
from twofold.errors import SourceEndless
from twofold.project import Project


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


def _put_in(repository: Repository, name: str, kind: bytes, *pieces: bytes) -> None:
    """Write a loose object by hand, whatever its header says."""
    packer = zlib.compressobj(1)
    folder = repository.folder / ".git" / "objects" / name[:2]
    folder.mkdir(exist_ok=True)
    with (folder / name[2:]).open("wb") as stream:
        for piece in (kind + b"\0", *pieces):
            stream.write(packer.compress(piece))
        stream.write(packer.flush())


def test_an_object_that_unpacks_to_more_than_it_says_is_read_up_to_the_limit(
    tmp_path: Path, repository: Repository
) -> None:
    name = "ab" * 20
    _put_in(repository, name, b"blob 10", *([b"water " * 100_000] * 400))
    repository.git("update-index", "--add", "--cacheinfo", f"100644,{name},docs/lie.md")
    tree = repository.git("write-tree", "--missing-ok").strip()
    repository.git("update-ref", "HEAD", repository.git("commit-tree", tree, "-m", "lie").strip())
    options = GitSource.Options(repository=str(repository.folder))
    source = GitSource(options, root=tmp_path, scratch=tmp_path / "scratch", limit=1 << 20)
    found = {item.id: item for item in source.items({})}
    assert found["docs/a.md"].load().data
    tracemalloc.start()
    with pytest.raises(SourceEndless, match="cat-file writes more than"):
        found["docs/lie.md"].load()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20, "240 MB are in it"


def test_folders_that_name_one_another_over_and_over_end_and_delete_nothing(
    make: Callable[..., Path], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GitSource._git, "__kwdefaults__", {"most": 1 << 20})
    directory = make(_section(repository.folder).replace('paths = ["docs/*"]', ""))
    sync(directory)
    inner = repository.git("rev-parse", "HEAD:docs").strip()
    for _ in range(9):  # ten folders in ten folders, to a depth of nine: a thousand million names
        rows = "".join(f"040000 tree {inner}\tfolder{number}\n" for number in range(10))
        command = ["git", "mktree"]
        made = subprocess.run(command, check=True, cwd=repository.folder, input=rows, text=True, capture_output=True)
        inner = made.stdout.strip()
    repository.git("update-ref", "HEAD", repository.git("commit-tree", inner, "-m", "bomb").strip())
    report = sync(directory)
    assert (report["sources"][0]["failure"]["code"], report["deleted"]) == ("source.endless", 0)
    assert len(held(directory)) == 2


def test_objects_are_not_replaced_by_others(make: Callable[..., Path], repository: Repository) -> None:
    repository.git("replace", *repository.git("rev-parse", "HEAD:docs/a.md", "HEAD:docs/b.md").split())
    directory = make(_section(repository.folder))
    sync(directory)
    with Project.open(directory) as project:
        texts = [chunk.text for chunk in project.workspace.search.index.chunks_of(["code:docs/a.md"])]
    assert "Water of a" in texts[0]


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


def _led(way: str, own: Repository, other: Repository) -> None:
    """Make a repository lead to another one."""
    git, aim = own.folder / ".git", other.folder / ".git"
    if way == "file":
        shutil.rmtree(git)
        git.write_text(f"gitdir: {aim}\n")
    elif way == "link":
        shutil.rmtree(git)
        git.symlink_to(aim)
    elif way == "commondir":
        (git / "commondir").write_text(f"{aim}\n")
    elif way == "worktree of nobody":  # says that it is a work tree of the other, which does not know it
        shutil.rmtree(git)
        inner = own.folder / "inner"
        inner.mkdir()
        (inner / "HEAD").write_text("ref: refs/heads/trunk\n")
        (inner / "commondir").write_text(f"{aim}\n")
        (inner / "gitdir").write_text(f"{git}\n")
        git.write_text(f"gitdir: {inner}\n")
    elif way in ("store", "quoted store", "store of a store", "no list of stores"):
        told = git / "objects" / "info" / "alternates"
        if way == "store of a store":
            inner = own.folder / "inner"
            (inner / "info").mkdir(parents=True)
            told.write_text("# ours\n\n../../inner\n")
            told = inner / "info" / "alternates"
        if way == "no list of stores":
            os.mkfifo(told)
        else:
            objects = str(aim / "objects")
            told.write_text('"' + objects.replace("/", "\\057") + '"\n' if way == "quoted store" else f"{objects}\n")
            (git / "refs" / "heads" / "trunk").write_text(other.git("rev-parse", "HEAD"))
    elif way == "pack":
        other.git("repack", "-q", "-a", "-d")
        shutil.rmtree(git / "objects" / "pack")
        (git / "objects" / "pack").symlink_to(aim / "objects" / "pack")
        (git / "refs" / "heads" / "trunk").write_text(other.git("rev-parse", "HEAD"))
    elif way == "parts":
        for part in ("objects", "refs"):
            shutil.rmtree(git / part)
            (git / part).symlink_to(aim / part)
    else:
        shutil.rmtree(git / "objects")
        (git / "objects").symlink_to(aim / "objects")
        (git / "refs" / "heads" / "trunk").unlink()
        (git / "refs" / "heads" / "trunk").symlink_to(aim / "refs" / "heads" / "trunk")


WAYS = [
    "file", "link", "commondir", "worktree of nobody", "parts", "ref",
    "store", "quoted store", "store of a store", "no list of stores", "pack",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_repository_that_leads_to_another_one_is_refused(make: Callable[..., Path], tmp_path: Path, way: str) -> None:
    other = Repository(tmp_path / "other")
    directory = make(_section("given"))
    own = Repository(directory / "given")
    assert sync(directory)["added"] == 2
    (other.folder / "docs" / "secret.md").write_text("# secret\n\nOf the other.")
    other.commit()
    _led(way, own, other)
    report = sync(directory)
    assert "another repository" in report["sources"][0]["failure"]["message"]
    assert (report["added"], report["deleted"]) == (0, 0)
    assert len(held(directory)) == 2


def test_work_trees_and_submodules_that_their_repository_knows_are_read(
    make: Callable[..., Path], tmp_path: Path, repository: Repository
) -> None:
    repository.git("worktree", "add", "-q", str(tmp_path / "tree"))
    assert sync(make(_section(tmp_path / "tree")))["added"] == 2
    outer = Repository(tmp_path / "outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository.folder), "docs/inner")
    outer.commit()
    assert sync(make(_section(outer.folder / "docs" / "inner"), name="second"))["added"] == 2
    report = sync(make(_section(outer.folder), name="third"))
    assert (report["added"], by_file(report)["docs/inner"]) == (2, "skipped")


def test_a_repository_that_shares_the_store_of_one_in_the_project_is_read(make: Callable[..., Path]) -> None:
    directory = make(_section("given"))
    first = Repository(directory / "first")
    first.git("clone", "-q", "--shared", str(first.folder), str(directory / "given"))
    assert sync(directory)["added"] == 2


def test_links_in_a_repository_are_named_and_names_that_look_alike_are_told_apart(
    make: Callable[..., Path], repository: Repository
) -> None:
    docs = repository.folder / "docs"
    for number, name in enumerate((b"c\xff.md", b"c\xfe.md")):
        Path(os.fsdecode(bytes(docs) + b"/" + name)).write_text(f"# {number}\n\nWater {number}.")
    (docs / "to-a.md").symlink_to("a.md")
    (docs / "out.md").symlink_to("/etc/hostname")
    repository.commit()
    report = sync(make(_section(repository.folder)))
    assert (report["added"], report["failed"]) == (4, 0)
    assert {name for name, status in by_file(report).items() if status == "skipped"} == {"docs/to-a.md", "docs/out.md"}


@pytest.mark.parametrize("way", ["commondir", "config"])
def test_a_mirror_that_came_with_a_project_leads_nowhere(
    make: Callable[..., Path], tmp_path: Path, daemon: tuple[str, subprocess.Popen[bytes]], way: str
) -> None:
    directory = make(_section(daemon[0]))
    sync(directory)
    (mirror,) = directory.glob(".twofold/**/mirror-*.git")
    proxy = tmp_path / "proxy.sh"
    proxy.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    proxy.chmod(0o755)
    evil = tmp_path / "evil"
    shutil.copytree(mirror, evil)
    (evil / "config").write_text(f"[core]\n\tbare = true\n\tgitProxy = {proxy}\n")
    if way == "commondir":
        (mirror / "commondir").write_text(f"{evil}\n")
    else:
        (mirror / "config").unlink()
        (mirror / "config").symlink_to(evil / "config")
    assert sync(directory)["failed"] == 0
    assert not (tmp_path / "executed").exists()
    assert "gitProxy" in (evil / "config").read_text(), "nothing was written through the link"
