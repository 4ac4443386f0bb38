"""Read, check and unpack an archive of Twofold, and install a bundle; needs Python's standard library alone.

This file is part of the program, and lies in every bundle as ``install.py``, for a machine that has no Twofold yet::

    tar -xf FILE.tar install.py
    python3 install.py FILE.tar FOLDER

An archive is a plain tar: ``manifest.json`` first, then perhaps its signature, then the files that it lists with size
and sha256. Whatever the manifest does not list, and every link, device or path that leads elsewhere, is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

FORMAT = 1
"""Form of the archives; one of a newer form is refused."""
MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
_ROOTS = ("project", "cache", "wheels", "papers")
"""What a bundle unpacks to: the project, the weights, the programs, and the terms and notices of the weights."""
_NAMESPACE = "twofold"
"""A signature names what it is for, so that one made for another purpose counts for nothing here."""
_MOST_MANIFEST = 256 * 2**20
"""Bytes: a million files are listed in less."""
_PIECE = 1 << 20
_SCRIPT = """#!/bin/sh
# Runs Twofold with the weights that lie beside it; it never asks a network for them.
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
TWOFOLD_CACHE="$here/cache" exec "{python}" -P -m twofold "$@"
"""


class Unusable(Exception):
    """An archive that cannot be used here; the program's own tree of errors is not there before it is installed."""

    def __init__(self, message: str, *, cure: str) -> None:
        super().__init__(message)
        self.cure = cure


# ---------------------------------------------------------------- reading


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    again = "Copy the archive again from where it was made, or make it again."
    try:
        # Not "r:*": a compressed archive is none of ours, and might unpack to anything.
        with tarfile.open(archive, "r:") as files:
            yield files
    except FileNotFoundError as error:
        raise Unusable(f"there is no file {str(archive)!r}", cure="Name the archive.") from error
    except (tarfile.TarError, EOFError) as error:
        raise Unusable(f"{archive.name} is no archive, or was cut short: {error}", cure=again) from error


def manifest_of(archive: Path, *, kind: str = "") -> dict[str, Any]:
    """The manifest of an archive, which is small and stands first.

    Args:
        archive: The archive.
        kind: ``bundle`` or ``backup``; another one is refused.

    Raises:
        Unusable: it is no such archive, or one of a newer form.
    """
    return _manifest(archive, kind)[0]


def _manifest(archive: Path, kind: str = "") -> tuple[dict[str, Any], bytes]:
    with _opened(archive) as files:
        first = files.next()
        if first is None or first.name != MANIFEST or not first.isreg() or first.size > _MOST_MANIFEST:
            raise Unusable(
                f"{archive.name} does not begin with a {MANIFEST}: it is no archive of Twofold",
                cure="Name a file that `twofold bundle` or `twofold backup` wrote.",
            )
        stream = files.extractfile(first)
        text = stream.read() if stream else b""
    try:
        manifest = json.loads(text)
        number, found_kind, listed = int(manifest["format"]), str(manifest["kind"]), manifest["files"]
        _require_form(manifest, listed)
    except (ValueError, LookupError, TypeError, RecursionError, OverflowError) as error:
        raise Unusable(f"the manifest of {archive.name} is damaged: {error}", cure="Copy the archive again.") from error
    if number > FORMAT:
        raise Unusable(
            f"{archive.name} has format {number}, and this program knows formats up to {FORMAT}",
            cure=f"Use Twofold {manifest.get('twofold', '')}, which wrote it, or a later version.",
        )
    if kind and found_kind != kind:
        raise Unusable(
            f"{archive.name} is a {found_kind}, and no {kind}",
            cure="Restore a backup with `twofold restore`, install a bundle with its install.py.",
        )
    return manifest, text


_FORMS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(["twofold", "project", "at", "requirement"], (str,)),
    **dict.fromkeys(["check", "platform"], (dict, type(None))),
    **{"catalogue": (int,), "left_out": (list,), "folders": (dict,)},
}
"""Members of a manifest that are read here, and what they may be."""


