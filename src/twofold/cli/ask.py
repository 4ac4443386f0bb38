"""`twofold ask`: one question answered by one arm, with its evidence."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.cli.answering import Answerer
from twofold.cli.session import Run
from twofold.cli.terminal import one_line, say
from twofold.errors import ConfigError, GenerationError
from twofold.hashing import plain
from twofold.text import sanitise
from twofold.types import Answer, Citation

if TYPE_CHECKING:
    from twofold.answering.attribution import CitationTest
    from twofold.serving.bodies import OwnerBody

FAILED = 3
"""Exit code when there is no answer."""
UNTESTED = 1
"""Exit code when there is an answer whose citations could not be tested."""


def ask(
    run: Run,
    *,
    question: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUESTION", help="The question, in quotes.", show_default=False),
    ] = None,
    chat: Annotated[
        bool,
        typer.Option("--chat", help="Hold a conversation: follow-ups are understood; /help lists its commands."),
    ] = False,
    arm: Annotated[
        str,
        typer.Option(
            "--arm",
            metavar="ARM",
            help="Arm, such as base, rag, prompt+rag or ft+rag; by default the arm that the verdict chose.",
        ),
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Answer with this tuned model (id or alias), in its arm.")
    ] = "",
    history: Annotated[
        Path | None,
        typer.Option(
            "--history",
            metavar="FILE",
            help='The conversation before the question: a JSON list, or JSON Lines, of {"role", "content"}.',
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="Only documents whose metadata match: 'price < 30', 'day >= 2031-04-02', 'lang in de, en', 'tags "
            "contains red', 'owner missing'. Repeatable; all must hold.",
        ),
    ] = None,
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="Name of the user who asks; required if [access] is enabled.")
    ] = "",
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="NAME", help="A group of that user. Repeatable.")
    ] = None,
    test_citations: Annotated[
        bool,
        typer.Option(
            "--test-citations",
            help="Leave each cited passage out and see whether the answer becomes less likely: some seconds, with the "
            "local generator.",
        ),
    ] = False,
) -> None:
    """Answer a question with the study's system; print the sources, the other passages read, and the arm used.

    On a terminal the words appear as they are written; with --json, or into a pipe, the whole answer comes at once.
    Exit codes: 0 answered; 1 answered, but the citations could not be tested; 3 no answer.
    """
    # Before the project is opened: a question that cannot be asked costs nothing.
    words = _question(question or [], chat=chat)
    body = _body(words, history, arm=arm, model=model, user=user, groups=group or [], where=where or [])
    if chat and test_citations:
        raise typer.BadParameter("--test-citations and --chat cannot be combined")
    if chat:
        from twofold.cli.chat import Chat
        from twofold.settings.loading import load

        Chat(run, load(run.directory, run.overrides), body).run(words)
        return
    pieces: list[str] = []
    tests: tuple[CitationTest, ...] = ()
    untested: GenerationError | None = None
    with Answerer(run, here=test_citations) as answering, ExitStack() as shown:

        def write(piece: str) -> None:
            shown.close()  # the live progress display would break the line that is being written
            pieces.append(piece)
            say(piece, nl=False)

        progress = shown.enter_context(run.progress())
        # A pipe gets the answer whole, as it stands after markers and repetitions were taken out.
        written = write if sys.stdout.isatty() and not run.json else None
        answer, made_by = answering.ask(body, written=written, progress=progress)
        if test_citations:
            try:
                tests = answering.citation_tests(body, answer)
            except GenerationError as error:
                # The answer stands, and may have been paid for: it is printed all the same.
                untested = error
    if made_by["behind"]:
        run.note(f"note: {made_by['behind']}")
    for remark in made_by["passed_over"]:
        run.note(f"note: {remark}")
    result, lines = record(answer, made_by), [text(answer, made_by, streamed="".join(pieces))]
    if untested is not None:
        fault = {"code": untested.code, "message": untested.message, "cure": untested.cure}
        result |= {"citation_tests": None, "citation_tests_error": fault}
    elif test_citations:
        result["citation_tests"] = plain(tests)
        lines += ["", *tested_lines(tests)]
    run.result(result, "\n".join(lines))
    if answer.failure is not None:
        # The answer's record is printed all the same: with --json a script sees what failed.
        say(f"error: no answer ({answer.failure.code}): {answer.failure.message}", err=True)
        typer.echo("help: Check the [generation] section; --verbose shows what the engine said.", err=True)
        raise typer.Exit(FAILED)
    for step in answer.trace:
        # Only the steps that looked for hostile text name passages by kind of attack.
        for number, kinds in step.get("passages", {}).items() if step["step"] == "hostile text" else ():
            run.note(f"note: passage [{number}] looks like an attack ({', '.join(kinds)}); it is shown as data only")
    if untested is not None:
        say(f"error: {untested.message}", err=True)
        say(f"help: {untested.cure}", err=True)
        raise typer.Exit(UNTESTED)


def _body(question: str, history: Path | None, **options: Any) -> OwnerBody:
    from twofold.serving.bodies import OwnerBody, OwnerTurn

    body = OwnerBody(text=question, **options)
    if history is None:
        return body
    from twofold.asking import read_history

    turns = [OwnerTurn(role=turn.role, content=turn.content) for turn in read_history(history)]
    return body.model_copy(update={"history": turns})


def _question(words: list[str], *, chat: bool) -> str:
    """The question, which is one argument of the command; empty in a chat that begins without.

    Raises:
        BadParameter: it is missing or empty, or its words are not in quotes.
    """
    if not words and chat:
        return ""
    if not words:
        raise typer.BadParameter('the question is missing: write twofold ask "…", or twofold ask --chat')
    if len(words) > 1:
        # The corrected command, ready to be copied; its quotes must not end early.
        whole = " ".join(words).replace('"', "'")
        raise typer.BadParameter(f'the question is not in quotes: write twofold ask "{whole}"')
    if not words[0].strip():
        raise typer.BadParameter("the question is empty")
    try:
        require_text(words[0])
    except ConfigError as error:
        raise typer.BadParameter(error.message) from error
    return words[0]


def require_text(question: str) -> None:
    """Refuse what is no text.

    Raises:
        ConfigError: it is not UTF-8.
    """
    # Python keeps bytes that are no UTF-8 as lone surrogates; no tokenizer takes them.
    if any("\ud800" <= letter <= "\udfff" for letter in question):
        raise ConfigError(
            "the question is not UTF-8: set the terminal, or the file it comes from, to UTF-8",
            cure="Set the terminal to UTF-8.",
        )


def record(answer: Answer, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """The whole answer as JSON values, each citation with its document, title, place and quoted words."""
    value: dict[str, Any] = plain(answer)
    for row, hit, place in zip(value["hits"], answer.hits, made_by["places"], strict=True):
        row["flags"] = list(sanitise.kinds(hit.chunk.text))
        row["place"] = place
    for row, citation in zip(value["citations"], answer.citations, strict=True):
        row.update(_described(answer, citation, made_by))
    attached = made_by["attached"]
    if attached:
        # A passage that Twofold attached is described as a citation is; it is not one, so it has a key of its own.
        made_by = {**made_by, "attached": {**attached, **_described(answer, _citation(attached), made_by)}}
    return {**value, **{name: item for name, item in made_by.items() if name not in ("places", "names")}}


def text(answer: Answer, made_by: Mapping[str, Any], *, streamed: str = "") -> str:
    """The answer for people: its text with markers, its sources, what else was read, and which arm answered why.

    Args:
        answer: What was answered.
        made_by: Where it comes from; see `asking.provenance`.
        streamed: What stands on the terminal already, on the line that this text goes on.
    """
    if answer.failure is not None:
        return ""
    marks = "".join(f" [{citation.number}]" for citation in answer.citations)
    if answer.cut:
        marks = f" … (cut at {made_by['max_tokens']} tokens: raise [generation].max_tokens){marks}"
    lines = [_first(answer, marks, streamed)]
    lines += [f"({made_by['unsupported']})"] if made_by["unsupported"] else []
    cited = {citation.number for citation in answer.citations}
    for citation in answer.citations:
        lines += _evidence(answer, citation, made_by)
    if made_by["attached"]:
        citation = _citation(made_by["attached"])
        cited.add(citation.number)
        lines += _evidence(answer, citation, made_by, remark=": found by Twofold, the answer cites nothing")
    # Passages are numbered from 1, as in the prompt.
    rest = [number for number in range(1, len(answer.hits) + 1) if number not in cited]
    if rest:
        lines += ["", "read, not cited:"]
        lines += [f"    {_title(answer, number, made_by)}: {_start(answer, number)}" for number in rest]
    model = f", model {made_by['model'].partition(':')[2][:12]}" if made_by["model"] else ""
    return "\n".join([*lines, "", f"answered by {made_by['arm']}{model}: {made_by['why']}"])


def tested_lines(tests: Sequence[CitationTest]) -> list[str]:
    """The tests of the citations, a line each."""
    outcomes = {
        "holds": "the answer rests on it",
        "elsewhere": "the answer does not rest on it, but on passage",
        "unclear": "not shown: the answer is no less likely without it than after other small changes",
    }
    lines = []
    for test in tests:
        named = f" [{test.better}]" if test.better else ""
        lines.append(
            f"citation [{test.number}] tested: {outcomes[test.outcome]}{named} (without it the log-likelihood falls by "
            f"{test.drop:.1f} beyond {test.controls} changes of no meaning; at least {test.low:.1f} at 95 %)"
        )
    return lines or ["no citation to test"]


def short_text(answer: Answer, made_by: Mapping[str, Any], *, streamed: str = "") -> str:
    """An answer of a conversation: as `text`, but of each source only its name and place."""
    cut = f" … (cut at {made_by['max_tokens']} tokens)" if answer.cut else ""
    marks = cut + "".join(f" [{citation.number}]" for citation in answer.citations)
    lines = [_first(answer, marks, streamed)]
    lines += [f"({made_by['unsupported']})"] if made_by["unsupported"] else []
    lines += [f"    {_title(answer, citation.number, made_by)}" for citation in answer.citations]
    if made_by["attached"]:
        number = made_by["attached"]["number"]
        lines.append(f"    {_title(answer, number, made_by)}: found by Twofold, the answer cites nothing")
    return "\n".join(lines)


def _first(answer: Answer, marks: str, streamed: str) -> str:
    """The answer with its marks; where its words stand on the terminal already, what follows them."""
    if not streamed:
        return answer.text + marks
    # Markers and what is no answer are taken out after the fact: then what was taken as the answer is shown.
    same = streamed.split() == answer.text.split()
    return marks if same else f"\n(taken as: {answer.text}{marks})"


def _evidence(answer: Answer, citation: Citation, made_by: Mapping[str, Any], *, remark: str = "") -> list[str]:
    from twofold.answering.citing import evidence

    words, exact = evidence(answer, citation)
    body = textwrap.wrap(
        f"{'quote' if exact else 'passage'}: “{words}”", 96, initial_indent="    ", subsequent_indent="    "
    )
    return ["", _title(answer, citation.number, made_by) + remark, *body]


def _start(answer: Answer, number: int) -> str:
    return f"“{textwrap.shorten(answer.hits[number - 1].chunk.text, 64, placeholder=' …')}”"


def _title(answer: Answer, number: int, made_by: Mapping[str, Any]) -> str:
    place = made_by["places"][number - 1]
    return f"[{number}] {one_line(_named(answer, number, made_by))}" + (f", {one_line(place)}" if place else "")


def _named(answer: Answer, number: int, made_by: Mapping[str, Any]) -> str:
    """Title and name of the document a passage is of; of a record the name says its file."""
    chunk = answer.hits[number - 1].chunk
    names = made_by.get("names", ())
    name = names[number - 1] if names else chunk.span.document
    return f"{chunk.title} ({name})" if chunk.title else name


def _described(answer: Answer, citation: Citation, made_by: Mapping[str, Any]) -> dict[str, Any]:
    from twofold.answering.citing import evidence

    words, exact = evidence(answer, citation)
    title = _named(answer, citation.number, made_by)
    return {"title": title, "text": words, "exact": exact, "place": made_by["places"][citation.number - 1]}


def _citation(value: dict[str, Any]) -> Citation:
    from twofold.types import Span

    quote = Span(**value["quote"]) if value["quote"] else None
    return Citation(number=value["number"], span=Span(**value["span"]), quote=quote)
