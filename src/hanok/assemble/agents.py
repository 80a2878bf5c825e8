"""The agents' wing of a house, built when agents are first declared: LangGraph is imported then, not before."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hanok.errors import StartError
from hanok.knowledge.library import Library
from hanok.ledger import Admission, Allotment
from hanok.spec import Agent, Loaded
from hanok.telemetry import Trace, hand_on, in_child_span
from hanok.wire import Caller, ModelPath

if TYPE_CHECKING:
    from hanok.agents.running import HouseAgency
    from hanok.agents.tool import Tool


class Wing:
    """Agents of a house, or none. `serves` says whether this process takes calls, and so all runs that wait."""

    def __init__(
        self,
        *,
        models: ModelPath,
        library: Library,
        admission: Admission,
        serves: Callable[[], bool],
    ) -> None:
        self.agency: HouseAgency | None = None
        self.replaced: dict[str, Tool] = {}
        """Tools that stand for declared ones, by their names, from the first run on: tests put theirs here."""
        self._models = models
        self._library = library
        self._admission = admission
        self.trace: Trace = hand_on
        self._serves = serves
        self._built = asyncio.Event()

    async def build(self, loaded: Loaded) -> None:
        """Build it for this platform, if that declares agents and there is none. Raises `StartError`, `StoreError`."""
        if not loaded.platform.agents or self.agency is not None:
            return
        running = _load("hanok.agents.running")
        around = _load("hanok.agents.tools.surroundings").Surroundings(
            folder=loaded.folder,
            state=loaded.state,
            models=self._models,
            library=self._library,
            replaced=self.replaced,
        )
        outside = running.Outside(around=around, allot=self._allot, in_span=self._in_span, told=_told)
        store, checkpoints = await _load("hanok.agents.stores.opening").open_all(loaded)
        self.agency = running.HouseAgency(
            loaded=loaded, store=store, checkpoints=checkpoints, outside=outside, serves=self._serves
        )
        self._built.set()

    def change(self, loaded: Loaded) -> None:
        """Go on with what this platform declares."""
        if self.agency is not None:
            self.agency.change(loaded)

    async def live(self) -> None:
        """For ever: lead what waits."""
        await self._built.wait()
        if self.agency is not None:
            await self.agency.live()

    async def aclose(self) -> None:
        """Let go of all runs."""
        if self.agency is not None:
            await self.agency.close()

    def _allot(self, caller: Caller, run: str, amounts: tuple[int | None, int | None] | None) -> None:
        allotment = None if amounts is None else Allotment(cost_nano_usd=amounts[0], tokens=amounts[1])
        self._admission.lead(caller.tenant, run, allotment)

    def _in_span(self, caller: Caller) -> Caller:
        return in_child_span(caller, self.trace)


def _told(agent: Agent) -> str:
    return agent.system_prompt or ""


def _load(module: str) -> Any:
    """Raises `StartError` where the extra is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = (error.name or module).partition(".")[0]
        message = f"agents are declared, and {missing} is not installed"
        raise StartError(message, hint='pip install "hanok[agents]"') from error