def _require_form(manifest: Mapping[str, Any], listed: Any) -> None:
    """Refuse values of another form before anything is made of them: whoever wrote the archive wrote its manifest.

    Raises:
        TypeError: naming the member.
    """
    for name, forms in _FORMS.items():
        if name in manifest and not isinstance(manifest[name], forms):
            raise TypeError(f"{name} is {str(manifest[name])[:40]!r}")
    if not isinstance(listed, dict):
        raise TypeError("files is no object")
    for name, entry in listed.items():
        whole = isinstance(entry, dict) and type(entry.get("bytes")) is int and isinstance(entry.get("sha256"), str)
        if not whole or type(entry.get("mode", 0)) is not int:
            raise TypeError(f"of {name[:80]!r} bytes, sha256 or mode is missing or wrong")
    for name, mode in manifest.get("folders", {}).items():
        if type(mode) is not int:
            raise TypeError(f"the mode of {name[:80]!r} is {str(mode)[:40]!r}")
    for name in ("question", "arm", "text", "key") if manifest.get("check") else ():
        if not isinstance(manifest["check"].get(name), str):
            raise TypeError(f"check lacks {name}")
    for name in ("python", "implementation", "system", "machine") if manifest.get("platform") else ():
        if not isinstance(manifest["platform"].get(name), str):
            raise TypeError(f"platform lacks {name}")


