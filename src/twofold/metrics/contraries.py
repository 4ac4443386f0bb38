"""Two texts that share their words and mean another: contrary words, and things that have changed places. Pure."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations, pairwise

from twofold.metrics.denials import DENIALS
from twofold.metrics.spellings import UNSPACED
from twofold.metrics.text import find
from twofold.metrics.values import ARTICLES, MONTHS, scanned, tokens

_PAIRS = (
    "before/after earlier/later early/late start/end begin/end beginning/end first/last least/most more/less "
    "more/fewer minimum/maximum min/max minimal/maximal lowest/highest smallest/largest greater/less "
    "greater/smaller higher/lower larger/smaller bigger/smaller longer/shorter older/younger faster/slower "
    "above/below over/under up/down upper/lower increase/decrease rise/fall rose/fell gain/loss win/lose won/lost "
    "add/remove open/close on/off in/out enable/disable left/right inside/outside inner/outer internal/external "
    "input/output import/export buy/sell bought/sold credit/debit positive/negative odd/even always/never all/none "
    "all/some both/neither some/none with/without allow/forbid allow/prohibit permit/prohibit "
    "allowed/forbidden required/optional "
    "mandatory/optional mandatory/voluntary compulsory/voluntary true/false true/untrue public/private "
    "vertical/horizontal clockwise/counterclockwise clockwise/anticlockwise singular/plural male/female man/woman "
    "men/women boy/girl hot/cold warm/cold day/night morning/evening same/different am/pm and/or ascend/descend "
    "inclusive/exclusive including/excluding multiply/divide ad/bc accept/reject accept/refuse approve/reject "
    "approve/deny grant/deny confirm/deny pass/fail succeed/fail raise/lower increase/reduce start/stop live/die "
    "alive/dead love/hate arrive/depart arrive/leave enter/leave enter/exit borrow/lend push/pull send/receive "
    "create/delete insert/delete build/destroy hire/fire hire/dismiss expand/shrink strengthen/weaken heat/cool "
    "freeze/melt float/sink attach/detach attack/defend remember/forget innocent/guilty guilty/acquitted "
    "employer/employee buyer/seller landlord/tenant lender/borrower plaintiff/defendant lessor/lessee host/guest "
    "supplier/customer debtor/creditor parent/child husband/wife king/queen rich/poor full/empty full/partial wet/dry "
    "hard/soft thick/thin wide/narrow deep/shallow heavy/light light/dark bright/dark strong/weak loud/quiet old/new "
    "old/young cheap/expensive good/bad best/worst better/worse easy/difficult safe/dangerous clean/dirty tight/loose "
    "front/back front/rear top/bottom major/minor senior/junior urban/rural domestic/foreign solid/liquid liquid/gas "
    "acid/base acidic/alkaline temporary/permanent manual/automatic analog/digital primary/secondary single/double "
    "single/married short/long short/tall high/low fast/slow "
    "vor/nach mit/ohne mehr/weniger links/rechts oben/unten offen/geschlossen erlaubt/verboten steigt/sinkt "
    "kostenlos/kostenpflichtig innen/außen avant/après avec/sans plus/moins gauche/droite ouvert/fermé "
    "autorisé/interdit monte/baisse antes/después con/sin más/menos izquierda/derecha abierto/cerrado "
    "permitido/prohibido sube/baja prima/dopo con/senza più/meno sinistra/destra aperto/chiuso antes/depois com/sem "
    "within/after waived/charged "
    "mais/menos esquerda/direita aberto/fechado до/после с/без больше/меньше справа/слева разрешено/запрещено "
    "قبل/بعد مسموح/ممنوع पहले/बाद לפני/אחרי מותר/אסור πριν/μετά 있다/없다 있습니다/없습니다 있음/없음 식전/식후"
)
"""Words of which one says the contrary of the other; endings such as -s and -ed apart."""
_SETS = (
    "monday tuesday wednesday thursday friday saturday sunday",
    "red green blue yellow black white orange purple brown pink grey",
    "spring summer autumn winter",
    "first second third fourth fifth sixth seventh eighth ninth tenth last",
    "once twice thrice",
    "minute hour day week month quarter year decade century",
    "hourly daily weekly monthly quarterly yearly",
    "mother father sister brother son daughter uncle aunt grandmother grandfather",
    "north south east west northeast northwest southeast southwest",
    "northern southern eastern western northeastern northwestern southeastern southwestern",
    "gold silver bronze copper",
    "page chapter section article room gate version volume floor platform step table figure row column question "
    "exercise seat track paragraph clause appendix annex",
)
"""Words of which each excludes the others."""
_NEGATING = ("un", "in", "im", "il", "ir", "dis", "non", "mis", "de")
_EXCHANGED = (("en", "de"), ("in", "ex"), ("over", "under"), ("pre", "post"), ("hyper", "hypo"), ("inter", "intra"),
              ("macro", "micro"), ("up", "down"), ("in", "out"))  # fmt: skip
"""Beginnings that make contraries of one word: ``encrypt`` and ``decrypt``."""
_ENDING = re.compile(r"(?<=\w{3})(?:ing|ed|es|[sed])\Z")


def _stem(word: str) -> str:
    """A word without its ending, roughly: ``passes``, ``passed`` and ``pass`` are one."""
    bare = _ENDING.sub("", word)
    # The ending doubles a letter: ``stopped``, ``stopping``.
    bare = bare[:-1] if bare[-2:-1] == bare[-1:] else bare
    # ``carry`` and ``carries`` have one stem.
    return f"{bare[:-1]}i" if bare.endswith("y") else bare


_CONTRARY: dict[str, set[str]] = {}
_EXCLUDED: dict[str, set[str]] = {}
for _pair in _PAIRS.split(" "):
    _word, _contrary = map(_stem, _pair.split("/"))
    _CONTRARY.setdefault(_word, set()).add(_contrary)
    _CONTRARY.setdefault(_contrary, set()).add(_word)
for _words in _SETS:
    for _word in map(_stem, _words.split(" ")):
        _EXCLUDED.setdefault(_word, set()).update(set(map(_stem, _words.split(" "))) - {_word})
_JOINS = frozenset(
    ("and", "or", "und", "oder", "et", "ou", "y", "o", "e", "with", "plus", "versus", "vs", "+", "*", "&", "=", "|",
     "is", "are", "was", "were", "be")
)  # fmt: skip
"""Words between things whose order says nothing: "Oslo is the capital", too."""
_NONE: set[str] = set()
_DENYING = frozenset(map(_stem, DENIALS))
_FEW = 3
"""Tokens of a name, or of one thing in a list, at most."""
# Longer runs of capitals are words, as in a heading.
_INITIALS = 4
_PREFIXED = 3
"""Letters of a word before which ``in`` or ``un`` denies, at least: ``side`` and ``inside`` are contraries of none."""
# What is longer is a sentence that begins with a capital.
_LONGEST_NAME = 60
_COMPASS = re.compile(r"\b(?:New|North|South|East|West|(?:North|South|East|West)ern)[ -]\Z")
"""Words that before a name make it another place's."""
_MONEY = (
    "$ € £ ¥ ₹ ₽ ₩ ₺ ₴ ₪ ฿ adollar cdollar sdollar rdollar audollar cadollar nzdollar hkdollar chf sek nok dkk isk pln "
    "czk huf ron bgn aud cad nzd hkd sgd cny rmb krw brl mxn zar rub aed sar thb idr myr php vnd ils egp ngn kes pkr "
    "bdt lkr uah ars clp cop kr rs zł 元 franc francs krona kronor krone kroner zloty peso pesos reais ruble rubles "
    "yuan baht lira cent cents ¢"
)
_UNSPACED_NAME = 4
"""Characters of a script without blanks that are one word or name, at most."""
_HEADS = (
    "Times|Post|Tribune|Herald|Gazette|Globe|Chronicle|Telegraph|Observer|Examiner|Inquirer|Philharmonic|Symphony|"
    "Orchestra|Marathon|Yankees|Stock Exchange|Records|Instruments|Tech|Hilton|Analytica|Consulting"
)
_GOES_ON = re.compile(rf" (?:{_HEADS})\b")
"""What after a name makes another thing of it, and is never left out of its own name."""
_CURRENCIES = frozenset(_MONEY.split(" "))
_STERLING = re.compile(r"£|\b(?:sterling|GBP|quid)\b", re.IGNORECASE)
_POUND_WEIGHT = re.compile(r"\d\s?lbs?\b", re.IGNORECASE)
_MARKS_OF_NUMBERS = frozenset(("bc", "bce", "am", "pm", "dozen", "squared", "cubed", "percent"))
"""What after a number makes it another."""
_BOUND_KINDS = {
    **dict.fromkeys(("from", "since", "after"), "begins"), **dict.fromkeys(("by", "until", "till", "before"), "ends"),
    **{sign: sign for sign in ("about", ">", "<", ">=", "<=")},
}  # fmt: skip
_ITEMS = re.compile(r"[,;]\s+(?:and\s+)?|\s(?:and|und|et|y|e|&)\s")
_LAST = re.compile(r"\s(?:and|und|et|y|e|&)\s")
_LONGEST = 12
"""Tokens of a reference from which a word or the order of two things no longer decides."""


