"""The protocol of a running batch, which live requests join and leave one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twofold.types import Completion, Prompt

Receive = Callable[[str | Completion | Exception], None]
"""Gets the pieces of one completion as they come, and last the whole `Completion`, or the error in its place. Called in
a thread of the batch, which must not wait: it only passes on what it gets."""


class LiveBatch(Protocol):
    """Completions under way. All methods may be called from any thread."""

    def submit(
        self, prompt: Prompt, receive: Receive, *, temperature: float | None = None, seed: int | None = None
    ) -> Callable[[], None]:
        """Let a prompt join the batch; what is wrong with one prompt reaches only its own `receive`.

        Args:
            prompt: What is to be completed.
            receive: Gets the pieces, then the completion (with a `Failure` where the prompt is at fault) or the error.
            temperature: Of this completion; None: as the generator was configured.
            seed: Of this completion; None: as the generator was configured.

        Returns:
            A function that cancels the request: its place is free soon, and `receive` is not called again.

        Raises:
            GenerationError: the batch is closed, or the engine does not start.
        """
        ...

    def close(self) -> None:
        """End the batch; whatever still runs gets a `GenerationError`."""
        ...
