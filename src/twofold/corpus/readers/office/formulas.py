"""Formulas of MathML and of Office (OMML) as a line of text: ``E = mc²``, ``(a + b)/2``, ``√(x)``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twofold.corpus.readers.marks import lowered, raised, settled

_SPACED = frozenset("=+−-<>≤≥≠≈≡±×·→←⇒⇔∈∪∩∼")
_UNSEEN = dict.fromkeys(range(0x2061, 0x2065))
"""Invisible signs: function application, invisible times, separator and plus."""
_DEEPEST = 100
"""Elements within elements of a formula that are read; deeper ones are left out, as the walk is recursive."""
_BEFORE = "\ue003"
"""Behind what follows a letter, in front of what stands before it, in a formula's element of many scripts."""
_UNSHOWN = frozenset(["del", "moveFrom"])
"""Elements that a tracked change takes out."""


def mathml(tag: str, parts: Sequence[str], text: str) -> str:
    """One MathML element as text.

    Args:
        tag: The element's name.
        parts: The texts of its child elements.
        text: Its own text where it has no children.
    """
    words = " ".join(text.translate(_UNSEEN).split())
    if tag in ("annotation", "annotation-xml", "mphantom", "none"):
        return ""
    if tag == "mprescripts":
        return _BEFORE
    if tag == "mmultiscripts" and parts:
        behind, ahead = _parted(parts[1:])
        return _scripts(ahead) + parts[0].strip() + _scripts(behind)
    if tag == "mo":
        return f" {words} " if words in _SPACED and words else ", " if words == "," else words
    if tag == "mspace":
        return " "
    if tag == "mfrac" and len(parts) == 2:
        return f"{_bracketed(parts[0])}/{_bracketed(parts[1])}"
    if tag == "msqrt":
        return f"√({''.join(parts).strip()})"
    if tag == "mroot" and len(parts) == 2:
        return f"{raised(parts[1].strip())}√({parts[0].strip()})"
    if tag in ("msup", "mover") and len(parts) == 2:
        return parts[0].rstrip() + power(parts[1], parts[0]) if tag == "msup" else "".join(parts)
    if tag in ("msub", "munder") and len(parts) == 2:
        return parts[0].rstrip() + index(parts[1])
    if tag in ("msubsup", "munderover") and len(parts) == 3:
        return parts[0].rstrip() + index(parts[1]) + power(parts[2], parts[0]) + ("" if tag == "msubsup" else " ")
    if tag == "mtr":
        return ", ".join(part.strip() for part in parts) + "; "
    if tag == "mtable":
        return f"[{''.join(parts).strip('; ')}]"
    if tag == "mfenced":
        return f"({', '.join(part.strip() for part in parts)})"
    return "".join(parts).replace(_BEFORE, "") if parts else words


def _parted(scripts: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Scripts behind a letter, and those before it."""
    at = scripts.index(_BEFORE) if _BEFORE in scripts else len(scripts)
    return scripts[:at], scripts[at + 1 :]


def _scripts(pairs: Sequence[str]) -> str:
    """Low and high scripts in turn as text, the high one of each pair first."""
    return "".join(power(high) + index(low) for low, high in zip(pairs[::2], pairs[1::2], strict=False))


def power(text: str, before: str = "x") -> str:
    """An exponent: ``²``, ``^n``, ``^(n + 1)``."""
    bare = text.strip()
    script = raised(bare, before.strip() or "x")
    return script if script != bare or not bare else f"^{_bracketed(bare)}"


def index(text: str) -> str:
    """An index: ``₁`` behind anything, ``_i``, ``_(i = 1)``."""
    bare = text.strip()
    script = settled(lowered(bare))
    return script if script != bare or not bare else f"_{_bracketed(bare)}"


def _bracketed(text: str) -> str:
    bare = text.strip()
    return bare if len(bare) < 2 or bare.isalnum() else f"({bare})"


def office(node: Any, depth: int = 0) -> str:
    """An ``m:oMath`` element of Office as text."""
    name = node.tag.rsplit("}", 1)[-1]
    if name == "t":
        return (node.text or "").translate(_UNSEEN)
    if depth > _DEEPEST or name.endswith("Pr") or name in _UNSHOWN:
        return ""
    if name in _LISTS:
        return _LISTS[name].join(filter(None, (office(child, depth + 1).strip() for child in node))).replace("&", "")
    writer = _SHAPES.get(name)
    if writer is None:
        return "".join(office(child, depth + 1) for child in node)
    parts = {child.tag.rsplit("}", 1)[-1]: office(child, depth + 1) for child in node}
    if name == "d":
        inner = [office(child, depth + 1) for child in node if child.tag.endswith("}e")]
        opening, closing = _chars(node, "begChr", "("), _chars(node, "endChr", ")")
        return f"{opening}{', '.join(inner)}{closing}"
    if name == "nary":
        parts["chr"] = _chars(node, "chr", "∫")
    return writer(parts)


def _chars(node: Any, name: str, default: str) -> str:
    for element in node.iter():
        if element.tag.endswith("}" + name):
            return next((value for key, value in element.attrib.items() if key.endswith("val")), default)
        if element.tag.endswith("}e"):
            break
    return default


_LISTS = {"m": "; ", "mr": ", ", "eqArr": "; ", "oMathPara": "; "}
"""Separators of the rows and cells of a matrix, of the lines of a system, and of formulas one below the other."""
_SHAPES: dict[str, Callable[[dict[str, str]], str]] = {
    "f": lambda p: f"{_bracketed(p.get('num', ''))}/{_bracketed(p.get('den', ''))}",
    "sSup": lambda p: p.get("e", "") + power(p.get("sup", ""), p.get("e", "")),
    "sSub": lambda p: p.get("e", "") + index(p.get("sub", "")),
    "sSubSup": lambda p: p.get("e", "") + index(p.get("sub", "")) + power(p.get("sup", ""), p.get("e", "")),
    "sPre": lambda p: power(p.get("sup", "")) + index(p.get("sub", "")) + p.get("e", ""),
    "rad": lambda p: f"{raised(p.get('deg', '').strip())}√({p.get('e', '')})",
    "nary": lambda p: f"{p['chr']}{index(p.get('sub', ''))}{power(p.get('sup', ''))} {p.get('e', '')}",
    "d": lambda _: "",
    "func": lambda p: f"{p.get('fName', '')} {p.get('e', '')}",
    "limLow": lambda p: p.get("e", "") + index(p.get("lim", "")),
    "limUpp": lambda p: p.get("e", "") + power(p.get("lim", "")),
}
