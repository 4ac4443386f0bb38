"""Groups of examples that belong together: by a given group, a document, or a dialogue that one continues. Pure.

What belongs together stands on one side of a split, and is resampled as one where intervals are made.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType

from twofold.examples.leaks import histories, turns_of, unified
from twofold.types import Example

GIANT = 0.4
"""A group with more than this share of all examples is taken apart."""
_OPENING = 12
"""Words from which the beginning of a dialogue says which dialogue it is."""


def documents_of(example: Example) -> tuple[str, ...]:
    """Ids of all documents that an example names."""
    named = (*example.sources, *(span.document for span in example.spans), *example.grades)
    return tuple(dict.fromkeys(named))


def grouped(
    examples: Sequence[Example],
    *,
    by_document: bool,
    same: Mapping[str, str],
    warnings: list[str],
    seed: int = 0,
    derived: Mapping[str, Sequence[Example]] = MappingProxyType({}),
    holders: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, str]:
    """Example id → name of its group; the same for any order of `examples`.

    Where documents link more than `GIANT` of all examples, the documents that link most are left out of it, as few
    as will do, and a warning names them.

    Args:
        examples: With unique ids.
        by_document: Examples on one document belong together.
        same: Document id → the first id of the same text.
        warnings: Gets what was done otherwise than asked.
        seed: Draws among documents that link equally many.
        derived: Example id → what was made from it, which stands where it stands and ties what it belongs to.
        holders: Document id → ids of the documents in which its text stands: questions on both belong together.
    """
    kin = {e.id: (e, *derived.get(e.id, ())) for e in examples}
    named: set[str] = set()
    for related in kin.values():
        for member in related:
            named.update(_named(member, same))
    owner: dict[str, str] = {}
    fixed: dict[str, list[str]] = {}
    documents: dict[str, list[str]] = {}
    for name, members in kin.items():
        owner |= {member.id: name for member in members}
        fixed[name] = list(chain.from_iterable(map(_fixed_nodes, members)))
        mine = dict.fromkeys(chain.from_iterable(_named(member, same) for member in members))
        # Only a holder that is asked about ties anything: a collection of all documents would tie them all.
        ids = dict.fromkeys(one for document in mine for one in (document, *holders.get(document, ())) if one in named)
        documents[name] = [f"document {document}" for document in ids] if by_document else []
    everyone = list(chain.from_iterable(kin.values()))
    for number, talks in enumerate(_dialogues(everyone)):
        for name in dict.fromkeys(owner[talk] for talk in talks):
            fixed[name].append(f"dialogue {number}")
    # The documents that link most come first; ties are drawn by seed, so that ids and order decide nothing.
    links = Counter(chain.from_iterable(documents.values()))
    hubs = sorted((n for n in links if links[n] > 1), key=lambda n: (-links[n], _chance(seed, n), n))
    roots = _components(fixed, documents, without=frozenset())
    largest = _largest(roots)
    if largest > GIANT * len(examples) and hubs:
        # Leaving out more hubs never joins groups, so the fewest that will do are found by halving.
        least = 0
        most = len(hubs)
        while least < most:
            middle = (least + most) // 2
            if _largest(_components(fixed, documents, without=frozenset(hubs[:middle]))) > GIANT * len(examples):
                least = middle + 1
            else:
                most = middle
        cut = frozenset(hubs[:least])
        without_hubs = _components(fixed, documents, without=cut)
        # Given groups and dialogues may hold the giant together: then leaving documents out gains nothing.
        if _largest(without_hubs) < largest:
            roots = without_hubs
            names = ", ".join(repr(node.split(" ", 1)[1]) for node in hubs[: min(least, 3)])
            warnings.append(
                f"{largest} of {len(examples)} examples are linked through shared documents: those that link most "
                f"({names}{', …' if least > 3 else ''}) were left out of the grouping, so they stand on both sides"
            )
    clash = _clashes(roots)
    # Names without their kind, as users know them, but where a document and a group are called alike.
    short = {name: root.split(" ", 1)[1] for name, root in roots.items()}
    return {name: roots[name] if short[name] in clash else short[name] for name in roots}


def group_name(name: str) -> str:
    """The canonical name of a group, whatever the case, the blanks and the way its characters are encoded."""
    return " ".join(unicodedata.normalize("NFKC", unified(name).casefold()).split())


def _fixed_nodes(example: Example) -> list[str]:
    name = group_name(example.group)
    return [f"group {name}"] if name else []


def _named(example: Example, same: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(same.get(one, one) for one in documents_of(example)))


def _components(
    fixed: Mapping[str, Sequence[str]], documents: Mapping[str, Sequence[str]], *, without: frozenset[str]
) -> dict[str, str]:
    """Example id → the first node, by name, of its connected component (union-find)."""
    parent: dict[str, str] = {}

    def find(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            # Path halving: later look-ups have half the way.
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    firsts: dict[str, str] = {}
    for name in fixed:
        nodes = [*fixed[name], *(node for node in documents[name] if node not in without)] or [f"example {name}"]
        firsts[name] = nodes[0]
        find(nodes[0])
        for other in nodes[1:]:
            a, b = sorted((find(nodes[0]), find(other)), key=_order)
            parent[b] = a
    return {name: find(node) for name, node in firsts.items()}


def _order(node: str) -> tuple[bool, str]:
    # A dialogue has only a number: a group takes its name from any other node that it has.
    return node.startswith("dialogue "), node


def _largest(roots: Mapping[str, str]) -> int:
    return max(Counter(roots.values()).values(), default=0)


def _clashes(nodes: Mapping[str, str]) -> set[str]:
    """Names that nodes of different kinds share."""
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for node in nodes.values():
        sort, name = node.split(" ", 1)
        kinds[name].add(sort)
    return {name for name, sorts in kinds.items() if len(sorts) > 1}


def _chance(seed: int, name: str) -> str:
    # A name may hold a lone surrogate, which strict UTF-8 refuses.
    return hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogatepass")).hexdigest()


# ---------------------------------------------------------------- dialogues


def _dialogues(examples: Sequence[Example]) -> Iterator[list[str]]:
    """Ids of examples of one dialogue: they begin alike, or the question of one stands in the history of another."""
    ordered = sorted(examples, key=lambda e: e.id)
    openings: defaultdict[str, list[str]] = defaultdict(list)
    for example in ordered:
        opening = _opening(example)
        if opening:
            openings[opening].append(example.id)
    yield from (members for members in openings.values() if len(members) > 1)
    yield from ([later, earlier] for later, earlier in histories(ordered, ordered))


def _opening(example: Example) -> str:
    """The first turns, as many as have `_OPENING` words, at least two; empty for a question without a history."""
    turns = [text for _, text in turns_of(example)]
    # A question alone says nothing of a dialogue: many dialogues begin with the same one.
    if len(turns) < 2:
        return ""
    words = 0
    for number, text in enumerate(turns, 1):
        words += len(text.split())
        if number > 1 and words >= _OPENING:
            return "\n".join(turns[:number])
    return "\n".join(turns)
