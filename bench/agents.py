"""What a step of an agent costs beside a bare LangGraph graph, how many runs one process leads, how soon a killed one
goes on, and what checkpoints take.

    .venv/bin/python bench/agents.py             # three minutes, and once the installation of the others
    .venv/bin/python bench/agents.py --quick     # half a minute, without the others
    .venv/bin/python bench/agents.py --json
    .venv/bin/python bench/agents.py --only concurrent --database redis://127.0.0.1:6379/0

All ask the same scripted model in their own process and use the same tool, which gives back what it was given; a step
is a model call, with the tool call that follows it. `bare` is LangGraph's own loop of two nodes over a plain list of
messages, with LangGraph's SQLite saver (`synchronous = NORMAL`, as ours) and `durability="sync"`; all its functions are
async, which saves it a thread for the choice of the next node. Hanok keeps, beside checkpoints, each run's row, its
events, and a receipt of each call. Python's collector of garbage is told for both what `hanok up` tells it. Rounds of
both follow one another, and each is told beside its neighbour: the median of the ratios is what counts. Parts:
`overhead`, `concurrent`, `resume`, `checkpoints`, `others`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import operator
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypedDict

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

from rich.console import Console  # noqa: E402

from launch import NotInstalled, install_once, install_python  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hanok-bench"
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}
OTHERS = ("langchain==1.4.7", "langgraph==1.2.22", "langgraph-checkpoint-sqlite==3.1.2", "pydantic-ai-slim==2.68.0")
LEASE_S = 5
DATABASE = "HANOK_BENCH_DATABASE"
TARGETS = {"step_overhead_ratio": 1.3, "resume_s": 1.0}
talk = Console(stderr=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, without the others")
    parser.add_argument("--only", choices=tuple(PARTS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--database", help="keep ours there, as `runs.database` says; by default SQLite in a new folder"
    )
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.database is not None:
        os.environ[DATABASE] = options.database  # children read it
        for looks_into_files in ("resume", "checkpoints"):
            del PARTS[looks_into_files]
    if options.child is not None:
        print(json.dumps(asyncio.run(CHILDREN[options.child[0]](*options.child[1:]))), flush=True)
        return
    found: dict[str, Any] = {}
    for name, part in PARTS.items():
        if options.only in (None, name) and not (options.quick and name == "others"):
            with talk.status(name):
                found |= part(options.quick)
    for name, most in TARGETS.items():
        if name in found:
            talk.print(f"{name} {found[name]}: {'reached' if found[name] <= most else 'NOT reached'} (at most {most})")
    print(json.dumps(found, indent=2)) if options.json else talk.print(found)


# the parts


def overhead(quick: bool) -> dict[str, Any]:
    """Time a step, ours and bare by turns; of the whole run, from its order to its end."""
    told = child("overhead", 6 if quick else 20, 20)
    pairs = list(zip(told["hanok"], told["bare"], strict=True))
    return {
        "step_overhead_ratio": middle(one["s"] / other["s"] for one, other in pairs),
        "step_cpu_ratio": middle(one["cpu_s"] / other["cpu_s"] for one, other in pairs),
        "step_ms": middle(1000 * each["s"] for each in told["hanok"]),
        "bare_step_ms": middle(1000 * each["s"] for each in told["bare"]),
    }


def concurrent(quick: bool) -> dict[str, Any]:
    """Two hundred runs of ten steps at once in one process; the same of the bare graph in another."""
    runs = 60 if quick else 200
    ours, bare = [], []
    for _ in range(1 if quick else 3):
        ours.append(child("many_hanok", runs, 10))
        bare.append(child("many_bare", runs, 10))
    keys = ("runs_per_s", "step_p99_ms", "memory_kib_per_run", "cpu_ms_per_run", "loop_turn_p99_ms")
    told = {"concurrent_runs": runs, **{key: middle(each[key] for each in ours) for key in keys}}
    return told | {f"bare_{key}": middle(each[key] for each in bare) for key in keys}


def resume(quick: bool) -> dict[str, Any]:
    """`kill -9` in the middle of a run; from the next agency's start to the next step. `resume_s` as a process of the
    same machine sees it, `resume_by_lease_s` where only the lease of five seconds tells, and
    `resume_process_s` from the start of the new process, which imports LangGraph first."""
    rounds = 2 if quick else 5
    seen, leased = [resumed("seen") for _ in range(rounds)], [resumed("leased") for _ in range(rounds)]
    return {
        "resume_s": middle(each["resume_s"] for each in seen),
        "resume_process_s": middle(each["process_s"] for each in seen),
        "resume_by_lease_s": middle(each["resume_s"] for each in leased),
    }


def resumed(how: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        first = spawn("die", folder)
        assert first.stdout is not None
        first.stdout.readline()
        first.send_signal(signal.SIGKILL)
        first.wait()
        first.stdout.close()
        began = time.time()
        told = child("go_on", folder, how)
        return {"resume_s": told["step"] - told["agency"], "process_s": told["step"] - began}


def checkpoints(quick: bool) -> dict[str, Any]:
    """Bytes that checkpoints of one thread of a hundred steps take, a step, in its halves: linear when alike. All
    of them are kept for this; a platform keeps the latest 50."""
    told = child("checkpoints", 40 if quick else 100)
    return {
        "checkpoint_steps": told["steps"],
        "checkpoint_bytes_per_step": told["whole"] // told["steps"],
        "checkpoint_bytes_per_step_first_half": told["half"] // (told["steps"] // 2),
        "checkpoint_bytes_kept": told["kept"],
        "bare_checkpoint_bytes_per_step": told["bare"] // told["steps"],
    }


def others(quick: bool) -> dict[str, Any]:
    """The same task with LangChain's agent (with LangGraph's saver) and with pydantic-ai (which keeps nothing)."""
    try:
        folder = install_once(CACHE, "agents-1", not quick, lambda into: install_python(into, list(OTHERS)))
    except NotInstalled as reason:
        return {"others": str(reason)}
    python = str(folder / "venv/bin/python")
    command = [python, str(HERE / "agents_others.py"), "10", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"others": done.stderr.strip().splitlines()[-1:]}
    return {"others": json.loads(done.stdout)}


# the scripted task


def script(steps: int, delay_ms: float = 0) -> Any:
    """A model that uses the tool in all steps but the last."""
    from hanok.serving.engines.script import ScriptEngine
    from hanok.spec import ScriptEndpoint

    turns: list[dict[str, Any]] = [{"call": {"name": "look", "arguments": {"x": at}}} for at in range(steps - 1)]
    turns = [{**turn, "delay_ms": delay_ms} for turn in [*turns, {"say": "Done."}]]
    spec = ScriptEndpoint.model_validate({"engine": "script", "ordered": True, "turns": turns})
    return ScriptEngine(spec, model="m", endpoint="m#1")


class Look:
    """The tool, as an agent of ours has it."""

    def __init__(self) -> None:
        from hanok.agents.tool import ToolSpec

        self.spec = ToolSpec(name="look", description="look", parameters=SCHEMA, safe=True)

    async def use(self, call: Any) -> Any:
        from hanok.agents.tool import ToolResult

        return ToolResult(content=str(call.arguments["x"]))


@contextlib.asynccontextmanager
async def hanok(folder: Path, engine: Any, **runs: Any) -> AsyncIterator[Any]:
    """An agency that leads runs, without a house around it."""
    from hanok.agents.running import HouseAgency, Outside
    from hanok.agents.stores.checkpoints import open_checkpoints
    from hanok.agents.stores.opening import open_runs
    from hanok.agents.tools.surroundings import Surroundings
    from hanok.spec import Loaded, Platform

    declared = {
        "models": [{"name": "m", "serve": {"engine": "echo"}}],
        "tools": [{"name": "look", "type": "python", "code": "def f(): pass"}],
        "agents": [{"name": "worker", "tools": ["look"], "limits": {"steps": 1000, "tool_calls": 1000}}],
        "runs": runs,
    }
    loaded = Loaded(
        platform=Platform.model_validate(declared), file=folder / "platform.yaml", folder=folder, state=folder
    )
    database, platform = os.environ.get(DATABASE), f"bench-{secrets.token_hex(4)}"
    store = open_runs(folder, database, platform=platform)
    async with open_checkpoints(folder / "checkpoints.db", database=database, platform=platform) as kept:
        around = Surroundings(
            folder=folder,
            state=folder,
            models=engine,
            library=None,  # pyright: ignore[reportArgumentType] - no knowledge here
            replaced={"look": Look()},
        )
        agency = HouseAgency(
            loaded=loaded, store=store, checkpoints=kept, outside=Outside(around=around, allot=lambda *_: None)
        )
        living = asyncio.create_task(agency.live())
        try:
            yield agency
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
            await agency.close()
            store.close()


async def lead(agency: Any, run_id: str | None = None) -> Any:
    """One run to its end."""
    from hanok.agents.values import Order
    from hanok.wire import Caller

    message = {"role": "user", "content": "go"}
    caller = Caller(key_id="ann", key_name="ann", team="red", user="ann")
    run = await agency.start(Order(agent="worker", input=(message,), caller=caller, run_id=run_id))
    run = await agency.ended(run.id, tenant=None)
    if (run.state, run.answer) != ("done", "Done."):
        raise SystemExit(f"a run ended {run.state}: {run.error}")
    return run


class BareState(TypedDict):
    messages: Annotated[list[dict[str, Any]], operator.add]


@contextlib.asynccontextmanager
async def bare(folder: Path, engine: Any) -> AsyncIterator[Any]:
    """LangGraph with its own saver, as somebody would write it by hand; a function that does one run."""
    import aiosqlite
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, StateGraph

    from hanok.agents.calls import tool_form
    from hanok.agents.reply import Hearing
    from hanok.wire import ChatRequest

    form = tool_form(Look().spec)

    async def think(state: BareState) -> dict[str, Any]:
        request = ChatRequest.ask("m", state["messages"], stream=True, tools=[form])
        hearing = Hearing(lambda *_: None)
        answer = await engine.open(request)
        await hearing.listen(answer)
        await answer.aclose()
        return {"messages": [hearing.message(f"msg_{secrets.token_hex(8)}")]}

    async def act(state: BareState) -> dict[str, Any]:
        calls = state["messages"][-1]["tool_calls"]
        said = [str(json.loads(call["function"]["arguments"])["x"]) for call in calls]
        return {
            "messages": [
                {"role": "tool", "tool_call_id": call["id"], "content": text}
                for call, text in zip(calls, said, strict=True)
            ]
        }

    async def after_thinking(state: BareState) -> str:  # what is not async LangGraph calls in a thread: 0.1 ms a step
        return "act" if state["messages"][-1].get("tool_calls") else END

    graph = StateGraph(BareState)
    graph.add_node("think", think)
    graph.add_node("act", act)
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", after_thinking, ["act", END])
    graph.add_edge("act", "think")
    async with aiosqlite.connect(folder / "bare.db") as connection:
        saver = AsyncSqliteSaver(connection)
        await saver.setup()
        await connection.execute("PRAGMA synchronous = NORMAL")
        compiled = graph.compile(checkpointer=saver)

        async def run() -> None:
            config: Any = {"configurable": {"thread_id": secrets.token_hex(8)}, "recursion_limit": 10_000}
            state = await compiled.ainvoke({"messages": [{"role": "user", "content": "go"}]}, config, durability="sync")
            assert state["messages"][-1]["content"] == "Done."

        yield run


# what children do


async def child_overhead(rounds: str, steps: str) -> dict[str, Any]:
    be_calm()
    told: dict[str, list[dict[str, float]]] = {"hanok": [], "bare": []}
    with tempfile.TemporaryDirectory() as name:
        engine = script(int(steps))
        async with hanok(Path(name), engine) as agency, bare(Path(name), engine) as run:
            for at in range(-1, int(rounds)):
                for whose, do in (("hanok", lambda: lead(agency)), ("bare", run)):
                    took = await measured(do, 3, int(steps))
                    if at >= 0:
                        told[whose].append(took)
    return told


async def measured(do: Callable[[], Coroutine[Any, Any, Any]], times: int, steps: int) -> dict[str, float]:
    """Seconds a step, and of CPU in all threads."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        await do()
    share = times * steps
    return {"s": (time.perf_counter() - began) / share, "cpu_s": (time.process_time() - cpu) / share}


