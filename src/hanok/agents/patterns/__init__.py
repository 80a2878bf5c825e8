"""Patterns: which step follows which. Each is a LangGraph `StateGraph` over the shared `State`; `Work` is its context."""
