"""Tuning at an OpenAI-compatible endpoint: upload, create, poll, and the name of the model that it made.

Nothing is paid for twice. The ids of the uploaded file and of the job are written the moment they are known; where an
answer got lost between the two (a timeout, a kill), the endpoint's own list of jobs is asked for one on our file before
another is created. API: https://platform.openai.com/docs/api-reference/fine-tuning
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

import httpx
from pydantic import Field

from twofold.errors import NothingToLearn, TrainingError
from twofold.files import writing
from twofold.files.reading import excerpt
from twofold.host import certificates
from twofold.models.endpoints import AGAIN, LONGEST_WAIT, reason, retry_after
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import Options, Progress, quiet
from twofold.plugins.results import CancelledJob, ModelOrigin
from twofold.types import Json, Message

STATE, TUNED = "endpoint-job.json", "tuned_model.json"
_OVER = ("succeeded", "failed", "cancelled")
_CHARACTERS = 4.0
"""Characters of a token, for the estimate before anything is spent."""
_PAGES = 5
"""Pages of the endpoint's list of jobs that are searched for one of ours."""


class OpenAITrainerOptions(Options):
    """How to tune at an endpoint. What only concerns the talk with it is in no key: changing it trains nothing anew."""

    model: str
    """Base model as the endpoint names it, for example ``gpt-4o-mini-2024-07-18``."""
    base_url: str = "https://api.openai.com/v1"
    """Address up to, and without, ``/fine_tuning/jobs``."""
    epochs: int = Field(default=3, ge=1, le=50)
    """Passes over the examples; open-book rows are shown in another order each time."""
    batch_size: int | Literal["auto"] = "auto"
    learning_rate_multiplier: float | Literal["auto"] = "auto"
    suffix: str = Field(default="twofold", max_length=64)
    """Part of the tuned model's name."""
    request: Literal["method", "hyperparameters"] = Field(default="method", exclude=True)
    """Where the request holds epochs and rates: OpenAI's present form, or the older one of most other servers."""
    api_key_env: str = Field(default="OPENAI_API_KEY", exclude=True)
    """Environment variable that holds the key."""
    timeout: float = Field(default=60.0, gt=0, exclude=True)
    """Seconds for one request."""
    retries: int = Field(default=6, ge=0, exclude=True)
    """Further attempts of one request."""
    backoff: float = Field(default=1.0, ge=0, exclude=True)
    """Upper limit of the first wait, seconds; doubled each time."""
    poll_seconds: float = Field(default=20.0, gt=0, exclude=True)
    """Between two questions after the job."""
    minutes: float = Field(default=0.0, ge=0, exclude=True)
    """Cancel the job after so many minutes and take its best checkpoint; 0 for no limit."""
    max_cost: float = Field(default=0.0, ge=0, exclude=True)
    """Refuse to begin where the estimate is above this, in the price's currency; 0 for no limit."""
    price_per_million: float = Field(default=0.0, ge=0, exclude=True)
    """Of training tokens, in your currency; for the bill."""
    delete_files: bool = Field(default=True, exclude=True)
    """Delete the uploaded examples at the endpoint when the job is over."""


