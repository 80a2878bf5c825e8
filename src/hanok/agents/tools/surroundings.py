"""What tools are made with."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hanok.agents.tool import Tool
from hanok.knowledge.values import Found, Question
from hanok.spec import Agent, Knowledge
from hanok.wire import ModelPath


class Searches(Protocol):
    """Finds passages: `knowledge.library.Library` does."""

    def base(self, name: str) -> Knowledge: ...

    def search(self, question: Question) -> Coroutine[Any, Any, Found]: ...


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """`folder` is that of platform.yaml, `state` the state folder; `agents` are the declared ones, by their names;
    `others` gives an agent's other tools (for code that may call them); `replaced` are tools that stand for declared
    ones, by their names: tests put theirs here."""

    folder: Path
    state: Path
    models: ModelPath
    library: Searches
    agents: Mapping[str, Agent] = field(default_factory=dict[str, Agent])
    others: Callable[[], Sequence[Tool]] = tuple
    replaced: Mapping[str, Tool] = field(default_factory=dict[str, Tool])
