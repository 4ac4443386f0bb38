"""The style sheets that reports and the server's pages share: colours, charts, and the report's own; templates."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def sheet(name: str) -> str:
    """A style sheet: ``tokens`` (colours, light and dark), ``charts``, or ``report``."""
    return (resources.files("twofold.reports") / "templates" / f"{name}.css").read_text(encoding="utf-8").strip()


def of_reports() -> str:
    """The one style sheet of a page that stands alone in a file."""
    return "\n".join(sheet(name) for name in ("tokens", "report", "charts"))


def scoped(name: str, scope: str) -> str:
    """A style sheet for the inside of elements that a selector names, so that it leaves the rest of a page alone."""
    return f"{scope} {{\n{sheet(name).replace(':root', '&')}\n}}\n"


def digest_of(style: str) -> str:
    """The source expression by which a page's Content-Security-Policy allows this one style sheet (CSP level 3)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """The templates of pages that stand alone in a file and need no filters of their own."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("twofold.reports", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # A misspelt name must fail a test, not leave a gap in a page.
        undefined=jinja2.StrictUndefined,
    )