def contents(archive: Path, manifest: Mapping[str, Any]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Every file of the archive with its pieces, which are checked as they are read: take all pieces of each.

    Raises:
        Unusable: a file is missing, changed, of another kind, not listed, or its name leads elsewhere.
    """
    listed, again = manifest["files"], "Copy the archive again from where it was made, or make it again."
    missing = set(listed)
    with _opened(archive) as files:
        for entry in files:
            if entry.name in (MANIFEST, SIGNATURE):
                continue
            if not entry.isreg() or not _harmless(entry.name):
                raise Unusable(f"{archive.name} contains {entry.name!r}, which is no plain file inside it", cure=again)
            if entry.name not in missing:
                raise Unusable(f"{archive.name} contains {entry.name!r}, which its manifest does not list", cure=again)
            missing.discard(entry.name)
            if entry.size != listed[entry.name]["bytes"]:
                raise Unusable(f"{entry.name!r} in {archive.name} is not as its manifest says", cure=again)
            yield entry.name, _pieces(files, entry, listed[entry.name]["sha256"], archive.name)
    if missing:
        some = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise Unusable(f"{archive.name} lacks {min(missing)!r}{some}: it was cut short", cure=again)


def _pieces(files: tarfile.TarFile, entry: tarfile.TarInfo, sha256: str, archive: str) -> Iterator[bytes]:
    again = "Copy the archive again from where it was made, or make it again."
    stream, state, left = files.extractfile(entry), hashlib.sha256(), entry.size
    while left and stream:
        try:
            piece = stream.read(min(_PIECE, left))
        except tarfile.TarError as error:
            raise Unusable(f"{archive} was cut short: {error}", cure=again) from error
        if not piece:
            break
        state.update(piece)
        left -= len(piece)
        yield piece
    if left or state.hexdigest() != sha256:
        raise Unusable(f"{entry.name!r} in {archive} is damaged: its sha256 is another than listed", cure=again)


def _harmless(name: str) -> bool:
    """Does a name stay inside the folder, on every system?"""
    path = PurePosixPath(name)
    # As it is written: in "project//etc/passwd" a part that is empty would make the rest an absolute path.
    plain = bool(path.parts) and str(path) == name and not path.is_absolute() and ".." not in path.parts
    return plain and not re.search(r"[\\:\0]", name)


def check(archive: Path, *, kind: str = "", key: Path | None = None) -> dict[str, Any]:
    """Read a whole archive and compare every file with the manifest; returns the manifest.

    Args:
        archive: The archive.
        kind: ``bundle`` or ``backup``; another one is refused.
        key: Public key that must have signed the manifest.

    Raises:
        Unusable: something is not as the manifest says, or not signed by that key.
    """
    manifest = manifest_of(archive, kind=kind)
    if key is not None:
        check_signature(archive, key)
    for _, pieces in contents(archive, manifest):
        for _ in pieces:
            pass
    return manifest


def unpack(archive: Path, target: Path, manifest: Mapping[str, Any], *, roots: Mapping[str, str]) -> None:
    """Write the files of an archive into a folder that is empty, each checked as it is written.

    Args:
        archive: The archive.
        target: The folder.
        manifest: Of the archive.
        roots: First part of a name in the archive → its place in the folder, ``.`` for the folder itself; files of no
            root are checked and not written.

    Raises:
        Unusable: as `contents`; some files are written then.
        OSError: the disk refuses.
    """
    modes = manifest.get("folders", {})
    for name, pieces in contents(archive, manifest):
        root, _, rest = name.partition("/")
        if not rest or root not in roots:
            for _ in pieces:
                pass
            continue
        path = target / roots[root] / rest
        _make_folders(target, root, rest, roots, modes)
        # Exclusively: nothing that is there is written to, or through.
        with open(path, "xb") as file:
            for piece in pieces:
                file.write(piece)
        os.chmod(path, int(manifest["files"][name].get("mode", 0o600)) & 0o777)


def _make_folders(target: Path, root: str, rest: str, roots: Mapping[str, str], modes: Mapping[str, int]) -> None:
    """The folders of a file, with the rights that they had: some are for their owner alone."""
    here, name = target / roots[root], root
    here.mkdir(exist_ok=True)
    for part in PurePosixPath(rest).parts[:-1]:
        here, name = here / part, f"{name}/{part}"
        if not here.is_dir():
            here.mkdir()
            os.chmod(here, int(modes.get(name, 0o755)) & 0o777 | 0o700)


# ---------------------------------------------------------------- signatures


def check_signature(archive: Path, key: Path) -> None:
    """Refuse an archive whose manifest was not signed by a key; the manifest has the digests of all the rest.

    Args:
        archive: The archive.
        key: File with the public key, as OpenSSH writes it (``id_ed25519.pub``).

    Raises:
        Unusable: there is no signature, it is another's, or it cannot be checked here.
    """
    with _opened(archive) as files:
        files.next()
        entry = files.next()
        stream = files.extractfile(entry) if entry and entry.name == SIGNATURE and entry.isreg() else None
        if stream is None:
            raise Unusable(f"{archive.name} is not signed", cure="Make it with --sign, or do without --key.")
        signature = stream.read(1 << 16)
    try:
        public = key.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise Unusable(f"the key {str(key)!r} cannot be read: {error}", cure="Name the public key's file.") from error
    with tempfile.TemporaryDirectory() as folder:
        signers, written = Path(folder, "signers"), Path(folder, "signature")
        signers.write_text(f"{_NAMESPACE} {public}\n", encoding="utf-8")
        written.write_bytes(signature)
        command = ["-Y", "verify", "-f", str(signers), "-I", _NAMESPACE, "-n", _NAMESPACE, "-s", str(written)]
        done = ssh_keygen(command, _manifest(archive)[1])
    if done.returncode:
        raise Unusable(
            f"{archive.name} is not signed by the key of {key.name}: {_last(done.stderr or done.stdout)}",
            cure="Get the archive, or the public key, from whoever made it; do not install this one.",
        )


def signed(manifest: bytes, key: Path) -> bytes:
    """The signature of a manifest by a private key of OpenSSH.

    Raises:
        Unusable: the key cannot be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, MANIFEST)
        path.write_bytes(manifest)
        done = ssh_keygen(["-Y", "sign", "-f", str(key), "-n", _NAMESPACE, str(path)], b"")
        if done.returncode or not path.with_name(SIGNATURE).is_file():
            raise Unusable(
                f"{key.name} does not sign: {_last(done.stderr)}",
                cure="Name a private key of OpenSSH without a passphrase, or one that ssh-agent holds; "
                "`ssh-keygen -t ed25519 -f FILE` makes a pair.",
            )
        return path.with_name(SIGNATURE).read_bytes()


