r"""Mark-up around and within an answer, made the signs that it stands for: HTML, LaTeX and Markdown's escapes. Pure.

A model writes ``x &lt; 5``, ``H<sub>2</sub>O``, ``$x \leq 5$`` or ``snake\_case`` where a reference has the plain
text. What is made here is compared beside the texts as they stand (`equivalents.alternative`), never in their place.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import lru_cache

_ENTITY = re.compile(r"&(?:[A-Za-z]{2,10}\d{0,2}|#\d{2,6}|#[xX][0-9a-fA-F]{2,5});")
_ASKED_FOR = re.compile(r"\A\s*`?&(?:lt|gt|amp|quot|apos|nbsp|#\d+);`?\s*")
_SUB = re.compile(r"<(su[bp])>([^<>]{1,40})</\1>", re.IGNORECASE)
_PAIRED = re.compile(
    r"<(b|i|u|em|strong|mark|small|span|p|div|li|ul|ol|h[1-6]|code|answer|font|center|cite|q)(?:\s[^<>]{0,200})?>"
    r"([^<>]*)</\1>",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<(?:br|hr)\s?/?>", re.IGNORECASE)
_NESTED = 4
"""Elements within one another that are looked through."""
_STRUCK = re.compile(r"~~[^~\n]{1,300}~~\s?(?=\S)")
_NOTE = re.compile(r"\[\^\w{1,10}\]")
_ESCAPED = re.compile(r"\\([*_#$%&{}\[\]()<>+.!|~`-])")

_GREEK = (
    "alpha α beta β gamma γ delta δ epsilon ε zeta ζ eta η theta θ iota ι kappa κ lambda λ mu μ nu ν xi ξ pi π rho ρ "
    "sigma σ tau τ upsilon υ phi φ chi χ psi ψ omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Pi Π Sigma Σ Phi Φ Psi Ψ "
    "Omega Ω"
)
_SIGNS = (
    "times × cdot × div / pm ± mp ∓ le <= leq <= ge >= geq >= ne != neq != approx ≈ infty ∞ degree ° to -> "
    "rightarrow -> Rightarrow => leftarrow <- lt < gt > ldots ... dots ... cup ∪ cap ∩ in ∈ notin ∉ subset ⊂ "
    "emptyset ∅ forall ∀ exists ∃ neg ¬ land ∧ lor ∨ sum ∑ prod ∏ int ∫ partial ∂ nabla ∇ angle ∠"
)


def _pairs(words: str) -> dict[str, str]:
    parts = words.split(" ")
    return dict(zip(parts[::2], parts[1::2], strict=True))


_COMMANDS = {**_pairs(_GREEK), **_pairs(_SIGNS)}
_COMMAND = re.compile(r"(?<![\w:\\])\\([A-Za-z]+)(?![A-Za-z])|(?<=[\d)}])\\([A-Za-z]+)(?![A-Za-z])")
_NAMED = "sin cos tan log ln exp min max lim gcd det mod arcsin arccos arctan sinh cosh tanh deg"
_NAMES = frozenset(_NAMED.split(" "))


def _command(match: re.Match[str]) -> str:
    name = match[1] or match[2]
    return name if name in _NAMES else _COMMANDS.get(name, match.group())


def _group(text: str) -> str:
    """What stood in braces: in brackets where it is more than one number or word."""
    return text if re.fullmatch(r"-?\w+|\w+(?:\.\w+)?", text) else f"({text})"


def _power(match: re.Match[str]) -> str:
    return f"{match[1]}{_group(match[2])}"


_LATEX: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), change)
    for pattern, change in (
        (r"(\\(?:sqrt\{[^{}]{1,80}\}|[dt]?frac\{[^{}]{1,80}\}\{[^{}]{1,80}\}))(?=\w)", r"\1 "),
        (r"\^\{?\\circ\}?\s?(?=[CF]\b)?", "°"),
        (r"(?<=\d)\{,\}(?=\d{3})", ","),
        (r"\\(?:text|mathrm|mathbf|mathit|mathbb|textbf|textit|emph|operatorname|ce)\{([^{}]{0,200})\}", r"\1"),
        (r"\\[dt]?frac(\d)(\d)(?!\d)", r"\1/\2"),
        (r"\\sqrt\{([^{}]{1,80})\}", lambda match: f"√{_group(match[1])}"),
        (r"\\sqrt\s?(\d)(?!\d)", r"√\1"),
        (r"\\[dt]?frac\{([^{}]{1,80})\}\{([^{}]{1,80})\}", lambda m: f"{_group(m[1])}/{_group(m[2])}"),
        (r"\\boxed\{([^{}]*)\}", r"\1"),
        (r"\\(?:left|right|big|Big|displaystyle)(?![A-Za-z])\.?", ""),
        (r"([\^_])\{([^{}]{1,40})\}(?!\w)", _power),
        (r"(?<![A-Za-z])([A-Z][a-z]?)_(?=\d)|(?<=\d)([A-Z][a-z]?)_(?=\d)", r"\1\2"),
        (r"(?<=[A-Z])([A-Z][a-z]?)_(?=\d)", r"\1"),
        (r"\\[,;:! ]|\\q?quad(?![A-Za-z])|(?<=\d)~(?=[a-zA-Z])", " "),
    )
)
"""Fractions after what may stand in them, boxes after fractions."""
_DELIMITED = re.compile(
    r"\$\$([^$]{1,300})\$\$|\$([^$\n]{1,200})\$(?![\d$])|\\\[(.{1,300}?)\\\]|\\\((.{1,300}?)\\\)", re.S
)
_FORMULA = re.compile(r"[\\$]|[\^_]\{|\{,\}|[A-Z]_\d|\d~[a-z]")
_MARKED = re.compile(rf"[&<~]|\[\^|{_FORMULA.pattern}")


@lru_cache(maxsize=16384)
def plain(text: str) -> str:
    """The text with entities and commands written as their signs; what was struck out is left out.

    An entity that stands alone is what was asked for, and stays: ``&lt;`` is no ``<``.
    """
    # Most texts have no mark-up, and one look tells.
    if not _MARKED.search(text):
        return text
    if "&" in text and not _ASKED_FOR.fullmatch(text):
        text = _without_entities(text)
    text = _SUB.sub(lambda m: f"^{m[2]}" if m[1].lower() == "sup" and m[2].isalnum() else m[2], text)
    text = _NOTE.sub("", _STRUCK.sub("", text))
    if _FORMULA.search(text):
        text = _COMMAND.sub(_command, text)
        for pattern, change in _LATEX:
            text = pattern.sub(change, text)
        text = _DELIMITED.sub(lambda m: next(one for one in m.groups() if one is not None).strip(), text)
    return text


def literal(text: str, reference: str) -> str:
    """The text without entities and back slashes where its reference has none."""
    if "&" in text and not _ENTITY.search(reference):
        text = _without_entities(text)
    return text if "\\" in reference else unescaped(text)


def _without_entities(text: str) -> str:
    return _ENTITY.sub(lambda entity: html.unescape(entity.group()).replace("\u00a0", " "), text)


def unescaped(text: str) -> str:
    r"""The text without Markdown's back slashes: ``snake\_case`` is snake_case."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


@lru_cache(maxsize=16384)
def untagged(text: str) -> str:
    """The text without the HTML elements around its words; a tag alone is text."""
    if "<" not in text:
        return text
    out = _BREAK.sub("\n", text)
    # From the inside out: the pattern finds elements that hold no other.
    for _ in range(_NESTED):
        # A paragraph or an item of a list ends its line.
        out, count = _PAIRED.subn(lambda m: f"{m[2]}\n" if m[1].lower() in ("p", "div", "li") else m[2], out)
        if not count:
            break
    return out.strip() or text
