"""Items of a source on their way through the work of reading, done here or elsewhere, and finished in their order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice

from twofold.execution.on_demand import OnDemand
from twofold.files.reading import MIB
from twofold.indexing.committing import Halt
from twofold.indexing.feed import Feed
from twofold.indexing.report import UNNAMED
from twofold.indexing.work import ReadingWork, ReadItem, Unread, failed, stamp_of, with_bytes
from twofold.plugins.results import Item
from twofold.store.documents import KnownItem
from twofold.types import Loaded

_GROUP, _GROUP_BYTES = 32, 2 * MIB
"""Items that a worker elsewhere reads as one task, and bytes from which fewer are. What one task would read is read
here, for it is done before a cluster has started."""
log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Plan:
    """An item of the listing, in hand until those before it are done with."""

    feed: Feed
    number: int
    """Of the feed."""
    item: Item
    row: KnownItem | None
    """The item as the last sync left it."""
    ids: list[str]
    """Its documents then."""
    place: int
    """Its line in the report."""
    loaded: Loaded | None = None
    """None: its state says that nothing changed, unless one of its ids is taken."""
    result: ReadItem | None = None

    def load(self) -> None:
        """Load the item; an error is its result."""
        began = time.perf_counter()
        try:
            self.loaded = self.item.load()
        except MemoryError:
            raise
        except Exception as error:  # of one item, whose source may be anybody's
            self.result = failed(error, seconds=time.perf_counter() - began)


class ItemReader:
    """Has items read, and gives every plan its result.

    Args:
        reading: The work.
        where: Runs it.
        usable: The record of a plan's item, where that vouches for its documents.
        digests: Documents of a plan's item that the index holds, with their digests.
    """

    def __init__(
        self,
        reading: ReadingWork,
        where: OnDemand,
        *,
        usable: Callable[[Plan], KnownItem | None],
        digests: Callable[[Plan], Mapping[str, str]],
    ) -> None:
        self._reading = reading
        self._where = where
        self._usable = usable
        self._digests = digests
        self._read_here = reading.open()
        self._unseen = False
        self.sent = 0
        """Files whose bytes were sent to workers that did not see them."""

    def is_full(self, items: int, size: int) -> bool:
        """Is a group of so many items and bytes a task? Here each item is, so that no other waits for it."""
        most = 1 if self._where.settings.on == "local" else _GROUP
        return items >= most or size >= _GROUP_BYTES

    def run(self, groups: Iterator[list[Plan]], advance: Callable[[], None]) -> None:
        """Have the groups read.

        Args:
            groups: Items that are loaded.
            advance: Called whenever plans have got their results.

        Raises:
            Halt: the work cannot be done, or what is done with results failed.
        """
        try:
            # Two groups show that there is enough to do for others, unless others are at work already.
            waits = self._where.settings.on != "local" and not self._where.elsewhere
            first = list(islice(groups, 2 if waits else 1))
            if len(first) > 1:
                self._where.call()
            out: dict[int, list[Plan]] = {}

            def tasks() -> Iterator[list[Unread]]:
                for place, group in enumerate(chain(first, groups)):
                    out[place] = group
                    yield [self._unread(plan, elsewhere=self._where.elsewhere) for plan in group]

            if first:
                for place, results in self._where.executor.run(self._reading, tasks()):
                    self._take(out.pop(place), results)
                    advance()
            advance()
        except MemoryError:
            raise
        except Exception as error:  # what a source raises is caught where it is listed
            raise Halt(error) from error

    def here(self, plan: Plan) -> ReadItem:
        """An item read in this process, whatever its record says: another item has one of its ids."""
        if plan.loaded is None:
            plan.load()
        if plan.loaded is None:
            assert plan.result is not None
            return plan.result
        return self._read_here([replace(self._unread(plan, elsewhere=False), content="")])[0]

    def _unread(self, plan: Plan, *, elsewhere: bool) -> Unread:
        assert plan.loaded is not None
        loaded, usable = plan.loaded, self._usable(plan)
        if elsewhere and self._unseen and loaded.path:
            with suppress(OSError):  # the worker finds the same fault, and names it
                loaded = with_bytes(loaded)
                self.sent += 1
        return Unread(
            feed=plan.number,
            item=plan.item.id,
            loaded=loaded,
            stamp=stamp_of(loaded) if elsewhere else None,
            content=usable.content if usable is not None else "",
            known=dict(self._digests(plan)),
        )

    def _take(self, group: Sequence[Plan], results: Sequence[ReadItem]) -> None:
        """Take the results of a group; files that a worker does not see are sent to one, and so are all after them."""
        unseen = []
        for plan, result in zip(group, results, strict=True):
            if result.outcome == "elsewhere":
                unseen.append(plan)
            else:
                plan.result = result
        if not unseen:
            return
        if not self._unseen:
            log.info("workers do not see the files of %s: their bytes are sent", unseen[0].feed.name or UNNAMED)
            self._unseen = True
        again = [replace(self._unread(plan, elsewhere=True), stamp=None) for plan in unseen]
        for _, results_again in self._where.executor.run(self._reading, [again]):
            for plan, result in zip(unseen, results_again, strict=True):
                plan.result = result


def size_of(loaded: Loaded) -> int:
    """Bytes of a file, or letters of documents, that are to be read."""
    stamp = stamp_of(loaded)
    return stamp[0] if stamp else len(loaded.data) + sum(len(document.text) for document in loaded.documents)
