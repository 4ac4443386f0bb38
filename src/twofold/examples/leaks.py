"""Training examples that give the test away, and when two texts say the same. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from itertools import chain, pairwise, product

from twofold.errors import LeakFound
from twofold.examples.near_duplicates import NEAR, NearTexts, grams
from twofold.files.reading import excerpt
from twofold.hashing import canonical_json
from twofold.types import Example, Span

SAME_PLACE = 0.5
"""Two marked places that share this much of what either covers are the same place."""


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """Training examples that (nearly) stand in the test: ``(train id, test id)``, once per train id in each list."""

    exact: tuple[tuple[str, str], ...] = ()
    """The same question and conversation (`bare`)."""
    near: tuple[tuple[str, str], ...] = ()
    """Character 5-grams with a Jaccard similarity of at least .8, mark-up apart, or one question whole within the other
    ("Answer briefly: …"), or both wrapped; not the same, and an answer that is alike."""
    span: tuple[tuple[str, str], ...] = ()
    """Nearly the same marked place (`SAME_PLACE`), or the same answer from the same document."""
    history: tuple[tuple[str, str], ...] = ()
    """The test question was asked, and answered, earlier in the training example's dialogue or prompt, or in its
    answer (a list of questions and answers)."""

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All of them, the surest first."""
        return (*self.exact, *self.history, *self.span, *self.near)

    @property
    def counts(self) -> dict[str, int]:
        """Counts of leaks by kind."""
        kinds = {"exact": self.exact, "near": self.near, "span": self.span, "history": self.history}
        return {name: len(pairs) for name, pairs in kinds.items()}


def leaks(train: Sequence[Example], test: Sequence[Example], *, near: bool = True) -> Leaks:
    """Find training examples that give a test example away.

    The same question asked of different documents with different answers (``Summarise the meeting``) gives nothing
    away and is not reported. Near copies are those of `NearTexts` whose answers are `alike`: inputs filled in from a
    template are near copies by nature, and give nothing away where another answer is wanted.

    Args:
        train: What is learned from.
        test: What is kept for the test.
        near: Look for near copies too.
    """
    by_text: defaultdict[str, list[Example]] = defaultdict(list)
    for e in test:
        by_text[conversation(e)].append(e)
    exact = {}
    for e in train:
        match = next((t for t in by_text.get(conversation(e), ()) if _gives_away(e, t)), None)
        if match:
            exact[e.id] = match.id
    # The surest kind first: an example is looked at for the dearer kinds only where it is not the same outright.
    rest = [e for e in train if e.id not in exact]
    test_answers: dict[tuple[str, str], str] = {}
    places: defaultdict[str, list[tuple[Span, str]]] = defaultdict(list)
    for e in test:
        for mark in _source_answers(e):
            test_answers.setdefault(mark, e.id)
        for place in e.spans:
            places[place.document].append((place, e.id))
    span = {}
    for e in train:
        leaked = next((test_answers[mark] for mark in _source_answers(e) if mark in test_answers), None)
        near_places = (name for mine in e.spans for other, name in places[mine.document] if _same_place(mine, other))
        leaked = leaked or next(near_places, None)
        if leaked:
            span[e.id] = leaked
    history: dict[str, str] = {}
    for trained, other in histories(rest, test):
        history.setdefault(trained, other)
    wrapped, shown = _within(rest, test)
    return Leaks(
        exact=tuple(exact.items()),
        near=tuple({**wrapped, **_near(rest, test)}.items()) if near else (),
        span=tuple(span.items()),
        history=tuple({**shown, **history}.items()),
    )


def drop_leaks(train: Sequence[Example], leaks: Leaks) -> tuple[Example, ...]:
    """`train` without the examples that leak."""
    bad = {name for name, _ in leaks.pairs}  # the first of a pair is the example that is learned from
    return tuple(e for e in train if e.id not in bad)


def leak_error(first: tuple[str, str], leaks: Leaks, examples: Sequence[Example], *, where: str = "test") -> LeakFound:
    """The error for leaks that may not be: counts, and one pair as an instance."""
    by_id = {e.id: e for e in examples}
    train, test = by_id.get(first[0]), by_id.get(first[1])
    counts = f"{len(leaks.exact)} the same, {len(leaks.near)} nearly the same, {len(leaks.span)} from the same place"
    counts += f", {len(leaks.history)} with a test question in their dialogue" if leaks.history else ""
    shown = f": {excerpt(train.question)!r}" if train else ""
    return LeakFound(
        f"training examples stand in the {where} ({counts}), for example {first[0]!r} and {first[1]!r}{shown}",
        file=train.file or None if train else None,
        line=train.line or None if train else (test.line or None if test else None),
    )


