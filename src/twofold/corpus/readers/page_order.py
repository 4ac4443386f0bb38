"""Parts that a page shows elsewhere than they stand in the file, moved there: slots, and a table's foot."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import PageElement, Tag

_NEAR = 20
"""Elements around a slot among which its shadow tree begins."""
_MOST = 500
"""Children of an element beyond which they stay where they are: each move costs a pass over them."""


def reorder(soup: BeautifulSoup) -> None:
    """Move children of elements with a shadow tree into its slots, and a table's foot below its rows."""
    hosts: dict[int, tuple[Tag, dict[str, Tag]]] = {}
    feet: list[Tag] = []
    for slot in soup.find_all(["slot", "tfoot"]):
        if slot.name == "tfoot":
            feet.append(slot)
            continue
        host = _host(slot)
        if host is not None and len(host.contents) <= _MOST:
            hosts.setdefault(id(host), (host, {}))[1].setdefault(str(slot.get("name") or ""), slot)
    for host, slots in hosts.values():
        _fill(host, slots)
    for foot in feet:
        table = foot.parent
        if table is not None and table.name == "table" and len(table.contents) <= _MOST:
            table.append(foot.extract())


def _host(slot: Tag) -> Tag | None:
    """The element whose shadow tree a slot stands in."""
    around = slot.parent
    for _ in range(_NEAR):
        if around is None:
            return None
        if around.name == "template":
            return around.parent if around.get("shadowrootmode") else None
        around = around.parent
    return None


def _fill(host: Tag, slots: dict[str, Tag]) -> None:
    from bs4.element import Tag

    filled: dict[str, list[PageElement]] = {}
    for child in host.contents:
        if isinstance(child, Tag):
            # a NUL names no slot
            name = str(child.get("slot") or "") if child.name != "template" else "\0"
        else:
            name = "" if str(child).strip() else "\0"
        if name in slots:
            filled.setdefault(name, []).append(child)
    for name, children in filled.items():
        slots[name].clear()  # what it shows where nothing is put into it
        for child in children:
            slots[name].append(child.extract())
