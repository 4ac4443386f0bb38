"""`twofold ask`: one question answered by one arm, with its evidence."""

from __future__ import annotations

import textwrap
from typing import Annotated, Any

import typer

from twofold import hostile
from twofold.cli.session import Run
from twofold.identity import plain
from twofold.types import Answer, Citation

FAILED = 3
"""Exit code when there is no answer."""


def ask(
    run: Run,
    *,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask.")],
    arm: Annotated[
        str, typer.Option("--arm", metavar="ARM", help="base, prompt, rag, ft or ft+rag; by default the verdict's.")
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Answer with this tuned model (id or alias), in its arm.")
    ] = "",
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="Who asks; needed where [access] is enabled.")
    ] = "",
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="NAME", help="A group of theirs. Repeatable.")
    ] = None,
) -> None:
    """Answer a question as the study's systems do, with numbered citations and quotes."""
    with run.project() as project, run.progress() as progress:
        answer, made_by = project.ask(question, arm=arm, model=model, user=user, groups=group or [], progress=progress)
    run.result(record(answer, made_by), text(answer))
    if answer.failure is not None:
        typer.echo(f"error: no answer ({answer.failure.code}): {answer.failure.message}", err=True)
        typer.echo("help: Check the [generation] section; --verbose shows what the engine said.", err=True)
        raise typer.Exit(FAILED)
    for step in answer.trace:
        for number, kinds in step.get("passages", {}).items() if step["step"] == "hostile text" else ():
            run.note(f"note: passage [{number}] looks like an attack ({', '.join(kinds)}); it is shown as data only")
    if not made_by["measured"]:
        run.note(f"note: arm {made_by['arm']}; this system has not been measured by a study (`twofold study`)")


def record(answer: Answer, made_by: dict[str, Any]) -> dict[str, Any]:
    """The whole answer as JSON values, each citation with its document, title and quoted words."""
    value: dict[str, Any] = plain(answer)
    for row, hit in zip(value["hits"], answer.hits, strict=True):
        row["flags"] = list(hostile.kinds(hit.chunk.text))
    for row, citation in zip(value["citations"], answer.citations, strict=True):
        title, words, exact = evidence(answer, citation)
        row |= {"title": title, "text": words, "exact": exact}
    return {**value, **made_by}


def text(answer: Answer) -> str:
    """The answer for people: text with its markers, then each citation's title and words."""
    if answer.failure is not None:
        return ""
    marks = "".join(f" [{citation.number}]" for citation in answer.citations)
    lines = [answer.text + marks]
    for citation in answer.citations:
        title, words, exact = evidence(answer, citation)
        kind = "quote" if exact else "passage"
        lines += ["", f"[{citation.number}] {title}"]
        lines += textwrap.wrap(f"{kind}: “{words}”", 96, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def evidence(answer: Answer, citation: Citation) -> tuple[str, str, bool]:
    """Title (or document id), words, and whether they are the answer's own words rather than the whole passage."""
    chunk = next((hit.chunk for hit in answer.hits if hit.chunk.span == citation.span), None)
    if chunk is None:
        return citation.span.document, "", False
    title = f"{chunk.title} ({citation.span.document})" if chunk.title else citation.span.document
    if citation.quote is None:
        return title, " ".join(chunk.text.split()), False
    start = citation.quote.start - chunk.span.start
    return title, " ".join(chunk.text[start : citation.quote.end - chunk.span.start].split()), True
