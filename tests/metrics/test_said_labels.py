"""Which label a sentence chooses, which JSON is the answer, and what an answer in other words declines."""

from __future__ import annotations

import pytest

from twofold.metrics.agreement import field_f1
from twofold.metrics.formal import found_json
from twofold.metrics.labels import predicted
from twofold.plugins import loading
from twofold.text.declining import declines
from twofold.text.wrapping import Unwrapped, answer_text
from twofold.types import Answer, Example, Message

LETTERS, MOODS = "ABCD", ("positive", "negative")
SENTENCE = "The passages do not say."
ASKED = (Message(role="user", content="Which?"),)


def _chosen(text: str, choices: str | tuple[str, ...]) -> str:
    found = predicted(
        Example(id="e", messages=ASKED, references=(choices[0],), choices=tuple(choices)), Answer(text=text)
    )
    return next((choice for choice in choices if found == predicted_form(choice)), "")


def predicted_form(choice: str) -> str:
    return predicted(Example(id="e", messages=ASKED, references=(choice,)), Answer(text=choice))


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("Anything but B", LETTERS),
        ("neither A nor B", LETTERS),
        ("B would be wrong", LETTERS),
        ("hardly positive", MOODS),
        ("It is far from positive", MOODS),
        ("It is barely positive", MOODS),
        ("not at all positive", MOODS),
        ("no longer positive", MOODS),
        ("anything but a positive review", MOODS),
        ("4 or 5", tuple("12345")),
        ("I wouldn't choose B", LETTERS),
        ("I don't think it is B", LETTERS),
        ("I doubt it is B", LETTERS),
        ("B? No.", LETTERS),
        ("A. Paris B. Rome", LETTERS),
        ("the opposite of positive", MOODS),
        ("nowhere near positive", MOODS),
        ("I can't call it positive", MOODS),
        ("positive? not at all", MOODS),
        ("8/10", tuple("12345")),
        ("between >50K and <=50K", (">50K", "<=50K")),
    ],
)
def test_what_is_denied_is_not_chosen(text: str, choices: str | tuple[str, ...]) -> None:
    assert _chosen(text, choices) == ""


