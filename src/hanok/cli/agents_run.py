"""`hanok agents run` and what else sets a run going and follows it: resume, approve, answer, fork."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from hanok.cli.agents_ask import parse_arguments
from hanok.cli.agents_follow import leave, show_run
from hanok.cli.agents_reach import Agents, Form, chosen, reached
from hanok.cli.terminal import FileOption, JsonOption, load_to_ask
from hanok.errors import StartError
from hanok.spec import Loaded

LIMITS = ("steps", "tool_calls", "iterations", "retries", "wall_time_s", "tokens", "usd")
NameArgument = Annotated[str, typer.Argument(help="The agent.")]
RunArgument = Annotated[str, typer.Argument(help="The run's id.")]
LimitOption = Annotated[
    list[str] | None, typer.Option("--limit", help="A limit of this run, as `usd=0.1` or `steps=5`. Repeatable.")
]
StreamOption = Annotated[bool, typer.Option("--stream", help="With `--json`: the events as they come, one a line.")]
WholeOption = Annotated[bool, typer.Option("--whole", help="Show all of what tools give back, however long.")]
RequestOption = Annotated[
    str | None, typer.Option("--request", help="Which of the things it waits for; by default all of them.")
]
Begin = Callable[[Agents], Coroutine[Any, Any, Form]]


def run(
    name: NameArgument,
    text: Annotated[str, typer.Argument(metavar="INPUT", help="What it is to do; `-` reads it from stdin.")],
    thread: Annotated[str | None, typer.Option("--thread", help="Go on with this conversation.")] = None,
    limit: LimitOption = None,
    whole: WholeOption = False,
    stream: StreamOption = False,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have an agent do something, and watch it: plan, steps, tools with their results, tokens and dollars.

    Uses the running server, or starts what it needs for this run. At a terminal it asks you where a person must approve
    or answer. Ctrl-C pauses the run, Ctrl-C again cancels it. Exit code: 0 done, 1 failed or cancelled, 3 a limit was
    reached, 4 it waits for a person, 130 interrupted.

    Example: `hanok agents run research-agent "What does the handbook say about night shifts?"`
    """
    said = sys.stdin.read() if text == "-" else text
    if not said.strip():
        raise typer.BadParameter("there is nothing to do", param_hint="INPUT")
    loaded = load_to_ask(file)
    chosen(loaded, name)
    order = {"input": said.strip(), "thread": thread, "limits": parse_limits(limit)}
    _followed(loaded, name, lambda agents: agents.start(name, order), as_json=as_json, stream=stream, whole=whole)


def resume(
    run: RunArgument,
    whole: WholeOption = False,
    stream: StreamOption = False,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run that was paused, try one again that has failed, or watch one that is running.

    Example: `hanok agents resume run_0f1e2d3c`
    """

    async def begin(agents: Agents) -> Form:
        found = await agents.run(run)
        return await agents.wish(run, "resume") if found["state"] in ("paused", "failed", "limited") else found

    _followed(load_to_ask(file), None, begin, as_json=as_json, stream=stream, whole=whole)


def approve(
    run: RunArgument,
    request: RequestOption = None,
    no: Annotated[bool, typer.Option("--no", help="Do not let it; the agent is told.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why not, for the agent.")] = None,
    arguments: Annotated[str | None, typer.Option(help="Let it with these arguments instead: a JSON object.")] = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a run use the tool that it waits to use, or not; then watch it go on.

    Example: `hanok agents approve run_0f1e2d3c --arguments '{"path": "/tmp/x"}'`
    """
    given = {} if arguments is None else {"arguments": parse_arguments(arguments)}
    answer = {"approve": False, **({"reason": reason} if reason else {})} if no else {"approve": True, **given}
    if no and arguments is not None:
        raise typer.BadParameter("a call that is not let has no arguments", param_hint="--arguments")
    _answered(load_to_ask(file), run, request, _is_approval, answer, as_json=as_json)


def answer(
    run: RunArgument,
    text: Annotated[str, typer.Argument(help="What to answer.")],
    request: RequestOption = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer the question that a run waits with; then watch it go on.

    Example: `hanok agents answer run_0f1e2d3c "in May"`
    """
    _answered(load_to_ask(file), run, request, _is_question, {"text": text, "value": text}, as_json=as_json)


def fork(
    run: RunArgument,
    text: Annotated[str | None, typer.Argument(metavar="INPUT", help="What to say from there on.")] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="From where: `hanok agents runs RUN --checkpoints`; by default the latest.")
    ] = None,
    whole: WholeOption = False,
    stream: StreamOption = False,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on from a checkpoint of a run in a conversation of its own; what was there stays as it is.

    Example: `hanok agents fork run_0f1e2d3c "And in winter?" --checkpoint 1f0c9a`
    """

    async def begin(agents: Agents) -> Form:
        from_ = checkpoint or await _latest(agents, run)
        return await agents.fork(run, {"checkpoint": from_, "input": text})

    _followed(load_to_ask(file), None, begin, as_json=as_json, stream=stream, whole=whole)


def parse_limits(given: list[str] | None) -> dict[str, float]:
    """`usd=0.1` and its like. Raises `BadParameter`."""
    limits: dict[str, float] = {}
    for each in given or []:
        name, _, value = each.partition("=")
        if name not in LIMITS:
            raise typer.BadParameter(f"there is no limit {name!r}: one of {', '.join(LIMITS)}", param_hint="--limit")
        try:
            limits[name] = float(value) if name in ("usd", "wall_time_s") else int(value)
        except ValueError:
            raise typer.BadParameter(f"{name} takes a number, as {name}=5", param_hint="--limit") from None
    return limits


async def _latest(agents: Agents, run: str) -> str:
    found = await agents.checkpoints(run, limit=1)
    if not found:
        raise StartError(f"the run {run} has no checkpoint to go on from")
    return str(found[0]["id"])


def _answered(
    loaded: Loaded, run: str, request: str | None, fits: Callable[[str], bool], answer: Form, *, as_json: bool
) -> None:
    async def begin(agents: Agents) -> Form:
        found = await agents.run(run)
        meant = [each["id"] for each in found["wanted"] if request in (None, each["id"]) and fits(each["kind"])]
        if not meant:
            waits = ", ".join(f"{each['kind']} {each['id']}" for each in found["wanted"]) or "nothing"
            raise StartError(f"the run {run} ({found['state']}) does not wait for this", hint=f"it waits for: {waits}")
        return await agents.answer(run, dict.fromkeys(meant, answer))

    _followed(loaded, None, begin, as_json=as_json)


def _is_approval(kind: str) -> bool:
    return kind == "approval"


def _is_question(kind: str) -> bool:
    return kind != "approval"


def _followed(
    loaded: Loaded, agent: str | None, begin: Begin, *, as_json: bool, stream: bool = False, whole: bool = False
) -> None:
    """Set a run going, and show it until it rests."""

    async def followed() -> int:
        async with reached(loaded, agent=agent) as agents:
            run = await begin(agents)
            return await show_run(agents, run, as_json=as_json, stream=stream, whole=whole)

    try:
        leave(asyncio.run(followed()))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
