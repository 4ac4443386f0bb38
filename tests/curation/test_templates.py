"""Questions made without a model: sentences without markup, numbers left whole, an answer that is one phrase."""

from __future__ import annotations

import random

import pytest

from twofold.curation.templates import by_template, fault_of, worth_asking
from twofold.examples.cloze import BLANK, cloze, english, sentences_of
from twofold.types import Chunk, Span

PAGE = """# Repairs

> Ovens are cleaned by the **night shift** every [Monday](plan.md).

| Part | Price |
|---|---|
| Door seal, left side of the oven | 48 euros |

- Call the workshop before 14:45 on the day of the fault in the oven.
* The workshop keeps 1,250 spare seals for ovens in the basement
2) A seal ordered on 2026-05-01 is delivered within 3.5 days to the bakery.

```python
print("nobody asks about this line of code, it is no sentence")
```
The head of the workshop is Ana Petrov, who has
worked there since 2011."""


def test_sentences_have_no_markup_and_cross_no_paragraph() -> None:
    assert sentences_of(PAGE) == [
        "Ovens are cleaned by the night shift every Monday.",
        "Call the workshop before 14:45 on the day of the fault in the oven.",
        "The workshop keeps 1,250 spare seals for ovens in the basement",
        "A seal ordered on 2026-05-01 is delivered within 3.5 days to the bakery.",
        "The head of the workshop is Ana Petrov, who has worked there since 2011.",
    ]


def test_a_table_has_no_sentences_but_those_of_its_cells() -> None:
    sheet = "## phones\nDepartment | Person | Extension\nIT desk | Milo Varga | 441\nPayroll | Hanne Okafor | 212"
    assert sentences_of(f"{sheet}\n\nCalls are free on Sunday.") == ["Calls are free on Sunday."]
    assert sentences_of("IT desk\tMilo Varga\t441") == []
    row = "berth: North quay 2\nprice (euros): 742.50\nremark: The crane lifts at most nine tonnes here."
    assert sentences_of(row) == ["North quay 2", "742.50", "The crane lifts at most nine tonnes here."]
    assert sentences_of("Remember the rule:\nnote: it holds on Sundays too.") == [
        "Remember the rule: note: it holds on Sundays too."
    ]


@pytest.mark.parametrize("seed", range(60))
def test_a_question_is_a_whole_sentence_and_splits_no_number(seed: int) -> None:
    made = cloze(PAGE, random.Random(seed))
    assert made is not None
    asked, answer = made
    whole = asked.rstrip("?").replace("what", answer, 1).casefold()
    assert any(whole == sentence.rstrip(".").casefold() for sentence in sentences_of(PAGE))
    for number in ("14:45", "1,250", "2026-05-01", "3.5"):
        assert (number in asked) + (number in answer) == (number in whole)


@pytest.mark.parametrize("seed", range(30))
def test_an_answer_is_one_phrase(seed: int) -> None:
    chunk = Chunk(id=f"c:{seed}", span=Span(document="d", start=0, end=len(PAGE)), text=PAGE)
    drawn = by_template(chunk, seed=seed)
    assert drawn is not None
    assert not fault_of(drawn, chunk, most_words=6)
    assert not {"before", "by", "in", "of", "on", "since", "within"} & set(drawn.answer.split())


GERMAN = (
    "Die Stadtbücherei ist dienstags bis freitags von zehn bis achtzehn Uhr geöffnet. Ein Ausweis kostet "
    "für Erwachsene 20 Euro im Jahr, Kinder zahlen nichts. Bücher dürfen vier Wochen behalten "
    "werden, Filme nur sieben Tage."
)
SPANISH = (
    "La biblioteca municipal abre de martes a viernes entre las diez y las dieciocho horas. El carné cuesta a los "
    "adultos 20 euros al año y los niños no pagan nada. Los libros se prestan cuatro semanas y las películas "
    "siete días."
)


@pytest.mark.parametrize("text", [GERMAN, SPANISH], ids=["German", "Spanish"])
@pytest.mark.parametrize("seed", range(10))
def test_a_sentence_of_another_language_has_a_gap_and_no_english_word(text: str, seed: int) -> None:
    made = cloze(text, random.Random(seed))
    assert made is not None
    asked, answer = made
    assert "what" not in asked.split()
    whole = asked.rstrip("?").replace(BLANK, answer, 1)
    assert any(whole == sentence.rstrip(".") for sentence in sentences_of(text))


def test_english_is_told_from_other_languages_by_its_commonest_words() -> None:
    assert english("The oven is cleaned by the night shift, and the head of it signs the list on the door.")
    assert not english(GERMAN)
    assert not english(SPANISH)


def test_a_passage_without_blanks_between_words_is_worth_asking() -> None:
    text = (
        "图书馆每周二至周五上午十点至下午六点开放。"
        "成人借书证每年收费二十元，儿童免费。图书可以借四个星期，影片只能借七天。"
    )
    short = "图书馆每周二开放。"
    texts = {"a": text, "b": short}
    chunks = [Chunk(id=name, span=Span(document=name, start=0, end=9), text=t) for name, t in texts.items()]
    assert [chunk.id for chunk in worth_asking(chunks, seed=0)] == ["a"]
