"""A toolbox with tools that are always there."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.agents.tool import Tool


class Ready:
    """Tools that need no opening."""

    def __init__(self, *tools: Tool) -> None:
        self._tools = tools

    async def open(self) -> Sequence[Tool]:
        """These."""
        return self._tools

    async def aclose(self) -> None:
        """Nothing is open."""
