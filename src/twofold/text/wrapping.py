"""Remove the text around a model's answer: reasoning, citation markers, and the marks of its passages. Pure.

A bracket is part of the answer unless it can only be a citation. A citation marker is at the place that the template
asks for (the beginning or the end of the answer), or, if nothing is there, at the other end of an answer in prose; its
numbers are those of shown passages; and it follows or precedes words that a bracketed value would not. So ``[12, 15]``,
``arr[0]``, ``{"lines": [1, 2]}``, ``the interval is [1, 2]`` and ``"as in [1]"`` stay as they are.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence

_REASONING = (
    r"(?:think|thinking|thoughts?|reason|reasoning|reflection|analysis|rationale|scratch_?pad|\w{1,20}_think|deep_?think|"
    r"chain_of_thought|cot|inner_(?:monologue|thoughts?))"
)
_MARK_OPENED = re.compile(
    rf"(?i:<(?:\w+:)?{_REASONING}(?:\s[^<>]*)?>)|◁think▷|\[THINK\]|"
    r"<\|(?i:begin_of_thought|think|thinking|start_think(?:ing)?)\|>|<unused94>"
)
_OPENED = re.compile(rf"[\s\u200b\ufeff]*(?:{_MARK_OPENED.pattern})")
_CLOSED = re.compile(
    rf"(?i:</(?:\w+:)?{_REASONING}\s?>)|◁/think▷|\[/THINK\]|"
    r"<\|(?i:end_of_thought|/think|/thinking|end_think(?:ing)?)\|>|<unused95>"
)
_SOLUTION = re.compile(
    r"<\|(?:begin_of_(?:solution|box)|START_RESPONSE)\|>(.*?)(?:<\|(?:end_of_(?:solution|box)|END_RESPONSE)\|>|\Z)",
    re.DOTALL,
)
_EMPTY = re.compile(rf"\s*(?:(?i:<{_REASONING}\s?/>)|(?:{_CLOSED.pattern})(?=\s*(?:{_CLOSED.pattern})))")
"""Reasoning that is none, and a closing tag that another one follows."""
_END = re.compile(
    r"\s{0,9}(?:<\|(?:im_end|eot_id|eom_id|end|endoftext|end_of_text|end_of_turn|return)\|>|<(?:end_of_turn|eos)>|"
    r"<｜end▁of▁sentence｜>|\[/INST\]|</s>)\s{0,9}\Z",
    re.IGNORECASE,
)
"""The token that ends a turn, which some servers pass on as text."""
_ANSWER = re.compile(r"<(final_answer|answer|final|response)>(.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
"""Tags in which a model that reasons aloud puts its answer."""
_ANSWER_CLOSED = re.compile(r"\s*</(?:final_answer|answer|final|response)>[.\s]*\Z", re.IGNORECASE)
_SPOKEN_OF = re.compile(
    r"(?:[\"'`“‘(]|\b(?:the|a|an|this|that|closing|opening|with|by|use|write|writes|add|and|or|tags?|called|named))\s*\Z",
    re.IGNORECASE,
)
"""Text before a tag that the sentence is about."""
_IN_SENTENCE = re.compile(r"(?:[ \t]+[a-z]|[.,;:!?)\s]*\Z)")
"""Text after a tag in the middle of a sentence."""
_FEW_WORDS = 12
"""Most words before a closing tag that may be part of its sentence; more are reasoning."""
_FINAL = r"<\|channel\|>final<\|message\|>"
_CHANNELS = re.compile(rf"\s*(?:{_FINAL}|<\|channel\|>.*?(?:{_FINAL}|\Z))", re.DOTALL)
"""Reasoning in the form of gpt-oss, where a server passes on the model's raw text."""
_MAY_OPEN = re.compile(r"[\s\u200b\ufeff]*(?:[<◁][|:\w]*|\[T?H?I?N?K?)?")
_NUMBERS = r"\[\d{1,2}(?:\s*,\s*\d{1,2})*\]"
_AT_START = re.compile(
    rf"\s*({_NUMBERS})(?!:\s*https?:)(?!\s*(?:[=!<>]=|[=+*/<>|&%^∪∩×÷±∈∉→⇒⊂⊆∖≤≥≠≈])\s)(?:[:.](?=\s))?\s*"
)
_AT_END = re.compile(rf"\s*({_NUMBERS})\s*,?\s*\Z")
_CHAIN = re.compile(rf"(?:\s*{_NUMBERS})+\Z")
_STOP = re.compile(r"[.!?。]\s*\Z")
_TAG_COMES = re.compile(r"(?:[<◁]/?[|:\w]{0,20}|\[/?[A-Z]{0,6})\Z")
"""An end of a text that may become a tag."""
_REACH = 300
"""Characters at either end that are searched for markers: a bound on the time for a text of nothing but brackets."""
_UNDECIDED = re.compile(r"\s*(?:\[[\d,\s\[\]:.]*(?:[^\w\s]*|[a-z]{0,8})\s*)?")
"""A beginning of an answer that may become markers, or a value in brackets: brackets, and what `_GOES_ON` may match."""
_WAITING = re.compile(r"\s*(?:\[[\d,\s\[\]]*\S*\s*)?\Z")
"""An end of a text that may become a marker: blanks, and brackets with the word after them."""
_GOES_ON = re.compile(r"[,;.)\]}=+*/<>|^&%]|-\s|(?:is|are|was|were|and|or|equals|denotes)\b")
"""Text after a bracket that is a value and no marker."""
_TAKE_VALUES = (
    "a an the is are was were be been of in at to from than and or as by for with within between into equals "
    "return yield position"
)
_TAKES = frozenset(_TAKE_VALUES.split(" "))
"""Words after which a bracket is a value and no marker."""
_HAVE_NUMBERS = (
    "index interval range list array element row rows column columns line lines set vector tuple item items step "
    "section page chapter figure table equation ref"
)
_NUMBERED = frozenset(_HAVE_NUMBERS.split(" "))
"""Words that may be followed by a number."""
_GIVE_LISTS = frozenset(
    ("ci", "gives", "give", "output", "outputs", "prints", "result", "results", "sorted", "becomes")
)
"""Words after which several numbers in brackets are a value."""
_BINDS = frozenset("=:,(<+-*/&|[{")
_EMPHASISED = re.compile(r"(?<![\w*])(\*{1,3})(?=\S)[^*\n]{1,200}(?<=\S)\1\Z")
"""Stars that close an emphasis, and multiply nothing."""
_FORMAL = re.compile(r"[{}=;|\\]|</|\w\(|\w\[|^\s*(?:SELECT|WITH|INSERT|UPDATE|DELETE|CREATE)\b")
_WORD = re.compile(r"\S+")