async def child_many_hanok(runs: str, steps: str) -> dict[str, float]:
    be_calm()
    with tempfile.TemporaryDirectory() as name:
        async with hanok(Path(name), script(int(steps)), concurrent=int(runs)) as agency:
            await lead(agency)
            told, done = await many(lambda: lead(agency), int(runs))
            gaps: list[float] = []
            for run in done:
                at = [e.at async for e in agency.events(run.id, tenant=None, wait=False) if e.type == "step"]
                gaps += [later - earlier for earlier, later in pairwise(at)]
    return told | {"step_p99_ms": 1000 * high(gaps)}


async def child_many_bare(runs: str, steps: str) -> dict[str, float]:
    be_calm()
    engine = Stamped(script(int(steps)))
    with tempfile.TemporaryDirectory() as name:
        async with bare(Path(name), engine) as run:
            await run()
            engine.at.clear()
            told, _ = await many(run, int(runs))
    gaps = [later - earlier for at in engine.at.values() for earlier, later in pairwise(at)]
    return told | {"step_p99_ms": 1000 * high(gaps)}


class Stamped:
    """Remembers when each task has asked."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.at: dict[Any, list[float]] = {}
        self._whose: dict[str, int] = {}

    async def open(self, request: Any) -> Any:
        from langgraph.config import get_config

        thread = get_config()["configurable"]["thread_id"]
        self.at.setdefault(thread, []).append(time.perf_counter())
        return await self._engine.open(request)


async def many(do: Callable[[], Coroutine[Any, Any, Any]], runs: int) -> tuple[dict[str, float], list[Any]]:
    """All at once. Memory is what the process takes more at most while they run."""
    before, peak = resident_kib(), [0]

    async def look() -> None:
        while True:
            peak[0] = max(peak[0], resident_kib())
            await asyncio.sleep(0.02)

    held: list[float] = []
    looking = [asyncio.create_task(look()), asyncio.create_task(watch_loop(held))]
    began, cpu = time.perf_counter(), time.process_time()
    done = await asyncio.gather(*(do() for _ in range(runs)))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    for each in looking:
        each.cancel()
    told = {"runs_per_s": runs / took, "cpu_ms_per_run": 1000 * cpu / runs, "loop_turn_p99_ms": 1000 * high(held)}
    return told | {"memory_kib_per_run": (peak[0] - before) / runs}, list(done)


async def watch_loop(held: list[float]) -> None:
    """How long each turn of the event loop kept a task waiting that had nothing to wait for."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0)
        held.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)


