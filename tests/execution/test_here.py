"""Work in this process."""

from collections.abc import Callable
from dataclasses import dataclass

from twofold.execution.choosing import executor
from twofold.execution.local import Local
from twofold.settings.scale import ScaleSection


@dataclass(frozen=True)
class _Double:
    label: str = "double"

    def open(self) -> Callable[[int], int]:
        return lambda number: 2 * number


def test_batches_are_done_in_order_and_taken_one_by_one() -> None:
    taken: list[int] = []

    def batches():
        for number in range(5):
            taken.append(number)
            yield number

    results = Local().run(_Double(), batches())
    assert next(results) == (0, 0)
    assert taken == [0]
    assert list(results) == [(1, 2), (2, 4), (3, 6), (4, 8)]


def test_without_a_word_work_runs_here() -> None:
    assert isinstance(executor(ScaleSection()), Local)
