"""`twofold label`: answers of a study labelled blind in the terminal, with single keys, or by a script over a pipe."""

from __future__ import annotations

import getpass
import textwrap
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.cli.keyboard import Keyboard
from twofold.cli.session import Run, require_known
from twofold.cli.terminal import console, json_line, one_line, say
from twofold.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twofold.labelling.agreement import Agreement
    from twofold.labelling.items import BlindItem
    from twofold.labelling.labels import BlindLabel, Kind, LabelLog
    from twofold.types import Estimate, Json
    from twofold.verdict.record import AnswerRow, StudyRecord

_KINDS = ("pair", "mark")
_NAME = 60
"""Characters of a name, as on the pages."""
_REASON_KEYS = "abcdef"
"""Keys of the reasons, in the order of `REASONS`, as on the pages."""


def label(
    run: Run,
    *,
    study: Annotated[
        str, typer.Option("--study", metavar="STUDY", help="Name or number of the study; the latest by default.")
    ] = "",
    kind: Annotated[
        str,
        typer.Option("--kind", metavar="KIND", help="pair: which of two answers is better; mark: is an answer right."),
    ] = "pair",
    by: Annotated[
        str, typer.Option("--by", metavar="NAME", help="Who labels; by default your login name on this machine.")
    ] = "",
    count: Annotated[
        int | None,
        typer.Option("--count", metavar="N", min=1, help="Stop after so many labels; by default at the end."),
    ] = None,
    show_agreement: Annotated[
        bool, typer.Option("--show-agreement", help="Label nothing: say how far labels, metric and people agree.")
    ] = False,
) -> None:
    """Label a study's answers blind, with single keys: whose answers they are is hidden, and their order is by chance.

    Each label is stored as its key is pressed; stop at any time, and the same command goes on where you stopped.
    Labels are those of the server's pages, and several people can label at once. Over a pipe each character is a key.
    """
    from twofold.labelling.items import items
    from twofold.labelling.labels import labels_of
    from twofold.reports import archive

    require_known("--kind", kind, _KINDS)
    chosen: Kind = "mark" if kind == "mark" else "pair"
    who = "" if show_agreement else _name(by)
    # Closed again before anybody labels: what is shown is in memory, and no lock was taken.
    with run.project() as project:
        log = labels_of(project.directory, project.places.shared)
        directory = project.records / archive.named(archive.names(project.records), study)
    record, rows = archive.read_record(directory), archive.read_answers(directory)
    if not show_agreement:
        every = items(record, rows, chosen, secret=log.secret())
        if not every:
            raise _nothing_to_label(record, chosen)
        _Session(run, log, every, by=who).label(count)
    _conclude(run, record, rows, log, kind=chosen)


def _name(by: str) -> str:
    name = one_line(by)
    if not by:
        # Without a login name (a container of another user's number) there is no error of one kind.
        with suppress(OSError, KeyError, ImportError):
            name = one_line(getpass.getuser())
    if not name or len(name) > _NAME:
        raise ConfigError(
            f"--by {by!r} is no name" if by else "nobody is named who labels",
            cure=f"Name who labels with --by NAME, of 1 to {_NAME} characters.",
        )
    return name


def _nothing_to_label(record: StudyRecord, kind: Kind) -> ConfigError:
    study = record["study"]
    if kind == "pair":
        return ConfigError(
            f"no question of study {study} has two different answers",
            cure="Mark single answers with --kind mark, or name another study with --study.",
        )
    return ConfigError(
        f"no question of study {study} was answered", cure="Name another study with --study: every answer failed."
    )


