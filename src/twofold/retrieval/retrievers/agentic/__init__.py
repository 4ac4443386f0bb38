"""The agentic retriever: a bounded loop of plan, fetch and judge."""
