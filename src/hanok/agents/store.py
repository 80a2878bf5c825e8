"""Where runs are kept: the seam. SQLite (`stores/sqlite.py`) and PostgreSQL (`stores/postgres.py`) implement it.

Methods block, for milliseconds: `Recorder` and `Worker` call them on a thread of their own. All raise `StoreError`.
Several processes may use one store: `claim` gives a run to one of them alone. `tenant=None` is the machine's own key,
which sees everything; else rows of others are as if they were not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from hanok.agents.values import Event, EventType, Receipt, Run, RunState, Thread, Wish


class RunStore(Protocol):
    """Threads, runs, their events and receipts."""

    def add_thread(self, thread: Thread) -> Thread:
        """Keep a new thread; one of that id and tenant that is there is given back as it is. Raises `Unknown` where
        the id is another tenant's."""
        ...

    def thread(self, id_: str, *, tenant: str | None) -> Thread | None: ...

    def threads(
        self,
        *,
        tenant: str | None,
        agent: str | None = None,
        metadata: dict[str, Any] | None = None,
        below: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Thread]:
        """The latest used first; those of runs below others only where `below` says so."""
        ...

    def change_thread(
        self, id_: str, *, metadata: dict[str, Any] | None = None, used_at: float | None = None
    ) -> None: ...

    def remove_thread(self, id_: str) -> None:
        """With its runs, their events and receipts (its checkpoints are the saver's)."""
        ...

    def add_run(self, run: Run, *, thread: Thread | None = None, queue: int | None = None) -> Run:
        """Keep a new run, `queued`; one of that id that is there is given back as it is. `thread` is kept with it,
        where it is a new one.

        Its thread is used at its `created_at`. Raises `Overloaded` when `queue` runs wait already, `Unknown` where
        the id is another tenant's.
        """
        ...

    def run(self, id_: str, *, tenant: str | None) -> Run | None: ...

    def runs(
        self,
        *,
        tenant: str | None,
        agent: str | None = None,
        thread: str | None = None,
        states: Iterable[RunState] | None = None,
        parent: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Run]:
        """The newest first; `before` is the id of the run after which to go on. Sub-agents' only with `parent`
        (their parent's id) or where `parent` is `"*"`."""
        ...

    def claim(
        self,
        worker: str,
        *,
        now: float,
        lease_s: float,
        most: int,
        ids: Sequence[str] | None = None,
        agents: Sequence[str] | None = None,
    ) -> list[Run]:
        """Take up to `most` runs that are `queued`, or `running` with a lease that is over: the oldest first, one
        thread's never two at once, nothing below a parent (who leads its children itself) unless `ids` name it; where
        given, of `agents` alone.

        On one thread, what was begun comes first, then the oldest; a run does not wait for one above it. They become
        `running`, with this worker's lease, and `attempt` one higher. `taken_from` says who had one that was running.
        """
        ...

    def strangers(self, agents: Sequence[str], *, now: float) -> list[str]:
        """The ids of the oldest runs that wait for somebody who leads them, of none of these agents nor of one of which
        somebody leads a run now; none below a parent."""
        ...

    def renew(self, worker: str, ids: Sequence[str], *, until: float) -> dict[str, Wish | None]:
        """Keep the leases of these runs, and tell what is wished of them; those that were lost are missing."""
        ...

    def release(self, is_dead: Callable[[str], bool]) -> int:
        """End the leases of workers that are known to be dead; how many runs may be claimed now."""
        ...

    def save(self, run: Run, *, worker: str | None = None, events: Sequence[Event] = ()) -> bool:
        """Write what changes of a run (state, used, answer, reason, error, wanted, answers, times) and its new events
        in one transaction; tell whether it could be: False, and nothing written, where `worker` no longer has its
        lease, or, without one, where somebody has, or it has ended and is to end again.

        A lease ends with `running`, and is else only `renew`ed. `wish` is written without a worker; a worker's save
        leaves it, but for `pause` when it is paused, and any when it ends.
        """
        ...

    def wish(self, id_: str, wish: Wish | None) -> None:
        """Ask something of a run that has not ended, whoever has it. `cancel` is not made less by `pause`."""
        ...

    def answer(self, id_: str, answers: dict[str, dict[str, Any]], *, events: Sequence[Event] = ()) -> Run | None:
        """Add answers to what a waiting run wants, and queue it when it has them all; the first answer holds. None, and
        nothing written, where it waits for none of them."""
        ...

    def append(
        self,
        events: Sequence[Event],
        *,
        receipts: Sequence[Receipt] = (),
        folds: Sequence[tuple[str, int, int]] = (),
        runs: Sequence[Run] = (),
        worker: str | None = None,
    ) -> set[str]:
        """Keep events and receipts (later ones of a key replace earlier) in one transaction. An event of `seq` 0 gets
        the next number. `folds` are (run, first seq, last seq) of token events that are not needed any more; `runs`
        are written as `save` does.

        What is appended outlives the process at once; a power cut where a run or a `begun` receipt is among it, else
        after `sync`.

        The ids of runs that are lost: `worker`, where given, no longer has their lease, and nothing was written of
        them.
        """
        ...

    def sync(self) -> None:
        """Have all that was written so far outlive a power cut, too."""
        ...

    def events(
        self, run: str, *, after: int = 0, limit: int = 1000, types: Sequence[EventType] | None = None
    ) -> list[Event]:
        """In their order."""
        ...

    def last_seq(self, run: str) -> int:
        """The number of its latest event, 0 before the first."""
        ...

    def past(self, run: str) -> tuple[int, dict[str, Receipt]]:
        """What it has come to: `last_seq` and `receipts`."""
        ...

    def receipts(self, run: str) -> dict[str, Receipt]:
        """All of a run's, by their keys."""
        ...

    def prune(self, *, ended_before: float, threads_before: float, agent: str | None = None) -> list[str]:
        """Forget runs that ended before, with those below them, and threads without runs that were last used before,
        of one agent or of all; the ids of threads that went, whose checkpoints are to go with them."""
        ...

    def close(self) -> None: ...