class _Session:
    """A person at work on a study's items.

    Args:
        run: The invocation.
        log: Where labels go.
        every: All items, in their order.
        by: Who labels.
    """

    def __init__(self, run: Run, log: LabelLog, every: Sequence[BlindItem], *, by: str) -> None:
        from twofold.labelling.labels import CHOICES

        self._run, self._log, self._every, self._by = run, log, every, by
        self._choices = CHOICES[every[0].kind]
        self._keyboard = Keyboard()
        self._stored = 0
        self._over = False
        self._skipped: set[str] = set()
        self._reasons: list[str] = []
        self._note = ""

    def label(self, count: int | None) -> None:
        """Label until there is nothing left, the person leaves, or so many labels are stored.

        Args:
            count: How many; None for all.

        Raises:
            ConfigError: a script sends a key that there is not.
            StoreError: the disk refuses what a script sends.
        """
        with self._keyboard.reading():
            self._greet()
            item = self._next()
            while item is not None and not self._over:
                self._show(item)
                item = self._answered(item)
                if count is not None and self._stored >= count:
                    break
        done, total = len(self._labelled()), len(self._every)
        left = f"; {total - done} are left: the same command goes on there" if done < total else ""
        self._print(f"{self._by} labelled {done} of {total}, {self._stored} of them now{left}")

    # ------------------------------------------------------------ items

    def _labelled(self) -> set[str]:
        from twofold.labelling import items

        return items.labelled(self._every, self._log.all(), by=self._by)

    def _next(self, after: str = "") -> BlindItem | None:
        from twofold.labelling import items

        return items.following(self._every, self._log.all(), by=self._by, after=after)

    def _mine(self) -> list[BlindLabel]:
        from twofold.labelling import items

        first = self._every[0]
        return [each for each in items.of_study(self._log.all(), first.study, first.kind) if each.by == self._by]

    # ------------------------------------------------------------ keys

    def _answered(self, item: BlindItem) -> BlindItem | None:
        """Take keys until the item is labelled, passed over, or another one is shown; returns the next item."""
        self._reasons, self._note = [], ""
        while not self._over:
            key = self._keyboard.key()
            again = self._keyboard.held_down(key)
            if not key or key == "q":
                self._over = True
            elif key.isdecimal() and key.isascii() and 1 <= int(key) <= len(self._choices):
                if again:
                    continue  # a key that is held down must not label one item after another
                if self._store(item, self._choices[int(key) - 1]):
                    return self._next(item.name)
            elif key == "s":
                self._skipped.add(item.name)
                following = self._next(item.name)
                if following is not None and following.name in self._skipped:
                    self._remark("what is left you passed over before")
                return following
            elif key == "u":
                back = self._undone()
                if back is not None:
                    return back
            else:
                self._other(key, item)
        return None

    def _other(self, key: str, item: BlindItem) -> None:
        """Keys that leave the item where it is."""
        from twofold.labelling.labels import REASONS

        reasons = dict(zip(_REASON_KEYS, REASONS, strict=True))
        if key in reasons:
            reason = reasons[key]
            # Pressed again, a reason is taken back.
            if reason in self._reasons:
                self._reasons.remove(reason)
            else:
                self._reasons.append(reason)
            self._remark(f"why: {', '.join(REASONS[each] for each in self._reasons) or '(no reason)'}")
        elif key == "n":
            self._note = self._keyboard.text("note: ")
        elif key == "p":
            self._passages(item)
        elif key == "?":
            self._help()
        elif self._keyboard.single:
            self._remark(f"{one_line(key) or 'that'} is no key here; ? lists the keys")
        else:
            raise ConfigError(
                f"line {self._keyboard.line} of the input: there is no key {key!r}",
                cure=f"Send 1 to {len(self._choices)}, {_REASON_KEYS[0]} to {_REASON_KEYS[-1]}, s, u, n, p or q: "
                "earlier labels are stored.",
            )

    def _store(self, item: BlindItem, choice: str) -> bool:
        """Store a label; False where the disk refuses and a person can try again."""
        from twofold.labelling.labels import REASONS, WORDS

        about = (item.study, item.row["id"])
        try:
            stored = self._log.add(
                item.kind,
                item.shown(self._by),
                choice,
                by=self._by,
                question=item.row["question"],
                about=about,
                reasons=self._reasons,
                note=self._note,
            )
        except StoreError as error:
            if not self._keyboard.single:
                raise
            say(f"error: {error.message}\nhelp: {error.cure}", err=True)
            return False
        self._stored += 1
        why = "".join(f", {REASONS[reason]}" for reason in self._reasons)
        self._print(f"stored: {WORDS[choice]}{why}")
        if self._run.json:
            json_line({"stored": stored.id, "item": item.name, "choice": choice, "reasons": list(stored.reasons)})
        return True

    def _undone(self) -> BlindItem | None:
        """Take back the last label, and return its item; None where there is none."""
        mine = self._mine()
        if not mine:
            self._remark("there is no label of yours to undo")
            return None
        back = self._log.undo(mine[-1].id, by=self._by)
        self._stored = max(0, self._stored - 1)
        self._print("undone: the last label")
        if self._run.json:
            json_line({"undone": back.id})
        return next((item for item in self._every if item.identity(self._by) == back.item), None)

    # ------------------------------------------------------------ what is shown

    def _remark(self, text: str) -> None:
        if self._keyboard.single:
            say(text, err=self._run.json)
        else:
            self._run.note(text)

    def _greet(self) -> None:
        first = self._every[0]
        others = sorted({each.by for each in self._log.all() if each.study == first.study} - {self._by})
        also = f"; so have {', '.join(one_line(name) for name in others)}" if others else ""
        greeting = f"{self._by} labels answers of study {first.study}{also}. Whose they are is hidden."
        if self._keyboard.single and not self._run.json:
            self._print(greeting)
            self._help()
        else:
            self._run.note(greeting)

    def _help(self) -> None:
        from twofold.labelling.labels import REASONS, WORDS

        self._print("A digit stores the label and goes on:")
        for number, choice in enumerate(self._choices, start=1):
            self._print(f"{number} {WORDS[choice]}", indent=2)
        self._print("Letters before it say why, if you like:")
        for key, reason in zip(_REASON_KEYS, REASONS, strict=True):
            self._print(f"{key} {REASONS[reason]}", indent=2)
        self._print("s pass over   u undo the last   n note   p passages   ? keys   q leave")

    def _show(self, item: BlindItem) -> None:
        # Nobody answers what is not shown yet. Before it is shown: what a script types after it counts.
        self._keyboard.forget()
        answers = item.shown(self._by)
        done, total = len(self._labelled()), len(self._every)
        if self._run.json:
            shown: Json = {"item": item.name, "kind": item.kind, "question": item.row["question"]}
            shown |= {"messages": item.row["messages"][:-1], "references": item.row["references"]}
            shown |= {"answers": [answer.text for answer in answers], "labelled": done, "of": total}
            shown |= {"choices": {str(number): choice for number, choice in enumerate(self._choices, start=1)}}
            json_line(shown)
        else:
            self._print("")
            self._print(f"── {done} of {total} labelled ──")
            for turn in item.row["messages"][:-1]:
                self._print(f"{turn.get('role', '')}: {turn.get('content', '')}")
            self._section("Question", item.row["question"])
            references = item.row["references"]
            right = "Right answers" if len(references) > 1 else "Right answer"
            self._section(right, "\n".join(references) or "(the documents do not say)")
            for number, answer in enumerate(answers, start=1):
                self._section(f"Answer {number}" if len(answers) > 1 else "Answer", answer.text or "(empty answer)")
            top = len(self._choices)
            self._print(f"\n1-{top} store   {_REASON_KEYS[0]}-{_REASON_KEYS[-1]} why   s u n p q ?")

    def _passages(self, item: BlindItem) -> None:
        passages = item.passages
        if self._run.json:
            texts = [{"title": hit["title"], "text": hit["text"]} for hit in passages]
            json_line({"item": item.name, "passages": texts})
            return
        for hit in passages:
            self._section(one_line(hit["title"] or hit["document"]), hit["text"])
        if not passages:
            self._remark("no passages were given to read")

    def _section(self, title: str, text: str) -> None:
        self._print(title)
        self._print(text, indent=2)

    def _print(self, text: str, *, indent: int = 0) -> None:
        if not self._run.json:
            _print(text, indent=indent)


