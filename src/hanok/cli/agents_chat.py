"""`hanok agents chat`: a conversation with an agent, each answer as it comes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer
from rich.text import Text

from hanok.cli.agents_follow import follow_to_rest, say_next
from hanok.cli.agents_reach import ENDED, Agents, chosen, reached
from hanok.cli.agents_view import Place, RunView
from hanok.cli.terminal import FileOption, load_to_ask, talk
from hanok.cli.typed import next_line


def chat(
    name: Annotated[str, typer.Argument(help="The agent.")],
    thread: Annotated[str | None, typer.Option("--thread", help="Go on with this conversation.")] = None,
    file: FileOption = None,
) -> None:
    """Talk with an agent. Ctrl-C stops what it is doing, Ctrl-D ends the chat; `/new` begins another conversation.

    Example: `hanok agents chat research-agent`
    """
    loaded = load_to_ask(file)
    chosen(loaded, name)

    async def talked() -> None:
        async with reached(loaded, agent=name) as agents:
            await _converse(agents, name, thread)

    try:
        asyncio.run(talked())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _converse(agents: Agents, name: str, thread: str | None) -> None:
    hint = "Ctrl-C stops what it is doing, Ctrl-D the chat, /new begins another conversation."
    talk.print(f"Talking with [bold]{name}[/]. {hint}", highlight=False)
    while True:
        try:
            said = (await next_line()).strip()
        except EOFError:
            talk.print()
            if thread is not None:
                command = f"hanok agents chat {name} --thread {thread}"
                talk.print(Text.assemble(("  › ", "cyan"), command), highlight=False, soft_wrap=True)
            return
        if said == "/new":
            thread = None
        elif said:
            thread = await _say(agents, name, said, thread)


async def _say(agents: Agents, name: str, said: str, thread: str | None) -> str:
    """Have one thing said answered; the thread that it went on."""
    run = await agents.start(name, {"input": said, "thread": thread})
    view = ChatView()
    run, _ = await follow_to_rest(agents, run, view, asks=sys.stdin.isatty(), ends=True)
    view.close(run)
    return str(run["thread"])


class ChatView(RunView):
    """The words of the agent on stdout as they come; what else it does on stderr, a line each."""

    def __init__(self) -> None:
        super().__init__(talk)
        self._open = self._said_all = False

    def begin(self, run: str, agent: str, *, below: str | None = None, task: str = "") -> None:
        if below is None:
            self._place(run, agent)
        else:
            super().begin(run, agent, below=below, task=task)

    @asynccontextmanager
    async def shown(self) -> AsyncGenerator[None]:
        """The words come where what is under way would stand."""
        yield

    def close(self, run: dict[str, Any]) -> None:
        """The end of the answer, whole where it did not come in pieces."""
        if run.get("answer") and not self._said_all:
            self._write(str(run["answer"]))
        self._end_line()
        if run["state"] != "done":
            self.end(run)
        if run["state"] not in ENDED:
            say_next(run)

    def _tell_token(self, place: Place, data: dict[str, Any]) -> None:
        if place.depth == 0 and not data.get("reasoning"):
            self._write(data["text"])
            self._said_all = True

    def _tell_message(self, place: Place, data: dict[str, Any]) -> None:
        self._end_line()
        message: dict[str, Any] = data.get("message") or {}
        if place.depth == 0 and message.get("tool_calls"):
            self._said_all = False

    def _before_line(self) -> None:
        self._end_line()

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
        self._open = True

    def _end_line(self) -> None:
        if self._open:
            sys.stdout.write("\n")
            sys.stdout.flush()
        self._open = False
