"""The seconds of a question, divided: search, prompt, decoding; they add up, and what else the machine did is told."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from twofold.errors import GenerationError
from twofold.host import load
from twofold.project import Project
from twofold.reports.latency_parts import divided, load_text, parts_table
from twofold.reports.study_page import render_summary
from twofold.study import latency
from twofold.study.verifying import verify
from twofold.testing.echo_generator import EchoGenerator
from twofold.verdict.certificate import seal_of

PAUSE = 0.01


@pytest.fixture
def timed(fast: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    settings = fast()
    settings["study"] |= {"arms": ["base", "rag"], "diagnostics": [], "latency_sample": 9}
    return settings


def test_parts_of_every_question_add_up_and_each_is_what_took_so_long(
    project: Project, timed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = EchoGenerator.stream

    def slowly(self: Any, prompt: Any) -> Any:
        for piece in whole(self, prompt):
            yield piece
            if isinstance(piece, str):
                time.sleep(PAUSE)

    monkeypatch.setattr(EchoGenerator, "stream", slowly)
    with Project.open(project.directory, timed) as opened:
        record = opened.study()
        stored = {
            name: latency.timings(opened.workspace.catalogue, record["arms"][name]["key"]) for name in ("base", "rag")
        }
        page = (opened.records / record["study"] / "report.html").read_text(encoding="utf-8")
        certificate = opened.records / record["study"] / "verdict.json"
        checked = verify(certificate)
        older = json.loads(certificate.read_text(encoding="utf-8"))
        del older["facts"]["latency_others"]
        older["seal"] = seal_of(older)
        (opened.records / "older.json").write_text(json.dumps(older), encoding="utf-8")
        before = verify(opened.records / "older.json")
    for name in ("base", "rag"):
        timings = stored[name]
        assert timings is not None
        assert timings["parts"], "the stand-in writes several words, one after the other"
        for question, parts in timings["parts"].items():
            assert sum(parts) == pytest.approx(timings["seconds"][question], abs=1e-9)
            assert min(parts) >= 0
        parts = record["arms"][name]["latency"]["parts"]
        mean = sum(parts[part]["mean"]["value"] for part in latency.PARTS)
        assert mean == pytest.approx(np.mean([timings["seconds"][question] for question in timings["parts"]]))
        assert parts["decoding"]["p50"]["value"] >= PAUSE, "each further word waits so long"
        assert parts["decoding"]["p95"]["low"] is not None
    searched = {name: record["arms"][name]["latency"]["parts"]["retrieval"]["p50"]["value"] for name in stored}
    assert searched["base"] == 0 < searched["rag"], "an arm without passages searches for none"
    assert "Where the seconds go" in page
    assert "retrieval p50" in render_summary(record)
    assert (checked.faults, before.faults) == ((), ()), "certificates of before lack what was not known then"


def test_a_stream_that_breaks_off_is_answered_as_in_the_batched_run_and_not_divided(
    project: Project, timed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise GenerationError("this endpoint streams nothing")
        yield

    monkeypatch.setattr(EchoGenerator, "stream", broken)
    with Project.open(project.directory, timed) as opened:
        record = opened.study()
    rag = record["arms"]["rag"]["latency"]
    assert (rag["n"], rag["failed"]) == (9, 0)
    assert "parts" not in rag
    assert divided(record)["plot"] == []
    assert parts_table(record) == []


def test_records_of_before_have_neither_parts_nor_load(project: Project, timed: dict[str, Any]) -> None:
    with Project.open(project.directory, timed) as opened:
        record = opened.study()
    before = dict(record)
    for arm in record["arms"].values():
        for name in ("parts", "load"):
            arm["latency"].pop(name, None)
    assert load_text(before) == ""
    assert "retrieval p50" not in render_summary(before)


def test_other_programs_are_told_apart_from_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0))
    busy, own, clock = iter((100.0, 100.0 + 3.0)), iter((7.0, 8.0)), iter((0.0, 4.0))
    monkeypatch.setattr(load, "_busy", lambda: next(busy))
    monkeypatch.setattr(load, "_spent", lambda: next(own))
    monkeypatch.setattr(load, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    with load.Load() as meanwhile:
        pass
    assert meanwhile.others == pytest.approx(2 / (4 * cores)), "of 3 seconds that the cores computed 1 was its own"
    assert meanwhile.average is not None


def test_the_kernel_counts_what_this_process_computes_as_its_own() -> None:
    meanwhile = load.Load()
    with meanwhile:
        assert meanwhile.others is None, "too short to tell"
        until = time.process_time() + 0.6
        while time.process_time() < until:
            sum(range(1000))
    assert meanwhile.others is not None
    assert 0 <= meanwhile.others <= 1
