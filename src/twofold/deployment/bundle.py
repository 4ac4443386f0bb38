"""An offline bundle: programs, weights and project in one file, for a machine that reaches no network.

Which weights a project needs is not worked out but seen: the arm answers one question, and whatever it takes from the
cache of models goes into the bundle. The answer goes with it, so that the installation can ask the same.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from twofold import __version__
from twofold.config import FILE
from twofold.deployment import archives, installer, programs, snapshot
from twofold.deployment.snapshot import PARTS, Omission, Snapshot
from twofold.errors import ConfigError, GenerationError, StoreError, TooFewExamples
from twofold.hashing import plain, sha256_of
from twofold.host.cache import cache_root, witnessed
from twofold.improvement import settings
from twofold.models import hub
from twofold.plugins.protocols import Progress, quiet
from twofold.project import Project
from twofold.settings.loading import origins
from twofold.store.migrations import MIGRATIONS
from twofold.text.masking import masked
from twofold.types import Json

BUNDLE = "bundle"
EXTRAS = ("data", "documents", "local", "multilingual", "ocr", "pgvector", "qdrant", "serve", "sources", "train")
"""Of Twofold's extras those that can be asked for."""
_BY_PLUGIN = {
    "lancedb": "local",
    "minilm": "local",
    "local": "local",
    "multilingual": "multilingual",
    "torch": "train",
    "pgvector": "pgvector",
    "qdrant": "qdrant",
    "weaviate": "weaviate",
    "pinecone": "pinecone",
}
"""Plugin → the extra with its packages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a bundle is made of."""

    arm: str = ""
    """Arm that is to answer; empty: the verdict's."""
    parts: Collection[str] = ()
    """Some of `PARTS` that go along; by default none does."""
    extras: Sequence[str] = ()
    """Further extras of Twofold, beside those that answering and serving need."""
    wheels: Path | None = None
    """Folder with wheels; None: pip fetches them."""
    programs: bool = True
    """Are the programs in it?"""
    key: Path | None = None
    """Private key of OpenSSH that signs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleReport:
    """What a bundle has in it."""

    file: str
    sha256: str
    """Of the whole file; empty where it was not asked for."""
    project: str
    twofold: str
    requirement: str
    """What pip installs from its wheels; empty without programs."""
    platform: Json
    """The machine that its programs are for; empty without programs."""
    check: Json | None
    """Question, arm, answer and the system's key, which the installation compares."""
    bytes: Json
    """Size of each part: ``wheels``, ``cache`` (weights), ``project``."""
    files: int
    signed: bool
    left_out: tuple[Omission, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> Json:
        """As JSON values."""
        return asdict(self)


def bundle(directory: Path, path: Path, contents: Contents, *, progress: Progress = quiet) -> BundleReport:
    """Write a bundle of a project.

    Args:
        directory: The project; the bundle has its `twofold.toml` as it stands, without an object store.
        path: The archive to write.
        contents: What goes in.
        progress: Shows fetching, reading and writing.

    Raises:
        ConfigError: the file exists, or a part, an extra or a folder of wheels is not usable.
        StoreError: the disk or pip refuses, or the key does not sign.
        GenerationError: the arm does not answer.
    """
    archives.require_new(path)
    # Opened here: of parts that were opened before nobody would see what they took from the cache.
    with witnessed() as places, Project.open(directory) as project:
        check = _answered(project, contents, progress)
    warnings = _warnings(project)
    without = [part for part in PARTS if part not in contents.parts]
    with (
        snapshot.taken(project.directory, project.config, without=without) as shot,
        tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.absolute().parent) as folder,
    ):
        work = Path(folder)
        files = {f"project/{name}": file for name, file in shot.files.items()}
        files |= _alone(project, work, shot)
        files |= _weights(project, places, shot)
        files |= _papers(places, work)
        manifest: Json = {
            "kind": BUNDLE,
            "twofold": __version__,
            "project": project.config.project.name,
            "catalogue": shot.catalogue,
            "check": check,
            "folders": {f"project/{name}": mode for name, mode in shot.folders.items()},
        }
        if contents.programs:
            wheels = work / "wheels"
            wheels.mkdir()
            extras = _extras(project, contents.extras)
            manifest["requirement"], manifest["platform"] = programs.collected(
                wheels, extras=extras, wheels=contents.wheels, progress=progress
            )
            files |= {f"wheels/{file.name}": file for file in wheels.glob("*.whl")}
        files["install.py"] = Path(installer.__file__)
        manifest["left_out"] = [dict(entry) for entry in shot.left_out]
        whole = archives.write(path, files, manifest, key=contents.key, progress=progress)
    return _report(path, whole, signed=contents.key is not None, warnings=warnings)


def verified(path: Path, *, key: Path | None = None) -> BundleReport:
    """Read a whole bundle, and compare it with its manifest, its signature and this machine.

    Args:
        path: The bundle.
        key: Public key that must have signed it.

    Raises:
        StoreError: it is damaged, not signed by that key, of a later version, or its programs are for another platform.
    """
    with archives.explained(path):
        manifest = installer.check(path, kind=BUNDLE, key=key)
        if reason := installer.why_not_here(manifest):
            raise reason
    if int(manifest.get("catalogue", 0)) > len(MIGRATIONS) and not manifest.get("requirement"):
        raise StoreError(
            f"the bundle's catalogue has version {manifest['catalogue']}; this Twofold knows versions up to "
            f"{len(MIGRATIONS)}",
            file=path,
            cure=f"Use Twofold {manifest['twofold']}, which wrote it, or a later version.",
        )
    return _report(path, manifest, signed=key is not None, warnings=())


