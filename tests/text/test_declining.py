"""An abstention in other words and languages, and reasoning in other marks, are read as what they are."""

from __future__ import annotations

import pytest

from twofold.text.declining import declines
from twofold.text.wrapping import answer_text

SENTENCE = "The documents do not say."


@pytest.mark.parametrize(
    "text",
    [
        "I have no idea.",
        "No details on this are available in the handbook, sorry.",
        "No data on ship 4 were found.",
        "No mention of the price was found in the text.",
        "Nothing about that is stated in the documents.",
        "The information is unavailable.",
        "It doesn't say.",
        "Neither document mentions it.",
        "As an AI, I cannot find this in the passages.",
        "I'm unable to find any details in the given context.",
        "Unfortunately, the given text doesn't mention this.",
        "I couldn't find anything about parking fees in the manual.",
        "The passage gives no indication of when it was built.",
        "We do not have access to that information.",
        "That isn't stated anywhere.",
        "The excerpts are about other topics and do not answer it.",
        "From the documents, it is impossible to tell.",
        "Unclear from the passages.",
        "It is not clear from the text which year is meant.",
        "The context is insufficient to answer.",
        "n.a.",
        "Our handbook makes no mention of it.",
        "I haven't found any details on this.",
        "The guide gives no price.",
        "No mention of that.",
        "Nothing is written about it.",
        "The documents never mention her name.",
        "The text does not, in fact, say so.",
        "Aucune information sur ce point.",
        "Brak informacji na ten temat.",
        "Nevím.",
        "У документі про це не сказано.",
        "Dokumenterna säger inget om det.",
        "Det står ikke i teksten.",
        "En tiedä.",
        "Metinde bu konuda bilgi yok.",
        "Tidak disebutkan dalam dokumen.",
        "Tôi không biết.",
        "पाठ में इसका उल्लेख नहीं है।",
    ],
)
def test_it_declines(text: str) -> None:
    assert declines(text, SENTENCE)


@pytest.mark.parametrize(
    "text",
    [
        "The documents do not say Bergen; they say Oslo.",
        "I have no idea box at home.",
        "It doesn't say Oslo but Bergen.",
        "Tidak, dia tinggal di Oslo.",
        "Det står tre hus her.",
        "पाठ में तीन नाम हैं।",
        "Nothing about it is free.",
        "The text says nothing changed.",
        "Unknown",
        "Unknown Soldier",
        "It is unclear water that kills the fish.",
        "We found nothing about the house but dust.",
        "The report gives no names to the wounded.",
        "The document is insufficient proof of age.",
    ],
)
def test_it_answers(text: str) -> None:
    assert not declines(text, SENTENCE)


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("<|begin_of_thought|>hm<|end_of_thought|><|begin_of_solution|>Oslo<|end_of_solution|>", "Oslo"),
        ("<think >hm</think >Oslo", "Oslo"),
        ("<|think|>hm<|/think|>Oslo", "Oslo"),
        ("<inner_monologue>hm</inner_monologue>Oslo", "Oslo"),
        ("<unused94>thought\nhm<unused95>Oslo", "Oslo"),
        ("<think>hm</think>Oslo<|im_end|>", "Oslo"),
        ("Oslo</s>", "Oslo"),
        ("Oslo<|eot_id|>\n<|eot_id|>", "Oslo"),
        ("<s>Oslo</s>", "<s>Oslo</s>"),
        ("<unused94>hm", ""),
        ("Oslo<|return|>", "Oslo"),
        ("Oslo<|end_of_turn|>", "Oslo"),
        ("Oslo<｜end▁of▁sentence｜>", "Oslo"),
        ("<scratch_pad>Rome?</scratch_pad>Oslo", "Oslo"),
        ("<deep_think>Rome?</deep_think>\nOslo", "Oslo"),
    ],
)
def test_what_is_the_answer_of_a_completion(completion: str, answer: str) -> None:
    assert answer_text(completion) == answer
