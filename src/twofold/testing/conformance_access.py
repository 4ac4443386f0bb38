"""Permission suite of everything that finds, orders or answers: no passage reaches who may not read it.

Every chunk of the suite's corpus holds a word of its own that no query has. Where that word turns up, the chunk was
read; so a leak through a prompt, an answer, a trace, a note of a cache or a tool's result is seen like one in the hits.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

from twofold.answering import access
from twofold.hashing import canonical_json, plain
from twofold.plugins.protocols import Reranker, Retriever, Rewriter
from twofold.types import Chunk, Example, Filter, Hit, Message, Query, Retrieval, Span

_WORDS = re.findall(
    r"\w+",
    "irrigation sensor nitrogen harvest pivot soil maize wheat drought rainfall canopy yield pump nozzle root field "
    "salary contract budget merger lawsuit patient dose trial invoice audit tender margin forecast supplier warranty",
)
_USERS = ("ann", "bob", "cy", "o'neil", 'quo"te', "dör te")
_GROUPS = ("staff", "hr", "board", "legal", "field team")
_CANARY = re.compile(r"zq\d{5}x")


def corpus(*, documents: int = 60, chunks: int = 3, seed: int = 0) -> list[Chunk]:
    """Chunks whose documents have random readers: unknown, nobody, everyone, users and groups in every spelling."""
    chance = random.Random(seed)
    names = [*_USERS, *_GROUPS, *(f"user:{u}" for u in _USERS), *(f"group:{g}" for g in _GROUPS), access.EVERYONE]
    corpus_chunks: list[Chunk] = []
    for number in range(documents):
        # Five times as many with readers by name as of each other kind: these are where leaks would be.
        readers = chance.choice([None, (), (access.EVERYONE,), *[tuple(chance.sample(names, 2))] * 5])
        topic = chance.sample(_WORDS, 6)
        collection = chance.choice(["", "a", "b"])
        start = 0
        for ordinal in range(chunks):
            text = " ".join([*chance.choices(topic, k=12), f"zq{number:03}{ordinal:02}x"])
            span = Span(document=f"d{number}", start=start, end=start + len(text))
            corpus_chunks.append(
                Chunk(
                    id=f"c{number}-{ordinal}", span=span, text=text, title=topic[0], ordinal=ordinal, readers=readers,
                    collection=collection, metadata={"year": str(2020 + number % 3)},
                )
            )  # fmt: skip
            start += len(text) + 1
    return corpus_chunks


def requests(chunks: Sequence[Chunk], count: int, *, seed: int = 0) -> Iterator[list[Query]]:
    """`count` random pairs of a principal and a query, in batches that mix principals.

    Half of the queries are the words of one passage, readable or not: what somebody would ask who guesses at it.
    """
    chance = random.Random(seed)
    while count > 0:
        batch = []
        # Batches of one, of some and of many principals: a cache or a join within a batch must not mix them.
        for _ in range(min(count, chance.choice([1, 7, 40]))):
            words = chance.sample(_WORDS, 3)
            if chance.random() < 0.5:
                # Without its canary, which would turn up in the query itself.
                words = _CANARY.sub("", chance.choice(chunks).text).split()
            batch.append(Query(text=" ".join(words), question=" ".join(words), filter=_filter(chance)))
        count -= len(batch)
        yield batch


def _filter(chance: random.Random) -> Filter:
    user = chance.choice([*_USERS, "nobody"])
    groups = chance.sample(_GROUPS, chance.choice([0, 0, 1, 2]))
    which = Filter(principal=access.principal(user, groups))
    if chance.random() < 0.2:
        which = Filter(principal=which.principal, collections=("a",), where=["year in 2020, 2021"])
    return which


def check_retriever_access(retriever: Retriever, chunks: Sequence[Chunk], *, pairs: int, seed: int = 0) -> int:
    """Assert that a retriever over an index of `chunks` keeps every secret, in hits and in traces.

    Returns:
        How many hits were looked at: a suite that saw none has shown nothing.

    Raises:
        AssertionError: naming the query and the first passage that leaked.
    """
    seen = 0
    for batch in requests(chunks, pairs, seed=seed):
        for query, retrieval in zip(batch, retriever.retrieve(batch, 5), strict=True):
            for hit in retrieval.hits:
                assert query.filter.allows(hit.chunk), f"{query!r} was given {hit.chunk.id} of {hit.chunk.readers}"
            check_silent(plain(retrieval), chunks, query.filter)
            seen += len(retrieval.hits)
    return seen


def check_stage_access(stage: Rewriter | Reranker, chunks: Sequence[Chunk], *, pairs: int, seed: int = 0) -> None:
    """Assert that a rewriter loosens no query's filter, or that a re-ranker adds nothing that one forbids.

    Raises:
        AssertionError: naming the query.
    """
    for batch in requests(chunks, pairs, seed=seed):
        if isinstance(stage, Rewriter):
            for query, rewritten in zip(batch, stage.rewrite(batch), strict=True):
                assert rewritten.queries, f"{query!r} was rewritten to nothing"
                for variant in rewritten.queries:
                    old = query.filter
                    new = variant.filter
                    same = (new.principal, new.conditions) == (old.principal, old.conditions)
                    narrowed = not old.collections or (new.collections and set(new.collections) <= set(old.collections))
                    assert same, f"the filter of {query!r} was changed to {new!r}"
                    assert narrowed, f"the filter of {query!r} was loosened to {new!r}"
                check_silent(plain(rewritten), chunks, query.filter)
            continue
        retrievals = []
        for query in batch:
            allowed = [chunk for chunk in chunks if query.filter.allows(chunk)][:12]
            hits = tuple(Hit(chunk=chunk, score=1.0 / rank, rank=rank) for rank, chunk in enumerate(allowed, 1))
            retrievals.append(Retrieval(hits=hits))
        for query, reranked in zip(batch, stage.rerank(batch, retrievals, 5), strict=True):
            assert all(query.filter.allows(hit.chunk) for hit in reranked.hits), f"{query!r}: a forbidden hit was added"
            check_silent(plain(reranked), chunks, query.filter)


def check_system_access(system: Any, written: Any, chunks: Sequence[Chunk], *, pairs: int, seed: int = 0) -> int:
    """Assert that a system's prompts, answers and traces keep every secret.

    Args:
        system: A `system.System`, with ``guarded=True``.
        written: A list into which the system's generator puts the prompts it gets.
        chunks: What its index holds.
        pairs: How many principals and queries.
        seed: Of the pairs.

    Returns:
        How many passages were shown.

    Raises:
        AssertionError: naming what leaked.
    """
    shown = 0
    for batch in requests(chunks, pairs, seed=seed):
        for query in batch:
            written.clear()
            example = Example(id="q", messages=(Message(role="user", content=query.text),), references=())
            answer = system.answer([example], filter=query.filter)[0]
            check_silent([plain(answer), plain(written)], chunks, Filter(principal=query.filter.principal))
            shown += len(answer.hits)
    return shown


def check_silent(output: Any, chunks: Sequence[Chunk], which: Filter) -> None:
    """Assert that no word of a forbidden chunk stands anywhere in `output`, whatever its shape.

    Raises:
        AssertionError: naming the first chunk.
    """
    heard = set(_CANARY.findall(canonical_json(output)))
    for chunk in chunks if heard else ():
        canary = _CANARY.search(chunk.text)
        assert canary is None or canary.group() not in heard or which.allows(chunk), (
            f"{chunk.id}, read by {chunk.readers}, leaked to {which.principal}"
        )
