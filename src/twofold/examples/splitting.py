"""Examples → train, dev, test and reserve. Pure; everything is drawn by hashing seed and ids."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import TypedDict

from twofold.errors import BadRecord, LeakFound, TooFewExamples
from twofold.examples.grouping import documents_of, group_name, grouped
from twofold.examples.loading import moment_of
from twofold.examples.questions import Questions
from twofold.files.reading import counted
from twofold.settings.sections import ExamplesSection
from twofold.types import Example, SplitName

_NONE: Mapping[str, str] = {}
_NO_HOLDERS: Mapping[str, Sequence[str]] = {}
FEW = 10
"""Groups by document below which the documents of a split by question or time are taken as given."""


class _Kin(TypedDict):
    """Ties between examples beside those that the examples name; see `grouped`."""

    same: Mapping[str, str]
    holders: Mapping[str, Sequence[str]]
    seed: int
    derived: Mapping[str, Sequence[Example]]


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Examples divided; every example carries its final `group` and `split`."""

    train: Questions
    """For tuning, and for few-shot examples."""
    dev: Questions
    """For choosing checkpoints and settings."""
    test: Questions
    """For the verdict."""
    reserve: Questions
    """Sealed until the end."""
    policy: str
    """The division of the examples, and the questions that the verdict therefore holds for."""
    groups: int
    """Independent groups in the test split."""
    digest: str
    """Digest of the test split's example digests."""
    warnings: tuple[str, ...] = ()
    """Departures from the section's settings."""
    documents: Mapping[str, str] = field(default_factory=dict)
    """Id of every document → the first id of the same text."""
    holders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Id of a document → the documents in which its text stands; first ids of the same text, all of them."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Split → examples that were taken out of it, because they stand in a split that is kept from it."""
    author_groups: Mapping[str, str] = field(default_factory=dict)
    """Example id → the group that its author gave it (`grouping.group_name`); without those of none."""

    def once(self, examples: Sequence[Example]) -> tuple[Example, ...]:
        """The examples with the first id of the same text in place of every document that they name."""
        same = self.documents

        def first(e: Example) -> Example:
            spans = tuple(replace(one, document=same.get(one.document, one.document)) for one in e.spans)
            sources = tuple(dict.fromkeys(same.get(one, one) for one in e.sources))
            return e if (sources, spans) == (e.sources, e.spans) else replace(e, sources=sources, spans=spans)

        return tuple(map(first, examples))

    def judged(self, examples: Sequence[Example]) -> Questions:
        """The examples with all copies of the documents that they name: a passage of a copy holds the answer as well.

        A search shows one of several equal passages, whichever it meets first: citing a copy is no fault.
        """
        copies: defaultdict[str, list[str]] = defaultdict(list)
        for name, first in self.documents.items():
            copies[first].append(name)

        def whole(e: Example) -> Example:
            alike = {name: copies.get(self.documents.get(name, name), [name]) for name in (*e.sources, *e.grades)}
            if all(len(names) == 1 for names in alike.values()):
                return e
            # Those that it names come first, as they did.
            sources = dict.fromkeys((*e.sources, *(copy for name in e.sources for copy in alike[name])))
            grades: dict[str, float] = {}
            for name, grade in e.grades.items():
                grades |= {copy: max(grade, grades.get(copy, grade)) for copy in alike[name]}
            return replace(e, sources=tuple(sources), grades=grades)

        return Questions(map(whole, examples))

    def __post_init__(self) -> None:
        for name in ("train", "dev", "test", "reserve"):
            object.__setattr__(self, name, Questions.of(getattr(self, name)))

    @property
    def hidden(self) -> frozenset[str]:
        """Ids of the documents that only test or reserve questions are about, and of their copies.

        And of the documents that hold one of them or stand in one, unless train or dev names these.
        """
        only = self._tested_only
        kin = only | (self._kin(only) - self._originals((*self.train, *self.dev)))
        return frozenset(kin | {name for name, first in self.documents.items() if first in kin})

    def related(self, part: Sequence[Example]) -> frozenset[str]:
        """Ids of the documents that examples are about, of their copies, and of what holds one or stands in one."""
        first = self._originals(part)
        kin = first | self._kin(first)
        return frozenset(kin | {name for name, original in self.documents.items() if original in kin})

    @property
    def _tested_only(self) -> set[str]:
        """First ids of the documents that only test or reserve questions are about."""
        return self._originals((*self.test, *self.reserve)) - self._originals((*self.train, *self.dev))

    def _originals(self, part: Sequence[Example]) -> set[str]:
        return {self.documents.get(name, name) for name in chain.from_iterable(map(documents_of, part))}

    def _kin(self, documents: Collection[str]) -> set[str]:
        """The documents that hold one of these, or stand in one."""
        holding: set[str] = set()
        for name in documents:
            holding.update(self.holders.get(name, ()))
        return holding | {name for name, others in self.holders.items() if not set(others).isdisjoint(documents)}

    @property
    def sentence(self) -> str:
        """The policy in words, with the numbers as they are now."""
        parts = {"train": self.train, "dev": self.dev, "test": self.test, "reserve": self.reserve}
        counts = []
        for name, part in parts.items():
            dropped = self.dropped.get(name, 0)
            if part or dropped:
                of = "test questions" if name == "dev" else "test or dev questions"
                counts.append(f"{len(part)} {name}" + (f" ({dropped} dropped: they give {of} away)" if dropped else ""))
        sentence = f"Split {self.policy} ({', '.join(counts)}; {counted(self.groups, 'independent group')} in test)."
        hidden = self.hidden
        learns = bool(self.train or self.dev)
        if hidden and learns:
            these = "the document" if len(hidden) == 1 else f"the {len(hidden)} documents"
            sentence += f" Nothing was learned from {these} that only test questions are about"
            shared = len(self._kin(self._tested_only) & self._originals((*self.train, *self.dev)))
            sentence += (
                f", but {counted(shared, 'document')} of train or dev {'holds' if shared == 1 else 'hold'} one of "
                f"these or {'stands' if shared == 1 else 'stand'} in one."
                if shared
                else "."
            )
        tested = (*self.test, *self.reserve)
        unnamed = sum(1 for e in tested if e.answerable and not documents_of(e))
        if unnamed and learns and (hidden or self.documents):
            these = "test and reserve questions" if self.reserve else "test questions"
            sentence += (
                f" {unnamed} of {len(tested)} {these} name no document: tuning may have read the documents that "
                "answer them."
            )
        return sentence

    def lack(self, name: str, need: str) -> TooFewExamples:
        """The error for a split that is empty and needed, with the cause where its examples were dropped.

        Args:
            name: Of the split.
            need: What needs it, for example ``tuning needs examples``.
        """
        dropped = self.dropped.get(name, 0)
        if not dropped:
            return TooFewExamples(f"{need} in the {name} split, and there is none")
        return TooFewExamples(
            f"{need} in the {name} split, but all its {dropped} examples were dropped because they leak test questions",
            cure='Add examples, or leave the arm out. [examples].near = "keep" keeps examples that are only similar, '
            "not the same question, dialogue, or answer from the same place.",
        )


