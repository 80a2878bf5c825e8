"""`hanok agents`: what is declared, what runs, and the group of all commands about agents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.text import Text

from hanok.cli.agents_chat import chat
from hanok.cli.agents_follow import Follower, say_end
from hanok.cli.agents_reach import Agents, Form, chosen, reached
from hanok.cli.agents_run import RunArgument, WholeOption, answer, approve, fork, resume, run
from hanok.cli.agents_view import RunView, dollars
from hanok.cli.terminal import FileOption, JsonOption, data, load_to_ask, new_table, print_json, talk

if TYPE_CHECKING:
    from hanok.spec import Agent, Loaded

T = TypeVar("T")
AgentOption = Annotated[str | None, typer.Option("--agent", "-a", help="Only those of this agent.")]
MostOption = Annotated[int, typer.Option("--limit", min=1, max=100, help="The most to show.")]
agents = typer.Typer(help="Agents: run them, talk with them, approve what they do.", no_args_is_help=True)


def list_agents(file: FileOption = None, as_json: JsonOption = False) -> None:
    """List the declared agents.

    Example: `hanok agents list`
    """
    loaded = load_to_ask(file)
    if as_json:
        print_json({"agents": [_row(loaded, agent) for agent in loaded.platform.agents]})
        return
    table = new_table("NAME", "PATTERN", "MODEL", "MAY USE", "DESCRIPTION", kept=("NAME",))
    for row in (_row(loaded, agent) for agent in loaded.platform.agents):
        cells = (row["name"], row["pattern"], row["model"] or "–", ", ".join(row["tools"]) or "–", row["description"])
        table.add_row(*map(escape, cells))
    data.print(table if loaded.platform.agents else "No agent is declared; see docs/agents.md.")


def show(
    name: Annotated[str, typer.Argument(help="The agent.")],
    graph: Annotated[bool, typer.Option("--graph", help="Draw its steps as a Mermaid flowchart.")] = False,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an agent is, what it may use and where it stops; `--graph` draws how its steps follow one another.

    Example: `hanok agents show research-agent --graph`
    """
    loaded = load_to_ask(file)
    agent = chosen(loaded, name)
    drawn = _asked(loaded, lambda agents: agents.graph(name)) if graph else None
    if as_json:
        print_json({**_row(loaded, agent), "limits": agent.limits.model_dump(), "approvals": agent.approvals}
                   | ({} if drawn is None else {"graph": drawn}))  # fmt: skip
    elif drawn is not None:
        print(drawn.rstrip())
    else:
        _show(loaded, agent)


