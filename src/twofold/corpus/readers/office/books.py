"""E-books (EPUB 2 and 3) as text: the pages of the book in its own order, each read as a web page is."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from twofold.corpus.readers.html_text import markup_of, page_text, parsed
from twofold.corpus.readers.office.packages import Node, Package, attribute, inside


class Book:
    """A book's text.

    Args:
        package: The file.

    Attributes:
        unread: Remarks on parts that are not read.

    Raises:
        KeyError: the book does not list its pages.
    """

    def __init__(self, package: Package) -> None:
        self.package = package
        self.unread: dict[str, None] = {}
        container = package.root("META-INF/container.xml")
        named = [attribute(one, "full-path") for one in inside(container, "rootfile")] if container is not None else []
        books = (name for name in package.names() if name.lower().endswith(".opf"))
        self.part = next(iter(named), "") or next(books, "")
        root = package.root(self.part)
        if root is None:
            raise KeyError(self.part)
        self._root = root

    def title(self) -> str:
        """The title in the book's properties."""
        titles = (" ".join((one.text or "").split()) for one in inside(self._root, "title"))
        return next(filter(None, titles), "")

    def text(self) -> str:
        """All pages, blank lines between them."""
        folder = posixpath.dirname(self.part)
        items = {attribute(element, "id"): element for element in inside(self._root, "item")}
        pages: list[str] = []
        missing = pictures = foreign = 0
        webs = {key for key, item in items.items() if _is_page(item, "html")}
        # the table of contents repeats headings: it may stand outside the reading order without a remark
        aside = {key for key in webs if "nav" not in attribute(items[key], "properties")}
        for element in inside(self._root, "itemref"):
            item = items.get(attribute(element, "idref"))
            aside.discard(attribute(element, "idref"))
            if item is None or not _is_page(item):
                foreign += item is not None
                continue
            target = attribute(item, "href").partition("#")[0]
            # addresses are quoted by the standard, and by some programs not
            names = (posixpath.normpath(posixpath.join(folder, name)) for name in (unquote(target), target))
            data = next((data for name in names if (data := self.package.data(name)) is not None), None)
            if data is None:
                missing += 1
            else:
                pages.append(page_text(parsed(markup_of(data, target)[0], target)))
                pictures += len(pages) > 1 and not pages[-1].strip() and b"<im" in data  # the first is the cover
        for count, what in (
            (missing, "that the file names and does not have"),
            (len(aside), "that the book's order leaves out"),
            (pictures, "of pictures without text"),
            (foreign, "of another kind than those of the web"),
        ):
            if count:
                self.unread[f"{count} page{'' if count == 1 else 's'} {what}"] = None
        if self.package.data("META-INF/encryption.xml") is not None and self._is_locked():
            self.unread["pages that are encrypted"] = None
        return "\n\n".join(page for page in pages if page.strip())

    def _is_locked(self) -> bool:
        root = self.package.root("META-INF/encryption.xml")
        if root is None:
            return False
        parts = (attribute(one, "URI").lower() for one in inside(root, "CipherReference"))
        return any(name.endswith(("html", "htm", "xml")) for name in parts)


def _is_page(item: Node, *kinds: str) -> bool:
    return any(kind in attribute(item, "media-type", "html") for kind in kinds or ("html", "svg+xml"))
