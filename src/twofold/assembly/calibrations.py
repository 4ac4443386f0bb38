"""When to abstain for want of evidence: calibrated once for what is configured, stored, and found again to answer.

A calibration needs the train and dev questions retrieved; a live question must not. It therefore reads the newest one
that was made with the same retrieval settings, whatever documents have changed since.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from twofold.answering import sufficiency
from twofold.answering.sufficiency import Calibration
from twofold.errors import StoreError, TooFewExamples
from twofold.hashing import digest, plain
from twofold.store.artifacts import Artifacts
from twofold.tuning.visible import Learning
from twofold.types import Json

_FILE = "calibration.json"
"""The calibration's file in its artifact."""
_KIND = "sufficiency"
"""Kind of its artifact."""


@dataclass(frozen=True, kw_only=True)
class Calibrations:
    """The stored calibrations of one project."""

    artifacts: Artifacts
    """Store the calibrations."""
    risk: float
    """``[retrieval].risk``; 0 switches abstention for want of evidence off."""
    retrieval: Callable[[], Json]
    """Everything that decides what is found (`specs.of_retrieval`)."""

    def key(self, learning: Learning) -> str:
        """Name of the calibration for what is configured and indexed now, made or not."""
        made_of = {**learning.calibrated_by(), "retrieval": self.retrieval()}
        return digest("sufficiency", {**made_of, "version": sufficiency.VERSION})

    def calibrated(self, learning: Learning) -> tuple[Calibration | None, str]:
        """The calibration for what is configured and indexed now, made and stored unless it is there; or None, and why.

        Weights come from train, the threshold from dev; see `sufficiency.calibrate`. There is none where the risk is 0,
        and where there are too few unanswerable questions.
        """
        if not self.risk:
            return None, ""
        key = self.key(learning)
        if self.artifacts.find(key) is None:
            try:
                calibration = learning.calibrated()
            # No calibration is an answer like any other: the report says why.
            except TooFewExamples as error:
                return None, error.message
            path = self.artifacts.working(key) / _FILE
            path.write_text(json.dumps(plain(calibration)), encoding="utf-8")
            settings = _settings(self.retrieval())
            self.artifacts.finish(key, {"kind": _KIND, "risk": self.risk, "n": calibration.n, "retrieval": settings})
        return self.stored(key), ""

    def settled(self, learning: Learning) -> bool:
        """Is it known without a search what `calibrated` gives: stored, switched off, or impossible?"""
        try:
            sufficiency.require_unanswerable(learning.splits.train, learning.splits.dev)
        except TooFewExamples:
            return True
        return not self.risk or self.artifacts.find(self.key(learning)) is not None

    def stored(self, key: str) -> Calibration:
        """The calibration of this key.

        Raises:
            StoreError: its files are gone.
        """
        path = self.artifacts.find(key)
        if path is None:
            raise StoreError(
                f"the files of {key} are missing", cure="Run `twofold bench retrieval`, which calibrates again."
            )
        values = json.loads((path / _FILE).read_text(encoding="utf-8"))
        # JSON has no tuples.
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return replace(Calibration(**values), key=key)

    def newest(self, measured: str = "") -> str:
        """Key of the newest one made with the retrieval settings in force; empty where there is none, or no risk.

        Args:
            measured: The key that the latest study used, for one that was stored before settings were.
        """
        if not self.risk:
            return ""
        settings = _settings(self.retrieval())
        manifests = []
        for candidate in self.artifacts.list():
            if candidate["finished"] and candidate.get("kind") == _KIND and candidate.get("risk") == self.risk:
                manifests.append(candidate)
        fitting = []
        for candidate in manifests:
            # An older one does not say its settings: only the one that was measured with is known to fit.
            if candidate.get("retrieval") == settings or (
                "retrieval" not in candidate and candidate["key"] == measured
            ):
                fitting.append(candidate)
        return str(max(fitting, key=lambda manifest: str(manifest["made"]))["key"]) if fitting else ""


def _settings(retrieval: Json) -> Json:
    """The retrieval's settings without what the index holds."""
    # A changed document changes the content; the threshold stays in use until the next study calibrates anew.
    return {name: value for name, value in retrieval.items() if name != "content"}
