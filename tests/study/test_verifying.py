"""The certificate of a real small study: what verifies, and every change that must be noticed."""

from __future__ import annotations

import copy
import gzip
import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import pytest

from twofold.errors import StudyError
from twofold.metrics.overlap import ExactMatch
from twofold.plugins import loading
from twofold.reports import archive
from twofold.study.verifying import Verification, read_certificate, verify
from twofold.testing.projects import make_project
from twofold.verdict.certificate import seal_of

Change = Callable[[Any], None]
FILES = ("verdict.json", "study.json", "answers.jsonl.gz")


class Judge(ExactMatch):
    """Stands for a metric that a model works out."""

    replayed: ClassVar[bool] = False


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study with failed answers, limits on seconds and citations, and a metric of each kind."""
    settings = {
        "study": {
            "arms": ["base", "rag"],
            "metrics": ["exact_match", "citation_precision", "abstention_f1", "judge"],
            "must_cite": True,
            "max_latency_p95": 5.0,
            "latency_sample": 2,
            "resamples": 200,
        },
        "generation": {"generator": {"name": "echo", "options": {"mode": "quote", "fail_every": 9}}},
        "retrieval": {"index": {"name": "memory"}},
    }
    directory = tmp_path_factory.mktemp("certified") / "project"
    with loading.registered("metrics", "judge", Judge), make_project(directory, questions=40, settings=settings) as one:
        return one.records / one.study()["study"]


@pytest.fixture
def copied(study: Path, tmp_path: Path) -> Path:
    """A copy of the study's certificate, record and answers, to be changed."""
    for name in FILES:
        shutil.copy(study / name, tmp_path / name)
    return tmp_path


def changed(directory: Path, change: Change, *, file: str = "verdict.json", seal: bool = True) -> Verification:
    """Change a value of a file, seal the certificate anew, and verify."""
    path = directory / file
    stored = json.loads(path.read_text(encoding="utf-8"))
    change(stored)
    if seal and file == "verdict.json":
        stored["seal"] = seal_of(stored)
    path.write_text(json.dumps(stored), encoding="utf-8")
    return verify(path)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values that are no containers, and of empty ones."""
    inner: Sequence[Any] = ()
    if isinstance(value, (dict, list)):
        inner = list(value.items() if isinstance(value, dict) else enumerate(value))
    if not inner:
        yield path
    yield from chain.from_iterable(leaves(one, (*path, key)) for key, one in inner)


def altered(value: Any) -> Any:
    """Another value of the same kind, as little different as can be."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float)):
        return value + (1e-13 if isinstance(value, float) and abs(value) < 1 else 1)
    return f"{value}x" if isinstance(value, str) else [1]


def at(value: Any, path: Sequence[Any]) -> Any:
    for key in path:
        value = value[key]
    return value


def test_a_new_study_is_verified_and_says_what_was_not_replayed(study: Path) -> None:
    found = verify(study)
    assert found.faults == ()
    assert {line.partition(" ")[0] for line in found.open} == {"judge"}
    agreed = "\n".join(found.agreed)
    for part in (
        "the verdict, its flips",
        "study.json",
        "lines of answers",
        "the scores of exact_match",
        "abstention_f1",
    ):
        assert part in agreed
    body = found.to_json()
    assert (body["verified"], body["study"]) == (True, study.name)


def test_the_certificate_alone_is_enough_and_the_rest_is_said_to_be_missing(study: Path, tmp_path: Path) -> None:
    shutil.copy(study / "verdict.json", tmp_path / "theirs.json")
    found = verify(tmp_path / "theirs.json")
    assert found.verified
    assert "study.json is not at hand" in found.open
    assert "answers.jsonl.gz is not at hand" in found.open


def test_the_certificate_has_no_text_of_a_question_an_answer_or_a_document(study: Path) -> None:
    text = (study / "verdict.json").read_text(encoding="utf-8")
    for row in archive.read_answers(study):
        assert row["question"] not in text
        assert all(hit["text"][:60] not in text for answer in row["arms"].values() for hit in answer["hits"])


def test_every_value_of_the_certificate_is_under_the_seal(study: Path) -> None:
    stored: Any = read_certificate(study / "verdict.json")
    paths = [path for path in leaves(stored) if path != ("seal",)]
    for path in random.Random(0).sample(paths, 80):
        other = copy.deepcopy(stored)
        at(other, path[:-1])[path[-1]] = altered(at(other, path))
        assert seal_of(other) != stored["seal"], path


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("file", ["verdict.json", "study.json", "answers.jsonl.gz"])
def test_no_value_of_any_file_changes_unnoticed(copied: Path, file: str, seed: int) -> None:
    chance = random.Random(f"{file} {seed}")
    path = copied / file
    packed = file.endswith(".gz")
    text = gzip.decompress(path.read_bytes()).decode() if packed else path.read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()] if packed else [json.loads(text)]
    row = chance.choice(rows)
    leaf = chance.choice(list(leaves(row)))
    at(row, leaf[:-1])[leaf[-1]] = altered(at(row, leaf))
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    if (file, leaf) == ("verdict.json", ("format",)):
        with pytest.raises(StudyError, match="has the format 2"):
            verify(copied)
    else:
        assert not verify(copied).verified, leaf


