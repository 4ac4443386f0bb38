"""The style sheets that reports and the server's pages share: colours, charts, and the report's own."""

from __future__ import annotations

from importlib import resources


def sheet(name: str) -> str:
    """A style sheet: ``tokens`` (colours, light and dark), ``charts``, or ``report``."""
    return (resources.files("twofold.reports") / "templates" / f"{name}.css").read_text(encoding="utf-8").strip()


def of_reports() -> str:
    """The one style sheet of a page that stands alone in a file."""
    return "\n".join(sheet(name) for name in ("tokens", "report", "charts"))


def scoped(name: str, scope: str) -> str:
    """A style sheet for the inside of elements that a selector names, so that it leaves the rest of a page alone."""
    return f"{scope} {{\n{sheet(name).replace(':root', '&')}\n}}\n"
