"""`twofold compare`: two studies question by question, for people and for CI."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.cli.session import Run
from twofold.cli.terminal import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from twofold.reports.comparison import Stored, StudyComparison
    from twofold.reports.side_by_side import ComparedAnswer
    from twofold.types import Estimate

WORSE, CANNOT_TELL = 1, 4
"""Exit codes of ``--fail-if-worse``."""
_SHOWN = 10
"""Questions of a kind, and differences, that are printed; JSON has all."""
_WIDTH = 150
"""Characters of a text in a line."""


def compare(
    run: Run,
    *,
    first: Annotated[
        str,
        typer.Argument(metavar="FIRST", help="The study to compare with: name, number, or path of its directory."),
    ],
    second: Annotated[
        str, typer.Argument(metavar="[SECOND]", help="The other study; the project's latest by default.")
    ] = "",
    arm: Annotated[
        str,
        typer.Option(
            "--arm",
            metavar="NAME[,NAME]",
            help="The arm to compare, or one of each study; by default the one that FIRST chose, else SECOND's, else "
            "the best.",
        ),
    ] = "",
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAME", help="The metric; by default the one that decided both.")
    ] = "",
    fail_if_worse: Annotated[
        float | None,
        typer.Option(
            "--fail-if-worse",
            metavar="MARGIN",
            min=0.0,
            max=1.0,
            help="Exit with 1 where SECOND is shown worse by more than MARGIN, with 4 where the questions cannot tell.",
        ),
    ] = None,
) -> None:
    """Compare two studies question by question: the difference, what became better or worse, and what differs.

    Questions are the same by their words. With --fail-if-worse MARGIN the exit code says what the interval of the
    difference SECOND - FIRST shows: 0 not worse (its lower end is at or above -MARGIN), 1 worse (its upper end is below
    -MARGIN), 4 cannot tell (neither). Exit code 3: the studies cannot be compared.
    """
    from twofold.reports.comparison import compare as compared
    from twofold.study.comparing import statistics

    (former, _), (latter, directory) = _stored(run, first, second)
    statistic = statistics(former, latter, directory=directory)
    comparison = compared(former, latter, arm=arm, metric=metric, statistic=statistic)
    run.result(comparison.to_json(fail_if_worse), "\n".join(_lines(comparison, fail_if_worse)))
    if fail_if_worse is None:
        return
    standing = comparison.standing(fail_if_worse)
    if standing != "not worse":
        raise typer.Exit(WORSE if standing == "worse" else CANNOT_TELL)


def _stored(run: Run, *studies: str) -> list[tuple[Stored, Path]]:
    """Record, answers and directory of each study; the project is opened only where one is named and not a path."""
    from twofold.reports import archive

    stored: list[tuple[Stored, Path]] = []
    with ExitStack() as opened:
        records = None
        for study in studies:
            directory = archive.at_path(study)
            if directory is None:
                records = records or opened.enter_context(run.project()).records
                directory = records / archive.named(archive.names(records), study)
            stored.append(((archive.read_record(directory), archive.read_answers(directory)), directory))
    return stored


def _lines(comparison: StudyComparison, margin: float | None) -> list[str]:
    from twofold.verdict.record import counted
    from twofold.verdict.wording import metric_title

    result, (first, second) = comparison.result, comparison.studies
    arms = result.arms[0] if result.arms[0] == result.arms[1] else " → ".join(result.arms)
    shown = {"better": "better", "worse": "worse", "": "not shown to differ"}[result.shown]
    lines = [
        f"{first} → {second}, arm {arms} ({comparison.because}), {metric_title(result.metric)}, intervals at "
        f"{100 * result.level:g} %",
        f"{_text(result.means[0])} → {_text(result.means[1])}; difference {_text(result.difference)}: {shown}",
    ]
    counts = ", ".join(f"{count} {change}" for change, count in result.counts().items() if count)
    lines.append(f"{counted(len(result.answers), 'question')} in both: {counts}")
    if comparison.same:
        lines.append("one and the same system answered in both, and scores the same on every question")
    if comparison.repeated:
        lines.append("both records are the same byte for byte: verdict, scores and answers; not clocks, dates, numbers")
    if any(result.only):
        lines.append(
            f"not compared: {counted(result.only[0], 'question')} of {first} alone, {result.only[1]} of {second}"
        )
    if result.kind == "pooled":
        lines.append(
            f"{metric_title(result.metric)} is computed from all answers together, its interval by leaving out each "
            "group; the questions are listed by what it says of each answer alone"
        )
    if comparison.early and result.kind == "anytime":
        lines.append(
            f"a race left out questions once it had shown enough ({' and '.join(comparison.early)}): intervals are "
            "confidence sequences, which hold whenever it stopped; the difference itself flatters the winner"
        )
    elif comparison.early:
        lines.append(
            f"warning: a race left out questions once it had shown enough ({' and '.join(comparison.early)}): what it "
            "asked flatters the winner, and these intervals do not allow for that"
        )
    if comparison.other_references:
        lines.append(f"warning: {counted(comparison.other_references, 'question')} has other right answers now")
    failed = result.difference.failed if result.difference else 0
    if failed:
        lines.append(f"{counted(failed, 'pair')} with a failed answer, which counts 0 in the difference")
    for name, other in comparison.arms.items():
        unchanged = name in comparison.unchanged
        shown = "the same system in both" if unchanged else f"difference {_text(other.difference)}"
        lines.append(f"arm {name}: {shown}")
    for change in ("worse", "better"):
        answers = result.of(change)
        if answers:
            lines += ["", f"{change} ({len(answers)}):"]
            for answer in answers[:_SHOWN]:
                lines += _answer(answer, result.arms)
            lines += _rest(len(answers))
    lines += ["", "differs:" if comparison.differs else "nothing differs in settings, documents, weights and code"]
    lines += [
        f"  {one_line(one.what)}: {one_line(one.first) or '–'} → {one_line(one.second) or '–'}"
        for one in comparison.differs[:_SHOWN]
    ]
    lines += _rest(len(comparison.differs))
    if margin is not None:
        lines += ["", _standing(comparison, margin)]
    return lines


def _standing(comparison: StudyComparison, margin: float) -> str:
    from twofold.verdict.record import plain_number

    second, least = comparison.studies[1], plain_number(margin)
    return {
        "not worse": f"not worse: {second} is shown to lose at most {least}",
        "worse": f"worse: {second} is shown to lose more than {least}",
        "cannot tell": f"cannot tell: these questions show neither that {second} loses more than {least} nor that it "
        "does not; ask more questions, or allow more",
    }[comparison.standing(margin)]


def _rest(count: int) -> list[str]:
    return [f"  … and {count - _SHOWN} more (--json lists all)"] if count > _SHOWN else []


def _answer(answer: ComparedAnswer, arms: tuple[str, str]) -> list[str]:
    lines = [f"  {_cut(answer.before['question'])} [{one_line(answer.before['id'])}]"]
    sides = zip((answer.before, answer.after), arms, answer.scores, strict=True)
    for mark, (row, arm, score) in zip("-+", sides, strict=True):
        stored = row["arms"][arm]
        failure = stored["failure"]
        text = f"failed: {failure['message']}" if failure else stored["text"] or "(empty answer)"
        lines.append(f"    {mark} {'' if score is None else f'{score:.2f} '}{_cut(text)}")
    return lines


def _cut(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _text(value: Estimate | None) -> str:
    from twofold.verdict.record import estimate_text, true_minus

    ends: Any = {"mean": value.mean, "low": value.low, "high": value.high} if value else None
    return true_minus(estimate_text(ends)) if ends else "–"
