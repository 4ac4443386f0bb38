from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data_sets import folder, whole_sets
from twofold.errors import BadRecord, LeakFound, TooFewExamples
from twofold.examples.loading import example_digest, load_examples
from twofold.examples.splitting import Splits, split
from twofold.hashing import digest
from twofold.settings.sections import ExamplesSection
from twofold.types import Example, Message, SplitName


def ask(name: str, **fields: Any) -> Example:
    return Example(id=name, messages=(Message(role="user", content=f"question {name}"),), references=("a",), **fields)


def parts(splits: Splits) -> dict[str, tuple[Example, ...]]:
    return {"train": splits.train, "dev": splits.dev, "test": splits.test, "reserve": splits.reserve}


sources = st.lists(st.sampled_from([f"d{i}" for i in range(12)]), max_size=2, unique=True).map(tuple)
rows = st.lists(
    st.tuples(
        sources,
        st.sampled_from(["", "", "g1", "d1", "e3"]),
        st.sampled_from(["2024", "2024-03", "2024-03-05", "2025-01-01T10:00:00+02:00"]),
        st.sampled_from([None, "train", "dev", "train", "test"]),
    ),
    min_size=1,
    max_size=60,
)


@given(
    rows=rows,
    by=st.sampled_from(["question", "document", "time", "given"]),
    seed=st.integers(0, 5),
    reserve=st.sampled_from([0.0, 0.2]),
    limit=st.sampled_from([0, 0, 20]),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=150, deadline=None)
def test_splits_are_disjoint_complete_pure_and_do_not_depend_on_order(
    *,
    rows: list[tuple[tuple[str, ...], str, str, SplitName | None]],
    by: Any,
    seed: int,
    reserve: float,
    limit: int,
    order: random.Random,
) -> None:
    examples = [ask(f"e{i}", sources=s, group=g, at=at, split=side) for i, (s, g, at, side) in enumerate(rows)]
    section = ExamplesSection(split_by=by, seed=seed, reserve=reserve, limit=limit)
    try:
        made = split(examples, section)
    except TooFewExamples:
        assume(False)
    found = [e for part in parts(made).values() for e in part]
    wanted = min(limit, len(examples)) if limit else len(examples)
    assert len({e.id for e in found}) == len(found) == wanted
    sides: dict[str, set[str]] = {}
    for name, part in parts(made).items():
        for e in part:
            assert e.split == name
            assert e.group
            sides.setdefault(e.group, set()).add(name)
    assert all(len(side) == 1 for side in sides.values()), "a group stands on one side"
    if by == "document" and not made.warnings:
        held: dict[str, set[str]] = {}
        for e in found:
            for source in e.sources:
                held.setdefault(source, set()).add(str(e.split))
        assert all(len(side) == 1 for side in held.values()), "a document stands on one side"
    assert made.groups == len({e.group for e in made.test})
    assert made.digest == digest("test", sorted(example_digest(e) for e in made.test))
    order.shuffle(examples)
    assert split(examples, section) == made


@pytest.mark.parametrize("by", ["question", "document"])
@pytest.mark.parametrize("size", [1, 5])
def test_shares_are_met(by: Any, size: int) -> None:
    examples = [ask(f"e{i}", sources=(f"d{i // size}",)) for i in range(1000)]
    made = split(examples, ExamplesSection(split_by=by, reserve=0.1, train=0.45, dev=0.1, test=0.35))
    assert made.warnings == ()
    for name, share in {"train": 450, "dev": 100, "test": 350, "reserve": 100}.items():
        assert abs(len(parts(made)[name]) - share) <= size
    other = split(examples, ExamplesSection(split_by=by, seed=8))
    assert {e.id for e in other.test} != {e.id for e in made.test}


def test_few_large_documents_still_fill_every_split() -> None:
    examples = [ask(f"e{i}", sources=(f"d{min(i // 60, 4)}",)) for i in range(283)]
    made = split(examples, ExamplesSection())
    assert made.groups == 2
    assert all((made.train, made.dev, made.test))


def test_examples_linked_through_shared_documents_stay_together() -> None:
    examples = [ask(f"e{i}", sources=(f"d{i}", f"d{i + 1}") if i % 10 else (f"d{i}",)) for i in range(100)]
    made = split(examples, ExamplesSection())
    assert made.warnings == ()
    assert len({e.group for part in parts(made).values() for e in part}) <= 20


def test_a_giant_group_is_taken_apart_with_a_warning() -> None:
    linked = [ask(f"e{i}", sources=(f"d{i}", "everywhere")) for i in range(80)]
    alone = [ask(f"a{i}", sources=(f"x{i}",)) for i in range(20)]
    made = split(linked + alone, ExamplesSection())
    assert "80 of 100" in made.warnings[0]
    assert abs(len(made.test) - 38) <= 1