class OpenAITrainer:
    """Tunes at an OpenAI-compatible endpoint; see `protocols.Trainer`. The generator ``openai`` then answers.

    Args:
        options: See `OpenAITrainerOptions`.
    """

    version: ClassVar[int] = 1
    Options = OpenAITrainerOptions

    def __init__(self, options: OpenAITrainerOptions) -> None:
        self.options = options
        self._jitter = random.Random(0)

    def provenance(self, model: str) -> ModelOrigin:
        """Where the base is; its weights are known to the endpoint alone."""
        url = self.options.base_url
        return {
            "model": model,
            "source": f"{url}#{model}",
            "revision": model,
            "weights": f"{url}#{model}",
            "licence": "",
        }

    def train(self, job: TrainerJob, directory: Path, *, progress: Progress | None = None) -> Json:
        """Upload, create the job and wait for it, or take up the one that is under way; returns the report.

        Beside the usual entries the report has ``cost`` (tokens, amount) and ``job``.

        Raises:
            NothingToLearn: a completion is empty.
            TrainingError: the estimate is above `max_cost`, the endpoint refuses or is down, or the job failed.
        """
        directory.mkdir(parents=True, exist_ok=True)
        finished = directory / "training.json"
        # Both: the tuned model's file is written after the report.
        if (directory / TUNED).is_file() and finished.is_file():
            report: Json = json.loads(finished.read_text(encoding="utf-8"))
            return report
        variants, passes = _passes(self.options.epochs, len(job.rows))
        rows = [_line(pair.messages, pair.completion) for pair in chain.from_iterable(job.rows[:variants])]
        dev = [_line(i.prompt.messages, i.example.references[0]) for i in job.dev if i.example.references]
        state = _read(directory)
        with self._client() as client:
            if "job" not in state:
                self._afford(rows, passes)
                self._begin(client, state, directory, rows=rows, dev=dev, passes=passes)
            job_record = self._wait(client, state, directory, progress or quiet)
            return self._finish(client, state, directory, job_record=job_record, rows=len(rows) // variants)

    def cancel(self, directory: Path) -> CancelledJob:
        """Cancel the job under way in `directory`.

        Raises:
            TrainingError: the endpoint refuses or is down.
        """
        state = _read(directory)
        with self._client() as client:
            # A kill may have come between the request and the note of its answer.
            if "job" not in state and state.get("creating"):
                state["job"] = self._known_job(client, state["file"])
            if not state.get("job"):
                return {"job": "", "status": "none"}
            job_record = self._ask(client, "POST", f"/fine_tuning/jobs/{state['job']}/cancel")
        return {"job": state["job"], "status": str(job_record.get("status", ""))}

    # ------------------------------------------------------------ beginning

    def _afford(self, rows: list[str], passes: int) -> None:
        o = self.options
        tokens = sum(map(len, rows)) / _CHARACTERS * passes
        amount = tokens / 1e6 * o.price_per_million
        if o.max_cost and amount > o.max_cost:
            raise TrainingError(
                f"tuning would cost about {amount:.2f} ({tokens:,.0f} tokens), above max_cost = {o.max_cost:g}",
                cure="Lower epochs or the number of examples, or raise max_cost in [tuning.trainer.options].",
            )

    def _begin(
        self, client: httpx.Client, state: Json, directory: Path, *, rows: list[str], dev: list[str], passes: int
    ) -> None:
        """Upload what is not uploaded, create the job; every id is written at once."""
        for name, lines in (("file", rows), ("validation", dev)):
            if name not in state and lines:
                state[name] = self._upload(client, f"{name}.jsonl", lines)
                _write(directory, state)
        # Written before the request: after a kill in between it is not known whether a job was created, so one is
        # looked for before another is paid.
        if not state.get("creating"):
            state["creating"] = True
            state["begun"] = time.time()
            _write(directory, state)
            known = ""
        else:
            known = self._known_job(client, state["file"])
        state["job"] = known or self._create(client, state, passes)
        _write(directory, state)

    def _upload(self, client: httpx.Client, name: str, lines: list[str]) -> str:
        content = ("\n".join(lines) + "\n").encode()
        form: Any = {"files": {"file": (name, content, "application/jsonl")}, "data": {"purpose": "fine-tune"}}
        return str(self._ask(client, "POST", "/files", **form)["id"])

    def _create(self, client: httpx.Client, state: Json, passes: int) -> str:
        o = self.options
        body: Json = {"model": o.model, "training_file": state["file"], "suffix": o.suffix}
        if state.get("validation"):
            body["validation_file"] = state["validation"]
        rates: Json = {"n_epochs": passes}
        rates |= {
            name: value for name in ("batch_size", "learning_rate_multiplier") if (value := getattr(o, name)) != "auto"
        }
        if o.request == "method":
            body["method"] = {"type": "supervised", "supervised": {"hyperparameters": rates}}
        else:
            body["hyperparameters"] = rates

        def arrived() -> Json | None:
            known = self._known_job(client, state["file"])
            return {"id": known} if known else None

        return str(self._ask(client, "POST", "/fine_tuning/jobs", arrived=arrived, json=body)["id"])

    def _known_job(self, client: httpx.Client, file: str) -> str:
        """The job on this file, should the endpoint have one; empty otherwise."""
        after = ""
        for _ in range(_PAGES):
            query = {"limit": "100", **({"after": after} if after else {})}
            page = self._ask(client, "GET", "/fine_tuning/jobs", params=query)
            rows = page.get("data") or []
            for row in rows:
                if row.get("training_file") == file:
                    return str(row["id"])
            if not rows or not page.get("has_more"):
                break
            after = str(rows[-1]["id"])
        return ""

    # ------------------------------------------------------------ waiting

    def _wait(self, client: httpx.Client, state: Json, directory: Path, progress: Progress) -> Json:
        """Poll until the job is over, cancelling it when its minutes are up; returns the job."""
        o = self.options
        place = f"/fine_tuning/jobs/{state['job']}"
        while True:
            job_record = self._ask(client, "GET", place)
            if job_record.get("status") in _OVER:
                return job_record
            done, total = self._steps(client, place)
            progress(f"endpoint {job_record.get('status', '')}", done, total)
            # Noted before it is cancelled: a cancelled job that is not late was cancelled by somebody, and failed.
            if o.minutes and time.time() - state["begun"] > o.minutes * 60 and not state.get("late"):
                state["late"] = True
                _write(directory, state)
                self._ask(client, "POST", f"{place}/cancel")
            time.sleep(o.poll_seconds)

    def _steps(self, client: httpx.Client, place: str) -> tuple[int, int]:
        curve = self._curve(client, place, limit=20)
        newest = max(curve, key=lambda point: int(point.get("step") or 0), default={})
        return int(newest.get("step") or 0), int(newest.get("total_steps") or 0)

    def _curve(self, client: httpx.Client, place: str, *, limit: int) -> list[Json]:
        """The measured points of the job; empty where the endpoint tells none."""
        try:
            page = self._ask(client, "GET", f"{place}/events", params={"limit": str(limit)})
        except TrainingError:
            return []
        data = [event.get("data") for event in page.get("data") or []]
        return [point for point in data if isinstance(point, dict) and point.get("step") is not None]

    # ------------------------------------------------------------ the end

    def _finish(self, client: httpx.Client, state: Json, directory: Path, *, job_record: Json, rows: int) -> Json:
        o = self.options
        place = f"/fine_tuning/jobs/{state['job']}"
        model = str(job_record.get("fine_tuned_model") or "")
        stopped = "end"
        best = 0
        if job_record["status"] == "cancelled" and state.get("late"):
            model, best = self._best_checkpoint(client, place)
            stopped = "minutes"
        # The job is over and made nothing: its state goes, so that the next run begins another.
        if not model:
            (directory / STATE).unlink(missing_ok=True)
            self._tidy(client, state)
            failure = (job_record.get("error") or {}).get("message") or "the endpoint gives no reason"
            raise TrainingError(
                f"the endpoint's job {state['job']} is {job_record['status']}: {failure}",
                cure="Correct the reported fault; `twofold tune` then starts a new job, which costs again.",
            )
        curve = sorted(self._curve(client, place, limit=100), key=lambda point: int(point["step"]))
        steps = int(curve[-1]["step"]) if curve else 0
        seconds = max(
            1.0,  # tokens a second divide by it
            float(job_record.get("finished_at") or time.time()) - float(job_record.get("created_at") or state["begun"]),
        )
        tokens = int(job_record.get("trained_tokens") or 0)
        report: Json = {
            "job": state["job"],
            "rows": rows,
            "epochs": float(o.epochs),
            "steps": steps,
            "best_step": best or steps,
            "loss": [[int(p["step"]), float(p["train_loss"])] for p in curve if p.get("train_loss") is not None],
            "dev_loss": [[int(p["step"]), float(p["valid_loss"])] for p in curve if p.get("valid_loss") is not None],
            "dev": [],
            "tokens": tokens,
            "tokens_per_second": tokens / seconds,
            "peak_mib": 0.0,
            "seconds": seconds,
            "stopped": stopped,
            "cost": {"tokens": tokens, "amount": round(tokens / 1e6 * o.price_per_million, 6)},
            "files_deleted": self._tidy(client, state),
        }
        tuned = {"model": model, "base": o.model, "base_url": o.base_url, "job": state["job"]}
        # The state last: until both are written a rerun takes the job up again.
        writing.write(directory / "training.json", json.dumps(report))
        writing.write(directory / TUNED, json.dumps(tuned))
        (directory / STATE).unlink(missing_ok=True)
        return report

    def _best_checkpoint(self, client: httpx.Client, place: str) -> tuple[str, int]:
        """Model and step of the checkpoint with the least validation loss, the newest where there is none."""
        try:
            page = self._ask(client, "GET", f"{place}/checkpoints", params={"limit": "100"})
        except TrainingError:
            return "", 0
        rows = [row for row in page.get("data") or [] if row.get("fine_tuned_model_checkpoint")]

        def order(row: Json) -> tuple[float, int]:
            measured = row.get("metrics") or {}
            loss = measured.get("full_valid_loss", measured.get("valid_loss"))
            return (float("inf") if loss is None else float(loss), -int(row.get("step_number") or 0))

        best: Json = min(rows, key=order, default={})
        return str(best.get("fine_tuned_model_checkpoint") or ""), int(best.get("step_number") or 0)

    def _tidy(self, client: httpx.Client, state: Json) -> bool:
        """Delete the uploaded files; False where the endpoint did not."""
        if not self.options.delete_files:
            return False
        try:
            for name in ("file", "validation"):
                if state.get(name):
                    self._ask(client, "DELETE", f"/files/{state[name]}")
        except TrainingError:
            return False
        return True

    # ------------------------------------------------------------ requests

    def _client(self) -> httpx.Client:
        o = self.options
        key = os.environ.get(o.api_key_env, "").strip()  # a line break pasted with the key makes no valid header
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        place, trusted = o.base_url.rstrip("/"), certificates.trusted()
        return httpx.Client(base_url=place, timeout=o.timeout, headers=headers, verify=trusted)

    def _ask(
        self,
        client: httpx.Client,
        verb: str,
        path: str,
        *,
        arrived: Callable[[], Json | None] | None = None,
        **request: Any,
    ) -> Json:
        """One request with retries.

        Args:
            client: Connections.
            verb: HTTP method.
            path: Under `base_url`.
            arrived: Asked before another attempt whether the one whose answer got lost had its effect.
            request: For httpx.

        Raises:
            TrainingError: it is refused, or every attempt failed.
        """
        o = self.options
        failure = ""
        for attempt in range(o.retries + 1):
            wait = None
            # A request whose answer got lost may have had its effect: asked for before it is made, and paid, again.
            if attempt and arrived is not None and (effect := arrived()) is not None:
                return effect
            try:
                response = client.request(verb, path, **request)
            except httpx.TimeoutException:
                failure = f"no answer within {o.timeout:g} s"
            except httpx.HTTPError as error:
                failure = f"{type(error).__name__}: {error}"
            else:
                if response.is_success:
                    try:
                        reply: Json = response.json() if response.content else {}
                        return reply
                    except ValueError:
                        failure = f"not JSON: {response.text[:80]!r}"
                else:
                    failure = f"{response.status_code}: {reason(response)}"
                    if response.status_code not in AGAIN:
                        raise TrainingError(
                            f"the endpoint answered {failure} ({verb} {path})", cure=self._cure(response)
                        )
                    wait = retry_after(response)
            if attempt < o.retries:
                # Any part of the pause, so that clients turned away together do not return together.
                pause = self._jitter.uniform(0, o.backoff * 2**attempt) if wait is None else wait
                time.sleep(min(pause, LONGEST_WAIT))
        raise TrainingError(
            f"{verb} {path} failed {o.retries + 1} times at {o.base_url}: {failure}",
            cure="Run the command again later: a job that was started continues at the endpoint and is not paid twice.",
        )

    def _cure(self, response: httpx.Response) -> str:
        o = self.options
        if response.status_code in (401, 403):
            return f"Put a key that may tune {o.model!r} into the environment variable {o.api_key_env}."
        return "Check model, base_url and request in [tuning.trainer.options]."


def _passes(epochs: int, variants: int) -> tuple[int, int]:
    """How many variants of the rows to upload, and how often to read them: together `epochs` passes."""
    # Only by a divisor of the epochs is every variant read equally often.
    used = max(n for n in range(1, min(epochs, variants) + 1) if epochs % n == 0)
    return used, epochs // used


def _line(messages: tuple[Message, ...], completion: str) -> str:
    if not completion.strip():
        question = excerpt(messages[-1].content, 60)
        raise NothingToLearn(f"the answer to {question!r} is empty", cure="Give every example an answer.")
    turns = [{"role": m.role, "content": m.content} for m in messages]
    return json.dumps({"messages": [*turns, {"role": "assistant", "content": completion}]}, ensure_ascii=False)


def _read(directory: Path) -> Json:
    path = directory / STATE
    state: Json = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return state


def _write(directory: Path, state: Json) -> None:
    writing.write(directory / STATE, json.dumps(state))
