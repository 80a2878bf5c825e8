"""Threads: conversations, whose states are what their checkpoints say."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from hanok.agents.preparing import Preparing
from hanok.agents.snapshots import Checkpoint, no_checkpoint, read_history, read_state, write_state
from hanok.agents.values import Order, Run, Thread
from hanok.errors import RequestError, Unknown
from hanok.spec import Agent
from hanok.wire import Caller


class Conversing(Preparing):
    """Threads of a house, kept and forgotten."""

    async def thread(self, id_: str, *, tenant: str | None) -> Thread:
        found: Thread | None = await self._in_thread(self._store.thread, id_, tenant=tenant)
        if found is None:
            raise Unknown(f"there is no thread {id_!r}", param="thread", code="thread_not_found")
        return found

    async def add_thread(self, thread: Thread) -> Thread:
        now = self._clock()
        made: Thread = await self._in_thread(
            self._store.add_thread, replace(thread, created_at=thread.created_at or now, used_at=now)
        )
        return made

    async def threads(
        self,
        *,
        tenant: str | None,
        agent: str | None = None,
        metadata: dict[str, Any] | None = None,
        below: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Thread]:
        listed: list[Thread] = await self._in_thread(
            self._store.threads, tenant=tenant, agent=agent, metadata=metadata, below=below, limit=limit, offset=offset
        )
        return listed

    async def change_thread(self, id_: str, *, tenant: str | None, metadata: dict[str, Any]) -> Thread:
        await self.thread(id_, tenant=tenant)
        await self._in_thread(self._store.change_thread, id_, metadata=metadata)
        return await self.thread(id_, tenant=tenant)

    async def state(self, thread: str, *, tenant: str | None, checkpoint: str | None = None) -> Checkpoint | None:
        graph = await self._graph_of_thread(await self.thread(thread, tenant=tenant))
        if graph is None:
            return None
        return await read_state(graph, thread, checkpoint)

    async def history(
        self, thread: str, *, tenant: str | None, limit: int = 20, before: str | None = None
    ) -> list[Checkpoint]:
        graph = await self._graph_of_thread(await self.thread(thread, tenant=tenant))
        if graph is None:
            return []
        return await read_history(graph, thread, limit=limit, before=before)

    async def copy_thread(self, thread: str, *, tenant: str | None, checkpoint: str | None = None) -> Thread:
        source = await self.thread(thread, tenant=tenant)
        id_, now = f"thread_{secrets.token_hex(12)}", self._clock()
        copy = replace(source, id=id_, agent=await self._agent_of_thread(source), created_at=now, used_at=now)
        made: Thread = await self._in_thread(self._store.add_thread, copy)
        copied = await self._checkpoints.copy(thread, made.id, checkpoint=checkpoint)
        if copied is None and checkpoint is not None:
            await self._in_thread(self._store.remove_thread, made.id)
            raise no_checkpoint(thread, checkpoint)
        return made

    async def set_state(
        self,
        thread: str,
        values: dict[str, Any],
        *,
        tenant: str | None,
        node: str | None = None,
        checkpoint: str | None = None,
    ) -> str:
        graph = await self._graph_of_thread(await self.thread(thread, tenant=tenant))
        if graph is None:
            raise RequestError(f"thread {thread!r} has no agent yet: run one on it first", param="thread")
        return await write_state(graph, thread, values, node=node, checkpoint=checkpoint)

    async def _thread_for(self, order: Order, agent: Agent) -> tuple[Thread, bool]:
        """Its thread, and whether that is a new one, which is not kept yet."""
        tenant = order.caller.tenant
        if order.thread is None:
            return self._new_thread(f"thread_{secrets.token_hex(12)}", agent.name, order.caller), True
        found: Thread | None = await self._in_thread(self._store.thread, order.thread, tenant=tenant)
        if found is None:
            raise Unknown(f"there is no thread {order.thread!r}", param="thread", code="thread_not_found")
        if found.agent not in (None, agent.name):
            message = f"thread {found.id!r} is one of agent {found.agent!r}"
            raise RequestError(message, param="thread", code="thread_of_another_agent")
        return found, False

    def _new_thread(self, id_: str, agent: str, caller: Caller) -> Thread:
        now = self._clock()
        return Thread(id=id_, tenant=caller.tenant, user=caller.user, agent=agent, created_at=now, used_at=now)

    # their graphs

    async def _agent_of_thread(self, thread: Thread) -> str | None:
        """Whose it is: that of its latest run, where it was made for none."""
        if thread.agent is not None:
            return thread.agent
        latest: list[Run] = await self._in_thread(self._store.runs, tenant=None, thread=thread.id, limit=1)
        return latest[0].agent if latest else None

    async def _graph_of_thread(self, thread: Thread) -> Any:
        name = await self._agent_of_thread(thread)
        declared = self._platform.agent(name) if name else None
        return None if declared is None else self._keep(declared).graph

    # forgetting

    async def forget_old(self) -> None:
        """Forget runs and threads that are kept no longer, as `runs` and each agent's `memory` say, with all that
        threads hold. Raises `StoreError`."""
        await self._forget(self._platform.runs.retention_days * 86_400, None)
        for agent in self._platform.agents:
            if agent.memory.ttl_s is not None:
                await self._forget(agent.memory.ttl_s, agent.name)

    async def _forget(self, kept_s: float, agent: str | None) -> None:
        before = self._clock() - kept_s
        gone: list[str] = await self._in_thread(
            self._store.prune, ended_before=before, threads_before=before, agent=agent
        )
        for thread in gone:
            await self._checkpoints.remove(thread)