async def child_die(folder: str) -> None:
    """Lead a run of slow steps until the parent kills us in the fifth."""
    async with hanok(Path(folder), script(20, delay_ms=20), lease_s=LEASE_S) as agency:
        leading = asyncio.create_task(lead(agency, "run_1"))
        while not leading.done():
            with contextlib.suppress(Exception):
                seen = [e async for e in agency.events("run_1", tenant=None, wait=False) if e.type == "step"]
                if len(seen) >= 5:
                    print("now", flush=True)
            await asyncio.sleep(0.005)


async def child_go_on(folder: str, how: str) -> dict[str, float]:
    """Go on with what the killed process has left; when our agency began, and when the next step did."""
    if how == "leased":
        forget_process(Path(folder))
    import_all()
    began = time.time()
    async with hanok(Path(folder), script(20), lease_s=LEASE_S) as agency:
        before = [e async for e in agency.events("run_1", tenant=None, wait=False)]
        async for event in agency.events("run_1", tenant=None, after=before[-1].seq):
            if event.type == "step":
                return {"agency": began, "step": event.at}
    raise SystemExit("the run did not go on")


def be_calm() -> None:
    """As a process of `hanok up` is, whoever is measured."""
    import langgraph.checkpoint.sqlite.aio
    import langgraph.graph  # noqa: F401

    from hanok.cli.serve import calm_the_collector

    import_all()
    calm_the_collector()