def _print(text: str, *, indent: int = 0) -> None:
    """Print a text on stdout; on a terminal lines are broken between words."""
    screen = console()
    if screen.is_terminal:
        from rich.padding import Padding
        from rich.text import Text

        screen.print(Padding(Text(text), (0, 0, 0, indent)))
    else:
        # For a program that reads this, no line is broken.
        say(textwrap.indent(text, " " * indent))


# ---------------------------------------------------------------- what labels say


def _conclude(run: Run, record: StudyRecord, rows: Sequence[AnswerRow], log: LabelLog, *, kind: Kind) -> None:
    """Print how labels of the kind agree with the metric, and people with each other."""
    from twofold.labelling.agreement import agreement

    result = agreement(record, rows, log.all(), kind=kind)
    if run.json:
        json_line(_record(result, record))
    else:
        for line in _lines(result, record):
            _print(line)


def _lines(result: Agreement, record: StudyRecord) -> list[str]:
    from twofold.verdict.record import counted
    from twofold.verdict.wording import metric_title

    metric, between = metric_title(record["metric"]), result.between
    if result.share is None:
        verdict = "say which answer is better" if result.kind == "pair" else "say right or wrong"
        lines = [f"labels and {metric}: unknown, for there is no item of which both {verdict}"]
    else:
        kappa = f", Cohen's κ {_figure(result.kappa)}" if result.kappa else ""
        many = counted(result.share.n, "label")
        lines = [f"labels say what {metric} says in {_figure(result.share)} of {many} where both decide{kappa}"]
    if between.share is None:
        lines.append(f"people with each other: unknown, for {between.unknown}")
        lines.append(f"have a second person label the same items: twofold label --kind {result.kind} --by NAME")
        return lines
    names = ", ".join(one_line(name) for name in between.people)
    if between.beyond_chance is None:
        chance = f"agreement beyond chance is unknown, for {between.unknown}"
    else:
        chance = f"{between.statistic} {_figure(between.beyond_chance)} over {counted(between.beyond_chance.n, 'item')}"
    lines.append(f"people with each other ({names}): the same label in {_figure(between.share)}; {chance}")
    return lines


def _record(result: Agreement, record: StudyRecord) -> dict[str, Any]:
    between = result.between
    return {
        "study": record["study"],
        "kind": result.kind,
        "metric": record["metric"],
        "counts": {measured: dict(choices) for measured, choices in result.counts.items()},
        "with_metric": _ends(result.share),
        "with_metric_kappa": _ends(result.kappa),
        "people": list(between.people),
        "between_people": _ends(between.share),
        "beyond_chance": {"statistic": between.statistic, "value": _ends(between.beyond_chance)},
        "unknown": between.unknown,
    }


def _ends(value: Estimate | None) -> dict[str, float] | None:
    return None if value is None else {"mean": value.mean, "low": value.low, "high": value.high, "n": value.n}


def _figure(value: Estimate | None) -> str:
    from twofold.verdict.record import estimate_text, true_minus

    return true_minus(estimate_text(_ends(value)))
