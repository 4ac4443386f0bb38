"""The ledger of looks, ``studies/looks.jsonl``: which questions every study asked, and what the next look costs.

Whoever looks at the same test questions k times, with other metrics, margins, limits or arms, has k chances of a false
verdict. So look k of a question is decided at the level 1 − α · 6 / (π² k²): over all looks the chances add up to at
most α (a union bound; Σ 1/k² = π²/6), whatever is tried, as long as what is tried does not depend on reading the
answers. A person who has read the answers needs fresh questions. A race (`racing`) looks at its answers many times and
is one look: its level is that of the most looked-at question that it may ask. Pipelines of retrieval that were tried on
test questions (`twofold bench retrieval --split test`) are looks too, all but one: the best of m is one of m.

A question is known by the words of its conversation, so that neither another example id, a corrected reference, an
added example, another seed nor another limit makes it new. The ledger lies beside the records of the studies, and
`.twofold/` knows every study too: what is deleted in one place is restored from the other, and a look that only a
record still shows is read off its answers (`ledger`).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from twofold.errors import StudyError
from twofold.examples.questions import conversation_digest
from twofold.examples.splitting import Splits
from twofold.files import writing
from twofold.hashing import digest
from twofold.reports.archive import read_answers, read_record
from twofold.settings.sections import StudySection
from twofold.stats.intervals import least_for_upper_end
from twofold.store.catalogue import Catalogue
from twofold.types import Example
from twofold.verdict.record import counted

FILE = "looks.jsonl"
"""The ledger's name in the directory of records."""
_SHOWN = {"diagnostics", "metrics", "shots", "interaction_margin", "ablation", "latency_sample"}
"""Keys of [study] that only change what is shown beside the verdict (shots are in the key of their system). Where
latency has a limit, the questions that are timed decide, too."""
Kind = Literal["study", "final", "retraining", "search"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One line of the ledger."""

    kind: Kind
    """The kind of look: a study, the opening of the reserve, the comparison of a retrained model with the one in use,
    or the trial of a pipeline of retrieval."""
    name: str
    """Directory of the study, id of the candidate, or digest of the pipeline."""
    at: str
    """ISO time."""
    identity: str
    """Digest of what was decided by: arms, metric, margins, constraints, questions."""
    answers: str
    """Digest of the answers that were looked at."""
    failed: int
    """Answers among them that had failed."""
    look: int
    """The how-manieth look at its most looked-at question."""
    asked: tuple[str, ...]
    """Digests of the questions asked (`question`)."""
    dev: tuple[str, ...] = ()
    """Digests of the dev questions, on which settings and checkpoints were chosen."""
    outcome: str = ""
    """Of an opening of the reserve: the hypothesis, and whether it was confirmed."""


def question(example: Example) -> str:
    """Digest of an example's conversation: its words and numbers, whatever the case, blanks and punctuation."""
    return conversation_digest((turn.role, turn.content) for turn in example.messages)


def asked_digests(examples: Sequence[Example]) -> tuple[str, ...]:
    """The distinct digests of some examples' questions, sorted."""
    return tuple(sorted({question(example) for example in examples}))


def level_of(look: int, level: float) -> float:
    """The confidence level of the k-th look: 1 − α · 6 / (π² k²), α rounded down to two significant digits.

    Args:
        look: k, from 1.
        level: 1 − α, what all looks together keep.
    """
    share = (1 - level) * 6 / (math.pi * look) ** 2
    # Rounded down, so that the printed level is the one that decides and the sum stays below α.
    unit = 10.0 ** (math.floor(math.log10(share)) - 1)
    return round(1 - math.floor(share / unit + 1e-9) * unit, 12)


def identity_of(
    section: StudySection,
    systems: Mapping[str, str],
    *,
    metric: str,
    examples: Sequence[Example],
    gated: bool = False,
    machine: str = "",
    race: bool = False,
) -> str:
    """Digest of everything that can change the verdict of a study, but for its answers.

    Args:
        section: [study].
        systems: Arm → system key.
        metric: Key of the deciding metric.
        examples: Those asked: their questions, references and groups count, their ids do not.
        gated: Does the forgetting gate decide, that is, is it enforced and an arm tuned?
        machine: Fingerprint of this machine; counts where latency has a limit.
        race: May it stop before all of the examples are asked?
    """
    rows = sorted((question(one), sorted(one.references), one.answerable, one.group) for one in examples)
    # Groups by number: their names may follow ids, and do not count.
    groups: dict[str, int] = {}
    for *_, group in rows:
        groups.setdefault(group, len(groups))
    timed = bool(section.max_latency_p95)
    settings = section.model_dump(mode="json", exclude=_SHOWN)
    # Where a limit on latency decides, so does the number of questions that are timed.
    if timed:
        settings["latency_sample"] = max(section.latency_sample, least_for_upper_end(0.95, level=section.level))
    return digest(
        "look",
        {
            "settings": settings,
            "systems": systems,
            "metric": metric,
            "asked": [(*row[:-1], groups[row[-1]]) for row in rows],
            "gated": gated,
            "machine": machine if timed else "",
            **({"race": True} if race else {}),
        },
    )


def read(records: Path) -> list[Look]:
    """The ledger, oldest line first; empty when there is none.

    Raises:
        StudyError: it is damaged.
    """
    path = records / FILE
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(_of_json(json.loads(line)))
        except (ValueError, TypeError, KeyError) as error:
            raise StudyError(
                f"the ledger of looks is damaged: {error}",
                file=path,
                line=number,
                cure="Restore the file from version control or a backup: looks cannot be counted without the ledger.",
            ) from error
    return rows


def ledger(records: Path, catalogue: Catalogue) -> list[Look]:
    """All looks: those of the ledger, and before them those that only the catalogue or a record still knows.

    Raises:
        StudyError: the ledger or a record is damaged.
    """
    rows = read(records)
    known = {row.name for row in rows}
    lost = list[Look]()
    others = [_of_json(study["look"]) for study in catalogue.studies.records() if "look" in study]
    names = known.union(look.name for look in others)
    paths = sorted(records.glob("[0-9]*/study.json"))
    others += [_of_record(path.parent) for path in paths if path.parent.name not in names]
    for look in others:
        # A look taken again has the name of its latest record alone.
        if look.name not in known and not any(same(row, look) or same(look, row) for row in (*rows, *lost)):
            lost.append(look)
    return [*lost, *rows]


def _of_json(row: Mapping[str, Any]) -> Look:
    return Look(**{**row, "asked": tuple(row["asked"]), "dev": tuple(row["dev"])})


def _of_record(directory: Path) -> Look:
    """The look of a finished study whose line is lost: what it asked stands in its answers."""
    record = read_record(directory)
    answers = read_answers(directory) if (directory / "answers.jsonl.gz").is_file() else []
    conversations = set()
    for row in answers:
        conversations.add(conversation_digest((turn["role"], turn["content"]) for turn in row["messages"]))
    return Look(
        kind="final" if record["policy"]["final"] else "study",
        name=directory.name,
        at=record["created"],
        **{"identity": "", "answers": "", "failed": 0, **record.get("look", {})},
        look=record["verdict"]["looks"],
        asked=tuple(sorted(conversations)),
        outcome=record.get("confirmation", {}).get("outcome", ""),
    )


def write(records: Path, look: Look, *, known: Sequence[Look] | None = None) -> None:
    """Add a line, durably; the same look (`same`) is written once, its line replaced.

    Args:
        records: Where the ledger is.
        look: The line.
        known: What `ledger` told; None: what the file says.
    """
    rows = read(records) if known is None else list(known)
    place = next((n for n, row in enumerate(rows) if same(row, look)), len(rows))
    rows[place : place + 1] = [look]
    records.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [json.dumps(asdict(row), ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows]
    writing.write(records / FILE, "".join(lines), mode=0o600)


def same(earlier: Look, look: Look) -> bool:
    """Is it the earlier look again: the same decision on the same answers, or on those with failed ones mended?"""
    if (earlier.kind, earlier.identity) != (look.kind, look.identity):
        return False
    # A rerun that mends failures is no new look.
    return earlier.answers == look.answers or look.failed < earlier.failed


def number(rows: Sequence[Look], look: Look, *, kinds: Collection[Kind] = ("study", "final")) -> int:
    """The how-manieth look this is: 1 + the most looks that any of its questions had before.

    Args:
        rows: The ledger.
        look: Its ``look`` is not read. A look that is in the ledger already keeps its number.
        kinds: Looks that count.
    """
    again = next((row for row in rows if same(row, look)), None)
    return again.look if again else 1 + earlier(rows, look.asked, kinds=kinds)


def earlier(rows: Sequence[Look], digests: Collection[str], *, kinds: Collection[Kind] = ("study", "final")) -> int:
    """The largest number of looks that any of these questions had."""
    sought = set(digests)
    counts = _times(rows, sought, kinds)
    if "study" in kinds:
        searches: tuple[Kind, ...] = ("search",)
        tried = _times(rows, sought, searches)
        counts.update({question: many - 1 for question, many in tried.items()})  # of one pipeline nothing was chosen
    return max(counts.values(), default=0)


def _times(rows: Sequence[Look], sought: Collection[str], kinds: Collection[Kind]) -> Counter[str]:
    """How often each of the sought questions stands in looks of these kinds."""
    counts: Counter[str] = Counter()
    for row in rows:
        if row.kind in kinds:
            counts.update(digest for digest in row.asked if digest in sought)
    return counts


def keep(records: Path, catalogue: Catalogue, look: Look) -> None:
    """Write the line of a look that is no study: to the ledger and, in case that is deleted, to the catalogue."""
    known = ledger(records, catalogue)
    catalogue.studies.put(f"{look.kind} {look.identity}", {"study": look.name, "look": asdict(look)}, "")
    write(records, look, known=known)


def search(
    records: Path,
    catalogue: Catalogue,
    pipelines: Collection[str],
    *,
    examples: Sequence[Example],
    at: str,
    level: float,
) -> str:
    """Note that pipelines of retrieval were tried on test questions, each once; returns what that costs, in words.

    Args:
        records: Where the ledger is.
        catalogue: Remembers each trial too.
        pipelines: Digest of each pipeline.
        examples: The questions.
        at: ISO time.
        level: [study].level.
    """
    digests = asked_digests(examples)
    for pipeline in pipelines:
        identity = digest("search", {"pipeline": pipeline, "asked": digests})
        name = f"search-{identity.partition(':')[2][:12]}"
        look = Look(kind="search", name=name, at=at, identity=identity, answers="", failed=0, look=0, asked=digests)
        keep(records, catalogue, look)
    coming = 1 + earlier(ledger(records, catalogue), digests)
    tried = sum(1 for row in read(records) if row.kind == "search" and set(row.asked) & set(digests))
    were = "was" if tried == 1 else "were"
    return (
        f"{counted(tried, 'pipeline')} of retrieval {were} tried on test questions by now: all but one are looks, so "
        f"the next study of them decides at {100 * level_of(coming, level):g} %"
    )


def seen(rows: Sequence[Look]) -> set[str]:
    """Digests of all questions that were asked, or that settings were chosen on."""
    return set(chain.from_iterable((*row.asked, *row.dev) for row in rows))


def kinds_against(*, promoted: bool) -> tuple[Kind, ...]:
    """Looks that count against a study; comparisons of retraining do where an arm is a model that these `promoted`."""
    return ("study", "final", "retraining") if promoted else ("study", "final")


def mixtures(rows: Sequence[Look], splits: Splits) -> list[str]:
    """Questions that changed sides between an earlier study and this split, a sentence for each study and direction.

    That happens with another ``limit`` or ``seed``, or where examples were added.
    """
    learning = {*asked_digests(splits.train), *asked_digests(splits.dev)}
    testing = {*asked_digests(splits.test), *asked_digests(splits.reserve)}
    sentences = []
    for row in rows:
        if row.kind in ("retraining", "search"):
            continue
        tested = len(learning.intersection(row.asked))
        chosen = len(testing.intersection(row.dev))
        if tested:
            were = "was a test question" if tested == 1 else "were test questions"
            sentences.append(
                f"{counted(tested, 'example')} of train or dev {were} of study {row.name}: its scores and those of "
                "this study are of different questions, and must not be compared"
            )
        if chosen:
            were = "was a dev example" if chosen == 1 else "were dev examples"
            sentences.append(
                f"{counted(chosen, 'question')} of test or reserve {were} of study {row.name}: settings chosen on that "
                "dev split flatter their arm here"
            )
    return sentences


def changed_test(rows: Sequence[Look], test: Sequence[Example], *, before: Mapping[str, str], now: str) -> list[str]:
    """A sentence where the test set is another than that of the last study; empty where it is the same, or the first.

    Args:
        rows: The ledger, oldest first.
        test: The examples asked now.
        before: Study → digest of its test set.
        now: Digest of this test set.
    """
    last = next((row for row in reversed(rows) if row.kind == "study" and before.get(row.name)), None)
    if last is None or before[last.name] == now:
        return []
    current, were = set(asked_digests(test)), set(last.asked)
    new, removed = len(current - were), len(were - current)
    what = (
        f"{counted(new, 'question')} new, {removed} gone" if new or removed else "answers of its questions were changed"
    )
    return [f"the test set is not that of study {last.name} ({what}): figures of the two must not be compared"]
