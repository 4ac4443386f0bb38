"""Looks at one project: what its monitors see, and who hears of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from twofold.monitoring import alerts, causes, signals, store, validity_watch
from twofold.monitoring.record import AlarmCause, Monitor, OpenProposal, Reading, WatchReport
from twofold.monitoring.schema import WATCH
from twofold.monitoring.served import Watched
from twofold.monitoring.store import WatchStore
from twofold.monitoring.validity_watch import VerdictMonitor
from twofold.monitoring.watching import looking, watch
from twofold.project.material import Material
from twofold.project.validating import Validating
from twofold.settings.watching import seconds_of
from twofold.store.model_registry import CHAMPION
from twofold.store.shared import present
from twofold.traffic.log import FILE, TrafficLog
from twofold.traffic.record import TrafficRow


class Watching:
    """Watches one project.

    Args:
        material: Of the project.
        validity: Tells whether its verdict still holds.
    """

    def __init__(self, material: Material, validity: Validating) -> None:
        self._material = material
        self._validity = validity

    def look(self, *, moment: datetime, every: float = 0.0) -> WatchReport:
        """Look once, store what was seen, and send alerts; the project itself is only read.

        Args:
            moment: The time now, with a zone.
            every: Seconds between two looks, where they come by a schedule; else as `[watch].every` says.

        Raises:
            ProjectLocked: somebody else looks at the project.
            StoreError: the record of looks cannot be written.
        """
        material = self._material
        section = material.config.watch
        if not every and section.every:
            every = seconds_of(section.every)
        with looking(material.places.lock), self.records() as records:
            report = watch(
                self._monitors(),
                records,
                moment=moment,
                explain=_explained,
                every=every,
                tuned=self._tuned(),
                channels=alerts.channels(section),
            )
            remarks = alerts.deliver(records, section, moment=moment, name=material.config.project.name)
            records.remark(report["number"], remarks)
        return {**report, "remarks": [*report["remarks"], *remarks]}

    @contextmanager
    def records(self, *, readonly: bool = False) -> Iterator[WatchStore]:
        """The record of looks, closed after the block.

        Raises:
            StoreError: it is damaged, of a newer Twofold, or (when `readonly`) nobody has looked yet.
        """
        with store.opened(self._material.places.looks, readonly=readonly) as records:
            yield records

    @property
    def looked(self) -> bool:
        """Has anybody looked at the project?"""
        return present(self._material.places.looks, WATCH)

    def dismiss(self, number: int, *, why: str = "") -> OpenProposal:
        """Close a proposal; as long as its cause lasts it does not come back.

        Raises:
            StoreError: nobody has looked yet.
            UnknownName: no open proposal has that number.
        """
        # Nothing is made by a number that means nothing.
        with self.records(readonly=True):
            pass
        with self.records() as records:
            return records.dismiss(number, why=why)

    def _monitors(self) -> tuple[Monitor, ...]:
        """What there is to look by; nothing before the first sync, and to look makes nothing."""
        material = self._material
        if material.synced_catalogue is None:
            return ()
        watched = Watched(workspace=material.workspace, root=material.directory, splits=lambda: material.splits)
        log = material.directory / FILE
        # A log that is on is watched before its first answer, which makes the file.
        logged = log.is_file() or material.config.traffic.log != "off"
        verdict = VerdictMonitor(lambda moment: self._validity.decisive(moment=moment))
        return (verdict, *signals.monitors(watched, partial(_rows, log) if logged else None))

    def _tuned(self) -> bool:
        """Does the project have a tuned model that answers under the alias of the champion?"""
        synced = self._material.synced_catalogue
        return synced is not None and CHAMPION in synced.models.aliases()


def _explained(readings: Sequence[Reading], history: Sequence[Sequence[Reading]]) -> list[AlarmCause]:
    """The causes of alarms: what the parts of the project tell, then that the verdict no longer holds."""
    parts = [reading for reading in readings if reading["signal"] != validity_watch.SIGNAL]
    return [*causes.causes(parts, history), *validity_watch.causes(readings)]


def _rows(path: Path, since: str) -> Iterator[TrafficRow]:
    """Rows of the traffic log from a time on, oldest first; none before the first answer."""
    if not path.is_file():
        return
    log = TrafficLog(path, readonly=True)
    try:
        yield from log.rows(since)
    finally:
        log.close()
