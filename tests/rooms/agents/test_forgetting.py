"""What is kept no longer goes from everywhere: rows, events, and what threads hold."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from hanok.agents.running import HouseAgency
from tests.rooms.agents.stage import Script, Stage, finished, order

DAY_S = 86_400.0


def rows(folder: Path) -> dict[str, int]:
    """How many rows of how many tables there are."""
    counts: dict[str, int] = {}
    tables = {"agents.db": ("threads", "runs", "events"), "checkpoints.db": ("checkpoints", "writes")}
    for file, names in tables.items():
        with closing(sqlite3.connect(folder / file)) as connection:
            for name in names:
                counts[name] = connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
    return counts


def test_threads_are_kept_as_long_as_their_agent_says_and_all_others_as_runs_say(tmp_path: Path) -> None:
    agents = [{"name": "brief", "memory": {"ttl_s": 3600}}, {"name": "worker"}]
    stage = Stage(tmp_path, Script([{"say": "Done."}]), agents=agents, runs={"retention_days": 7})

    async def work(agency: HouseAgency) -> None:
        for name in ("brief", "worker"):
            ended = await finished(agency, await agency.start(order("go", name)))
            assert ended.state == "done"

    async def live() -> None:
        async with stage.alive() as agency:
            await work(agency)
            await agency.forget_old()
            assert len(await agency.runs(tenant=None)) == 2
            stage.later_s += 7200.0
            await agency.forget_old()
            assert [run.agent for run in await agency.runs(tenant=None)] == ["worker"]
            assert [thread.agent for thread in await agency.threads(tenant=None)] == ["worker"]
            assert min(rows(tmp_path).values()) > 0
            stage.later_s += 7 * DAY_S
            await agency.forget_old()
            assert set(rows(tmp_path).values()) == {0}

    asyncio.run(live())
