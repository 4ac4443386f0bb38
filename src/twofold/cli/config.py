"""`twofold config`: every value in force, with its origin; or the retrieval pipeline as a diagram."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from twofold.cli.session import Run
from twofold.cli.terminal import console
from twofold.hashing import plain
from twofold.text.masking import masked


def config(
    run: Run,
    *,
    pipeline: Annotated[
        bool,
        typer.Option("--pipeline", help="Show the stages of retrieval instead; as Mermaid with --json."),
    ] = False,
) -> None:
    """Print every value with its origin: default, twofold.toml, or override."""
    from twofold.settings.loading import load, origins

    if pipeline:
        stages = stages_of(load(run.directory, run.overrides))
        run.result({"stages": stages, "mermaid": mermaid(stages)}, diagram(stages))
        return
    rows = [(key, masked(plain(value), key), origin) for key, value, origin in origins(run.directory, run.overrides)]
    # The weight "auto" says nothing: beside it stands the weight that the project's own questions chose.
    if any(key.endswith(".lexical") and value == "auto" for key, value, _ in rows):
        chosen = _weight(run)
        rows = [(key, value, f"{o}; {chosen}" if key.endswith(".lexical") and chosen else o) for key, value, o in rows]
    if run.json:
        run.result({key: {"value": value, "origin": origin} for key, value, origin in rows})
        return
    # A pipe gets a line a key, as TOML writes it, with the origin as a comment.
    if not sys.stdout.isatty():
        run.result(None, "\n".join(f"{key} = {json.dumps(value, ensure_ascii=False)}  # {o}" for key, value, o in rows))
        return
    from rich.table import Table

    table = Table("key", "value", "origin", box=None, pad_edge=False, header_style="bold")
    for key, value, origin in rows:
        table.add_row(key, json.dumps(value, ensure_ascii=False), origin, style=None if origin == "default" else "bold")
    console().print(table)


def _weight(run: Run) -> str:
    """The weight of the word leg where the settings leave it to the project; empty where nothing was synced yet."""
    from twofold.errors import TwofoldError

    try:
        with run.project() as project:
            return project.workspace.search.words_explained() if project.derived.is_dir() else ""
    except TwofoldError:  # a model that is not here: the settings are shown all the same
        return ""


def stages_of(config: Any) -> list[dict[str, Any]]:
    """The resolved pipeline in order: ``kind``, ``name``, and the ``options`` that differ from the defaults."""
    from twofold.plugins import loading, protocols

    retrieval = config.retrieval
    kinds: list[tuple[protocols.Kind, Any]] = [
        *(("rewriters", part) for part in retrieval.rewriters),
        ("retrievers", retrieval.retriever),
        *(("rerankers", part) for part in retrieval.rerankers),
    ]
    stages: list[dict[str, Any]] = []
    for kind, part in kinds:
        chosen = loading.options(kind, part.name, part.options, where=f"retrieval.{kind}").model_dump(mode="json")
        # Only what differs from the defaults is drawn: a diagram of all options would hide what was chosen.
        usual = {key: field.get_default(call_default_factory=True) for key, field in _fields(kind, part.name).items()}
        changed = {key: value for key, value in chosen.items() if plain(usual.get(key)) != value}
        stages.append({"kind": kind[:-1], "name": part.name, "options": changed})
    shown = {"k": retrieval.k} | ({"depth": retrieval.depth} if retrieval.rerankers else {})
    shown |= {"budget": retrieval.budget} if retrieval.budget else {}
    return [*stages, {"kind": "context", "name": "passages", "options": shown}]


def _fields(kind: Any, name: str) -> Any:
    from twofold.plugins.loading import find

    return find(kind, name).Options.model_fields


def diagram(stages: list[dict[str, Any]]) -> str:
    """The stages as text, one below the other."""
    lines = ["question"]
    for stage in stages:
        options = ", ".join(f"{key}={json.dumps(value)}" for key, value in stage["options"].items())
        lines += ["   |", "   v", f"{stage['kind']:<10} {stage['name']}" + (f"  ({options})" if options else "")]
    return "\n".join(lines)


def mermaid(stages: list[dict[str, Any]]) -> str:
    """The stages as a Mermaid flow chart."""
    lines = ["flowchart TD", '  s0(["question"])']
    for number, stage in enumerate(stages, 1):
        options = "<br/>".join(f"{key} = {value}" for key, value in stage["options"].items())
        label = f"{stage['kind']}<br/>{stage['name']}" + (f"<br/>{options}" if options else "")
        # Mermaid reads entities without the ampersand.
        lines += [f'  s{number}["{label.replace(chr(34), "#quot;")}"]', f"  s{number - 1} --> s{number}"]
    return "\n".join(lines)