@pytest.mark.parametrize("seed", range(6))
def test_no_byte_changes_unnoticed_unless_the_values_stay(copied: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = copied / chance.choice(FILES[:2])
    data = bytearray(path.read_bytes())
    before = json.loads(data)
    place = chance.randrange(len(data))
    data[place] = (data[place] + chance.randrange(1, 256)) % 256
    path.write_bytes(data)
    try:
        unnoticed = verify(copied).verified
    except StudyError:
        return
    assert not unnoticed or json.loads(path.read_bytes()) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it["verdict"].update(arm="base", outcome="choose"),
        lambda it: it["verdict"].update(provisional=[]),
        lambda it: it["verdict"]["flips"].append({"condition": "if it rained", "outcome": "choose", "arm": "base"}),
        lambda it: it["comparisons"][0]["estimate"].update(low=0.5),
        lambda it: it["estimates"]["rag"]["exact_match"].update(mean=0.999),
        lambda it: it["outcomes"][0]["scores"]["rag"].update(answer_f1=0.123, token_f1=0.123),
        lambda it: it["outcomes"][0].update(counts=False),
        lambda it: it["outcomes"].pop(),
        lambda it: [row.update(group=0) for row in it["outcomes"]],
        lambda it: it["facts"].update(looks=7),
        lambda it: it["facts"]["latency_p95"].update(rag=0.001),
        lambda it: it["facts"]["failed_share"].update(rag=0.0),
        lambda it: it["facts"].update(no_such_fact=1),
        lambda it: it["section"].update(must_cite=False),
        lambda it: it["section"].update(level=0.5001),
        lambda it: it["arms"].pop(),
        lambda it: it["seconds"].update(rag=[0.001] * 80),
    ],
)
def test_a_certificate_that_is_sealed_anew_must_still_agree_with_itself(copied: Path, change: Change) -> None:
    for name in FILES[1:]:
        (copied / name).unlink()
    assert changed(copied, change).faults


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(project="another"),
        lambda it: it["digests"].update(questions="questions:0"),
        lambda it: it["digests"].update(documents="index:0"),
        lambda it: it["systems"]["rag"].update(key="system:0"),
        lambda it: it["metrics"]["exact_match"].update(key="metric:0"),
        lambda it: it["facts"]["letters"].update(rag=1.0),
        lambda it: it["outcomes"][0].update(answers="answers:0"),
    ],
)
def test_what_is_sealed_anew_must_agree_with_record_and_answers(copied: Path, change: Change) -> None:
    assert changed(copied, change).faults


def test_scores_that_were_changed_everywhere_do_not_agree_with_the_answers(copied: Path) -> None:
    """Outcomes, stored scores and all digests forged alike: the texts are scored again."""
    rows: Any = archive.read_answers(copied)
    row = next(row for row in rows if not row["arms"]["rag"]["failure"])
    row["arms"]["rag"]["scores"]["exact_match"] = 1 - row["arms"]["rag"]["scores"]["exact_match"]
    lines = "".join(json.dumps(one) + "\n" for one in rows)
    (copied / "answers.jsonl.gz").write_bytes(gzip.compress(lines.encode()))

    from twofold.study.replaying import row_digest

    def forge(certificate: Any) -> None:
        for outcome in certificate["outcomes"]:
            if outcome["id"] == row["id"]:
                outcome["scores"]["rag"] = row["arms"]["rag"]["scores"]
                outcome["answers"] = row_digest(row)

    faults = "\n".join(changed(copied, forge).faults)
    assert f"question {row['id']!r}: exact_match of rag" in faults


def test_another_spelling_of_the_same_values_is_verified(copied: Path) -> None:
    for name in FILES[:2]:
        stored = json.loads((copied / name).read_text(encoding="utf-8"))
        text = json.dumps(stored, indent=7, sort_keys=True, ensure_ascii=True)
        (copied / name).write_text(text, encoding="utf-8")
    assert verify(copied).verified


def test_answers_that_were_forgotten_are_said_and_answers_that_vanish_are_faults(copied: Path) -> None:
    rows = archive.read_answers(copied)
    document = next(hit["document"] for row in rows for hit in row["arms"]["rag"]["hits"])
    lost = archive.redact(copied, document, ())
    assert lost
    found = verify(copied)
    assert found.faults == ()
    assert any(f"{lost} answer line" in line for line in found.open)
    fewer = archive.read_answers(copied)[1:]
    lines = "".join(json.dumps(one) + "\n" for one in fewer)
    (copied / "answers.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert not verify(copied).verified


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 2, "twofold": "9.9"}', "has the format 2"),
        ('{"format": 1}', "this is no certificate: arms"),
        ('{"format": true}', "has the format True"),
        ('{"format": 1.0, "twofold": ["9.9"]}', "has the format 1.0"),
        ('{"format": {"a": 1}}', "has the format {'a': 1}"),
        ("[]", "this is no certificate"),
        ("{", "cannot be read"),
        ('{"format": 1, "format": 1}', "twice"),
    ],
)
def test_what_is_no_certificate_of_this_format_is_named_with_a_cure(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "verdict.json").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=message) as refused:
        verify(tmp_path)
    assert refused.value.cure


@pytest.mark.parametrize("facts", [None, [], "x", float("nan")])
def test_facts_that_are_no_object_are_faults(copied: Path, facts: Any) -> None:
    stored = json.loads((copied / "verdict.json").read_text(encoding="utf-8"))
    (copied / "verdict.json").write_text(json.dumps({**stored, "facts": facts}), encoding="utf-8")
    (copied / "answers.jsonl.gz").unlink()
    assert any("cannot be worked out again" in fault for fault in verify(copied).faults)


def test_a_study_without_a_certificate_is_named_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no certificate") as refused:
        verify(tmp_path)
    assert "new study" in refused.value.cure
