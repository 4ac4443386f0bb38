"""`twofold models`: the embedded models, and the models that a project tuned: which is in use, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.cli.gc import gc
from twofold.cli.session import Run, command
from twofold.cli.terminal import one_line, say
from twofold.files import writing
from twofold.hashing import plain

if TYPE_CHECKING:
    from twofold.project import Project
    from twofold.store.model_record import AliasMove

ELSEWHERE = ("project", "settings")
"""Common options that mean nothing to embedded models: they belong to the user, not to a project."""
app = typer.Typer(help="List, show, compare, promote and export models.", no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(metavar="MODEL", help="Alias (such as champion), id, or the beginning of an id.")]
Alias = Annotated[
    str, typer.Option("--alias", metavar="ALIAS", help="Alias: champion, candidate, or a name of your choice.")
]
By = Annotated[
    str,
    typer.Option("--by", metavar="WHO", help="Name of the person who decides; by default the operating system's user."),
]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Reason, for the audit log.")]


def list_models(run: Run) -> None:
    """List the models that Twofold knows, and inside a project those it tuned."""
    from twofold.errors import ProjectMissing
    from twofold.forgetting.suite import outcome
    from twofold.models import hub
    from twofold.store.model_registry import short

    run.require_folder()
    rows: list[dict[str, Any]] = plain(hub.listing())
    lines: list[str] = []
    for row in rows:
        named = f" {row['name']}" if row["optional"] else ""
        state = f"{row['bytes'] / 2**20:.0f} MiB at {row['path']}"
        if not row["pulled"]:
            state = f"not here: twofold models pull{named}"
        lines += [f"{row['name']} ({row['kind']}, {row['licence']}): {state}", f"    {row['about']}"]
        if row["optional"]:
            lines.append(f"    optional; {_accepted(row)}" if row["terms"] else "    optional")
    try:
        with run.project() as project:
            # Nothing was derived yet: asking must not make the catalogue's file.
            tuned = project.models.listing() if project.derived.is_dir() else []
    # Embedded models belong to the user: they are listed outside a project as well.
    except ProjectMissing:
        tuned = []
    for model in tuned:
        gate = "not gated" if model["gate"] is None else f"gate {outcome(model['gate']).replace('failed', 'FAILED')}"
        # Records outlive their weights, which `gc` removes: a study still names them.
        state = f"{model['bytes'] / 2**20:.1f} MiB" if model["here"] else "files gone"
        names = f" [{', '.join(model['aliases'])}]" if model["aliases"] else ""
        studies = f"; in studies {', '.join(model['studies'])}" if model["studies"] else ""
        # Which of several training runs it is.
        seed = "" if model["seed"] is None else f", seed {model['seed']}"
        lines += [
            f"{short(model['id'])}{names}: {model['base']['model']}, {model['method']}, arm {model['arm']}, {gate}, "
            f"{state}",
            f"    made {model['made'][:19]}{seed}{studies}",
        ]
        rows.append({"name": model["id"], "kind": "tuned", **plain(model)})
    run.result(rows, "\n".join(lines))


def pull(
    run: Run,
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Models to pull; by default all but optional ones.")
    ] = None,
    accept_terms: Annotated[
        bool,
        typer.Option(
            "--accept-terms", help="You have read the terms of use of the named models (models terms), and accept them."
        ),
    ] = False,
) -> None:
    """Download models into the user cache and check their pinned digests; existing models are kept.

    Where a model has terms of use, they are shown, and the command asks; without a terminal it needs --accept-terms.
    """
    from twofold.models import hub
    from twofold.store.model_registry import user

    names = names or hub.usual()
    # asked before anything is fetched, which may take minutes
    by = {name: user() for name in names if accept_terms or _accepts(name)}
    places: dict[str, str] = {}
    with run.progress() as progress:
        for name in names:
            places[name] = str(hub.pull(name, accepted_by=by.get(name, ""), progress=progress))
    run.result(places, "\n".join(f"{name}: {place}" for name, place in places.items()))


def _accepts(name: str) -> bool:
    """Show the terms of a model that has some and is not here, and ask, where somebody sits at the terminal."""
    from twofold.models import hub

    definition = hub.resolve(name)
    if not definition.terms or hub.accepted(name) or not sys.stdin.isatty():
        return False
    # on stderr: the result is the model's place
    say(hub.terms(name)["text"], err=True)
    say(f"\nDo you accept these terms ({definition.terms_at})? [y/N] ", err=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def terms(
    run: Run, *, name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model, such as gemma3-270m.")]
) -> None:
    """Print the terms of use of a model that has some, and who accepted them here."""
    from twofold.models import hub

    record = hub.terms(name)
    run.result(record, record["text"])
    run.note(f"{record['address']} (sha256 {record['sha256']}): {_accepted(plain(record))}")


def _accepted(row: dict[str, Any]) -> str:
    """Who accepted a model's terms of use, and when; or that nobody did."""
    if row["accepted"] is None:
        return "terms of use, not accepted on this machine: twofold models terms " + str(
            row.get("name", row.get("model"))
        )
    return f"terms of use accepted by {one_line(row['accepted']['by'])} on {row['accepted']['at'][:10]}"


def path(
    run: Run, *, name: Annotated[str, typer.Argument(metavar="NAME", help="Name or source string of the model.")]
) -> None:
    """Print the directory of a pulled model."""
    from twofold.models import hub

    place = str(hub.locate(name))
    run.result({"name": name, "path": place}, place)


