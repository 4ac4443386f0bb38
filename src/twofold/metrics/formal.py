"""Answers in a formal language: JSON, SQL and code, told apart by the reference and compared by their tokens. Pure.

A formula such as ``a < b`` or ``x = 2*y`` needs none of this: prose has its operators too (see `values`).

In SQL case and line breaks do not matter, and neither do comments, a final semicolon and the kind of quotation marks;
what stands between these does. In code case matters, and the indentation of lines where a line ends with a colon. In
both all operators count, and numbers are values: ``amount > 48.0`` is ``amount > 48`` and not ``amount < 48``.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache
from typing import Any, Literal

from twofold.metrics.spellings import unfenced
from twofold.metrics.values import number

Language = Literal["", "json", "sql", "code"]
"""The formal language of a reference; empty: prose."""

_FENCED = re.compile(r"```[^\n`]*\n(.*?)```|```(?:[a-zA-Z]++[ \t]++)?+([^`]+)```", re.DOTALL)
_SQL = re.compile(
    r"\s*(?:SELECT\b(?!\s+(?:one|all|any|the|your)\b)|WITH\s+\w+\s+AS\s*\(|INSERT\s+INTO\b|UPDATE\s+\S+\s+SET\b|"
    r"DELETE\s+FROM\b|(?:CREATE|ALTER|DROP)\s+(?:TABLE|VIEW|INDEX)\b)",
    re.IGNORECASE,
)
_TABLE = r"(?!(?:the|a|an|your|this|these|all|any)\b)[\w.\"`\[\]]++"
_AFTER_PROSE = re.compile(
    r"(?:^[ \t]*|:\s*|\b(?:is|use|run|try)\s)(?=(?:SELECT|WITH|INSERT|UPDATE|DELETE|CREATE)\s)", re.MULTILINE
)
_QUERY = re.compile(
    r"\s*(?:SELECT\s+(?:(?:DISTINCT|ALL)\s+|TOP\s+\d+\s+)?(?:[\d*'\"@(-]|\w+\(|[^;]*?\sFROM\s)|"
    rf"(?i:SELECT\s[^;]*?\sFROM\s+{_TABLE}\s*(?:\Z|[;,)]|(?:AS|\w{{1,2}}|WHERE|(?:INNER|CROSS|NATURAL|FULL|OUTER|"
    rf"LEFT|RIGHT)\s+\w+|JOIN|ORDER|GROUP|LIMIT|HAVING|UNION|EXCEPT|INTERSECT)\b)|"
    r"SELECT\s+(?:\d+|\w+\([^()]*\))\s*;?\s*\Z|"
    rf"WITH\s+(?:RECURSIVE\s+)?\w+\s*(?:\([^()]*\)\s*)?AS\s*\(\s*(?:SELECT|VALUES|WITH|INSERT|UPDATE|DELETE)\b|"
    rf"INSERT\s+INTO\s+{_TABLE}\s*(?:\([^()]*\)\s*)?(?:VALUES|SELECT|DEFAULT)\b|UPDATE\s+{_TABLE}\s+SET\s+\S+\s*=|"
    rf"DELETE\s+FROM\s+{_TABLE}\s*(?:\Z|;|(?:WHERE|USING)\b)|"
    rf"CREATE\s+(?:OR\s+REPLACE\s+|UNIQUE\s+|TEMP(?:ORARY)?\s+)?(?:TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_TABLE}\s*"
    rf"(?:\(\s*\S+\s+\w|AS\b)|VIEW\s+{_TABLE}\s+AS\b|INDEX\s+{_TABLE}\s+ON\b)|"
    rf"ALTER\s+TABLE\s+{_TABLE}\s+(?:ADD|DROP|ALTER|RENAME|MODIFY)\b|"
    rf"DROP\s+(?:TABLE|VIEW|INDEX)\s+(?:IF\s+EXISTS\s+)?{_TABLE}\s*(?:\Z|;|CASCADE\b)))"
)
"""A whole query by its clauses: "Select File > Save", "Delete from cart (top right)" are instructions for people."""
_STATEMENT = re.compile(
    r"^[ \t]*(?:(?:async )?def \w+\(|class \w+(?:\([^()\n]*\))?[ \t]*(?:[{<]|:[ \t]*(?:$|\n|#|pass\b|\.\.\.))|"
    r"class \w+ (?:extends|implements)\b|import (?:\w+\.[\w.]+|\w+ as \w+|\w+;)[ \t]*$|"
    r"from (?:[a-z_.][\w.]*|[A-Z]{2}\w*) import (?:[*(]|\w+(?: as \w+)?(?:, ?\w+(?: as \w+)?)*[ \t]*(?:#|$))|"
    r"return\b[ \t]*(?:[\w.]+[(\[]\S|[(\[][\w.'\"]*(?:[)\]](?:[ \t]*$|[-+*/%<>=.,\[( ](?! ?[^\W\d_]{3}))|,|"
    r" ?[-+*/%<>=]| for )|.*;[ \t]*$|"
    r"[\w.]+ ?(?:[-+*/%]|[=<>!]=|[<>])(?=[^-+*/%]))|function[ \t]*\w*\([^()\n]*\)|"
    r"(?:const|let|var|int|double|float|char|bool|auto|val) \w+\s*=|#include\s*[<\"]|#define \w+|"
    r"(?:public|private|protected) (?:static )?[\w<>]+ \w+(?:\(|\s*[={]|;[ \t]*$)|package \w+\.[\w.]+;[ \t]*$|"
    r"using (?:namespace \w|[A-Z])[\w.:]*;[ \t]*$|"
    r"(?:else|try|finally)[ \t]*[:{][ \t]*$|(?:if|elif|while|for|except|with)\b.*[:{][ \t]*\n[ \t]+\S|"
    r"(?:if|while|for)[ \t]*\((?=.*[=<>;!{]|.*\w\().*[){;][ \t]*$|(?:if|elif|while)\b.*[=<>].*:[ \t]*(?:$|\w)|"
    r"print\((?!s\))|@[\w.]+(?:\([^()\n]*\))?[ \t]*\n[ \t]*(?:@|def|class|async|public|private)\b)",
    re.MULTILINE,
)
"""Statements by their shape: "class war", "class A: vans", "return to sender (1962)" and "for (example)" are prose."""
_COMMANDS = (
    r"(?:frac|sqrt|cdot|times|pm|leq|geq|neq|approx|alpha|beta|gamma|delta|theta|lambda|mu|pi|sigma|omega|infty|sum|int|"
    r"prod|lim|log|ln|sin|cos|tan|left|right|mathrm|mathbf|text|[dwsbDWSB])"
)
_MARKED = re.compile(
    rf"(?<![A-Za-z])\\(?:[A-Za-z]{{2}}|[dwsbDWSBntr](?![/\w]))|\\{_COMMANDS}(?![A-Za-z])|[_^]\{{|\[\^|"
    r"\[(?:[a-z]-[a-z]|[A-Z]-[A-Z]|0-9)(?![a-z]{2})"
)
"""Commands of LaTeX and classes of a regular expression: there case and every sign count."""
_PLAIN_FRACTION = re.compile(r"\\[dt]?frac\{\d{1,9}\}\{\d{1,9}\}")
"""A fraction of two numbers is a value, whatever notation it has."""
_SALT = re.compile(
    r"(?<!\w)(?:[A-Z][a-z]?\d*)+(?:\((?:[A-Z][a-z]?\d*)+\)\d*)+(?![\w(])|(?<!\w)[A-Z]\w*\((?:aq|[slg])\)"
)
"""A chemical formula, whose brackets call nothing: ``Ca(OH)2``, ``H2SO4(l)``."""
_DRIVE = re.compile(r"(?<![\w\\])[A-Z]:\\[\w.\\-]*(?![\w.\\{^-])")
"""A path of Windows, whose back slashes are no commands."""
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_FORMULA = re.compile(r"[=<>+*/%;{}()\[\]]")
_CALLS = re.compile(
    r"(?<!\w)(?<!\w\.)[A-Za-z_]\w*(?:\.\w+)*\((?!e?s\)|aq\)|ren\))[^()]*(?:\([^()]*\)[^()]*)*\)"
    r"|(?<!\w)[A-Za-z_]\w*\[[^\[\]\s]+\]"
)
_PROSE = re.compile(r"[^\W\d_]{2}[,.]?\s+[^\W\d_]{2}|[^\x00-\x7f]|://")
_OPENING = re.compile(r"\w[(\[]")
_SENTENCE = re.compile(r"(?<![^\W\d_])(?:[^\W\d_]{2,}[,.;]?\s+){7}")
_KEYWORDS = re.compile(r"\b(?:and|or|not|in|if|else|for|lambda|return|await|new|const|let|var|int|float|bool)\b")
_PIECE = re.compile(
    r"""
    (?P<string>'(?:[^'\\\n]|''|\\.){0,2000}'|"(?:[^"\\\n]|""|\\.){0,2000}")
    |(?P<quoted>`[^`\n]*`)
    |(?P<number>(?<![\w.])(?:0[xXbBoO][0-9a-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d{1,4})?|\.\d+)(?![\w]))
    |(?P<name>[^\W\d]\w*)
    |(?P<operator><=>|===|!==|\*\*=|\*\*|//=|//|<<=|>>=|<<|>>|[<>=!]=|<>|[-+*/%&|^]=|->|=>|<-|::|\.\.\.?|&&|\|\||\+\+|--|:=)
    |(?P<rest>\S)
    """,
    re.VERBOSE,
)
_SQL_PIECE = re.compile(rf"(?P<comment>--[^\n]*|/\*[\s\S]*?(?:\*/|\Z))|{_PIECE.pattern}", re.VERBOSE)
"""As `_PIECE`, and comments, which begin outside strings only: ``'a--b'`` has none."""
_ANNOUNCED = re.compile(
    r"\b(?:result|answer|output|response|final|correction|corrected|fixed)\b[^\w\n]{0,8}(?:is[^\w\n]{0,4})?\s{0,3}"
    r"(?:```\w{0,10}\s?)?\Z",
    re.IGNORECASE,
)
"""Words before the JSON that is the answer, where a schema or an example stands before it."""
_OTHER = re.compile(
    r"\b(?:schema|example|template|format|input|given|not|draft|instead of|rather than)\b[^\w\n]{0,8}"
    r"(?:is[^\w\n]{0,4})?\s{0,3}(?:```\w{0,10}\s?)?\Z",
    re.IGNORECASE,
)
"""Words before JSON that is not the answer, where other JSON stands beside it."""
_LONGEST = 20_000
"""Characters of prose before and after JSON that are looked through."""
_TRIES = 256
"""Openings that begin no JSON, at most."""


