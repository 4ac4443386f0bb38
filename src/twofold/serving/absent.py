"""An arm whose index was down when it was opened: it answers nothing and says so, until it can be opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NoReturn

from twofold.answering.system import System
from twofold.asking import ChosenArm
from twofold.errors import PartDown, StoreError
from twofold.serving.arm import ServedArm
from twofold.serving.degradation import Breaker
from twofold.serving.dispatch import Overrides, Ticket
from twofold.types import Example, Filter, Hit, IndexState, Json


class AbsentArm(ServedArm):
    """Stands for a `ServedArm` that cannot be opened.

    Args:
        name: The name by which requests ask for it.
        choice: The arm, and why it would answer.
        error: Why it cannot be opened.
    """

    absent: ClassVar[bool] = True

    # Not the parent's: of everything that it opens nothing is there.
    def __init__(self, name: str, choice: ChosenArm, error: StoreError) -> None:
        self.name, self.model, self.measured = name, "", ""
        self._choice = choice
        self._error = error
        self._breaker = Breaker("the index")
        self._breaker.failed(error.code, str(error))

    def load(self) -> None:
        """Nothing: there is nothing to load."""

    def close(self) -> None:
        """Nothing: nothing was opened."""

    def description(self) -> Json:
        """The arm as `/v1/models` shows it; whether it was measured is known once its index is."""
        return {
            "id": self.name,
            "object": "model",
            "created": 0,
            "owned_by": "twofold",
            "arm": self._choice.arm.name,
            "model": self.model,
            "key": "",
            "measured": None,
            "byte_equal": False,
            "why": self._choice.why,
            "study": self._choice.study,
            "reads_documents": self._choice.arm.retrieval,
            "later_index": None,
            "loaded": False,
        }

    @property
    def system(self) -> System:
        """There is none.

        Raises:
            PartDown: always.
        """
        self._refuse()

    def narrowed(self, requested: Filter | None, where: Sequence[str]) -> Filter | None:  # noqa: ARG002
        """Refuse a request, before anything is done for it.

        Raises:
            PartDown: always.
        """
        self._refuse()

    def submit(self, example: Example, *, filter: Filter | None, overrides: Overrides) -> Ticket:  # noqa: ARG002
        """Refuse a question.

        Raises:
            PartDown: always.
        """
        self._refuse()

    def retrieve(
        self,
        example: Example,  # noqa: ARG002
        *,
        filter: Filter | None,  # noqa: ARG002
        k: int | None,  # noqa: ARG002
        spent: Callable[[int], object] = lambda _tokens: None,  # noqa: ARG002
    ) -> tuple[list[Hit], bool]:
        """Refuse a search.

        Raises:
            PartDown: always.
        """
        self._refuse()

    def later(self) -> bool:
        """Nobody knows.

        Raises:
            PartDown: always.
        """
        self._refuse()

    def index(self) -> IndexState | None:
        """Nobody knows.

        Raises:
            PartDown: always.
        """
        self._refuse()

    def waiting(self) -> int:
        """None: all are refused."""
        return 0

    def down(self) -> list[Breaker]:
        """The index."""
        return [self._breaker]

    def lacking(self) -> list[Breaker]:
        """Nothing: it answers nothing at all."""
        return []

    def _refuse(self) -> NoReturn:
        error = PartDown(f"the index is down since {self._breaker.since} ({self._error.code})")
        # `Served` looks again after about as long.
        error.retry_after = 2.0
        raise error