def split(
    examples: Sequence[Example],
    section: ExamplesSection,
    *,
    documents: Mapping[str, str] = _NONE,
    holders: Mapping[str, Sequence[str]] = _NO_HOLDERS,
) -> Splits:
    """Divide examples by the section's policy; the same for any order of `examples`.

    Policies (`split_by`): ``question``, each example on its own; ``document``, examples that share a document stay
    together (in both, every split has its share of the questions that nobody can answer); ``time``, the latest are the
    test; ``given``, the records' own split, their dev part (or their test part, where there is one) being the test.
    Whatever the policy, the authors keep the last word on ``given`` only: otherwise examples of one given `group`, or
    of one dialogue, stand on one side.

    The `group` that every example gets is its unit for intervals: examples of one given group, dialogue or document of
    that side. Where a split by question or time leaves fewer than `FEW` such units, the documents are taken as given.

    An example made from another (`parent`) stands where that one stands. What a program made for training alone
    (`maker`, and ``train`` as its split) is added to train and moves no other, unless it would give others away. No
    maker writes for both sides: where train or dev have examples of a test question's maker, that question is left out
    while others remain.

    Args:
        examples: All of them.
        section: The policy, the shares, the seed.
        documents: Id of every document → the first id of the same text (`twins.same_documents`).
        holders: Id of a document → the documents in which its text stands (`twins.holders`).

    Raises:
        TooFewExamples: a split that should have a share is empty.
        LeakFound: all test questions and training examples have one maker, which is no person.
        BadRecord: ``time`` is asked for and an example has no date.
    """
    warnings: list[str] = []
    # Limited by a draw of its own, before anything is divided: another limit takes more of the same order.
    extra = _for_training(examples) if section.split_by != "given" else []
    apart = {e.id for e in extra}
    divided = [e for e in examples if e.id not in apart]
    everyone = _limited(divided, section)
    extra = _in_proportion(extra, len(divided), section)
    elders = _elders(everyone)
    names = {e.id: group_name(e.group) for e in everyone}
    # Only elders are placed; what was made from one follows it.
    pool = [e for e in everyone if elders[e.id] == e.id]
    shares: dict[SplitName, float] = {
        "train": section.train,
        "dev": section.dev,
        "test": section.test,
        "reserve": section.reserve,
    }
    total = sum(shares.values())
    if abs(total - 1) > 1e-6:
        warnings.append(f"the shares of [examples] add up to {total:.2f}, and were scaled to 1")
    shares = {name: share / total for name, share in shares.items()}
    by_document = section.split_by in ("document", "given")
    derived: defaultdict[str, list[Example]] = defaultdict(list)
    for e in everyone:
        if elders[e.id] != e.id:
            derived[elders[e.id]].append(e)
    kin: _Kin = {"same": documents, "holders": holders, "seed": section.seed, "derived": derived}
    groups = grouped(pool, by_document=by_document, warnings=warnings, **kin)
    if section.split_by == "given":
        chosen, words = _by_record(pool, groups, shares, section.seed, warnings)
    elif section.split_by == "time":
        chosen, words = _by_time(pool, groups, shares, section.seed)
    else:
        sides = _assign(Counter(groups.values()), shares, section.seed, rare=_unanswerable(pool, groups))
        chosen = {e.id: (groups[e.id], sides[groups[e.id]]) for e in pool}
        words = "by document: questions on one document are on one side, so it holds for new documents"
        if section.split_by == "question":
            words = _question_words(pool)
    if not by_document:
        chosen, caveat = _clustered(pool, chosen, kin)
        words += caveat
    placed = [
        replace(e, group=chosen[elders[e.id]][0], split=chosen[elders[e.id]][1])
        for e in sorted(everyone, key=lambda e: _chance(section.seed, e.id))
    ]
    placed = _makers_apart([*placed, *_added(extra, placed, kin, by_document=by_document, warnings=warnings)], warnings)
    names |= {e.id: group_name(e.group) for e in extra}
    parts: dict[SplitName, Questions] = {}
    for side in shares:
        parts[side] = Questions(e for e in placed if e.split == side)
    empty = [name for name, share in shares.items() if share > 0 and not parts[name]]
    if empty:
        group_count = len({group for group, _ in chosen.values()})
        raise TooFewExamples(
            f"{counted(len(placed), 'example')} in {counted(group_count, 'group')}, "
            f"split by {section.split_by}, {'leaves' if len(placed) == 1 else 'leave'} empty: {', '.join(empty)}",
            cure=f"Raise --limit ([examples].limit, now {section.limit}), or omit it."
            if len(everyone) < len(divided)
            else "Add examples, set the share of that split to 0, or choose another [examples].split_by.",
        )
    tested = len({e.group for e in parts["test"]})
    unknowable = sum(not e.answerable for e in placed)
    if unknowable and parts["test"] and all(e.answerable for e in parts["test"]):
        warnings.append(
            f"no test question is one that nobody can answer, though {unknowable} of {len(placed)} examples are: "
            "whether an arm declines is not measured"
        )
    return Splits(
        train=parts["train"],
        dev=parts["dev"],
        test=parts["test"],
        reserve=parts["reserve"],
        policy=words,
        groups=tested,
        digest=parts["test"].digest,
        warnings=tuple(warnings),
        documents=documents,
        holders=holders,
        author_groups={e.id: name for e in placed if (name := names[e.id])},
    )


