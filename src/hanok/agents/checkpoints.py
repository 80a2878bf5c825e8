"""temporary"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver


class Checkpoints:
    def __init__(self, saver: Any, conn: Any) -> None:
        self.saver = saver
        self._conn = conn

    async def keep_latest(self, thread: str, most: int) -> None: ...
    async def remove(self, thread: str) -> None:
        await self.saver.adelete_thread(thread)

    async def copy(self, thread: str, to: str, *, checkpoint: str | None = None) -> None: ...
    async def aclose(self) -> None:
        await self._conn.close()


async def open_checkpoints(state: Path, database: str | None = None) -> Checkpoints:
    conn = await aiosqlite.connect(state / "checkpoints.db")
    saver = AsyncSqliteSaver(conn)
    await saver.setup()
    await conn.execute("PRAGMA synchronous=NORMAL")
    return Checkpoints(saver, conn)