# ---------------------------------------------------------------- what goes in


def _answered(project: Project, contents: Contents, progress: Progress) -> Json | None:
    """The arm's answer to a question; None where another machine's model would be asked."""
    for extra in contents.extras:
        if extra not in EXTRAS:
            raise ConfigError(f"there is no extra {extra!r}", cure=f"Choose among {', '.join(EXTRAS)}.")
    # Opening an arm answers nothing: it tells which one the verdict chose.
    with closing(project.open_system(arm=contents.arm)) as system:
        arm = system.arm
    needs_data = arm.shots or arm.schema or arm.optimised or arm.whole or arm.linear
    if needs_data and "data" not in contents.parts:
        raise ConfigError(
            f"the arm {arm.name!r} takes examples or documents from the project's own files, which are left out",
            cure="Add --with data.",
        )
    question = _question(project)
    if project.config.generation.generator.name == "openai":
        # A question costs money, and the other machine may have another endpoint.
        project.workspace.search.embedder.embed([question])
        return None
    progress("answer", 0, 1)
    answer, made_by = project.ask(question, arm=contents.arm)
    progress("answer", 1, 1)
    if answer.failure is not None:
        raise GenerationError(f"the arm {arm.name} does not answer: {answer.failure.message}")
    return {"question": question, "arm": made_by["arm"], "text": answer.text, "key": made_by["key"]}


def _question(project: Project) -> str:
    """A question of the project's examples, else one that any project answers somehow."""
    try:
        return next(iter(project.splits.test)).question
    except (TooFewExamples, StopIteration):
        return "What do the documents say?"


def _alone(project: Project, work: Path, shot: Snapshot) -> dict[str, Path]:
    """The settings without object store and database, which not every machine reaches: what the arm needs is here."""
    scale = project.config.scale
    away = {"store": f"the object store ({scale.store})", "database": f"the database ({scale.database})"}
    named = {key: what for key, what in away.items() if getattr(scale, key)}
    if not named:
        return {}
    copy = work / "settings"
    copy.mkdir()
    shutil.copy(project.directory / FILE, copy / FILE)
    settings.write(copy, {"scale": dict.fromkeys(named, "")})
    for key, what in named.items():
        shot.left_out.append(
            {
                "what": what,
                "because": "a bundle answers without a network: the records and models that it needs are in it",
                "cure": f"Set [scale].{key} again in the {FILE} of a machine that reaches it.",
            }
        )
    return {f"project/{FILE}": copy / FILE}


def _weights(project: Project, places: Collection[Path], shot: Snapshot) -> dict[str, Path]:
    """Files of the cache by their names in the archive; what lies elsewhere is noted as left out."""
    root, files = cache_root(), dict[str, Path]()
    for place in sorted(places):
        if place.is_relative_to(root):
            inner = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
            files |= {f"cache/{path.relative_to(root).as_posix()}": path for path in inner}
        elif not place.resolve().is_relative_to(project.directory.resolve()):
            shot.left_out.append(
                {
                    "what": str(place),
                    "because": "this model lies in a folder of its own, which twofold.toml names",
                    "cure": "Copy the folder to the same path on the other machine.",
                }
            )
    for name in {"openai"} & {project.config.generation.generator.name}:
        shot.left_out.append(
            {
                "what": f"the model behind the endpoint ({name})",
                "because": "it is not on this machine",
                "cure": "Let base_url in twofold.toml name an endpoint that the other machine reaches.",
            }
        )
    return files


def _papers(places: Collection[Path], work: Path) -> dict[str, Path]:
    """Terms and notices that must stand beside every copy of a model that is passed on."""
    files: dict[str, Path] = {}
    for row in hub.listing():
        if row["path"] and Path(row["path"]) in places:
            for name, content in hub.papers(row["name"]).items():
                file = work / "papers" / row["name"] / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                files[f"papers/{row['name']}/{name}"] = file
    return files


def _extras(project: Project, further: Sequence[str]) -> list[str]:
    """Extras of Twofold that answering and serving this project need, and those asked for beside them."""
    config = project.config
    generators = [config.generation.generator, *(config.of(name).generation.generator for name in config.models)]
    parts = [config.retrieval.index, config.retrieval.embedder, *generators]
    extras = {"serve", *further, *(_BY_PLUGIN[part.name] for part in parts if part.name in _BY_PLUGIN)}
    if any(part.options.get("runtime") == "transformers" for part in generators):
        extras.add("train")
    return sorted(extras)


def _warnings(project: Project) -> list[str]:
    """What whoever passes the bundle on should know: secrets that stand in `twofold.toml` itself."""
    secret = [
        key
        for key, value, origin in origins(project.directory)
        if origin == "twofold.toml" and masked(plain(value), key) != plain(value)
    ]
    return [f"{key} in twofold.toml is a secret, and is in the bundle: name a variable instead" for key in secret]


def _report(path: Path, manifest: Json, *, signed: bool, warnings: Sequence[str]) -> BundleReport:
    sizes = {"wheels": 0, "cache": 0, "project": 0}
    for name, entry in manifest["files"].items():
        part = name.partition("/")[0]
        if part in sizes:
            sizes[part] += int(entry["bytes"])
    return BundleReport(
        file=str(path),
        sha256=sha256_of(path),
        project=str(manifest.get("project", "")),
        twofold=str(manifest.get("twofold", "")),
        requirement=str(manifest.get("requirement", "")),
        platform=dict(manifest.get("platform", {})),
        check=manifest.get("check"),
        bytes=sizes,
        files=len(manifest["files"]),
        signed=signed,
        left_out=tuple(manifest.get("left_out", ())),
        warnings=tuple(warnings),
    )