def test_a_group_given_by_the_author_keeps_conversations_together() -> None:
    examples = [ask(f"e{i}", group=f"talk {i // 4}") for i in range(200)]
    for by in ("document", "question"):
        made = split(examples, ExamplesSection(split_by=by))
        assert made.groups == len(made.test) / 4
        assert {e.group for e in made.test}.isdisjoint(e.group for e in (*made.train, *made.dev))


def test_by_time_the_latest_are_the_test() -> None:
    examples = [ask(f"e{i}", at=f"20{10 + i // 12:02d}-{i % 12 + 1:02d}-01") for i in range(100)]
    made = split(examples, ExamplesSection(split_by="time"))
    assert max(e.at for e in made.train) < min(e.at for e in made.dev)
    assert max(e.at for e in made.dev) < min(e.at for e in made.test)
    assert abs(len(made.test) - 38) <= 1
    assert min(e.at for e in made.test) in made.sentence
    sealed = split(examples, ExamplesSection(split_by="time", train=0.4, reserve=0.1))
    assert max(e.at for e in sealed.test) < min(e.at for e in sealed.reserve)
    with pytest.raises(BadRecord, match="split by time, but 1 example without a date"):
        split([*examples, ask("undated")], ExamplesSection(split_by="time"))


def test_given_dev_is_the_test_and_dev_is_cut_from_train() -> None:
    examples = [ask(f"e{i}", sources=(f"d{i // 2}",), split="dev" if i % 10 < 3 else "train") for i in range(100)]
    made = split(examples, ExamplesSection(split_by="given"))
    assert {e.id for e in made.test} == {e.id for e in examples if e.split == "dev"}
    assert len(made.train) + len(made.dev) == 70
    assert abs(len(made.dev) - 70 * 0.12 / 0.62) <= 2
    assert "more than one side" in made.warnings[0]
    full = [ask(f"e{i}", split=("train", "train", "dev", "test")[i % 4]) for i in range(100)]
    whole = split(full, ExamplesSection(split_by="given"))
    assert (len(whole.train), len(whole.dev), len(whole.test)) == (50, 25, 25)


def test_empty_splits_are_an_error_only_where_they_have_a_share() -> None:
    with pytest.raises(TooFewExamples, match="leave empty: dev") as caught:
        split([ask("1"), ask("2")], ExamplesSection())
    assert "split_by" in caught.value.cure
    made = split([ask("1")], ExamplesSection(train=0, dev=0, test=1))
    assert len(made.test) == 1
    with pytest.raises(TooFewExamples):
        split([], ExamplesSection())


def test_a_limit_that_leaves_too_few_examples_is_named_by_the_cure() -> None:
    with pytest.raises(TooFewExamples, match="split by document, leaves empty: dev, test") as caught:
        split([ask(str(i)) for i in range(40)], ExamplesSection(limit=1))
    assert "--limit" in caught.value.cure
    made = split([ask(str(i)) for i in range(40)], ExamplesSection(limit=3))
    assert "1 independent group in test" in made.sentence


def test_shares_that_do_not_add_up_are_scaled_and_told() -> None:
    made = split([ask(str(i)) for i in range(100)], ExamplesSection(train=0.5, dev=0.5, test=1.0))
    assert (len(made.train), len(made.dev), len(made.test)) == (25, 25, 50)
    assert "2.00" in made.warnings[0]


def test_limit_is_stable_when_it_grows() -> None:
    examples = [ask(str(i)) for i in range(300)]

    def ids(limit: int) -> set[str]:
        made = split(examples, ExamplesSection(limit=limit))
        return {e.id for part in parts(made).values() for e in part}

    assert len(ids(50)) == 50
    assert ids(50) < ids(100)


WAYS = ("question", "document", "given")
SETS = ("mtrag", "dstc11", "banking77", "seedbench", "qmsum")


@pytest.mark.parametrize(
    ("name", "by"), [*itertools.product(["agxqa"], WAYS), *whole_sets(*itertools.product(SETS, WAYS))]
)
def test_real_sets(name: str, by: Any) -> None:
    examples, _ = load_examples(["examples*"], folder(name))
    made = split(examples, ExamplesSection(split_by=by))
    total = len(made.train) + len(made.dev) + len(made.test)
    assert total == len(examples)
    if by != "given":
        assert abs(len(made.test) / total - 0.38) < 0.03


# ---------------------------------------------------------------- makers and parents


