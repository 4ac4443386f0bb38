"""`twofold config --pipeline`."""

from __future__ import annotations

from twofold.cli.config import diagram, mermaid, stages_of
from twofold.config import Config


def test_the_pipeline_is_drawn() -> None:
    config = Config.model_validate(
        {
            "retrieval": {
                "preset": "advanced",
                "rerankers": [{"name": "mmr", "options": {"relevance": 0.5}}],
                "budget": 300,
            }
        }
    )
    stages = stages_of(config)
    kinds = [stage["kind"] for stage in stages]
    assert kinds == ["rewriter"] * len(config.retrieval.rewriters) + ["retriever", "reranker", "context"]
    assert stages[-2] == {"kind": "reranker", "name": "mmr", "options": {"relevance": 0.5}}
    assert stages[-1]["options"] == {"k": 3, "depth": 40, "budget": 300}
    text, chart = diagram(stages), mermaid(stages)
    assert text.startswith("question\n")
    assert "reranker   mmr  (relevance=0.5)" in text
    assert chart.count("-->") == len(stages)
