"""Tuning at an OpenAI-compatible endpoint, against a real HTTP server on this machine: nothing is paid for twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tuning_endpoint import Endpoint, served
from twofold.errors import GenerationError, NothingToLearn, TrainingError
from twofold.plugins import loading
from twofold.plugins.jobs import TrainerJob
from twofold.prompts import Template, pair, render
from twofold.training.openai_job import OpenAITrainer
from twofold.types import Adapter, DevItem, Example, Message, Prompt

QUICK = {"poll_seconds": 0.02, "backoff": 0.01, "timeout": 0.5}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with served() as one:
        yield one


def example(number: int) -> Example:
    return Example(
        id=f"e{number}",
        messages=(Message(role="user", content=f"What is number {number}?"),),
        references=(f"it is {number}",),
        group=f"g{number}",
    )


def job(variants: int = 1) -> TrainerJob:
    template = Template()
    rows = tuple(pair(render(e.messages, template=template), e.references[0], e) for e in map(example, range(5)))
    dev = tuple(DevItem(prompt=render(example(n).messages, template=template), example=example(n)) for n in (7, 8))
    return TrainerJob(rows=(rows,) * variants, dev=dev, metric="token_f1", model="small-1", template=template)


def trainer(endpoint: Endpoint, **more: Any) -> OpenAITrainer:
    values = {"model": "small-1", "base_url": endpoint.url, **QUICK, **more}
    made: OpenAITrainer = loading.make("trainers", "openai", values)
    return made


def test_upload_create_poll_and_answer_with_the_result(endpoint: Endpoint, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    done = trainer(endpoint, price_per_million=8.0, epochs=4).train(
        job(), tmp_path, progress=lambda *told: seen.append(told)
    )
    assert endpoint.calls["POST /fine_tuning/jobs"] == 1
    sent = endpoint.jobs["ftjob-1"]
    assert sent["method"]["supervised"]["hyperparameters"] == {"n_epochs": 4}
    lines = [line for line in endpoint.files[sent["training_file"]].decode().splitlines() if line.startswith('{"mess')]
    assert len(lines) == 5
    assert [m["role"] for m in json.loads(lines[0])["messages"]][-2:] == ["user", "assistant"]
    assert json.loads(lines[3])["messages"][-1]["content"] == "it is 3"
    assert done["cost"] == {"tokens": 2_000_000, "amount": 16.0}
    assert done["loss"] == [[1, 2.0], [2, 1.0], [3, pytest.approx(2 / 3)]]
    assert (done["steps"], done["stopped"], done["seconds"]) == (3, "end", 100.0)
    assert ("endpoint running", 3, 3) in seen
    assert sorted(endpoint.deleted) == ["file-1", "file-2"]
    assert done["files_deleted"] is True
    assert not (tmp_path / "endpoint-job.json").exists()

    adapter = Adapter(key="adapter:1", weights="w", path=str(tmp_path), template="t")
    stock = loading.make("generators", "openai", {"model": "small-1", "base_url": endpoint.url})
    tuned = loading.make("generators", "openai", {"model": "small-1", "base_url": endpoint.url}, adapter=adapter)
    assert tuned.generate([Prompt(messages=(Message(role="user", content="hi"),))])[0].text == "tuned"
    assert endpoint.asked_of == ["ft:small-1:ftjob-1"]
    assert tuned.key != stock.key
    assert tuned.description["adapter"] == "adapter:1"
    elsewhere = {"model": "small-1", "base_url": "http://127.0.0.1:1/v1"}
    with pytest.raises(GenerationError, match="was tuned at"):
        loading.make("generators", "openai", elsewhere, adapter=adapter)


def test_a_finished_job_is_not_begun_again(endpoint: Endpoint, tmp_path: Path) -> None:
    first = trainer(endpoint).train(job(), tmp_path)
    endpoint.calls.clear()
    assert trainer(endpoint).train(job(), tmp_path) == first
    assert not endpoint.calls


@pytest.mark.parametrize(("epochs", "uploaded", "passes"), [(3, 15, 1), (8, 20, 2), (6, 15, 2)])
def test_open_book_variants_are_the_epochs(
    endpoint: Endpoint, tmp_path: Path, *, epochs: int, uploaded: int, passes: int
) -> None:
    trainer(endpoint, epochs=epochs, request="hyperparameters", batch_size=2).train(job(variants=4), tmp_path)
    sent = endpoint.jobs["ftjob-1"]
    assert sent["hyperparameters"] == {"n_epochs": passes, "batch_size": 2}
    assert endpoint.files[sent["training_file"]].count(b'{"messages"') == uploaded


@pytest.mark.parametrize(
    "faults",
    [
        {"POST /files": ["500", "503"]},
        {"POST /fine_tuning/jobs": ["500", "429"]},
        {"POST /fine_tuning/jobs": ["lost"]},
        {"POST /fine_tuning/jobs": ["slow"]},
        {"GET /fine_tuning/jobs/ftjob-1": ["500", "slow", "lost"]},
        {"GET /fine_tuning/jobs/ftjob-1/events": ["404"] * 9},
        {"POST /fine_tuning/jobs": ["lost"], "GET /fine_tuning/jobs": ["500"]},
    ],
    ids=lambda faults: " ".join(f"{k}={','.join(v)[:20]}" for k, v in faults.items()),
)
def test_faults_pass_and_one_job_is_paid(endpoint: Endpoint, tmp_path: Path, faults: dict[str, list[str]]) -> None:
    endpoint.faults = faults
    trainer(endpoint).train(job(), tmp_path)
    assert list(endpoint.jobs) == ["ftjob-1"]
    assert json.loads((tmp_path / "tuned_model.json").read_text())["model"] == "ft:small-1:ftjob-1"


def test_an_endpoint_that_is_down_is_taken_up_later(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.faults = {"GET /fine_tuning/jobs/ftjob-1": ["502"] * 3}
    with pytest.raises(TrainingError, match="failed 3 times") as caught:
        trainer(endpoint, retries=2).train(job(), tmp_path)
    assert "not paid twice" in caught.value.cure
    trainer(endpoint).train(job(), tmp_path)
    assert list(endpoint.jobs) == ["ftjob-1"]
    assert endpoint.calls["POST /files"] == 2


def test_a_refused_key_says_which_variable(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.faults = {"POST /files": ["401"]}
    with pytest.raises(TrainingError, match="401: ordered fault") as caught:
        trainer(endpoint, api_key_env="MY_KEY").train(job(), tmp_path)
    assert "MY_KEY" in caught.value.cure
    assert endpoint.calls["POST /files"] == 1, "a refusal is not repeated"


def test_a_failed_job_is_told_once_and_then_begun_anew(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.outcome = "failed"
    with pytest.raises(TrainingError, match=r"ftjob-1 is failed: the file has a line") as caught:
        trainer(endpoint).train(job(), tmp_path)
    assert "costs again" in caught.value.cure
    endpoint.outcome = "succeeded"
    trainer(endpoint).train(job(), tmp_path)
    assert list(endpoint.jobs) == ["ftjob-1", "ftjob-2"]


def test_cancelling_a_job_under_way(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.polls_until_done = 10**9
    endpoint.faults = {"GET /fine_tuning/jobs/ftjob-1": ["", "502"]}
    with pytest.raises(TrainingError, match="502"):
        trainer(endpoint, retries=0).train(job(), tmp_path)
    assert trainer(endpoint).cancel(tmp_path) == {"job": "ftjob-1", "status": "cancelled"}
    with pytest.raises(TrainingError, match="is cancelled"):
        trainer(endpoint).train(job(), tmp_path)
    assert trainer(endpoint).cancel(tmp_path) == {"job": "", "status": "none"}


def test_when_the_minutes_are_up_the_best_checkpoint_is_taken(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.polls_until_done = 10**9
    endpoint.checkpoints = [
        {"step_number": n, "fine_tuned_model_checkpoint": f"ft:step{n}", "metrics": {"full_valid_loss": loss}}
        for n, loss in ((1, 0.9), (2, 0.4), (3, 0.6))
    ]
    done = trainer(endpoint, minutes=0.001).train(job(), tmp_path)
    assert endpoint.jobs["ftjob-1"]["status"] == "cancelled"
    assert (done["stopped"], done["best_step"]) == ("minutes", 2)
    assert json.loads((tmp_path / "tuned_model.json").read_text())["model"] == "ft:step2"


def test_nothing_is_sent_above_the_budget_or_with_an_empty_answer(endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"above max_cost = 0\.01"):
        trainer(endpoint, price_per_million=1000.0, max_cost=0.01).train(job(), tmp_path)
    hollow = job().model_copy(update={"rows": ((replace(job().rows[0][0], completion=" "),),)})
    with pytest.raises(NothingToLearn):
        trainer(endpoint).train(hollow, tmp_path)
    assert not endpoint.calls


def test_what_only_concerns_the_talk_is_in_no_key() -> None:
    one = loading.options("trainers", "openai", {"model": "m"})
    other = loading.options("trainers", "openai", {"model": "m", "poll_seconds": 1, "retries": 1, "minutes": 3})
    third = loading.options("trainers", "openai", {"model": "m", "epochs": 5})
    assert one.model_dump() == other.model_dump() != third.model_dump()


HERE = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
KILLED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from test_openai_job import job
from twofold.plugins import protocols as plugins
from twofold.plugins import loading as plugin_loading
plugin_loading.make("trainers", "openai", {"model": "small-1", "base_url": sys.argv[1], "poll_seconds": 0.02,
             "backoff": 0.01, "timeout": 5}).train(job(), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("moment", ["before the answer", "while it runs"])
def test_killed_and_run_again_one_job_is_paid(endpoint: Endpoint, tmp_path: Path, moment: str) -> None:
    endpoint.polls_until_done = 10**9
    endpoint.create({"training_file": "", "model": "other"} | _older(endpoint))
    if moment == "before the answer":
        endpoint.faults = {"POST /fine_tuning/jobs": ["slow"]}
    command = [sys.executable, "-c", KILLED, endpoint.url, str(tmp_path / "work"), *HERE]
    child = subprocess.Popen(command)
    began = time.monotonic()
    own = "ftjob-2"
    while own not in endpoint.jobs or (moment == "while it runs" and endpoint.jobs[own]["polls"] < 3):
        assert time.monotonic() - began < 30
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    state = json.loads((tmp_path / "work" / "endpoint-job.json").read_text())
    assert ("job" in state) is (moment == "while it runs")
    endpoint.polls_until_done = 1
    trainer(endpoint).train(job(), tmp_path / "work")
    assert list(endpoint.jobs) == ["ftjob-1", own]
    assert json.loads((tmp_path / "work" / "tuned_model.json").read_text())["job"] == own


def _older(endpoint: Endpoint) -> dict[str, str]:
    """Somebody else's job, so that ours is not the only one on the list."""
    endpoint.files["file-old"] = b""
    return {"training_file": "file-old"}