@lru_cache(maxsize=16384)
def parse(text: str) -> Any:
    """The JSON object or array that `text` is, a code fence apart; None when it is none.

    A bare number or string is plain text; ``NaN`` and ``Infinity`` are no JSON (RFC 8259), and neither is an object
    with two values under one key: programs differ in which they read.
    """
    return _loaded(unfenced(text).strip())


@lru_cache(maxsize=16384)
def found_json(text: str) -> Any:
    """The JSON object or array in an answer: all of it, in a code fence anywhere, or after or before prose.

    None when there is none, and when there are two that differ, unless one alone is announced as the answer
    ("Result: …"), or all others are said to be something else ("Schema: …") or are JSON schemas: nobody can tell which
    it is.
    """
    # All of it, then fences, then anywhere between sentences: what is set apart as JSON is meant as the answer.
    whole = parse(text)
    if whole is not None:
        return whole
    fenced = []
    for match in _FENCED.finditer(text):
        if (value := _loaded((match[1] or match[2] or "").strip())) is not None:
            fenced.append((value, text[max(0, match.start() - 40) : match.start()]))
    return _only(_meant(fenced) or _within(text))


@lru_cache(maxsize=16384)
def language(reference: str) -> Language:
    """The formal language of a reference."""
    if parse(reference) is not None:
        return "json"
    # A blank line must not part a statement from its body.
    text = re.sub(r"\n\s*\n", "\n", unfenced(reference).strip())
    # A query by its clauses before prose and code: SQL reads like a sentence, and has calls and operators too.
    if _QUERY.match(text) and (re.match(r"\s*[A-Z]{4}", text) or re.search(r"[=<>*;()]", text)):
        return "sql"
    # Prose in comments and strings does not make prose of code.
    if _SENTENCE.search(re.sub(r"#.*|//.*|\"[^\"\n]*\"|'[^'\n]*'", "", text)):
        return ""
    if (
        _STATEMENT.search(text)
        or _MARKED.search(_PLAIN_FRACTION.sub("", _DRIVE.sub("", text)))
        or (
            _OPENING.search(text) and _CALLS.search(_SALT.sub("", text)) and not _PROSE.search(_KEYWORDS.sub("0", text))
        )
    ):
        return "code"
    # People fence prose as well: there must be a sign of a formula in it.
    return "code" if "```" in reference and _FORMULA.search(text) else ""


