"""Patterns: which step follows which. Each is a LangGraph `StateGraph` over the shared `State`, with `Work`."""
