"""Questions made without a model: sentences without markup, numbers left whole, an answer that is one phrase."""

from __future__ import annotations

import random

import pytest

from twofold.curation.templates import by_template, fault_of
from twofold.examples.cloze import cloze, sentences_of
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
