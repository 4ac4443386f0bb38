"""A page's own styles: text that they strike out or set apart, the counting of lists, words that they write.

Only what stands in the page is looked at, and of its selectors only classes: a style sheet of another file is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import Tag

_THROUGH = "line-through"
_CLASS = re.compile(r"[\w-]*\.([\w-]{1,80})")
_DISPLAY = re.compile(r"display\s*+:\s*+(inline-)?(block|flex|grid|list-item|table-(?:cell|row|caption)|table)\b", re.I)
_INSIDE = re.compile(r"display\s*+:\s*+(?:inline-)?(?:flex|grid)\b", re.I)
_COUNTED = re.compile(r"list-style(?:-type)?\s*+:[^;]{0,40}?\b((?:lower|upper)-(?:alpha|latin|roman))\b", re.I)
_FORMS = {
    "lower-alpha": "lowerLetter",
    "lower-latin": "lowerLetter",
    "upper-alpha": "upperLetter",
    "upper-latin": "upperLetter",
    "lower-roman": "lowerRoman",
    "upper-roman": "upperRoman",
}
_CONTENT = re.compile(r"content\s*+:\s*+([^;}]{1,200})", re.I)
_ESCAPE = re.compile(r"\\[0-9a-f]{1,6}", re.I)
_QUOTED = re.compile(r"""\"([^"]*)\"|'([^']*)'""")
_LETTERS = re.compile(r"[^\W\d_]{2}")


@dataclass(frozen=True, slots=True)
class Styles:
    """The settings that style sheets in a page give to its classes."""

    crossed: frozenset[str] = frozenset()
    """Their text is struck out."""
    apart: dict[str, str] = field(default_factory=dict)
    """Class → what parts it from its neighbours: a line's end or a blank."""
    inside: frozenset[str] = frozenset()
    """Classes whose direct content is set apart."""
    counted: dict[str, str] = field(default_factory=dict)
    """Class → how items of such lists are counted."""

    def strikes(self, node: Tag) -> bool:
        """Is its text struck out?"""
        if (style := node.get("style")) and _THROUGH in style:
            return True
        return bool(self.crossed) and not self.crossed.isdisjoint(node.get_attribute_list("class"))

    def parts(self, node: Tag) -> str:
        """The separator of an inline element from its neighbours: a line's end, a blank, or nothing."""
        parting = _parting(str(style)) if (style := node.get("style")) else ""
        if not parting and self.apart:
            parting = next((self.apart[one] for one in node.get_attribute_list("class") if one in self.apart), "")
        if parting or node.parent is None:
            return parting
        around = node.parent
        if (style := around.get("style")) and _INSIDE.search(str(style)):
            return " "
        return " " if self.inside and not self.inside.isdisjoint(around.get_attribute_list("class")) else ""

    def counts(self, node: Tag) -> str:
        """How the items of a list are counted; nothing where no style says it."""
        if match := _COUNTED.search(str(node.get("style") or "")):
            return _FORMS[match.group(1).lower()]
        if not self.counted:
            return ""
        return next((self.counted[one] for one in node.get_attribute_list("class") if one in self.counted), "")


def styles_of(soup: BeautifulSoup) -> Styles:
    """The styles that stand in a page."""
    crossed: set[str] = set()
    inside: set[str] = set()
    apart: dict[str, str] = {}
    counted: dict[str, str] = {}
    for selectors, look in _rules(soup.find_all("style")):
        parting, count = _parting(look), _COUNTED.search(look)
        if not (parting or count or _THROUGH in look):
            continue
        matches = (_CLASS.fullmatch(part.strip()) for part in selectors.split(","))
        classes = [match.group(1) for match in matches if match]
        crossed.update(classes if _THROUGH in look else ())
        inside.update(classes if _INSIDE.search(look) else ())
        apart |= dict.fromkeys(classes if parting else (), parting)
        counted |= dict.fromkeys(classes, _FORMS[count.group(1).lower()]) if count else {}
    return Styles(frozenset(crossed), apart, frozenset(inside), counted)


def written_by_styles(styles: Iterable[Tag]) -> list[str]:
    """The words that style sheets in a page write on it, without signs and pictures of fonts."""
    kinds: dict[str, None] = {}
    for _, look in _rules(styles):
        for value in _CONTENT.findall(look) if "content" in look else ():
            if "counter" in value:
                kinds["numbers that a style counts (content)"] = None
            elif "attr(data-" in value or _LETTERS.search(_quoted(value)):
                kinds["words that a style writes (content)"] = None
    return list(kinds)


def _quoted(value: str) -> str:
    return " ".join(double or single for double, single in _QUOTED.findall(_ESCAPE.sub("", value)))


def _rules(styles: Iterable[Tag]) -> list[tuple[str, str]]:
    """``(selectors, look)`` of each rule."""
    rules = []
    for style in styles:
        for rule in style.get_text().split("}"):
            selectors, _, look = rule.rpartition("{")
            rules.append((selectors.rpartition("{")[2], look))
    return rules


def _parting(look: str) -> str:
    match = _DISPLAY.search(look) if "display" in look else None
    if match is None:
        return ""
    return " " if match.group(1) or match.group(2).lower() == "table-cell" else "\n"