def answer_text(completion: str) -> str:
    """The completion without its reasoning: blocks such as ``<think>…</think>`` before, after or within the answer.

    A block without a closing tag extends to the end. A closing tag alone ends reasoning that the prompt opened. A tag
    that a sentence mentions ("the ``</think>`` tag"), or in a code fence, is text. The answer inside
    ``<answer>…</answer>`` at the end is used without the tags.
    """
    text = _CHANNELS.sub("", completion, count=1) if "<|channel|>" in completion else completion
    # `</s>` ends a turn, but closes what was struck out where `<s>` has opened it
    while (end := _END.search(text, max(0, len(text) - 60))) and not (end.group().strip() == "</s>" and "<s>" in text):
        text = text[: end.start()]
    if solution := _SOLUTION.search(text):
        text = solution[1]
    while empty := _EMPTY.match(text):
        text = text[empty.end() :].lstrip()
    at = 0
    while opening := _OPENED.match(text, at):
        end = _CLOSED.search(text, opening.end())
        at = end.end() if end else len(text)
    text = text[at:]
    # the prompt may have opened the block: then the completion has only its end
    closed = _CLOSED.search(text)
    if closed and not _ends_in_sentence(text, closed) and not _MARK_OPENED.search(text[: closed.start()]):
        text = text[closed.end() :]
    return _answered(_without_blocks(text.strip()))


def _without_blocks(text: str) -> str:
    """Remove blocks of reasoning within and after a text; a block without a closing tag extends to the end."""
    pieces, at = [], 0
    for opened in _MARK_OPENED.finditer(text):
        if opened.start() < at or _is_spoken_of(text, opened) or _is_fenced(text, opened):
            continue
        closed = _CLOSED.search(text, opened.end())
        pieces.append(text[at : opened.start()])
        at = closed.end() if closed else len(text)
    return "".join((*pieces, text[at:])).strip() if pieces else text


