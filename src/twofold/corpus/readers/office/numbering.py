"""Numbers of lists and headings in Word files, counted as Word counts them (ECMA-376 part 1, 17.9)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from twofold.corpus.readers.office.packages import Node, attribute, bare, child, inside

_PLACE = re.compile(r"%([1-9])")
_LEVELS = 9
_BY_LETTER = {
    "aiueo": "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン",
    "arabicAbjad": "أبجدهوزحطيكلمنسعفصقرشتثخذضظغ",
    "arabicAlpha": "أبتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "chosung": "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ",
    "decimalEnclosedCircle": "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳",
    "ganada": "가나다라마바사아자차카타파하",
    "hebrew2": "אבגדהוזחטיכלמנסעפצקרשת",
    "ideographTraditional": "甲乙丙丁戊己庚辛壬癸",
    "ideographZodiac": "子丑寅卯辰巳午未申酉戌亥",
    "iroha": "イロハニホヘトチリヌルヲワカヨタレソツネナラムウヰノオクヤマケフコエテアサキユメミシヱヒモセス",
    "russianLower": "абвгдежзиклмнопрстуфхцчшщыэюя",
    "russianUpper": "АБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЫЭЮЯ",
    "thaiLetters": "กขคงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ",
}
"""Forms with a letter for each number; past the last they count in digits."""
_COUNTING = frozenset(
    ["chineseCounting", "chineseCountingThousand", "japaneseCounting", "taiwaneseCounting", "taiwaneseCountingThousand"]
)
_HAN, _HANGUL = "〇一二三四五六七八九", "영일이삼사오육칠팔구"
_IN_DIGITS = {
    "ideographDigital": _HAN,
    "japaneseDigitalTenThousand": _HAN,
    "koreanDigital": _HANGUL,
    "taiwaneseDigital": _HAN,
}
_CARDINAL_WORDS = """
    Zero One Two Three Four Five Six Seven Eight Nine Ten Eleven Twelve Thirteen Fourteen Fifteen Sixteen Seventeen
    Eighteen Nineteen Twenty
"""
_ORDINAL_WORDS = """
    Zeroth First Second Third Fourth Fifth Sixth Seventh Eighth Ninth Tenth Eleventh Twelfth Thirteenth Fourteenth
    Fifteenth Sixteenth Seventeenth Eighteenth Nineteenth Twentieth
"""
_IN_WORDS = {"cardinalText": _CARDINAL_WORDS.split(), "ordinalText": _ORDINAL_WORDS.split()}
_ROMAN = tuple(
    zip(
        (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
        ("m", "cm", "d", "cd", "c", "xc", "l", "xl", "x", "ix", "v", "iv", "i"),
        strict=True,
    )
)


@dataclass(frozen=True, slots=True)
class _Level:
    """How one level of a list counts; `restart` 0: never anew, `plain`: higher levels are shown in decimals."""

    start: int = 1
    form: str = "decimal"
    text: str = ""
    plain: bool = False
    restart: int = -1
    style: str = ""
    """The paragraphs' style that stands on this level."""