@pytest.mark.parametrize(
    ("text", "choices", "wanted"),
    [
        ("A? No, C", LETTERS, "C"),
        ("D rather than B", LETTERS, "D"),
        ("It can't be A; it is B.", LETTERS, "B"),
        ("It is anything but clear, so B", LETTERS, "B"),
        ("A can be ruled out, so C", LETTERS, "C"),
        ("No problem, yes", ("yes", "no"), "yes"),
        ("There is no doubt: yes", ("yes", "no"), "yes"),
        ("No", ("yes", "no"), "no"),
        ("No, it is negative", MOODS, "negative"),
        ("not positive, negative", MOODS, "negative"),
        ("positive? No, negative", MOODS, "negative"),
        ("It isn't spam", ("spam", "not spam"), "not spam"),
        ("It is spam", ("spam", "not spam"), "spam"),
        ("4/5", tuple("12345"), "4"),
        ("I give it 4 out of 5", tuple("12345"), "4"),
        ("Mark: 4 (out of 5)", tuple("12345"), "4"),
        ("I first thought B, but it is C.", tuple("ABCD"), "C"),
        ("more than 50K", (">50K", "<=50K"), ">50K"),
        ("It is at most 50K.", (">50K", "<=50K"), "<=50K"),
        ("not over 50K", (">50K", "<=50K"), "<=50K"),
        ("$50K or less", (">50K", "<=50K"), "<=50K"),
        ("It exceeds 50,000", (">50K", "<=50K"), ">50K"),
        ("B and C are wrong, so A", LETTERS, "A"),
        ("B) because A is too small", LETTERS, "B"),
        ("B is wrong since A is right", LETTERS, "A"),
        ("rather than B, D", LETTERS, "D"),
        ("neither positive nor negative: neutral", (*MOODS, "neutral"), "neutral"),
        ("not positive or negative but neutral", (*MOODS, "neutral"), "neutral"),
        ("not only positive but glowing", MOODS, "positive"),
        ("not a spam message", ("spam", "not spam"), "not spam"),
        ("That's not really spam", ("spam", "not spam"), "not spam"),
        ("No wonder: yes", ("yes", "no"), "yes"),
        ("I would take c)", LETTERS, "C"),
        ("(d) fits best", LETTERS, "D"),
        ("答えはAです", LETTERS, "A"),
        ("정답은 C입니다", LETTERS, "C"),
    ],
)
def test_what_a_sentence_chooses(text: str, choices: str | tuple[str, ...], wanted: str) -> None:
    assert _chosen(text, choices) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "I was unable to locate this in the text.",
        "insufficient information",
        "Insufficient information in the passages.",
        "Unanswerable",
        "This question is unanswerable.",
        "No answer can be given.",
        "No answer can be given from the documents.",
        "No answer found.",
        "There is nothing about that in the documents",
        "Nothing is said about it in the text.",
        "I cannot answer this: the passages do not say.",
        "The documents do not say, it is not mentioned.",
        "N/A",
        "No answer",
        "No information available.",
        "Not mentioned.",
        "It cannot be determined.",
        "I couldn't find that.",
        "I don't see anything about this in the documents.",
        "The text says nothing about that.",
        "The passages do not say, so I cannot answer.",
        "The passages do not mention this; they are about wells.",
        "Nicht beantwortbar",
        "Keine Angaben",
        "Dazu sagen die Dokumente nichts.",
        "Sans réponse",
        "Je n'ai pas trouvé cela dans le texte.",
        "No hay información suficiente.",
        "Informazioni insufficienti",
        "Sem resposta",
        "Onvoldoende informatie",
        "Недостаточно информации",
        "لا توجد معلومات كافية",
        "信息不足",
        "回答できません",
        "정보가 부족합니다",
        "I am unable to find this in the given documents.",
        "We could not locate it in the text.",
        "That isn't mentioned in our manual.",
    ],
)
def test_it_declines(text: str) -> None:
    assert declines(text, SENTENCE)


@pytest.mark.parametrize(
    "text",
    [
        "The documents do not say Paris, they say Rome.",
        "The passages do not mention a fee: it is free.",
        "The documents do not state a price – entry costs nothing.",
        "No answer key is needed.",
        "Water damage is not covered by the policy.",
        "I could not find it in the attic.",
        "The text does not say Monday. It says Tuesday.",
        "The text does not mention a limit, so there is none.",
        "Das Dokument nennt nicht Paris, sondern Rom.",
        "Le texte ne dit pas Paris, il dit Rome.",
        "El texto no dice París, sino Roma.",
        "Unanswerable questions are 12 % of the set.",
        "N/A is written where a field is empty",
        "Not found is status 404",
        "No information is collected.",
        "I cannot find a fault in the text: it is right.",
    ],
)
def test_it_answers(text: str) -> None:
    assert not declines(text, SENTENCE)


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("Oslo <think>why</think>", "Oslo"),
        ("Oslo\n<think>why", "Oslo"),
        ("so\n</think>\n\nOslo", "Oslo"),
        ("<thinking>x</thinking> Oslo", "Oslo"),
        ("<answer>Oslo</answer>", "Oslo"),
        ("It is <answer>Oslo</answer>.", "Oslo"),
        ("<think>x", ""),
        ("Use the </think> tag to close it.", "Use the </think> tag to close it."),
        ("`<think>` opens it", "`<think>` opens it"),
        ("Sure. <think>hm</think>Oslo", "Sure. Oslo"),
        ("<think>a</think>Oslo<think>b</think>", "Oslo"),
        ("<scratchpad>x</scratchpad>\nOslo", "Oslo"),
        ("Oslo</answer>", "Oslo"),
        ("<final>Oslo</final>", "Oslo"),
        ("```xml\n<think>y</think>\n```", "```xml\n<think>y</think>\n```"),
        ("The model writes </think> when it is done.", "The model writes </think> when it is done."),
        ("Write <answer> and </answer> around it", "Write <answer> and </answer> around it"),
    ],
)
def test_what_is_the_answer_of_a_completion(completion: str, answer: str) -> None:
    assert answer_text(completion) == answer


