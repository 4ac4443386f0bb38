"""The findings of ``twofold doctor``: the machine, its speed with Twofold, and advice.

Nothing here raises: a check that fails is a line among the findings. What is measured runs the product's own code (the
trainer's child process, the generator, the embedder) on a small fixed job, so that the figures are those of a study.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twofold.assembly import index_places, rehearsal
from twofold.config import Config
from twofold.errors import ModelNotPulled, ProjectMissing, TwofoldError, install
from twofold.host import cache, capabilities
from twofold.models import hub
from twofold.plugins import loading
from twofold.plugins.protocols import Progress
from twofold.settings.sections import Part
from twofold.types import Json

if TYPE_CHECKING:
    from twofold.project import Project
    from twofold.store.sharing import StoreSummary
    from twofold.study.plan_record import StudyPlan

NEEDED = ("local", "train")
"""Extras of the usual path: answering and embedding here, and tuning."""
ROOM_BYTES = 4 * 2**30
"""Free disk that a study with the embedded models can need: models, graphs and merged copies."""
QUICK_ABOVE = 20.0
"""Minutes of the full demo above which the small one is recommended."""
_STAGES = ("arithmetic", "training", "answering", "embedding")
"""The measurements, in the order in which they are made and shown."""


def examine(
    directory: Path, overrides: Json | None = None, *, quick: bool = False, progress: Progress | None = None
) -> Json:
    """Examine this machine: all that ``twofold doctor --json`` prints.

    Args:
        directory: A project, or any folder.
        overrides: Nested values laid over the project's `twofold.toml`.
        quick: Measure nothing; show what was measured before.
        progress: Called with the stage ``measure NAME``.

    Returns:
        ``project`` (what is wrong with the project in `directory`: ``message``, ``cure``, ``file``, ``line``; None
        where nothing is, or where there is no project), ``machine``, ``disk``, ``extras``, ``models``, ``speed``,
        ``uses``, ``store`` (what the object store has; None without), ``index`` (None, or of one outside of the project
        ``place``, ``bytes``, ``writer``, ``problem`` and ``cure``), ``minutes``, ``failed`` (checks that could not be
        made, and why), and ``todo``, imperative sentences, empty where nothing is to do.
    """
    failed: list[str] = []
    wrong: Json | None = None

    def attempt(what: str, check: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return check()
        except Exception as error:  # a diagnosis goes on: whatever fails is what it is for
            failed.append(f"{what}: {_words(error)}")
            return otherwise

    def measured(stage: str, check: Callable[[], Json | None]) -> Json | None:
        if progress is not None:
            progress(f"measure {stage}", 0, 1)
        measurement: Json | None = attempt(stage, check, None)
        if progress is not None:
            progress(f"measure {stage}", 1, 1)
        return measurement

    speed: Json = dict.fromkeys(_STAGES)
    # An earlier measurement of this machine, where there is one; replaced below unless `quick`.
    speed["arithmetic"] = attempt("arithmetic", capabilities.measured, None)
    extras = attempt("extras", _extras, [])
    present = attempt("models", hub.listing, [])
    here = {row["kind"] for row in present if row["pulled"] and not row["optional"]}
    lacking = {row["extra"] for row in extras if row["missing"]}
    if not quick:
        if capabilities.torch_version():
            speed["arithmetic"] = measured("arithmetic", capabilities.measure)
        # Each measurement needs its model and its extra; what lacks is among the advice already.
        if "generator" in here and "train" not in lacking:
            speed["training"] = measured("training", training)
        if "generator" in here and (capabilities.uses_cuda() or "local" not in lacking):
            speed["answering"] = measured("answering", answering)
        if "embedder" in here and "local" not in lacking:
            speed["embedding"] = measured("embedding", embedding)

    minutes: Json = {"demo": None, "demo_quick": None, "project": None, "paces": ""}
    # Advice on the arithmetic of each part is given outside a project too: by the defaults.
    config = None
    settings = Config()
    try:
        config = _config(directory, overrides)
        settings = config or settings
        if config is not None:
            minutes |= _planned(directory, overrides)
    except TwofoldError as error:
        # A project that cannot be opened is a finding; the machine is examined all the same.
        wrong = {"code": error.code, "message": error.message, "cure": error.cure}
        wrong |= {"file": error.file or "", "line": error.line or 0}
    except Exception as error:  # as in `attempt`
        failed.append(f"study of this project: {_words(error)}")
    if "embedder" in here and "local" not in lacking:  # a plan asks the embedder
        minutes |= attempt("demo", _demo_minutes, {})

    findings: Json = {
        "project": wrong,
        "machine": attempt("machine", _machine, {}),
        "disk": attempt("disk", lambda: _disk(directory), []),
        "extras": extras,
        "models": present,
        "speed": speed,
        "uses": attempt("arithmetic", lambda: _uses(settings), []),
        "store": attempt("object store", lambda: _store(directory, overrides), None) if settings.scale.store else None,
        "index": attempt("index", lambda: _index(settings), None),
        "minutes": minutes,
        "failed": failed,
    }
    return {**findings, "todo": attempt("advice", lambda: advise(findings, settings), [])}


# ---------------------------------------------------------------- what is here


def _machine() -> Json:
    cpu = capabilities.processor()
    return {
        "system": cpu.system,
        "architecture": cpu.architecture,
        "cpu": cpu.model,
        "instructions": list(cpu.instructions),
        "caps": list(cpu.caps),
        "cores": capabilities.cores(),
        "cores_machine": os.cpu_count() or 1,
        "cpu_quota": capabilities.cpu_quota(),
        "threads_set": os.environ.get("OMP_NUM_THREADS", ""),
        "memory_bytes": capabilities.memory_bytes(),
        "gpus": [
            {"name": gpu.name, "capability": ".".join(map(str, gpu.capability)), "bytes": gpu.bytes}
            for gpu in capabilities.gpus()
        ],
        "gpu_used": capabilities.uses_cuda(),
        "mps": capabilities.has_mps(),
    }


def _disk(directory: Path) -> list[Json]:
    rows = []
    for name, path in (("cache", cache.cache_root()), ("project", directory.resolve())):
        # Neither folder need exist yet: the disk is that of the nearest one that does.
        there = next(place for place in (path, *path.resolve().parents) if place.is_dir())
        rows.append({"name": name, "path": str(path), "free_bytes": shutil.disk_usage(there).free})
    return rows


def _extras() -> list[Json]:
    """The package's extras: which of their packages are installed, in which version, and which are missing."""
    required = importlib.metadata.requires("twofold") or []
    rows: dict[str, Json] = {}
    for line in required:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        # "all" lists the packages of the others once more.
        if name is None or extra is None or extra[1] == "all":
            continue
        row = rows.setdefault(
            extra[1],
            {"extra": extra[1], "versions": {}, "missing": [], "install": install(extra[1])},
        )
        try:
            row["versions"][name[0]] = importlib.metadata.version(name[0])
        except importlib.metadata.PackageNotFoundError:
            row["missing"].append(name[0])
    # The extras of the usual path first.
    return [rows[name] for name in sorted(rows, key=lambda name: (name not in NEEDED, name))]


