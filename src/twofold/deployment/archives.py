"""Write an archive: a plain tar of sorted files with one time and no owners, so that equal content is equal bytes.

Not compressed: weights, wheels and vectors hardly shrink, and a plain tar is read by whatever is at hand.
`installer` reads it, and describes its form.
"""

from __future__ import annotations

import json
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from twofold.deployment import installer
from twofold.errors import ConfigError, StoreError, refused
from twofold.files import writing
from twofold.hashing import sha256_of
from twofold.plugins.protocols import Progress, quiet
from twofold.types import Json


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise what the installer finds wrong with an archive as an error of the program's own."""
    try:
        yield
    except installer.Unusable as error:
        raise StoreError(str(error), file=path, cure=error.cure) from error
    except OSError as error:
        raise refused(
            f"the archive cannot be used: {error.strerror or error}", error, file=error.filename or path
        ) from error


def require_new(path: Path) -> None:
    """Refuse to write an archive over something else.

    Raises:
        ConfigError: the file exists, or its folder does not.
    """
    if path.exists():
        raise ConfigError(f"there is already a file {str(path)!r}", cure="Name a new file, or remove this one.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"there is no folder {str(path.absolute().parent)!r}", cure="Make the folder first.")


def write(
    path: Path, files: Mapping[str, Path], manifest: Json, *, key: Path | None = None, progress: Progress = quiet
) -> Json:
    """Write an archive atomically; returns its manifest, with the files' sizes and digests.

    Args:
        path: The archive; until it is whole its name ends in ``.partial``.
        files: Name in the archive → file.
        manifest: All but the files.
        key: A private key of OpenSSH that signs the manifest.
        progress: Called with the stages ``digests`` and ``archive``, and bytes.

    Raises:
        StoreError: the disk refuses, a file changes meanwhile, or the key does not sign.
    """
    names = sorted(files)
    states = {name: files[name].stat() for name in names}
    total, done = sum(state.st_size for state in states.values()), 0
    listed: dict[str, Any] = {}
    for name in names:
        progress("digests", done, total)
        mode = stat.S_IMODE(states[name].st_mode)
        listed[name] = {"bytes": states[name].st_size, "mode": mode, "sha256": sha256_of(files[name])}
        done += states[name].st_size
    whole = {**manifest, "format": installer.FORMAT, "files": listed}
    text = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False).encode()
    with explained(path), writing.replacing(path, mode=0o600) as draft:
        signature = installer.signed(text, key) if key else None
        with tarfile.open(draft, mode="w", format=tarfile.PAX_FORMAT) as archive:
            draft.chmod(0o600)  # before a text is in it
            archive.addfile(_entry(installer.MANIFEST, len(text)), BytesIO(text))
            if signature is not None:
                archive.addfile(_entry(installer.SIGNATURE, len(signature)), BytesIO(signature))
            done = 0
            for name in names:
                progress("archive", done, total)
                with files[name].open("rb") as stream:
                    archive.addfile(_entry(name, listed[name]["bytes"], listed[name]["mode"]), stream)
                done += listed[name]["bytes"]
        # What was read twice may have changed between: an archive that nobody can unpack must not come to be.
        _read_again(draft, whole, total, progress)
    return whole


def _read_again(draft: Path, manifest: Json, total: int, progress: Progress) -> None:
    done = 0
    for _, pieces in installer.contents(draft, manifest):
        for piece in pieces:
            done += len(piece)
        progress("check", done, total)


def _entry(name: str, size: int, mode: int = 0o644) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, mode
    return entry
