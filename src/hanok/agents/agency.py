"""The agency: what doors and commands ask of agents. One for each house.

It starts nothing by itself: an order becomes a row, and the workers of every process that shares the store see it.
`tenant` is whose things may be seen; `None` is this machine's own key, which sees all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from hanok.agents.values import Event, Order, Run, RunState, Thread
from hanok.spec import Agent


class Snapshot(Protocol):
    """A thread's state at one checkpoint. `values` are plain JSON; `next` the nodes that come; `interrupts` what it
    waits for; `at` is Unix seconds."""

    @property
    def checkpoint(self) -> str: ...
    @property
    def parent(self) -> str | None: ...
    @property
    def values(self) -> dict[str, Any]: ...
    @property
    def next(self) -> tuple[str, ...]: ...
    @property
    def interrupts(self) -> tuple[dict[str, Any], ...]: ...
    @property
    def metadata(self) -> dict[str, Any]: ...
    @property
    def at(self) -> float: ...


class Agency(Protocol):
    """What is done with agents, whoever asks."""

    def agents(self) -> tuple[Agent, ...]:
        """The declared ones."""
        ...

    def agent(self, name: str) -> Agent:
        """Raises `Unknown`."""
        ...

    async def graph(self, name: str) -> str:
        """How its steps follow one another, as a Mermaid flowchart. Raises `Unknown`, `AgentError`."""
        ...

    async def start(self, order: Order) -> Run:
        """Write the run's row and have it done. Raises `Unknown` (agent, thread, checkpoint), `Overloaded` (the queue
        is full), `RequestError` (limits beyond the agent's, a thread of another agent)."""
        ...

    async def run(self, id_: str, *, tenant: str | None) -> Run:
        """Raises `Unknown`."""
        ...

    async def runs(
        self,
        *,
        tenant: str | None,
        agent: str | None = None,
        thread: str | None = None,
        states: Sequence[RunState] | None = None,
        parent: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Run]: ...

    def events(self, id_: str, *, tenant: str | None, after: int = 0, wait: bool = True) -> AsyncIterator[Event]:
        """Events after that one, as they come, until the run has ended or waits for a person (`wait=False`: only those
        that are there). Raises `Unknown`."""
        ...

    async def ended(self, id_: str, *, tenant: str | None) -> Run:
        """Wait until it has ended, or waits for a person."""
        ...

    async def answer(self, id_: str, answers: dict[str, dict[str, Any]], *, tenant: str | None, by: str) -> Run:
        """Answer what it wants, by the requests' ids: `{"approve": true}`, `{"approve": false, "reason": …}`,
        `{"approve": true, "arguments": {…}}` (edited), or `{"text": …}` for a question; `{"value": …}` for what a
        user's own graph interrupts with. Raises `Unknown`, `RequestError` when it wants nothing of the kind, or when
        the key that ordered it opens nothing any more: then it has failed."""
        ...

    async def cancel(self, id_: str, *, tenant: str | None) -> Run:
        """And everything below it. One that has ended stays as it is."""
        ...

    async def pause(self, id_: str, *, tenant: str | None) -> Run:
        """After the call at hand."""
        ...

    async def resume(self, id_: str, *, tenant: str | None) -> Run:
        """Go on after a pause, or try again after a failure. Raises `RequestError` where neither can be."""
        ...

    async def thread(self, id_: str, *, tenant: str | None) -> Thread: ...

    async def add_thread(self, thread: Thread) -> Thread: ...

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
        """The latest used first; those of sub-agents only where `below` says so."""
        ...

    async def change_thread(self, id_: str, *, tenant: str | None, metadata: dict[str, Any]) -> Thread: ...

    async def remove_thread(self, id_: str, *, tenant: str | None) -> None:
        """With everything in it; what runs on it is cancelled first."""
        ...

    async def state(self, thread: str, *, tenant: str | None, checkpoint: str | None = None) -> Snapshot | None:
        """The thread's state, now or at a checkpoint; None before its first."""
        ...

    async def history(
        self, thread: str, *, tenant: str | None, limit: int = 20, before: str | None = None
    ) -> Sequence[Snapshot]:
        """The latest first."""
        ...

    async def copy_thread(self, thread: str, *, tenant: str | None, checkpoint: str | None = None) -> Thread:
        """A thread of its own that begins with what was there at that checkpoint."""
        ...

    async def set_state(
        self,
        thread: str,
        values: dict[str, Any],
        *,
        tenant: str | None,
        node: str | None = None,
        checkpoint: str | None = None,
    ) -> str:
        """Change a thread's state as that node would have; the new checkpoint's id."""
        ...