def _uses(config: Config) -> list[Json]:
    """The arithmetic of each part under this configuration, and why."""
    generator = config.generation.generator
    runtime = _runtime(str(generator.options.get("runtime", "auto")))
    trainer = config.tuning.trainer
    embedder = config.retrieval.embedder
    parts: list[tuple[str, str, str, capabilities.Device]] = []
    if generator.name == "local":
        options = generator.options
        # OpenVINO and torch reach different instructions on one CPU, so each part is asked for its own device.
        device: capabilities.Device = "openvino" if runtime == "openvino" else "auto"
        parts.append((f"answering ({runtime})", "dtype", str(options.get("dtype", "auto")), device))
    # A trainer at an endpoint computes elsewhere.
    if trainer.name != "openai":
        parts.append(("training", "dtype", str(trainer.options.get("dtype", "auto")), "auto"))
    if embedder.name in ("minilm", "torch"):
        device = "openvino" if embedder.name == "minilm" else "cpu"
        device = "cuda" if str(embedder.options.get("device", "")).startswith("cuda") else device
        parts.append(("embedding", "precision", str(embedder.options.get("precision", "auto")), device))
    rows = []
    for part, option, value, device in parts:
        chosen = capabilities.arithmetic(device)
        # Any value but these two is left to the plugin, so the fastest is shown.
        used = capabilities.resolve(value, device) if value in ("bf16", "f32") else chosen.dtype  # type: ignore[arg-type]
        because = chosen.because if value == "auto" else f'{option} = "{value}" is configured; {chosen.because}'
        rows.append({"part": part, "dtype": used, "fastest": chosen.dtype, "option": value, "because": because})
    return rows


