"""Agents must name models, tools, knowledge, prompts and agents that there are, and end somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hanok.spec.checks.findings import Finding, as_circle, circles, duplicates, quoted, unknown
from hanok.spec.checks.tools import SEVERAL, known_tools
from hanok.spec.tree import Agent, AgentTool, CodeTool, ModelType, Platform

Place = tuple[str | int, ...]
NAME_LIMIT = 64
"""Longest name of a function that providers take."""


@dataclass(frozen=True, kw_only=True)
class _Offer:
    """A tool that an agent's model is shown, by its name there; `several` stand for tools whose names are not known."""

    name: str
    place: Place
    what: str
    several: bool = False


def check_agents(platform: Platform) -> Iterator[Finding]:
    """Agents, and the prompts that they name."""
    yield from duplicates("prompts", platform.prompts, "each text of a prompt is a version of it; name it once")
    yield from duplicates("agents", platform.agents, "give one of them another name")
    for index, agent in enumerate(platform.agents):
        yield from _unfit_agent(platform, agent, ("agents", index))
    yield from _circles(platform)


def _unfit_agent(platform: Platform, agent: Agent, place: Place) -> Iterator[Finding]:
    yield from _unfit_models(platform, agent, place)
    yield from _unknown_names(platform, agent, place)
    offers = list(_offers(platform, agent, place))
    yield from _shadowing(platform, agent, place)
    yield from _unfit_offers(offers)
    yield from _unfit_approvals(platform, agent, offers, place)
    if (taken := f"agent/{agent.name}") in platform.names():
        message = f"a model is called {quoted(taken)}, which is how this agent is asked"
        yield Finding(place=(*place, "name"), message=message, hint="give one of them another name")


def _unfit_models(platform: Platform, agent: Agent, place: Place) -> Iterator[Finding]:
    if agent.model is None and platform.first("chat") is None and not platform.tiers:
        message = "needs a model that writes text, and none is declared"
        yield Finding(place=place, message=message, hint="declare one in `models`, of type `chat`")
    yield from _unfit_model(platform, agent.model, "chat", (*place, "model"))
    yield from _unfit_model(platform, agent.memory.summary_model, "chat", (*place, "memory", "summary_model"))
    long_term = agent.memory.long_term
    if long_term is None:
        return
    yield from _unfit_model(platform, long_term.embed, "embedding", (*place, "memory", "long_term", "embed"))
    if long_term.embed is None and platform.first("embedding") is None:
        message = "needs a model that makes vectors, and none is declared"
        hint = "declare one: {name: embed, type: embedding, serve: {engine: sentence-encoder}}"
        yield Finding(place=(*place, "memory", "long_term"), message=message, hint=hint)


def _unfit_model(platform: Platform, name: str | None, kind: ModelType, place: Place) -> Iterator[Finding]:
    if name is None or (kind == "chat" and any(name == auto.name for auto in platform.tiers)):
        return
    model = platform.model(name)
    if model is None:
        yield unknown("model", name, [each.name for each in platform.models if each.type == kind], place)
    elif model.type != kind:
        message = f"{quoted(name)} is a model for {model.type}"
        yield Finding(place=place, message=message, hint=f"name a model for {kind}")


def _unknown_names(platform: Platform, agent: Agent, place: Place) -> Iterator[Finding]:
    declared = [tool.name for tool in platform.tools]
    for position, tool in enumerate(agent.tools):
        if isinstance(tool, str) and tool not in declared:
            yield unknown("tool", tool, declared, (*place, "tools", position))
    bases = [base.name for base in platform.knowledge]
    for position, name in enumerate(agent.knowledge):
        if name not in bases:
            yield unknown("knowledge base", name, bases, (*place, "knowledge", position))
    agents = [each.name for each in platform.agents]
    for position, name in enumerate(agent.team):
        if name not in agents:
            yield unknown("agent", name, [each for each in agents if each != agent.name], (*place, "team", position))
    prompts = [prompt.name for prompt in platform.prompts]
    if agent.prompt is not None and (name := agent.prompt.partition("@")[0]) not in prompts:
        yield unknown("prompt", name, prompts, (*place, "prompt"))


def _offers(platform: Platform, agent: Agent, place: Place) -> Iterator[_Offer]:
    """What the agent's model is shown, in the order of the file."""
    known = known_tools(platform, agent)
    for position, tool in enumerate(agent.tools):
        found = known.get(tool) if isinstance(tool, str) else tool
        name = tool if isinstance(tool, str) else tool.name
        here = (*place, "tools", position) if isinstance(tool, str) else (*place, "tools", position, "name")
        yield _Offer(name=name, place=here, what="a tool", several=isinstance(found, SEVERAL))
    for position, name in enumerate(agent.knowledge):
        yield _Offer(name=f"search_{name}", place=(*place, "knowledge", position), what="the search in a base")
    for position, name in enumerate(agent.team):
        yield _Offer(name=name, place=(*place, "team", position), what="an agent of the team")
    if agent.questions:
        yield _Offer(name="ask_user", place=(*place, "questions"), what="the tool of `questions`")


