"""Tuning the embedder: the loss, a real child process, resuming, and serving the artifact."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twofold.errors import IndexMismatch, NothingToLearn
from twofold.lifecycle import embedder
from twofold.plugins import loading
from twofold.plugins.jobs import EmbedderJob, SearchPair
from twofold.project import Project
from twofold.settings.loading import laid_over
from twofold.training.embedder import EmbedderOptions, EmbedderTrainer
from twofold.types import Example, Message

torch = pytest.importorskip("torch")

TOPICS = ["wheat", "rain", "pump", "valve", "soil", "seed", "barley", "river", "frost", "mulch", "clay", "wind"]


def job(encoder: Path) -> EmbedderJob:
    pairs = tuple(
        SearchPair(
            query=f"what about {topic} number {n}?",
            passage=f"the {topic} is described here in words, part {n}",
            document=topic,
            sources=(topic,),
            negatives=tuple((other, f"the {other} is described here in words") for other in TOPICS if other != topic)[
                :4
            ],
        )
        for topic in TOPICS
        for n in range(3)
    )
    dev = tuple(
        (
            f"tell me of {topic}",
            Example(id=topic, messages=(Message(role="user", content=topic),), references=("a",), sources=(topic,)),
        )
        for topic in TOPICS
    )
    pool = tuple((topic, f"the {topic} is described here in words, part 9") for topic in TOPICS)
    return EmbedderJob(pairs=pairs, dev=dev, pool=pool, model=f"path:{encoder}")


def options(**values: object) -> EmbedderOptions:
    fast = {"epochs": 6, "batch": 12, "learning_rate": 2e-3, "evaluations": 2, "threads": 1, "freeze_words": False}
    return EmbedderOptions.model_validate({**fast, **values})


def test_the_loss_is_infonce_over_what_is_not_banned() -> None:
    from twofold.training.worker.embedder_loop import contrast

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(7, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    banned = np.zeros((2, 5), dtype=bool)
    banned[0, 1] = banned[1, 4] = True
    scores = 20.0 * rows[:2] @ rows[2:].T
    scores[banned] = -math.inf
    wanted = np.mean([np.log(np.exp(scores[i]).sum()) - scores[i, i] for i in range(2)])
    made = contrast(torch.from_numpy(rows), 2, banned=torch.from_numpy(banned), options=EmbedderOptions())
    assert float(made) == pytest.approx(float(wanted), rel=1e-4)
    nested = contrast(
        torch.from_numpy(rows), 2, banned=torch.from_numpy(banned), options=EmbedderOptions(matryoshka=(4,))
    )
    cut = contrast(
        torch.nn.functional.normalize(torch.from_numpy(rows[:, :4]), dim=-1),
        2,
        banned=torch.from_numpy(banned),
        options=EmbedderOptions(),
    )
    assert float(nested) == pytest.approx((float(made) + float(cut)) / 2, rel=1e-4)


def test_a_step_in_parts_has_the_gradient_of_a_whole_one(encoder: Path) -> None:
    import random

    from twofold.training.worker.embedder_loop import _Encoder, _take_step

    gradients = []
    for budget in (10**9, 64):
        made = _Encoder(encoder, options(dtype="f32"))
        made.budget = budget
        trained = [p for p in made.network.parameters() if p.requires_grad]
        still = torch.optim.SGD(trained, lr=0.0)
        _take_step(made, still, trained, job(encoder).pairs[:8], chance=random.Random(0))
        gradients.append(torch.cat([p.grad.flatten() for p in trained if p.grad is not None]))
    assert torch.allclose(*gradients, atol=1e-4)


def test_it_learns_in_a_child_and_the_result_is_served(encoder: Path, tmp_path: Path) -> None:
    report = EmbedderTrainer(options(dtype="f32")).train(job(encoder), tmp_path / "made")
    assert report["tuned"] >= report["stock"]
    assert report["loss"][-1][1] < report["loss"][0][1]
    assert report["best_step"] > 0
    served = loading.make("embedders", "minilm", {"model": f"path:{tmp_path / 'made' / 'model'}", "precision": "f32"})
    stock = loading.make("embedders", "minilm", {"model": f"path:{encoder}", "precision": "f32"})
    assert served.fingerprint != stock.fingerprint
    asked = [query for query, _ in job(encoder).dev]
    passages = [text for _, text in job(encoder).pool]
    told = []
    for one in (stock, served):
        scores = one.embed(asked) @ one.embed(passages).T
        ranks = (scores > np.diag(scores)[:, None]).sum(axis=1) + 1
        told.append(float(np.mean(np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0.0))))
    assert told == pytest.approx([report["stock"], report["tuned"]], abs=0.02), "what was chosen is what is served"
    assert told[1] > told[0]
    short = loading.make("embedders", "minilm", {"model": f"path:{encoder}", "precision": "f32", "dimension": 8})
    cut = stock.embed(asked)[:, :8]
    assert np.allclose(short.embed(asked), cut / np.linalg.norm(cut, axis=1, keepdims=True), atol=1e-5)
    assert short.fingerprint != stock.fingerprint
    assert not (tmp_path / "made" / "checkpoint.pt").exists()


def test_a_stopped_run_goes_on_from_its_checkpoint(encoder: Path, tmp_path: Path) -> None:
    from twofold.training.worker.embedder_loop import fit

    class Killed(BaseException):
        pass

    def kill(stage: str, done: int, total: int) -> None:
        if stage == "train" and done == 14:
            raise Killed

    with pytest.raises(Killed):
        fit(job(encoder), options(), tmp_path, progress=kill)
    steps: list[int] = []
    report = fit(
        job(encoder), options(), tmp_path, progress=lambda s, done, total: steps.append(done) if s == "train" else None
    )
    assert steps[0] == 10, "the evaluation at step 9 left a checkpoint"
    whole = fit(job(encoder), options(), _fresh(tmp_path / "whole"), progress=lambda *_: None)
    assert report["steps"] == whole["steps"]
    assert report["tuned"] == pytest.approx(whole["tuned"], abs=1e-6)


@pytest.mark.parametrize(("scored", "evaluations"), [(1.0, 4), (6.0, 1)])
def test_a_cap_holds_with_its_evaluations(
    scored: float, evaluations: int, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of a second and evaluations of `scored` seconds, on a clock that they move."""
    from types import SimpleNamespace

    from twofold.training.worker import embedder_loop

    now = [0.0]

    def slow(function: Any, seconds: float) -> Any:
        def slowed(*arguments: Any, **more: Any) -> Any:
            now[0] += seconds
            return function(*arguments, **more)

        return slowed

    monkeypatch.setattr(embedder_loop, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(embedder_loop, "_take_step", slow(embedder_loop._take_step, 1.0))
    monkeypatch.setattr(embedder_loop, "_dev_score", slow(embedder_loop._dev_score, scored))
    capped = options(epochs=9, evaluations=4, minutes=0.5, blends=(1.0, 0.5, 0.25), patience=9)
    report = embedder_loop.fit(job(encoder), capped, tmp_path, progress=lambda *_: None)
    assert now[0] <= 1.1 * 30
    assert report["seconds"] == pytest.approx(now[0])
    assert report["steps"] >= 5
    assert len(report["dev"]) == 1 + evaluations, "the first is of the stock model"


def _fresh(path: Path) -> Path:
    path.mkdir()
    return path


def test_nothing_to_learn_is_said(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToLearn):
        EmbedderTrainer(options()).train(job(encoder).model_copy(update={"pairs": ()}), tmp_path)


@pytest.mark.slow
def test_from_project_to_artifact(project: Project, encoder: Path) -> None:
    tuned = {"epochs": 1, "batch": 16, "evaluations": 1, "learning_rate": 1e-3, "pool": 60, "freeze_words": False}
    settings = {
        "retrieval": {"embedder": {"name": "minilm", "options": {"model": f"path:{encoder}", "max_tokens": 64}}},
        "tuning": {"embedder": {"options": tuned}},
    }
    with Project(project.directory, laid_over(project.config, settings)) as changed:
        plan = changed.tuning.embedder_plan()
        assert not plan["cached"]
        assert plan["reembed"]["chunks"] == changed.workspace.search.index.state().chunks
        assert plan["reembed"]["seconds"] > 0
        made = embedder.embedder_job(changed.workspace.search, changed.splits)
        train = {source for e in changed.splits.train for source in e.sources}
        test = {source for e in changed.splits.test for source in e.sources}
        assert {pair.document for pair in made.pairs} <= train
        assert not {pair.document for pair in made.pairs} & test
        for pair in made.pairs:
            assert not {document for document, _ in pair.negatives} & set(pair.sources)
        done = changed.tuning.embedder()
        assert not done.cached
        assert changed.tuning.embedder().cached
        manifest = json.loads((Path(done.path).parent / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["kind"] == "embedder"
        told = changed.bench({"tuned": {"retrieval": {"embedder": {"options": {"model": done.setting}}}}}, split="test")
        assert {d["pipeline"] for d in told["differences"]} == {"tuned"}
    if done.report["best_step"]:
        overrides = changed.config.model_dump(mode="json")
        overrides["retrieval"]["embedder"]["options"]["model"] = done.setting
        with Project.open(changed.directory, overrides) as again:
            with pytest.raises(IndexMismatch):
                again.sync()
            assert not any(m["kind"] == "embedder" for m in _doomed(again)), "an embedder in use is kept"
            again.sync(rebuild=True)
            assert again.workspace.search.embedder.fingerprint == again.workspace.search.index.state().fingerprint


def _doomed(project: Project) -> list[dict[str, str]]:
    keys = project.tuning.gc(dry_run=True)["removed"]
    return [m for m in project.workspace.artifacts.list() if m["key"] in keys]