def _index(config: Config) -> Json | None:
    """What is at `[scale].index`; None where the index lies in the project."""
    if not config.scale.index:
        return None
    row: Json = {"place": config.scale.index, "bytes": 0, "writer": "", "problem": "", "cure": ""}
    try:
        return {**row, "bytes": index_places.used(config), "writer": index_places.writer(config)}
    except TwofoldError as error:
        return {**row, "problem": error.message, "cure": error.cure}


def _runtime(configured: str) -> str:
    # As `generation.local` chooses, without loading it.
    if configured != "auto":
        return configured
    try:
        importlib.metadata.version("openvino-genai")
    except importlib.metadata.PackageNotFoundError:
        return "transformers"
    return "transformers" if capabilities.uses_cuda() else "openvino"


# ---------------------------------------------------------------- what it will take


def _config(directory: Path, overrides: Json | None) -> Config | None:
    try:
        with _opened(directory, overrides) as project:
            return project.config
    except ProjectMissing:
        return None


def _opened(directory: Path, overrides: Json | None = None) -> Project:
    from twofold.project import Project

    return Project.open(directory, overrides)


def _store(directory: Path, overrides: Json | None) -> StoreSummary | None:
    """What the project's object store has, and what is not in it yet; asking it shows that it answers."""
    with _opened(directory, overrides) as project:
        return project.sharing.summary()


def _planned(directory: Path, overrides: Json | None) -> Json:
    with _opened(directory, overrides) as project:
        plan = project.plan()
        return {"project": plan.minutes, "paces": plan.rates}


def _demo_minutes() -> Json:
    """Minutes that `twofold demo` and `twofold demo --quick` take here."""
    whole, quick = demo_plan(quick=False), demo_plan(quick=True)
    return {"demo": whole.minutes, "demo_quick": quick.minutes, "paces": whole.rates}


def demo_plan(*, quick: bool) -> StudyPlan:
    """The plan of the demo, or of the small one, from a project of it that is not run."""
    from twofold.project import Project

    # A project thrown away: a plan writes nothing, but needs a twofold.toml of the demo's settings.
    with tempfile.TemporaryDirectory() as scratch, resources.as_file(resources.files("twofold") / "demo") as source:
        Project.create(Path(scratch) / "demo", source, quick=quick, forgetting=False).close()
        with Project.open(Path(scratch) / "demo") as project:
            return project.plan()


# ---------------------------------------------------------------- measurements


def training() -> Json:
    """Two steps of LoRA on the embedded model by the real trainer: ``{tokens_per_second, seconds, tokens, dtype}``."""
    return rehearsal.training(Part(name="lora"), _generator())


def answering() -> Json:
    """Prompts for the local generator: prompt and completion tokens a second, and seconds to load."""
    return rehearsal.answers(Part(name="local", options={"model": _generator()}))


def embedding() -> Json:
    """Passages of some sixty words by the default embedder: ``{chunks_per_second, chunks, seconds}``."""
    return rehearsal.embedding(loading.make("embedders", "minilm", {}))