def _shadowing(platform: Platform, agent: Agent, place: Place) -> Iterator[Finding]:
    """Tools that are declared for the agent alone, by names that others are declared by for all."""
    declared = [tool.name for tool in platform.tools]
    for position, tool in enumerate(agent.tools):
        if not isinstance(tool, str) and tool.name in declared:
            message = f"the name {quoted(tool.name)} is taken by tools[{declared.index(tool.name)}]"
            hint = "give one of them another name, or name that one here"
            yield Finding(place=(*place, "tools", position, "name"), message=message, hint=hint)


def _unfit_offers(offers: list[_Offer]) -> Iterator[Finding]:
    """Names that stand for two things, or that no provider takes."""
    first: dict[str, _Offer] = {}
    for offer in offers:
        if (taken := first.setdefault(offer.name, offer)) is not offer:
            message = f"the name {quoted(offer.name)} is taken by {taken.what}"
            yield Finding(place=offer.place, message=message, hint="a model knows its tools by their names alone")
        if len(offer.name) > NAME_LIMIT:
            message = f"its tool would be called {quoted(offer.name)}, which is longer than {NAME_LIMIT} characters"
            hint = "declare a tool of type `knowledge` with a shorter name"
            yield Finding(place=offer.place, message=message, hint=hint)


def _unfit_approvals(platform: Platform, agent: Agent, offers: list[_Offer], place: Place) -> Iterator[Finding]:
    names = [offer.name for offer in offers if not offer.several]
    open_ = any(offer.several for offer in offers)
    for position, pattern in enumerate(agent.approvals):
        here = (*place, "approvals", position)
        if not open_ and not any(fnmatchcase(name, pattern) for name in names):
            yield unknown("tool of this agent", pattern, names, here)
    yield from _unasked(platform, agent, place)


def _unasked(platform: Platform, agent: Agent, place: Place) -> Iterator[Finding]:
    """Tools that need an approval and that code may call: nobody can be asked from inside a running piece of code."""
    known = known_tools(platform, agent)
    for position, tool in enumerate(agent.tools):
        found = known.get(tool) if isinstance(tool, str) else tool
        for name in found.functions if isinstance(found, CodeTool) else ():
            if any(fnmatchcase(name, pattern) for pattern in agent.approvals):
                message = f"code of {quoted(found.name if found else '')} may call {quoted(name)}, which needs approval"
                hint = f"take {name} out of the `functions` of that tool: nobody is asked while code runs"
                yield Finding(place=(*place, "tools", position), message=message, hint=hint)


def _circles(platform: Platform) -> Iterator[Finding]:
    """Agents that give work to themselves, or to those who give it back."""
    index = {agent.name: position for position, agent in reversed(list(enumerate(platform.agents)))}
    after = {name: _below(platform, platform.agents[index[name]]) for name in (each.name for each in platform.agents)}
    for circle in circles(after):
        agent = platform.agents[index[circle[0]]]
        key = "team" if circle[1 % len(circle)] in agent.team else "tools"
        message = f"agents give work in a circle: {as_circle(circle)}"
        hint = "take one of these steps out; an agent can answer more by itself than by asking its own kind"
        if len(circle) == 1:
            message, hint = f"{quoted(agent.name)} gives work to itself", "take it out"
        yield Finding(place=("agents", index[circle[0]], key), message=message, hint=hint)


def _below(platform: Platform, agent: Agent) -> list[str]:
    """The agents that it may give work to, as its team or through tools."""
    known = known_tools(platform, agent)
    names = [tool if isinstance(tool, str) else tool.name for tool in agent.tools]
    tools = [known.get(name) for name in names]
    return [*agent.team, *(tool.agent for tool in tools if isinstance(tool, AgentTool))]


def unknown_agents_in_scopes(platform: Platform) -> Iterator[Finding]:
    """Scopes that name no agent."""
    names = [agent.name for agent in platform.agents]
    for block, named in (("teams", platform.teams), ("users", platform.users)):
        for index, each in enumerate(named):
            for position, pattern in enumerate(each.agents):
                if pattern != "*" and not any(fnmatchcase(name, pattern) for name in names):
                    yield unknown("agent", pattern, names, (block, index, "agents", position))
