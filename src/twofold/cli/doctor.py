"""`twofold doctor`: the machine, what each part uses on it, how fast it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.progress import duration
from twofold.cli.session import Run
from twofold.hashing import plain

if TYPE_CHECKING:
    from twofold.types import Json


def doctor(
    run: Run,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not measure; show the figures of an earlier measurement.")
    ] = False,
) -> None:
    """Examine this machine: instructions, memory, extras, models, measured speed, use of each part, advice.

    Measuring takes about a minute on an idle machine and minutes on a busy one (progress is shown, and --quick
    measures nothing); inside a project the command also estimates the time of its study.
    """
    from twofold.cli.doctor_findings import examine

    run.require_folder()  # before minutes of measuring
    with run.progress() as progress:
        findings = examine(run.directory, run.overrides, quick=quick, progress=progress)
    run.result(plain(findings), "\n".join(lines(findings)))


def lines(findings: Json) -> Iterator[str]:
    """The findings for people."""
    if findings["project"]:
        yield _row("project", f"not usable: {findings['project']['message']}")
    # What is there, then how fast it is, then what to do about it.
    yield from _machine(findings["machine"])
    for row in findings["disk"]:
        yield _row(f"disk, {row['name']}", f"{_gib(row['free_bytes'])} free at {row['path']}")
    for row in findings["extras"]:
        versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        # An extra can be half installed: then both what is missing and what is there are shown.
        lack = f"missing {', '.join(row['missing'])}: {row['install']}" if row["missing"] else ""
        yield _row(f"extra {row['extra']}", "; ".join(filter(None, (lack, versions))) or "nothing to install")
    for row in findings["models"]:
        yield _row(
            f"{row['kind']} model",
            f"{row['name']}, {row['bytes'] / 2**20:.0f} MiB"
            if row["pulled"]
            else f"{row['name']} is not here{', and optional' if row['optional'] else ''}",
        )
    yield from _speed(findings["speed"])
    for row in findings["uses"]:
        yield _row(row["part"], f"{row['dtype']}, because {row['because']}")
    if store := findings["store"]:
        pending = f"; not there yet: {', '.join(store['pending'])}" if store["pending"] else ""
        yield _row(
            "object store", f"{store['artifacts']} artifacts, {store['records']} records at {store['url']}{pending}"
        )
        if store["keeps_versions"]:
            yield _row("object store", "its bucket keeps former versions: what is forgotten stays in them")
    if index := findings.get("index"):
        # What is wrong with it stands among what is to do.
        state = "not usable" if index["problem"] else f"{index['bytes'] / 2**20:.1f} MiB"
        yield _row("index", f"{index['place']}, {state}" + (f"; written by {index['writer']}" * bool(index["writer"])))
    yield from _minutes(findings["minutes"])
    for failure in findings["failed"]:
        yield _row("failed", failure)
    yield ""
    yield "To do:" if findings["todo"] else "Nothing to do."
    yield from (f"  - {sentence}" for sentence in findings["todo"])


def _machine(machine: Json) -> Iterator[str]:
    if not machine:
        return
    name = machine["cpu"] or "CPU not named by the system"
    yield _row("machine", f"{machine['system']}, {machine['architecture']}, {name}")
    caps = f" (under {', '.join(machine['caps'])})" if machine["caps"] else ""
    yield _row("instructions", (", ".join(machine["instructions"]) or "none that matter here") + caps)
    quota = f", the cgroup allows {machine['cpu_quota']:g}" if machine["cpu_quota"] else ""
    yield _row("cores", f"{machine['cores']} usable of {machine['cores_machine']}{quota}")
    yield _row("memory", f"{_gib(machine['memory_bytes'])} usable" if machine["memory_bytes"] else "not known")
    for gpu in machine["gpus"]:
        # A card that torch cannot use is shown as well: it explains why training is slow.
        state = "used" if machine["gpu_used"] else "not used: torch is missing or not built for CUDA"
        yield _row("GPU", f"{gpu['name']}, compute capability {gpu['capability']}, {_gib(gpu['bytes'])}, {state}")
    if machine["mps"]:
        yield _row("GPU", "Apple (MPS): seen, not used; Twofold was never run on it")


def _speed(speed: Json) -> Iterator[str]:
    arithmetic, training, answering, embedding = (
        speed[name] for name in ("arithmetic", "training", "answering", "embedding")
    )
    if arithmetic:
        yield _row("GFLOP/s of a core", ", ".join(f"{name} {value:.3g}" for name, value in arithmetic.items()))
    if training:
        rate, dtype = training["tokens_per_second"], training["dtype"]
        yield _row("training speed", f"{rate:.0f} tokens/s in {dtype} (embedded model, two steps of LoRA)")
    if answering:
        wrote, read = answering["completion_tokens_per_second"], answering["prompt_tokens_per_second"]
        loading = answering["loading_seconds"]
        yield _row("answering speed", f"{wrote:.0f} tokens/s written while reading {read:.0f}; {loading:.1f} s to load")
    if embedding:
        yield _row("embedding speed", f"{embedding['chunks_per_second']:.0f} chunks/s")
    if not any(speed.values()):
        yield _row("speed", "not measured")


def _minutes(minutes: Json) -> Iterator[str]:
    named = {"demo": "twofold demo", "demo_quick": "twofold demo --quick", "project": "this project's study"}
    for key, name in named.items():
        if minutes[key] is not None:
            yield _row("time", f"{name}: about {duration(minutes[key] * 60)}")
    if minutes["paces"]:
        yield _row("", f"({minutes['paces']})")


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _row(name: str, text: str) -> str:
    return f"{name:<22} {text}".rstrip()
