"""LangGraph's Agent Protocol: assistants, threads and runs for its SDKs, over the same agency."""

from hanok.gateway.agents.protocol.desk import AgentProtocol

__all__ = ["AgentProtocol"]