@lru_cache(maxsize=65536)
def pieces(text: str, kind: Language) -> tuple[str, ...]:
    """The tokens of SQL or code in `text`: of its one code fence, or its one query, where there is prose around it.

    One piece of code between back ticks in a sentence is the code too ("Use ``foo.bar()``."), and the sentence is not.
    """
    fenced = _FENCED.findall(text)
    body = next(one or other for one, other in fenced) if len(fenced) == 1 else _spanned(unfenced(text))
    body = _unmarked(body, kind)
    if kind == "sql" and not _SQL.match(body) and (query := _AFTER_PROSE.search(body)):
        body = re.split(r";\s|\n\s*\n", body[query.end() :])[0]
    return _sql(body) if kind == "sql" else _code(body)


def _unmarked(text: str, kind: Language) -> str:
    """Without the bold type around it all; a query also without the mark of a list's item and brackets around it."""
    bare = text.strip()
    # Two bold pieces at both ends are no bold type around it all.
    if len(bare) > 4 and bare[:2] == bare[-2:] == "**" and "**" not in bare[2:-2]:
        return bare[2:-2]
    if kind != "sql":
        return text
    bare = re.sub(r"\A[-*•][ \t]+", "", bare)
    return bare[1:-1] if bare[:1] == "(" and bare[-1:] == ")" and _SQL.match(bare[1:]) else bare


