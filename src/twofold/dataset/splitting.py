"""Examples → train, dev, test and reserve. Pure; everything is drawn by hashing seed and ids."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from twofold.config import ExamplesSection
from twofold.dataset.examples import example_digest, moment_of
from twofold.errors import BadRecord, LeakFound, TooFewExamples
from twofold.identity import digest
from twofold.reading import counted
from twofold.types import Example, SplitName

GIANT = 0.4
"""A group with more than this share of all examples is taken apart."""


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Examples divided; every example carries its final `group` and `split`."""

    train: tuple[Example, ...]
    """For tuning, and for few-shot examples."""
    dev: tuple[Example, ...]
    """For choosing checkpoints and settings."""
    test: tuple[Example, ...]
    """For the verdict."""
    reserve: tuple[Example, ...]
    """Sealed until the end."""
    sentence: str
    """The policy in words."""
    groups: int
    """Independent groups in the test split."""
    digest: str
    """Digest of the test split's example digests."""
    warnings: tuple[str, ...] = ()
    """What was done otherwise than asked."""


def split(examples: Sequence[Example], section: ExamplesSection) -> Splits:
    """Divide examples by the section's policy; the same for any order of `examples`.

    Policies (`split_by`): ``question``, each example on its own; ``document``, examples that share a document (or a
    given `group`) stay together; ``time``, the latest are the test; ``given``, the records' own split, their dev part
    (or their test part, where there is one) being the test.

    An example made from another (`parent`) stands where that one stands. No maker writes for both sides: where train
    or dev have examples of a test question's maker, that question is left out while others remain.

    Raises:
        TooFewExamples: a split that should have a share is empty.
        LeakFound: all test questions and training examples have one maker, which is no person.
        BadRecord: ``time`` is asked for and an example has no date.
    """
    warnings: list[str] = []
    everyone = _limited(examples, section)
    elders = _elders(everyone)
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
    if section.split_by == "given":
        chosen, words = _given(pool, shares, section.seed, warnings)
    elif section.split_by == "time":
        chosen, words = _by_time(pool, shares, section.seed)
    else:
        if section.split_by == "document":
            groups = _document_groups(pool, warnings)
            words = "by document: questions on one document are on one side, so it holds for new documents"
        else:
            groups = {e.id: e.id for e in pool}
            words = "by question: documents are shared by all sides, so it holds for new questions on known documents"
        sides = _assign(Counter(groups.values()), shares, section.seed)
        chosen = {e.id: (groups[e.id], sides[groups[e.id]]) for e in pool}
    placed = [
        replace(e, group=chosen[elders[e.id]][0], split=chosen[elders[e.id]][1])
        for e in sorted(everyone, key=lambda e: _chance(section.seed, e.id))
    ]
    placed = _makers_apart(placed, warnings)
    parts: dict[SplitName, tuple[Example, ...]] = {name: tuple(e for e in placed if e.split == name) for name in shares}
    empty = [name for name, share in shares.items() if share > 0 and not parts[name]]
    if empty:
        raise TooFewExamples(
            f"{counted(len(placed), 'example')} in {counted(len({g for g, _ in chosen.values()}), 'group')}, "
            f"split by {section.split_by}, {'leaves' if len(placed) == 1 else 'leave'} nothing for: {', '.join(empty)}",
            cure=f"Raise --limit ([examples].limit, now {section.limit}), or leave it out."
            if len(everyone) < len(examples)
            else "Add examples, set the share of that split to 0, or choose another [examples].split_by.",
        )
    tested = len({e.group for e in parts["test"]})
    counts = ", ".join(f"{len(part)} {name}" for name, part in parts.items() if part)
    return Splits(
        train=parts["train"],
        dev=parts["dev"],
        test=parts["test"],
        reserve=parts["reserve"],
        sentence=f"Split {words} ({counts}; {counted(tested, 'independent group')} in test).",
        groups=tested,
        digest=digest("test", sorted(example_digest(e) for e in parts["test"])),
        warnings=tuple(warnings),
    )


