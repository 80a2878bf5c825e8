"""Agents over HTTP: their own desk, agents asked as models, and LangGraph's Agent Protocol. All by one `Agency`."""

from hanok.gateway.agents.delegated import Delegated
from hanok.gateway.agents.desk import Agents
from hanok.gateway.agents.memories import Memories
from hanok.gateway.agents.protocol import AgentProtocol

__all__ = ["AgentProtocol", "Agents", "Delegated", "Memories"]