def test_arrays_of_numbers_have_an_order_and_others_have_none() -> None:
    assert field_f1([1, 2], [2, 1]) == 0.5
    assert field_f1([1, 2.0], [1.0, 2]) == 1
    assert field_f1({"at": [1, 2, 3]}, {"at": [2, 3]}) == 0.8
    assert field_f1([[1, 2], [3, 4]], [[3, 4], [1, 2]]) == 1
    assert field_f1(["a", "b"], ["b", "a"]) == 1


def test_the_json_that_is_announced_is_the_answer() -> None:
    assert found_json('Schema: {"a": "text"}\nResult: {"a": "x"}') == {"a": "x"}
    assert found_json('As in {"a": 1}. The answer is {"a": 2}.') == {"a": 2}
    assert found_json('{"a": 1} or {"a": 2}') is None
    assert found_json('Given the schema {"a": "text"}:\n{"a": "x"}') == {"a": "x"}
    assert found_json('```json\n{"a": "text"}\n```\nAnswer:\n```json\n{"a": 1}\n```') == {"a": 1}
    assert found_json('{"type": "object", "properties": {}}\n{"a": "x"}') == {"a": "x"}


def test_a_stream_that_began_otherwise_shows_the_answer_at_its_end() -> None:
    coming = Unwrapped(answer_text)
    shown = [coming.passed(piece) for piece in ("It is ", "<ans", "wer>Oslo", "</answer>")]
    assert "".join((*shown, coming.rest())) == "It is\nOslo"


@pytest.mark.parametrize(
    ("text", "choices", "wanted"),
    [
        ("Not A, B or D. C.", LETTERS, "C"),
        ("It must be C, as A, B and D are impossible.", LETTERS, "C"),
        ("A and D cannot be right, so C.", LETTERS, "C"),
        ("nontoxic", ("toxic", "non-toxic"), "non-toxic"),
        ("accountaccess", ("account access", "billing"), "account access"),
        ("30–40", ("20-30", "30-40"), "30-40"),
        ("type 2", ("Type I", "Type II"), "Type II"),
    ],
)
def test_what_is_ruled_out_or_written_otherwise(text: str, choices: str | tuple[str, ...], wanted: str) -> None:
    assert _chosen(text, choices) == wanted


@pytest.mark.parametrize(
    ("text", "choices", "other"),
    [
        ("The answer is C++", ("C", "C++", "C#"), "C"),
        ("A, B and C are right.", LETTERS, "C"),
        ("Not C, A or B.", LETTERS, "C"),
    ],
)
def test_what_is_not_chosen(text: str, choices: str | tuple[str, ...], other: str) -> None:
    assert _chosen(text, choices) != other


def test_a_label_that_reads_like_an_abstention_is_a_label() -> None:
    made = loading.make("metrics", "accuracy", {"labels": ["stated", "not stated"]})
    example = Example(id="e", messages=ASKED, references=("not stated",))
    assert made.score(example, Answer(text=SENTENCE, raw="Not stated.", abstained=True)) == 1
    assert made.score(example, Answer(text=SENTENCE, raw=SENTENCE, abstained=True)) == 0


def test_keys_of_json_are_compared_in_one_form_of_unicode() -> None:
    made = loading.make("metrics", "field_f1", {})
    example = Example(id="e", messages=ASKED, references=('{"größe": 1, "n": 2}',))
    assert made.score(example, Answer(text='{"gro\u0308ße": 1, "n": 2}')) == 1