@given(
    parents=st.lists(st.integers(-1, 39), min_size=3, max_size=40),
    by=st.sampled_from(["question", "document", "given"]),
    seed=st.integers(0, 5),
    limit=st.sampled_from([0, 15]),
)
@settings(max_examples=100, deadline=None)
def test_what_was_made_from_an_example_stands_beside_it(parents: list[int], by: Any, seed: int, limit: int) -> None:
    """Also through several generations, in circles, and where the ancestor itself is not there."""
    examples = [
        ask(
            f"e{i}",
            parent="" if parent in {-1, i} else f"e{parent}",
            sources=(f"d{i % 5}",),
            split="train" if i % 2 else "dev",
        )
        for i, parent in enumerate(parents)
    ]
    try:
        made = split(examples, ExamplesSection(split_by=by, seed=seed, limit=limit, dev=0.0))
    except TooFewExamples:
        assume(False)
    side = {e.id: name for name, part in parts(made).items() for e in part}
    for e in examples:
        if e.id in side and e.parent in side:
            assert side[e.id] == side[e.parent]
    siblings: dict[str, set[str]] = {}
    for e in examples:
        if e.parent and e.id in side:
            siblings.setdefault(e.parent, set()).add(side[e.id])
    assert all(len(found) == 1 for found in siblings.values())


def test_a_maker_writes_for_training_only_where_people_wrote_the_test() -> None:
    people = [ask(f"p{i}") for i in range(40)]
    model = [ask(f"m{i}", origin="synthetic", maker="robot") for i in range(60)]
    made = split([*people, *model], ExamplesSection(split_by="question"))
    assert {e.maker for e in made.test} == {""}
    assert "robot" in {e.maker for e in made.train}
    assert any("robot wrote for training and for the test" in warning for warning in made.warnings)


def test_two_makers_are_divided_between_training_and_test() -> None:
    examples = [ask(f"a{i}", maker="alpha") for i in range(50)] + [ask(f"b{i}", maker="beta") for i in range(30)]
    made = split(examples, ExamplesSection(split_by="question"))
    assert {e.maker for e in made.test} == {"beta"}
    assert {e.maker for e in (*made.train, *made.dev)} == {"alpha"}


def test_one_maker_cannot_write_training_and_test() -> None:
    examples = [ask(f"a{i}", maker="alpha") for i in range(50)]
    with pytest.raises(LeakFound, match="alpha"):
        split(examples, ExamplesSection(split_by="question"))
    assert split(examples, ExamplesSection(split_by="question", train=0, dev=0)).test


