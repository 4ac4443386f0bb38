"""An arm of a study made ready: its adapter trained if need be, its system put together."""

from __future__ import annotations

from dataclasses import dataclass

from twofold.answering.system import System
from twofold.assembly.adapters import Adapters
from twofold.assembly.prompt_search import PromptSearch
from twofold.assembly.systems import Systems
from twofold.examples.splitting import Splits
from twofold.plugins.protocols import Progress, quiet
from twofold.types import Arm, Json


@dataclass(kw_only=True, eq=False)
class Arms:
    """The arms of one project."""

    adapters: Adapters
    """Of tuned arms."""
    systems: Systems
    """Put an arm's parts together."""

    def system(
        self, arm: Arm, splits: Splits, *, use: str = "", progress: Progress = quiet
    ) -> tuple[System, Json | None]:
        """An arm made ready, its adapter trained or its prompt optimised if need be; and the training report.

        Args:
            arm: The arm.
            splits: What is learned from.
            use: A tuned model that answers.
            progress: Shows the work.
        """
        if arm.optimised:
            adapters = self.adapters
            search = PromptSearch(systems=self.systems, catalogue=adapters.catalogue, spent=adapters.spent)
            search.run(arm, splits, progress=progress)
        adapter, report = self.adapters.adapter(arm, splits, use=use, progress=progress) if arm.tuning else (None, None)
        return self.systems.equipped(arm, splits, adapter=adapter), report

    def optimised(self, arm: Arm, splits: Splits) -> bool:
        """Is the arm's prompt chosen and stored?"""
        return self.systems.search.artifacts.find(self.systems.prompt_key(arm, splits)) is not None

    def known_key(self, arm: Arm, splits: Splits) -> str | None:
        """The key the arm's system has or will have; None where its adapter, prompt or calibration is not made yet."""
        adapter = self.adapters.known(arm, splits) if arm.tuning else None
        if arm.tuning and adapter is None:
            return None
        # The calibration's key is part of the system's: without it the answers in the store cannot be known.
        if (
            arm.retrieval
            and not arm.whole
            and not self.systems.calibrations.settled(self.systems.search.learning(splits))
        ):
            return None
        if arm.optimised and not self.optimised(arm, splits):
            return None
        system = self.systems.equipped(arm, splits, adapter=adapter)
        # Opened for its key only.
        system.close()
        return system.key
