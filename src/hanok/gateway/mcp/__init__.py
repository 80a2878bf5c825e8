"""The platform as an MCP server: knowledge bases to search and agents to ask, as tools of whoever has a key."""

from hanok.gateway.mcp.desk import McpDesk
from hanok.gateway.mcp.tools import McpTools

__all__ = ["McpDesk", "McpTools"]
