"""Shared prefixes, steps and micro-batches: properties."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twofold.training.packing import (
    ORDERS,
    TrainingRow,
    beginning,
    groups_of,
    micro_batches,
    pack,
    padding,
    steps_of_epoch,
    variants_of,
)

tokens = st.lists(st.integers(0, 9), min_size=2, max_size=30)
rows = st.lists(
    st.builds(lambda head, tail: TrainingRow(ids=(*head, *tail), start=len(head)), tokens, tokens),
    min_size=1,
    max_size=8,
)


@given(rows)
def test_a_pack_predicts_every_completion_token_of_every_row_from_its_own_history(
    given_rows: list[TrainingRow],
) -> None:
    one = pack(given_rows)
    wanted = [token for row in given_rows for token in row.ids[row.start :]]
    assert list(one.targets) == wanted
    place = iter(zip(one.predict, one.targets, strict=True))
    for number, row in enumerate(given_rows):
        for position in range(row.start, len(row.ids)):
            where, token = next(place)
            assert token == row.ids[position]
            seen = [
                (one.positions[j], one.ids[j]) for j in range(where + 1) if one.branch[j] in (-1, one.branch[where])
            ]
            assert [t for _, t in sorted(seen)] == list(row.ids[:position])
            assert one.branch[where] in (-1, number)


@given(rows, st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_uses_every_row_once_and_is_the_same_again(
    given_rows: list[TrainingRow], size: int, epoch: int
) -> None:
    groups = groups_of(given_rows)
    assert sorted(r for group in groups for r in group) == list(range(len(given_rows)))
    sizes = [len(group) for group in groups]
    steps = steps_of_epoch(sizes, size, seed=3, epoch=epoch)
    assert sorted(member for one in steps for member in one) == list(range(len(groups)))
    assert steps == steps_of_epoch(sizes, size, seed=3, epoch=epoch)
    assert all(sum(len(groups[m]) for m in one) >= size for one in steps[:-1])


@given(rows, st.integers(1, 200))
def test_micro_batches_stay_within_the_budget_and_lose_nothing(given_rows: list[TrainingRow], budget: int) -> None:
    packs = [pack([row]) for row in given_rows]
    parts = micro_batches(packs, budget)
    assert sorted(one.ids for part in parts for one in part) == sorted(one.ids for one in packs)
    for part in parts:
        assert len(part) == 1 or len(part) * max(len(one.ids) for one in part) <= budget
    assert 0 <= padding(parts) < 1


def test_neighbours_on_the_same_passages_share_and_others_do_not() -> None:
    passages = tuple(range(1000, 1100))
    on = [TrainingRow(ids=(*passages, 1, 2, n, 3), start=103) for n in range(3)]
    other = TrainingRow(ids=(*range(2000, 2100), 1, 2, 7, 3), start=103)
    short = [TrainingRow(ids=(5, 5, 5, n), start=3) for n in range(2)]
    groups = groups_of([*on, other, *short])
    assert groups == [[0, 1, 2], [3], [4], [5]]
    assert len(pack(on).ids) == 100 + 2 + 3  # 102 shared tokens, then the last prompt token of each row


@given(st.lists(rows, min_size=1, max_size=3), st.integers(0, 6), st.integers(0, 3))
def test_every_variant_keeps_its_rows_whatever_is_shared(
    variants: list[list[TrainingRow]], most: int, seed: int
) -> None:
    made = variants_of(variants, most=most, seed=seed)
    assert made == variants_of(variants, most=most, seed=seed)
    assert len(made) >= len(variants)
    for number, groups in enumerate(made):
        flat = sorted((row.ids, row.start) for group in groups for row in group)
        assert flat == sorted((row.ids, row.start) for row in variants[number % len(variants)])


def test_an_instruction_that_all_rows_have_is_read_once_a_pack_in_random_company() -> None:
    said = tuple(range(100, 120))
    asked = [TrainingRow(ids=(*said, 7, n, 8, 9), start=23, example=str(n)) for n in range(48)]
    made = variants_of([asked], most=12, seed=5)
    assert len(made) == ORDERS
    assert all(len(group) == 12 and beginning(group) == 21 for groups in made for group in groups)
    company = [{frozenset(row.example for row in group) for group in groups} for groups in made]
    assert len(set(map(frozenset, company))) == ORDERS, "another company each time"
    assert frozenset(map(str, range(12))) not in company[0], "not the neighbours of the file"
    assert sum(len(pack(group).ids) for group in made[0]) < 0.35 * sum(len(row.ids) for row in asked)


def test_rows_that_share_passages_stay_with_their_neighbours() -> None:
    said = tuple(range(100, 120))
    rows = [
        TrainingRow(ids=(*said, *range(1000 * p, 1000 * p + 90), 7, n, 8, 9), start=113)
        for p in (1, 2)
        for n in range(3)
    ]
    made = variants_of([rows, rows], most=12, seed=5)
    assert made == [[tuple(rows[:3]), tuple(rows[3:])]] * 2


def test_long_questions_after_a_short_instruction_stand_alone() -> None:
    said = tuple(range(100, 120))
    rows = [TrainingRow(ids=(*said, *range(1000 * n, 1000 * n + 200), 8, 9), start=220) for n in range(1, 5)]
    assert variants_of([rows], most=12, seed=5) == [[(row,) for row in rows]]
