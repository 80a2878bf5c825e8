"""The agents' wing of a house, built when agents are first declared: LangGraph is imported then, not before."""

from __future__ import annotations

import asyncio
import importlib
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from hanok.agents.prompts.checking import unset_prompts
from hanok.agents.prompts.load import declared_prompts
from hanok.agents.prompts.store import Prompts
from hanok.agents.together import live_together
from hanok.assemble.watching import AgentsWatch
from hanok.errors import StartError
from hanok.gateway import Desk, Giving, Reception
from hanok.gateway.agents import AgentProtocol, Agents, Memories
from hanok.gateway.mcp import McpDesk, McpTools
from hanok.knowledge.library import Library
from hanok.ledger import Admission, Allotment, KeyRing
from hanok.spec import Agent, Loaded, Platform
from hanok.telemetry import Deed, Metrics, Trace, hand_on, in_child_span
from hanok.wire import Answer, Caller, ChatRequest, ModelPath, TaskRequest, TaskResult

if TYPE_CHECKING:
    from hanok.agents.memory.remembering import Remembering
    from hanok.agents.running import HouseAgency
    from hanok.agents.tool import Tool
    from hanok.agents.tools.memory import LongTermMemory


_log = logging.getLogger(__name__)


class Wing:
    """Agents of a house, or none. `serves` says whether this process takes calls, and so all runs that wait."""

    def __init__(
        self,
        *,
        models: ModelPath,
        library: Library,
        admission: Admission,
        keys: KeyRing,
        serves: Callable[[], bool],
        metrics: Metrics,
        tell: Callable[[Deed], None],
    ) -> None:
        self.agency: HouseAgency | None = None
        self.replaced: dict[str, Tool] = {}
        """Tools that stand for declared ones, by their names, from the first run on: tests put theirs here."""
        self._models = models
        self._library = library
        self._admission = admission
        self._keys = keys
        self.trace: Trace = hand_on
        self._serves = serves
        self._metrics = metrics
        self._watch = AgentsWatch(metrics, trace=lambda: self.trace, tell=tell, platform=self._declared)
        self._built = asyncio.Event()
        self._open = AsyncExitStack()
        self._prompts: Prompts | None = None
        self._memory: LongTermMemory | None = None
        self._platform: Platform | None = None
        self._mcp: McpDesk | None = None
        self._since = time.time()

    async def build(self, loaded: Loaded) -> None:
        """Build it for this platform, if that declares agents and there is none. Raises `StartError`, `StoreError`."""
        self._platform = loaded.platform
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
        opening = _load("hanok.agents.stores.opening")
        memory = self._memory = opening.open_memory(
            loaded, self._open, models=_InSpans(self._models, self._in_span), platform=self._declared
        )
        outside = running.Outside(
            around=around,
            allot=self._allot,
            in_span=self._in_span,
            told=self._told,
            pinned=self._pinned,
            recalled=memory.recalled,
            key_ended=self._key_ended,
            extra_tools=memory.tools,
            watcher=self._watch,
        )
        store, checkpoints = await opening.open_all(loaded, self._open)
        agency: HouseAgency = running.HouseAgency(
            loaded=loaded, store=store, checkpoints=checkpoints, outside=outside, serves=self._serves
        )
        self.agency = agency
        self._metrics.watch("hanok_agent_running_runs", "Runs that work now.", ["agent"], lambda: _by_agent(agency))
        self._built.set()

    def desks(self, *, reception: Reception, giving: Giving, leaving: Callable[[], bool]) -> list[Desk]:
        """Who answers for agents at the door: over HTTP, LangGraph's protocol and MCP (which has knowledge, too).

        The first lists no agents where none are declared.
        """
        mcp = self._mcp = self._mcp or self._make_mcp(reception, leaving)
        agents = Agents(
            self.agency,
            reception=reception,
            giving=giving,
            new_id=new_id,
            leaving=leaving,
            memories=None if self.remembering is None else Memories(self.remembering),
        )
        if self.agency is None:
            return [agents, mcp]
        protocol = AgentProtocol(
            self.agency,
            reception=reception,
            giving=giving,
            new_id=new_id,
            leaving=leaving,
            created=self._since,
        )
        return [agents, protocol, mcp]

    def _make_mcp(self, reception: Reception, leaving: Callable[[], bool]) -> McpDesk:
        """One for good: calls that run are not touched when the platform changes."""
        tools = McpTools(
            library=self._library, agency=lambda: self.agency, reception=reception, new_id=new_id, leaving=leaving
        )
        mcp = McpDesk(tools, reception=reception, url=self._url)
        self._open.push_async_callback(mcp.aclose)
        return mcp

    async def take_up(self, loaded: Loaded) -> None:
        """Keep this platform's prompts, and build the wing if it is needed. Raises `AgentError` for a prompt that
        cannot be read, and as `build` does."""
        if loaded.platform.prompts:
            self._prompts = self._prompts or Prompts(loaded.state)
            await asyncio.to_thread(self._prompts.record, declared_prompts(loaded), now=time.time())
            for problem in await asyncio.to_thread(unset_prompts, loaded, self._prompts):
                _log.warning("%s", problem)
        await self.build(loaded)

    @property
    def remembering(self) -> Remembering | None:
        """What agents remember beyond their threads; None where no agents are declared."""
        return None if self._memory is None else self._memory.remembering

    def change(self, loaded: Loaded) -> None:
        """Go on with what this platform declares."""
        self._platform = loaded.platform
        if self.agency is not None:
            self.agency.change(loaded)

    async def live(self) -> None:
        """For ever: lead what waits."""
        await self._built.wait()
        if self.agency is not None and self._memory is not None:
            await live_together(self.agency.live(), self._memory.live())

    async def aclose(self) -> None:
        """Let go of all runs."""
        if self.agency is not None:
            await self.agency.close()
        await self._open.aclose()

    def _allot(self, caller: Caller, run: str, amounts: tuple[int | None, int | None] | None) -> None:
        allotment = None if amounts is None else Allotment(cost_nano_usd=amounts[0], tokens=amounts[1])
        self._admission.lead(caller.tenant, run, allotment)

    def _declared(self) -> Platform:
        assert self._platform is not None, "the wing is built for a platform"
        return self._platform

    def _url(self) -> str | None:
        url = self._declared().gateway.url
        return None if url is None else str(url)

    def _told(self, agent: Agent, version: str | None) -> str:
        """What an agent is told: of a declared prompt, this version, or the one that is meant now. Raises
        `AgentError`."""
        if agent.prompt is None or self._prompts is None:
            return agent.system_prompt or ""
        return self._prompts.resolve(version or agent.prompt).text

    def _pinned(self, agent: Agent) -> str:
        """The version that is meant now, by its hash. Raises `AgentError`."""
        assert agent.prompt is not None
        assert self._prompts is not None
        version = self._prompts.resolve(agent.prompt)
        return f"{version.name}@{version.hash}"

    def _key_ended(self, caller: Caller) -> str | None:
        return self._keys.ended(caller.key_id)

    def _in_span(self, caller: Caller) -> Caller:
        return in_child_span(caller, self.trace)


class _InSpans:
    """Models whose every call has a span of its own, below the one that its caller is in."""

    def __init__(self, models: ModelPath, in_span: Callable[[Caller], Caller]) -> None:
        self._models = models
        self._in_span = in_span

    async def open(self, request: ChatRequest) -> Answer:
        """As the models do."""
        return await self._models.open(msgspec.structs.replace(request, caller=self._in_span(request.caller)))

    async def perform(self, request: TaskRequest) -> TaskResult:
        """As the models do."""
        return await self._models.perform(msgspec.structs.replace(request, caller=self._in_span(request.caller)))


def _by_agent(agency: HouseAgency) -> dict[tuple[str, ...], float]:
    return {(agent,): float(count) for agent, count in agency.led().items()}


def new_id(prefix: str) -> str:
    """An id that nobody can guess."""
    return f"{prefix}_{secrets.token_hex(12)}"


def _load(module: str) -> Any:
    """Raises `StartError` where the extra is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = (error.name or module).partition(".")[0]
        message = f"agents are declared, and {missing} is not installed"
        raise StartError(message, hint='pip install "hanok[agents]"') from error
