"""Every reply names its request, and a completion's id contains that name."""

from __future__ import annotations

from serving_process import Running


def test_a_completion_is_found_by_its_request(server: Running) -> None:
    body = {"model": "rag", "messages": [{"role": "user", "content": "What does parking cost?"}]}
    with server.client() as client:
        model = client.get("/v1/models").json()["data"][0]["id"]
        replies = [client.post("/v1/chat/completions", json={**body, "model": model}) for _ in range(2)]
        absent = client.get("/nowhere")
    names = [reply.headers["x-request-id"] for reply in replies]
    assert [reply.json()["id"] for reply in replies] == [f"chatcmpl-{name}" for name in names]
    assert len({*names, absent.headers["x-request-id"]}) == 3