def _answered(text: str) -> str:
    """The content of the answer's tag, where there is a single one and nothing follows it; else the text."""
    answers = list(_ANSWER.finditer(text))
    if not answers:
        return _ANSWER_CLOSED.sub("", text) if text[-40:].find("</") > 0 else text
    if len(answers) != 1 or text[answers[0].end() :].strip(" .\n") or _is_spoken_of(text, answers[0]):
        return text
    return answers[0][2].strip()


def _is_spoken_of(text: str, tag: re.Match[str]) -> bool:
    before = text[max(0, tag.start() - 30) : tag.start()]
    return "\n" not in before[-1:] and _SPOKEN_OF.search(before) is not None


def _ends_in_sentence(text: str, tag: re.Match[str]) -> bool:
    """Is a lone closing tag a word of its sentence: ``The model writes </think> when it is done``?"""
    before = text[: tag.start()]
    if _is_spoken_of(text, tag):
        return True
    if not before[-1:].isspace() or "\n" in before.strip(" \t") or _STOP.search(before[-30:]):
        return False
    return _IN_SENTENCE.match(text, tag.end()) is not None and len(before.split(None, _FEW_WORDS)) <= _FEW_WORDS


def _is_fenced(text: str, tag: re.Match[str]) -> bool:
    # an odd number of fences: the last one is open
    return text.count("```", 0, tag.start()) % 2 == 1


def without_markers(text: str, *, cite: str, shown: int) -> tuple[str, list[int]]:
    """Split an answer into its text without citation markers, and the cited numbers in order.

    A single number without a passage, at the place that `cite` names, is a citation as well: a wrong one.

    Args:
        text: The answer, without reasoning.
        cite: Place of the marker by the template: ``first``, ``last``, or ``none``.
        shown: Number of shown passages.
    """
    if cite == "none":
        return text, []
    for place in ("first", "last") if cite == "first" else ("last", "first"):
        # formal text is full of brackets: there a marker is only where the template asks for it
        if place != cite and _FORMAL.search(text):
            break
        take = _leading if place == "first" else _trailing
        left, numbers = take(text, shown, strict=place != cite)
        if numbers:
            return left, numbers
    return text, []


def without_datamarks(text: str, mark: str, passages: Sequence[str]) -> str:
    """The answer without the mark that replaced the blanks in its passages.

    The mark becomes a blank where it joins words that follow one another in a passage, or words of letters. ``x^2``
    stays.
    """
    flat = [f" {' '.join(passage.split())} ".casefold() for passage in passages]

    def plain(match: re.Match[str]) -> str:
        if mark not in match.group()[1:-1]:
            return match.group()
        joined = match.group().strip("\"'“”‘’.,;:!?()[]")
        words = joined.replace(mark, " ").strip()
        if joined.startswith(mark):
            return match.group()
        quoted = any(words.casefold() in passage for passage in flat)
        # pieces of a single letter are a formula or a code, where the sign means itself
        spoken = all(len(re.sub(r"[\W\d_]", "", word)) > 1 for word in joined.split(mark) if word)
        return match.group().replace(mark, " ") if quoted or spoken else match.group()

    return _WORD.sub(plain, text)


def unquoted(completion: str) -> str:
    """The text of a completion that is a JSON string; any other completion as it is."""
    if not completion.lstrip().startswith('"'):
        return completion
    try:
        value = json.loads(completion)
    # What is cut at the token limit is no JSON: it stays as it was written.
    except ValueError:
        return completion
    return value if isinstance(value, str) else completion


class Unwrapped:
    """A completion in a stream: the part of the answer that can be shown before the end, by the rules for the whole.

    Args:
        read: Converts a whole completion to the text to show, such as the text without markers.
        cite: As `without_markers`.
        shown: As `without_markers`.
        quoted: A completion that begins with a quotation mark is a JSON string, and is shown at its end.
    """

    def __init__(self, read: Callable[[str], str], *, cite: str = "none", shown: int = 0, quoted: bool = False) -> None:
        self._read, self._cite, self._shown, self._quoted = read, cite, shown, quoted
        self._come = ""
        self._out = ""

    def passed(self, piece: str) -> str:
        """Add a piece and return the text that can be shown now; text that may not belong to the answer waits."""
        self._come += piece
        if self._quoted and self._come.lstrip().startswith('"'):
            return ""
        opened = _OPENED.match(self._come)
        # nothing is shown within reasoning, or where reasoning may begin
        if (opened and not _CLOSED.search(self._come)) or _MAY_OPEN.fullmatch(self._come):
            return ""
        # the end may be the first characters of a tag
        come = self._come[:-_REACH] + _TAG_COMES.sub("", self._come[-_REACH:])
        text = _whole(answer_text(come), come)
        if self._cite == "none":
            return self._more(text.rstrip())
        if len(text) <= _REACH and _UNDECIDED.fullmatch(text):
            return ""
        text = _leading(text, self._shown, strict=False)[0] if self._cite == "first" else text
        return self._more(text[:-_REACH] + _WAITING.sub("", text[-_REACH:]))

    def rest(self) -> str:
        """The text that still waits at the end; the whole answer on a new line, if the shown text does not begin it."""
        text = self._read(self._come)
        return self._more(text) if text.startswith(self._out) else f"\n{text}"

    def _more(self, text: str) -> str:
        if not text.startswith(self._out):
            return ""
        more = text[len(self._out) :]
        self._out += more
        return more