@given(n=st.integers(24, 120), unknowable=st.integers(1, 12), documents=st.integers(6, 30), seed=st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_every_test_has_its_share_of_questions_that_nobody_can_answer(
    n: int, unknowable: int, documents: int, seed: int
) -> None:
    examples = [
        Example(
            id=f"e{i}",
            messages=(Message(role="user", content=f"question {i}"),),
            references=() if i < unknowable else ("a",),
            answerable=i >= unknowable,
            sources=(f"d{i % documents}",),
        )
        for i in range(n)
    ]
    for by in ("question", "document"):
        section = ExamplesSection(split_by=by, seed=seed)  # type: ignore[arg-type]
        made = split(examples, section)
        count = {name: sum(not e.answerable for e in part) for name, part in parts(made).items()}
        assert count["test"] >= 1
        assert abs(count["test"] - section.test * unknowable) <= max(2.0, 1 + n / documents)
        held: dict[str, set[str]] = {}
        for e in (e for part in parts(made).values() for e in part):
            held.setdefault(e.group, set()).add(str(e.split))
        assert all(len(sides) == 1 for sides in held.values())
        assert not any("nobody can answer" in one for one in made.warnings)
        assert abs(len(made.test) - section.test * n) <= max(3.0, 1.5 * n / documents)


def test_a_test_without_questions_that_nobody_can_answer_is_told() -> None:
    known = [ask(f"e{i}", at=f"2031-01-{i + 1:02}") for i in range(28)]
    hard = [
        Example(
            id=f"u{i}", messages=(Message(role="user", content="?"),), references=(), answerable=False, at="2030-01-01"
        )
        for i in range(3)
    ]
    made = split([*known, *hard], ExamplesSection(split_by="time"))
    assert [one for one in made.warnings if "nobody can answer, though 3 of 31 examples are" in one]


@settings(max_examples=60, deadline=None)
@given(
    documents=st.lists(st.integers(0, 30), min_size=40, max_size=80),
    made=st.lists(st.integers(0, 60), min_size=1, max_size=40),
    by=st.sampled_from(["question", "document", "time"]),
    limit=st.sampled_from([0, 35]),
)
def test_what_was_made_for_training_moves_no_question_between_train_and_test(
    documents: list[int], made: list[int], by: Any, limit: int
) -> None:
    """Else a loop that makes questions for its gaps would train on the questions that are to prove it."""
    section = ExamplesSection(split_by=by, limit=limit)
    rows = [ask(f"q{n}", sources=(f"d{d}",), at=f"2031-01-{1 + n % 28:02}") for n, d in enumerate(documents)]
    more = [ask(f"m{n}", sources=(f"d{d}",), maker="templates", split="train") for n, d in enumerate(made)]
    # d1 is a copy of d0, and d3 holds d2 whole.
    ties: Any = {"documents": {"d0": "d0", "d1": "d0"}, "holders": {"d2": ("d3",)}}
    try:
        before = split(rows, section, **ties)
    except TooFewExamples:
        assume(False)
    after = split([*more, *rows], section, **ties)
    names = {name: {(e.id, e.group) for e in part if e.id[0] == "q"} for name, part in parts(after).items()}
    assert names == {name: {(e.id, e.group) for e in part} for name, part in parts(before).items()}
    added = {e.id for part in parts(after).values() for e in part if e.id[0] == "m"}
    assert added <= {e.id for e in after.train}
    share = min(1.0, (limit or len(rows)) / len(rows))
    most = math.ceil(len(more) * limit / len(rows)) if share < 1 else len(more)
    if by != "document":
        assert len(added) == most
        return
    closed = before.related((*before.dev, *before.test, *before.reserve))
    allowed = {e.id for e in more if e.sources[0] not in closed}
    assert added <= allowed
    assert len(added) <= most
    assert share < 1 or added == allowed


def test_what_was_made_for_training_is_in_no_group_of_a_test_question() -> None:
    rows = [ask(f"q{n}", group=f"g{n}") for n in range(40)]
    before = split(rows, ExamplesSection())
    more = [ask(f"m{e.id}", group=e.group.upper(), maker="templates", split="train") for e in rows]
    after = split([*rows, *more], ExamplesSection())
    assert {e.id for e in after.train if e.id[0] == "m"} == {f"m{e.id}" for e in before.train}
    assert any("made for training" in warning for warning in after.warnings)


@pytest.mark.parametrize("by", ["question", "document"])
def test_what_was_made_from_questions_for_training_stands_with_them(by: Any) -> None:
    """A maker changes a name in its own question, so that nobody can answer it: it moves no other either."""
    rows = [ask(f"q{n}", sources=(f"d{n}",)) for n in range(40)]
    more = [ask(f"m{n}", sources=(f"d{n}",), maker="templates", split="train") for n in range(60)]
    altered = [ask(f"{e.id}/altered", maker="templates", split="train", parent=e.id) for e in more]
    again = [ask(f"{e.id}/again", maker="templates", split="train", parent=e.id) for e in altered]
    section = ExamplesSection(split_by=by)
    before = split(rows, section)
    after = split([*again, *altered, *more, *rows], section)
    for name, part in parts(before).items():
        assert {e.id for e in parts(after)[name] if e.id[0] == "q"} == {e.id for e in part}
    groups = {e.id: e.group for e in after.train if e.id[0] == "m"}
    roots = {name for name in groups if "/" not in name}
    assert groups.keys() == {f"{name}{end}" for name in roots for end in ("", "/altered", "/altered/again")}
    assert all(groups[name] == groups[name.partition("/")[0]] for name in groups)
    assert 20 <= len(roots) <= (60 if by == "question" else 45)


def test_questions_made_for_training_do_not_count_as_left_out_by_a_limit() -> None:
    more = [ask(f"m{n}", maker="templates", split="train") for n in range(3)]
    with pytest.raises(TooFewExamples) as caught:
        split([ask("q"), *more], ExamplesSection())
    assert "--limit" not in caught.value.cure


@given(st.integers(20, 79), st.integers(0, 40), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_a_limit_takes_as_large_a_share_of_what_was_made_for_training(limit: int, made: int, seed: int) -> None:
    people = [ask(f"p{i}") for i in range(80)]
    more = [ask(f"m{n}", maker="templates", split="train") for n in range(made)]
    again = [ask(f"{e.id}/again", maker="templates", split="train", parent=e.id) for e in more]
    section = ExamplesSection(split_by="question", limit=limit, seed=seed)
    without, limited = split(people, section), split([*people, *more, *again], section)
    extra = [e for e in limited.train if e.maker]
    assert len(extra) == math.ceil(2 * made * limit / 80)
    ids = {e.id for e in extra}
    assert all(not e.parent or e.parent in ids for e in extra)
    # Nobody else is moved.
    assert [e.id for e in limited.test] == [e.id for e in without.test]
    assert [e.id for e in limited.train if not e.maker] == [e.id for e in without.train]
    whole = split([*people, *more, *again], ExamplesSection(split_by="question", seed=seed))
    assert len([e for e in whole.train if e.maker]) == 2 * made
