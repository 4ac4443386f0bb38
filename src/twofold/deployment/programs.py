"""The programs of a bundle: wheels of the running environment's versions, and one of Twofold itself.

pip fetches the wheels, held to the versions that are installed here, so that a bundle runs what ran here. Twofold's own
wheel is put together from the installed files, without a build and without a network.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
import shutil
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import twofold
from twofold.deployment import installer
from twofold.errors import ConfigError, StoreError
from twofold.host import children
from twofold.models.wheels import tail
from twofold.plugins.protocols import Progress
from twofold.types import Json

_DATED = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip knows: the same files are the same bytes."""
_ALIASES = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_SYSTEMS = {"Linux": ("linux", "manylinux", "musllinux"), "Darwin": ("macosx",), "Windows": ("win",)}


def own_wheel(folder: Path) -> Path:
    """Write a wheel of the running Twofold, from the files that run, whether they were installed or are a checkout.

    Raises:
        StoreError: the environment does not know Twofold's entry points.
    """
    try:
        about = metadata.distribution("twofold")
    except metadata.PackageNotFoundError as error:
        raise StoreError(
            "Twofold runs here, and is not installed: its plugins are not known", cure="Install it with pip first."
        ) from error
    package = Path(twofold.__file__).parent
    files = {
        f"twofold/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    read = about.read_text  # of the installation's records, which are UTF-8
    information = f"twofold-{about.version}.dist-info"
    for name in ("METADATA", "entry_points.txt"):
        files[f"{information}/{name}"] = (read(name) or "").encode()
    tags = "Wheel-Version: 1.0\nGenerator: twofold\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{information}/WHEEL"] = tags.encode()
    rows = [f"{name},sha256={_record_digest(content)},{len(content)}" for name, content in sorted(files.items())]
    record = f"{information}/RECORD"
    files[record] = "\n".join([*rows, f"{record},,", ""]).encode()
    path = folder / f"twofold-{about.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _DATED)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            wheel.writestr(entry, content)
    return path


def _record_digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def collected(folder: Path, *, extras: Sequence[str], wheels: Path | None, progress: Progress) -> tuple[str, Json]:
    """Put all wheels into a folder.

    Args:
        folder: An empty folder.
        extras: Of Twofold.
        wheels: A folder with the wheels of everything that Twofold needs; None: pip fetches them.
        progress: Called with the stage ``wheels``.

    Returns:
        What pip shall install from the folder, and the platform that the wheels are for.

    Raises:
        ConfigError: the folder has no wheels, or some of another platform.
        StoreError: pip cannot fetch one.
    """
    progress("wheels", 0, 1)
    wheel = own_wheel(folder)
    chosen = f"[{','.join(sorted(extras))}]" if extras else ""
    if wheels is None:
        _fetched(folder, f"{wheel}{chosen}")
    else:
        _copied(wheels, folder)
    progress("wheels", 1, 1)
    names = [path.name for path in folder.glob("*.whl")]
    needed = [versions for versions in map(_glibc, names) if versions]
    there: Json = {**installer.this_platform(), "native": any(not name.endswith("-any.whl") for name in names)}
    if needed:
        there["glibc"] = ".".join(map(str, max(needed)))
    return f"twofold{chosen}=={metadata.version('twofold')}", there


def _fetched(folder: Path, requirement: str) -> None:
    constraints = folder / "versions.txt"
    # Several environments on one path may name a package twice: the first is the one that is imported.
    versions: dict[str, str] = {}
    for found_package in metadata.distributions():
        name = str(found_package.metadata["Name"] or "")
        if name and name.lower() != "twofold":
            versions.setdefault(re.sub(r"[-_.]+", "-", name).lower(), found_package.version)
    constraints.write_text(
        "".join(f"{name}=={version}\n" for name, version in sorted(versions.items())), encoding="utf-8"
    )
    # Wheels only: nothing is built here, which would run a package's own code and need its tools.
    command = ["download", requirement, "--dest", str(folder), "--constraint", str(constraints), "--only-binary=:all:"]
    log = folder / "pip.log"
    status = children.run(
        "pip", [*command, "--no-input", "--disable-pip-version-check", "--quiet"], log=log, environment=dict(os.environ)
    )
    if status:
        raise StoreError(
            f"pip could not fetch the wheels: {tail(log)}",
            cure="Run it again where the network is (what was fetched is in pip's cache), or gather the wheels in a "
            "folder and name it with --wheels.",
        )
    constraints.unlink()
    log.unlink()


def _copied(wheels: Path, folder: Path) -> None:
    paths = sorted(wheels.glob("*.whl")) if wheels.is_dir() else []
    if not paths:
        raise ConfigError(f"there are no wheels in {str(wheels)!r}", cure="Name a folder with wheels (*.whl).")
    for path in paths:
        if not _fits(path.name):
            raise ConfigError(
                f"{path.name} is for another platform; this is {platform.system()} on {platform.machine()}",
                cure="Make the bundle on a machine like the one that it is for, with that machine's wheels.",
            )
        if not path.name.startswith("twofold-"):
            shutil.copyfile(path, folder / path.name)


def _fits(name: str) -> bool:
    """Is a wheel for this platform, as far as its name says?"""
    systems, machine = _SYSTEMS.get(platform.system(), ()), platform.machine().lower()
    for tag in name.removesuffix(".whl").rpartition("-")[2].split("."):
        if tag == "any" or (tag.startswith(systems) and (machine in tag or "universal" in tag)):
            return True
    return False


def _glibc(name: str) -> tuple[int, ...]:
    """The version of glibc that a wheel needs, the least of its tags; empty where it needs none."""
    tags = name.removesuffix(".whl").rpartition("-")[2].split(".")
    numbered = [re.match(r"manylinux_(\d+)_(\d+)_", tag) for tag in tags]
    versions = [(int(match[1]), int(match[2])) for match in numbered if match]
    versions += [_ALIASES[tag.partition("_")[0]] for tag in tags if tag.partition("_")[0] in _ALIASES]
    return min(versions, default=())