# ---------------------------------------------------------------- the same text

_WIDTHS = ("<wide>", "<narrow>", "<noBreak>", "<compat>", "<initial>", "<medial>", "<final>", "<isolated>")
"""Ways of writing a character that say nothing else; a superscript or a fraction does."""
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_LIKE = str.maketrans({**dict.fromkeys("‐‑‒–—―−﹣－", "-"), "’": "'", "ʼ": "'", "‘": "'", "“": '"', "”": '"', "„": '"'})
_STOPS = ".!?…,;:。、،؛؟।॥"
_PAUSE = re.compile(
    rf"(?:(?:(?<=[^\s\d{_STOPS}])|(?<=[\s\d][{_STOPS}])|(?<=\A[{_STOPS}]))[{_STOPS}]+|(?<=\d)[.?…,;:。、،؛؟।॥]+)"
    r"(?=[\s\"'»›」』)\]]|$)"
)
"""A run of stops is looked at from its first two places only: so the time stays linear."""
_REMEMBERED = 2000
"""Characters up to which a text's bare form is cached; longer texts recur less and would take the memory."""
_QUOTES = frozenset("\"'`«»‹›「」『』《》〈〉¿¡。、،؛؟।॥…,")


def bare(text: str) -> str:
    r"""`text` for comparing: two texts are the same when what this makes of them is equal.

    Blanks, case, the way a character is encoded (NFC or NFD, full width), quotation marks, and what only ends or parts
    sentences make no difference. Digits, signs, operators, marks on letters, currency and brackets do: ``C``, ``C++``
    and ``C#`` differ, ``2 + 2`` and ``2 − 2``, ``3.14`` and ``314``, ``पिता`` and ``पोता``. So does case where it tells
    things apart: within a word (``mW``, ``MW``), in capitals of two or three letters (``US``, ``IT``), in a unit after
    its number (``5 Mg``) and in a command (``\D``). JSON is compared as the value that it is.
    """
    return _known_bare(text) if len(text) <= _REMEMBERED else _bare(text)


def _bare(text: str) -> str:
    text = _INVISIBLE.sub("", text)
    # Only what begins so can be JSON: the rest need not be parsed to see that.
    value = _value(text.strip()) if text.lstrip()[:1] in ("{", "[") else None
    return wording(text) if value is None else value


_known_bare = lru_cache(maxsize=1 << 14)(_bare)
"""A question is compared with test, dev and reserve and stands in the history of those that follow it; a label stands
in thousands of examples. The texts take 60 MB at most."""


def wording(text: str) -> str:
    """`bare`, but JSON is compared as the words that it is written in."""
    text = unified(text)
    end = len(text)
    while end and (text[end - 1].isspace() or text[end - 1] in _STOPS):
        end -= 1
    plain = _PAUSE.sub(" ", text[:end])
    odd = {quote for quote in "'\"" if plain.count(quote) % 2}
    closed = {"'": True, '"': True}
    counted = 0
    # Where all is in capitals they tell nothing.
    shouted = text == text.upper()
    tokens = []
    before = ""
    for match in _token().finditer(plain):
        token = match.group()
        if odd:
            at = match.start()
            for quote in odd:
                closed[quote] ^= plain.count(quote, counted, at) % 2 == 1
            counted = at
        if token not in _QUOTES or (token in odd and closed[token]):
            lower = token.lower()
            # Nearly every token is in lower case: then nothing needs to be looked at.
            if lower != token and before != "\\":
                # After a number case tells units apart, 5 mW and 5 MW.
                unit = len(token) <= 2 and not shouted and before[-1:].isdigit()
                tokens.append(token if unit else _folded(token, lower, shouted=shouted))
            else:
                tokens.append(token)
        before = token
    # A text of nothing but signs is compared as it stands.
    return " ".join(tokens) or " ".join(text.lower().split())


def unified(text: str) -> str:
    """`text` with every character encoded in one way: NFC, no full widths, no invisible ones, plain hyphens."""
    if not text.isascii():
        text = "".join(map(_width, _INVISIBLE.sub("", text)))
        text = unicodedata.normalize("NFC", text).translate(_LIKE)
    return text.strip()


@lru_cache(maxsize=8192)
def _width(character: str) -> str:
    other = not character.isascii() and unicodedata.decomposition(character).startswith(_WIDTHS)
    return unicodedata.normalize("NFKC", character) if other else character