def _whole(text: str, completion: str) -> str:
    """The text with the blanks at the completion's end, as more words may follow."""
    return text + completion[len(completion.rstrip()) :] if text else ""


def _leading(text: str, shown: int, *, strict: bool) -> tuple[str, list[int]]:
    numbers: list[int] = []
    begin = 0
    while begin < _REACH and (marker := _AT_START.match(text, begin)):
        named = _named(marker.group(1))
        end = marker.end()
        # where the template asks for a marker, one number and a blank are enough, whatever follows
        sure = not strict and not numbers and len(named) == 1 and marker.group().endswith((" ", "\n", "\t"))
        if (
            # nothing would be left: the bracket is the answer
            end == len(text)
            or (strict and len(text) <= end + _REACH and _CHAIN.fullmatch(text, end))
            or not _are_passages(named, shown, strict=strict)
            or (not sure and _GOES_ON.match(text, end))
        ):
            break
        numbers += named
        begin = end
    return text[begin:], numbers


def _trailing(text: str, shown: int, *, strict: bool) -> tuple[str, list[int]]:
    first, last = text[:-_REACH], text[-_REACH:]
    stop = _STOP.search(last)
    # the full stop goes back behind the last word
    left, end = (last[: stop.start()], stop.group().strip()) if stop else (last, "")
    numbers: list[int] = []
    while marker := _AT_END.search(left):
        named, before = _named(marker.group(1)), left[: marker.start()]
        sure = not strict and not numbers and len(named) == 1
        quoted = text[: len(first) + len(before)] if '"' in text or "“" in text else ""
        if not _ends_before(before, marker.group(), sure=sure) or not _are_passages(named, shown, strict=strict):
            break
        # within an open quotation a bracket is part of what is quoted
        if quoted.count('"') % 2 or quoted.count("“") != quoted.count("”"):
            break
        if len(named) > 1 and not _may_cite_several(before, strict=strict):
            break
        numbers = named + numbers
        left = before
    return (first + left.rstrip() + end, numbers) if numbers else (text, [])


def _may_cite_several(before: str, *, strict: bool) -> bool:
    """May ``[1, 2]`` after this text be a citation? It may also be a list or an interval ("sort gives [1, 2]")."""
    if _STOP.search(before):
        return True
    words = before.split()
    return not strict and not words[-1][-1].isdigit() and words[-1].casefold().strip(":") not in _GIVE_LISTS


def _ends_before(before: str, marker: str, *, sure: bool) -> bool:
    """Does the answer end here, so that the following brackets are a marker and not a value?"""
    words = before.split()
    stem = _CHAIN.sub("", before)
    apart = marker[0].isspace() or before[len(stem) :][:1].isspace()
    # scripts without blanks have none before a marker either
    if not words or not (apart or stem[-1:] in tuple(".!?。”") or ord(stem[-1:] or "a") > 0x2E80):
        return False
    last = words[-1].casefold()
    if _EMPHASISED.search(before):
        last = last.rstrip("*") or last
    return not (
        last in _TAKES
        or last[-1] in _BINDS
        # after a mathematical sign the bracket is an operand
        or unicodedata.category(last[-1]) == "Sm"
        or (last in _NUMBERED and not sure)
    )


def _named(marker: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", marker)]


def _are_passages(named: Sequence[int], shown: int, *, strict: bool) -> bool:
    known = all(1 <= number <= shown for number in named)
    # where the template asks for a marker, a number too high is a wrong citation, not a value
    return known or (not strict and len(named) == 1 and named[0] > 0)