def import_all() -> None:
    """What takes most of a process's start is told apart."""
    import hanok.agents.running
    import hanok.agents.stores.checkpoints_sqlite
    import hanok.agents.stores.sqlite
    import hanok.serving.engines.script  # noqa: F401


def forget_process(folder: Path) -> None:
    """As if the run's worker had been one of another machine."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(folder / "agents.db")) as connection, connection:
        connection.execute("UPDATE runs SET lease_by = 'worker_elsewhere' WHERE state = 'running'")


async def child_checkpoints(steps: str) -> dict[str, int]:
    count = int(steps)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with hanok(folder, script(count), checkpoints=100_000) as agency:
            whole = await kept_bytes(agency, folder)
        async with hanok(folder, script(count // 2), checkpoints=100_000) as agency:
            half = await kept_bytes(agency, folder)
        async with hanok(folder, script(count)) as agency:
            latest = await kept_bytes(agency, folder)
        async with bare(folder, script(count)) as run:
            await run()
        return {"steps": count, "whole": whole, "half": half, "kept": latest, "bare": sum_bytes(folder / "bare.db")}


async def kept_bytes(agency: Any, folder: Path) -> int:
    return sum_bytes(folder / "checkpoints.db", (await lead(agency)).thread)


def sum_bytes(file: Path, thread: str | None = None) -> int:
    """Of checkpoints and what was written after each."""
    import sqlite3

    of = "" if thread is None else " WHERE thread_id = ?"
    asked = (
        f"SELECT (SELECT coalesce(sum(length(checkpoint) + length(metadata)), 0) FROM checkpoints{of})"
        f" + (SELECT coalesce(sum(length(value)), 0) FROM writes{of})"
    )
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return int(connection.execute(asked, () if thread is None else (thread, thread)).fetchone()[0])


# what all parts share


def spawn(*what: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__)), "--child", *map(str, what)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def child(*what: object) -> Any:
    """What a part of the bench tells that ran in a process of its own."""
    with spawn(*what) as process:
        said, _ = process.communicate(timeout=600)
    if process.returncode:
        raise SystemExit(f"{what[0]} ended with code {process.returncode}")
    return json.loads(said)


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def middle(values: Any) -> float:
    return round(statistics.median(values), 3)


def high(values: Sequence[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[98]


PARTS = {
    "overhead": overhead,
    "concurrent": concurrent,
    "resume": resume,
    "checkpoints": checkpoints,
    "others": others,
}
CHILDREN: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
    "overhead": child_overhead,
    "many_hanok": child_many_hanok,
    "many_bare": child_many_bare,
    "die": child_die,
    "go_on": child_go_on,
    "checkpoints": child_checkpoints,
}

if __name__ == "__main__":
    main()