def _value(text: str) -> str | None:
    try:
        return canonical_json(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None


def _folded(token: str, lower: str, *, shouted: bool) -> str:
    """Lower case, unless a capital stands after a small letter, or two or three do alone: a unit, a formula, a name."""
    within = any(a.islower() and b.isupper() for a, b in pairwise(token))
    short = 1 < len(token) <= 3 and token.isupper() and not shouted
    return token if within or short else lower


@lru_cache(maxsize=1)
def _token() -> re.Pattern[str]:
    """A number, a word with its marks (an apostrophe within it too), a quotation of digits, or one sign."""
    marks = []
    start = None
    for code in range(0x300, 0x20000):  # beyond are ideographs and the selectors of their variants
        mark = unicodedata.category(chr(code))[0] == "M"
        if mark and start is None:
            start = code
        elif not mark and start is not None:
            marks.append(f"{re.escape(chr(start))}-{re.escape(chr(code - 1))}")
            start = None
    letter = rf"[\w\u200c\u200d{''.join(marks)}]"
    number = r"\d+(?:[.,:]\d+)+"
    return re.compile(rf"(?<!\w){number}(?!\w)|['\"]\d+(?:[.,:]\d+)*['\"]|{letter}+(?:'{letter}+)*|[^\s\w]")


_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")


def alike(first: str, second: str) -> bool:
    """Do two answers, as `bare` makes them, say the same or nearly so, or one what the other says and more?

    Answers with different numbers do not; ``1,000`` is 1000.
    """
    first, second = (_THOUSANDS.sub(lambda number: number.group().replace(",", ""), text) for text in (first, second))
    if first == second:
        return True
    # Inputs filled in from a template differ in their numbers alone: these must be equal before words are compared.
    mine, theirs = (sorted(_NUMBER.findall(text)) for text in (first, second))
    if mine != theirs or not first or not second:
        return False
    if f" {first} " in f" {second} " or f" {second} " in f" {first} ":
        return True
    a, b = grams(first), grams(second)
    both = len(a & b)
    return both / (len(a) + len(b) - both) >= NEAR


def figures(text: str) -> list[str]:
    """The tokens of a text, as `bare` makes it, that are no words: numbers, what holds a digit, signs and operators."""
    return [token for token in text.split() if not token.isalpha() and (_DIGIT.search(token) or len(token) == 1)]


def answers_of(example: Example) -> tuple[str, ...]:
    """Its answers, each as `bare` makes it."""
    return tuple(dict.fromkeys(bare(r) for r in example.references))


def turns_of(example: Example) -> list[tuple[str, str]]:
    """Role and text of all turns but the system's, the text as `bare` makes it."""
    return [(m.role, bare(m.content)) for m in example.messages if m.role != "system"]


def conversation(example: Example) -> str:
    """All turns but the system's, as `bare` text."""
    return "\n".join(text for _, text in turns_of(example))


# ---------------------------------------------------------------- dialogues

_TELLING = 4
"""Words from which a question says what is asked without what was said before."""


def histories(later: Sequence[Example], earlier: Sequence[Example]) -> Iterator[tuple[str, str]]:
    """Pairs of ids: a question of `earlier` stands in the history of an example of `later`, as it was asked there.

    A turn of the same words is the same question where what was said before is the same, or where the reply is one of
    the example's answers; a question of some words also where the two do not ask of different documents.
    """
    by_question: defaultdict[str, list[Example]] = defaultdict(list)
    for example in earlier:
        by_question[bare(example.question)].append(example)
    for example in later:
        turns = turns_of(example)
        for number, (role, text) in enumerate(turns[:-1]):
            if role != "user" or text not in by_question:
                continue
            reply = turns[number + 1][1] if turns[number + 1][0] == "assistant" else ""
            for other in by_question[text]:
                if other.id != example.id and _continues(example, other, turns[: number + 1], reply=reply):
                    yield example.id, other.id


def _continues(later: Example, earlier: Example, history: list[tuple[str, str]], *, reply: str) -> bool:
    before = turns_of(earlier)
    if len(before) > 1 and before == history:
        return True
    # After another conversation the words may mean another thing: the reply, or enough words, must say the same.
    if reply and any(alike(reply, answer) for answer in answers_of(earlier)):
        return True
    apart = later.sources and earlier.sources and not set(later.sources) & set(earlier.sources)
    return len(history[-1][1].split()) >= _TELLING and not apart


# ---------------------------------------------------------------- the kinds


def _gives_away(train: Example, test: Example) -> bool:
    """False where the two ask different documents and want different answers."""
    if not train.sources or not test.sources or set(train.sources) & set(test.sources):
        return True
    return bool(set(answers_of(train)) & set(answers_of(test)))


def _source_answers(example: Example) -> list[tuple[str, str]]:
    """Pairs of a document and an answer that the example takes from it."""
    # A choice or an abstention is the same answer for many questions: it does not point to a place.
    if example.choices or not example.answerable:
        return []
    return list(product(example.sources, answers_of(example)))


def _same_place(place: Span, other: Span) -> bool:
    """Do two places of one document share `SAME_PLACE` or more of what either covers?"""
    shared = min(place.end, other.end) - max(place.start, other.start)
    return shared >= SAME_PLACE * (max(place.end, other.end) - min(place.start, other.start))


def agree(first: Example, second: Example) -> bool:
    """Is an answer of `first` `alike` to an answer of `second`, or has neither any?"""
    return _agree(answers_of(first), answers_of(second))


def _agree(mine: Sequence[str], theirs: Sequence[str]) -> bool:
    return any(alike(a, b) for a, b in product(mine, theirs)) or not (mine or theirs)


_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_EMPHASIS = re.compile(r"(?<![^\W_])[*_`]{1,3}|[*_`]{1,3}(?![^\W_])")


def _unmarked_conversation(example: Example) -> str:
    """`conversation` without tags, entities and emphasis: a page's copy of a question asks the same."""
    # Most examples have no mark-up, and keep the text that is worked out already.
    if not any(mark in m.content for m in example.messages for mark in "<&*_`"):
        return conversation(example)
    spoken = (m.content for m in example.messages if m.role != "system")
    return "\n".join(bare(_EMPHASIS.sub("", _TAG.sub(" ", unescape(text)))) for text in spoken)


def _near(train: Sequence[Example], test: Sequence[Example]) -> dict[str, str]:
    """Train id → the first test id at similarity `NEAR` or more that wants an answer alike."""
    texts = NearTexts([_unmarked_conversation(e) for e in (*test, *train)])
    for number in range(len(test)):
        texts.add(number)
    answers = [answers_of(e) for e in (*test, *train)]
    near_pairs: dict[str, str] = {}
    for number, example in enumerate(train, len(test)):
        match = next((test[o].id for o in texts.near(number) if _agree(answers[number], answers[o])), None)
        if match is not None:
            near_pairs[example.id] = match
    return near_pairs


# ---------------------------------------------------------------- one question within another prompt

_SHINGLE = 4
"""Words of a question from which it can be found within another text; shorter ones stand there by chance."""
_SOON = 12
"""Words after a question within which an answer to it begins."""
_MANY = 100
"""Test questions of one wording beyond which only equal answers are looked for."""
_OFTEN = 3
"""Questions from which a sentence that all of them have is taken for a wrapper."""
_PART = re.compile(r"\n+|(?<=[.!?。！？])[ \t]+|(?<=[:：])[ \t]+")


def _within(train: Sequence[Example], test: Sequence[Example]) -> tuple[dict[str, str], dict[str, str]]:
    """Train id → the first test id of which one question stands within the other's prompt: ``(wrapped, shown)``.

    Wrapped are questions of one answer of which the one holds the other, or both hold a third one, or both are the
    same without the sentences that wrap many others (`_cores`). Shown is a test question that stands anywhere in a
    training prompt, as in an instance given there, or in a training answer, with its own answer soon after it.
    """
    # Test questions come first: a number below `tested` is one of the test's.
    everyone = (*test, *train)
    tested = len(test)
    cores = _cores(everyone)
    questions = [wording(e.question) for e in everyone]
    answers = [answers_of(e) for e in everyone]
    talks = [len(turns_of(e)) > 1 for e in everyone]
    trained = zip(cores[tested:], answers[tested:], strict=True)
    first = {core: texts[0] for core, texts in trained if texts}
    # Few answers for many questions are labels: a question within another is then two ways of asking.
    labels = 2 * len(set(first.values())) <= len(first)
    # Each question is looked up by its rarest run of words only, so that the time stays linear.
    often = Counter(chain.from_iterable(map(_shingles, questions)))
    rarest: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, question in enumerate(questions):
        if shingles := _shingles(question):
            rarest[min(shingles, key=often.__getitem__)].append(number)
    holding: defaultdict[str, dict[int, None]] = defaultdict(dict)
    shown: dict[str, str] = {}
    known: dict[str, str] = {}
    for outer, e in enumerate(everyone):
        for m in e.messages[:-1]:
            if m.content not in known:
                known[m.content] = wording(m.content)
        padded = f" {' '.join([*(known[m.content] for m in e.messages[:-1]), questions[outer]])} "
        candidates = chain.from_iterable(rarest.get(shingle, ()) for shingle in _shingles(padded))
        for inner in dict.fromkeys(candidates):
            other = everyone[inner]
            at = padded.find(f" {questions[inner]} ")
            alone = questions[inner] == questions[outer] and not (talks[inner] or talks[outer])
            # Two test questions: nothing is learned from either.
            if at < 0 or inner == outer or alone or max(inner, outer) < tested:
                continue
            if not labels and not e.choices and not other.choices and _answers_too(answers[outer], answers[inner]):
                holding[questions[inner]] |= {outer: None, inner: None}
            if inner < tested and _answered(padded[at + len(questions[inner]) + 1 :], answers[inner]):
                shown.setdefault(e.id, other.id)
        for reference in answers[outer] if outer >= tested else ():
            padded = f" {reference} "
            for inner in dict.fromkeys(number for shingle in _shingles(padded) for number in rarest.get(shingle, ())):
                at = padded.find(f" {questions[inner]} ") if inner < tested else -1
                if at >= 0 and _answered(padded[at + len(questions[inner]) + 1 :], answers[inner]):
                    shown.setdefault(e.id, everyone[inner].id)
    bared = {core for core, question in zip(cores, questions, strict=True) if core != question}
    for number, e in enumerate(everyone):
        if cores[number] in bared and len(cores[number].split()) >= _SHINGLE:
            before = "\n".join(text for _, text in turns_of(e)[:-1])
            holding[f"{before}\n{cores[number]}"][number] = None
    wrapped: dict[str, str] = {}
    for members in holding.values():
        inside = [number for number in members if number < tested]
        same: dict[str, int] = {}
        for number in reversed(inside):  # from the last, so that the first question with an answer is named
            same.update(dict.fromkeys(answers[number], number))
        for number in (number for number in members if number >= tested):
            match = next((same[answer] for answer in answers[number] if answer in same), None)
            # Pair by pair only where there are few: with thousands of one wording this would take quadratic time.
            if match is None and len(inside) <= _MANY:
                match = next((other for other in inside if _answers_too(answers[number], answers[other])), None)
            if match is not None:
                wrapped.setdefault(everyone[number].id, everyone[match].id)
    return wrapped, shown


def _answers_too(mine: Sequence[str], theirs: Sequence[str]) -> bool:
    """Do answers agree, or does one stand word by word within one of the others?"""
    if _agree(mine, theirs):
        return True
    return any(f" {a} " in f" {b} " or f" {b} " in f" {a} " for a, b in product(mine, theirs) if a and b)


def _answered(after: str, answers: Sequence[str]) -> bool:
    """Does a text that follows a question go on with one of its answers?"""
    begins = len(" ".join(after.split(" ", _SOON + 1)[: _SOON + 1]))
    return any(0 <= f"{after} ".find(f" {answer} ") <= begins for answer in answers if answer)


def _cores(examples: Sequence[Example]) -> list[str]:
    """Each question without the sentences and lines around it that wrap many other questions as well."""
    questions: list[tuple[str, ...]] = []
    for e in examples:
        words = map(wording, _PART.split(e.question))
        questions.append(tuple(part for part in words if part))
    # Repeats of one question count once: they would make its own words look like a wrapper.
    often = Counter(chain.from_iterable(map(set, set(questions))))
    cut: list[tuple[str, tuple[tuple[str, ...], tuple[str, ...]]]] = []
    for parts in questions:
        least = min((often[part] for part in parts), default=0)
        rare = [at for at, part in enumerate(parts) if often[part] < max(_OFTEN, 2 * least + 1)]
        start, end = (rare[0], rare[-1] + 1) if rare else (0, len(parts))
        cut.append((" ".join(parts[start:end]), (parts[:start], parts[end:])))
    wraps: defaultdict[tuple[tuple[str, ...], tuple[str, ...]], set[str]] = defaultdict(set)
    for core, around in cut:
        wraps[around].add(core)
    cores: list[str] = []
    for parts, (core, around) in zip(questions, cut, strict=True):
        # The same words around many cores are a form; around few they are part of the question.
        cores.append(core if len(wraps[around]) >= _OFTEN else " ".join(parts))
    return cores


def _shingles(text: str) -> dict[tuple[str, ...], None]:
    """The runs of `_SHINGLE` words, each once, in order."""
    tokens = text.split()
    return dict.fromkeys(zip(*(tokens[at:] for at in range(_SHINGLE)), strict=False))