def _chance(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogatepass")).hexdigest()


def _limited(examples: Sequence[Example], section: ExamplesSection) -> list[Example]:
    ordered = sorted(examples, key=lambda e: _chance(section.seed, f"limit/{e.id}"))
    return ordered[: section.limit] if section.limit else ordered


def _elders(examples: Sequence[Example]) -> dict[str, str]:
    """Example id → id of the example that decides where it stands: its earliest ancestor here, else its first kin."""
    parents = {e.id: e.parent for e in examples if e.parent and e.parent != e.id}
    ids = {e.id for e in examples}
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for e in sorted(examples, key=lambda e: e.id):
        root, seen = e.id, {e.id}
        while root in parents and parents[root] not in seen:
            root = parents[root]
            seen.add(root)
        if root in parents:  # a circle: its first member by name
            circle = [root]
            while parents[circle[-1]] != root:
                circle.append(parents[circle[-1]])
            root = min(circle)
        found[e.id] = root if root in ids else first.setdefault(root, e.id)
    return found


def _makers_apart(placed: Sequence[Example], warnings: list[str]) -> list[Example]:
    """`placed` without the examples that would have one maker write for training and for the test."""
    learning, testing = (
        Counter(e.maker for e in placed if e.maker and e.split in sides)
        for sides in (("train", "dev"), ("test", "reserve"))
    )
    shared = sorted(learning.keys() & testing.keys())
    if not shared:
        return list(placed)
    kept = ""
    if all(e.maker in shared for e in placed if e.split == "test"):
        if len(shared) == 1:
            raise LeakFound(
                f"every test question was written by {shared[0]}, which wrote training examples too: the study would "
                "measure how well its habits are learned",
                cure="Let people or another generator write test questions, or set [examples].train = dev = 0.",
            )
        kept = min(shared, key=lambda maker: (learning[maker] + testing[maker], maker))
    out = [e for e in placed if e.maker not in shared or (e.split in ("test", "reserve")) == (e.maker == kept)]
    told = f"; those by {kept} are the test" if kept else ""
    warnings.append(
        f"{len(placed) - len(out)} examples are left out, because {', '.join(shared)} wrote for training and for the "
        f"test{told}"
    )
    return out


def _document_groups(examples: Sequence[Example], warnings: list[str]) -> dict[str, str]:
    """Example id → group: connected components over shared documents and given groups (union-find)."""
    parent: dict[str, str] = {}

    def find(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def nodes(example: Example) -> list[str]:
        own = [f"group {example.group}"] if example.group else []
        return [*own, *(f"document {source}" for source in example.sources)] or [f"example {example.id}"]

    for example in examples:
        first, *rest = nodes(example)
        for other in rest:
            a, b = sorted((find(first), find(other)))
            parent[b] = a
    roots = {e.id: find(nodes(e)[0]) for e in examples}
    groups = {e.id: roots[e.id].split(" ", 1)[1] for e in examples}
    clash = _clashes(roots)
    sizes = Counter(roots.values())
    root, size = max(sizes.items(), key=lambda item: (item[1], item[0])) if sizes else ("", 0)
    linked = {n for e in examples if roots[e.id] == root for n in nodes(e)}
    if size > GIANT * len(examples) and size > 1 and len(linked) > 1:
        warnings.append(
            f"{size} of {len(examples)} examples are linked through shared documents: they were grouped by the first "
            "document of each, so some documents stand on both sides of the split"
        )
        firsts = {e.id: nodes(e)[0] for e in examples}
        groups, clash = {name: node.split(" ", 1)[1] for name, node in firsts.items()}, _clashes(firsts)
        roots = firsts
    return {name: roots[name] if group in clash else group for name, group in groups.items()}


def _clashes(nodes: Mapping[str, str]) -> set[str]:
    """Names that nodes of different kinds share."""
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for node in nodes.values():
        sort, name = node.split(" ", 1)
        kinds[name].add(sort)
    return {name for name, sorts in kinds.items() if len(sorts) > 1}


def _assign(sizes: Mapping[str, int], shares: Mapping[SplitName, float], seed: int) -> dict[str, SplitName]:
    """Group → split: big groups first, then by chance, each to the split that lacks most.

    A split that would stay empty gets the smallest group of the split with most groups.
    """
    total = sum(sizes.values())
    lacking = {name: share * total for name, share in shares.items() if share > 0}
    big = max(2.0, 0.02 * total)
    order = sorted(sizes, key=lambda g: (-sizes[g] if sizes[g] > big else 0, _chance(seed, g), g))
    sides: dict[str, SplitName] = {}
    for group in order:
        side = max(lacking, key=lambda name: lacking[name])
        sides[group] = side
        lacking[side] -= sizes[group]
    for name in lacking:
        held = Counter(sides.values())
        if held[name] or not held:
            continue
        donor = max(held, key=lambda side: (held[side], side))
        if held[donor] > 1:
            own = [g for g, side in sides.items() if side == donor]
            sides[min(own, key=lambda g: (sizes[g], _chance(seed, g)))] = name
    return sides


def _by_time(
    examples: Sequence[Example], shares: Mapping[SplitName, float], seed: int
) -> tuple[dict[str, tuple[str, SplitName]], str]:
    """By date: train, dev, test, reserve, from the earliest to the latest; a group goes by its latest example."""
    undated = [e for e in sorted(examples, key=lambda e: (e.file, e.line)) if not e.at]
    if undated:
        raise BadRecord(
            f"{len(undated)} examples have no date, and the split is by time; the first is {undated[0].id!r}",
            file=undated[0].file or None,
            line=undated[0].line or None,
            cure='Give every example an "at" (ISO date), or choose another [examples].split_by.',
        )
    groups = {e.id: e.group or e.id for e in examples}
    latest: dict[str, datetime] = {}
    for e in examples:
        moment = moment_of(e.at)
        if moment is None:
            raise BadRecord(f"{e.at!r} is no ISO date", file=e.file or None, line=e.line or None)
        latest[groups[e.id]] = max(moment, latest.get(groups[e.id], moment))
    sizes = Counter(groups.values())
    order = sorted(sizes, key=lambda g: (latest[g], _chance(seed, g), g))
    names: list[SplitName] = [name for name in ("train", "dev", "test", "reserve") if shares[name] > 0]
    sides: dict[str, SplitName] = {}
    done, at, edge = 0, 0, shares[names[0]] * len(examples)
    for number, group in enumerate(order):
        waiting = len(order) - number
        own = any(side == names[at] for side in sides.values())
        while at < len(names) - 1 and own and (done + sizes[group] / 2 > edge or waiting <= len(names) - 1 - at):
            at += 1
            edge += shares[names[at]] * len(examples)
            own = False
        sides[group] = names[at]
        done += sizes[group]
    start = min((latest[g] for g, side in sides.items() if side == "test"), default=None)
    since = f" (test from {start.date().isoformat()})" if start else ""
    words = f"by time: the latest questions are the test, so it holds for questions still to come{since}"
    return {name: (group, sides[group]) for name, group in groups.items()}, words


def _given(
    examples: Sequence[Example], shares: Mapping[SplitName, float], seed: int, warnings: list[str]
) -> tuple[dict[str, tuple[str, SplitName]], str]:
    """By the records' own split; a document on two sides makes one group on each."""
    known = {e.split for e in examples}
    whole = "test" in known
    without = [e for e in examples if e.split is None]
    if without:
        warnings.append(f"{len(without)} examples name no split, and were put into train")
    sides: dict[str, SplitName] = {}
    for e in examples:
        side: SplitName = e.split or "train"
        sides[e.id] = "test" if side == "dev" and not whole else side
    base = _document_groups(examples, warnings)
    held: defaultdict[str, set[SplitName]] = defaultdict(set)
    for e in examples:
        held[base[e.id]].add(sides[e.id])
    both = {group for group, found in held.items() if len(found) > 1}
    if both:
        warnings.append(f"{len(both)} groups (documents) stand on more than one side of the given split")
    groups = {e.id: f"{base[e.id]} ({sides[e.id]})" if base[e.id] in both else base[e.id] for e in examples}
    if "dev" not in sides.values() and shares["dev"] > 0:
        sizes = Counter(groups[e.id] for e in examples if sides[e.id] == "train")
        scale = shares["train"] + shares["dev"]
        carved = _assign(sizes, {"train": shares["train"] / scale, "dev": shares["dev"] / scale}, seed)
        sides = {name: carved.get(groups[name], side) if side == "train" else side for name, side in sides.items()}
    words = "as the data's authors gave it" + ("" if whole else ": their dev part is the test, dev is cut from train")
    return {name: (groups[name], sides[name]) for name in groups}, words