def ssh_keygen(arguments: list[str], text: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen, which every system with OpenSSH 8.0 or later has.

    Raises:
        Unusable: it is not there.
    """
    try:
        return subprocess.run(["ssh-keygen", *arguments], input=text, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unusable(
            f"ssh-keygen cannot be run: {error}", cure="Install OpenSSH (the client is enough), or do without a key."
        ) from error


def _last(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
    # Of an error with its cure, the error.
    return next((line for line in lines if line.lower().startswith("error")), lines[-1])


# ---------------------------------------------------------------- installing


def this_platform() -> dict[str, str]:
    """System, processor, Python and C library of this machine, as manifests name those of the one that made them."""
    library, version = platform.libc_ver()
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "implementation": sys.implementation.name,
        "libc": f"{library} {version}".strip(),
    }


def why_not_here(manifest: Mapping[str, Any]) -> Unusable | None:
    """Why the programs of a bundle do not run on this machine; None where they do."""
    there, here = manifest.get("platform", {}), this_platform()
    if not there:
        return None
    if (there["python"], there["implementation"]) != (here["python"], here["implementation"]):
        return Unusable(
            f"the bundle is for {there['implementation']} {there['python']}; "
            f"this is {here['implementation']} {here['python']}",
            cure=f"Run install.py with Python {there['python']}, or make the bundle with Python {here['python']}.",
        )
    if there["native"] and (there["system"], there["machine"]) != (here["system"], here["machine"]):
        return Unusable(
            f"the bundle is for {there['system']} on {there['machine']}; this is {here['system']} on {here['machine']}",
            cure=f"Make the bundle on a machine with {here['system']} on {here['machine']}.",
        )
    needed, (library, _, version) = there.get("glibc", ""), here["libc"].partition(" ")
    if needed and (library != "glibc" or _numbers(version) < _numbers(needed)):
        return Unusable(
            f"the bundle's programs need glibc {needed}; this machine has {here['libc'] or 'another C library'}",
            cure="Install on a newer system, or make the bundle on one as old as this.",
        )
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def install(archive: Path, target: Path, *, key: Path | None, programs: bool, say: Callable[[str], None]) -> bool:
    """Install a bundle into a folder: programs, weights, project; then ask its question and compare the answer.

    A run that was stopped after unpacking goes on when it is repeated.

    Args:
        archive: The bundle.
        target: The folder, new or empty.
        key: Public key that must have signed the bundle.
        programs: Make an environment with the bundle's programs; else the running Python has Twofold already.
        say: Gets a line for people.

    Returns:
        Is the bundle's question answered as on the machine that made it? True where it has none.

    Raises:
        Unusable: the bundle is not for this machine, damaged, or its programs cannot be installed.
    """
    manifest, text = _manifest(archive, "bundle")
    if key is not None:
        check_signature(archive, key)
        say(f"signed by the key of {key.name}")
    if programs and not manifest.get("requirement"):
        raise Unusable(
            "the bundle has no programs in it",
            cure="Run install.py with the Python of an environment that has Twofold, and with --no-programs.",
        )
    if programs and (reason := why_not_here(manifest)):
        raise reason
    marker = target / MANIFEST
    if not marker.is_file() or marker.read_bytes() != text:
        if target.exists() and any(target.iterdir()):
            raise Unusable(f"the folder {str(target)!r} is not empty", cure="Name a new folder, or remove this one.")
        target.mkdir(parents=True, exist_ok=True)
        say(f"unpacking {len(manifest['files'])} files")
        try:
            unpack(archive, target, manifest, roots={name: name for name in _ROOTS})
            # Last: a folder with it is unpacked whole.
            marker.write_bytes(text)
        except BaseException:  # an interruption, too, leaves no half of a bundle
            shutil.rmtree(target, ignore_errors=True)
            raise
    python = _environment(target, manifest["requirement"], say) if programs else Path(sys.executable)
    (target / "twofold").write_text(_SCRIPT.format(python=python), encoding="utf-8")
    os.chmod(target / "twofold", 0o755)
    return _ask(manifest, target, python, say)


def _environment(target: Path, requirement: str, say: Callable[[str], None]) -> Path:
    place = (target / "venv").resolve()
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    say("making an environment and installing the programs")
    shutil.rmtree(place, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(place)], "Install Python's venv (on Debian the package python3-venv).")
    pip = [str(python), "-m", "pip", "install", "--no-index", "--no-cache-dir", "--disable-pip-version-check"]
    wheels = str((target / "wheels").resolve())
    # What pip takes from elsewhere (a configuration, a variable) must not decide what is installed.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    _run(
        [*pip, "--quiet", "--find-links", wheels, requirement],
        "Make the bundle again.",
        PIP_CONFIG_FILE=os.devnull,
        **alone,
    )
    shutil.rmtree(wheels)
    return python


def _run(command: list[str], cure: str, **environment: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False, env=environment or None)
    if done.returncode:
        raise Unusable(f"`{' '.join(command[:4])} …` failed: {_last(done.stderr or done.stdout)}", cure=cure)


def _ask(manifest: Mapping[str, Any], target: Path, python: Path, say: Callable[[str], None]) -> bool:
    """Ask the bundle's question, and compare answer and key with those of the machine that made it."""
    expected = manifest.get("check")
    if not expected:
        return True
    say("asking the question that the bundle was made with")
    command = [str(python), "-P", "-m", "twofold", "ask", expected["question"], "--arm", expected["arm"], "--json"]
    environment = {**os.environ, "TWOFOLD_CACHE": str((target / "cache").resolve())}
    project = str((target / "project").resolve())
    done = subprocess.run([*command, "-C", project], capture_output=True, check=False, env=environment)
    try:
        answer = json.loads(done.stdout)
        text, system = answer["text"], answer["key"]
    except (ValueError, LookupError, TypeError) as error:
        raise Unusable(
            f"the installed program does not answer: {_last(done.stderr or done.stdout)}",
            cure=f"Run `{target / 'twofold'} doctor -C {target / 'project'}`.",
        ) from error
    same = (text, system) == (expected["text"], expected["key"])
    if same:
        say(f"the answer and the system's key are the same as before ({system})")
    elif system != expected["key"]:
        say(
            f"the system's key is {system}, and was {expected['key']}: this machine computes otherwise, so the study's "
            "answers are not this system's; run `twofold doctor` on both machines, and a study here"
        )
    else:
        say("the system's key is the same, and its answer is another: run a study here before you rely on the old one")
    return same


def main(arguments: list[str] | None = None) -> int:
    """Install a bundle from the command line; returns the exit code: 0 done, 1 another answer, 3 not installed."""
    parser = argparse.ArgumentParser(description="Install a bundle of Twofold on a machine that needs no network.")
    parser.add_argument("archive", type=Path, help="the bundle")
    parser.add_argument("folder", type=Path, nargs="?", help="new folder for programs, weights and project")
    parser.add_argument("--key", type=Path, help="public key (a .pub file) that must have signed the bundle")
    parser.add_argument("--verify", action="store_true", help="only check platform, checksums and signature")
    parser.add_argument("--no-programs", action="store_true", help="this Python has Twofold: only unpack the rest")
    options = parser.parse_args(arguments)
    if options.folder is None and not options.verify:
        parser.error("name the folder to install into, or --verify")
    say = _line
    try:
        if options.verify:
            manifest = check(options.archive, kind="bundle", key=options.key)
            if reason := why_not_here(manifest):
                raise reason
            say(f"{options.archive.name} is whole, and for this machine")
            return 0
        same = install(options.archive, options.folder, key=options.key, programs=not options.no_programs, say=say)
    except Unusable as error:
        sys.stderr.write(f"error: {error}\nhelp: {error.cure}\n")
        return 3
    except OSError as error:
        sys.stderr.write(f"error: the system refuses: {error}\nhelp: Check free disk space and rights.\n")
        return 3
    say(f"installed: {options.folder / 'twofold'} --help; the project is {options.folder / 'project'}")
    return 0 if same else 1


def _line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