def contrary(mine: tuple[str, ...], theirs: tuple[str, ...], *, denied: bool = False) -> bool:
    """Does the answer say the contrary of a word of a short reference: ``after 1990`` for ``before 1990``?

    Args:
        mine: Tokens of the answer.
        theirs: Tokens of the reference.
        denied: One of the two denies: then one contrary makes them the same ("not open" for "closed").
    """
    # In a long reference one contrary word is a detail.
    if len(theirs) > _LONGEST:
        return False
    lacking, added = set(theirs) - set(mine), set(mine) - set(theirs)
    stems = {_stem(word) for word in added}
    if any(_EXCLUDED.get(_stem(word), _NONE) & stems for word in lacking):
        return True
    # "Every other day" is half of the days; neither word alone has a contrary.
    if (("every", "other") in pairwise(mine)) != (("every", "other") in pairwise(theirs)):
        return True
    turned = 0
    for word in lacking:
        contraries = _CONTRARY.get(_stem(word), _NONE) & stems
        # "None of them" for "all of them": the contrary is what denies.
        if denied and contraries & _DENYING:
            return True
        listed = bool(contraries)
        turned += listed or any(_opposed(word, other) for other in added)
    return turned != 1 if denied else turned > 0


def other_word(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Is one of two words another one: ``gross income`` for ``net income``? An ending or a spelling makes none."""
    if not len(mine) == len(theirs) == 2:
        return False
    unlike = [(one, two) for one, two in zip(mine, theirs, strict=True) if one != two]
    return (
        len(unlike) == 1
        # One beginning: an ending or a spelling, as ``colour`` and ``color``.
        and unlike[0][0][:4] != unlike[0][1][:4]
        and all(len(word) > 2 and word.isalpha() for word in unlike[0])
    )


def _opposed(word: str, contrary: str) -> bool:
    """Are two words the same but for what denies it: ``legal`` and ``illegal``, ``useful`` and ``useless``?"""
    short, long = sorted((word, contrary), key=len)
    if len(short) > _PREFIXED and long.endswith(short) and long.removesuffix(short) in _NEGATING:
        return True
    if long.endswith("less") and short.endswith("ful") and long[:-4] == short[:-3]:
        return True
    return _exchange(word, contrary) or _exchange(contrary, word)


def _exchange(word: str, contrary: str) -> bool:
    """Does another beginning make the contrary of the word: ``increase`` and ``decrease``?"""
    for beginning, other in _EXCHANGED:
        rest = word.removeprefix(beginning)
        # A rest of one or two letters is no word.
        if rest != word and len(rest) > 2 and contrary == other + rest:
            return True
    return False


def other_name(text: str, reference: str) -> bool:
    """Is the answer a short reference with one name in the place of another: ``Bank of Japan`` for ``Bank of England``?

    Names are words with a capital, and months. A word in another spelling (``Organization``) is none, and neither are
    initials (``US`` for ``American``) and, in a sentence, its first word.
    """
    mine = [token for token in scanned(text) if token.lower() not in ARTICLES]
    theirs = [token for token in scanned(reference) if token.lower() not in ARTICLES]
    # Token by token: in a text of another length nothing says which name took whose place.
    if not 2 <= len(theirs) <= _LONGEST or len(mine) != len(theirs):
        return False
    pairs = zip(mine, theirs, strict=True)
    places = [(at, name, other) for at, (name, other) in enumerate(pairs) if name.casefold() != other.casefold()]
    if len(places) != 1:
        return False
    at, name, other = places[0]
    # The first word of a sentence has a capital whatever it is.
    begins_sentence = not at and (len(theirs) > _FEW or not any(map(_is_name, theirs[1:])))
    if begins_sentence and not _is_initials(name) and name not in MONTHS:
        return False
    if _is_initials(name) != _is_initials(other) or name[:4].casefold() == other[:4].casefold():
        return False
    return _is_name(name) and _is_name(other)


def longer_name(text: str, reference: str) -> bool:
    """Does every place where the answer has a name say another one: ``South Georgia`` for ``Georgia``?

    Or the name without what makes it that of the thing: ``Virginia`` for ``West Virginia``, ``New York`` for ``New York
    Times``.
    """
    name = reference.strip()
    if not name[:1].isupper() or len(name) > _LONGEST_NAME:
        return False
    if name in text:
        return all(_is_part(text, found) for found in re.finditer(re.escape(name), text))
    bare = _GOES_ON.sub("", name)
    bare = bare[beyond.end() :] if (beyond := re.match(_COMPASS.pattern.removesuffix(r"\Z"), bare)) else bare
    return bool(bare) and bare != name and bare in text and not _renamed(text, name, bare)


def _is_part(text: str, name: re.Match[str]) -> bool:
    """Does a name that was found in a text belong to a longer one?"""
    # Room for the longest word of `_COMPASS`.
    before = text[max(0, name.start() - 12) : name.start()]
    return bool(_COMPASS.search(before) or _GOES_ON.match(text, name.end()))


def _renamed(text: str, name: str, bare: str) -> bool:
    """Does the text say what the name has beside `bare` too, elsewhere or without its capital?"""
    rest = set(name.casefold().replace(bare.casefold(), " ").split())
    return rest <= set(re.findall(r"\w+", text.casefold()))


def other_characters(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Is the answer another short word of a script without blanks: ``南京`` for ``北京``, ``饭后`` for ``饭前``?

    Of two characters one in common would be half of the word. A longer form of the same (``北京市``) is the same.
    """
    if not 1 < len(theirs) <= _UNSPACED_NAME or len(mine) > 2 * len(theirs):
        return False
    if not all(map(UNSPACED.fullmatch, (*mine, *theirs))):
        return False
    return not (find(theirs, mine) or find(mine, theirs))


def other_currency(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Have both a currency, and not the same: ``CHF 20`` and ``EUR 20``?"""
    my_currencies, their_currencies = (Counter(filter(_CURRENCIES.__contains__, said)) for said in (mine, theirs))
    # Without a number the currency itself may be what was asked for.
    return bool(my_currencies - their_currencies and their_currencies - my_currencies) and any(
        token[:1].isdigit() for token in theirs
    )


def money_or_weight(text: str, reference: str) -> bool:
    """Is a sum of pounds beside a weight in pounds: ``£5`` and ``5 lb``?"""
    texts = (text, reference)
    return any(_STERLING.search(one) and _POUND_WEIGHT.search(two) for one, two in (texts, texts[::-1]))


def other_number(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Has the answer another number in the place of one of a short reference: ``7 %`` for ``70 %``?

    What makes a number another counts with it: ``44`` for ``44 BC``.
    """
    if len(theirs) > _LONGEST:
        return False
    my_numbers, their_numbers = (Counter(filter(_is_number, tokens)) for tokens in (mine, theirs))
    if their_numbers - my_numbers and my_numbers - their_numbers:
        return True
    lacking = _MARKS_OF_NUMBERS - set(mine)
    return any(_is_number(number) and mark in lacking for number, mark in pairwise(theirs))


def other_bound(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Is a number of a short reference another bound in the answer: ``from 2030`` for ``by 2030``?"""
    if len(theirs) > _LONGEST:
        return False
    my_bounds = _bounds(mine)
    # A number that stands bare in the answer has no other bound.
    return any(my_bounds.get(value, bound) != bound for value, bound in _bounds(theirs).items())


def _is_number(token: str) -> bool:
    return any(map(str.isdigit, token))


def _bounds(tokens: tuple[str, ...]) -> dict[str, str]:
    """The numbers that a bound stands before, each with what kind of bound it is."""
    return {value: _BOUND_KINDS[word] for word, value in pairwise(tokens) if word in _BOUND_KINDS and _is_number(value)}


def half_listed(mine: tuple[str, ...], reference: str) -> bool:
    """Lacks an answer half or more of the things that a short reference lists: ``red`` for ``red and green``?"""
    items = [set(tokens(item)) for item in _ITEMS.split(reference)]
    if len(items) < 2 or not _LAST.search(reference) or not all(0 < len(item) <= _FEW for item in items):
        return False
    # One word of an item is enough: a surname stands for a name.
    words = set(mine)
    return 2 * sum(words.isdisjoint(item) for item in items) >= len(items)


def _is_name(token: str) -> bool:
    return token[:1].isupper() or token in MONTHS


def _is_initials(token: str) -> bool:
    return token.isupper() and 1 < len(token) <= _INITIALS


def exchanged(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Have two things of a short reference changed places: ``Mary loves John`` for ``John loves Mary``?

    What stands between them says that their order counts; a mere "and" does not.
    """
    # What both share at the ends has not moved: without it fewer pieces are tried.
    if len(mine) == len(theirs):
        mine, theirs = _unlike_middles(mine, theirs)
    size = len(theirs)
    if not 3 <= size <= _LONGEST or not set(theirs) <= set(mine):
        return False
    for first, last in combinations(range(1, size), 2):
        before, between, after = theirs[:first], theirs[first:last], theirs[last:]
        if before != after and not _JOINS.issuperset(between) and find((*after, *between, *before), mine):
            return True
    return False


def _unlike_middles(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two texts of as many tokens without those at the beginning and end that they share."""
    first = 0
    last = len(left)
    while first < last and left[first] == right[first]:
        first += 1
    while last > first and left[last - 1] == right[last - 1]:
        last -= 1
    return left[first:last], right[first:last]
