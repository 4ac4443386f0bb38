"""LlamaIndex's OpenAI chat class, in an environment of its own: it needs an older `openai` than the tests have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from serving_process import Running

PACKAGE = "llama-index-llms-openai-like==0.8.1"
"""LlamaIndex's OpenAI class for models that OpenAI does not have, over the same `llama-index-llms-openai`."""
PROGRAM = """
import asyncio, json, sys
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

llm = OpenAILike(model="rag", api_base=sys.argv[1], api_key="none", is_chat_model=True, max_retries=0)
question = ChatMessage(role="user", content="What does parking cost?")
whole = llm.chat([question])
follow = llm.chat([question, whole.message, ChatMessage(role="user", content="and on Sunday?")])
pieces = [piece.delta for piece in llm.stream_chat([question])]
later = asyncio.run(llm.achat([question]))
fault = ""
try:
    OpenAILike(model="gpt-4", api_base=sys.argv[1], api_key="none", is_chat_model=True, max_retries=0).chat([question])
except Exception as error:
    fault = type(error).__name__
print(json.dumps({
    "whole": whole.message.content,
    "citations": [one["document"] for one in whole.raw.choices[0].message.citations],
    "follow": follow.message.content,
    "pieces": len(pieces),
    "streamed": "".join(pieces),
    "complete": llm.complete("When does the canteen open?").text,
    "later": later.message.content,
    "fault": fault,
}))
"""


@pytest.mark.slow
def test_llamaindex_asks_whole_as_a_stream_and_in_a_conversation(server: Running, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python = str(tmp_path / "env" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", PACKAGE], check=True, capture_output=True)
    printed = subprocess.run(
        [python, "-c", PROGRAM, f"{server.url}/v1"], check=True, capture_output=True, text=True, env={}
    ).stdout
    answer = "Parking costs 4 euros a day. [1]"
    said = json.loads(printed)
    assert said.pop("pieces") > 3
    assert said == {
        "whole": answer,
        "citations": ["parking"],
        "follow": "It is free on Sunday. [1]",
        "streamed": answer,
        "complete": "The canteen opens at seven. [1]",
        "later": answer,
        "fault": "NotFoundError",
    }