def show(
    run: Run,
    *,
    name: Name,
    card: Annotated[
        Path | None, typer.Option("--card", metavar="FILE", help="Also write the model card to this Markdown file.")
    ] = None,
) -> None:
    """Print the model card of a tuned model."""
    with run.project() as project:
        record = project.models.show(name)
        page = project.models.card(name)
    if card is not None:
        writing.save(card, page)
        run.note(f"written to {card}")
    run.result(plain(record), "" if card else page.rstrip())


def diff(
    run: Run,
    *,
    before: Name,
    after: Annotated[str, typer.Argument(metavar="MODEL", help="The model to compare with.")] = "champion",
) -> None:
    """Compare two tuned models: recipe, data, gate, and scores where they were compared."""
    from twofold.reports.model_card import estimate, level_text
    from twofold.store.model_registry import short
    from twofold.verdict.record import true_minus

    with run.project() as project:
        difference = project.models.diff(before, after)
    lines = [
        f"{short(difference['before'])} and {short(difference['after'])}"
        + (" are the same" if difference["same"] else "")
    ]
    lines += [f"  {place}: {one} -> {two}" for place, (one, two) in difference["changed"].items()]
    if difference["examples"]:
        e = difference["examples"]
        lines.append(
            f"  training examples: {e['only_before']} only before, {e['only_after']} only after, {e['both']} both"
        )
    for name, rows in difference["measured"].items():
        lines += [
            f"  {short(name)}, {row['source']}: {row['metric']} {estimate(row['estimate'])} ({level_text(row)})"
            for row in rows
        ]
    if difference["comparison"]:
        lines.append(f"compared: {difference['comparison']['because']}")
    run.result(plain(difference), true_minus("\n".join(lines)))


def promote(run: Run, *, name: Name, alias: Alias = "champion", by: By = "", why: Why = "") -> None:
    """Point an alias (champion by default) at a tuned model, after checking its files; writes an audit line."""
    with run.project() as project:
        move = project.models.registry.promote(name, alias=alias, who=by, why=why)
    run.result(move, _moved(move))


def rollback(run: Run, *, alias: Alias = "champion", by: By = "", why: Why = "") -> None:
    """Point an alias at its previous model; run again to go back one more step."""
    with run.project() as project:
        move = project.models.registry.rollback(alias=alias, who=by, why=why)
    run.result(move, _moved(move))


def log(run: Run) -> None:
    """Print the audit log: every move of an alias with person, time and reason."""
    with run.project() as project:
        moves = project.catalogue.models.alias_moves()
    run.result(moves, "\n".join(f"{move['at'][:19]} {_moved(move)}" for move in moves) or "no alias was ever given")


def export(
    run: Run,
    *,
    name: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL]",
            help="Alias (such as champion), id, or the beginning of an id; with --for by default what the latest study "
            "chose.",
        ),
    ] = "",
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", help="Directory to write to; each format gets a subdirectory.")
    ],
    form: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="FORMAT", help="peft (default), safetensors, gguf, gguf-adapter. Repeatable."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--for", metavar="ENGINE", help="vllm or llama.cpp: the format it takes, and the script that serves it."
        ),
    ] = "",
) -> None:
    """Write a tuned model for other programs; each format is compared with the trained model on 50 prompts."""
    from twofold.errors import UnknownName
    from twofold.lifecycle import serving_elsewhere

    if engine:
        serving_elsewhere.require_known(engine)
    with run.project() as project, run.progress() as progress:
        if not name:
            if not engine:
                raise UnknownName("no model is named", cure="Name an alias or an id: `twofold models list` shows them.")
            name = _chosen(project)
        report = project.models.export(name, to, forms=form or (), engine=engine, progress=progress)
    lines = []
    for exported in report["exports"]:
        p = exported["parity"]
        lines += [
            f"{exported['path']}: {exported['bytes'] / 2**20:.1f} MiB",
            f"    {p['greedy']} of {p['prompts']} prompts continued alike; logits differ by at most {p['logits']:.2g}, "
            f"tuning moves them by {p['moved']:.3g} (read by {p['reader']})",
        ]
    if "serving" in report:
        serving = report["serving"]
        lines += [f"{serving['script']}: starts {engine}; then in twofold.toml:", "", serving["settings"].rstrip()]
    run.result(plain(report), "\n".join(lines))


def _chosen(project: Project) -> str:
    """Id of the tuned model that answers by the latest study; empty where an arm without tuning does."""
    from twofold import asking

    workspace = project.workspace
    key = asking.chosen(workspace.models, workspace.systems.calibrations, project.records).model
    return next((row["id"] for row in project.models.listing() if key and row["key"] == key), "")


def _moved(move: AliasMove) -> str:
    from twofold.store.model_registry import short

    before = f" (was {short(move['before'])})" if move["before"] else ""
    why = f": {one_line(move['why'])}" if move["why"] else ""
    verb = "rolled back to" if move["action"] == "rollback" else "is now"
    return f"{move['alias']} {verb} {short(move['after'])}{before}, by {one_line(move['who'])}{why}"


command(app, "list", without=("settings",))(list_models)
command(app, "pull", without=ELSEWHERE)(pull)
command(app, "terms", without=ELSEWHERE)(terms)
command(app, "path", without=ELSEWHERE)(path)
command(app, "show")(show)
command(app, "diff")(diff)
command(app, "promote")(promote)
command(app, "rollback")(rollback)
command(app, "log")(log)
command(app, "export")(export)
command(app, "gc")(gc)