def _generator() -> str:
    return next(name for name, model in hub.definitions().items() if model.kind == "generator")


# ---------------------------------------------------------------- what to do


def advise(findings: Json, config: Config) -> list[str]:
    """Imperative sentences, the most useful first; empty where nothing is to do. Pure.

    Args:
        findings: What `examine` returns, without ``todo``.
        config: The project's configuration, or the defaults.
    """
    todo = []
    wrong = findings["project"]
    if wrong and wrong["code"] == ModelNotPulled.code:
        # The one fault of a project that `twofold models pull` mends: it has an advice of its own.
        todo.append(f"Pull the model that this project names: {wrong['cure']}")
    elif wrong:
        place = f"{wrong['file']}:{wrong['line']}: " if wrong["line"] else f"{wrong['file']}: " if wrong["file"] else ""
        todo.append(f"Mend this project first: {place}{wrong['message']}. {wrong['cure']}")
    index = findings.get("index")
    # Of a project that cannot be opened for the same reason it was told already.
    if index and index["problem"] and not (wrong and wrong["message"] == index["problem"]):
        todo.append(f"Mend the place of the index ({index['place']}): {index['problem']}. {index['cure']}")
    lacking = [row["extra"] for row in findings["extras"] if row["missing"] and row["extra"] in NEEDED]
    if lacking:
        todo.append(f"Install what answering, embedding and tuning need: {install(','.join(lacking))}")
    if any(not row["pulled"] and not row.get("optional") for row in findings["models"]):
        todo.append("Pull the embedded models: twofold models pull")
    for row in findings["disk"]:
        if row["free_bytes"] < ROOM_BYTES:
            todo.append(
                f"Free disk space for the {row['name']} ({row['path']}): {row['free_bytes'] / 2**30:.1f} GiB are left, "
                f"{ROOM_BYTES / 2**30:.0f} GiB can be needed."
            )
    for row in findings["uses"]:
        if row["dtype"] == "bf16" and row["fastest"] == "f32":
            todo.append(f'Set the arithmetic of {row["part"]} to "auto": bf16 is slow here, and f32 is exact.')
    computer = findings["machine"]
    memory = computer.get("memory_bytes", 0)
    needed_gib = float(config.tuning.trainer.options.get("memory_gib", 8.0))
    if memory and memory < needed_gib * 2**30:
        todo.append(
            f"Set [tuning.trainer.options].memory_gib = {max(2, int(memory * 0.7 / 2**30))}: training may take "
            f"{needed_gib:g} GiB, this machine has {memory / 2**30:.1f} GiB."
        )
    for cap in computer.get("caps", ()):
        todo.append(f"Unset {cap.partition('=')[0]} unless it is meant: {cap} hides instructions of this CPU.")
    quota = computer.get("cpu_quota", 0)
    if quota and quota < computer["cores_machine"] and not computer["threads_set"]:
        todo.append(
            f"Set OMP_NUM_THREADS={computer['cores']}: the cgroup allows {quota:g} of {computer['cores_machine']} "
            "cores, and more threads than that wait for each other."
        )
    if computer.get("gpus") and not computer["gpu_used"]:
        todo.append("Install a torch built for CUDA to use the GPU: the installed one computes on the CPU only.")
    minutes = findings["minutes"]
    if (minutes["demo"] or 0) > QUICK_ABOVE and minutes["demo_quick"] and not wrong:
        todo.append(
            f"Begin with `twofold demo --quick` (about {minutes['demo_quick']:.0f} minutes here; the whole demo "
            f"takes about {minutes['demo']:.0f})."
        )
    if findings["failed"]:
        todo.append("Look at the checks that failed above.")
    return todo


def _words(error: Exception) -> str:
    """An error that says what is wrong in its own words; of any other one the class says as much."""
    text = str(error)
    return (
        text if text and isinstance(error, TwofoldError | OSError) else f"{type(error).__name__}: {text}".rstrip(": ")
    )