def list_runs(
    id_: Annotated[str | None, typer.Argument(metavar="RUN", help="Tell the story of this run instead.")] = None,
    agent: AgentOption = None,
    thread: Annotated[str | None, typer.Option("--thread", help="Only those of this conversation.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="Only those in this state, as `waiting`.")] = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="From where it can be forked.")] = False,
    limit: MostOption = 20,
    whole: WholeOption = False,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, the newest first; or tell the story of one.

    Example: `hanok agents runs --state waiting`
    """
    loaded = load_to_ask(file)
    if id_ is not None and checkpoints:
        _show_checkpoints(_asked(loaded, lambda agents: agents.checkpoints(id_, limit=limit)), as_json=as_json)
    elif id_ is not None:
        _asked(loaded, lambda agents: _tell(agents, id_, as_json=as_json, whole=whole))
    else:
        found = _asked(loaded, lambda agents: agents.runs(agent=agent, thread=thread, state=state, limit=limit))
        _show_runs(found, as_json=as_json)


def threads(
    agent: AgentOption = None,
    limit: MostOption = 20,
    below: Annotated[bool, typer.Option("--all", help="Those of sub-agents, too.")] = False,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List conversations, the latest used first.

    Example: `hanok agents threads --agent research-agent`
    """
    loaded = load_to_ask(file)
    found = _asked(loaded, lambda agents: agents.threads(agent=agent, limit=limit, below=below))
    if as_json:
        print_json({"threads": found})
        return
    table = new_table("THREAD", "AGENT", "USED", kept=("THREAD", "USED"))
    for each in found:
        table.add_row(escape(str(each["id"])), escape(str(each["agent"] or "–")), _age(each["used_at"]))
    data.print(table if found else "No conversations yet.")


def memories(
    name: Annotated[str, typer.Argument(help="The agent.")],
    user: Annotated[str | None, typer.Option(help="Whose; by default this machine's own key's.")] = None,
    forget: Annotated[str | None, typer.Option(metavar="MEMORY", help="Forget this one.")] = None,
    forget_all: Annotated[bool, typer.Option("--forget-all", help="Forget all of them.")] = False,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what an agent remembers of a user beyond their conversations, or have it forgotten.

    Example: `hanok agents memories research-agent --user ann --json`
    """
    loaded = load_to_ask(file)
    chosen(loaded, name)
    if forget is not None or forget_all:
        gone = _asked(loaded, lambda agents: agents.forget(name, user=user, memory=forget))
        print_json({"forgotten": gone}) if as_json else data.print(f"Forgotten: {gone}.")
        return
    found = _asked(loaded, lambda agents: agents.memories(name, user=user))
    if as_json:
        print_json({"memories": found})
        return
    table = new_table("MEMORY", "AGE", "TEXT", kept=("MEMORY", "AGE"))
    for each in found:
        table.add_row(escape(str(each["id"])), _age(each["created_at"]), escape(str(each["text"])))
    data.print(table if found else "Nothing is remembered.")


def cancel(id_: RunArgument, file: FileOption = None, as_json: JsonOption = False) -> None:
    """End a run and all below it; it keeps what it has.

    Example: `hanok agents cancel run_0f1e2d3c`
    """
    _wish(id_, "cancel", file, as_json=as_json)


def pause(id_: RunArgument, file: FileOption = None, as_json: JsonOption = False) -> None:
    """Let a run rest after the call at hand; `hanok agents resume` goes on with it.

    Example: `hanok agents pause run_0f1e2d3c`
    """
    _wish(id_, "pause", file, as_json=as_json)


def _wish(id_: str, wish: str, file: Any, *, as_json: bool) -> None:
    found = _asked(load_to_ask(file), lambda agents: agents.wish(id_, wish))
    if as_json:
        print_json(found)
    else:
        told = (
            f"{id_} is {found['state']}" if found["state"] != "running" else f"{id_} will {wish} after the call at hand"
        )
        talk.print(Text(told), highlight=False, soft_wrap=True)


def _asked(loaded: Loaded, ask: Callable[[Agents], Awaitable[T]]) -> T:
    """Ask the agents within reach something that needs no model."""

    async def asked() -> T:
        async with reached(loaded, works=False) as within:
            return await ask(within)

    return asyncio.run(asked())


def _row(loaded: Loaded, agent: Agent) -> Form:
    first = loaded.platform.first("chat")
    declared = [tool if isinstance(tool, str) else tool.name for tool in agent.tools]
    return {
        "name": agent.name,
        "pattern": agent.pattern,
        "model": agent.model or (first.name if first else None),
        "tools": [*declared, *(f"search_{base}" for base in agent.knowledge), *agent.team],
        "description": agent.description,
    }


def _show(loaded: Loaded, agent: Agent) -> None:
    row, limits, term = _row(loaded, agent), agent.limits, agent.memory.long_term
    bounds = [f"{limits.steps} steps", f"{limits.tool_calls} tool calls", f"{limits.wall_time_s:g} s"]
    bounds += [f"{limits.tokens:,} tokens"] if limits.tokens else []
    bounds += [dollars(limits.usd)] if limits.usd else []
    memory = [f"{agent.memory.context_tokens:,} tokens of history"]
    memory += [f"the {term.k} memories of each {term.scope} that fit best"] if term else []
    told = {
        "pattern": agent.graph or agent.pattern,
        "model": row["model"] or "none declared",
        "told": agent.prompt or _first_line(agent.system_prompt),
        "may use": ", ".join(row["tools"]) or "nothing",
        "approvals": ", ".join(agent.approvals) or "none",
        "ends after": " · ".join(bounds),
        "remembers": ", ".join(memory),
    }
    data.print(Text.assemble((agent.name, "bold"), f"  {agent.description}" if agent.description else ""))
    table = new_table()
    for title, value in told.items():
        table.add_row(Text(title, style="bright_black"), escape(value))
    data.print(table)


def _first_line(text: str | None) -> str:
    lines = (text or "").strip().splitlines()
    return "nothing" if not lines else lines[0] + (" …" if len(lines) > 1 else "")


async def _tell(agents: Agents, id_: str, *, as_json: bool, whole: bool) -> None:
    found = await agents.run(id_)
    if as_json:
        print_json({**found, "events": [event async for event in agents.events(id_, wait=False)]})
        return
    view = RunView(talk, whole=whole)
    await Follower(agents, view).replay(found)
    say_end(found, view)


def _show_runs(found: list[Form], *, as_json: bool) -> None:
    if as_json:
        print_json({"runs": found})
        return
    table = new_table("RUN", "AGENT", "STATE", "STEPS", "USD", "AGE", "ASKED", kept=("RUN",), numbers=("STEPS", "USD"))
    for each in found:
        usage = each["usage"]
        spent = dollars(usage["cost_usd"]).replace("$", "")
        cells = (each["id"], each["agent"], each["state"], f"{usage['steps']:,}", spent)
        table.add_row(*map(escape, (*cells, _age(each["created_at"]), _asked_text(each))))
    data.print(table if found else "No runs yet: hanok agents run NAME …")


def _asked_text(run: Form) -> str:
    said = [message.get("content") for message in run["input"] if message.get("role") == "user"]
    text = str(said[-1]).strip().splitlines()[0] if said and said[-1] else ""
    return text if len(text) <= 60 else f"{text[:59]}…"


def _show_checkpoints(found: list[Form], *, as_json: bool) -> None:
    if as_json:
        print_json({"checkpoints": found})
        return
    table = new_table("CHECKPOINT", "AGE", "NEXT", "MESSAGES", kept=("CHECKPOINT",), numbers=("MESSAGES",))
    for each in found:
        messages = len(each["values"].get("messages", []))
        table.add_row(
            escape(each["id"]), _age(each["created_at"]), escape(", ".join(each["next"]) or "end"), f"{messages:,}"
        )
    data.print(table)


def _age(seconds: float | str | None) -> str:
    if not isinstance(seconds, int | float):
        return str(seconds or "–")
    passed = max(0.0, time.time() - seconds)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if passed >= size:
            return f"{passed / size:.0f} {unit}"
    return f"{passed:.0f} s"


agents.command("list")(list_agents)
agents.command("show")(show)
agents.command("run")(run)
agents.command("chat")(chat)
agents.command("runs")(list_runs)
agents.command("threads")(threads)
agents.command("memories")(memories)
agents.command("resume")(resume)
agents.command("approve")(approve)
agents.command("answer")(answer)
agents.command("pause")(pause)
agents.command("cancel")(cancel)
agents.command("fork")(fork)
