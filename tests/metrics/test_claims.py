"""Right answers written as lists, tables or code, or with headings, are not doubted for their form; wrong ones are."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.metrics import detector
from twofold.metrics.claims import claims
from twofold.metrics.support import sentences

BAKING = (
    "To bake the bread, preheat the oven to 220 degrees. Mix flour and water with yeast. Knead the dough for ten "
    "minutes and let it rest in a warm place. Then bake the loaf until it is brown."
)
CLONING = "Run the command `git clone URL` to copy a repository. Then enter the folder with cd."
STEPS = ["Preheat the oven to 220 degrees.", "Mix flour and water with yeast.", "Bake the loaf until it is brown."]
FORMS = {
    "numbers": "\n".join(f"{number}. {step}" for number, step in enumerate(STEPS, 1)),
    "numbers in a line": "Bake the bread so: " + " ".join(f"{number}. {step}" for number, step in enumerate(STEPS, 1)),
    "numbers in Chinese": "\n".join(f"{number}、{step}" for number, step in enumerate(STEPS, 1)),
    "items of items": f"1. {STEPS[1]}\n   1. Knead the dough.\n   2. Let it rest.\n2. {STEPS[0]}\n3. {STEPS[2]}",
    "brackets": "\n".join(f"({number}) {step}" for number, step in enumerate(STEPS, 1)),
    "letters": "\n".join(f"{letter}) {step}" for letter, step in zip("abc", STEPS, strict=True)),
    "Roman": "\n".join(f"{number}. {step}" for number, step in zip(("I", "II", "III"), STEPS, strict=True)),
    "a heading": "## Steps\n\n" + "\n".join(f"- {step}" for step in STEPS),
    "a lead-in": "Here are the steps:\n\n" + "\n".join(f"* {step}" for step in STEPS),
    "bold lead-in": "**Here are the steps:**\n" + "\n".join(f"* {step}" for step in STEPS),
    "a table": "| Step | Value |\n|---|:--|\n| oven | 220 degrees |\n| knead | ten minutes |",
}


def doubt(text: str, passage: str = BAKING, question: str = "How is the bread baked?") -> float:
    judgement = detector.shipped().judge(text, question, [passage])
    assert judgement is not None
    return judgement.unsupported


@pytest.mark.parametrize("form", FORMS)
def test_a_right_answer_is_not_doubted_for_its_form(form: str) -> None:
    assert doubt(FORMS[form]) < detector.shipped().threshold


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_number_in_such_a_form_is_found(form: str) -> None:
    wrong = FORMS[form].replace("220", "180")
    assert doubt(wrong) >= detector.shipped().threshold


@pytest.mark.parametrize("bold", ["**", "__"])
def test_a_sentence_in_bold_type_is_no_heading(bold: str) -> None:
    text = f"{bold}Preheat the oven to 220 degrees.{bold}\n\nMix flour and water with yeast."
    assert doubt(text) < detector.shipped().threshold
    assert doubt(text.replace("220", "180")) >= detector.shipped().threshold


def test_a_fence_of_code_is_no_sentence() -> None:
    text = "Run `git clone URL`:\n\n```bash\ngit clone URL\n```\n\nThen enter the folder with `cd`."
    assert doubt(text, CLONING, "How is a repository copied?") < detector.shipped().threshold


def test_a_politeness_makes_no_long_answer_wrong() -> None:
    assert doubt(" ".join([BAKING, "I hope this helps!"])) < detector.shipped().threshold
    assert doubt(" ".join([BAKING, "It won 7 prizes."])) >= detector.shipped().threshold


@pytest.mark.parametrize(
    "text",
    [
        "5. That is the number.",
        "It was built in 1987. 45 litres run.",
        "Answer: 5. It moves.",
        "3. May\n5. May",
        "1、2号",
    ],
)
def test_a_number_that_counts_no_items_is_what_the_answer_says(text: str) -> None:
    assert claims(text, sentences) == sentences(text)


def test_a_long_line_of_dashes_is_read_in_time() -> None:
    begun = time.process_time()
    assert len(claims("-" * 40_000 + "x", sentences)) == 1
    # Tried from every dash on, it takes 5 s.
    assert time.process_time() - begun < 1


def test_an_answer_of_a_heading_alone_is_judged() -> None:
    assert claims("# Vienna", sentences) == ["# Vienna"]


@given(st.text(alphabet="ab 1.2)#*|-:`\n", max_size=80))
def test_nothing_is_added_and_no_answer_is_left_empty(text: str) -> None:
    parts = claims(text, sentences)
    assert bool(parts) == bool(sentences(text))
    assert all(part in text for part in parts)
