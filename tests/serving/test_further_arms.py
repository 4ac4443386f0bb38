"""Arms beyond the four over HTTP: a linear model, and answers that are held to labels."""

from __future__ import annotations

import json
import random
from pathlib import Path

from serving_process import served

from small_project import write_project

DOCUMENTS = [{"id": "d", "title": "On repairs", "text": "Repairs are done on Monday."}]
CHAT = "/v1/chat/completions"
WORDS = {"leak": "plumber", "spark": "electrician", "crack": "mason"}


def test_a_linear_model_and_a_constrained_arm_answer_with_labels(tmp_path: Path) -> None:
    directory = write_project(tmp_path / "p", DOCUMENTS, [], copies=1, settings="")
    chance, rows = random.Random(4), []
    for number in range(90):
        word = list(WORDS)[number % 3]
        place = " ".join("".join(chance.choices("abcdefghij", k=6)) for _ in range(5))
        rows.append({"id": f"t{number}", "question": f"There is a {word} at {place}.", "answers": [WORDS[word]]})
    (directory / "data" / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    messages = [{"role": "user", "content": "There is a spark at the door."}]
    with served(directory, "--unmeasured", "--arm", "linear", "--arm", "schema") as server, server.client() as client:
        models = {model["id"] for model in client.get("/v1/models").json()["data"]}
        linear = client.post(CHAT, json={"model": "linear", "messages": messages}).json()
        schema = client.post(CHAT, json={"model": "schema", "messages": messages}).json()
        pieces = client.post(CHAT, json={"model": "schema", "messages": messages, "stream": True}).text
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
        refused = client.post(CHAT, json={"model": "linear", "messages": messages, "response_format": form})
    assert {"linear", "schema"} <= models
    assert linear["choices"][0]["message"]["content"] == "electrician"
    assert (linear["usage"]["prompt_tokens"], linear["usage"]["completion_tokens"]) == (0, 0)
    assert schema["choices"][0]["message"]["content"] in WORDS.values(), "without the quotes of JSON"
    events = [json.loads(line[6:]) for line in pieces.splitlines() if line.startswith("data: {")]
    text = "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])
    assert text == schema["choices"][0]["message"]["content"]
    assert refused.status_code == 400