def _chance(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogatepass")).hexdigest()


def _limited(examples: Sequence[Example], section: ExamplesSection) -> list[Example]:
    ordered = sorted(examples, key=lambda e: _chance(section.seed, f"limit/{e.id}"))
    return ordered[: section.limit] if section.limit else ordered


def _in_proportion(extra: Sequence[Example], number: int, section: ExamplesSection) -> list[Example]:
    """As large a share of what was made for training as the limit leaves of the `number` of others.

    What was made from one of them is drawn with it, and never without it.
    """
    if not section.limit or section.limit >= number:
        return list(extra)
    first: dict[str, str] = {}
    for e in extra:  # each stands after the one that it was made from
        first[e.id] = first.get(e.parent, e.id)
    ordered = sorted(extra, key=lambda e: _chance(section.seed, f"limit/{first[e.id]}"))
    return ordered[: math.ceil(len(extra) * section.limit / number)]


def _elders(examples: Sequence[Example]) -> dict[str, str]:
    """Example id → id of the example that decides where it stands: its earliest ancestor here, else its first kin."""
    parents = {e.id: e.parent for e in examples if e.parent and e.parent != e.id}
    ids = {e.id for e in examples}
    first: dict[str, str] = {}
    elders: dict[str, str] = {}
    for e in sorted(examples, key=lambda e: e.id):
        root = e.id
        seen = {e.id}
        while root in parents and parents[root] not in seen:
            root = parents[root]
            seen.add(root)
        # Parents in a circle have no earliest one: the first member by name stands for it.
        if root in parents:
            circle = [root]
            while parents[circle[-1]] != root:
                circle.append(parents[circle[-1]])
            root = min(circle)
        elders[e.id] = root if root in ids else first.setdefault(root, e.id)
    return elders


def _for_training(examples: Iterable[Example]) -> list[Example]:
    """What a program wrote for training alone, and made from nothing else: it would move others from test to train.

    Each stands after the one that it was made from.
    """
    marked = {e.id: e for e in examples if e.maker and e.split == "train"}
    chosen = {name: e for name, e in marked.items() if not e.parent}
    more = chosen
    # In generations: parents in a circle, or of which one is another's question, are in none.
    while more:
        more = {name: e for name, e in marked.items() if e.parent in more and name not in chosen}
        chosen |= more
    return list(chosen.values())


def _added(
    extra: Sequence[Example], placed: Sequence[Example], kin: _Kin, *, by_document: bool, warnings: list[str]
) -> list[Example]:
    """What was made for training, added to a division that it changes nothing of.

    Left out is what asks about a document of dev, test or reserve where questions stay with their documents, or belongs
    to a group of theirs, and what was made from it: it would give their answers away. What was made from another is in
    its group.
    """
    same, holders = kin["same"], kin["holders"]

    def documents(part: Iterable[Example]) -> set[str]:
        return {same.get(name, name) for name in chain.from_iterable(map(documents_of, part))}

    def holding(names: Iterable[str]) -> set[str]:
        return set(chain.from_iterable(holders.get(name, ()) for name in names))

    later = [e for e in placed if e.split != "train"]
    groups = {e.group for e in later} | {group_name(e.group) for e in later}
    closed = documents(later) if by_document else set[str]()
    # Also a document that holds one of theirs, or stands in one.
    around = closed | holding(closed)
    chosen: dict[str, str] = {}
    for e in extra:
        mine = documents([e])
        name = group_name(e.group)
        if name in groups or not (mine.isdisjoint(around) and holding(mine).isdisjoint(closed)):
            continue
        if e.parent and e.parent not in chosen:
            continue
        name = name or min(mine, default=e.id)
        chosen[e.id] = chosen[e.parent] if e.parent else f"{name} (train)" if name in groups else name
    rest = [replace(e, group=chosen[e.id]) for e in extra if e.id in chosen]
    out = sorted(rest, key=lambda e: _chance(kin["seed"], e.id))
    if len(out) < len(extra):
        warnings.append(
            f"left out: {counted(len(extra) - len(out), 'example')} made for training, about documents or of groups of "
            "dev, test or reserve"
        )
    return out


def _makers_apart(placed: Sequence[Example], warnings: list[str]) -> list[Example]:
    """`placed` without the examples that would have one maker write for training and for the test."""
    learning = Counter(e.maker for e in placed if e.maker and e.split in ("train", "dev"))
    testing = Counter(e.maker for e in placed if e.maker and e.split in ("test", "reserve"))
    # A maker on both sides: the study would measure how well its habits are learned.
    shared = sorted(learning.keys() & testing.keys())
    if not shared:
        return list(placed)
    test_maker = ""
    if all(e.maker in shared for e in placed if e.split == "test"):
        if len(shared) == 1:
            raise LeakFound(
                f"every test question was written by {shared[0]}, which wrote training examples too: the study would "
                "measure how well that generator's habits are learned",
                cure="Let people or another generator write test questions, or set [examples].train = dev = 0.",
            )
        # The maker with the fewest examples: so the most are left to learn from.
        test_maker = min(shared, key=lambda maker: (learning[maker] + testing[maker], maker))
    out = [e for e in placed if e.maker not in shared or (e.split in ("test", "reserve")) == (e.maker == test_maker)]
    note = f"; those by {test_maker} are the test" if test_maker else ""
    warnings.append(
        f"left out: {counted(len(placed) - len(out), 'example')}, because {', '.join(shared)} wrote for training and "
        f"for the test{note}"
    )
    return out


def _question_words(examples: Sequence[Example]) -> str:
    if any(documents_of(e) for e in examples):
        return "by question: all sides may ask about one document, so it holds for new questions on known documents"
    if any(e.group for e in examples):
        return "by question: questions of one group are on one side, so it holds for new groups of such questions"
    return "by question: it holds for new questions of this kind"


def _clustered(
    examples: Sequence[Example],
    chosen: Mapping[str, tuple[str, SplitName]],
    kin: _Kin,
) -> tuple[dict[str, tuple[str, SplitName]], str]:
    """The groups by document too, each side for itself; unless they would be too few, and then what is said of that."""
    by_side: defaultdict[SplitName, list[Example]] = defaultdict(list)
    for e in examples:
        by_side[chosen[e.id][1]].append(e)
    out: dict[str, tuple[str, SplitName]] = {}
    for side, members in by_side.items():
        regrouped = grouped(members, by_document=True, warnings=[], **kin)
        out |= {name: (group, side) for name, group in regrouped.items()}
    tested = {e.id for e in by_side["test"]}
    before = {chosen[name][0] for name in tested}
    after = {out[name][0] for name in tested}
    if len(after) < min(FEW, len(before)):
        return dict(chosen), "; the documents are taken as given, and intervals hold for further questions on them"
    sides: defaultdict[str, set[SplitName]] = defaultdict(set)
    for group, side in out.values():
        sides[group].add(side)
    named: dict[str, tuple[str, SplitName]] = {}
    for name, (group, side) in out.items():
        # A group that was divided between splits is a group of its own in each of them.
        named[name] = (f"{group} ({side})" if len(sides[group]) > 1 else group, side)
    return named, ""


def _unanswerable(examples: Sequence[Example], groups: Mapping[str, str]) -> Counter[str]:
    """Group → how many of its examples nobody can answer."""
    return Counter(groups[e.id] for e in examples if not e.answerable)


def _assign(
    sizes: Mapping[str, int], shares: Mapping[SplitName, float], seed: int, *, rare: Mapping[str, int]
) -> dict[str, SplitName]:
    """Group → split: big groups first, then by chance, each to the split that lacks most.

    Groups with rare examples come before all others, each to the split that lacks most of these (iterative
    stratification, Sechidis et al. 2011) and has room for it; the first with room goes to the test. A split that would
    stay empty gets the smallest group of the split with most groups.

    Args:
        sizes: Group → its examples.
        shares: Split → share of all examples.
        seed: Draws the order of groups.
        rare: Group → examples of a kind that every split should have its share of.
    """
    total, kind = sum(sizes.values()), sum(rare.values())
    lacking = {name: share * total for name, share in shares.items() if share > 0}
    without = {name: share * kind for name, share in shares.items() if share > 0}
    # Big groups first, as a big one placed last could overfill any side; small ones in an order drawn by seed.
    big = max(2.0, 0.02 * total)
    order = sorted(sizes, key=lambda g: (-rare.get(g, 0), -sizes[g] if sizes[g] > big else 0, _chance(seed, g), g))
    sides: dict[str, SplitName] = {}
    tested = "test" not in lacking
    for group in order:
        side = max(lacking, key=lambda name: lacking[name])
        # Rare examples go where they are lacked most, if there is room: half of the group must still fit.
        if count := rare.get(group, 0):
            room = [name for name in lacking if 2 * lacking[name] >= sizes[group]] or [side]
            side = max(room, key=lambda name: (without[name], lacking[name]))
            if not tested and "test" in room:
                side = "test"
                tested = True
            without[side] -= count
        sides[group] = side
        lacking[side] -= sizes[group]
    # Few or large groups may leave a split empty: it gets the smallest group of the split that has most.
    for name in lacking:
        counts = Counter(sides.values())
        if counts[name] or not counts:
            continue
        donor = max(counts, key=lambda side: (counts[side], side))
        if counts[donor] > 1:
            donated = [g for g, side in sides.items() if side == donor]
            sides[min(donated, key=lambda g: (sizes[g], _chance(seed, g)))] = name
    return sides


def _by_time(
    examples: Sequence[Example], groups: Mapping[str, str], shares: Mapping[SplitName, float], seed: int
) -> tuple[dict[str, tuple[str, SplitName]], str]:
    """By date: train, dev, test, reserve, from the earliest to the latest; a group goes by its latest example."""
    undated = [e for e in sorted(examples, key=lambda e: (e.file, e.line)) if not e.at]
    if undated:
        raise BadRecord(
            f"split by time, but {counted(len(undated), 'example')} without a date; the first is {undated[0].id!r}",
            file=undated[0].file or None,
            line=undated[0].line or None,
            cure='Give every example an "at" (ISO date), or choose another [examples].split_by.',
        )
    latest: dict[str, datetime] = {}
    for e in examples:
        moment = moment_of(e.at)
        if moment is None:
            raise BadRecord(f"the date {e.at!r} is not in ISO format", file=e.file or None, line=e.line or None)
        latest[groups[e.id]] = max(moment, latest.get(groups[e.id], moment))
    sizes = Counter(groups.values())
    order = sorted(sizes, key=lambda g: (latest[g], _chance(seed, g), g))
    names: list[SplitName] = [name for name in ("train", "dev", "test", "reserve") if shares[name] > 0]
    sides: dict[str, SplitName] = {}
    done, at, edge = 0, 0, shares[names[0]] * len(examples)
    for number, group in enumerate(order):
        waiting = len(order) - number
        filled = any(side == names[at] for side in sides.values())
        # A side ends at its share, and early enough that every later side still gets a group.
        while at < len(names) - 1 and filled and (done + sizes[group] / 2 > edge or waiting <= len(names) - 1 - at):
            at += 1
            edge += shares[names[at]] * len(examples)
            filled = False
        sides[group] = names[at]
        done += sizes[group]
    start = min((latest[g] for g, side in sides.items() if side == "test"), default=None)
    since = f" (test from {start.date().isoformat()})" if start else ""
    words = f"by time: the latest questions are the test, so it holds for questions still to come{since}"
    return {name: (group, sides[group]) for name, group in groups.items()}, words


def _by_record(
    examples: Sequence[Example],
    base: Mapping[str, str],
    shares: Mapping[SplitName, float],
    seed: int,
    warnings: list[str],
) -> tuple[dict[str, tuple[str, SplitName]], str]:
    """By the records' own split; a document on two sides makes one group on each."""
    known = {e.split for e in examples}
    whole = "test" in known
    without = [e for e in examples if e.split is None]
    if without:
        warnings.append(f"put into train: {counted(len(without), 'example')} without a split")
    sides: dict[str, SplitName] = {}
    for e in examples:
        side: SplitName = e.split or "train"
        # A set without a test part of its own is tested on its dev part.
        sides[e.id] = "test" if side == "dev" and not whole else side
    sides_of: defaultdict[str, set[SplitName]] = defaultdict(set)
    for e in examples:
        sides_of[base[e.id]].add(sides[e.id])
    both = {group for group, found in sides_of.items() if len(found) > 1}
    if both:
        warnings.append(f"on more than one side of the given split: {counted(len(both), 'group')} (documents)")
    groups = {e.id: f"{base[e.id]} ({sides[e.id]})" if base[e.id] in both else base[e.id] for e in examples}
    if "dev" not in sides.values() and shares["dev"] > 0:
        sizes = Counter(groups[e.id] for e in examples if sides[e.id] == "train")
        scale = shares["train"] + shares["dev"]
        rare = _unanswerable([e for e in examples if sides[e.id] == "train"], groups)
        # Dev is cut from train alone, in the proportion of their shares: the given test stays as it is.
        carved = _assign(sizes, {"train": shares["train"] / scale, "dev": shares["dev"] / scale}, seed, rare=rare)
        sides = {name: carved.get(groups[name], side) if side == "train" else side for name, side in sides.items()}
    words = "as the data's authors gave it" + ("" if whole else ": their dev part is the test, dev is cut from train")
    learned = {base[name] for name, side in sides.items() if side in ("train", "dev")}
    tested = {base[name] for name, side in sides.items() if side in ("test", "reserve")}
    if known_too := len(tested & learned):
        words += (
            f"; {known_too} of the {counted(len(tested), 'group')} in test {'stands' if known_too == 1 else 'stand'} "
            "in train or dev too, so it does not hold for new ones"
        )
    return {name: (groups[name], sides[name]) for name in groups}, words