class Numbering:
    """The lists of a document, and how far each has counted.

    Args:
        root: The part ``numbering``; None: the document has no lists.
    """

    def __init__(self, root: Node | None) -> None:
        self._lists: dict[str, tuple[str, dict[int, _Level]] | None] = {}
        self._counts: dict[str, list[int | None]] = {}
        # (list, level) whose own first number has been used: it applies once
        self._begun: set[tuple[str, int]] = set()
        self._starts: dict[tuple[str, int], int] = {}
        self._kinds: dict[str, Node] = {}
        self._named: dict[str, Node] = {}
        self._levels: dict[str, dict[int, _Level]] = {}
        self._styled: dict[str, str] = {}
        self._linked: dict[str, str] = {}
        for element in root if root is not None else ():
            kind = bare(element.tag)
            if kind == "num":
                self._named[attribute(element, "numId")] = element
            elif kind == "abstractNum":
                name = attribute(element, "abstractNumId")
                self._kinds[name] = element
                if (style := child(element, "styleLink")) is not None:
                    self._styled[attribute(style, "val")] = name
                if (style := child(element, "numStyleLink")) is not None:
                    self._linked[name] = attribute(style, "val")

    def _list(self, name: str) -> tuple[str, dict[int, _Level]] | None:
        """The counter and the levels of a list, read at its first use; None where there is no such list."""
        if name not in self._lists:
            node = self._named.get(name)
            self._lists[name] = self._definition(name, node) if node is not None else None
        return self._lists[name]

    def _definition(self, name: str, node: Node) -> tuple[str, dict[int, _Level]]:
        kind = child(node, "abstractNumId")
        key = attribute(kind, "val") if kind is not None else ""
        # a list may be defined by a style, and the style by another list
        key = self._styled.get(self._linked.get(key, ""), key)
        if key not in self._levels:
            shared = self._kinds.get(key)
            self._levels[key] = dict(_level(level) for level in inside(shared, "lvl")) if shared is not None else {}
        levels = dict(self._levels[key])
        for over in inside(node, "lvlOverride"):
            at = _int(attribute(over, "ilvl"), 0)
            for level in inside(over, "lvl"):
                levels[at] = _level(level)[1]
            start = child(over, "startOverride")
            if start is not None:
                self._starts[name, at] = _int(attribute(start, "val"), 1)
        return key, levels

    def level_of(self, name: str, style: str) -> int:
        """The level of a list on which a style's paragraphs stand; the first where it names none."""
        definition = self._list(name)
        levels = definition[1] if definition is not None else {}
        return next((at for at, level in levels.items() if style and level.style == style), 0)

    def label(self, numbers: tuple[str, int] | None) -> str:
        """The label of the next paragraph of a list at a level: ``3.``, ``1.2``, ``b)``, ``-``; empty for none."""
        definition = self._list(numbers[0]) if numbers is not None else None
        if numbers is None or definition is None:
            return ""
        name, at = numbers[0], min(numbers[1], _LEVELS - 1)
        key, levels = definition
        level = levels.get(at)
        if level is None:
            return "-"
        counts = self._counts.setdefault(key, [None] * _LEVELS)
        if (name, at) in self._starts and (name, at) not in self._begun:
            counts[at] = self._starts[name, at]
        else:
            previous = counts[at]
            counts[at] = level.start if previous is None else previous + 1
        self._begun.add((name, at))
        # deeper levels begin anew, but for those that never do
        for deeper in range(at + 1, _LEVELS):
            if levels.get(deeper, _Level()).restart != 0:
                counts[deeper] = None
        if level.form == "bullet":
            return "-"
        if level.form == "none" and "%" not in level.text:
            return level.text.strip()

        def number(reference: re.Match[str]) -> str:
            place = int(reference.group(1)) - 1
            numbered_level = levels.get(place, _Level())
            count = counts[place] if counts[place] is not None else numbered_level.start
            return written(int(count or 0), "decimal" if level.plain else numbered_level.form)

        return _PLACE.sub(number, level.text).strip()


def _level(node: Node) -> tuple[int, _Level]:
    def of(name: str, default: str) -> str:
        element = child(node, name)
        return default if element is None else attribute(element, "val", default)

    plain = child(node, "isLgl")
    level = _Level(
        start=_int(of("start", "1"), 1),
        form=of("numFmt", "decimal"),
        text=of("lvlText", ""),
        plain=plain is not None and attribute(plain, "val", "1") not in ("0", "false"),
        restart=_int(of("lvlRestart", "-1"), -1),
        style=of("pStyle", ""),
    )
    return _int(attribute(node, "ilvl"), 0), level


def _int(text: str, default: int) -> int:
    try:
        return int(text)
    except ValueError:
        return default


def written(number: int, form: str) -> str:
    """A number in one of Word's ways of writing: ``decimal``, ``lowerLetter``, ``upperRoman`` and so on."""
    # after z come aa, bb, cc, as Word has it
    if form in ("lowerLetter", "upperLetter") and number > 0:
        text = chr(97 + (number - 1) % 26) * ((number - 1) // 26 % 20 + 1)
    elif form in ("lowerRoman", "upperRoman"):
        text = roman(number)
    elif form == "decimalZero":
        text = f"{number:02}"
    elif form in _BY_LETTER and 0 < number <= len(_BY_LETTER[form]):
        text = _BY_LETTER[form][number - 1]
    elif form in _COUNTING and 0 < number < 1000:
        text = _counted(number)
    elif form in _IN_DIGITS:
        text = "".join(_IN_DIGITS[form][int(digit)] for digit in str(max(0, number)))
    elif form in _IN_WORDS and 0 <= number <= 20:
        text = _IN_WORDS[form][number]
    elif form == "ordinal":
        ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
        text = f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"
    else:
        return "" if form == "none" else str(number)
    return text.upper() if form.startswith("upper") else text


def _counted(number: int) -> str:
    """A number below 1,000 as Chinese and Japanese count: 十五, 二十, 一百〇五."""
    hundreds, rest = divmod(number, 100)
    tens, ones = divmod(rest, 10)
    text = f"{_HAN[hundreds]}百" if hundreds else ""
    if tens:
        text += f"{_HAN[tens] if tens > 1 or hundreds else ''}十"
    elif hundreds and ones:
        text += "〇"
    return text + (_HAN[ones] if ones else "")


def roman(number: int) -> str:
    """A Roman number in small letters; digits from 4000 on."""
    if not 0 < number < 4000:
        return str(number)
    out = ""
    for value, letters in _ROMAN:
        while number >= value:
            out += letters
            number -= value
    return out
