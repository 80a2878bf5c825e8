"""Following a run from the terminal until it rests: showing it, asking a person what it wants, stopping it on Ctrl-C.

A run goes on without anybody who follows it, so whatever happens here it can be followed again, and the last word says
how.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import typer
from rich.text import Text

from hanok.cli.agents_ask import ask_person
from hanok.cli.agents_reach import ENDED, Agents, Form
from hanok.cli.agents_view import RunView, call_line
from hanok.cli.app import EXIT_FAILED, EXIT_INTERRUPTED
from hanok.cli.terminal import data, print_json, talk
from hanok.errors import HanokError

EXIT_LIMITED, EXIT_WAITS = 3, 4
_EXITS = {"done": 0, "limited": EXIT_LIMITED, "waiting": EXIT_WAITS, "paused": EXIT_WAITS}
Show = Callable[[Form], None]


class Follower:
    """Follows one run and those below it. `view` shows it to people, `told` gets each event."""

    def __init__(self, agents: Agents, view: RunView | None = None, told: Show | None = None) -> None:
        self._agents = agents
        self._view = view
        self._told = told
        self._seen: dict[str, int] = {}
        self._below: asyncio.TaskGroup | None = None

    async def follow(self, run: Form, *, after: int = 0) -> Form:
        """Tell what happens until the run rests; the run as it then is. Called again, it goes on from there."""
        first = run["id"]
        if first not in self._seen:
            self._come(first, run["agent"], after)
        async with asyncio.TaskGroup() as self._below:
            for below in [each for each in self._seen if each != first]:
                self._below.create_task(self._watch_below(below))
            await self._watch(first)
        return await self._agents.run(first)

    def replay(self, run: Form) -> Coroutine[Any, Any, None]:
        """Tell what has happened so far, once."""
        self._come(run["id"], run["agent"], 0)
        return self._watch(run["id"], wait=False)

    def _come(self, run: str, agent: str, after: int = 0, *, below: str | None = None, task: str = "") -> None:
        self._seen[run] = after
        if self._view is not None:
            self._view.begin(run, agent, below=below, task=task)

    async def _watch(self, run: str, *, wait: bool = True) -> None:
        async with contextlib.aclosing(self._agents.events(run, after=self._seen[run], wait=wait)) as events:
            async for event in events:
                self._seen[run] = event["seq"]
                self._tell(event)
                if event["type"] == "child" and event["data"]["run"] not in self._seen:
                    await self._begin_below(event, wait=wait)

    async def _begin_below(self, event: Form, *, wait: bool) -> None:
        told = event["data"]
        self._come(told["run"], told["agent"], below=event["run"], task=str(told.get("task") or ""))
        if not wait:
            await self._watch(told["run"], wait=False)
        elif self._below is not None:
            self._below.create_task(self._watch_below(told["run"]))

    async def _watch_below(self, run: str) -> None:
        with contextlib.suppress(HanokError):  # the run above tells what came of it
            await self._watch(run)

    def _tell(self, event: Form) -> None:
        if self._told is not None:
            self._told(event)
        if self._view is not None:
            self._view.tell(event)


class Interrupts:
    """Ctrl-C while a run is followed: pause it, then cancel it, then leave it alone; or (`ends`) cancel it at once."""

    def __init__(self, agents: Agents, run: str, note: Callable[[str], None], *, ends: bool = False) -> None:
        self.count = 0
        self._steps = 1 if ends else 0
        self._agents = agents
        self._run = run
        self._note = note
        self._wishes: set[asyncio.Task[Any]] = set()
        self._task = asyncio.current_task()

    @contextlib.contextmanager
    def heard(self) -> Generator[None]:
        """Ctrl-C means this while this lasts."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def _interrupt(self) -> None:
        self.count += 1
        if self.count + self._steps == 1:
            self._note("pauses after the call at hand; Ctrl-C again cancels it")
            self._wish("pause")
        elif self.count + self._steps == 2:
            self._note("is being cancelled; Ctrl-C again leaves it")
            self._wish("cancel")
        elif self._task is not None:
            self._task.cancel()

    def _wish(self, wish: str) -> None:
        task = asyncio.ensure_future(self._agents.wish(self._run, wish))
        self._wishes.add(task)
        task.add_done_callback(self._wishes.discard)


async def follow_to_rest(
    agents: Agents, run: Form, view: RunView, *, asks: bool, after: int = 0, ends: bool = False
) -> tuple[Form, bool]:
    """Follow a run in the terminal, asking the person there what it wants if `asks`; and whether it was interrupted.

    `ends` says that Ctrl-C is to end it, not to pause it.
    """
    follower = Follower(agents, view)
    interrupts = Interrupts(agents, run["id"], view.note, ends=ends)
    while True:
        with interrupts.heard():
            async with view.shown():
                run = await follower.follow(run, after=after)
        if run["state"] != "waiting" or not asks or interrupts.count:
            return run, interrupts.count > 0
        answers = await ask_person(run)
        if answers is None:
            return run, True
        run = await agents.answer(run["id"], answers)


async def show_run(
    agents: Agents, run: Form, *, as_json: bool, stream: bool, whole: bool = False, after: int = 0
) -> int:
    """Follow a run and say what came of it: the exit code."""
    if as_json:
        follower = Follower(agents, told=_print_line if stream else None)
        interrupts = Interrupts(agents, run["id"], lambda _: None)
        with interrupts.heard():
            run = await follower.follow(run, after=after)
        if not stream:
            print_json(run)
        return EXIT_INTERRUPTED if interrupts.count else exit_code(run)
    view = RunView(talk, whole=whole)
    asks = sys.stdin.isatty() and talk.is_terminal
    run, interrupted = await follow_to_rest(agents, run, view, asks=asks, after=after)
    say_end(run, view)
    return EXIT_INTERRUPTED if interrupted and run["state"] != "done" else exit_code(run)


def exit_code(run: Form) -> int:
    """0 done, 1 failed or cancelled, 3 limited, 4 waits for a person."""
    return _EXITS.get(run["state"], EXIT_FAILED)


def say_end(run: Form, view: RunView) -> None:
    """The answer on stdout, and on stderr how the run ended and how to go on."""
    if run.get("answer"):
        talk.print()
        data.print(Text(str(run["answer"])), highlight=False)
        talk.print()
    view.end(run)
    say_next(run)


def say_next(run: Form) -> None:
    """How to go on with a run that has not ended."""
    id_ = run["id"]
    for request in run.get("wanted", []):
        if request["kind"] == "approval":
            line = Text.assemble("  ", call_line(request["tool"], request.get("arguments") or {}))
            talk.print(line, highlight=False, soft_wrap=True)
        else:
            talk.print(Text(f"  {request.get('question') or json.dumps(request)}"), highlight=False, soft_wrap=True)
    kinds = {request["kind"] for request in run.get("wanted", [])}
    if "approval" in kinds:
        _say_command(f"hanok agents approve {id_}")
    if kinds - {"approval"}:
        _say_command(f'hanok agents answer {id_} "your answer"')
    if run["state"] in ("paused", "failed"):
        _say_command(f"hanok agents resume {id_}")
    if run["state"] not in ENDED:
        _say_command(f"hanok agents cancel {id_}")


def _say_command(command: str) -> None:
    talk.print(Text.assemble(("  › ", "cyan"), command), highlight=False, soft_wrap=True)


def _print_line(event: Form) -> None:
    sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def leave(code: int) -> None:
    """End the command with this exit code."""
    if code:
        raise typer.Exit(code)
