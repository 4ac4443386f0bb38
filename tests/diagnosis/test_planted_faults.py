"""Planted faults are found: the confusion matrix of planted × diagnosed causes, beside the threshold baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import threshold_baseline

import planted
from twofold.diagnosis.arm import ArmCases, diagnose_arm
from twofold.diagnosis.record import ArmDiagnosis
from twofold.plugins import loading


@pytest.fixture(autouse=True)
def reranker() -> Iterator[None]:
    with loading.registered("rerankers", "backwards", planted.Backwards):
        yield


def diagnosed(fault: str, directory: Path) -> tuple[ArmCases, ArmDiagnosis]:
    world = planted.world()
    planted.FAULTS[fault][1](world)
    subject, reruns = planted.opened(world, directory)
    return subject, diagnose_arm(subject, reruns, level=0.95)


def guessed(subject: ArmCases) -> list[str]:
    """What the thresholds make of the wrong answers."""
    causes = []
    for case in subject.wrong.values():
        shown = any(chunk.span.document in case.example.sources for chunk in case.context)
        gold = shown if case.example.sources else None
        causes.append(
            threshold_baseline.diagnose(
                case.example, case.answer, case.score, retrieval=case.arm.retrieval, gold_in_hits=gold
            )
        )
    return causes


def test_without_a_fault_nothing_is_wrong(tmp_path: Path) -> None:
    subject, _ = planted.opened(planted.world(), tmp_path)
    assert len(subject.cases) == 40
    assert not subject.wrong


def test_single_planted_faults_get_their_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At least 95 % of each fault's wrong answers, and of all together; the matrix is printed with ``-s``."""
    right = total = 0
    labels: dict[str, Counter[str]] = {}
    lines = [f"{'planted':<22}{'diagnosed':<50}threshold baseline"]
    for number, (fault, (cause, _)) in enumerate(planted.FAULTS.items()):
        subject, diagnosis = diagnosed(fault, tmp_path / str(number))
        counts = Counter(row["cause"] for row in diagnosis["rows"])
        baseline = guessed(subject)
        assert sum(counts.values()) >= 15, f"{fault} makes too few answers wrong"
        assert counts[cause] >= 0.95 * sum(counts.values()), (fault, counts)
        right += counts[cause]
        for guess in baseline:
            labels.setdefault(guess, Counter())[cause] += 1
        total += sum(counts.values())
        shown = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        lines.append(f"{fault:<22}{shown:<50}{', '.join(f'{n} {c}' for n, c in Counter(baseline).most_common())}")
    # With good will: each of their labels stands for the one cause that it meets most often.
    guesses = sum(max(causes.values()) for causes in labels.values())
    lines.append(f"right: {right} of {total}; the thresholds, with good will: {guesses} of {total}")
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert right >= 0.95 * total
    assert guesses < right