def _spanned(text: str) -> str:
    spans = set(_SPAN.findall(text))
    around = _SPAN.sub("", text)
    if len(spans) != 1 or _FORMULA.search(around) or not re.search(r"[^\W\d_]{2}", around):
        return text
    return spans.pop() if not (_STATEMENT.search(around) or _SQL.match(around)) else text


def canonical(value: Any) -> str:
    """A JSON value in one form: the order of keys and the blanks do not matter, the types and the order of items do."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {unicodedata.normalize("NFC", key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    # In JSON 2 and 2.0 are one number.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _sql(text: str) -> tuple[str, ...]:
    out: list[str] = []
    for match in _SQL_PIECE.finditer(text):
        token = match.group()
        if match.lastgroup == "comment":
            continue
        if match.lastgroup == "string":
            out.append(f"'{token[1:-1]}'")
        elif match.lastgroup == "number":
            out.append(_value(token))
        else:
            # Words of SQL have no case, and names in back ticks are names.
            out.append({"<>": "!=", "==": "="}.get(token, token.strip("`").lower()))
    while out and out[-1] in (";", "."):
        out.pop()
    return tuple(out)


def _code(text: str) -> tuple[str, ...]:
    # Only where a line ends with a colon does indentation say what belongs to what.
    indented = bool(re.search(r":[ \t]*(?:#.*)?$", text, re.MULTILINE))
    out: list[str] = []
    # Depth as tokens, as Python's own tokenizer gives it.
    depths = [0]
    for line in text.expandtabs(4).strip("\n").splitlines():
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        while indented and depth < depths[-1]:
            depths.pop()
            out.append("\tdedent")
        if indented and depth > depths[-1]:
            depths.append(depth)
            out.append("\tindent")
        for match in _PIECE.finditer(line):
            token = match.group()
            if match.lastgroup == "string":
                token = f"'{token[1:-1]}'"
            out.append(_value(token) if match.lastgroup == "number" else token)
    while out and out[-1] in (";", ".", "\tdedent"):
        out.pop()
    return tuple(out)


def _value(token: str) -> str:
    # `number` reads decimals only.
    return token.lower() if token[:2].lower() in ("0x", "0b", "0o") else number(token)


def _loaded(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_refused, parse_float=_finite, object_pairs_hook=_object)
    except (ValueError, RecursionError):  # brackets nested deeper than the parser goes
        return None
    return value if isinstance(value, (dict, list)) else None


def _refused(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    # Programs differ in which of two values they read.
    if len(out) < len(pairs) and any(canonical(out[key]) != canonical(value) for key, value in pairs):
        raise ValueError("two values under one key")
    return out


def _finite(text: str) -> float:
    value = float(text)
    # Python reads 1e999 as infinity, which JSON does not have.
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large")
    return value


def _within(text: str) -> list[Any]:
    """The outermost objects in a text that may be the answer; where there is none, its arrays."""
    for opening in ("{", "["):
        values = []
        at = text.find(opening)
        failed = 0
        decoder = json.JSONDecoder(parse_constant=_refused, parse_float=_finite, object_pairs_hook=_object)
        # Bounded: a text of nothing but opening brackets would be read from each of them again.
        while 0 <= at < _LONGEST and failed < _TRIES:
            try:
                before = text[max(0, at - 40) : at]
                value, at = decoder.raw_decode(text, at)
                values.append((value, before))
            except (ValueError, RecursionError):
                at += 1
                failed += 1
            at = text.find(opening, at)
        if values:
            return _meant(values)
    return []


def _meant(values: list[tuple[Any, str]]) -> list[Any]:
    """Values that the text calls the answer, or else those that it calls nothing; each with the words before it."""
    announced = [value for value, before in values if _ANNOUNCED.search(before)]
    unmarked = [value for value, before in values if not _OTHER.search(before) and not _is_schema(value)]
    return announced or unmarked or [value for value, _ in values]


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict) and "type" in value and bool({"properties", "items", "$schema"} & value.keys())


def _only(values: list[Any]) -> Any:
    forms = {canonical(value) for value in values}
    return values[0] if len(forms) == 1 else None
